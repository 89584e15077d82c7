//! Owns the settings of the page: how much output it holds.

use persea_plugin_sdk::prelude::*;

pub(crate) const MAX_OUTPUT_KB: Setting<Integer> =
    Setting::integer("job.run.result.html.max_output_kb")
        .default(64)
        .at_least(0.0)
        .summary("How much of each file of a test that did not pass goes into the page, in KiB");

pub(crate) const MAX_TOTAL_OUTPUT_MB: Setting<Integer> =
    Setting::integer("job.run.result.html.max_total_output_mb")
        .default(64)
        .at_least(0.0)
        .summary("How much output of all tests goes into the page, in MiB");

/// The settings of a job's page.
#[derive(Debug, PartialEq)]
pub(crate) struct Settings {
    /// Limit of each shown file of a test, in bytes.
    pub(crate) max_output: u64,
    /// Limit of all shown files of all tests, in bytes.
    pub(crate) max_total_output: u64,
}

impl Settings {
    pub(crate) fn read(settings: &Attributes) -> Self {
        let bytes = |number: i64, unit: u64| {
            u64::try_from(number)
                .unwrap_or_default()
                .saturating_mul(unit)
        };
        Self {
            max_output: bytes(MAX_OUTPUT_KB.get(settings), 1 << 10),
            max_total_output: bytes(MAX_TOTAL_OUTPUT_MB.get(settings), 1 << 20),
        }
    }
}
