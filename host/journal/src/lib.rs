//! Owns the journal: every change of state of a job and its tasks, a JSON line each, in
//! `events.jsonl`. This file appends lines, `event` has their content, `reader` reads them, also
//! while the job still writes. Does not know who acts on an event.
//!
//! A line is one object in UTF-8: `event` (the kind), `time` (nanoseconds since
//! 1970-01-01T00:00:00Z), `task` (the id of the task that the event is about, if any) and `data`
//! (an object). `event` comes first, so that a reader can skip lines of other kinds. A last line
//! without a newline was cut off by the end of the host, and is skipped.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod case;
mod event;
mod lines;
mod reader;
mod repair;
mod requirement;
mod takeover;
mod task_end;

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::tz::TimeZone;
use serde::Serialize;

pub use self::case::{CaseFinished, CaseStarted, ShownCase};
pub use self::event::{
    Event, EventKind, JobFinished, JobStarted, NoData, Revision, TaskPlanned, TaskProgress,
    TaskStarted, Warning, WarningCause,
};
pub use self::lines::EventLines;
use self::reader::Progress;
pub use self::reader::{Line, Reader, Record};
pub use self::requirement::{
    RequirementAbsent, RequirementFinished, RequirementReleased, RequirementRetried,
    RequirementStarted, RequirementState,
};
pub use self::takeover::{
    EnvironmentChanged, EnvironmentPhase, HostRecord, JobTakenOver, KnownResult, MadeBy,
    PluginRecord, RemoteId, TakeOverData,
};
pub use self::task_end::{AttemptCause, PeakMemoryOf, TaskEnvironment, TaskFinished};

/// The journal's file name in a job's directory.
pub const FILE_NAME: &str = "events.jsonl";

/// Why a journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The job is still running.
    #[error("the job in {} is still running", path.display())]
    Busy {
        /// The job's directory.
        path: PathBuf,
    },
    /// Nobody can be kept from writing to the journal at the same time.
    #[error(
        "cannot lock the journal {}: {source}; without a lock, two hosts could work on the job",
        path.display()
    )]
    Lock {
        /// The journal's path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The journal cannot be created or opened.
    #[error("cannot open the journal {}: {source}", path.display())]
    Open {
        /// The journal's path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A line cannot be added, for example because the disk is full.
    #[error(
        "cannot write to the journal {}: {source}{}",
        path.display(),
        persea_system::ulimit::hint(source)
    )]
    Write {
        /// The journal's path.
        path: PathBuf,
        /// The system's error.
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
    /// The journal cannot be read.
    #[error("cannot read the journal {}: {source}", path.display())]
    Read {
        /// The journal's path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A line is longer than any event.
    #[error(
        "{}:{line}: not an event of a journal: the line has more than {} MiB",
        path.display(),
        longest >> 20
    )]
    Long {
        /// The journal's path.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// The longest allowed line, in bytes.
        longest: u64,
    },
    /// A line would take too much memory.
    #[error(
        "{}:{line}: the line would take more than {} MiB of memory, more than any event",
        path.display(),
        heaviest >> 20
    )]
    Heavy {
        /// The journal's path.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// The most memory that a line may take, in bytes.
        heaviest: u64,
    },
    /// A line is not an event.
    #[error("{}:{line}: not an event of a journal: {source}", path.display())]
    Line {
        /// The journal's path.
        path: PathBuf,
        /// The line's number, from 1.
        line: u64,
        /// The parser's message.
        source: serde_json::Error,
    },
}

/// A line as it is written. `event` comes first, so that a reader can skip the line by its
/// beginning.
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

/// The time of day for people. The calendar ends with the year 9999; a later clock reads as its
/// end.
pub fn date_and_time() -> jiff::Timestamp {
    in_calendar(SystemTime::now())
}

/// A time in nanoseconds since 1970-01-01T00:00:00Z, in the local time zone.
pub fn local_time(nanoseconds: u64) -> jiff::Zoned {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanoseconds));
    in_calendar(time.unwrap_or(SystemTime::UNIX_EPOCH)).to_zoned(time_zone())
}

/// The local time zone. The library looks for its name in all zones of the system, which takes 2
/// ms.
pub fn time_zone() -> TimeZone {
    if std::env::var_os("TZ").is_some() {
        return TimeZone::system();
    }
    let local = std::fs::read("/etc/localtime").ok();
    let local = local.and_then(|bytes| TimeZone::tzif("local", &bytes).ok());
    local.unwrap_or_else(TimeZone::system)
}

fn in_calendar(time: SystemTime) -> jiff::Timestamp {
    jiff::Timestamp::try_from(time).unwrap_or_else(|_| match time < SystemTime::UNIX_EPOCH {
        true => jiff::Timestamp::MIN,
        false => jiff::Timestamp::MAX,
    })
}

/// Appends events. Lines are buffered until `commit` writes them, before anybody acts on them.
pub struct Journal {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    progress: Arc<Progress>,
    /// When the path was checked last.
    checked: Option<Instant>,
}

/// How long a check of the path counts: 1 ms. Each check costs a microsecond, and quick tasks have
/// tens of thousands of commits a second.
const CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// The size of the buffer, in bytes, above which it is written without a `commit`.
const GATHER: usize = 256 * 1024;

