//! The journal: every change of state of a job and its tasks, a JSON line each, in `events.jsonl`.
//!
//! Owns the format of a line and how lines are appended; `event` says what they hold, and `reader` reads them back, also while the job still writes. Knows nothing of who
//! acts on an event. The format: one object a line, in UTF-8, with `event` (what happened), `time` (nanoseconds since
//! 1970-01-01T00:00:00Z), `task` (the id, where the event is about one) and `data` (an object); `event` comes first, so that
//! a reader can pass over what it does not want. A last line without its newline was cut off by the end of the host: it is passed over.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod event;
mod reader;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

pub use self::event::{
    Event, EventKind, JobFinished, JobStarted, NoData, RequirementAbsent, RequirementFinished,
    RequirementReleased, RequirementStarted, RequirementState, TaskEnvironment, TaskFinished,
    TaskPlanned, TaskProgress, TaskStarted, Warning, WarningCause,
};
use self::reader::Progress;
pub use self::reader::{Line, Reader, Record};

/// The journal's name in a job's directory.
pub const FILE_NAME: &str = "events.jsonl";

/// What can go wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A job that runs has it.
    #[error("the job in {} is still running", path.display())]
    Busy {
        /// The job's directory.
        path: PathBuf,
    },
    /// It could not be made or opened.
    #[error("cannot open the journal {}: {source}", path.display())]
    Open {
        /// The journal's path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line could not be added: a full disk, say.
    #[error("cannot write to the journal {}: {source}{}", path.display(), persea_system::ulimit::hint(source))]
    Write {
        /// The journal's path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The job's directory was removed or renamed while the job ran.
    #[error(
        "the job's directory {} is gone: somebody has removed or renamed it while the job ran",
        path.display()
    )]
    Gone {
        /// The job's directory.
        path: PathBuf,
    },
    /// It could not be read.
    #[error("cannot read the journal {}: {source}", path.display())]
    Read {
        /// The journal's path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is longer than any event.
    #[error("{}:{line}: not an event of a journal: the line has more than {} MiB", path.display(), longest >> 20)]
    Long {
        /// The journal's path.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// The most bytes that a line has.
        longest: u64,
    },
    /// A line would take too much memory.
    #[error("{}:{line}: the line would take more than {} MiB of memory, which no event does", path.display(), heaviest >> 20)]
    Heavy {
        /// The journal's path.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// The most that a line may take, in bytes.
        heaviest: u64,
    },
    /// A line is no event.
    #[error("{}:{line}: not an event of a journal: {source}", path.display())]
    Line {
        /// The journal's path.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// What the parser said.
        source: serde_json::Error,
    },
}

/// A line as it is written. `event` comes first, so that a reader can skip a line by its beginning.
#[derive(Serialize)]
struct WrittenLine<'a, 'e> {
    event: &'static str,
    time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    data: &'a Event<'e>,
}

/// The time of day, in nanoseconds since 1970-01-01T00:00:00Z.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |elapsed| {
            u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
        })
}

/// The time of day for people. A clock beyond the year 9999, which no calendar of the library has, stands still at its end.
pub fn date_and_time() -> jiff::Timestamp {
    in_calendar(SystemTime::now())
}

fn in_calendar(time: SystemTime) -> jiff::Timestamp {
    jiff::Timestamp::try_from(time).unwrap_or_else(|_| match time < SystemTime::UNIX_EPOCH {
        true => jiff::Timestamp::MIN,
        false => jiff::Timestamp::MAX,
    })
}

/// Appends events. Lines are gathered and go to the file together with `commit`, before anybody acts on them.
pub struct Journal {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    progress: Arc<Progress>,
}

/// Lines gathered beyond this are written even without a `commit`: 256 KiB.
const GATHER: usize = 256 * 1024;

