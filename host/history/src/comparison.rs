//! Owns the comparison of two jobs, test by test. Does not know which of them is the better one.

use std::collections::{BTreeMap, HashSet};

use persea_model::Status;

use crate::record::{JobRecord, TestRun, Verdict};

/// A test is slower if it takes more than this factor of its former time, and [`SLOWER_BY`] more.
pub const SLOWER_THAN: f64 = 1.5;

/// The least difference of a slower test, in nanoseconds: half a second.
pub const SLOWER_BY: u64 = 500_000_000;

/// How a test differs between two jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It fails, and did not before, or is new, or has cases that fail and did not before.
    NewlyFailing,
    /// It failed in both.
    StillFailing,
    /// It failed and now passes.
    Fixed,
    /// It passed in both and takes longer.
    Slower,
    /// Only the second job has it, and it does not fail.
    New,
    /// It passed or failed, and is now skipped or cancelled.
    NotRun,
    /// Only the first job has it.
    Gone,
}

impl Change {
    /// All changes, in the order in which people want to see them.
    pub const ALL: [Self; 7] = [
        Self::NewlyFailing,
        Self::StillFailing,
        Self::Fixed,
        Self::Slower,
        Self::New,
        Self::NotRun,
        Self::Gone,
    ];

    /// The name for people and for JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NewlyFailing => "newly failing",
            Self::StillFailing => "still failing",
            Self::Fixed => "fixed",
            Self::Slower => "slower",
            Self::New => "new",
            Self::NotRun => "not run",
            Self::Gone => "gone",
        }
    }
}

/// What of a test's result is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The result.
    pub status: Status,
    /// The duration in nanoseconds.
    pub elapsed: u64,
    /// The reason for the result.
    pub reason: Option<String>,
    /// The titles of its cases that failed.
    pub failed_cases: Vec<String>,
}

/// A test that differs between two jobs, or fails in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How it differs.
    pub change: Change,
    /// The title of the test.
    pub title: String,
    /// The result in the first job; none if that does not have the test.
    pub before: Option<Compared>,
    /// The result in the second job; none if that does not have the test.
    pub after: Option<Compared>,
    /// The titles of its cases that fail and did not before.
    pub newly_failed_cases: Vec<String>,
}

/// The comparison of two jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What differs, by the kind of change and then by title.
    pub differences: Vec<Difference>,
    /// The number of tests that both jobs have and that are no difference.
    pub unchanged: usize,
}

/// Why a test without an end counts as ERROR: as in reports of such a job.
const HOST_ENDED: &str = "the host ended before it";

/// The results of a job by title. A test without a result counts as ERROR.
fn results(job: &JobRecord) -> BTreeMap<&str, Compared> {
    let run = |run: &TestRun| Compared {
        status: run.status,
        elapsed: run.elapsed,
        reason: run.reason.clone(),
        failed_cases: run.failed_cases.clone(),
    };
    let open = job.open.iter().map(|title| {
        let compared = Compared {
            status: Status::Error,
            elapsed: 0,
            reason: Some(HOST_ENDED.to_owned()),
            failed_cases: Vec::new(),
        };
        (title.as_str(), compared)
    });
    let runs = job.runs.iter().map(|it| (it.title.as_str(), run(it)));
    open.chain(runs).collect()
}

/// The cases that fail and did not before. A failed case of a test that passes does not count: the
/// result of a test is what its runner says.
fn newly_failed_cases(before: Option<&Compared>, after: Option<&Compared>) -> Vec<String> {
    let Some(after) = after.filter(|it| Verdict::of(it.status) == Verdict::Failed) else {
        return Vec::new();
    };
    let known = before.iter().flat_map(|it| &it.failed_cases);
    let known: HashSet<&String> = known.collect();
    let cases = after.failed_cases.iter();
    cases
        .filter(|case| !known.contains(case))
        .cloned()
        .collect()
}

fn change_of(
    before: Option<&Compared>,
    after: Option<&Compared>,
    has_new_cases: bool,
) -> Option<Change> {
    let verdict = |it: &Compared| Verdict::of(it.status);
    match (before.map(verdict), after.map(verdict)) {
        (_, None) => Some(Change::Gone),
        (Some(Verdict::Failed), Some(Verdict::Failed)) if !has_new_cases => {
            Some(Change::StillFailing)
        }
        (_, Some(Verdict::Failed)) => Some(Change::NewlyFailing),
        (None, Some(_)) => Some(Change::New),
        (Some(Verdict::Failed), Some(Verdict::Passed)) => Some(Change::Fixed),
        (Some(Verdict::None), Some(_)) => None,
        (Some(_), Some(Verdict::None)) => Some(Change::NotRun),
        (Some(Verdict::Passed), Some(Verdict::Passed)) => {
            let times = before.zip(after);
            let is_slower =
                |(before, after): (&Compared, &Compared)| is_slower(before.elapsed, after.elapsed);
            times.is_some_and(is_slower).then_some(Change::Slower)
        }
    }
}

