//! Owns the plain data that the rest of the host passes around: runnable, requirement, task, case,
//! variation, status, outcome and names.
//!
//! Does not know about plugins, files or processes.

#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod attributes;
pub mod canonical;
mod case;
mod limits;
pub mod names;
mod spawner;
mod variation;
pub mod weight;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use attributes::{Attribute, Attributes};
pub use case::Case;
pub use limits::{Limit, Limits, written_size};
pub use spawner::SpawnerKind;
pub use variation::Variation;

/// How deep lists and objects may be nested in open data. A line of the journal nests them some
/// levels deeper, and is read as JSON with at most 128 levels.
pub const DEEPEST: usize = 100;

/// Something that a task needs in its environment before it can start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Requirement {
    /// The kind of requirement: it chooses the requirement resolver.
    pub kind: String,
    /// The required thing, where one string names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Arguments, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Keyword arguments, which the requirement resolver interprets.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub kwargs: Attributes,
    /// Open data for the host: `scope` and `label`.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub more: Attributes,
}

/// How long a requirement is kept fulfilled, the shortest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Until the end of the one task that has the requirement.
    Task,
    /// Until the end of the last task of the suite that has the requirement.
    Suite,
    /// Until the end of the job.
    Job,
    /// The requirement is never released.
    Keep,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Task, Self::Suite, Self::Job, Self::Keep];

    /// The name of the scope.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Suite => "suite",
            Self::Job => "job",
            Self::Keep => "keep",
        }
    }

    /// The scope with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// Something that can be run: what a resolver turns a reference into.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Runnable {
    /// The kind, which selects the runner.
    pub kind: String,
    /// What to run; the runner interprets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Arguments, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Keyword arguments, which the runner interprets.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub kwargs: Attributes,
    /// Changes to the environment variables: a value sets one, none removes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, Option<String>)>,
    /// Tags with their values; a flat tag has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<(String, Vec<String>)>,
    /// The requirements that are fulfilled before the task starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<Requirement>,
    /// The name that people see, where the resolver gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// Open data: `variant`, `config`, `timeout`.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub more: Attributes,
}

impl Runnable {
    /// The names by which other tasks may refer to its task: name or id, with and without its
    /// suite.
    pub fn names<'a>(&self, name: &'a str, id: &'a str) -> Vec<Cow<'a, str>> {
        let mut names = vec![Cow::Borrowed(name)];
        if id != name {
            names.push(Cow::Borrowed(id));
        }
        if let Some(suite) = self.suite() {
            names.push(Cow::Owned(suite.to_owned()));
            names.push(Cow::Owned(format!("{suite}:{name}")));
        }
        names
    }

    /// The suite that it belongs to.
    pub fn suite(&self) -> Option<&str> {
        self.more.get("suite").and_then(Attribute::as_str)
    }
}

/// How a task ended. The names are Avocado's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// The test passed.
    Pass,
    /// The test failed.
    Fail,
    /// The test could not be run, or its runner failed.
    Error,
    /// The test does not apply here, or was never started.
    Skip,
    /// The test passed with a warning.
    Warn,
    /// The test was cancelled: by itself, or because a requirement is not met.
    Cancel,
    /// The test was ended from outside: by a time-out or Ctrl-C.
    Interrupted,
}

impl Status {
    /// Every status, in the order of the totals.
    pub const ALL: [Self; 7] = [
        Self::Pass,
        Self::Error,
        Self::Fail,
        Self::Skip,
        Self::Warn,
        Self::Interrupted,
        Self::Cancel,
    ];

