//! Owns the lock that keeps other hosts out while this one reads, changes and writes a file. The
//! lock is on the file's directory, because the file itself is replaced by its new version. Does
//! not know what the file contains.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::private::{ONLY_OWNER, create_directory};

/// The longest wait for the lock: 30 s. A host holds it for as long as it takes to write a small
/// file.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often a waiting host tries to take the lock: every 10 ms. `flock` itself has no timeout.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A locked directory. Dropping this unlocks it.
#[derive(Debug)]
pub struct DirectoryLock {
    _directory: File,
}

/// Locks a directory, which is created if it does not exist. Waits for another host that has it
/// locked. Succeeds, with a warning, on a file system without locks.
///
/// # Errors
/// The directory cannot be created or opened, or another host has it locked for more than 30 s.
pub fn lock(path: &Path) -> io::Result<DirectoryLock> {
    create_directory(path, ONLY_OWNER)?;
    lock_within(path, TIMEOUT)
}

fn lock_within(path: &Path, timeout: Duration) -> io::Result<DirectoryLock> {
    let directory = File::open(path)?;
    let start = Instant::now();
    loop {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) if start.elapsed() < timeout => {
                std::thread::sleep(POLL_INTERVAL);
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!(
                        "another process has locked {} for {} s: end it, or try again",
                        path.display(),
                        timeout.as_secs()
                    ),
                ));
            }
            // NFS, for one, cannot lock a directory.
            Err(
                error @ (Errno::BADF | Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS | Errno::INVAL),
            ) => {
                tracing::warn!(
                    "{} cannot be locked ({error}): if two hosts change it at once, one change may \
                     be lost",
                    path.display()
                );
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(DirectoryLock {
        _directory: directory,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn second_holder_waits_for_the_first() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("new/one");
        let first = lock(&directory).unwrap();
        let error = lock_within(&directory, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            error.to_string().contains("another process has locked"),
            "{error}"
        );
        let waiting = std::thread::spawn(move || lock(&directory).map(drop));
        drop(first);
        waiting.join().unwrap().unwrap();
    }
}
