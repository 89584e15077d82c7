//! Owns a case: one result inside a task, such as a TAP point or a test of a file. Does not know
//! who reports cases or where they are kept.

use std::time::Duration;

use crate::{Attributes, Status};

/// A case that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The names from the outermost to the case's own; never empty.
    pub path: Vec<String>,
    /// How the case ended.
    pub status: Status,
    /// The running time; none where the runner did not report it. The host then measures from the
    /// start of the case, if that was reported.
    pub elapsed: Option<Duration>,
    /// The reason for the status, in a line.
    pub reason: Option<String>,
    /// Open data for reports, such as `class-name` or `output`.
    pub more: Attributes,
}

impl Case {
    /// Returns the name of a case for people: `suite > case > subcase`.
    pub fn title(path: &[String]) -> String {
        path.join(" > ")
    }
}
