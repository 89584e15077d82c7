//! Counts words.

/// Returns the number of words in a text.
///
/// ```
/// assert_eq!(words::count("one two"), 2);
/// ```
pub fn count(text: &str) -> usize {
    text.split_whitespace().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_words() {
        assert_eq!(count(" \n"), 0);
    }

    #[test]
    fn hyphen_joins_words() {
        assert_eq!(count("forget-me-not"), 3, "a flower");
    }
}
