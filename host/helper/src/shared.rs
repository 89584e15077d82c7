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

/// How alike a directory must be here and on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// Certainly the same directory: nothing in it has changed since the host looked at it.
    Certain,
    /// It may be the same: tests change it while they run, and a network file system may have inode
    /// numbers of its own.
    Probable,
}

/// Checks that the files that the host describes are those that this process sees.
///
/// # Errors
/// The path of the file or directory that is another one, is missing or cannot be used.
pub(crate) fn check(files: &SharedFiles, likeness: Likeness) -> Result<(), (Errno, String)> {
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
    let is_unchanged = (found.ctime(), found.ctime_nsec()) == files.changed;
    let is_same = match likeness {
        Likeness::Certain => is_unchanged,
        Likeness::Probable => is_unchanged || found.ino() == files.inode,
    };
    if !is_same {
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
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    #[track_caller]
    fn assert_refused(files: &SharedFiles, word: &str) {
        let (_, message) = check(files, Likeness::Probable).unwrap_err();
        assert!(message.contains(word), "{message}");
    }

    #[test]
    fn same_files_are_accepted() {
        let root = tempfile::tempdir().unwrap();
        let files = described(root.path());
        check(&files, Likeness::Certain).unwrap();
        // A network file system may have inode numbers of its own.
        let other = SharedFiles { inode: 1, ..files };
        check(&other, Likeness::Certain).unwrap();
        check(&other, Likeness::Probable).unwrap();
    }

    #[test]
    fn directory_that_has_changed_is_only_probably_the_same() {
        let root = tempfile::tempdir().unwrap();
        let files = described(root.path());
        let (seconds, nanoseconds) = files.changed;
        let changed = SharedFiles {
            changed: (seconds, nanoseconds ^ 1),
            ..files
        };
        check(&changed, Likeness::Probable).unwrap();
        assert!(check(&changed, Likeness::Certain).is_err());
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
            changed: (1, 1),
            ..files
        };
        assert_refused(&other, "project's directory");
    }
}
