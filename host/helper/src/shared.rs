//! Owns the check that helper and host see the same files. Does not know how the files are shared.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use persea_helper::protocol::SharedFiles;
use rustix::fs::{Access, access};
use rustix::io::Errno;

/// Checks that the files that the host describes are those that this process sees.
///
/// # Errors
/// The path of the file or directory that is another one, is missing or cannot be used.
pub(crate) fn check(files: &SharedFiles) -> Result<(), (Errno, String)> {
    let proof = Path::new(OsStr::from_bytes(&files.proof.0));
    let of_host = proof.parent().unwrap_or(proof).display();
    let content = read(proof, files.content.0.len())
        .map_err(|error| failure(&error, &format!("the directory of results {of_host}")))?;
    if content != files.content.0 {
        let message = format!("the directory of results {of_host} is another one");
        return Err((Errno::XDEV, message));
    }
    if let Err(error) = access(proof.parent().unwrap_or(proof), Access::WRITE_OK) {
        let what = format!("the directory of results {of_host}, to write to it,");
        return Err(failure(&error.into(), &what));
    }
    let directory = Path::new(OsStr::from_bytes(&files.directory.0));
    let shown = directory.display();
    let found = fs::metadata(directory)
        .map_err(|error| failure(&error, &format!("the project's directory {shown}")))?;
    if found.ino() != files.inode && found.mtime() != files.modified {
        let message = format!("the project's directory {shown} is another one");
        return Err((Errno::XDEV, message));
    }
    Ok(())
}

/// Reads a file that should have this length, and no more than one byte more.
fn read(path: &Path, length: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let most = u64::try_from(length).unwrap_or(u64::MAX).saturating_add(1);
    fs::File::open(path)?.take(most).read_to_end(&mut content)?;
    Ok(content)
}

fn failure(error: &io::Error, what: &str) -> (Errno, String) {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    let why = match errno {
        Errno::NOENT | Errno::NOTDIR => "is missing".to_owned(),
        _ => format!("cannot be used: {error}"),
    };
    (errno, format!("{what} {why}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use persea_helper::protocol::Bytes;

    fn described(directory: &Path) -> SharedFiles {
        let bytes = |path: &Path| Bytes(path.as_os_str().as_bytes().to_vec());
        let proof = directory.join("proof");
        fs::write(&proof, "secret").unwrap();
        let found = fs::metadata(directory).unwrap();
        SharedFiles {
            proof: bytes(&proof),
            content: Bytes(b"secret".to_vec()),
            directory: bytes(directory),
            inode: found.ino(),
            modified: found.mtime(),
        }
    }

    #[track_caller]
    fn assert_refused(files: &SharedFiles, word: &str) {
        let (_, message) = check(files).unwrap_err();
        assert!(message.contains(word), "{message}");
    }

    #[test]
    fn same_files_are_accepted() {
        let root = tempfile::tempdir().unwrap();
        let files = described(root.path());
        check(&files).unwrap();
        // A network file system may have inode numbers of its own.
        let other = SharedFiles { inode: 1, ..files };
        check(&other).unwrap();
    }

    #[test]
    fn missing_or_different_files_are_named() {
        let root = tempfile::tempdir().unwrap();
        let files = described(root.path());
        let missing = SharedFiles {
            proof: Bytes(b"/no/such/proof".to_vec()),
            ..files.clone()
        };
        assert_refused(&missing, "results /no/such is missing");
        let missing = SharedFiles {
            directory: Bytes(b"/no/such".to_vec()),
            ..files.clone()
        };
        assert_refused(&missing, "project's directory /no/such is missing");
        for content in ["secreT", "secret and more", "sec"] {
            let content = Bytes(content.into());
            let other = SharedFiles {
                content,
                ..files.clone()
            };
            assert_refused(&other, "is another one");
        }
        let other = SharedFiles {
            inode: 1,
            modified: 1,
            ..files
        };
        assert_refused(&other, "project's directory");
    }
}
