//! Owns what a journal says of a job and its tests, as history needs it. Does not know about other
//! jobs.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use persea_journal::{
    Event, EventKind, JobFinished, JobStarted, JournalError, Reader, Revision, TaskFinished,
    TaskPlanned,
};
use persea_model::{Case, Status, Tally};

/// The end of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEnd {
    /// How long the job took, in nanoseconds.
    pub elapsed: u64,
    /// Why the job was cut short, if it was.
    pub interrupted_by: Option<String>,
}

/// What the result of a run says of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// PASS or WARN.
    Passed,
    /// FAIL, ERROR or INTERRUPTED.
    Failed,
    /// SKIP or CANCEL: nothing.
    None,
}

impl Verdict {
    /// The verdict of a status.
    pub const fn of(status: Status) -> Self {
        match status {
            Status::Pass | Status::Warn => Self::Passed,
            Status::Fail | Status::Error | Status::Interrupted => Self::Failed,
            Status::Skip | Status::Cancel => Self::None,
        }
    }
}

/// The result of a test in one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// The title that people know the test by, without `./` at its beginning. Unique in its job:
    /// a number follows where another test has the same title, as in `a.t (2)`.
    pub title: String,
    /// The result.
    pub status: Status,
    /// The reason for the result.
    pub reason: Option<String>,
    /// Whether the test has started.
    pub has_started: bool,
    /// How long it ran, in nanoseconds.
    pub elapsed: u64,
    /// The number of attempts.
    pub attempts: usize,
    /// Whether it passed on a retry.
    pub is_flaky: bool,
    /// Whether this is no result of its own, because the job was stopped.
    pub is_cut_short: bool,
    /// The titles of the cases of its last attempt that failed. Empty unless they were asked for.
    pub failed_cases: Vec<String>,
}

/// A job, as far as its journal could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobRecord {
    /// The job's id; empty where the journal does not have it.
    pub id: String,
    /// When the job started, in nanoseconds of Unix time; 0 where the journal does not say.
    pub started: u64,
    /// The working directory of the host.
    pub project: String,
    /// The commit of the project.
    pub revision: Option<Revision>,
    /// The references, as the user gave them.
    pub references: Vec<String>,
    /// The number of planned tests.
    pub total: usize,
    /// The number of tests by status.
    pub tally: Tally,
    /// The number of tests that passed on a retry.
    pub flaky: usize,
    /// The end; none for a job that runs, or whose host was killed.
    pub end: Option<JobEnd>,
    /// The results, in the order of their ends.
    pub runs: Vec<TestRun>,
    /// The titles of tests without a result, in the order of the plan. Empty unless they were asked
    /// for.
    pub open: Vec<String>,
    /// What is wrong with the journal.
    pub fault: Option<String>,
}

/// The events that history needs.
const EVENTS: [EventKind; 4] = [
    EventKind::JobStarted,
    EventKind::JobTakenOver,
    EventKind::TaskFinished,
    EventKind::JobFinished,
];

/// The same, with the plan.
const EVENTS_AND_PLAN: [EventKind; 5] = [
    EventKind::JobStarted,
    EventKind::JobTakenOver,
    EventKind::TaskPlanned,
    EventKind::TaskFinished,
    EventKind::JobFinished,
];

/// The same, with the plan and the cases.
const EVENTS_PLAN_AND_CASES: [EventKind; 7] = [
    EventKind::JobStarted,
    EventKind::JobTakenOver,
    EventKind::TaskPlanned,
    EventKind::CaseFinished,
    EventKind::TaskRetried,
    EventKind::TaskFinished,
    EventKind::JobFinished,
];

impl JobRecord {
    /// Reads the journal in a job's directory. What cannot be read is [`Self::fault`].
    pub fn read(directory: &Path) -> Self {
        let (record, has_shortened) = Self::read_events(directory, &EVENTS);
        if !has_shortened || record.runs.len() >= record.total {
            return record;
        }
        // A test that has not ended may have the same title, and decides about the number.
        let (record, _) = Self::read_events(directory, &EVENTS_AND_PLAN);
        Self {
            open: Vec::new(),
            ..record
        }
    }

    /// As [`Self::read`], with the tests that have no result, and the cases that failed.
    pub fn read_with_plan(directory: &Path) -> Self {
        Self::read_events(directory, &EVENTS_PLAN_AND_CASES).0
    }