impl Journal {
    /// Makes the journal of a new job in its directory.
    pub fn create(job_dir: &Path) -> Result<Self, JournalError> {
        let path = job_dir.join(FILE_NAME);
        let file = File::options()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(|source| JournalError::Open {
                path: path.clone(),
                source,
            })?;
        // As long as the job lives; where a file system knows no locks, nobody is kept out.
        let _ = file.try_lock();
        Ok(Self::of(path, file))
    }

    /// Opens the journal of a job that has ended, or was killed, to add to it.
    pub fn reopen(job_dir: &Path) -> Result<Self, JournalError> {
        let path = job_dir.join(FILE_NAME);
        let opened = || {
            let file = File::options().read(true).append(true).open(&path)?;
            if is_locked(&file) {
                return Ok(None);
            }
            // A line that was being written when the host was killed has no end.
            let whole = reader::whole_lines(&file)?;
            file.set_len(whole)?;
            Ok(Some(file))
        };
        let file = opened().map_err(|source| JournalError::Open {
            path: path.clone(),
            source,
        })?;
        match file {
            Some(file) => Ok(Self::of(path, file)),
            None => Err(JournalError::Busy {
                path: job_dir.to_path_buf(),
            }),
        }
    }

    fn of(path: PathBuf, file: File) -> Self {
        Self {
            path,
            file,
            buffer: Vec::new(),
            progress: Arc::default(),
        }
    }

    /// Appends an event that happens now; `task` is the id of the task that the event is about.
    ///
    /// # Errors
    /// The buffer was full, and the file cannot be written.
    pub fn record(&mut self, task: Option<&str>, event: &Event<'_>) -> Result<(), JournalError> {
        self.append(now(), task, event)
    }

    /// Appends an event that happened at `time`, in nanoseconds of Unix time.
    ///
    /// # Errors
    /// The buffer was full, and the file cannot be written.
    pub fn append(
        &mut self,
        time: u64,
        task: Option<&str>,
        event: &Event<'_>,
    ) -> Result<(), JournalError> {
        let line = WrittenLine {
            event: event.kind().name(),
            time,
            task,
            data: event,
        };
        let written = serde_json::to_writer(&mut self.buffer, &line);
        written.map_err(|source| JournalError::Write {
            path: self.path.clone(),
            source: source.into(),
        })?;
        self.buffer.push(b'\n');
        if self.buffer.len() > GATHER {
            self.commit()
        } else {
            Ok(())
        }
    }

