//! Owns the world `runner`: its trait, its data, and the adapter to the generated code.

use crate::attributes::{Attributes, Value};
use crate::bindings::runner as raw;
use crate::bindings::types;
use crate::error::Error;
use crate::export::{Adapter, Exported, start};
use crate::model::{Description, Runnable, Status};

/// Runs tasks of the kinds that its description names. The [crate's documentation](crate) has an
/// example.
///
/// Powers: [`log`](crate::log), [`process`](crate::process), [`status`](crate::status).
pub trait Runner {
    /// Describes the plugin. The host calls this in an instance of its own when it loads the
    /// plugin. It must be pure and quick (10 s by default), and may use no power but
    /// [`log`](crate::log).
    fn describe() -> Description;

    /// Runs one task to its end. Each call gets an instance of its own.
    ///
    /// When the task times out or the user interrupts it, its processes get SIGTERM, and SIGKILL
    /// after a grace period. The runner sees them end, and must return within the grace period. The
    /// task's status is then INTERRUPTED; the returned outcome only adds to the result.
    ///
    /// # Errors
    /// An error ends the task with status ERROR.
    fn run(task: Task) -> Result<Outcome, Error>;
}

/// A runnable that is to be run once in a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The task's id, unique within the job: `12-tests/a.py:T.test;variant`.
    pub id: String,
    /// The job's id: 40 hexadecimal digits.
    pub job_id: String,
    /// What to run.
    pub runnable: Runnable,
    /// The settings that the plugin's description asks for, with their values for this task.
    pub settings: Attributes,
    /// Further data. The host sets these directories, each an absolute path in the task's
    /// environment:
    ///
    /// * `output-dir` (text): for the files that the task leaves as results
    /// * `work-dir` (text): for temporary files; empty when the task starts
    /// * `job-temp-dir` (text): shared by all tasks of the job
    /// * `project-dir` (text): the working directory of the task's processes
    ///
    /// and `timeout` (number, seconds), where the task has one.
    pub more: Attributes,
}

impl Task {
    /// Creates a task without settings and directories, for unit tests. The job's id is forty
    /// zeros.
    pub fn new(id: impl Into<String>, runnable: Runnable) -> Self {
        Self {
            id: id.into(),
            job_id: "0".repeat(40),
            runnable,
            settings: Attributes::new(),
            more: Attributes::new(),
        }
    }

    /// Sets the value of a setting.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.insert(name, value);
        self
    }

    /// Sets an entry of [`more`](Self::more).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }

    /// The directory for the files that the task leaves as results, in its environment.
    pub fn output_dir(&self) -> Option<&str> {
        self.more.text("output-dir")
    }

    /// The directory for temporary files, in the task's environment; empty when the task starts.
    pub fn work_dir(&self) -> Option<&str> {
        self.more.text("work-dir")
    }

    /// The directory that all tasks of the job share, in the task's environment.
    pub fn job_temp_dir(&self) -> Option<&str> {
        self.more.text("job-temp-dir")
    }
}

/// The result of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How the task ended.
    pub status: Status,
    /// The reason for the status, in one line. Every status but PASS should have one.
    pub reason: Option<String>,
    /// Further data for reports. Known names: `returncode` (integer), `class-name`, `failure-type`
    /// and `traceback` (text), and for a task of a batch `left-behind` (integer): how many
    /// processes the task left running, all of which were ended.
    pub more: Attributes,
}

impl Outcome {
    /// Creates an outcome with any status.
    pub fn new(status: Status, reason: Option<String>) -> Self {
        Self {
            status,
            reason,
            more: Attributes::new(),
        }
    }

    /// PASS: the test ran and succeeded.
    pub fn pass() -> Self {
        Self::new(Status::Pass, None)
    }

    /// FAIL: the test ran and failed.
    pub fn fail(reason: impl Into<String>) -> Self {
        Self::new(Status::Fail, Some(reason.into()))
    }

    /// ERROR: the test could not be run, or its runner failed.
    pub fn error(reason: impl Into<String>) -> Self {
        Self::new(Status::Error, Some(reason.into()))
    }

    /// SKIP: the test does not apply in this environment.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self::new(Status::Skip, Some(reason.into()))
    }

    /// WARN: the test succeeded, but with something that somebody should look at.
    pub fn warn(reason: impl Into<String>) -> Self {
        Self::new(Status::Warn, Some(reason.into()))
    }

    /// CANCEL: the test was cancelled.
    pub fn cancel(reason: impl Into<String>) -> Self {
        Self::new(Status::Cancel, Some(reason.into()))
    }

    /// Sets an entry of [`more`](Self::more).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

impl<E: Exported> raw::Guest for Adapter<E>
where
    E::Plugin: Runner,
{
    fn run(task: raw::Task) -> Result<raw::Outcome, raw::Error> {
        start();
        Ok(E::Plugin::run(task.into())?.into())
    }
}

impl From<types::Task> for Task {
    fn from(task: types::Task) -> Self {
        Self {
            id: task.id,
            job_id: task.job_id,
            runnable: task.runnable.into(),
            settings: Attributes(task.settings),
            more: Attributes(task.more),
        }
    }
}

impl From<Outcome> for types::Outcome {
    fn from(outcome: Outcome) -> Self {
        Self {
            status: outcome.status,
            reason: outcome.reason,
            more: outcome.more.0,
        }
    }
}
