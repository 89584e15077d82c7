//! Owns splitting a stream into lines: takes chunks of any size and keeps at most one line in
//! memory. Does not know what a line means.

use persea_plugin_sdk::cases::Case;

use crate::document::Document;
use crate::verdict::Verdict;

/// Limit of a line, in bytes. The rest of a longer line is ignored, and
/// [`Verdict::truncated_line`] is set.
pub const LINE_LIMIT: usize = 1024 * 1024;

/// Parser of a TAP stream in versions 12, 13 and 14. The sizes of the chunks make no difference.
/// Invalid UTF-8 is read as U+FFFD.
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
    /// Beginning of the current line, whose end has not been read yet.
    line: Vec<u8>,
    lines: u64,
    truncated_line: Option<u64>,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// Creates a parser with the rules of `prove`: a stream needs a plan.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Document::new(true))
    }

    /// Creates a parser with the rules of Avocado: a stream needs no plan.
    #[must_use]
    pub fn lenient() -> Self {
        Self::with(Document::new(false))
    }

    fn with(document: Document) -> Self {
        Self {
            document,
            line: Vec::new(),
            lines: 0,
            truncated_line: None,
        }
    }

    /// Collects the test points as cases, for [`take_cases`](Self::take_cases).
    #[must_use]
    pub fn collecting_cases(mut self) -> Self {
        self.document.collect_cases();
        self
    }

    /// Removes and returns the cases that are complete. The last test point may not be: its YAML
    /// block may follow.
    pub fn take_cases(&mut self) -> Vec<Case> {
        self.document.take_cases()
    }

    /// Reads the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.strip_prefix(b"\n").unwrap_or(after);
            if self.line.is_empty() {
                self.add_line(line);
            } else {
                self.keep(line);
                let mut whole = std::mem::take(&mut self.line);
                self.add_line(&whole);
                whole.clear();
                self.line = whole;
            }
        }
        self.keep(rest);
    }

    /// Ends the stream and returns the verdict.
    #[must_use]
    pub fn finish(self) -> Verdict {
        self.finish_with_cases().0
    }

    /// Ends the stream and returns the verdict, and the cases that were not taken.
    #[must_use]
    pub fn finish_with_cases(mut self) -> (Verdict, Vec<Case>) {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.add_line(&line);
        }
        let (mut verdict, cases) = self.document.finish();
        verdict.truncated_line = self.truncated_line;
        (verdict, cases)
    }

    /// Keeps the beginning of a line, one byte more than the limit, to detect a longer line.
    fn keep(&mut self, bytes: &[u8]) {
        let room = (LINE_LIMIT + 1).saturating_sub(self.line.len());
        self.line
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn add_line(&mut self, line: &[u8]) {
        self.lines += 1;
        let line = match line.get(..LINE_LIMIT) {
            Some(beginning) if beginning.len() < line.len() => {
                self.truncated_line.get_or_insert(self.lines);
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
        self.document.add_line(self.lines, text.trim_end());
    }
}
