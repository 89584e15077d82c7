//! Owns the options that choose tests, and what is said about a filter that cannot be read.

use clap::Args;
use miette::LabeledSpan;

use super::{Failure, exit};
use persea_config::{Config, settings};
use persea_job::Selection;

/// The options that choose tests.
#[derive(Debug, Args)]
pub(super) struct Filters {
    /// Choose tests by name, kind, tag, suite, requirement or last result, such as
    /// `--filter 'kind(pytest) & !tag(slow)'` (repeatable: one of them is enough)
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Leave out the tests for which this filter holds (repeatable)
    #[arg(long, value_name = "FILTER")]
    exclude: Vec<String>,
}

impl Filters {
    /// Sets the options' settings.
    pub(super) fn configure(&self, config: &mut Config) {
        for (key, filters) in [
            (settings::RUN_FILTER, &self.filter),
            (settings::RUN_EXCLUDE, &self.exclude),
        ] {
            if !filters.is_empty() {
                config.set_option(key, filters.clone());
            }
        }
    }
}

/// Reads the filters of the configuration.
pub(super) fn selection(config: &Config) -> Result<Selection, Failure> {
    Selection::new(config).map_err(|error| {
        let label = LabeledSpan::at(error.span, "here");
        let report = miette::miette!(
            labels = vec![label],
            help = "the chapter Filters of the book describes the language",
            "a filter: {}",
            error.fault
        );
        Failure::new(exit::FAIL, report.with_source_code(error.filter))
    })
}
