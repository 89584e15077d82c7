//! Owns what the end of a host does to its journal: a last line that is not whole, and lines that
//! count no longer once another host has taken the job over. Does not know what a job is.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use super::reader::{Line, Reader, kind_of};
use super::{EventKind, JournalError};
use persea_model::Attributes;

/// The size of the buffer for reading, in bytes.
const BUFFER: usize = 256 * 1024;

/// The number of bytes at the beginning of a line that name its kind.
const BEGINNING: usize = 64;

/// The length of a journal up to the end of its last event, in bytes. The host was
/// writing the rest when it ended: a line without a newline or, after a power cut, arbitrary bytes.
pub(super) fn whole_length(file: &File) -> std::io::Result<u64> {
    let mut length = file.metadata()?.len();
    loop {
        let (start, end) = last_line(file, length)?;
        if end == 0 || is_event(file, start, end)? {
            return Ok(end);
        }
        length = start;
    }
}

/// The place of the last whole line in the first `length` bytes.
fn last_line(mut file: &File, length: u64) -> std::io::Result<(u64, u64)> {
    file.seek(SeekFrom::Start(0))?;
    let mut input = BufReader::with_capacity(BUFFER, file.take(length));
    let (mut start, mut end, mut read) = (0, 0, 0);
    loop {
        let piece = input.fill_buf()?;
        let length = piece.len();
        if length == 0 {
            return Ok((start, end));
        }
        let bytes = piece.iter().enumerate().rev();
        let mut newlines = bytes.filter(|(_, byte)| **byte == b'\n');
        if let Some((last, _)) = newlines.next() {
            let before = newlines.next();
            start = before.map_or(end, |(at, _)| read + at as u64 + 1);
            end = read + last as u64 + 1;
        }
        read += length as u64;
        input.consume(length);
    }
}

fn is_event(mut file: &File, start: u64, end: u64) -> std::io::Result<bool> {
    file.seek(SeekFrom::Start(start))?;
    let mut line = Vec::new();
    file.take(end - start).read_to_end(&mut line)?;
    Ok(serde_json::from_slice::<Line<Attributes>>(&line).is_ok())
}

/// What of an end decides whether it counts.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct End {
    #[serde(default)]
    cut_short: bool,
}

/// The numbers of the lines that count no longer: ends of tasks that were cut short, and ends of
/// the job, as far as another host has taken the job over afterwards.
pub(super) fn superseded(path: &Path) -> Result<BTreeSet<u64>, JournalError> {
    let Some(last) = last_take_over(path)? else {
        return Ok(BTreeSet::new());
    };
    let mut superseded = BTreeSet::new();
    let mut reader = Reader::of_all(path, None)?;
    let ends = [EventKind::TaskFinished, EventKind::JobFinished].map(EventKind::name);
    while let Some(line) = reader.next::<End>(|kind| ends.contains(&kind))? {
        if reader.line() > last {
            break;
        }
        if line.data.cut_short || line.event == EventKind::JobFinished.name() {
            superseded.insert(reader.line());
        }
    }
    Ok(superseded)
}

/// The number of the last line by which a host has taken the job over. Looks at the beginnings of
/// lines only, so that a journal without such a line costs little.
fn last_take_over(path: &Path) -> Result<Option<u64>, JournalError> {
    let failed = |source| JournalError::Read {
        path: path.to_path_buf(),
        source,
    };
    let opened = persea_system::bounded_read::open(path);
    let opened = opened.map_err(|source| JournalError::Open {
        path: path.to_path_buf(),
        source,
    })?;
    let mut input = BufReader::with_capacity(BUFFER, opened);
    let mut found = None;
    let mut beginning = Vec::with_capacity(BEGINNING);
    for number in 1.. {
        beginning.clear();
        let room = BEGINNING as u64;
        let read = (&mut input).take(room).read_until(b'\n', &mut beginning);
        if read.map_err(failed)? == 0 {
            break;
        }
        if beginning.last() != Some(&b'\n') {
            input.skip_until(b'\n').map_err(failed)?;
        }
        if kind_of(&beginning) == Some(EventKind::JobTakenOver.name()) {
            found = Some(number);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::string_slice)]
    use super::*;
    use crate::{FILE_NAME, Journal};
    use std::io::Write as _;

    const EVENT: &str = "{\"event\":\"a\",\"time\":1,\"data\":{}}\n";

    fn length(bytes: &[u8]) -> u64 {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        whole_length(&file).unwrap()
    }

    #[test]
    fn damaged_end_is_cut_off() {
        let whole = EVENT.len() as u64;
        let nothing = [0_u8; 5000];
        for end in [
            &b""[..],
            b"{\"event\":\"b\"",
            b"\0\0\0\n",
            b"{\"event\":\"b\",\"time\":1}\n\0\0\n{",
            &nothing,
        ] {
            assert_eq!(length(&[EVENT.as_bytes(), end].concat()), whole, "{end:?}");
            assert_eq!(length(end), 0);
        }
        let many = EVENT.repeat(20_000);
        assert_eq!(length(many.as_bytes()), many.len() as u64);
        let torn = format!("{many}{}", &EVENT[..9]);
        assert_eq!(length(torn.as_bytes()), many.len() as u64);
    }

    #[test]
    fn damaged_line_before_whole_ones_stays() {
        let bytes = format!("{EVENT}rubbish\n{EVENT}");
        assert_eq!(length(bytes.as_bytes()), bytes.len() as u64);
    }

    fn line(kind: &str, data: &str) -> String {
        format!("{{\"event\":\"{kind}\",\"time\":1,\"data\":{{{data}}}}}\n")
    }

    #[test]
    fn ends_before_a_take_over_are_skipped() {
        let root = tempfile::tempdir().unwrap();
        let finished = |more: &str| line("task-finished", more);
        let lines = [
            line("job-started", ""),
            finished("\"kept\":1"),
            finished("\"cut-short\":true"),
            line("job-finished", "\"first\":1"),
            line("job-taken-over", ""),
            finished("\"cut-short\":true,\"last\":1"),
            line("job-finished", "\"last\":1"),
        ];
        let path = root.path().join(FILE_NAME);
        std::fs::write(&path, lines.concat()).unwrap();
        let kinds = |mut reader: Reader| {
            let mut seen = Vec::new();
            while let Some(line) = reader.next::<persea_model::Attributes>(|_| true).unwrap() {
                let names: Vec<String> = line.data.keys().cloned().collect();
                seen.push(format!("{} {}", line.event, names.join(" ")));
            }
            seen
        };
        let expected = [
            "job-started ",
            "task-finished kept",
            "job-taken-over ",
            "task-finished cut-short last",
            "job-finished last",
        ];
        assert_eq!(kinds(Reader::open(root.path()).unwrap()), expected);
        // The host that takes over follows its own journal from the beginning.
        let journal = Journal::take_over(root.path()).unwrap();
        let follower = journal.follow().unwrap();
        drop(journal);
        assert_eq!(kinds(follower), expected);
    }
}
