//! Owns shortening texts for messages.

/// Returns the first `limit` characters of a text on one line, followed by `…` where the text is
/// longer.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    let mut short: String = text
        .chars()
        .take(limit)
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    if text.chars().nth(limit).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn long_texts_are_shortened_to_whole_characters() {
        assert_eq!(shorten("ä\nb", 3), "ä b");
        assert_eq!(shorten("ääää", 3), "äää…");
    }
}
