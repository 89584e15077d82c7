//! Owns the directory for temporary files of one run of the host, and removes those of hosts that
//! were killed. Does not know what the directories contain.
//!
//! Each directory has a file that its host keeps locked (flock). The kernel releases the lock when
//! the process ends, however it ends; so a directory whose file can be locked is abandoned.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use persea_helper::removal;
use rustix::fs::OFlags;
use rustix::process::geteuid;

use crate::private::READABLE;

/// The prefix of the directories' names.
const PREFIX: &str = "persea-";

/// The file that its host keeps locked. A directory without it is never removed.
const LOCK: &str = ".persea-host";

/// The directory for temporary files could not be created.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a directory for temporary files in {}: {source}", root.display())]
pub struct TemporaryError {
    root: PathBuf,
    source: io::Error,
}

/// The directory for temporary files of this run. Dropping this removes the directory.
#[derive(Debug)]
pub struct Temporary {
    // Declared before the lock, so that the directory is removed before the lock is released.
    directory: tempfile::TempDir,
    _lock: File,
}

impl Temporary {
    /// Creates a directory in `TMPDIR`, or in `/tmp` by default.
    ///
    /// # Errors
    /// `TMPDIR` does not exist, is full, or cannot be written to.
    pub fn new() -> Result<Self, TemporaryError> {
        Self::new_in(&std::env::temp_dir())
    }

    /// Creates a directory in `root`.
    ///
    /// # Errors
    /// `root` does not exist, is full, or cannot be written to.
    pub fn new_in(root: &Path) -> Result<Self, TemporaryError> {
        Self::make_in(root).map_err(|source| TemporaryError {
            root: root.to_path_buf(),
            source,
        })
    }

    fn make_in(root: &Path) -> io::Result<Self> {
        // Fails here if the root does not exist: the library's error would name a directory in it.
        root.metadata()?;
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            // Regardless of the umask, others cannot replace what is in it.
            .permissions(std::fs::Permissions::from_mode(READABLE))
            .tempdir_in(root)?;
        let new = directory.path().join(".new");
        let lock = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        // The file appears under its name when it is locked, so that no other host takes the
        // directory for abandoned. On a file system without locks it never appears.
        if lock.try_lock().is_ok() {
            std::fs::rename(&new, directory.path().join(LOCK))?;
        }
        Ok(Self {
            directory,
            _lock: lock,
        })
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = remove(self.path()) {
            tracing::info!("cannot remove {}: {error}", self.path().display());
        }
    }
}

/// Removes the directories in `TMPDIR` that killed hosts of this user have left, and returns their
/// number. Skips a directory that cannot be removed.
pub fn remove_abandoned() -> usize {
    remove_abandoned_in(&std::env::temp_dir())
}

/// Whether a directory for temporary files was left by a host of this user that has ended, or is
/// removed already. False if unknown.
pub fn is_abandoned(directory: &Path) -> bool {
    match lock_abandoned(directory) {
        Ok(lock) => lock.is_some(),
        // Without its lock file, the directory is none of a host.
        Err(error) => error.kind() == io::ErrorKind::NotFound && !directory.exists(),
    }
}

/// [`remove_abandoned`] for the directories in `root`.
pub fn remove_abandoned_in(root: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(root) else {
        return 0;
    };
    let ours = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
    });
    let removed = ours.filter(|entry| {
        let path = entry.path();
        match lock_abandoned(&path) {
            // Locked until the end of the removal, so that no other host removes the same files.
            Ok(Some(_lock)) => remove(&path)
                .inspect_err(|error| tracing::info!("cannot remove {}: {error}", path.display()))
                .is_ok(),
            Ok(None) | Err(_) => false,
        }
    });
    removed.count()
}

/// Removes the directory of a host, its lock file last: if this process is killed meanwhile, the
/// next host can still tell whose directory it is.
fn remove(directory: &Path) -> io::Result<()> {
    remove_all_but_the_lock(directory)?;
    Ok(removal::remove_tree(directory)?)
}

fn remove_all_but_the_lock(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() != LOCK {
            removal::remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

/// Locks the directory of a host that has ended. Returns none if the host still runs, or if the
/// directory is not one of this user's hosts.
fn lock_abandoned(directory: &Path) -> io::Result<Option<File>> {
    let own = geteuid().as_raw();
    let found = std::fs::symlink_metadata(directory)?;
    if !found.is_dir() || found.uid() != own {
        return Ok(None);
    }
    // Does not follow a link, and does not block on a pipe.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let lock = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(directory.join(LOCK))?;
    let file = lock.metadata()?;
    let is_abandoned = file.is_file() && file.uid() == own && lock.try_lock().is_ok();
    Ok(is_abandoned.then_some(lock))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn directory_of_a_killed_host_is_removed_and_that_of_a_running_one_stays() {
        let root = tempfile::tempdir().unwrap();
        let living = Temporary::new_in(root.path()).unwrap();
        let dead = Temporary::new_in(root.path()).unwrap();
        std::fs::create_dir_all(dead.path().join("a/b")).unwrap();
        let path = dead.path().to_owned();
        assert_eq!(remove_abandoned_in(root.path()), 0);
        assert!(!is_abandoned(living.path()) && !is_abandoned(dead.path()));
        // The same as after SIGKILL: nothing was removed, and the lock is released.
        dead._lock.unlock().unwrap();
        std::mem::forget(dead);
        assert!(!is_abandoned(living.path()) && is_abandoned(&path));
        assert_eq!(remove_abandoned_in(root.path()), 1);
        assert!(is_abandoned(&path));
        assert!(!path.exists() && living.path().exists());
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }

    #[test]
    fn lock_file_is_removed_last() {
        let root = tempfile::tempdir().unwrap();
        let host = Temporary::new_in(root.path()).unwrap();
        std::fs::create_dir_all(host.path().join("a/b")).unwrap();
        std::fs::write(host.path().join("file"), "").unwrap();
        remove_all_but_the_lock(host.path()).unwrap();
        let entries = std::fs::read_dir(host.path()).unwrap();
        let left: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [LOCK]);
        remove(host.path()).unwrap();
        assert!(!host.path().exists());
    }

    #[test]
    fn directory_without_a_hosts_lock_file_stays() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("persea-checkout");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("work"), "of days").unwrap();
        std::fs::write(root.path().join("persea-file"), "").unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join(LOCK), "").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join("persea-link")).unwrap();
        assert_eq!(remove_abandoned_in(root.path()), 0);
        assert!(directory.join("work").exists() && elsewhere.path().join(LOCK).exists());
    }

    #[test]
    fn missing_root_is_named() {
        let error = Temporary::make_in(Path::new("/no/such")).unwrap_err();
        assert_eq!(error.to_string(), "No such file or directory (os error 2)");
    }
}
