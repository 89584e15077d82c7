//! Owns the outcome of a session: counts of its tests, what went wrong beside them, and what both
//! mean for the task.

use std::collections::BTreeMap;

use persea_plugin_sdk::{Outcome, Status};

use super::result::{TestResult, Verdict, shown};

/// How many tests a reason names.
const NAMED: usize = 3;

/// The longest name of a test in a reason, in characters.
const SHOWN: usize = 200;

/// Counts of tests, by their verdict.
#[derive(Debug, Default)]
pub struct Tally {
    counts: BTreeMap<Verdict, u64>,
    /// The first tests of each verdict.
    named: BTreeMap<Verdict, Vec<String>>,
    skip_reason: Option<String>,
    problems: Vec<Problem>,
}

/// Something that went wrong and belongs to no test.
#[derive(Debug)]
struct Problem {
    /// Whether it is known that the tests have not passed.
    is_failure: bool,
    reason: String,
}

impl Tally {
    /// Counts the result of a test.
    pub fn add(&mut self, result: &TestResult) {
        *self.counts.entry(result.verdict).or_default() += 1;
        let named = self.named.entry(result.verdict).or_default();
        if named.len() < NAMED {
            named.push(shown(&result.name, SHOWN));
        }
        if result.verdict == Verdict::Skipped && self.skip_reason.is_none() {
            self.skip_reason.clone_from(&result.reason);
        }
    }

    /// Adds the failure of a program that no test has.
    pub fn add_failure(&mut self, reason: String) {
        self.problems.push(Problem {
            is_failure: true,
            reason,
        });
    }

    /// Adds the reason why it is not known whether the tests pass.
    pub fn add_error(&mut self, reason: String) {
        self.problems.push(Problem {
            is_failure: false,
            reason,
        });
    }

    /// Whether there is neither a result nor a problem.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.problems.is_empty()
    }

    /// Whether some test has failed.
    pub fn has_failures(&self) -> bool {
        self.number(Verdict::Failed) > 0
    }

    /// Whether there are tests, and all were skipped.
    pub fn is_all_skipped(&self) -> bool {
        self.number(Verdict::Skipped) > 0 && self.counts.len() == 1
    }

    /// The reason of the problems; none where there are none.
    pub fn problem(&self) -> Option<Outcome> {
        let reasons: Vec<&str> = self.problems.iter().map(|it| it.reason.as_str()).collect();
        let reason = reasons.join("; ");
        match self.problems.iter().any(|problem| problem.is_failure) {
            _ if self.problems.is_empty() => None,
            true => Some(Outcome::fail(reason)),
            false => Some(Outcome::error(reason)),
        }
    }

    /// The outcome of a session.
    pub fn outcome(&self) -> Outcome {
        let mut parts = Vec::new();
        for (verdict, words) in [(Verdict::Failed, "failed"), (Verdict::Unknown, "in error")] {
            let count = self.number(verdict);
            if count > 0 {
                parts.push(format!("{count} {words} ({})", self.names(verdict, count)));
            }
        }
        let bad = self.number(Verdict::Failed) + self.number(Verdict::Unknown);
        let others = self.counts.values().sum::<u64>() - bad;
        if others > 0 && !parts.is_empty() {
            parts.push(format!("{others} others"));
        }
        let problem = self.problem();
        let is_failure = |problem: &Outcome| problem.status == Status::Fail;
        let has_failed = self.has_failures() || problem.as_ref().is_some_and(is_failure);
        parts.extend(problem.and_then(|problem| problem.reason));
        let reason = parts.join(", ");
        match (has_failed, reason.is_empty()) {
            (true, _) => Outcome::fail(reason),
            (false, false) => Outcome::error(reason),
            (false, true) if self.is_all_skipped() => Outcome::skip(self.skipped()),
            (false, true) => Outcome::pass(),
        }
    }

    fn skipped(&self) -> String {
        let reason = self.skip_reason.as_deref().unwrap_or("skipped");
        match self.number(Verdict::Skipped) {
            1 => reason.to_owned(),
            count => format!("all {count} tests were skipped: {reason}"),
        }
    }

    fn number(&self, verdict: Verdict) -> u64 {
        self.counts.get(&verdict).copied().unwrap_or_default()
    }

    /// The names of the first tests of a verdict.
    fn names(&self, verdict: Verdict, count: u64) -> String {
        let named = self.named.get(&verdict).map(Vec::as_slice);
        let named = named.unwrap_or_default();
        match count.saturating_sub(u64::try_from(named.len()).unwrap_or(u64::MAX)) {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(verdicts: &[Verdict]) -> Tally {
        let mut tally = Tally::default();
        for (number, verdict) in verdicts.iter().enumerate() {
            tally.add(&TestResult {
                name: format!("t{number}"),
                verdict: *verdict,
                reason: Some(format!("why {number}")),
                ..TestResult::default()
            });
        }
        tally
    }

    #[test]
    fn verdicts_decide_the_outcome() {
        use Verdict::{Failed, FailedAsExpected, Passed, Skipped, Unknown};
        for (verdicts, expected) in [
            (&[Passed, FailedAsExpected, Skipped][..], Outcome::pass()),
            (&[Skipped], Outcome::skip("why 0")),
            (
                &[Skipped, Skipped],
                Outcome::skip("all 2 tests were skipped: why 0"),
            ),
            (&[Passed, Failed], Outcome::fail("1 failed (t1), 1 others")),
            (
                &[Failed, Failed, Failed, Failed, Unknown],
                Outcome::fail("4 failed (t0, t1, t2 and 1 more), 1 in error (t4)"),
            ),
            (
                &[Unknown, Passed],
                Outcome::error("1 in error (t0), 1 others"),
            ),
        ] {
            assert_eq!(tally(verdicts).outcome(), expected, "{verdicts:?}");
        }
    }

    #[test]
    fn problems_spoil_a_session_whose_tests_pass() {
        let mut with_error = tally(&[Verdict::Passed]);
        with_error.add_error("no list".to_owned());
        assert_eq!(with_error.outcome(), Outcome::error("no list"));
        with_error.add_failure("it crashed".to_owned());
        assert_eq!(with_error.outcome(), Outcome::fail("no list; it crashed"));
        let mut failed = tally(&[Verdict::Failed, Verdict::Skipped]);
        failed.add_error("no list".to_owned());
        let expected = Outcome::fail("1 failed (t0), 1 others, no list");
        assert_eq!(failed.outcome(), expected);
    }
}
