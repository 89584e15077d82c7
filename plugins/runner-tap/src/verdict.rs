//! How a TAP stream ended, as reports get it.

use persea_plugin_sdk::prelude::Status;

/// What a whole TAP stream comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// PASS, FAIL, ERROR, SKIP or WARN.
    pub status: Status,
    /// Why, in a line, for every status but PASS.
    pub reason: Option<String>,
    /// Test points that passed, also those marked TODO that did not. A point stands for its subtest.
    pub passed: u64,
    /// Test points that failed.
    pub failed: u64,
    /// Test points that were skipped.
    pub skipped: u64,
    /// The number of the first line of which only the beginning was read, if there was one.
    pub cut_line: Option<u64>,
}

impl Verdict {
    /// The reason where a stream holds neither a test point nor a plan.
    pub const NO_TAP: &str = "no TAP in the output";
}
