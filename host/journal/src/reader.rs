//! Owns the reading of a journal, also while it is being written. Does not know what events mean.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Event, EventKind, FILE_NAME, JournalError, repair};
use persea_model::weight;

/// The progress of a journal's writer, for its followers.
#[derive(Default)]
pub(super) struct Progress {
    state: Mutex<ProgressState>,
    changed: Condvar,
    /// Whether another host has begun the journal.
    is_reopened: bool,
}

#[derive(Clone, Copy, Default)]
struct ProgressState {
    committed: u64,
    finished: bool,
}

impl Progress {
    /// The progress of a writer that goes on after this number of bytes.
    pub(super) fn from(committed: u64) -> Self {
        Self {
            state: Mutex::new(ProgressState {
                committed,
                finished: false,
            }),
            changed: Condvar::new(),
            is_reopened: true,
        }
    }

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

    /// Waits until more than `seen` bytes are committed, or the journal is finished. Sleeps first,
    /// so that a follower reads many lines at once and leaves the processor to the tests.
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

/// The time that a follower lets lines gather. It is short, because at the end of a job everybody
/// waits for the followers to read the rest.
const FOLLOW: Duration = Duration::from_millis(25);

/// A line of a journal, of any kind.
#[derive(Debug, Deserialize)]
pub struct Line<D> {
    /// The name of the event's kind.
    pub event: String,
    /// The time, in nanoseconds of Unix time.
    pub time: u64,
    /// The id of the task that the event is about.
    pub task: Option<String>,
    /// The event's data.
    pub data: D,
}

/// A line of a journal as a typed event.
#[derive(Debug)]
pub struct Record {
    /// The time, in nanoseconds of Unix time.
    pub time: u64,
    /// The id of the task that the event is about.
    pub task: Option<String>,
    /// The event.
    pub event: Event<'static>,
}

/// Reads a journal from its beginning, without what a host that took the job over has superseded.
pub struct Reader {
    path: PathBuf,
    input: BufReader<File>,
    progress: Option<Arc<Progress>>,
    read: u64,
    known: u64,
    line: u64,
    text: Vec<u8>,
    longest: u64,
    /// The numbers of the lines that count no longer.
    superseded: BTreeSet<u64>,
}

/// The longest line that is read, in bytes. No host writes such a line: the answers of plugins are
/// limited to less.
const LONGEST: u64 = 512 << 20;

/// The most memory that a parsed line may take, in bytes. The answers of plugins are limited to
/// less.
const HEAVIEST: u64 = 1 << 30;

/// A line up to this length, in bytes, is not weighed: parsed, it takes at most some 6 MiB.
const SHORT: usize = 64 << 10;

impl Reader {
    /// Opens the journal in a job's directory.
    pub fn open(job_dir: &Path) -> Result<Self, JournalError> {
        Self::new(&job_dir.join(FILE_NAME), None)
    }

    pub(super) fn new(path: &Path, progress: Option<Arc<Progress>>) -> Result<Self, JournalError> {
        let mut reader = Self::of_all(path, progress)?;
        // A new journal has nothing that could be superseded.
        if reader.progress.as_ref().is_none_or(|it| it.is_reopened) {
            reader.superseded = repair::superseded(path)?;
        }
        Ok(reader)
    }

    /// Opens the journal in a job's directory with what a host that took the job over has
    /// superseded.
    ///
    /// # Errors
    /// The journal cannot be opened.
    pub fn open_whole(job_dir: &Path) -> Result<Self, JournalError> {
        Self::of_all(&job_dir.join(FILE_NAME), None)
    }

    /// A reader that also returns what was superseded.
    pub(super) fn of_all(
        path: &Path,
        progress: Option<Arc<Progress>>,
    ) -> Result<Self, JournalError> {
        let file =
            persea_system::bounded_read::open(path).map_err(|source| JournalError::Open {
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
            longest: LONGEST,
            superseded: BTreeSet::new(),
        })
    }

    /// Whether the journal is being written in this process, so that `next` waits for lines.
    pub fn is_followed(&self) -> bool {
        self.progress.is_some()
    }

    /// The number of the last line, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The length of the last line, in bytes.
    pub fn length(&self) -> usize {
        self.text.len()
    }

    /// Whether the next line is already committed, so that `next` does not wait.
    pub fn has_next(&self) -> bool {
        self.progress.is_none() || self.read < self.known
    }

    /// The next event of one of these kinds; none at the journal's end. Waits if the journal is
    /// followed.
    ///
    /// # Errors
    /// The journal cannot be read, or the line is too long or not an event of its kind.
    pub fn next_event(&mut self, kinds: &[EventKind]) -> Result<Option<Record>, JournalError> {
        let kind_of = |name: &str| EventKind::of(name).filter(|kind| kinds.contains(kind));
        let Some(line) = self.next::<Box<RawValue>>(|name| kind_of(name).is_some())? else {
            return Ok(None);
        };
        let Some(kind) = kind_of(&line.event) else {
            return Ok(None);
        };
        match Event::read(kind, &line.data) {
            Ok(event) => Ok(Some(Record {
                time: line.time,
                task: line.task,
                event,
            })),
            Err(source) => Err(self.is_no_event(source)),
        }
    }

