//! Owns reading the output of a test from its results directory, shortened to a limit.

use persea_plugin_sdk::artifacts::of_task;

/// Limit of bytes that one call of the host returns.
const CHUNK_SIZE: u32 = 1024 * 1024;

/// Reads a task's file as text. A file of more than `limit` bytes is shortened to its beginning and
/// its end, half the limit each, with a line between them that gives the number of bytes left out.
/// Returns `None` where the file is empty, missing or unreadable: a report without the output is
/// better than no report.
pub(crate) fn read(task: &str, name: &str, limit: u64) -> Option<String> {
    let size = of_task(task).size(name).ok()?;
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
    let (head, tail) = (trim_incomplete_end(&head), trim_incomplete_start(&tail));
    let left_out = size - head.len() as u64 - tail.len() as u64;
    let (head, tail) = (String::from_utf8_lossy(head), String::from_utf8_lossy(tail));
    Some(format!(
        "{head}\n\n--[ CUT DUE TO XML PER TEST LIMIT: {left_out} BYTES LEFT OUT ]--\n\n{tail}"
    ))
}

/// Reads `length` bytes, or fewer where the file has become shorter meanwhile.
fn read_range(task: &str, name: &str, offset: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        let missing = length - bytes.len() as u64;
        let chunk = u32::try_from(missing).unwrap_or(CHUNK_SIZE).min(CHUNK_SIZE);
        let read = of_task(task)
            .read(name, offset + bytes.len() as u64, chunk)
            .ok()?;
        if read.is_empty() {
            break;
        }
        bytes.extend_from_slice(&read);
    }
    Some(bytes)
}

/// Leaves out an incomplete UTF-8 character at the end.
fn trim_incomplete_end(bytes: &[u8]) -> &[u8] {
    let rest = bytes
        .utf8_chunks()
        .last()
        .map_or([].as_slice(), |chunk| chunk.invalid());
    // An error without a length means that the bytes end within a character.
    match std::str::from_utf8(rest) {
        Err(error) if error.error_len().is_none() => {
            bytes.get(..bytes.len() - rest.len()).unwrap_or(bytes)
        }
        _ => bytes,
    }
}

/// Leaves out an incomplete UTF-8 character at the beginning: at most three bytes.
fn trim_incomplete_start(bytes: &[u8]) -> &[u8] {
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
    fn incomplete_characters_are_left_out() {
        let text = "aé€🦀".as_bytes();
        assert_eq!(
            trim_incomplete_end(text.get(..9).unwrap_or_default()),
            "aé€".as_bytes()
        );
        assert_eq!(trim_incomplete_end(b"\xff\xe2\x82"), b"\xff");
        assert_eq!(trim_incomplete_end(b"\xff\x82"), b"\xff\x82");
        assert_eq!(
            trim_incomplete_start(text.get(8..).unwrap_or_default()),
            b""
        );
        assert_eq!(trim_incomplete_start(b"\x82\xacb"), b"b");
    }
}
