//! The end of a journal that has none, because its host was killed or could not write any more: every task that was planned
//! and has no end is in the report, in error, and then the job ends.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;

use persea_journal::{JobFinished, JournalError, Line, Reader, TaskFinished, is_in_use};
use persea_model::names::TEST_RESULTS;
use persea_model::names::task_directory;
use persea_model::{Attributes, Runnable, Status, Tally};

/// What a journal says of a planned task. Those of older hosts have no names.
#[derive(Deserialize)]
struct Planned {
    index: usize,
    name: Option<String>,
    title: Option<String>,
    runnable: Runnable,
}

#[derive(Deserialize)]
struct Finished {
    status: Status,
}

/// What a journal lacks: the ends of tasks, and that of the job.
pub(super) struct Ending {
    /// How many tasks have no end.
    pub(super) unfinished: usize,
    pub(super) lines: Vec<Line<Attributes>>,
}

impl Ending {
    /// Makes up the end of the journal in a job's directory. Its last event is of the time `time`.
    pub(super) fn of(job_dir: &Path, time: u64) -> Result<Self, JournalError> {
        let reason = match is_in_use(job_dir) {
            true => "the job is still running: it has not ended yet",
            false => "the host ended before it",
        };
        let mut finished: HashSet<String> = HashSet::new();
        let mut started: HashMap<String, u64> = HashMap::new();
        let mut tally = Tally::default();
        let mut reader = Reader::open(job_dir)?;
        while let Some(line) = reader.next::<Finished>(|kind| kind == "task-finished")? {
            tally.add(line.data.status);
            finished.extend(line.task);
        }
        let mut reader = Reader::open(job_dir)?;
        let is_start = |kind: &str| kind == "task-started";
        while let Some(line) = reader.next::<serde::de::IgnoredAny>(is_start)? {
            if let Some(task) = line.task.filter(|task| !finished.contains(task)) {
                started.insert(task, line.time);
            }
        }
        let mut lines = Vec::new();
        let mut reader = Reader::open(job_dir)?;
        while let Some(line) = reader.next::<Planned>(|kind| kind == "task-planned")? {
            let Some(task) = line.task.filter(|task| !finished.contains(task)) else {
                continue;
            };
            tally.add(Status::Error);
            let end = end(&task, line.data, started.get(&task).copied(), reason);
            lines.push(made("task-finished", time, Some(task), &end));
        }
        let unfinished = lines.len();
        let end = JobFinished {
            switches: 0,
            tally,
            total: tally.total(),
            elapsed: 0,
            interrupted_by: Some("the journal ends before the job does".into()),
        };
        lines.push(made("job-finished", time, None, &end));
        Ok(Self { unfinished, lines })
    }
}

/// The end of a task of which the journal has none.
fn end(id: &str, planned: Planned, started: Option<u64>, reason: &str) -> TaskFinished {
    let Planned {
        index,
        name,
        title,
        runnable,
    } = planned;
    let of_runnable = || runnable.identifier.clone().or(runnable.uri.clone());
    let tags = runnable.tags.iter().map(|(tag, values)| {
        let values = Some(values).filter(|values| !values.is_empty());
        (tag.clone(), values.cloned().into())
    });
    TaskFinished {
        index,
        name: name.or_else(of_runnable).unwrap_or(id.to_owned()),
        title,
        kind: runnable.kind.clone(),
        uri: runnable.uri.clone(),
        status: Status::Error,
        reason: Some(reason.to_owned()),
        started,
        elapsed: 0,
        directory: format!("{TEST_RESULTS}/{}", task_directory(id)),
        tags: tags.collect(),
        suite: runnable.suite().map(str::to_owned),
        variant: runnable.more.get("variant").cloned(),
        whiteboard: None,
        left_behind: 0,
        attempts: 0,
        flaky: false,
        is_refused: false,
        more: Attributes::new(),
    }
}

fn made(
    event: &str,
    time: u64,
    task: Option<String>,
    data: &impl serde::Serialize,
) -> Line<Attributes> {
    let data = match serde_json::to_value(data) {
        Ok(serde_json::Value::Object(data)) => data,
        // An event is an object by its type.
        _ => Attributes::new(),
    };
    Line {
        event: event.to_owned(),
        time,
        task,
        data,
    }
}
