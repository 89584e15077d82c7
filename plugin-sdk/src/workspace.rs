//! The power `workspace`: the files of the project, read only.
//!
//! A path is relative to the project's directory, with `/` between its parts, and never leads out of it
//! (`not-permitted`). Only the file that a resolver's reference names may be anywhere.

use crate::backend;
use crate::error::Error;

#[doc(inline)]
pub use crate::bindings::workspace::{FileKind, FileStat};

/// The largest read that one call makes, in bytes.
pub const MAX_READ: u32 = 1 << 20;

/// Looks at a path; links are followed.
///
/// # Errors
/// `not-found`, `not-permitted`, `io`.
pub fn stat(path: &str) -> Result<FileStat, Error> {
    backend::stat(path)
}

/// The names in a directory with what they are, sorted by name.
///
/// # Errors
/// As [`stat`], and `too-large` where there are more than 65,536, `invalid` where it is no directory.
pub fn list_directory(path: &str) -> Result<Vec<(String, FileKind)>, Error> {
    backend::list_directory(path)
}

/// Reads up to `length` bytes from `offset`; fewer only at the file's end. At most [`MAX_READ`].
///
/// # Errors
/// As [`stat`], and `invalid` where it is no ordinary file.
pub fn read(path: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    backend::read(path, offset, length)
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// As [`read`], and `too-large` where the file has more.
pub fn read_to_end(path: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        // One byte more than the limit, to see whether there is one.
        let done = bytes.len() as u64;
        let length = u32::try_from(limit.saturating_add(1) - done)
            .map_or(MAX_READ, |left| left.min(MAX_READ));
        let part = backend::read(path, done, length)?;
        let last = part.len() < length as usize;
        if bytes.is_empty() {
            bytes = part;
        } else {
            bytes.extend_from_slice(&part);
        }
        if bytes.len() as u64 > limit {
            return Err(
                Error::new("too-large", format!("{path} is larger than {limit} bytes"))
                    .with("limit", limit as i64),
            );
        }
        if last {
            return Ok(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::{Files, Host};

    #[test]
    fn a_whole_file_is_read_up_to_the_limit() {
        let large = vec![7; 3 * MAX_READ as usize + 5];
        let files = Files::new()
            .file("large", large.clone())
            .file("empty", "")
            .file("four", "abcd");
        let _host = Host::new().files(files).install();
        assert_eq!(read_to_end("large", 1 << 30).unwrap(), large);
        assert_eq!(read_to_end("large", large.len() as u64).unwrap(), large);
        assert_eq!(
            read_to_end("large", large.len() as u64 - 1)
                .unwrap_err()
                .code,
            "too-large"
        );
        assert_eq!(read_to_end("empty", 0).unwrap(), b"");
        assert_eq!(read_to_end("four", 4).unwrap(), b"abcd");
        assert_eq!(read_to_end("four", 3).unwrap_err().code, "too-large");
        assert_eq!(read_to_end("four", u64::MAX).unwrap(), b"abcd");
        assert_eq!(read_to_end("none", 3).unwrap_err().code, "not-found");
    }
}
