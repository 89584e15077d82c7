//! Owns the events of cases: results inside a task. Does not know about how many cases a task may
//! have, or who reports them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use persea_model::{Attributes, Status};

/// A case of the task runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseStarted<'a> {
    /// The names from the outermost to the case's own.
    pub path: Cow<'a, [String]>,
}

/// A case of the task has ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseFinished<'a> {
    /// The names from the outermost to the case's own, unique in one attempt of the task as far as
    /// the host numbers repeated ones.
    pub path: Cow<'a, [String]>,
    /// The result.
    pub status: Status,
    /// The duration in nanoseconds, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed: Option<u64>,
    /// The reason for the result, on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// Open data from the runner, without the names of the fields above.
    #[serde(flatten)]
    pub more: Cow<'a, Attributes>,
}

impl CaseFinished<'_> {
    /// The names of `case-finished` that belong to the host. A runner's data under these names is
    /// dropped.
    pub const RESERVED: [&'static str; 4] = ["path", "status", "elapsed", "reason"];
}

/// A case that has ended, as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownCase {
    /// The names from the outermost to the case's own, in one text.
    pub title: String,
    /// The result.
    pub status: Status,
    /// The reason for the result, or its beginning.
    pub reason: Option<String>,
}
