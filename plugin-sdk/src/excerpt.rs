//! Owns reading the beginning and the end of a file of a task as text, for reports.

use crate::artifacts::TaskArtifacts;
use crate::error::Error;

/// The limit of bytes that one call of the host returns.
const CHUNK_SIZE: u32 = 1024 * 1024;

/// The text of a file, without its middle where the file is too long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// The text from the file's beginning on. Bytes that are not UTF-8 are replaced by U+FFFD.
    pub head: String,
    /// The number of bytes between `head` and `tail` that were left out; 0 for a whole file.
    pub left_out: u64,
    /// The text to the file's end; empty for a whole file.
    pub tail: String,
}

/// Reads a file. See [`TaskArtifacts::excerpt`].
pub(crate) fn read(task: &TaskArtifacts<'_>, name: &str, limit: u64) -> Result<Excerpt, Error> {
    let size = task.size(name)?;
    if size <= limit {
        let bytes = read_range(task, name, 0, size)?;
        return Ok(Excerpt {
            head: String::from_utf8_lossy(&bytes).into_owned(),
            ..Excerpt::default()
        });
    }
    let half = limit / 2;
    let head = read_range(task, name, 0, half)?;
    let tail = read_range(task, name, size - half, half)?;
    let (head, tail) = (trim_incomplete_end(&head), trim_incomplete_start(&tail));
    Ok(Excerpt {
        head: String::from_utf8_lossy(head).into_owned(),
        left_out: size - head.len() as u64 - tail.len() as u64,
        tail: String::from_utf8_lossy(tail).into_owned(),
    })
}

/// Reads `length` bytes, or fewer where the file has become shorter meanwhile.
fn read_range(
    task: &TaskArtifacts<'_>,
    name: &str,
    offset: u64,
    length: u64,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        let missing = length - bytes.len() as u64;
        let chunk = u32::try_from(missing).unwrap_or(CHUNK_SIZE).min(CHUNK_SIZE);
        let read = task.read(name, offset + bytes.len() as u64, chunk)?;
        if read.is_empty() {
            break;
        }
        bytes.extend_from_slice(&read);
    }
    Ok(bytes)
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
    use crate::artifacts::of_task;
    use crate::testing::{Artifacts, Host};

    fn excerpt(content: &str, limit: u64) -> Result<Excerpt, Error> {
        let files = Artifacts::new().task_file("1-a", "stdout", content);
        let _host = Host::new().artifacts(files).install();
        of_task("1-a").excerpt("stdout", limit)
    }

    #[test]
    fn short_file_is_whole() {
        let whole = excerpt("eight by", 8).unwrap_or_default();
        assert_eq!(
            (&*whole.head, whole.left_out, &*whole.tail),
            ("eight by", 0, "")
        );
    }

    #[test]
    fn long_file_loses_its_middle() {
        let cut = excerpt("0123456789", 4).unwrap_or_default();
        assert_eq!((&*cut.head, cut.left_out, &*cut.tail), ("01", 6, "89"));
    }

    #[test]
    fn missing_file_is_an_error() {
        let _host = Host::new().install();
        let error = of_task("1-a").excerpt("stdout", 4).err();
        assert_eq!(error.map(|error| error.code), Some("not-found".to_owned()));
    }

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
