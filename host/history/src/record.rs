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
    /// The title that people know the test by, without `./` at its beginning. Unique in its job.
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
const EVENTS: [EventKind; 3] = [
    EventKind::JobStarted,
    EventKind::TaskFinished,
    EventKind::JobFinished,
];

/// The same, with the plan and the cases.
const EVENTS_AND_PLAN: [EventKind; 6] = [
    EventKind::JobStarted,
    EventKind::TaskPlanned,
    EventKind::CaseFinished,
    EventKind::TaskRetried,
    EventKind::TaskFinished,
    EventKind::JobFinished,
];

impl JobRecord {
    /// Reads the journal in a job's directory. What cannot be read is [`Self::fault`].
    pub fn read(directory: &Path) -> Self {
        Self::read_events(directory, &EVENTS)
    }

    /// As [`Self::read`], with the tests that have no result, and the cases that failed.
    pub fn read_with_plan(directory: &Path) -> Self {
        Self::read_events(directory, &EVENTS_AND_PLAN)
    }

    fn read_events(directory: &Path, events: &[EventKind]) -> Self {
        let mut record = Self::default();
        let mut has_begun = false;
        let mut open: BTreeMap<usize, String> = BTreeMap::new();
        // By the task's id, the failed cases of its present attempt.
        let mut cases: HashMap<String, Vec<String>> = HashMap::new();
        let mut reader = match Reader::open(directory) {
            Ok(reader) => reader,
            Err(error) => {
                record.fault = Some(error.to_string());
                return record;
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
                    Event::TaskPlanned(planned) => {
                        open.insert(planned.index, planned_title(&planned));
                    }
                    Event::CaseFinished(case) if Verdict::of(case.status) == Verdict::Failed => {
                        let cases = cases.entry(found.task.unwrap_or_default());
                        cases.or_default().push(Case::title(&case.path));
                    }
                    Event::TaskRetried(_) => {
                        cases.remove(&found.task.unwrap_or_default());
                    }
                    Event::TaskFinished(finished) => {
                        open.remove(&finished.index);
                        let cases = cases.remove(&found.task.unwrap_or_default());
                        record.add(finished.into_owned(), cases.unwrap_or_default());
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
        record.open = open.into_values().collect();
        record
    }

    fn begin(&mut self, started: JobStarted) {
        self.id = started.job_id;
        self.project = started.project_dir;
        self.revision = started.revision;
        self.references = started.references;
        self.total = started.total;
    }

    fn add(&mut self, finished: TaskFinished, failed_cases: Vec<String>) {
        self.tally.add(finished.status);
        self.flaky += usize::from(finished.flaky);
        self.runs.push(TestRun {
            title: plain_title(finished.title()).to_owned(),
            status: finished.status,
            reason: finished.reason,
            has_started: finished.started.is_some(),
            elapsed: finished.elapsed,
            attempts: finished.attempts.max(1),
            is_flaky: finished.flaky,
            is_cut_short: finished.cut_short,
            failed_cases,
        });
    }

    fn finish(&mut self, finished: JobFinished) {
        self.end = Some(JobEnd {
            elapsed: finished.elapsed,
            interrupted_by: finished.interrupted_by,
        });
    }
}

fn planned_title(planned: &TaskPlanned<'_>) -> String {
    let title = planned.title.as_deref().or(planned.name.as_deref());
    let title = title.or(planned.runnable.uri.as_deref());
    plain_title(title.unwrap_or_default()).to_owned()
}

/// The title of a test without `./`: the same test may be named with it or without.
pub(crate) fn plain_title(title: &str) -> &str {
    title.strip_prefix("./").unwrap_or(title)
}
