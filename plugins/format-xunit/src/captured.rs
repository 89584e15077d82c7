//! What a test has written to its standard output or error, read from its results directory and cut to a limit.

use persea_plugin_sdk::output::{artifact_size, read_artifact};

/// The most that one call gives.
const PIECE: u32 = 1024 * 1024;

/// The text of a task's file: all of it up to `limit` bytes, else its beginning and its end, half the limit each, and
/// between them a line that says so. None where there is no such file or nothing in it: a report without it is better
/// than no report.
pub(crate) fn read(task: &str, name: &str, limit: u64) -> Option<String> {
    let size = artifact_size(task, name).ok()?;
    if size == 0 {
        return None;
    }
    if size <= limit {
        let bytes = read_range(task, name, 0, size)?;
        return Some(String::from_utf8_lossy(&bytes).into_owned());
    }
    let half = limit / 2;
    let head = read_range(task, name, 0, half)?;
    let tail = read_range(task, name, size - half, half)?;
    let (head, tail) = (without_cut_end(&head), without_cut_beginning(&tail));
    let left_out = size - head.len() as u64 - tail.len() as u64;
    let (head, tail) = (String::from_utf8_lossy(head), String::from_utf8_lossy(tail));
    Some(format!(
        "{head}\n\n--[ CUT DUE TO XML PER TEST LIMIT: {left_out} BYTES LEFT OUT ]--\n\n{tail}"
    ))
}

/// Fewer bytes only where the file has become shorter.
fn read_range(task: &str, name: &str, offset: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        let missing = length - bytes.len() as u64;
        let piece = u32::try_from(missing).unwrap_or(PIECE).min(PIECE);
        let read = read_artifact(task, name, offset + bytes.len() as u64, piece).ok()?;
        if read.is_empty() {
            break;
        }
        bytes.extend_from_slice(&read);
    }
    Some(bytes)
}

/// Leaves out the first bytes of a character whose others are behind the end.
fn without_cut_end(bytes: &[u8]) -> &[u8] {
    let rest = bytes
        .utf8_chunks()
        .last()
        .map_or([].as_slice(), |chunk| chunk.invalid());
    // Without a length, the error is that the bytes end too early.
    match std::str::from_utf8(rest) {
        Err(error) if error.error_len().is_none() => {
            bytes.get(..bytes.len() - rest.len()).unwrap_or(bytes)
        }
        _ => bytes,
    }
}

/// Leaves out the last bytes of a character whose first one is before the beginning: at most three.
fn without_cut_beginning(bytes: &[u8]) -> &[u8] {
    let cut = bytes
        .iter()
        .take(3)
        .take_while(|byte| (0x80..0xc0).contains(*byte))
        .count();
    bytes.get(cut..).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_not_cut_in_two() {
        let text = "aé€🦀".as_bytes();
        assert_eq!(
            without_cut_end(text.get(..9).unwrap_or_default()),
            "aé€".as_bytes()
        );
        assert_eq!(without_cut_end(b"\xff\xe2\x82"), b"\xff");
        assert_eq!(without_cut_end(b"\xff\x82"), b"\xff\x82");
        assert_eq!(
            without_cut_beginning(text.get(8..).unwrap_or_default()),
            b""
        );
        assert_eq!(without_cut_beginning(b"\x82\xacb"), b"b");
    }
}
