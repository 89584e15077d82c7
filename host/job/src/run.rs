//! Owns the course of a job, a module for each step: prepare, start, run the tasks, end.
//!
//! May use the rooms below it: `input`, `plan`, `results`, `execute`, `undo`, `dispatch`.

mod end;
pub(crate) mod instances;
pub(crate) mod prepare;
mod start;
mod tasks;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dispatch::beginning::CommandPlugins;
use crate::dispatch::error::JobError;
use crate::execute::control::Signals;
use crate::input::resolve::Resolved;
use crate::plan::selection::Selection;
use crate::plan::stored::StoredJob;
use crate::results::report::ReportError;
use crate::undo::unreleased::UnreleasedJobs;
use persea_config::Config;
use persea_display::Screen;
use persea_journal::{Journal, Warning};
use persea_model::{JobId, Tally};
use persea_plugin::Catalog;
use persea_spawner::Spawners;

/// The job of a host that has ended, to be resumed.
pub struct ResumedJob {
    /// The job's directory: an absolute path without links.
    pub directory: PathBuf,
    /// The job's journal, which keeps other hosts out.
    pub journal: Journal,
    /// What the journal says.
    pub stored: StoredJob,
    /// When the former host had ended for certain.
    pub since: Instant,
}

/// A job to be run.
pub struct Job {
    /// The job's id.
    pub id: JobId,
    /// The settings.
    pub config: Arc<Config>,
    /// The plugins.
    pub catalog: Arc<Catalog>,
    /// The spawners of the tests' processes: those of `spawners_of`.
    pub spawners: Spawners,
    /// The references, as the user gave them.
    pub references: Vec<String>,
    /// The job file that is the only reference, if the job has one.
    pub job_file: Option<String>,
    /// What the references were resolved to.
    pub resolved: Vec<Resolved>,
    /// The job of a host that has ended, which goes on with its own plan; none for a new job.
    pub resumed: Option<ResumedJob>,
    /// The plugins of the command line.
    pub command_plugins: CommandPlugins,
    /// Which of the resolved tests run.
    pub selection: Selection,
    /// Warnings about the references, for the journal and the reports.
    pub warnings: Vec<Warning>,
    /// Where the directories of jobs are made.
    pub results_root: PathBuf,
    /// The list of jobs that may have requirements to release.
    pub unreleased_jobs: UnreleasedJobs,
    /// The signals that end or pause the job, handled since before the first temporary file was
    /// made.
    pub signals: Signals,
}

/// The results of a job that has ended.
#[derive(Debug)]
pub struct Summary {
    /// The number of tasks by status.
    pub tally: Tally,
    /// The job's directory.
    pub directory: PathBuf,
    /// The job's duration, without the time for which it was paused.
    pub elapsed: Duration,
    /// The number of tasks that passed only after a retry.
    pub flaky: usize,
    /// The number of times that a slot's environment was replaced by one in another state.
    pub switches: usize,
    /// The number of tasks that were started.
    pub ran: usize,
    /// The number of warnings while the job ran.
    pub warnings: usize,
    /// Whether a signal, the job's timeout or a lost journal stopped the job.
    pub interrupted: bool,
    /// Whether tests have no result of their own because the job was stopped, so that it can be
    /// resumed.
    pub is_cut_short: bool,
    /// The requirements that could not be released, and why.
    pub unreleased: Vec<(String, String)>,
    /// The reports that could not be made.
    pub failed_reports: Vec<ReportError>,
}

impl Job {
    /// Runs the job from its plan to its reports.
    ///
    /// # Errors
    /// The job cannot be prepared, a signal stops it before its first task, or its directory, its
    /// journal or a report cannot be written.
    pub async fn run(mut self, screen: &mut Screen) -> Result<Summary, JobError> {
        let prepared = prepare::prepare(&mut self, screen).await?;
        let (mut opened, beginning) = start::start(&mut self, &prepared.plan)?;
        // The threads of the reports use the runtime until they end, so the job ends them also
        // where its tasks fail.
        let ran = tasks::run(self, prepared, beginning, &mut opened, screen).await;
        end::end(opened, ran, screen).await
    }
}