/// Whether a time is longer by more than chance.
#[allow(clippy::cast_precision_loss)] // exact up to a hundred days
fn is_slower(before: u64, after: u64) -> bool {
    after.saturating_sub(before) > SLOWER_BY && after as f64 > before as f64 * SLOWER_THAN
}

impl Comparison {
    /// Compares two jobs, each with whether it still runs. Tests that a running job has not ended
    /// yet are left out.
    pub fn of(before: (&JobRecord, bool), after: (&JobRecord, bool)) -> Self {
        let running = [before, after].into_iter().filter(|(_, runs)| *runs);
        let pending: HashSet<&String> = running.flat_map(|(job, _)| &job.open).collect();
        let (mut before, mut after) = (results(before.0), results(after.0));
        for title in pending {
            before.remove(title.as_str());
            after.remove(title.as_str());
        }
        let mut comparison = Self::default();
        let pairs = before.into_iter().map(|(title, before)| {
            let after = after.remove(title);
            (title, Some(before), after)
        });
        let pairs: Vec<_> = pairs.collect();
        let new = after.into_iter().map(|(title, it)| (title, None, Some(it)));
        for (title, before, after) in pairs.into_iter().chain(new) {
            let newly_failed_cases = newly_failed_cases(before.as_ref(), after.as_ref());
            let has_new_cases = !newly_failed_cases.is_empty();
            match change_of(before.as_ref(), after.as_ref(), has_new_cases) {
                Some(change) => comparison.differences.push(Difference {
                    change,
                    title: title.to_owned(),
                    before,
                    after,
                    newly_failed_cases,
                }),
                None => comparison.unchanged += 1,
            }
        }
        comparison
            .differences
            .sort_by(|a, b| (a.change, &a.title).cmp(&(b.change, &b.title)));
        comparison
    }

    /// The differences of one kind.
    pub fn with(&self, change: Change) -> impl Iterator<Item = &Difference> {
        self.differences
            .iter()
            .filter(move |it| it.change == change)
    }

