//! Reading a journal back, while it is being written too. It must not know what the events mean.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Event, EventKind, FILE_NAME, JournalError};
use persea_model::weight;

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

/// How long a follower lets lines gather: 25 ms. What has gathered at the end of a job is what everybody waits for.
const FOLLOW: Duration = Duration::from_millis(25);

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

/// One line of a journal as an event of this host.
#[derive(Debug)]
pub struct Record {
    /// The time, in nanoseconds of Unix time.
    pub time: u64,
    /// The id of the task that the event is about.
    pub task: Option<String>,
    /// The event.
    pub event: Event<'static>,
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
    longest: u64,
}

/// The longest line that is read: 512 MiB. A host writes none of that length, as what plugins can say at once is limited.
const LONGEST: u64 = 512 << 20;

/// The most memory that a line may take once it is read: 1 GiB. What plugins answer is held to less.
const HEAVIEST: u64 = 1 << 30;

/// A line up to this length, in bytes, is not weighed: it cannot take more than some 6 MiB.
const SHORT: usize = 64 << 10;

impl Reader {
    /// Opens the journal in a job's directory.
    pub fn open(job_dir: &Path) -> Result<Self, JournalError> {
        Self::new(&job_dir.join(FILE_NAME), None)
    }

    pub(super) fn new(path: &Path, progress: Option<Arc<Progress>>) -> Result<Self, JournalError> {
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
        })
    }

    /// Whether somebody writes the journal, so that `next` waits for it.
    pub fn is_followed(&self) -> bool {
        self.progress.is_some()
    }

    /// How many bytes the latest line has.
    pub fn length(&self) -> usize {
        self.text.len()
    }

    /// Whether the next line is there already, so that `next` need not wait.
    pub fn has_next(&self) -> bool {
        self.progress.is_none() || self.read < self.known
    }

    /// The next event of one of these kinds; none at the journal's end. Waits for it where the journal is followed.
    ///
    /// # Errors
    /// The journal cannot be read, or the line is too long or no event of its kind.
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

    /// The next line whose kind is wanted, with its data in any form; none at the journal's end. Waits for it where the
    /// journal is followed.
    ///
    /// # Errors
    /// The journal cannot be read, or the line is too long or no event.
    pub fn next<D: serde::de::DeserializeOwned>(
        &mut self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<Line<D>>, JournalError> {
        while self.next_line()? {
            if kind_of(&self.text).is_some_and(|kind| !wanted(kind)) {
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

    /// Refuses a line that would take too much memory once it is read. A short one cannot.
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

/// The kind of the event in a line as this module writes it; none where another writer made it, perhaps with escapes in it.
fn kind_of(line: &[u8]) -> Option<&str> {
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

    /// The lines of a journal with these bytes, or the numbers of those that are none.
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
    fn a_line_without_end_is_not_gathered() {
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
        // Nobody reads what is not wanted.
        let mut reader = Reader::open(directory.path()).unwrap();
        assert!(
            reader
                .next::<Attributes>(|kind| kind == "b")
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_kind_that_is_written_with_escapes_is_that_kind() {
        let bytes = b"{\"event\":\"\\u0061\",\"time\":1,\"data\":{}}\n";
        assert_eq!(kinds(&read(bytes, |kind| kind == "a")), [Ok("a")]);
        assert!(read(bytes, |kind| kind == "b").is_empty());
    }

    #[test]
    fn the_deepest_data_that_is_taken_can_be_read_again() {
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
        }));
        journal.append(1, Some("1"), &planned).unwrap();
        journal.commit().unwrap();
        assert_eq!(
            kinds(&read_in(directory.path(), |_| true)),
            [Ok("task-planned")]
        );
    }

    /// Lines of a journal, as this module and as others write them, and such as are none.
    fn line() -> impl Strategy<Value = String> {
        prop_oneof![
            "\\{\"event\":\"[ab]\",\"time\":[0-9],\"data\":\\{\\}\\}",
            "\\{\"event\":\"\\\\u006[12]\",\"time\":[0-9],\"task\":\"1-ä\",\"data\":\\{\"a\":\"\\\\n\"\\}\\}",
            " \\{\"time\": [0-9], \"data\": \\{\\}, \"event\": \"[ab]\"\\}\r?",
            "\\{\"event\":\"[ab]\",\"time\":-1,\"data\":\\{\\}\\}",
            "[^\n]{0,20}",
        ]
    }

    proptest! {
        /// Whatever was cut off, no line before it is lost; broken ones are named by their numbers.
        #[test]
        fn every_whole_line_is_read(lines in prop::collection::vec(line(), 0..8), cut in any::<prop::sample::Index>()) {
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
            let expected: Vec<Result<&str, u64>> = expected.iter().map(|it| it.as_deref().map_err(|n| *n)).collect();
            prop_assert_eq!(kinds(&found), &expected[..]);

            let some = read(bytes, |kind| kind == "a");
            let some: Vec<_> = kinds(&some).into_iter().filter(Result::is_ok).collect();
            let expected: Vec<_> = expected.into_iter().filter(|it| *it == Ok("a")).collect();
            prop_assert_eq!(some, expected);
        }

        /// A host that goes on after another one was killed takes off what has no end, and adds to the rest.
        #[test]
        fn what_is_added_later_is_read_too(before in "([^\n]{0,9}\n){0,4}", cut in "[^\n]{0,9}", task in any::<String>(), message in any::<String>()) {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join(FILE_NAME), format!("{before}{cut}")).unwrap();
            let mut journal = Journal::reopen(directory.path()).unwrap();
            let progress = TaskProgress { message: message.as_str().into() };
            journal.append(3, Some(&task), &Event::TaskProgress(Cow::Owned(progress))).unwrap();
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
