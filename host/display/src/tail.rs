//! Owns the last lines of a failing test's output. Reads a bounded part of ordinary files, and
//! never blocks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use persea_model::names::{cut, printable};

/// The bytes that are read from the end of a file.
const READ: u64 = 64 << 10;

/// The longest part of a line that is shown, in bytes.
const LINE: usize = 200;

/// The last lines of one file.
#[derive(Debug, Default, PartialEq)]
struct Tail {
    lines: Vec<String>,
    /// Whether the file has more lines before these.
    is_cut: bool,
}

/// The last lines of a test's output, at most `most` in all, those of the standard error first. If
/// both streams are long, each has half of the lines. A file that `open` cannot open has none.
pub(super) fn block(open: impl Fn(&str) -> io::Result<File>, most: usize) -> String {
    let read = |name: &str| {
        let file = open(name).ok()?;
        tail(&file, most).ok()
    };
    let mut err = read("stderr").unwrap_or_default();
    let mut out = read("stdout").unwrap_or_default();
    let half = most.div_ceil(2);
    err.keep(most - out.lines.len().min(most - half));
    out.keep(most - err.lines.len());
    let mut text = String::new();
    err.write("stderr", &mut text);
    out.write("stdout", &mut text);
    text
}

/// The last lines of a file, at most `most`.
fn tail(file: &File, most: usize) -> io::Result<Tail> {
    let size = file.metadata()?.len();
    let begin = size.saturating_sub(READ);
    let mut bytes = vec![0; usize::try_from(size - begin).unwrap_or_default()];
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, begin + length as u64)? {
            0 => break,
            read => length += read,
        }
    }
    bytes.truncate(length);
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<&str> = text.lines().collect();
    if begin > 0 && lines.len() > 1 {
        // The first line may be incomplete.
        lines.remove(0);
    }
    let shown = lines.iter().map(|line| {
        let part = cut(line, LINE);
        let more = if part.len() < line.len() { "…" } else { "" };
        format!("{}{more}", printable(part))
    });
    let mut tail = Tail {
        lines: shown.collect(),
        is_cut: begin > 0,
    };
    tail.keep(most);
    Ok(tail)
}

impl Tail {
    /// Removes all but the last lines.
    fn keep(&mut self, most: usize) {
        let more = self.lines.len().saturating_sub(most);
        self.is_cut |= more > 0;
        self.lines.drain(..more);
    }

    fn write(&self, name: &str, out: &mut String) {
        if self.is_cut && !self.lines.is_empty() {
            out.push_str(&format!("   {name} | […]\n"));
        }
        for line in &self.lines {
            out.push_str(format!("   {name} | {line}").trim_end());
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(err: &[u8], out: &[u8], most: usize) -> String {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("stderr"), err).unwrap();
        std::fs::write(dir.path().join("stdout"), out).unwrap();
        block(|name| File::open(dir.path().join(name)), most)
    }

    fn lines(from: usize, to: usize) -> String {
        (from..=to)
            .map(|number| format!("line {number}\n"))
            .collect()
    }

    #[test]
    fn last_lines_are_shown_with_stderr_first() {
        assert_eq!(
            shown(b"warning\n", b"one\n\ntwo", 20),
            "   stderr | warning\n   stdout | one\n   stdout |\n   stdout | two\n"
        );
        assert_eq!(
            shown(lines(1, 30).as_bytes(), b"", 2),
            "   stderr | […]\n   stderr | line 29\n   stderr | line 30\n"
        );
        assert_eq!(shown(b"", b"", 20), "");
    }

    #[test]
    fn both_streams_share_the_lines() {
        let all = lines(1, 9);
        let count = |text: &str, name: &str| {
            let is_line = |line: &&str| line.contains(name) && !line.contains('…');
            text.lines().filter(is_line).count()
        };
        for (err, out, expected) in [
            (&*all, &*all, (3, 2)),
            (&all, "one\n", (4, 1)),
            ("one\n", &all, (1, 4)),
        ] {
            let text = shown(err.as_bytes(), out.as_bytes(), 5);
            assert_eq!((count(&text, "stderr"), count(&text, "stdout")), expected);
        }
    }

    #[test]
    fn long_output_is_cut_and_escaped() {
        let long = format!("{}\n{}end\n", "x".repeat(3_000_000), "ü".repeat(1000));
        let text = shown(b"\x1b[2Ja\xff\r\n", long.as_bytes(), 20);
        assert!(
            text.starts_with("   stderr | \\x1b[2Ja\u{fffd}\n"),
            "{text}"
        );
        assert!(text.len() < 600 && text.ends_with("ü…\n"), "{text}");
    }
}