    fn is_no_event(&self, source: serde_json::Error) -> JournalError {
        JournalError::Line {
            path: self.path.clone(),
            line: self.line,
            source,
        }
    }

    /// The next line whose kind is wanted, with its data in any form; none at the journal's end.
    /// Waits if the journal is followed.
    ///
    /// # Errors
    /// The journal cannot be read, or the line is too long or not an event.
    pub fn next<D: serde::de::DeserializeOwned>(
        &mut self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<Line<D>>, JournalError> {
        while self.next_line()? {
            if kind_of(&self.text).is_some_and(|kind| !wanted(kind))
                || self.superseded.contains(&self.line)
            {
                continue;
            }
            self.check_weight()?;
            let line: Line<D> =
                serde_json::from_slice(&self.text).map_err(|source| self.is_no_event(source))?;
            if wanted(&line.event) {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// Refuses a line that would take too much memory once it is parsed. A short line cannot.
    fn check_weight(&self) -> Result<(), JournalError> {
        if self.text.len() > SHORT
            && let Ok(None) = weight::of_json(&self.text, HEAVIEST)
        {
            return Err(JournalError::Heavy {
                path: self.path.clone(),
                line: self.line,
                heaviest: HEAVIEST,
            });
        }
        Ok(())
    }

    /// Reads a whole line into `text`. False at the end of the journal.
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
        let most = self.longest.saturating_add(1);
        let length = (&mut self.input)
            .take(most)
            .read_until(b'\n', &mut self.text)
            .map_err(|source| JournalError::Read {
                path: self.path.clone(),
                source,
            })?;
        self.read += length as u64;
        self.line += 1;
        if length as u64 > self.longest {
            self.text = Vec::new();
            return Err(JournalError::Long {
                path: self.path.clone(),
                line: self.line,
                longest: self.longest,
            });
        }
        // A line without a newline was being written when the host ended.
        Ok(self.text.last() == Some(&b'\n'))
    }
}

/// The kind of the event in a line as this crate writes it. None for a line of another writer,
/// whose members may have another order or escapes.
pub(super) fn kind_of(line: &[u8]) -> Option<&str> {
    let rest = line.strip_prefix(b"{\"event\":\"")?;
    let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    let (kind, after) = rest.split_at_checked(end)?;
    let kind = std::str::from_utf8(kind).ok()?;
    after.starts_with(b"\"").then_some(kind)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::{Journal, TaskPlanned, TaskProgress};
    use persea_model::{Attributes, DEEPEST, Requirement, Runnable};
    use proptest::prelude::*;
    use std::borrow::Cow;

    type Found = Result<Line<Attributes>, u64>;

    /// The lines of a journal with these bytes; for a broken line, its number.
    fn read(bytes: &[u8], wanted: impl Fn(&str) -> bool) -> Vec<Found> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE_NAME), bytes).unwrap();
        read_in(directory.path(), wanted)
    }

    fn read_in(directory: &Path, wanted: impl Fn(&str) -> bool) -> Vec<Found> {
        let mut reader = Reader::open(directory).unwrap();
        let mut found = Vec::new();
        loop {
            match reader.next(&wanted) {
                Ok(Some(line)) => found.push(Ok(line)),
                Ok(None) => return found,
                Err(JournalError::Line { line, .. }) => found.push(Err(line)),
                Err(other) => panic!("{other}"),
            }
        }
    }

    fn kinds(found: &[Found]) -> Vec<Result<&str, u64>> {
        let kinds = found
            .iter()
            .map(|it| it.as_ref().map(|line| line.event.as_str()));
        kinds.map(|kind| kind.map_err(|number| *number)).collect()
    }

    #[test]
    fn line_without_end_is_not_buffered() {
        let directory = tempfile::tempdir().unwrap();
        let line = "{\"event\":\"a\",\"time\":1,\"data\":{}}\n";
        let text = format!("{line}{}\n", "x".repeat(100_000));
        std::fs::write(directory.path().join(FILE_NAME), text).unwrap();
        let mut reader = Reader::open(directory.path()).unwrap();
        reader.longest = 1000;
        assert!(reader.next::<Attributes>(|_| true).unwrap().is_some());
        let error = reader.next::<Attributes>(|_| true).unwrap_err();
        assert!(
            matches!(
                error,
                JournalError::Long {
                    line: 2,
                    longest: 1000,
                    ..
                }
            ),
            "{error}"
        );
        assert!(reader.text.capacity() == 0);
    }

