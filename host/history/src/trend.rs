//! Owns what the runs of a test say together: how often it passed, how often it was flaky, since
//! when it fails, how long it takes. Does not know where the runs come from.

use crate::index::RunEntry;
use crate::record::Verdict;

/// The failures of a test up to its newest run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streak {
    /// The number of runs that failed, without one that passed between them.
    pub length: usize,
    /// The first of them.
    pub first: RunEntry,
}

/// What the runs of a test say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trend {
    /// The latest runs, the newest first.
    pub runs: Vec<RunEntry>,
    /// The number of all runs.
    pub all: usize,
    /// The number of the latest runs that passed.
    pub passed: usize,
    /// The number of the latest runs that failed.
    pub failed: usize,
    /// The number of the latest runs that passed on a retry.
    pub retried: usize,
    /// The number of the latest runs whose verdict differs from that of the run before, in a job of
    /// the same commit. None of them passed on a retry.
    pub changed: usize,
    /// The failures up to the newest run; none if that passed.
    pub streak: Option<Streak>,
    /// The median of the durations of the latest runs, in nanoseconds; none without such runs.
    pub p50: Option<u64>,
    /// The duration that 95 % of the latest runs do not exceed, in nanoseconds.
    pub p95: Option<u64>,
}

/// Whether a run counts. A test that was skipped, cancelled or interrupted before its start has no
/// result of its own; an error before the start is one.
fn counts(run: &RunEntry) -> bool {
    use persea_model::Status::{Error, Fail};
    run.has_started || matches!(run.status, Error | Fail)
}

impl Trend {
    /// The trend of all runs of a test, which are sorted from the newest to the oldest; `latest` is
    /// the number of runs that the counts and durations are about.
    pub fn new(runs: Vec<RunEntry>, latest: usize) -> Self {
        let mut runs = runs;
        runs.retain(counts);
        let mut trend = Self {
            all: runs.len(),
            streak: streak(&runs),
            ..Self::default()
        };
        let judged: Vec<(usize, &RunEntry, Verdict)> = runs
            .iter()
            .enumerate()
            .map(|(at, run)| (at, run, Verdict::of(run.status)))
            .filter(|(_, _, verdict)| *verdict != Verdict::None)
            .collect();
        let before = judged.iter().skip(1).map(Some).chain([None]);
        for ((at, run, verdict), before) in judged.iter().zip(before) {
            if *at >= latest {
                break;
            }
            match verdict {
                Verdict::Passed => trend.passed += 1,
                Verdict::Failed => trend.failed += 1,
                Verdict::None => {}
            }
            if run.is_flaky {
                trend.retried += 1;
            } else if before
                .is_some_and(|(_, before, other)| other != verdict && is_same_commit(before, run))
            {
                trend.changed += 1;
            }
        }
        runs.truncate(latest);
        let mut durations: Vec<u64> = runs
            .iter()
            .filter(|run| run.has_started && Verdict::of(run.status) != Verdict::None)
            .map(|run| run.elapsed)
            .collect();
        durations.sort_unstable();
        trend.p50 = percentile(&durations, 50);
        trend.p95 = percentile(&durations, 95);
        trend.runs = runs;
        trend
    }

    /// The number of the latest runs that passed or failed.
    pub fn judged(&self) -> usize {
        self.passed + self.failed
    }

    /// The number of the latest runs that were flaky.
    pub fn flaky(&self) -> usize {
        self.retried + self.changed
    }
}

fn is_same_commit(one: &RunEntry, other: &RunEntry) -> bool {
    match (&one.revision, &other.revision) {
        (Some(one), Some(other)) => one.commit == other.commit,
        _ => false,
    }
}

/// The failures up to the newest run. Runs that neither passed nor failed do not end them.
fn streak(runs: &[RunEntry]) -> Option<Streak> {
    let failures = runs
        .iter()
        .filter(|run| Verdict::of(run.status) != Verdict::None)
        .take_while(|run| Verdict::of(run.status) == Verdict::Failed);
    let (length, first) = failures.enumerate().last()?;
    Some(Streak {
        length: length + 1,
        first: first.clone(),
    })
}

