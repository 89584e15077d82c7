//! Small files that come with a project or from a user: read as a whole, without waiting for anybody, and never more than they may have.
//! Knows nothing of what is in them.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// The most that a configuration file, a lock or a signature may have.
pub const SMALL: u64 = 1 << 20;

/// The most that a job file may have.
pub const JOB_FILE: u64 = 16 << 20;

/// The text of a file, if it has at most so many bytes. An error says what is wrong and the way out; the caller names the file.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    text_of(open(path)?, most)
}

/// The text of a file that [`open`] has opened.
pub fn text_of(file: File, most: u64) -> io::Result<String> {
    String::from_utf8(bytes_of(file, most)?).map_err(|error| {
        let line = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to());
        let line = line.filter(|byte| **byte == b'\n').count() + 1;
        let text = format!("line {line} is no text in UTF-8: save it as such");
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// Opens an ordinary file to be read.
pub fn open(path: &Path) -> io::Result<File> {
    // A pipe that nobody writes to would be waited for.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no ordinary file: put one in its place",
        )),
    }
}

/// The bytes of a file, if they are at most so many.
pub fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    bytes_of(open(path)?, most)
}

fn bytes_of(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Also of one that grows while it's read, or says of itself that it is empty.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let text = format!(
            "it has more than {} MiB, which is the most that is read of such a file: take out what is not needed",
            most >> 20
        );
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        std::fs::write(&path, vec![b'x'; SMALL as usize]).unwrap();
        assert_eq!(text(&path, SMALL).unwrap().len(), SMALL as usize);
        std::fs::write(&path, vec![b'x'; SMALL as usize + 1]).unwrap();
        let error = text(&path, SMALL).unwrap_err();
        assert!(error.to_string().contains("more than 1 MiB"), "{error}");
        std::fs::write(&path, b"a\nb\n\xff").unwrap();
        let error = text(&path, SMALL).unwrap_err();
        assert!(error.to_string().starts_with("line 3 "), "{error}");
        let missing = text(&root.path().join("none"), SMALL).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_no_file_is_neither_read_nor_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let zero = root.path().join("zero");
        std::os::unix::fs::symlink("/dev/zero", &zero).unwrap();
        for path in [root.path(), &pipe, &zero] {
            let error = text(path, SMALL).unwrap_err();
            assert!(error.to_string().contains("no ordinary file"), "{error}");
        }
    }
}
