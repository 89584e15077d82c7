//! Runnable, task, status and result: plain data that the rest of the host passes around.
//!
//! Owns the names and shapes; has no behaviour that needs the world, and knows nothing of plugins, files or processes.

#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod attributes;
pub mod canonical;
pub mod names;
mod spawner;
pub mod weight;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use attributes::{Attribute, Attributes};
pub use spawner::SpawnerKind;

/// How deep lists and objects may be within each other in open data. The journal's lines hold them some levels deeper, and are read as
/// JSON that may have 128.
pub const DEEPEST: usize = 100;

/// Something that a task needs in its environment before it can start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Requirement {
    /// The kind of requirement: it chooses the requirement resolver.
    pub kind: String,
    /// The thing itself, where one string names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Arguments, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Everything else that was declared.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub kwargs: Attributes,
}

/// For how long a requirement is to last, the shortest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// For the one task that has it; then it is released.
    Task,
    /// Until all tasks of a suite that have it have ended.
    Suite,
    /// Until the end of the job.
    Job,
    /// It is never released.
    Keep,
}

impl Scope {
    /// Reads its name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "task" => Some(Self::Task),
            "suite" => Some(Self::Suite),
            "job" => Some(Self::Job),
            "keep" => Some(Self::Keep),
            _ => None,
        }
    }
}

/// Something that can be run: what a resolver makes of a reference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Runnable {
    /// The kind: it chooses the runner.
    pub kind: String,
    /// What to run, in the words of the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Arguments, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Keyword arguments, in the words of the kind.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub kwargs: Attributes,
    /// Changes to the environment variables: a value sets one, none removes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, Option<String>)>,
    /// Tags with their values; a flat tag has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<(String, Vec<String>)>,
    /// What must be there before it can start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<Requirement>,
    /// The name that people see, where the resolver gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// Open data: `variant`, `config`, `timeout`.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub more: Attributes,
}

impl Runnable {
    /// What others may call its task: by the name or the id that it has there, by its suite, or by both.
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
    /// It did what it should.
    Pass,
    /// It did not do what it should.
    Fail,
    /// It could not be run, or its runner failed.
    Error,
    /// It did not apply here, or was never started.
    Skip,
    /// It passed, but something wants to be looked at.
    Warn,
    /// It was taken back, by itself or because a requirement was not met.
    Cancel,
    /// It was ended from outside: a time-out, Ctrl-C.
    Interrupted,
}

impl Status {
    /// Every status, in the order in which the totals are shown.
    pub const ALL: [Self; 7] = [
        Self::Pass,
        Self::Error,
        Self::Fail,
        Self::Skip,
        Self::Warn,
        Self::Interrupted,
        Self::Cancel,
    ];

    /// The name as people see it, in capitals.
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

    /// Whether the task did what it should, with or without a warning.
    pub const fn has_passed(self) -> bool {
        matches!(self, Self::Pass | Self::Warn)
    }

    /// Whether the task ran without anything to be mended.
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Pass | Self::Skip | Self::Warn | Self::Cancel)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How many tasks ended with which status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Tasks that passed.
    pub pass: usize,
    /// Tasks that failed.
    pub fail: usize,
    /// Tasks in error.
    pub error: usize,
    /// Tasks that did not apply or were not started.
    pub skip: usize,
    /// Tasks that passed with a warning.
    pub warn: usize,
    /// Tasks that were taken back.
    pub cancel: usize,
    /// Tasks that were ended from outside.
    pub interrupted: usize,
}

impl Tally {
    /// Counts one more task.
    pub fn add(&mut self, status: Status) {
        *self.slot(status) += 1;
    }

    /// How many ended with this status.
    pub fn get(&self, status: Status) -> usize {
        *self.clone().slot(status)
    }

    /// How many ended, whatever their status.
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

/// One runnable to be run once in one job.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its place in the plan, from 0.
    pub index: usize,
    /// Unique in its job: `12-tests/a.py:T.test;variant`.
    pub id: String,
    /// The runnable's identifier.
    pub name: String,
    /// What people call it, unique in its job: the name with its suite before it and its variant after it, and a number
    /// where several tasks would have the same, as `suite:name;variant (2)`. The same in every job of the same references.
    pub title: String,
    /// The name of its directory below `test-results/`.
    pub directory: String,
    /// What is to be run.
    pub runnable: Runnable,
}

/// How a task ended, with all that its runner said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How.
    pub status: Status,
    /// Why, in a line.
    pub reason: Option<String>,
    /// Open data for reports, as `returncode`.
    pub more: Attributes,
}

impl Outcome {
    /// An outcome with a reason and no more.
    pub fn new(status: Status, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: Some(reason.into()),
            more: Attributes::new(),
        }
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

    /// The first digits, as directories are named by.
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