    /// Puts what was added into the file.
    ///
    /// # Errors
    /// [`JournalError::Write`] where the system refuses to write, [`JournalError::Gone`] where the
    /// file no longer has its path: whatever is written to it then is lost.
    pub fn commit(&mut self) -> Result<(), JournalError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.check_path()?;
        self.file
            .write_all(&self.buffer)
            .map_err(|source| JournalError::Write {
                path: self.path.clone(),
                source,
            })?;
        self.progress.advance(self.buffer.len() as u64);
        self.buffer.clear();
        Ok(())
    }

    /// Looks whether the file still has its path. Costs a microsecond a commit, where waiting for
    /// the end of the job would cost the user everything that ran after the removal.
    fn check_path(&self) -> Result<(), JournalError> {
        match std::fs::symlink_metadata(&self.path) {
            Err(error) if is_missing(&error) => Err(JournalError::Gone {
                path: self.path.parent().unwrap_or(&self.path).to_path_buf(),
            }),
            // Another error, as of a network that is down, says nothing about the path.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// A reader that follows what is committed until the journal is dropped.
    pub fn follow(&self) -> Result<Reader, JournalError> {
        Reader::new(&self.path, Some(Arc::clone(&self.progress)))
    }
}

/// Whether the job in a directory runs: then it has its journal's lock.
pub fn is_in_use(job_dir: &Path) -> bool {
    File::open(job_dir.join(FILE_NAME)).is_ok_and(|file| is_locked(&file))
}

fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Takes the lock, unless somebody else has it.
fn is_locked(file: &File) -> bool {
    matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock))
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.progress.finish();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::borrow::Cow;

    use persea_model::Attributes;

    use super::*;

    fn progress(message: &str) -> Event<'_> {
        Event::TaskProgress(Cow::Owned(TaskProgress {
            message: message.into(),
        }))
    }

    fn started() -> JobStarted {
        JobStarted {
            project_dir: "/project".into(),
            job_id: "0".repeat(40),
            job_dir: "/j".into(),
            name: "j".into(),
            total: 2,
            persea_version: "0".into(),
            references: vec!["a\nb".into()],
            shuffle_seed: None,
            settings: Attributes::new(),
        }
    }

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(dir.path()).unwrap();
        let id = || "1-file".to_owned();
        let finished: TaskFinished = serde_json::from_value(serde_json::json!({
            "index": 1, "name": "a", "kind": "noop", "status": "PASS", "elapsed": 5, "directory": "d", "open": [1],
        }))
        .unwrap();
        let events = [
            Event::JobStarted(Cow::Owned(started())),
            Event::TaskPlanned(Cow::Owned(TaskPlanned {
                index: 1,
                name: Some("a".into()),
                title: None,
                runnable: Cow::default(),
            })),
            Event::TaskStarted(Cow::Owned(TaskStarted {
                leases: [("gpu".into(), vec!["gpu0".into()])].into(),
                environment: Some(TaskEnvironment {
                    spawner: "sandbox".into(),
                    snapshot: Some(id().into()),
                }),
            })),
            progress("half way"),
            Event::TaskRetried(Cow::Borrowed(&finished)),
            Event::TaskFinished(Cow::Borrowed(&finished)),
            Event::RequirementStarted(Cow::Owned(RequirementStarted {
                id: id().into(),
                name: "a file".into(),
                requirement: Cow::default(),
                scope: persea_model::Scope::Job,
                resolver: "file".into(),
                spawner: None,
            })),
            Event::RequirementAbsent(Cow::Owned(RequirementAbsent { id: id().into() })),
            Event::RequirementFinished(Cow::Owned(RequirementFinished {
                id: id(),
                state: RequirementState::Unknown,
                reason: Some("the host was killed".into()),
                elapsed: 7,
                fulfilled: Attributes::new(),
                snapshot: None,
            })),
            Event::RequirementReleased(Cow::Owned(RequirementReleased {
                id: id(),
                reason: None,
                elapsed: 8,
            })),
            Event::Warning(Cow::Owned(Warning {
                cause: WarningCause::Incomplete,
                reference: Some("a.py".into()),
                plugin: None,
                message: "3 classes are left out".into(),
            })),
            Event::JobPaused(Cow::default()),
            Event::JobResumed(Cow::default()),
            Event::JobFinished(Cow::Owned(JobFinished {
                tally: persea_model::Tally::default(),
                total: 1,
                elapsed: 9,
                interrupted_by: None,
                switches: 0,
            })),
        ];
        let kinds: Vec<EventKind> = events.iter().map(Event::kind).collect();
        assert_eq!(kinds, EventKind::ALL);
        for (event, time) in events.iter().zip(1..) {
            journal.append(time, Some("1-a"), event).unwrap();
        }
        journal.commit().unwrap();
        drop(journal);
        let mut reader = Reader::open(dir.path()).unwrap();
        for (event, time) in events.iter().zip(1..) {
            let read = reader.next_event(EventKind::ALL).unwrap().unwrap();
            assert_eq!((read.time, read.task.as_deref()), (time, Some("1-a")));
            assert_eq!(read.event.kind(), event.kind());
            assert_eq!(EventKind::of(event.kind().name()), Some(event.kind()));
            assert_eq!(json(&read.event), json(event));
        }
        assert!(reader.next_event(EventKind::ALL).unwrap().is_none());
    }

    fn json(event: &Event<'_>) -> serde_json::Value {
        serde_json::to_value(event).unwrap()
    }

    #[test]
    fn clock_beyond_the_calendar_stands_still_at_its_end() {
        let year = std::time::Duration::from_secs(366 * 24 * 3600);
        let now = in_calendar(SystemTime::UNIX_EPOCH + year);
        assert_eq!(now.as_second(), 366 * 24 * 3600);
        let far = in_calendar(SystemTime::UNIX_EPOCH + year * 9000);
        assert_eq!(far, jiff::Timestamp::MAX);
        assert!(far.to_string().starts_with("9999-12-30"));
    }

    #[test]
    fn lines_come_back_in_order_and_a_cut_last_line_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(dir.path()).unwrap();
        let job = Event::JobStarted(Cow::Owned(started()));
        journal.append(1, None, &job).unwrap();
        journal
            .append(2, Some("1-a"), &Event::TaskStarted(Cow::default()))
            .unwrap();
        journal
            .append(3, Some("1-a"), &progress("half way\n\u{1b}[0m"))
            .unwrap();
        journal.commit().unwrap();
        drop(journal);
        let path = dir.path().join(FILE_NAME);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"event\":\"task-fin").unwrap();

        let mut reader = Reader::open(dir.path()).unwrap();
        let mut seen = Vec::new();
        while let Some(line) = reader.next::<Attributes>(|_| true).unwrap() {
            seen.push((line.event, line.time, line.task));
        }
        assert_eq!(
            seen,
            [
                ("job-started".into(), 1, None),
                ("task-started".into(), 2, Some("1-a".into())),
                ("task-progress".into(), 3, Some("1-a".into())),
            ]
        );
    }

    #[test]
    fn a_follower_sees_what_is_committed_and_ends_with_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(dir.path()).unwrap();
        let mut reader = journal.follow().unwrap();
        let follower = std::thread::spawn(move || {
            let mut times = Vec::new();
            while let Some(line) = reader
                .next::<Attributes>(|kind| kind == "task-started")
                .unwrap()
            {
                times.push(line.time);
            }
            times
        });
        for time in 0..1000 {
            journal
                .append(time, Some("1-a"), &Event::TaskStarted(Cow::default()))
                .unwrap();
            journal.append(time, Some("1-a"), &progress("no")).unwrap();
            journal.commit().unwrap();
        }
        drop(journal);
        assert_eq!(follower.join().unwrap(), (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn commit_names_the_directory_that_was_removed_or_renamed() {
        let root = tempfile::tempdir().unwrap();
        let acts: [fn(&Path); 3] = [
            |job| std::fs::remove_dir_all(job).unwrap(),
            |job| std::fs::rename(job, job.with_extension("aside")).unwrap(),
            |job| std::fs::remove_file(job.join(FILE_NAME)).unwrap(),
        ];
        for (number, act) in acts.into_iter().enumerate() {
            let job = root.path().join(number.to_string());
            std::fs::create_dir(&job).unwrap();
            let mut journal = Journal::create(&job).unwrap();
            let begun = Event::JobStarted(Cow::Owned(started()));
            journal.append(1, None, &begun).unwrap();
            journal.commit().unwrap();
            act(&job);
            journal.commit().unwrap();
            let paused = Event::JobPaused(Cow::default());
            journal.append(2, None, &paused).unwrap();
            let error = journal.commit().unwrap_err().to_string();
            let expected = format!("the job's directory {} is gone", job.display());
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_broken_line_is_named_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join(FILE_NAME),
            "{\"event\":\"a\",\"time\":1,\"data\":{}}\nrubbish\n",
        )
        .unwrap();
        let mut reader = Reader::open(dir.path()).unwrap();
        assert!(reader.next::<Attributes>(|_| true).unwrap().is_some());
        let error = reader.next::<Attributes>(|_| true).unwrap_err();
        assert!(
            error.to_string().contains("events.jsonl:2: not an event"),
            "{error}"
        );
    }
}
