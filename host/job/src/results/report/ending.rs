//! Owns the missing end of a journal whose host was killed or could not write: each planned task
//! without an end becomes an error in the report, and then the job ends.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::plan::stored::{HOST_ENDED, missing_end};
use persea_journal::{Event, EventKind, JobFinished, JournalError, Line, Reader, is_in_use};
use persea_model::{Attributes, Status, Tally};

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
            false => HOST_ENDED,
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
            let mut end = missing_end(&task, &planned, start, reason);
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
