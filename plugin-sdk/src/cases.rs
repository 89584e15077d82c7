//! The power `cases`: results inside the current task, such as the points of a TAP document or the
//! tests of a file. The task's own status is what its runner returns; the host derives nothing from
//! cases.
//!
//! A case has a path of names, from the outermost to its own: `["suite", "case", "subcase"]`. A
//! path has at most 64 names, of 4 KiB together. The host numbers a path that is finished again.
//! The starts and ends of cases of one task are limited in number and in size: 1,000,000 and 128
//! MiB by default (`plugins.limits.cases`, `plugins.limits.cases_mb`).
//!
//! ```
//! use persea_plugin_sdk::Status;
//! use persea_plugin_sdk::cases::{self, Case};
//! # let host = persea_plugin_sdk::testing::Host::new().install();
//!
//! cases::start(["login", "as guest"])?;
//! cases::finish([
//!     Case::new(["login", "as guest"], Status::Fail).reason("the form is missing"),
//!     Case::new(["logout"], Status::Pass),
//! ])?;
//! # assert_eq!(host.cases().len(), 2);
//! # Ok::<(), persea_plugin_sdk::Error>(())
//! ```

use crate::attributes::{Attributes, Value};
use crate::backend;
use crate::bindings::cases as raw;
use crate::error::Error;
use crate::model::{Status, strings};
use std::time::Duration;

/// A case that has ended.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Case {
    /// The names, from the outermost to the case's own.
    pub path: Vec<String>,
    /// How the case ended.
    pub status: Status,
    /// The running time; none: since the case's [`start`], where there was one.
    pub duration: Option<Duration>,
    /// The reason for the status, in one line. The host cuts it at 64 KiB.
    pub reason: Option<String>,
    /// Further data for reports. Known names: `class-name`, `file`, `failure-type`, `traceback` and
    /// `output` (text), `line` (integer).
    pub more: Attributes,
}

impl Case {
    /// Creates a case without a duration and a reason.
    pub fn new<I: IntoIterator<Item: Into<String>>>(path: I, status: Status) -> Self {
        Self {
            path: strings(path),
            status,
            duration: None,
            reason: None,
            more: Attributes::new(),
        }
    }

    /// Sets the running time.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }

    /// Sets the reason for the status.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Sets an entry of [`more`](Self::more).
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

impl From<Case> for raw::Finished {
    fn from(case: Case) -> Self {
        Self {
            path: case.path,
            status: case.status,
            duration: case
                .duration
                .map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
            reason: case.reason,
            more: case.more.0,
        }
    }
}

/// Says that a case is running. People see it as long as it runs; if the task is ended meanwhile,
/// the case is INTERRUPTED, so that a hang names its case. A case that is not finished when its
/// task returns is ERROR.
///
/// # Errors
/// `invalid` for a path that is empty or too long, `limit`, `not-permitted`.
pub fn start<I: IntoIterator<Item: Into<String>>>(path: I) -> Result<(), Error> {
    backend::case_start(strings(path))
}

/// Reports cases that have ended, whether they were started or not. Many cases in one call cost
/// less than a call for each.
///
/// # Errors
/// `invalid` for a path that is empty or too long, `limit`, `not-permitted`. With an error the host
/// has taken the cases before the wrong one.
pub fn finish(cases: impl Into<Vec<Case>>) -> Result<(), Error> {
    backend::case_finish(cases.into())
}