    /// Whether a test fails that did not before.
    pub fn has_regressions(&self) -> bool {
        self.with(Change::NewlyFailing).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use Status::{Cancel, Error, Fail, Interrupted, Pass, Skip, Warn};

    fn job(tests: &[(&str, Status, u64)]) -> JobRecord {
        let runs = tests.iter().map(|(title, status, milliseconds)| TestRun {
            title: (*title).to_owned(),
            status: *status,
            reason: None,
            has_started: true,
            elapsed: milliseconds * 1_000_000,
            attempts: 1,
            is_flaky: false,
            is_cut_short: false,
            failed_cases: Vec::new(),
        });
        JobRecord {
            runs: runs.collect(),
            ..JobRecord::default()
        }
    }

    /// The titles of each change.
    fn changes(comparison: &Comparison) -> Vec<(Change, &str)> {
        let all = comparison.differences.iter();
        all.map(|it| (it.change, it.title.as_str())).collect()
    }

    #[test]
    fn each_pair_of_verdicts_is_one_change() {
        let before = job(&[
            ("broke", Pass, 0),
            ("broke-from-skip", Skip, 0),
            ("fixed", Fail, 0),
            ("fixed-warn", Interrupted, 0),
            ("gone", Pass, 0),
            ("same", Pass, 0),
            ("skipped", Fail, 0),
            ("still", Error, 0),
            ("unskipped", Cancel, 0),
        ]);
        let after = job(&[
            ("broke", Fail, 0),
            ("broke-from-skip", Error, 0),
            ("fixed", Pass, 0),
            ("fixed-warn", Warn, 0),
            ("new", Pass, 0),
            ("new-fail", Fail, 0),
            ("same", Warn, 0),
            ("skipped", Skip, 0),
            ("still", Fail, 0),
            ("unskipped", Pass, 0),
        ]);
        let comparison = Comparison::of((&before, false), (&after, false));
        let expected = [
            (Change::NewlyFailing, "broke"),
            (Change::NewlyFailing, "broke-from-skip"),
            (Change::NewlyFailing, "new-fail"),
            (Change::StillFailing, "still"),
            (Change::Fixed, "fixed"),
            (Change::Fixed, "fixed-warn"),
            (Change::New, "new"),
            (Change::NotRun, "skipped"),
            (Change::Gone, "gone"),
        ];
        assert_eq!(changes(&comparison), expected);
        assert_eq!(
            (comparison.unchanged, comparison.has_regressions()),
            (2, true)
        );
        let same = Comparison::of((&before, false), (&before, false));
        assert!(!same.has_regressions());
    }

    #[test]
    fn slower_test_takes_half_as_long_again_and_half_a_second() {
        for (before, after, expected) in [
            (1000, 1501, true),
            (1000, 1500, false),
            (100, 599, false),
            (100, 601, true),
            (10_000, 14_999, false),
            (10_000, 15_001, true),
        ] {
            let (old, new) = (job(&[("a", Pass, before)]), job(&[("a", Pass, after)]));
            let comparison = Comparison::of((&old, false), (&new, false));
            let found = changes(&comparison) == [(Change::Slower, "a")];
            assert_eq!(found, expected, "{before} {after}");
            assert!(!comparison.has_regressions());
        }
    }

    #[test]
    fn case_that_fails_in_a_test_that_failed_before_is_a_regression() {
        let with_cases = |status, cases: &[&str]| {
            let mut job = job(&[("a", status, 0)]);
            for run in &mut job.runs {
                run.failed_cases = cases.iter().map(|case| (*case).to_owned()).collect();
            }
            job
        };
        let before = with_cases(Fail, &["one", "two"]);
        for (status, cases, change, new) in [
            (Fail, &["two"][..], Some(Change::StillFailing), &[][..]),
            (
                Fail,
                &["two", "three"],
                Some(Change::NewlyFailing),
                &["three"],
            ),
            (Pass, &["three"], Some(Change::Fixed), &[]),
        ] {
            let after = with_cases(status, cases);
            let comparison = Comparison::of((&before, false), (&after, false));
            let found = comparison.differences.first();
            assert_eq!(found.map(|it| it.change), change, "{cases:?}");
            let found = found.map(|it| it.newly_failed_cases.clone());
            assert_eq!(found.unwrap_or_default(), new, "{cases:?}");
        }
    }

    #[test]
    fn tests_whose_names_differ_only_in_a_dot_are_compared_each() {
        let read = |first: Status, second: Status| {
            let started = serde_json::json!({
                "job-id": "1", "job-dir": "/j", "name": "j", "project-dir": "/project",
                "total": 2, "persea-version": "0", "references": [], "settings": {},
            });
            let finished = |index: usize, name: &str, status: Status| {
                serde_json::json!({
                    "index": index, "name": name, "kind": "noop", "status": status,
                    "elapsed": 1, "directory": "d",
                })
            };
            let lines = [
                ("job-started", started),
                ("task-finished", finished(1, "./t/a.t", first)),
                ("task-finished", finished(2, "t/a.t", second)),
            ];
            let lines = lines.map(|(event, data)| {
                let line = serde_json::json!({"event": event, "time": 1, "data": data});
                format!("{line}\n")
            });
            let directory = tempfile::tempdir().unwrap();
            let journal = directory.path().join(persea_journal::FILE_NAME);
            std::fs::write(journal, lines.concat()).unwrap();
            let job = JobRecord::read_with_plan(directory.path());
            assert_eq!((&job.fault, job.runs.len()), (&None, 2));
            job
        };
        let (before, after) = (read(Pass, Pass), read(Fail, Pass));
        let comparison = Comparison::of((&before, false), (&after, false));
        assert_eq!(changes(&comparison), [(Change::NewlyFailing, "t/a.t (2)")]);
        assert!(comparison.has_regressions());
        assert_eq!(comparison.unchanged, 1);
    }

    #[test]
    fn test_without_an_end_fails_unless_the_job_runs() {
        let before = job(&[("a", Pass, 0), ("b", Pass, 0)]);
        let mut after = job(&[("a", Pass, 0)]);
        after.open = vec!["b".to_owned()];
        let killed = Comparison::of((&before, false), (&after, false));
        assert_eq!(changes(&killed), [(Change::NewlyFailing, "b")]);
        let running = Comparison::of((&before, false), (&after, true));
        assert_eq!((changes(&running), running.unchanged), (Vec::new(), 1));
    }
}
