//! Bytes to lines: takes a TAP stream in pieces of any size and keeps no more than one line of it.

use crate::document::Document;
use crate::verdict::Verdict;

/// What is read of a line, in bytes. The rest of a longer one is passed over, and [`Verdict::cut_line`] says so.
pub const LINE_LIMIT: usize = 1024 * 1024;

/// Reads a TAP stream. How it is cut into pieces makes no difference.
///
/// Versions 12, 13 and 14 are understood. Bytes that are no UTF-8 are read as U+FFFD.
///
/// ```
/// let mut parser = persea_runner_tap::Parser::new();
/// parser.feed(b"1..2\nok 1\nnot ok 2 - bro");
/// parser.feed(b"ken thing\n");
/// assert_eq!(parser.finish().reason.as_deref(), Some("1 of 2 failed: 2 - broken thing"));
/// ```
#[derive(Debug)]
pub struct Parser {
    document: Document,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    lines: u64,
    cut_line: Option<u64>,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// Begins a stream that needs a plan, as `prove` has it.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Document::new(true))
    }

    /// Begins a stream that may lack its plan, as Avocado has it.
    #[must_use]
    pub fn lenient() -> Self {
        Self::with(Document::new(false))
    }

    fn with(document: Document) -> Self {
        Self {
            document,
            line: Vec::new(),
            lines: 0,
            cut_line: None,
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.strip_prefix(b"\n").unwrap_or(after);
            if self.line.is_empty() {
                self.take_line(line);
            } else {
                self.keep(line);
                let mut whole = std::mem::take(&mut self.line);
                self.take_line(&whole);
                whole.clear();
                self.line = whole;
            }
        }
        self.keep(rest);
    }

    /// Ends the stream, and says what it comes to.
    #[must_use]
    pub fn finish(mut self) -> Verdict {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.take_line(&line);
        }
        let mut verdict = self.document.finish();
        verdict.cut_line = self.cut_line;
        verdict
    }

    /// Keeps the beginning of a line, and one byte more than is read, so that it shows that it is longer.
    fn keep(&mut self, bytes: &[u8]) {
        let room = (LINE_LIMIT + 1).saturating_sub(self.line.len());
        self.line
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn take_line(&mut self, line: &[u8]) {
        self.lines += 1;
        let line = match line.get(..LINE_LIMIT) {
            Some(beginning) if beginning.len() < line.len() => {
                self.cut_line.get_or_insert(self.lines);
                beginning
            }
            _ => line,
        };
        let text = String::from_utf8_lossy(line);
        let text = if self.lines == 1 {
            text.strip_prefix('\u{feff}').unwrap_or(&text)
        } else {
            &text
        };
        self.document.line(self.lines, text.trim_end());
    }
}
