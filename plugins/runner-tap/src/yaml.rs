//! Owns the YAML block that may follow a test point: finds its end, and a summary for the reason.
//! This is not a YAML parser: it reads only a top-level `message` or `severity` on one line.

use crate::text::shorten;
use std::time::Duration;

/// Limit of a message, in characters.
const MESSAGE_LIMIT: usize = 200;

/// An open block.
#[derive(Debug)]
pub(crate) struct Block {
    /// Number of blanks before `---`.
    indent: usize,
    /// Number of the line with `---`.
    pub(crate) line_number: u64,
    message: Option<String>,
    severity: Option<String>,
    /// `duration_ms`, which Node's test runner and others write.
    milliseconds: Option<f64>,
}

/// What a line means for the open block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The line belongs to the block.
    Inside,
    /// The line is the block's last one.
    Ended,
    /// The line does not belong to the block, which lacks its end.
    Broken,
}

impl Block {
    /// Returns the block that a line begins after a test point at `depth` levels, if it begins one.
    pub(crate) fn begin(line: &str, depth: usize, line_number: u64) -> Option<Self> {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if indent <= depth * 4 || !text.starts_with("---") {
            return None;
        }
        Some(Self {
            indent,
            line_number,
            message: None,
            severity: None,
            milliseconds: None,
        })
    }

    /// Reads the next line, which has no white space at its end.
    pub(crate) fn step(&mut self, line: &str) -> Step {
        if line.is_empty() {
            return Step::Inside;
        }
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if indent < self.indent {
            return Step::Broken;
        }
        if indent == self.indent {
            if text == "..." {
                return Step::Ended;
            }
            if let Some((key, value)) = text.split_once(':') {
                match key {
                    "message" => self.message = self.message.take().or_else(|| scalar(value)),
                    "severity" => self.severity = self.severity.take().or_else(|| scalar(value)),
                    "duration_ms" => self.milliseconds = value.trim().parse().ok(),
                    _ => {}
                }
            }
        }
        Step::Inside
    }

    /// Returns the block's message, or else its severity unless that is just `fail`.
    pub(crate) fn summary(&self) -> Option<String> {
        let severity = self.severity.as_ref();
        let severity = severity.filter(|severity| *severity != "fail");
        self.message.as_ref().or(severity).cloned()
    }

    /// Returns the running time of the test point.
    pub(crate) fn duration(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.milliseconds? / 1000.0).ok()
    }
}

/// Parses a plain or quoted scalar on one line; `None` where the value is anything else.
fn scalar(value: &str) -> Option<String> {
    let value = value.trim();
    let text = match value.chars().next()? {
        '\'' => value
            .strip_prefix('\'')?
            .strip_suffix('\'')?
            .replace("''", "'"),
        '"' => double_quoted(value.strip_prefix('"')?.strip_suffix('"')?),
        '|' | '>' | '&' | '*' | '!' | '[' | '{' | '#' | '~' => return None,
        _ => value.to_owned(),
    };
    (!text.is_empty()).then(|| shorten(&text, MESSAGE_LIMIT))
}

fn double_quoted(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some(other) => plain.push(other),
            None => plain.push('\\'),
        }
    }
    plain
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn summary(lines: &[&str]) -> Option<String> {
        let mut block = Block::begin("  ---", 0, 1).unwrap();
        for line in lines {
            assert_eq!(block.step(line), Step::Inside, "{line}");
        }
        assert_eq!(block.step("  ..."), Step::Ended);
        block.summary()
    }

    #[test]
    fn message_on_one_line_is_kept() {
        let says = |line| summary(&[line]);
        assert_eq!(
            says("  message: First line invalid").as_deref(),
            Some("First line invalid")
        );
        assert_eq!(
            says("  message: 'it''s \"x\"'").as_deref(),
            Some("it's \"x\"")
        );
        assert_eq!(
            says("  message: \"a \\\"b\\\"\"").as_deref(),
            Some("a \"b\"")
        );
        assert_eq!(says("  message: |"), None);
        assert_eq!(says("  message: 'not closed"), None);
        assert_eq!(says("  message:"), None);
        assert_eq!(says("  severity: fail"), None);
        assert_eq!(says("  severity: comment").as_deref(), Some("comment"));
    }

    #[test]
    fn only_top_level_keys_count() {
        let lines = [
            "  at:",
            "    message: inner",
            "",
            "  severity: todo",
            "  message: outer",
            "  message: second",
        ];
        assert_eq!(summary(&lines).as_deref(), Some("outer"));
    }

    #[test]
    fn smaller_indentation_breaks_a_block() {
        let mut block = Block::begin("      ---", 1, 1).unwrap();
        assert_eq!(block.step("        deeper: 1"), Step::Inside);
        assert_eq!(block.step("    ok 2"), Step::Broken);
        assert!(Block::begin("    ---", 1, 1).is_none());
        assert!(Block::begin("---", 0, 1).is_none());
    }
}
