//! Owns the file of an index in the user's cache: its name, and the lock that keeps a host from
//! removing a file that another one has open. Does not know what is in the file.
//!
//! SQLite keeps the journal of a transaction beside the file. If one host removed the file while
//! another one writes to it, a third one would take that journal for the new file's.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use persea_system::private::{ONLY_OWNER, create_directory};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::WAIT;

/// The directory of indexes in the cache.
const DIRECTORY: &str = "history";

/// The ends of the names of an index's files: its own, and those that SQLite keeps beside it.
const SUFFIXES: [&str; 4] = ["sqlite", "sqlite-journal", "sqlite-wal", "sqlite-shm"];

/// How often a host tries again to take the lock.
const POLL_INTERVAL: std::time::Duration = std::time::Duration::from_millis(10);

/// The age at which an index that nobody uses is removed, in seconds: 90 days. The index of a
/// results directory that is gone would stay for ever otherwise.
const UNUSED: u64 = 90 * 24 * 60 * 60;

/// The number of digits of the SHA-256 of the results directory's path in a file's name.
const DIGITS: usize = 32;

/// The file of an index, which stays as long as this value.
#[derive(Debug)]
pub(super) struct IndexFile {
    path: PathBuf,
    lock: File,
}

impl IndexFile {
    /// Takes the shared lock of the index of a results directory. Waits for a host that removes the
    /// file.
    pub(super) fn lock(cache: &Path, root: &Path) -> io::Result<Self> {
        let directory = cache.join(DIRECTORY);
        create_directory(&directory, ONLY_OWNER)?;
        let digest = Sha256::digest(root.as_os_str().as_bytes());
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = name.get(..DIGITS).unwrap_or(&name);
        let path = directory.join(format!("{name}.sqlite"));
        let lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(directory.join(format!("{name}.lock")))?;
        wait_for(&lock, FlockOperation::NonBlockingLockShared)?;
        // Its age tells when it was used last.
        let _ = lock.set_modified(SystemTime::now());
        if !path.exists() {
            remove_unused(&directory);
        }
        Ok(Self { path, lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, once no other host has it open.
    pub(super) fn remove(self) -> io::Result<Self> {
        wait_for(&self.lock, FlockOperation::NonBlockingLockExclusive)?;
        for suffix in SUFFIXES {
            match std::fs::remove_file(self.path.with_extension(suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        wait_for(&self.lock, FlockOperation::NonBlockingLockShared)?;
        Ok(self)
    }
}

/// Takes a lock, or waits for it.
fn wait_for(lock: &File, operation: FlockOperation) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match flock(lock, operation) {
            Err(Errno::WOULDBLOCK) if start.elapsed() < WAIT => {
                std::thread::sleep(POLL_INTERVAL);
            }
            done => return Ok(done?),
        }
    }
}

/// Removes indexes that nobody has used for long, unless somebody uses them now. The lock file of
/// one stays: it is empty, and whoever waits for it has it open.
fn remove_unused(directory: &Path) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let is_lock = path.extension().is_some_and(|it| it == "lock");
        let age = path.metadata().and_then(|meta| meta.modified()).ok();
        let age = age.and_then(|time| time.elapsed().ok());
        if !is_lock || age.is_none_or(|age| age.as_secs() < UNUSED) {
            continue;
        }
        let Ok(lock) = File::open(&path) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            for suffix in SUFFIXES {
                let _ = std::fs::remove_file(path.with_extension(suffix));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[test]
    fn index_that_nobody_uses_is_removed_after_three_months() {
        let cache = tempfile::tempdir().unwrap();
        let roots = ["/old", "/used", "/recent"].map(Path::new);
        let files = roots.map(|root| IndexFile::lock(cache.path(), root).unwrap());
        let old = SystemTime::now() - Duration::from_secs(UNUSED + 60);
        for (file, is_old) in files.iter().zip([true, true, false]) {
            std::fs::write(file.path(), "").unwrap();
            if is_old {
                file.lock.set_modified(old).unwrap();
            }
        }
        let paths = files.each_ref().map(|file| file.path().to_path_buf());
        let [unused, used, recent] = files;
        drop((unused, recent));
        let _new = IndexFile::lock(cache.path(), Path::new("/new")).unwrap();
        assert_eq!(paths.map(|path| path.exists()), [false, true, true]);
        drop(used);
    }
}
