//! Owns the directory for temporary files of one run of the host, and removes those of hosts that were killed. Does not know
//! what is kept there.
//!
//! Each directory has a file that its host holds locked (flock). The kernel takes the lock away with the process, however
//! that ends, so a directory whose file can be locked is nobody's.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use persea_helper::removal;
use rustix::fs::OFlags;
use rustix::process::geteuid;

/// How the names of the directories begin.
const PREFIX: &str = "persea-";

/// The file that is locked as long as its host lives. Only a directory that has it is ever removed.
const LOCK: &str = ".persea-host";

/// A directory for temporary files could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a directory for temporary files in {}: {source}", root.display())]
pub struct TemporaryError {
    root: PathBuf,
    source: io::Error,
}

/// The directory of this run. It is removed when this is dropped.
#[derive(Debug)]
pub struct Temporary {
    // Removed before the lock is given up.
    directory: tempfile::TempDir,
    _lock: File,
}

impl Temporary {
    /// Makes a directory where temporary files belong (`TMPDIR`).
    ///
    /// # Errors
    /// That place is missing, full, or not to be written to.
    pub fn new() -> Result<Self, TemporaryError> {
        let root = std::env::temp_dir();
        Self::new_in(&root).map_err(|source| TemporaryError { root, source })
    }

    fn new_in(root: &Path) -> io::Result<Self> {
        // The text of the library would name a directory in it.
        root.metadata()?;
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            // With any umask nobody else can put something in the place of what is in it.
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in(root)?;
        let new = directory.path().join(".new");
        let lock = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        // Whoever looks for directories of the dead never finds the file unlocked. A file system without locks keeps none.
        if lock.try_lock().is_ok() {
            std::fs::rename(&new, directory.path().join(LOCK))?;
        }
        Ok(Self {
            directory,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes what hosts of this user have left where temporary files belong, because they were killed. Returns how many
/// directories that were. What cannot be removed is left for another time.
pub fn remove_abandoned() -> usize {
    remove_abandoned_in(&std::env::temp_dir())
}

fn remove_abandoned_in(root: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(root) else {
        return 0;
    };
    let ours = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
    });
    let removed = ours.filter(|entry| {
        let path = entry.path();
        match lock_of_the_dead(&path) {
            // It is held until all is gone, so that another host does not remove the same files.
            Ok(Some(_lock)) => removal::remove_tree(&path)
                .inspect_err(|error| tracing::info!("{} stays: {error}", path.display()))
                .is_ok(),
            Ok(None) | Err(_) => false,
        }
    });
    removed.count()
}

/// The lock of a directory whose host does not live any more.
fn lock_of_the_dead(directory: &Path) -> io::Result<Option<File>> {
    let own = geteuid().as_raw();
    let is_own = std::fs::symlink_metadata(directory)?;
    if !is_own.is_dir() || is_own.uid() != own {
        return Ok(None);
    }
    // Neither a link is followed nor a pipe waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let lock = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(directory.join(LOCK))?;
    let file = lock.metadata()?;
    let is_dead = file.is_file() && file.uid() == own && lock.try_lock().is_ok();
    Ok(is_dead.then_some(lock))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn directory_of_a_dead_host_is_removed_and_that_of_a_living_one_stays() {
        let root = tempfile::tempdir().unwrap();
        let living = Temporary::new_in(root.path()).unwrap();
        let dead = Temporary::new_in(root.path()).unwrap();
        std::fs::create_dir_all(dead.path().join("a/b")).unwrap();
        let path = dead.path().to_owned();
        // As after a kill: the lock is gone, and nothing was removed.
        let Temporary { directory, _lock } = dead;
        let _ = directory.keep();
        assert_eq!(remove_abandoned_in(root.path()), 0);
        drop(_lock);
        assert_eq!(remove_abandoned_in(root.path()), 1);
        assert!(!path.exists() && living.path().exists());
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }

    #[test]
    fn directory_that_no_host_has_made_stays() {
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
        let error = Temporary::new_in(Path::new("/no/such")).unwrap_err();
        assert_eq!(error.to_string(), "No such file or directory (os error 2)");
    }
}
