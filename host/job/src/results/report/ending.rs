//! Owns the missing end of a journal whose host was killed or could not write: each planned task
//! without an end becomes an error in the report, and then the job ends.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use persea_journal::{
    Event, EventKind, JobFinished, JournalError, Line, Reader, TaskFinished, TaskPlanned, is_in_use,
};
use persea_model::names::TEST_RESULTS;
use persea_model::names::task_directory;
use persea_model::{Attribute, Attributes, Status, Tally};

/// The events that a journal lacks: the ends of tasks, and of the job.
pub(super) struct MissingEnd {
    /// The number of tasks without an end.
    pub(super) unfinished: usize,
    pub(super) lines: Vec<Line<Attributes>>,
}

impl MissingEnd {
    /// Creates the missing events of the journal in a job's directory. `time` is that of its last
    /// event.
    pub(super) fn of(job_dir: &Path, time: u64) -> Result<Self, JournalError> {
        let reason = match is_in_use(job_dir) {
            true => "the job is still running: it has not ended yet",
            false => "the host ended before it",
        };
        let mut finished: HashSet<String> = HashSet::new();
        let mut started: HashMap<String, u64> = HashMap::new();
        let mut tally = Tally::default();
        let mut reader = Reader::open(job_dir)?;
        let ends = [EventKind::TaskStarted, EventKind::TaskFinished];
        while let Some(record) = reader.next_event(&ends)? {
            match (record.event, record.task) {
                (Event::TaskStarted(_), Some(task)) => {
                    started.insert(task, record.time);
                }
                (Event::TaskFinished(end), task) => {
                    tally.add(end.status);
                    if let Some(task) = task {
                        started.remove(&task);
                        finished.insert(task);
                    }
                }
                _ => {}
            }
        }
        let mut reader = Reader::open(job_dir)?;
        // Reports name the directory in which the job ran, also when made from a copy of it.
        let ran_in = match reader.next_event(&[EventKind::JobStarted])? {
            Some(record) => match record.event {
                Event::JobStarted(started) => PathBuf::from(&started.job_dir),
                _ => job_dir.to_path_buf(),
            },
            None => job_dir.to_path_buf(),
        };
        let mut lines = Vec::new();
        let mut reader = Reader::open(job_dir)?;
        while let Some(record) = reader.next_event(&[EventKind::TaskPlanned])? {
            let task = record.task.filter(|task| !finished.contains(task));
            let (Some(task), Event::TaskPlanned(planned)) = (task, record.event) else {
                continue;
            };
            tally.add(Status::Error);
            let start = started.get(&task).copied();
            let mut end = end(&task, planned.into_owned(), start, reason);
            let directory = std::fs::symlink_metadata(ran_in.join(&end.directory));
            end.has_directory = directory.is_ok_and(|it| it.is_dir());
            let event = Event::TaskFinished(Cow::Owned(end));
            lines.push(line_of(time, Some(task), &event));
        }
        let unfinished = lines.len();
        let end = JobFinished {
            switches: 0,
            tally,
            total: tally.total(),
            elapsed: 0,
            interrupted_by: Some("the journal ends before the job does".into()),
        };
        lines.push(line_of(time, None, &Event::JobFinished(Cow::Owned(end))));
        Ok(Self { unfinished, lines })
    }
}

/// The end of a task for which the journal has none.
fn end(id: &str, planned: TaskPlanned<'_>, started: Option<u64>, reason: &str) -> TaskFinished {
    let TaskPlanned {
        index,
        name,
        title,
        runnable,
    } = planned;
    let of_runnable = || runnable.identifier.clone().or(runnable.uri.clone());
    let tags = runnable.tags.iter().map(|(tag, values)| {
        let values = Some(values).filter(|values| !values.is_empty());
        let values = values.cloned().map(Attribute::from);
        (tag.clone(), values.unwrap_or_default())
    });
    TaskFinished {
        index,
        name: name
            .map(Cow::into_owned)
            .or_else(of_runnable)
            .unwrap_or(id.to_owned()),
        title: title.map(Cow::into_owned),
        kind: runnable.kind.clone(),
        uri: runnable.uri.clone(),
        status: Status::Error,
        cause: None,
        reason: Some(reason.to_owned()),
        started,
        elapsed: 0,
        directory: format!("{TEST_RESULTS}/{}", task_directory(id)),
        has_directory: false,
        tags: tags.collect(),
        suite: runnable.suite().map(str::to_owned),
        variant: runnable.more.get("variant").cloned(),
        whiteboard: None,
        left_behind: 0,
        cpu_user: None,
        cpu_system: None,
        peak_memory: None,
        peak_memory_of: None,
        attempts: 0,
        flaky: false,
        // Cases of an attempt that never ended count for nothing.
        cases: None,
        unnumbered_cases: 0,
        failed_cases: Vec::new(),
        is_refused: false,
        more: Attributes::new(),
    }
}

fn line_of(time: u64, task: Option<String>, event: &Event<'_>) -> Line<Attributes> {
    // Unreachable: every event serialises to an object.
    let data = serde_json::to_string(event).and_then(|json| serde_json::from_str(&json));
    Line {
        event: event.kind().name().to_owned(),
        time,
        task,
        data: data.unwrap_or_default(),
    }
}
