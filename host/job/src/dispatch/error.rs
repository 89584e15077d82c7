//! Owns why a job could not be run or reported. Does not know what is made of it.

use crate::dispatch::takeover::TakeOverError;
use crate::execute::limit_means::LimitError;
use crate::plan::graph::GraphError;
use crate::plan::stored::ResumeError;
use crate::results::directory::DirectoryError;
use crate::results::report::ReportError;
use persea_journal::JournalError;
use persea_plugin::PluginError;
use persea_spawner::SpawnError;

/// Why a job could not be run or reported.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The job's directory cannot be made.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The job's journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The system refuses something that every job needs.
    #[error("cannot {what}: {source}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// A report's file cannot be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The tasks cannot be ordered.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The configured scheduler does not exist.
    #[error("no scheduler is named `{name}` (`run.scheduler`): {known}")]
    NoScheduler {
        /// The configured name.
        name: String,
        /// The existing schedulers, or how to add one.
        known: String,
    },
    /// None of the tests failed in the earlier job.
    #[error("no test to run again: {gone} failed in the earlier job and is not among the tests")]
    NoneAgain {
        /// The failed tests.
        gone: String,
    },
    /// Nothing of what failed in the earlier job is chosen by the filters and the partition.
    #[error("no test to run again: none of the chosen tests failed in the earlier job")]
    NoneAgainHere,
    /// A test that failed in the earlier job is not there, and `run.strict` is on.
    #[error("{gone} failed in the earlier job and is not among the tests (`run.strict`)")]
    FailedTestGone {
        /// The failed tests.
        gone: String,
    },
    /// The filters leave no test.
    #[error("the filters leave none of {of} tests (`run.filter`, `run.exclude`)")]
    NoneSelected {
        /// The number of tests before.
        of: usize,
    },
    /// A signal arrived before the first task could start.
    #[error("interrupted before the first test")]
    Interrupted,
    /// A limit of a test cannot be kept.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The spawner cannot be used.
    #[error(transparent)]
    Spawner(#[from] SpawnError),
    /// The job cannot be resumed.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// The job of another host cannot be taken over.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// The scheduler plugin failed at its start.
    #[error("the scheduler failed at its start: {0}")]
    Scheduler(PluginError),
}
