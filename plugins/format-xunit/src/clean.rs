//! Owns the escape of characters that XML 1.0 forbids.

use std::borrow::Cow;
use std::fmt::Write;

/// Writes every character that XML 1.0 forbids as `\xNN`
/// (<https://www.w3.org/TR/xml/#charsets>).
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_forbidden) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_forbidden(character) {
            // Writing to a String can't fail.
            let _ = write!(cleaned, "\\x{:02x}", u32::from(character));
        } else {
            cleaned.push(character);
        }
    }
    Cow::Owned(cleaned)
}

fn is_forbidden(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}'
    )
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn only_forbidden_characters_are_replaced() {
        assert_eq!(clean("a\tb\r\nc\u{7f}é🦀"), "a\tb\r\nc\u{7f}é🦀");
        assert_eq!(clean("\x1b[31mred\0\u{ffff}"), "\\x1b[31mred\\x00\\xffff");
    }
}
