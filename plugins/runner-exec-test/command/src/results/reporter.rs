//! Owns the report of cases while tests run. The result of a task does not depend on its cases, so
//! a host that takes no more of them is only a warning.

use persea_plugin_sdk::Error;
use persea_plugin_sdk::cases::{self, Case};

use super::result::bounded;

/// The most cases that one call reports.
const AT_ONCE: usize = 1_000;

/// Reports cases until the host takes no more.
#[derive(Debug, Default)]
pub struct CaseReporter {
    is_refused: bool,
}

impl CaseReporter {
    /// Reports cases that have ended.
    pub fn finish(&mut self, mut cases: Vec<Case>) {
        while !cases.is_empty() && !self.is_refused {
            let rest = cases.split_off(cases.len().min(AT_ONCE));
            let reported = cases::finish(cases);
            self.check(reported);
            cases = rest;
        }
    }

    /// Reports that a case runs.
    pub fn start(&mut self, path: Vec<String>) {
        if !self.is_refused {
            let started = cases::start(bounded(path));
            self.check(started);
        }
    }

    fn check(&mut self, reported: Result<(), Error>) {
        if let Err(error) = reported
            && !self.is_refused
        {
            self.is_refused = true;
            log::warn!("later tests are not cases: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use persea_plugin_sdk::Status;
    use persea_plugin_sdk::testing::Host;

    use super::*;

    #[test]
    fn all_cases_are_reported_in_parts() {
        let host = Host::new().install();
        let mut reporter = CaseReporter::default();
        reporter.start(vec!["t0".to_owned()]);
        let case = |number| Case::new([format!("t{number}")], Status::Pass);
        reporter.finish((0..2 * AT_ONCE + 1).map(case).collect());
        assert_eq!(host.cases().len(), 2 * AT_ONCE + 1);
        assert_eq!(host.started_cases(), [["t0"]]);
    }

    #[test]
    fn refusal_ends_the_report_with_one_warning() {
        let full = Error::new("limit", "no more cases");
        let host = Host::new().fault("cases.finish", full).install();
        let mut reporter = CaseReporter::default();
        reporter.finish(vec![Case::new(["a"], Status::Pass)]);
        reporter.finish(vec![Case::new(["b"], Status::Pass)]);
        reporter.start(vec!["c".to_owned()]);
        assert_eq!(host.log().len(), 1, "{:?}", host.log());
        assert!(host.started_cases().is_empty());
    }
}