impl Journal {
    /// Creates the journal of a new job in its directory.
    pub fn create(job_dir: &Path) -> Result<Self, JournalError> {
        let path = job_dir.join(FILE_NAME);
        let file = File::options()
            .append(true)
            .create_new(true)
            // Whoever could write to the journal would choose what a release runs.
            .mode(persea_system::private::READABLE_FILE)
            .open(&path)
            .map_err(|source| JournalError::Open {
                path: path.clone(),
                source,
            })?;
        // Held as long as the job runs. On a file system without locks nobody is kept out.
        let _ = file.try_lock();
        Ok(Self::of(path, file))
    }

    /// Opens the journal of a job that has ended or was killed, to append to it. A last line that
    /// is not whole, because it was being written when the host ended, is removed.
    ///
    /// # Errors
    /// The job is still running, or the journal cannot be opened.
    pub fn reopen(job_dir: &Path) -> Result<Self, JournalError> {
        match Self::lock_and_repair(job_dir) {
            Ok((journal, _)) => Ok(journal),
            Err(error) => Err(error),
        }
    }

    /// [`Journal::reopen`], for a host that takes the job over: it has to be alone with the job.
    ///
    /// # Errors
    /// The journal cannot be locked, or as for [`Journal::reopen`].
    pub fn take_over(job_dir: &Path) -> Result<Self, JournalError> {
        match Self::lock_and_repair(job_dir)? {
            (journal, None) => Ok(journal),
            (journal, Some(source)) => Err(JournalError::Lock {
                path: journal.path.clone(),
                source,
            }),
        }
    }

    /// The reopened journal, and why it could not be locked, if it could not.
    fn lock_and_repair(job_dir: &Path) -> Result<(Self, Option<io::Error>), JournalError> {
        let path = job_dir.join(FILE_NAME);
        let failed = |source| JournalError::Open {
            path: path.clone(),
            source,
        };
        let options = File::options().read(true).append(true).clone();
        let file = options.open(&path).map_err(failed)?;
        let unlocked = match file.try_lock() {
            Ok(()) => None,
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(JournalError::Busy {
                    path: job_dir.to_path_buf(),
                });
            }
            Err(std::fs::TryLockError::Error(error)) => Some(error),
        };
        let repaired = || {
            let whole = repair::whole_length(&file)?;
            if whole < file.metadata()?.len() {
                file.set_len(whole)?;
            }
            Ok(whole)
        };
        let whole = repaired().map_err(failed)?;
        let mut journal = Self::of(path.clone(), file);
        journal.progress = Arc::new(Progress::from(whole));
        Ok((journal, unlocked))
    }

    fn of(path: PathBuf, file: File) -> Self {
        Self {
            path,
            file,
            buffer: Vec::new(),
            progress: Arc::default(),
            checked: None,
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
        let mut lines = EventLines(std::mem::take(&mut self.buffer));
        let pushed = lines.push(time, task, event);
        self.buffer = lines.0;
        pushed.map_err(|source| JournalError::Write {
            path: self.path.clone(),
            source: source.into(),
        })?;
        self.commit_full()
    }

    /// Appends lines that were encoded before.
    ///
    /// # Errors
    /// The buffer was full, and the file cannot be written.
    pub fn append_lines(&mut self, lines: &EventLines) -> Result<(), JournalError> {
        self.buffer.extend_from_slice(&lines.0);
        self.commit_full()
    }

    /// Writes the buffered lines to the file if there are many.
    fn commit_full(&mut self) -> Result<(), JournalError> {
        if self.buffer.len() > GATHER {
            self.commit()
        } else {
            Ok(())
        }
    }

    /// Writes the buffered lines to the file.
    ///
    /// # Errors
    /// [`JournalError::Write`] if the system refuses to write, [`JournalError::Gone`] if the file
    /// no longer has its path, so that whatever is written to it is lost.
    pub fn commit(&mut self) -> Result<(), JournalError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.checked.is_none_or(|at| at.elapsed() >= CHECK_INTERVAL) {
            self.check_path()?;
        }
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

    /// Writes the last lines of the job to the file, and checks once more that it has its path.
    ///
    /// # Errors
    /// As those of [`Self::commit`].
    pub fn finish(&mut self) -> Result<(), JournalError> {
        self.commit()?;
        self.check_path()
    }

    /// Checks that the file still has its path. A check at the end of the job alone would lose all
    /// results after the removal.
    fn check_path(&mut self) -> Result<(), JournalError> {
        self.checked = Some(Instant::now());
        match std::fs::symlink_metadata(&self.path) {
            Err(error) if is_missing(&error) => Err(JournalError::Gone {
                path: self.path.parent().unwrap_or(&self.path).to_path_buf(),
            }),
            // Another error, such as a network that is down, says nothing about the path.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// A reader that follows the committed lines until the journal is dropped.
    pub fn follow(&self) -> Result<Reader, JournalError> {
        Reader::new(&self.path, Some(Arc::clone(&self.progress)))
    }
}

/// Whether the job in a directory is running: a running job holds the lock of its journal.
pub fn is_in_use(job_dir: &Path) -> bool {
    File::open(job_dir.join(FILE_NAME)).is_ok_and(|file| is_locked(&file))
}

fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Tries to take the lock. True if another process holds it.
fn is_locked(file: &File) -> bool {
    matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock))
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.progress.finish();
    }
}

#[cfg(test)]
mod tests;
