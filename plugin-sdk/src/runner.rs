//! Owns the world `runner`: its trait, its data, and the adapter to the generated code.

use crate::attributes::{Attributes, Value};
use crate::bindings::runner as raw;
use crate::bindings::types;
use crate::error::Error;
use crate::export::{Adapter, start};
use crate::json;
use crate::model::{Runnable, Status, strings};
use std::time::Duration;

/// Runs tasks of the kinds that its [role](crate::Role::runner) names. The
/// [crate's documentation](crate) has an example.
///
/// Powers: [`log`](crate::log), [`process`](crate::process), [`messages`](crate::messages),
/// [`artifacts`](crate::artifacts), [`cases`](crate::cases), [`poll`](crate::poll),
/// [`monotonic_clock`](crate::monotonic_clock).
pub trait Runner {
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
    /// The plugin's settings, with their values for this task.
    pub settings: Attributes,
    /// Further data. The host sets these directories, each an absolute path in the task's
    /// environment:
    ///
    /// * `output-dir` (text): for the files that the task leaves as results
    /// * `work-dir` (text): for temporary files; empty when the task starts
    /// * `job-temp-dir` (text): shared by all tasks of the job
    /// * `project-dir` (text): the working directory of the task's processes
    ///
    /// and, where the task has them:
    ///
    /// * `timeout` (integer, nanoseconds): the limit on its running time
    /// * `leases` (json, an object of lists of texts): the instances of each resource that the task
    ///   holds
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

    /// The working directory of the task's processes, in its environment.
    pub fn project_dir(&self) -> Option<&str> {
        self.more.text("project-dir")
    }

    /// The limit on the task's running time.
    pub fn timeout(&self) -> Option<Duration> {
        self.more.duration("timeout")
    }

    /// The instances of a resource that the task holds.
    pub fn leases(&self, resource: &str) -> Vec<String> {
        leases(&self.more, resource)
    }

    /// Adds instances of a resource that the task holds, for unit tests.
    #[must_use]
    pub fn lease<I: IntoIterator<Item: Into<String>>>(
        mut self,
        resource: impl Into<String>,
        instances: I,
    ) -> Self {
        add_lease(&mut self.more, resource.into(), strings(instances));
        self
    }
}

/// Reads the instances of a resource from `leases`.
pub(crate) fn leases(more: &Attributes, resource: &str) -> Vec<String> {
    let all = more.json("leases").and_then(json::texts_by_name);
    let mut all = all.unwrap_or_default().into_iter();
    let of_resource = all.find(|(name, _)| name == resource);
    of_resource.map_or_else(Vec::new, |(_, instances)| instances)
}

/// Adds the instances of a resource to `leases`.
pub(crate) fn add_lease(more: &mut Attributes, resource: String, instances: Vec<String>) {
    let all = more.json("leases").and_then(json::texts_by_name);
    let mut all = all.unwrap_or_default();
    all.push((resource, instances));
    more.insert("leases", Value::Json(json::lists(all)));
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
    ///
    /// The host understands `infrastructure` (boolean): the environment is to blame and not the
    /// test, so another attempt may succeed. The setting `run.retry_on` decides whether there is
    /// one.
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

    /// ERROR because of the environment and not of the test: another attempt may succeed, and the
    /// setting `run.retry_on` decides whether there is one.
    pub fn infrastructure(reason: impl Into<String>) -> Self {
        Self::error(reason).with("infrastructure", true)
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

impl<P: Runner> raw::Guest for Adapter<P> {
    fn run(task: raw::Task) -> Result<raw::Outcome, raw::Error> {
        start();
        Ok(P::run(task.into())?.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_and_timeout_are_read() {
        let task = Task::new("1", Runnable::new("k"))
            .lease("board", ["b1", "b2"])
            .lease("port", ["p"])
            .with("timeout", Duration::from_secs(3));
        assert_eq!(task.leases("board"), ["b1", "b2"]);
        assert_eq!(task.leases("port"), ["p"]);
        assert_eq!(task.leases("licence"), [""; 0]);
        assert_eq!(task.timeout(), Some(Duration::from_secs(3)));
    }
}
