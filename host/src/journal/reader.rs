//! Reading a journal back, while it is being written too. It must not know what the events mean.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use super::{FILE_NAME, JournalError};

/// How far a journal has been written, for those who follow it.
#[derive(Default)]
pub(super) struct Progress {
    state: Mutex<ProgressState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct ProgressState {
    committed: u64,
    finished: bool,
}

impl Progress {
    pub(super) fn advance(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.committed += bytes;
    }

    pub(super) fn finish(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .finished = true;
        self.changed.notify_all();
    }

    /// Waits until there is more than `seen` bytes. Sleeps a little first, so that a follower takes many lines at once and
    /// does not take the processor from the tests for each.
    fn wait(&self, seen: u64) -> ProgressState {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.finished {
                return *state;
            }
            let (woken, _) = self
                .changed
                .wait_timeout(state, FOLLOW)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if state.committed > seen {
                return *state;
            }
        }
    }
}

/// How long a follower lets lines gather: 100 ms.
const FOLLOW: Duration = Duration::from_millis(100);

/// One line of a journal as it was read, whatever its kind.
#[derive(Debug, Deserialize)]
pub struct Line<D> {
    /// What happened.
    pub event: String,
    /// When, in nanoseconds of Unix time.
    pub time: u64,
    /// The id of the task that it's about.
    pub task: Option<String>,
    /// What is known of it.
    pub data: D,
}

/// Reads a journal from its beginning.
pub struct Reader {
    path: PathBuf,
    input: BufReader<File>,
    progress: Option<Arc<Progress>>,
    read: u64,
    known: u64,
    line: u64,
    text: Vec<u8>,
}

impl Reader {
    /// Opens the journal in a job's directory.
    pub fn open(job_dir: &Path) -> Result<Self, JournalError> {
        Self::new(&job_dir.join(FILE_NAME), None)
    }

    pub(super) fn new(path: &Path, progress: Option<Arc<Progress>>) -> Result<Self, JournalError> {
        let file = File::open(path).map_err(|source| JournalError::Open {
            path: path.to_path_buf(),
            source,
        })?;
        Ok(Self {
            path: path.to_path_buf(),
            input: BufReader::with_capacity(256 * 1024, file),
            progress,
            read: 0,
            known: 0,
            line: 0,
            text: Vec::new(),
        })
    }

    /// Whether the next line is there already, so that `next` need not wait.
    pub fn has_next(&self) -> bool {
        self.progress.is_none() || self.read < self.known
    }

    /// The next event whose kind is one of `wanted`; none at the journal's end. Waits for it where the journal is followed.
    pub fn next<D: serde::de::DeserializeOwned>(
        &mut self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<Line<D>>, JournalError> {
        while self.next_line()? {
            if kind_of(&self.text).is_some_and(|kind| !wanted(kind)) {
                continue;
            }
            let line: Line<D> =
                serde_json::from_slice(&self.text).map_err(|source| JournalError::Line {
                    path: self.path.clone(),
                    line: self.line,
                    source,
                })?;
            if wanted(&line.event) {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// Reads a whole line into `text`; false at the end.
    fn next_line(&mut self) -> Result<bool, JournalError> {
        if let Some(progress) = &self.progress
            && self.read >= self.known
        {
            self.known = progress.wait(self.known).committed;
            if self.read >= self.known {
                return Ok(false);
            }
        }
        self.text.clear();
        let length = self
            .input
            .read_until(b'\n', &mut self.text)
            .map_err(|source| JournalError::Read {
                path: self.path.clone(),
                source,
            })?;
        self.read += length as u64;
        self.line += 1;
        // A line that has no end was being written when the host ended.
        Ok(self.text.last() == Some(&b'\n'))
    }
}

/// How many bytes of a journal are whole lines.
pub(super) fn whole_lines(file: &File) -> std::io::Result<u64> {
    let mut input = BufReader::with_capacity(256 * 1024, file);
    let (mut whole, mut read) = (0, 0);
    loop {
        let piece = input.fill_buf()?;
        let length = piece.len();
        if length == 0 {
            return Ok(whole);
        }
        if let Some(last) = piece.iter().rposition(|byte| *byte == b'\n') {
            whole = read + last as u64 + 1;
        }
        read += length as u64;
        input.consume(length);
    }
}

/// The kind of the event in a line as this module writes it; none where another writer made it.
fn kind_of(line: &[u8]) -> Option<&str> {
    let rest = line.strip_prefix(b"{\"event\":\"")?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(rest.get(..end)?).ok()
}
