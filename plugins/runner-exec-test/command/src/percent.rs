//! Owns percent-encoding in the options of references, where `?`, `&` and `%` have meanings.

/// Decodes `%3F` and the like.
///
/// # Errors
/// What is wrong with the text: a `%` without two digits, or bytes that are not UTF-8.
pub fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let decoded = digit().zip(digit());
        let decoded = decoded.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        bytes.push(
            decoded.ok_or_else(|| format!("`{text}` has a % without two digits; write %25"))?,
        );
    }
    String::from_utf8(bytes).map_err(|_| format!("`{text}` is not UTF-8 text"))
}
