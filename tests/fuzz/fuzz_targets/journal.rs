//! Owns journals of hosts that were killed at any byte. Every complete line is read once and in
//! order, or reported as broken; the lines after it are read, and appending works.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use persea_fuzz::with_file;
use persea_journal::{Event, FILE_NAME, Journal, JournalError, Line, Reader};
use persea_model::Attributes;

/// An event, or the number of a broken line.
type Found = Result<(String, u64, Option<String>, Attributes), u64>;

fuzz_target!(|bytes: &[u8]| {
    with_file(FILE_NAME, bytes, |path| {
        let directory = path.parent().expect("a directory");
        let expected: Vec<Found> = whole_lines(bytes).map(parse).collect();
        assert_eq!(read(directory, bytes, |_| true), expected);
        only_some(directory, bytes, &expected);
        go_on(directory, expected);
    });
});

fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    (1..).zip(lines.filter(|line| line.ends_with(b"\n")))
}

fn parse((number, line): (u64, &[u8])) -> Found {
    serde_json::from_slice(line).map(plain).map_err(|_| number)
}

fn plain(line: Line<Attributes>) -> (String, u64, Option<String>, Attributes) {
    (line.event, line.time, line.task, line.data)
}

/// Everything that a reader returns, also after broken lines.
fn read(directory: &Path, bytes: &[u8], wanted: impl Fn(&str) -> bool) -> Vec<Found> {
    // With what a host that took the job over has superseded.
    let mut reader = Reader::open_whole(directory).expect("the journal is there");
    let mut found = Vec::new();
    // One call per line, and one that returns the end.
    for _ in 0..=whole_lines(bytes).count() {
        match reader.next::<Attributes>(&wanted) {
            Ok(Some(line)) => found.push(Ok(plain(line))),
            Ok(None) => return found,
            Err(JournalError::Line { line, .. }) => found.push(Err(line)),
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the reader does not end");
}

/// Checks that a reader of one kind gets all its events. It may skip broken lines of other kinds.
fn only_some(directory: &Path, bytes: &[u8], all: &[Found]) {
    let Some((kind, ..)) = all.iter().flatten().last() else {
        return;
    };
    let some = read(directory, bytes, |event| event == kind);
    let expected: Vec<&Found> = all
        .iter()
        .filter(|it| it.as_ref().is_ok_and(|(event, ..)| event == kind))
        .collect();
    let found: Vec<&Found> = some.iter().filter(|it| it.is_ok()).collect();
    assert_eq!(found, expected);
    let unexpected = some.iter().find(|it| it.is_err() && !all.contains(it));
    assert_eq!(unexpected, None);
}

/// Checks that another host can append: only an incomplete or broken end is dropped.
fn go_on(directory: &Path, mut expected: Vec<Found>) {
    let mut journal = Journal::reopen(directory).expect("nobody has it");
    journal
        .append(7, None, &Event::JobResumed(Default::default()))
        .expect("an event is written");
    journal.commit().expect("the disk is not full");
    drop(journal);
    while expected.last().is_some_and(Result::is_err) {
        expected.pop();
    }
    expected.push(Ok(("job-resumed".to_owned(), 7, None, Attributes::new())));
    let bytes = std::fs::read(directory.join(FILE_NAME)).expect("the journal is there");
    assert_eq!(read(directory, &bytes, |_| true), expected);
}
