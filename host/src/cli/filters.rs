//! Owns the options that choose tests, and what is said about a filter that cannot be read.

use clap::Args;

use super::{Failure, exit};
use persea_config::{Config, settings};
use persea_filter::FilterError;
use persea_job::Selection;

/// The longest filter that a message shows with a mark, in characters.
const LONGEST_SHOWN: usize = 200;

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
        let report = miette::miette!(
            help = "the chapter Filters of the book describes the language",
            "a filter: {}\n{}",
            error.fault,
            marked(&error)
        );
        Failure::new(exit::FAIL, report)
    })
}

/// The filter, and below it a mark at the place of its fault.
fn marked(error: &FilterError) -> String {
    let filter = &error.filter;
    if filter.chars().count() > LONGEST_SHOWN || filter.contains(char::is_control) {
        return format!("at byte {} of {filter:.LONGEST_SHOWN$?}", error.span.start);
    }
    let before = filter.get(..error.span.start).unwrap_or_default();
    let fault = filter.get(error.span.clone()).unwrap_or_default();
    let marks = "^".repeat(fault.chars().count().max(1));
    format!(
        "  {filter}\n  {}{marks}",
        " ".repeat(before.chars().count())
    )
}
