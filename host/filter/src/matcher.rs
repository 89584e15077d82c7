//! Owns how an argument is compared with a text.

use regex::{Regex, RegexBuilder};

/// The most memory that a compiled regular expression takes, in bytes.
const REGEX_SIZE: usize = 1 << 20;

/// What a text is compared with.
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    /// `=text`, or a pattern without a wildcard: the same text.
    Equal(String),
    /// `~text`: the text is in it.
    Contains(String),
    /// `/expression/`, or a pattern such as `test_*`.
    Regex(Regex),
}

impl Matcher {
    /// A matcher of a pattern: `*` stands for any text, `?` for one character.
    pub(crate) fn pattern(pattern: &str) -> Result<Self, regex::Error> {
        if !pattern.contains(['*', '?']) {
            return Ok(Self::Equal(pattern.to_owned()));
        }
        let mut expression = String::from("^");
        let mut literal = String::new();
        for c in pattern.chars() {
            match c {
                '*' | '?' => {
                    expression.push_str(&regex::escape(&literal));
                    literal.clear();
                    expression.push_str(if c == '*' { ".*" } else { "." });
                }
                other => literal.push(other),
            }
        }
        expression.push_str(&regex::escape(&literal));
        expression.push('$');
        Self::compiled(RegexBuilder::new(&expression).dot_matches_new_line(true))
    }

    /// A matcher of a regular expression, found anywhere in the text.
    pub(crate) fn regex(expression: &str) -> Result<Self, regex::Error> {
        Self::compiled(&mut RegexBuilder::new(expression))
    }

    fn compiled(builder: &mut RegexBuilder) -> Result<Self, regex::Error> {
        builder.size_limit(REGEX_SIZE).build().map(Self::Regex)
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Equal(other) => text == other,
            Self::Contains(part) => text.contains(part.as_str()),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}