    /// Reads these events. Also returns whether a title has lost its `./`.
    fn read_events(directory: &Path, events: &[EventKind]) -> (Self, bool) {
        let mut record = Self::default();
        let mut has_begun = false;
        let mut planned: BTreeMap<usize, String> = BTreeMap::new();
        // Each with the test's position in the plan.
        let mut runs: Vec<(usize, TestRun)> = Vec::new();
        // By the task's id, the failed cases of its present attempt.
        let mut cases: HashMap<String, Vec<String>> = HashMap::new();
        let mut reader = match Reader::open(directory) {
            Ok(reader) => reader,
            Err(error) => {
                record.fault = Some(error.to_string());
                return (record, false);
            }
        };
        loop {
            match reader.next_event(events) {
                Ok(None) => break,
                Ok(Some(found)) => match found.event {
                    Event::JobStarted(started) => {
                        has_begun = true;
                        record.started = found.time;
                        record.begin(started.into_owned());
                    }
                    // Voids results that were cut short: those tests run again.
                    Event::JobTakenOver(_) => {
                        runs.retain(|(_, run)| !run.is_cut_short);
                        record.end = None;
                    }
                    Event::TaskPlanned(task) => {
                        planned.insert(task.index, planned_title(&task));
                    }
                    Event::CaseFinished(case) if Verdict::of(case.status) == Verdict::Failed => {
                        let cases = cases.entry(found.task.unwrap_or_default());
                        cases.or_default().push(Case::title(&case.path));
                    }
                    Event::TaskRetried(_) => {
                        cases.remove(&found.task.unwrap_or_default());
                    }
                    Event::TaskFinished(finished) => {
                        let cases = cases.remove(&found.task.unwrap_or_default());
                        let run = run_of(finished.into_owned(), cases.unwrap_or_default());
                        runs.push(run);
                    }
                    Event::JobFinished(finished) => record.finish(finished.into_owned()),
                    _ => {}
                },
                // The lines after it can be read.
                Err(error @ (JournalError::Line { .. } | JournalError::Heavy { .. })) => {
                    record.fault.get_or_insert_with(|| error.to_string());
                }
                Err(error) => {
                    record.fault = Some(error.to_string());
                    break;
                }
            }
        }
        if !has_begun && record.fault.is_none() {
            let path = directory.join(persea_journal::FILE_NAME);
            record.fault = Some(format!("{}: there is no `job-started`", path.display()));
        }
        for (index, run) in &runs {
            planned.remove(index);
            record.tally.add(run.status);
            record.flaky += usize::from(run.is_flaky);
        }
        let ended = runs.iter_mut().map(|(index, run)| (*index, &mut run.title));
        let open = planned.iter_mut().map(|(index, title)| (*index, title));
        let has_shortened = shorten(ended.chain(open).collect());
        record.runs = runs.into_iter().map(|(_, run)| run).collect();
        record.open = planned.into_values().collect();
        (record, has_shortened)
    }

    fn begin(&mut self, started: JobStarted) {
        self.id = started.job_id;
        self.project = started.project_dir;
        self.revision = started.revision;
        self.references = started.references;
        self.total = started.total;
    }

    fn finish(&mut self, finished: JobFinished) {
        self.end = Some(JobEnd {
            elapsed: finished.elapsed,
            interrupted_by: finished.interrupted_by,
        });
    }
}

/// The result of a test, with the test's position in the plan.
fn run_of(finished: TaskFinished, failed_cases: Vec<String>) -> (usize, TestRun) {
    let run = TestRun {
        title: finished.title().to_owned(),
        status: finished.status,
        reason: finished.reason,
        has_started: finished.started.is_some(),
        elapsed: finished.elapsed,
        attempts: finished.attempts.max(1),
        is_flaky: finished.flaky,
        is_cut_short: finished.cut_short,
        failed_cases,
    };
    (finished.index, run)
}

fn planned_title(planned: &TaskPlanned<'_>) -> String {
    let title = planned.title.as_deref().or(planned.name.as_deref());
    let title = title.or(planned.runnable.uri.as_deref());
    title.unwrap_or_default().to_owned()
}

/// The title of a test without `./`: the same test may be named with it or without.
pub(crate) fn plain_title(title: &str) -> &str {
    title.strip_prefix("./").unwrap_or(title)
}

