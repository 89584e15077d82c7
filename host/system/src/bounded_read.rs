//! Owns reading whole files that come with a project or from a user, up to a limit of bytes and
//! without blocking on a pipe or device. Does not know what the files contain.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// The limit for a configuration file, a lock file or a signature: 1 MiB.
pub const MAX_SMALL_FILE: u64 = 1 << 20;

/// The limit for a job file: 16 MiB.
pub const MAX_JOB_FILE: u64 = 16 << 20;

/// Reads a file as text.
///
/// # Errors
/// The file cannot be opened or read, has more than `limit` bytes, or is not UTF-8. The error says
/// what to do about it; the caller adds the file's name.
pub fn text(path: &Path, limit: u64) -> io::Result<String> {
    text_of(open(path)?, limit)
}

/// Reads a file that [`open`] has opened as text.
///
/// # Errors
/// As for [`text`].
pub fn text_of(file: File, limit: u64) -> io::Result<String> {
    String::from_utf8(bytes_of(file, limit)?).map_err(|error| {
        let line = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to());
        let line = line.filter(|byte| **byte == b'\n').count() + 1;
        let text = format!("line {line} is not UTF-8: save the file in that encoding");
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// Opens an ordinary file for reading.
///
/// # Errors
/// The file cannot be opened, or is a directory, pipe, device or socket.
pub fn open(path: &Path) -> io::Result<File> {
    // Without NONBLOCK, opening a pipe blocks until somebody writes to it.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not an ordinary file: put one in its place",
        )),
    }
}

/// Reads a file as bytes.
///
/// # Errors
/// The file cannot be opened or read, or has more than `limit` bytes.
pub fn bytes(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    bytes_of(open(path)?, limit)
}

fn bytes_of(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // The size in the metadata is no bound: the file may grow meanwhile, and those of /proc claim
    // to be empty. Reserving that size saves the copies of a growing vector.
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let size = usize::try_from(size.min(limit)).unwrap_or_default();
    // Without memory for all of it, reading it fails below.
    let _ = bytes.try_reserve_exact(size.saturating_add(1));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let text = format!(
            "it has more than {} MiB, the limit for such a file: take out what is not needed",
            limit >> 20
        );
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// Reads up to `length` bytes of an open file from `offset`; fewer only at the file's end.
///
/// # Errors
/// The system cannot read the file.
pub fn part(file: &File, offset: u64, length: u32) -> io::Result<Vec<u8>> {
    let left = file.metadata()?.len().saturating_sub(offset);
    let length = u64::from(length).min(left);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn file_is_read_up_to_the_limit() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        std::fs::write(&path, vec![b'x'; MAX_SMALL_FILE as usize]).unwrap();
        assert_eq!(
            text(&path, MAX_SMALL_FILE).unwrap().len(),
            MAX_SMALL_FILE as usize
        );
        std::fs::write(&path, vec![b'x'; MAX_SMALL_FILE as usize + 1]).unwrap();
        let error = text(&path, MAX_SMALL_FILE).unwrap_err();
        assert!(error.to_string().contains("more than 1 MiB"), "{error}");
        std::fs::write(&path, b"a\nb\n\xff").unwrap();
        let error = text(&path, MAX_SMALL_FILE).unwrap_err();
        assert!(error.to_string().starts_with("line 3 "), "{error}");
        let missing = text(&root.path().join("none"), MAX_SMALL_FILE).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn directories_pipes_and_devices_are_refused_without_blocking() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let zero = root.path().join("zero");
        std::os::unix::fs::symlink("/dev/zero", &zero).unwrap();
        for path in [root.path(), &pipe, &zero] {
            let error = text(path, MAX_SMALL_FILE).unwrap_err();
            assert!(
                error.to_string().contains("not an ordinary file"),
                "{error}"
            );
        }
    }
}
