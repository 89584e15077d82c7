//! The power `workspace`: read access to the files of the project.
//!
//! A path is relative to the project's directory, with `/` between its components. A path that
//! leads out of the project, by `..` or by a link, fails with `not-permitted`. There is one
//! exception: the file that a resolver's reference names may be anywhere, if the plugin writes its
//! path exactly as the reference does.
//!
//! Only ordinary files can be read, so that no call blocks on a pipe or a device.

use crate::attributes::Attributes;
use crate::backend;
use crate::error::Error;

#[doc(inline)]
pub use crate::bindings::workspace::FileKind;

/// What the host knows about a file without opening it. Links are followed.
#[derive(Clone, Debug, PartialEq)]
pub struct FileStat {
    /// The type of the file.
    pub kind: FileKind,
    /// The size in bytes; 0 for anything but an ordinary file.
    pub size: u64,
    /// Whether it is an ordinary file that has permission to be executed.
    pub executable: bool,
    /// Further data; no names are defined yet.
    pub more: Attributes,
}

/// The largest number of bytes that one call of [`read`] returns: 1 MiB.
pub const MAX_READ: u32 = 1 << 20;

/// Describes the file at a path. Links are followed.
///
/// # Errors
/// `not-found`, `not-permitted`, `io`.
pub fn stat(path: &str) -> Result<FileStat, Error> {
    backend::stat(path)
}

/// Lists a directory: the name and type of each entry, sorted by name. Names that are not UTF-8 are
/// left out; the host's log says how many.
///
/// # Errors
/// As for [`stat`] (`not-found` also for a path that is not a directory's), and `too-large` for
/// more than 65,536 entries.
pub fn list_directory(path: &str) -> Result<Vec<(String, FileKind)>, Error> {
    backend::list_directory(path)
}

/// Reads up to `length` bytes of an ordinary file, from `offset`. The result is shorter only at the
/// end of the file. A `length` of more than [`MAX_READ`] counts as that.
///
/// # Errors
/// As for [`stat`], and `invalid` for anything but an ordinary file.
pub fn read(path: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    backend::read(path, offset, length)
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// As for [`read`], and `too-large` for a larger file; the detail `limit` (integer) has the limit.
pub fn read_to_end(path: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        // Reads one byte more than the limit, to notice a larger file.
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
    fn file_is_read_whole_up_to_the_limit() {
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
