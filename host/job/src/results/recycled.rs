//! Owns the recycling of directories whose tests have left nothing in them: the next tests get them
//! under their own names. Making a directory and two files can take half as long as a quick test;
//! renaming one costs next to nothing. Does not know what a task is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use persea_system::directory_handle::DirectoryHandle;
use rustix::fs::Mode;

/// The recycled directories below one parent.
#[derive(Debug, Default)]
pub(crate) struct RecycledDirectories(Mutex<Vec<RecycledDirectory>>);

/// An empty directory of a test that has ended.
#[derive(Debug)]
pub(crate) struct RecycledDirectory {
    /// Its present name, that of the ended test.
    pub(crate) name: String,
    /// The empty files in it.
    pub(crate) files: Vec<String>,
    pub(crate) mode: Mode,
}

impl RecycledDirectories {
    fn all(&self) -> MutexGuard<'_, Vec<RecycledDirectory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, directory: RecycledDirectory) {
        self.all().push(directory);
    }

    /// Renames a recycled directory to `name`, and returns the files in it and its mode. None where
    /// there is none to recycle, or where `name` is taken.
    pub(crate) fn take(&self, within: &DirectoryHandle, name: &str) -> Option<(Vec<String>, Mode)> {
        let directory = {
            let mut all = self.all();
            // A requeued task has left its own directory here.
            let own = all.iter().position(|directory| directory.name == name);
            match own {
                Some(own) => {
                    let own = all.swap_remove(own);
                    return Some((own.files, own.mode));
                }
                None => all.pop()?,
            }
        };
        match within.rename_without_replacing(&directory.name, name) {
            Ok(()) => Some((directory.files, directory.mode)),
            // Also fails on file systems that cannot rename without replacing.
            Err(_) => {
                self.remove(within, &directory);
                None
            }
        }
    }

    /// Removes the directories that were not used again.
    pub(crate) fn clear(&self, within: &DirectoryHandle) {
        for directory in self.all().drain(..) {
            self.remove(within, &directory);
        }
    }

    fn remove(&self, within: &DirectoryHandle, directory: &RecycledDirectory) {
        if let Err(error) = within.remove(&directory.name) {
            tracing::warn!(
                "cannot remove the empty directory {}: {error}",
                directory.name
            );
        }
    }
}
