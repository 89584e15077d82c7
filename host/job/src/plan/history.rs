//! Owns the results of tasks in earlier jobs, as their journals have them. Does not know what they
//! are used for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use persea_journal::{Event, EventKind, FILE_NAME, Reader};
use persea_model::{Attribute, Case, Runnable, Status, Task};

/// The number of latest jobs that are read.
const MAX_JOBS: usize = 10;

/// The result of a task's last run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastRun {
    pub(crate) status: Status,
    /// The duration in nanoseconds.
    pub(crate) elapsed: u64,
}

/// A task's name and variant.
type TaskKey = (String, String);

/// The last run of each task.
#[derive(Debug, Default)]
pub(crate) struct History {
    runs: HashMap<TaskKey, LastRun>,
    /// The titles of the cases of these runs, where they were asked for.
    cases: HashMap<TaskKey, Vec<String>>,
}

impl History {
    /// Reads the latest jobs below `root`. Unreadable journals are skipped.
    pub(crate) fn read(root: &Path) -> Self {
        Self::read_events(root, &[EventKind::TaskFinished])
    }

    /// As [`Self::read`], with the cases of each task.
    pub(crate) fn read_with_cases(root: &Path) -> Self {
        let events = [
            EventKind::CaseFinished,
            EventKind::TaskRetried,
            EventKind::TaskFinished,
        ];
        Self::read_events(root, &events)
    }

    fn read_events(root: &Path, events: &[EventKind]) -> Self {
        let mut history = Self::default();
        for job in latest(root) {
            if let Err(error) = history.add(&job, events) {
                tracing::debug!("{error}");
            }
        }
        history
    }

    /// Adds the results of a job. Jobs are read from the latest on, so existing results stay.
    fn add(
        &mut self,
        job: &Path,
        events: &[EventKind],
    ) -> Result<(), persea_journal::JournalError> {
        let mut reader = Reader::open(job)?;
        // By the task's id, the cases of its present attempt.
        let mut open: HashMap<String, Vec<String>> = HashMap::new();
        while let Some(record) = reader.next_event(events)? {
            let task = record.task.unwrap_or_default();
            match record.event {
                Event::CaseFinished(finished) => {
                    let title = Case::title(&finished.path);
                    open.entry(task).or_default().push(title);
                }
                Event::TaskRetried(_) => {
                    open.remove(&task);
                }
                Event::TaskFinished(finished) => {
                    let cases = open.remove(&task);
                    // A task that never started has no result of its own.
                    if finished.started.is_none() {
                        continue;
                    }
                    let variant = variant_id(finished.variant.as_ref());
                    let last = LastRun {
                        status: finished.status,
                        elapsed: finished.elapsed,
                    };
                    let key = (finished.into_owned().name, variant);
                    if !self.runs.contains_key(&key) {
                        if let Some(cases) = cases {
                            self.cases.insert(key.clone(), cases);
                        }
                        self.runs.insert(key, last);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn of(&self, task: &Task) -> Option<LastRun> {
        self.of_named(&task.name, &task.runnable)
            .map(|(last, _)| last)
    }

    /// The last run of the task with this name, and the titles of its cases.
    pub(crate) fn of_named(&self, name: &str, runnable: &Runnable) -> Option<(LastRun, &[String])> {
        let variant = variant_id(runnable.more.get("variant"));
        let key = (name.to_owned(), variant);
        let last = self.runs.get(&key)?;
        Some((*last, self.cases.get(&key).map_or(&[], Vec::as_slice)))
    }
}

fn variant_id(variant: Option<&Attribute>) -> String {
    let id = variant.and_then(|variant| variant.member("variant_id"));
    id.and_then(Attribute::into_text).unwrap_or_default()
}

/// The latest jobs, the last one first.
fn latest(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let jobs = entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("job-") && path.join(FILE_NAME).is_file()
    });
    let mut jobs: Vec<(std::time::SystemTime, PathBuf)> = jobs
        .filter_map(|path| Some((path.join(FILE_NAME).metadata().ok()?.modified().ok()?, path)))
        .collect();
    jobs.sort();
    jobs.into_iter()
        .rev()
        .map(|(_, path)| path)
        .take(MAX_JOBS)
        .collect()
}