    /// The name, in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Error => "ERROR",
            Self::Skip => "SKIP",
            Self::Warn => "WARN",
            Self::Cancel => "CANCEL",
            Self::Interrupted => "INTERRUPTED",
        }
    }

    /// Whether the test passed, with or without a warning.
    pub const fn has_passed(self) -> bool {
        matches!(self, Self::Pass | Self::Warn)
    }

    /// Whether nothing about the test has to be mended.
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Pass | Self::Skip | Self::Warn | Self::Cancel)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How many tasks of a job, or cases of a task, ended with which status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Number of tasks that passed.
    pub pass: usize,
    /// Number of tasks that failed.
    pub fail: usize,
    /// Number of tasks in error.
    pub error: usize,
    /// Number of tasks that did not apply or were not started.
    pub skip: usize,
    /// Number of tasks that passed with a warning.
    pub warn: usize,
    /// Number of tasks that were cancelled.
    pub cancel: usize,
    /// Number of tasks that were ended from outside.
    pub interrupted: usize,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, status: Status) {
        *self.slot(status) += 1;
    }

    /// The number with this status.
    pub fn get(&self, status: Status) -> usize {
        *self.clone().slot(status)
    }

    /// The number of tasks or cases that have ended, whatever their status.
    pub fn total(&self) -> usize {
        Status::ALL.iter().map(|status| self.get(*status)).sum()
    }

    fn slot(&mut self, status: Status) -> &mut usize {
        match status {
            Status::Pass => &mut self.pass,
            Status::Fail => &mut self.fail,
            Status::Error => &mut self.error,
            Status::Skip => &mut self.skip,
            Status::Warn => &mut self.warn,
            Status::Cancel => &mut self.cancel,
            Status::Interrupted => &mut self.interrupted,
        }
    }
}

/// The position of a task in its job's plan, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskIndex(pub usize);

impl TaskIndex {
    /// The number of the task for people, in the journal and in reports, from 1.
    pub const fn number(self) -> usize {
        self.0 + 1
    }
}

/// A runnable that is run once in one job. A job may have millions, so equal texts and equal
/// runnables are shared.
#[derive(Clone, Debug)]
pub struct Task {
    /// The position in the plan.
    pub index: TaskIndex,
    /// The id, unique in the job: `12-tests/a.py:T.test;variant`.
    pub id: Arc<str>,
    /// The runnable's identifier.
    pub name: Arc<str>,
    /// The title, unique in the job and the same in every job of the same references: the name with
    /// the suite before it and the variant after it, and a number where several tasks would have
    /// one title, as `suite:name;variant (2)`.
    pub title: Arc<str>,
    /// The name of the task's directory below `test-results/`.
    pub directory: Arc<str>,
    /// The runnable.
    pub runnable: Arc<Runnable>,
}

/// How a task ended, as its runner reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The status.
    pub status: Status,
    /// The reason, in a line.
    pub reason: Option<String>,
    /// Open data for reports, such as `returncode`.
    pub more: Attributes,
}

impl Outcome {
    /// An outcome with a reason.
    pub fn new(status: Status, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: Some(reason.into()),
            more: Attributes::new(),
        }
    }

    /// The name in `more` that blames the environment and not the test.
    pub const INFRASTRUCTURE: &'static str = "infrastructure";

    /// Blames the environment: another attempt may succeed.
    #[must_use]
    pub fn with_infrastructure(mut self) -> Self {
        self.more.insert(Self::INFRASTRUCTURE.into(), true.into());
        self
    }

    /// Whether the environment is to blame and not the test.
    pub fn is_infrastructure(&self) -> bool {
        self.more.get(Self::INFRASTRUCTURE) == Some(&true.into())
    }

    /// An outcome without a reason.
    pub fn bare(status: Status) -> Self {
        Self {
            status,
            reason: None,
            more: Attributes::new(),
        }
    }
}

/// A job's id: 40 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobId(String);

impl JobId {
    /// Takes 40 hexadecimal digits as an id; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()))
            .then(|| Self(text.to_ascii_lowercase()))
    }

    /// An id of 20 random bytes.
    pub fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first digits, which name the job's directory.
    pub fn short(&self, digits: usize) -> &str {
        self.0.get(..digits).unwrap_or(&self.0)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_every_status_once() {
        let mut tally = Tally::default();
        for status in Status::ALL {
            tally.add(status);
        }
        assert_eq!(tally.total(), 7);
        for status in Status::ALL {
            assert_eq!(tally.get(status), 1, "{status}");
        }
    }

    #[test]
    fn a_job_id_is_forty_hexadecimal_digits() {
        assert!(JobId::parse(&"a".repeat(39)).is_none());
        assert!(JobId::parse(&"g".repeat(40)).is_none());
        let id = JobId::parse(&"AB".repeat(20));
        assert_eq!(id.as_ref().map(|id| id.short(7)), Some("abababa"));
        assert_eq!(JobId::from_bytes([0xab; 20]).as_str(), "ab".repeat(20));
    }
}
