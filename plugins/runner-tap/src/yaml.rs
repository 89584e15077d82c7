//! The YAML block that may follow a test point: where it ends, and the one line of it that a reader of the result wants.
//! It is not a YAML parser: it keeps a top-level `message` or `severity` that stands on one line, and nothing else.

use crate::text::shorten;

/// How many characters of a message are kept.
const MESSAGE_LIMIT: usize = 200;

/// A block that has begun and not ended.
#[derive(Debug)]
pub(crate) struct Block {
    /// The blanks before `---`.
    indent: usize,
    /// The line that it began on.
    pub(crate) line_number: u64,
    message: Option<String>,
    severity: Option<String>,
}

/// What a line means for the block that is open.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It belongs to it.
    Inside,
    /// It was its last.
    Ended,
    /// It does not belong to it: the block has no end.
    Broken,
}

impl Block {
    /// The block that `line` begins below a test point that is indented by `depth` levels, if it does.
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
        })
    }

    /// Takes the next line, which has no white space at its end.
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
                    _ => {}
                }
            }
        }
        Step::Inside
    }

    /// What the block says in a few words: its message, else a severity that says more than that it failed.
    pub(crate) fn summary(self) -> Option<String> {
        self.message
            .or(self.severity.filter(|severity| severity != "fail"))
    }
}

/// A plain or quoted scalar on one line; none where the value is anything else.
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
    fn a_message_on_one_line_is_kept() {
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
    fn only_the_block_s_own_keys_count() {
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
    fn a_block_ends_where_the_indentation_does() {
        let mut block = Block::begin("      ---", 1, 1).unwrap();
        assert_eq!(block.step("        deeper: 1"), Step::Inside);
        assert_eq!(block.step("    ok 2"), Step::Broken);
        assert!(Block::begin("    ---", 1, 1).is_none());
        assert!(Block::begin("---", 0, 1).is_none());
    }
}