/// Removes `./` from the titles of a job's tests, each with its position in the plan, and numbers
/// titles that are equal then: `a.t`, `a.t (2)`. Returns whether a title had `./`.
fn shorten(mut titles: Vec<(usize, &mut String)>) -> bool {
    let is_short = |title: &str| plain_title(title) == title;
    let has_shortened = titles.iter().any(|(_, title)| !is_short(title));
    // Titles without `./` come first, so they stay as in reports.
    titles.sort_by_key(|(index, title)| (!is_short(title), *index));
    // By title, the number of tests that have it with or without a number.
    let mut used: HashMap<String, usize> = HashMap::with_capacity(titles.len());
    for (_, title) in titles {
        let plain = plain_title(title).to_owned();
        let mut copies = used.get(&plain).copied().unwrap_or_default();
        let mut unique = plain.clone();
        while used.contains_key(&unique) {
            copies += 1;
            unique = format!("{plain} ({copies})");
        }
        used.insert(plain, copies.max(1));
        used.entry(unique.clone()).or_insert(1);
        *title = unique;
    }
    has_shortened
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    /// A job whose journal has these events after `job-started`: each a name and its data.
    fn job(total: usize, events: &[(&str, Value)]) -> tempfile::TempDir {
        let started = json!({
            "job-id": "1", "job-dir": "/j", "name": "j", "project-dir": "/project",
            "total": total, "persea-version": "0", "references": [], "settings": {},
        });
        let events = [&[("job-started", started)], events].concat();
        let lines = events.into_iter().map(|(event, data)| {
            let line = json!({"event": event, "time": 1, "task": "1", "data": data});
            format!("{line}\n")
        });
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join(persea_journal::FILE_NAME);
        std::fs::write(journal, lines.collect::<String>()).unwrap();
        directory
    }

    fn planned(index: usize, title: &str) -> (&'static str, Value) {
        let data = json!({"index": index, "name": title, "runnable": {"kind": "noop"}});
        ("task-planned", data)
    }

    fn ended(index: usize, title: &str, status: Status, cut_short: bool) -> (&'static str, Value) {
        let data = json!({
            "index": index, "name": title, "kind": "noop", "status": status, "elapsed": 1,
            "directory": "d", "cut-short": cut_short,
        });
        ("task-finished", data)
    }

    /// The titles of the results with their statuses, and those of tests without a result.
    fn titles(record: &JobRecord) -> (Vec<String>, Vec<&str>) {
        assert_eq!(record.fault, None);
        let runs = record.runs.iter();
        let runs = runs.map(|run| format!("{} {}", run.title, run.status));
        (
            runs.collect(),
            record.open.iter().map(String::as_str).collect(),
        )
    }

    #[test]
    fn titles_that_are_equal_without_a_dot_are_numbered_in_the_order_of_the_plan() {
        use Status::{Fail, Pass, Skip, Warn};
        // The order of the ends differs from that of the plan.
        let events = [
            ended(4, "./a", Warn, false),
            ended(5, "a (2)", Skip, false),
            ended(1, "./a.t", Fail, false),
            ended(3, "././a", Fail, false),
            ended(2, "a", Pass, false),
        ];
        let job = job(5, &events);
        let (runs, _) = titles(&JobRecord::read(job.path()));
        let expected = ["a (3) WARN", "a (2) SKIP", "a.t FAIL", "./a FAIL", "a PASS"];
        assert_eq!(runs, expected);
    }

    #[test]
    fn title_of_a_test_is_the_same_before_the_others_end() {
        let events = [
            planned(1, "./a"),
            planned(2, "a"),
            ended(1, "./a", Status::Fail, false),
        ];
        let job = job(2, &events);
        let with_plan = JobRecord::read_with_plan(job.path());
        assert_eq!(
            titles(&with_plan),
            (vec!["a (2) FAIL".to_owned()], vec!["a"])
        );
        let record = JobRecord::read(job.path());
        assert_eq!(titles(&record), (vec!["a (2) FAIL".to_owned()], Vec::new()));
    }

    #[test]
    fn take_over_voids_results_that_were_cut_short_and_the_end() {
        let host = json!({
            "machine": "m", "boot": "b", "process": 1, "user": 0, "persea-version": "0",
        });
        let finished = JobFinished {
            tally: Tally::default(),
            total: 2,
            elapsed: 1,
            interrupted_by: Some("the user".to_owned()),
            switches: 0,
        };
        let finished = serde_json::to_value(finished).unwrap();
        let taken_over = json!({"host": host, "kept": 1, "again": 1, "left": 0});
        let mut events = vec![
            planned(1, "a"),
            planned(2, "b"),
            ended(1, "a", Status::Pass, false),
            ended(2, "b", Status::Interrupted, true),
            ("job-finished", finished),
        ];
        let stopped = JobRecord::read_with_plan(job(2, &events).path());
        assert_eq!(stopped.tally.get(Status::Interrupted), 1);
        assert!(stopped.end.is_some());
        events.push(("job-taken-over", taken_over));
        let resumed = JobRecord::read_with_plan(job(2, &events).path());
        assert_eq!(titles(&resumed), (vec!["a PASS".to_owned()], vec!["b"]));
        assert_eq!((resumed.tally.total(), resumed.end), (1, None));
        events.push(ended(2, "b", Status::Fail, false));
        let record = JobRecord::read(job(2, &events).path());
        assert_eq!(titles(&record).0, ["a PASS", "b FAIL"]);
        assert_eq!(record.tally.total(), 2);
    }
}
