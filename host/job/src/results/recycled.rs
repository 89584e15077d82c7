//! Directories of tests that have left nothing in them: the next tests get them, under their own names. To make a directory and two files
//! takes a file system up to half as long as a quick test takes in all, to rename one next to nothing. It must not know what a task is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use persea_system::held::Held;

/// Those of one directory.
#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<Vec<Spare>>);

/// A directory whose test has ended.
#[derive(Debug)]
pub(crate) struct Spare {
    /// It still has that test's name.
    pub(crate) name: String,
    /// The empty files in it.
    pub(crate) files: Vec<String>,
}

impl Spares {
    fn all(&self) -> MutexGuard<'_, Vec<Spare>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, spare: Spare) {
        self.all().push(spare);
    }

    /// Gives one this name, and says which files are in it; none where there is none, or where something has that name.
    pub(crate) fn take(&self, within: &Held, name: &str) -> Option<Vec<String>> {
        let spare = {
            let mut all = self.all();
            // A task that was not started has left its own.
            let own = all.iter().position(|spare| spare.name == name);
            match own {
                Some(own) => return Some(all.swap_remove(own).files),
                None => all.pop()?,
            }
        };
        match within.rename_to_new(&spare.name, name) {
            Ok(()) => Some(spare.files),
            // Also on file systems that can't tell whether a name is new.
            Err(_) => {
                self.remove(within, &spare);
                None
            }
        }
    }

    /// Removes those that nobody has taken.
    pub(crate) fn clear(&self, within: &Held) {
        for spare in self.all().drain(..) {
            self.remove(within, &spare);
        }
    }

    fn remove(&self, within: &Held, spare: &Spare) {
        if let Err(error) = within.remove(&spare.name) {
            tracing::warn!("cannot remove the empty directory {}: {error}", spare.name);
        }
    }
}
