//! Exclusion of other hosts while a file is read, changed and written. Owns the lock, which is that of the file's directory: the file itself
//! is replaced by its new version. Does not know about what is in the file.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The longest wait for another host. Each holds the lock for as long as it takes to write a small file.
const WAIT: Duration = Duration::from_secs(30);

/// How often the lock is asked for: flock has no time limit of its own.
const POLL: Duration = Duration::from_millis(10);

/// The lock of a directory, until it is dropped.
#[derive(Debug)]
pub struct Exclusive {
    _directory: File,
}

/// Waits until no other host changes files of this directory, which is made if need be, and keeps others from it.
///
/// # Errors
/// The directory cannot be made or opened, or another host has the lock for more than 30 s.
pub fn of_directory(path: &Path) -> io::Result<Exclusive> {
    std::fs::create_dir_all(path)?;
    within(path, WAIT)
}

fn within(path: &Path, wait: Duration) -> io::Result<Exclusive> {
    let directory = File::open(path)?;
    let start = Instant::now();
    loop {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) if start.elapsed() < wait => std::thread::sleep(POLL),
            Err(Errno::WOULDBLOCK) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!(
                        "another process has locked {} for {} s: end it, or try again",
                        path.display(),
                        wait.as_secs()
                    ),
                ));
            }
            // As on NFS, where a directory has no locks.
            Err(
                error @ (Errno::BADF | Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS | Errno::INVAL),
            ) => {
                tracing::warn!(
                    "{} cannot be locked ({error}): two hosts that change it at once may lose a change",
                    path.display()
                );
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Exclusive {
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
        let first = of_directory(&directory).unwrap();
        let error = within(&directory, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            error.to_string().contains("another process has locked"),
            "{error}"
        );
        let waiting = std::thread::spawn(move || of_directory(&directory).map(drop));
        drop(first);
        waiting.join().unwrap().unwrap();
    }
}
