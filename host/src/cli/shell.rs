//! Owns how a word is quoted in a command line that a message suggests.

use persea_model::names::printable;

/// Quotes a word for a POSIX shell, unless all its characters stand for themselves. Characters that
/// act on a terminal become escapes.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_./:=,@%+-".contains(c);
    let word = printable(word);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.into_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_is_quoted_only_where_the_shell_would_read_it_otherwise() {
        for (word, expected) in [
            ("/tmp/job-results/2026-1", "/tmp/job-results/2026-1"),
            ("häuser", "häuser"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("~", "'~'"),
            ("a\u{1b}b", r"'a\x1bb'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