/// The smallest value that at least `percent` of all do not exceed (nearest rank).
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use persea_journal::Revision;
    use persea_model::Status::{self, Cancel, Error, Fail, Interrupted, Pass, Skip, Warn};

    /// The runs of a test, from the oldest to the newest: the commit, the status.
    fn runs(oldest_first: &[(&str, Status)]) -> Vec<RunEntry> {
        let runs = oldest_first.iter().enumerate();
        let runs = runs.map(|(at, (commit, status))| RunEntry {
            job: format!("job-{at}"),
            job_id: String::new(),
            job_started: at as u64,
            revision: (!commit.is_empty()).then(|| Revision {
                commit: (*commit).to_owned(),
                branch: None,
            }),
            status: *status,
            has_started: true,
            elapsed: at as u64 + 1,
            attempts: 1,
            is_flaky: false,
        });
        runs.rev().collect()
    }

    fn counted(trend: &Trend) -> [usize; 4] {
        [trend.passed, trend.failed, trend.retried, trend.changed]
    }

    #[test]
    fn result_that_changes_at_one_commit_is_flaky() {
        let history = [("a", Pass), ("a", Fail), ("b", Pass), ("b", Warn)];
        let trend = Trend::new(runs(&history), 20);
        assert_eq!(counted(&trend), [3, 1, 0, 1]);
        // Nothing is known of commits.
        let unknown = history.map(|(_, status)| ("", status));
        assert_eq!(counted(&Trend::new(runs(&unknown), 20)), [3, 1, 0, 0]);
    }

    #[test]
    fn run_before_the_latest_ones_decides_whether_the_oldest_of_them_is_flaky() {
        let history = [("a", Pass), ("a", Fail), ("b", Fail)];
        let trend = Trend::new(runs(&history), 2);
        assert_eq!((counted(&trend), trend.all), ([0, 2, 0, 1], 3));
        assert_eq!(counted(&Trend::new(runs(&history), 1)), [0, 1, 0, 0]);
    }

    #[test]
    fn run_that_passed_on_a_retry_is_flaky_once() {
        let mut all = runs(&[("a", Fail), ("a", Pass)]);
        all.first_mut().unwrap().is_flaky = true;
        let trend = Trend::new(all, 20);
        assert_eq!((counted(&trend), trend.flaky()), ([1, 1, 1, 0], 1));
    }

    #[test]
    fn streak_begins_after_the_last_pass_and_is_not_cut_by_the_number_of_runs() {
        let history = [
            ("a", Fail),
            ("b", Pass),
            ("c", Error),
            ("d", Skip),
            ("e", Interrupted),
            ("f", Fail),
            ("g", Cancel),
        ];
        let trend = Trend::new(runs(&history), 1);
        let streak = trend.streak.unwrap();
        assert_eq!((streak.length, streak.first.job.as_str()), (3, "job-2"));
        let passed = [&history[..], &[("h", Pass)]].concat();
        assert_eq!(Trend::new(runs(&passed), 20).streak, None);
        assert_eq!(Trend::new(runs(&[("a", Skip)]), 20).streak, None);
    }

    #[test]
    fn test_that_never_started_counts_only_if_it_failed() {
        let mut all = runs(&[("a", Skip), ("a", Interrupted), ("a", Error), ("a", Pass)]);
        for run in &mut all {
            run.has_started = run.status == Pass;
        }
        let trend = Trend::new(all, 20);
        assert_eq!((trend.all, counted(&trend)), (2, [1, 1, 0, 1]));
        assert_eq!((trend.p50, trend.p95), (Some(4), Some(4)));
    }

    #[test]
    fn percentile_is_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        for (values, percent, expected) in [
            (&hundred[..], 50, Some(50)),
            (&hundred, 95, Some(95)),
            (&[7], 50, Some(7)),
            (&[7], 95, Some(7)),
            (&[1, 2], 50, Some(1)),
            (&[1, 2], 95, Some(2)),
            (&[1, 2, 3], 50, Some(2)),
            (&[], 50, None),
        ] {
            assert_eq!(
                percentile(values, percent),
                expected,
                "{values:?} {percent}"
            );
        }
    }
}
