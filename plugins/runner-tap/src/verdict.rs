//! Owns the result of a TAP stream.

use persea_plugin_sdk::prelude::Status;

/// Result of a whole TAP stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// PASS, FAIL, ERROR, SKIP or WARN.
    pub status: Status,
    /// The reason on one line, for every status but PASS.
    pub reason: Option<String>,
    /// Number of test points that passed or are marked TODO. A subtest counts as the one point that
    /// reports it.
    pub passed: u64,
    /// Number of test points that failed.
    pub failed: u64,
    /// Number of test points that were skipped.
    pub skipped: u64,
    /// Number of the first line that was longer than [`LINE_LIMIT`](crate::LINE_LIMIT), if any.
    pub truncated_line: Option<u64>,
}

impl Verdict {
    /// Reason of a stream that has neither a test point nor a plan.
    pub const NO_TAP: &str = "no TAP in the output";
}
