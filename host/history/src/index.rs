//! Owns the index of a results directory: what the journals say, in a form that questions can be
//! asked of. Does not know what the questions are for.
//!
//! The index lies in the user's cache and not in the results directory: that may be read-only, or
//! part of a checkout whose files nobody should take for an index. Where there is no cache, the
//! index is made in memory. The journals are the truth, so an index that is damaged, or has another
//! schema, is removed and made again.

mod file;
mod questions;
mod update;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use file::IndexFile;
pub use questions::{JobEntry, RunEntry};
pub use update::{JobFault, Update};

/// The version of the schema. Every change of what is stored, or of how journals are read, needs
/// another one.
const VERSION: i64 = 2;

/// The tables. A test has one row however many jobs have run it.
const SCHEMA: &str = "
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    job_id TEXT NOT NULL,
    started INTEGER NOT NULL,
    elapsed INTEGER,
    interrupted_by TEXT,
    total INTEGER NOT NULL,
    tally TEXT NOT NULL,
    flaky INTEGER NOT NULL,
    project TEXT NOT NULL,
    commit_id TEXT,
    branch TEXT,
    fault TEXT
) STRICT;
CREATE INDEX jobs_by_time ON jobs (started);
CREATE TABLE tests (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE runs (
    test INTEGER NOT NULL,
    job INTEGER NOT NULL,
    status TEXT NOT NULL,
    has_started INTEGER NOT NULL,
    elapsed INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    flaky INTEGER NOT NULL,
    PRIMARY KEY (test, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_by_job ON runs (job);
";

/// How long a host waits for another one that writes to the index.
const WAIT: Duration = Duration::from_secs(30);

/// Why a question about the past cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The results directory cannot be read.
    #[error("cannot read the results directory {}: {source}", path.display())]
    Results {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Not even an index in memory can be made.
    #[error("cannot make the index of {}: {source}", path.display())]
    Index {
        /// The results directory.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
}

/// The answer of an index; an error is one of SQLite.
pub type Answered<T> = rusqlite::Result<T>;

/// An index that is up to date.
pub struct Index {
    connection: Connection,
    root: PathBuf,
    /// Keeps other hosts from removing the file.
    _file: Option<IndexFile>,
}

/// Brings the index of the results directory `root` up to date, and asks it. `cache` is the user's
/// directory for caches. The question is asked again if the index turns out to be damaged.
///
/// # Errors
/// The results directory cannot be read, or not even an index in memory can be made.
pub fn query<T>(
    root: &Path,
    cache: Option<&Path>,
    question: impl Fn(&Index) -> Answered<T>,
) -> Result<(T, Update), IndexError> {
    // One index however the directory is named.
    let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
    let failed = |failure| match failure {
        Failure::Results(source) => IndexError::Results {
            path: root.clone(),
            source,
        },
        Failure::Index(source) => IndexError::Index {
            path: root.clone(),
            source,
        },
    };
    let ask = |mut index: Index| -> Result<(T, Update), Failure> {
        let update = index.update()?;
        Ok((question(&index)?, update))
    };
    if let Some(cache) = cache {
        for is_new in [false, true] {
            let opened = Index::open(&root, cache, is_new).map_err(Failure::Index);
            match opened.and_then(ask) {
                Ok(answer) => return Ok(answer),
                Err(Failure::Results(source)) => return Err(failed(Failure::Results(source))),
                Err(Failure::Index(error)) => {
                    tracing::info!("the index of {} is made again: {error}", root.display());
                    // A full disk or a file system without locks: a new file would not help.
                    if !is_damage(&error) {
                        break;
                    }
                }
            }
        }
    }
    Index::in_memory(&root)
        .map_err(Failure::Index)
        .and_then(ask)
        .map_err(failed)
}

/// Why an index does not answer.
#[derive(Debug)]
enum Failure {
    Results(io::Error),
    Index(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Index(error)
    }
}

/// Whether an error is about what is in the file. A schema that lacks a table is such an error, and
/// so is a value of another type.
fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(cause, _) => matches!(
            cause.code,
            ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::TypeMismatch
                | ErrorCode::ConstraintViolation
                | ErrorCode::Unknown
        ),
        _ => true,
    }
}

impl Index {
    /// Opens the index in the user's cache, or makes it. `is_new` removes an existing one first.
    fn open(root: &Path, cache: &Path, is_new: bool) -> rusqlite::Result<Self> {
        let file = IndexFile::lock(cache, root).map_err(cannot_open)?;
        let file = match is_new {
            true => file.remove().map_err(cannot_open)?,
            false => file,
        };
        // No link in place of the file is followed.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file.path(), flags)?;
        let mut index = Self {
            connection,
            root: root.to_path_buf(),
            _file: Some(file),
        };
        index.prepare()?;
        Ok(index)
    }

    fn in_memory(root: &Path) -> rusqlite::Result<Self> {
        let mut index = Self {
            connection: Connection::open_in_memory()?,
            root: root.to_path_buf(),
            _file: None,
        };
        index.prepare()?;
        Ok(index)
    }

    /// Makes the tables of a new index, and checks the version of an older one.
    fn prepare(&mut self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(WAIT)?;
        // What a damaged file says runs no function and is checked as it is read.
        self.connection
            .pragma_update(None, "trusted_schema", false)?;
        self.connection
            .pragma_update(None, "cell_size_check", true)?;
        // A temporary file would lie in a directory of others.
        self.connection
            .pragma_update(None, "temp_store", "memory")?;
        let version = |connection: &Connection| -> rusqlite::Result<i64> {
            connection.query_row("PRAGMA user_version", [], |row| row.get(0))
        };
        if version(&self.connection)? == VERSION {
            return Ok(());
        }
        let behaviour = rusqlite::TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behaviour)?;
        // Another host may have made the tables meanwhile.
        match version(&transaction)? {
            VERSION => return Ok(()),
            0 => {}
            _ => return Err(rusqlite::Error::InvalidQuery),
        }
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()
    }
}

/// The error of a file that cannot be opened or locked.
fn cannot_open(error: io::Error) -> rusqlite::Error {
    let cause = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
    rusqlite::Error::SqliteFailure(cause, Some(error.to_string()))
}