    #[test]
    fn line_that_would_take_too_much_memory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let objects = vec![r#"{"":0}"#; 1_400_000].join(",");
        let line = format!("{{\"event\":\"a\",\"time\":1,\"data\":{{\"x\":[{objects}]}}}}\n");
        std::fs::write(directory.path().join(FILE_NAME), line).unwrap();
        let mut reader = Reader::open(directory.path()).unwrap();
        let error = reader.next::<Attributes>(|_| true).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(":1: the line would take more than 1024 MiB"),
            "{text}"
        );
        // A line of an unwanted kind is not parsed.
        let mut reader = Reader::open(directory.path()).unwrap();
        assert!(
            reader
                .next::<Attributes>(|kind| kind == "b")
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn kind_with_escapes_is_recognized() {
        let bytes = b"{\"event\":\"\\u0061\",\"time\":1,\"data\":{}}\n";
        assert_eq!(kinds(&read(bytes, |kind| kind == "a")), [Ok("a")]);
        assert!(read(bytes, |kind| kind == "b").is_empty());
    }

    #[test]
    fn deepest_accepted_data_can_be_read_again() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let data = serde_json::from_str(&nested(DEEPEST)).unwrap();
        let requirement = Requirement {
            kwargs: Attributes::from_iter([("deep".to_owned(), data)]),
            ..Requirement::default()
        };
        let runnable = Runnable {
            requirements: vec![requirement],
            ..Runnable::default()
        };
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(directory.path()).unwrap();
        let planned = Event::TaskPlanned(Cow::Owned(TaskPlanned {
            index: 1,
            name: Some("1".into()),
            title: None,
            runnable: Cow::Borrowed(&runnable),
            made_by: None,
            known_result: None,
        }));
        journal.append(1, Some("1"), &planned).unwrap();
        journal.commit().unwrap();
        assert_eq!(
            kinds(&read_in(directory.path(), |_| true)),
            [Ok("task-planned")]
        );
    }

    /// Lines of a journal, as this crate and as others write them, and broken ones.
    fn line() -> impl Strategy<Value = String> {
        prop_oneof![
            "\\{\"event\":\"[ab]\",\"time\":[0-9],\"data\":\\{\\}\\}",
            "\\{\"event\":\"\\\\u006[12]\",\"time\":[0-9],\"task\":\"1-ä\",\
             \"data\":\\{\"a\":\"\\\\n\"\\}\\}",
            " \\{\"time\": [0-9], \"data\": \\{\\}, \"event\": \"[ab]\"\\}\r?",
            "\\{\"event\":\"[ab]\",\"time\":-1,\"data\":\\{\\}\\}",
            "[^\n]{0,20}",
        ]
    }

    proptest! {
        /// No line before the place where a journal was cut is lost. Broken lines are named by
        /// number.
        #[test]
        fn every_whole_line_is_read(
            lines in prop::collection::vec(line(), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let whole: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let bytes = whole.as_bytes().get(..cut.index(whole.len() + 1)).unwrap();
            let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
            let expected: Vec<Result<String, u64>> = (1..)
                .zip(lines.iter().take(ends))
                .map(|(number, line)| match serde_json::from_str::<Line<Attributes>>(line) {
                    Ok(line) => Ok(line.event),
                    Err(_) => Err(number),
                })
                .collect();
            let found = read(bytes, |_| true);
            let expected = expected.iter().map(|line| line.as_deref().map_err(|n| *n));
            let expected: Vec<Result<&str, u64>> = expected.collect();
            prop_assert_eq!(kinds(&found), &expected[..]);

            let some = read(bytes, |kind| kind == "a");
            let some: Vec<_> = kinds(&some).into_iter().filter(Result::is_ok).collect();
            let expected: Vec<_> = expected.into_iter().filter(|it| *it == Ok("a")).collect();
            prop_assert_eq!(some, expected);
        }

        /// A host that continues the journal of a killed one removes the incomplete last line.
        #[test]
        fn appended_line_is_read_too(
            before in "([^\n]{0,9}\n){0,4}",
            cut in "[^\n]{0,9}",
            task in any::<String>(),
            message in any::<String>(),
        ) {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join(FILE_NAME), format!("{before}{cut}")).unwrap();
            let mut journal = Journal::reopen(directory.path()).unwrap();
            let progress = TaskProgress { message: message.as_str().into() };
            let event = Event::TaskProgress(Cow::Owned(progress));
            journal.append(3, Some(&task), &event).unwrap();
            journal.commit().unwrap();
            drop(journal);
            let found = read_in(directory.path(), |kind| kind == "task-progress");
            let last = found.last().unwrap().as_ref().unwrap();
            prop_assert_eq!(last.task.as_ref(), Some(&task));
            prop_assert_eq!(last.data.get("message").unwrap(), &message);
            let added = found.len() - found.iter().filter(|it| it.is_err()).count();
            prop_assert_eq!(added, 1);
        }
    }
}
