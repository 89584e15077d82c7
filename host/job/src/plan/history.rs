//! Owns the results of tasks in earlier jobs, as their journals have them. Does not know what they
//! are used for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use persea_journal::{Event, EventKind, FILE_NAME, Reader};
use persea_model::{Attribute, Status, Task};

/// The number of latest jobs that are read.
const MAX_JOBS: usize = 10;

/// The result of a task's last run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastRun {
    pub(crate) status: Status,
    /// The duration in nanoseconds.
    pub(crate) elapsed: u64,
}

/// The last run of each task, by its name and variant.
#[derive(Debug, Default)]
pub(crate) struct History(HashMap<(String, String), LastRun>);

impl History {
    /// Reads the latest jobs below `root`. Unreadable journals are skipped.
    pub(crate) fn read(root: &Path) -> Self {
        let mut history = Self::default();
        for job in latest(root) {
            if let Err(error) = history.add(&job) {
                tracing::debug!("{error}");
            }
        }
        history
    }

    /// Adds the results of a job. Jobs are read from the latest on, so existing results stay.
    fn add(&mut self, job: &Path) -> Result<(), persea_journal::JournalError> {
        let mut reader = Reader::open(job)?;
        while let Some(record) = reader.next_event(&[EventKind::TaskFinished])? {
            // A task that never started has no result of its own.
            if let Event::TaskFinished(finished) = record.event
                && finished.started.is_some()
            {
                let variant = variant_id(finished.variant.as_ref());
                let last = LastRun {
                    status: finished.status,
                    elapsed: finished.elapsed,
                };
                let name = finished.into_owned().name;
                self.0.entry((name, variant)).or_insert(last);
            }
        }
        Ok(())
    }

    pub(crate) fn of(&self, task: &Task) -> Option<LastRun> {
        let variant = variant_id(task.runnable.more.get("variant"));
        self.0.get(&(task.name.to_string(), variant)).copied()
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
