//! The world `runner`: its trait, its data, and the adapter between them and the generated code.

use crate::attributes::{Attributes, Value};
use crate::bindings::runner as raw;
use crate::bindings::types;
use crate::error::Error;
use crate::export::{Adapter, Exported, start};
use crate::model::{Description, Runnable, Status};

/// Runs tasks of the kinds that it declares.
///
/// Powers: [`log`](crate::log), [`process`](crate::process), [`status`](crate::status).
pub trait Runner {
    /// Says what the plugin is. Pure and quick: no power may be used but [`log`](crate::log).
    fn describe() -> Description;

    /// Runs a task to its end. Each call is made in a sandbox of its own.
    ///
    /// When the task's time is up, or the user interrupts, its processes get SIGTERM, and SIGKILL after a grace period:
    /// the runner sees them end, and has that period to return. What it returns then adds to the result.
    ///
    /// # Errors
    /// An error ends the task with status ERROR.
    fn run(task: Task) -> Result<Outcome, Error>;
}

/// One runnable to be run once.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Unique in its job: `12-tests/a.py:T.test;variant`.
    pub id: String,
    /// The job's id: 40 hexadecimal digits.
    pub job_id: String,
    /// What to run.
    pub runnable: Runnable,
    /// The configuration keys that the plugin described, with their values for this task.
    pub settings: Attributes,
    /// Open data: `output-dir`, `work-dir`, `job-temp-dir` (text) and `timeout` (number, seconds).
    pub more: Attributes,
}

impl Task {
    /// A task as a test of a runner makes it; the job's id is forty zeros.
    pub fn new(id: impl Into<String>, runnable: Runnable) -> Self {
        Self {
            id: id.into(),
            job_id: "0".repeat(40),
            runnable,
            settings: Attributes::new(),
            more: Attributes::new(),
        }
    }

    /// Sets a configuration key.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.insert(name, value);
        self
    }

    /// Sets a name of the open data.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }

    /// The directory, in the task's environment, for what it leaves.
    pub fn output_dir(&self) -> Option<&str> {
        self.more.text("output-dir")
    }

    /// The directory, in the task's environment, for what it needs only while it runs.
    pub fn work_dir(&self) -> Option<&str> {
        self.more.text("work-dir")
    }

    /// The directory, in the task's environment, that all tasks of the job share.
    pub fn job_temp_dir(&self) -> Option<&str> {
        self.more.text("job-temp-dir")
    }
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended, in a word.
    pub status: Status,
    /// Why, in a line.
    pub reason: Option<String>,
    /// Open data for reports. Known names: `returncode` (integer), `class-name`, `failure-type`, `traceback` (text); of a task in a batch also
    /// `left-behind` (integer): the processes that it left and that were ended.
    pub more: Attributes,
}

impl Outcome {
    /// An outcome of any status.
    pub fn new(status: Status, reason: Option<String>) -> Self {
        Self {
            status,
            reason,
            more: Attributes::new(),
        }
    }

    /// It did what it should.
    pub fn pass() -> Self {
        Self::new(Status::Pass, None)
    }

    /// It did not do what it should.
    pub fn fail(reason: impl Into<String>) -> Self {
        Self::new(Status::Fail, Some(reason.into()))
    }

    /// It could not be run.
    pub fn error(reason: impl Into<String>) -> Self {
        Self::new(Status::Error, Some(reason.into()))
    }

    /// It did not apply here.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self::new(Status::Skip, Some(reason.into()))
    }

    /// It passed, but something wants to be looked at.
    pub fn warn(reason: impl Into<String>) -> Self {
        Self::new(Status::Warn, Some(reason.into()))
    }

    /// It was taken back.
    pub fn cancel(reason: impl Into<String>) -> Self {
        Self::new(Status::Cancel, Some(reason.into()))
    }

    /// Sets a name of the open data.
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
