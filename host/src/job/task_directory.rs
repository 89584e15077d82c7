//! The directory of one task or requirement: how it is made, and what the host writes and reads there, which goes through descriptors
//! because tests can put anything in the place of its names. It must not know what is in it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;

use super::directory::Section;
use crate::held::Held;

/// A directory, made when something goes into it: a task that leaves nothing costs nothing.
pub(super) struct TaskDirectory {
    section: Arc<Section>,
    name: String,
    path: PathBuf,
    made: OnceLock<Result<(), Errno>>,
    held: OnceLock<Held>,
}

impl TaskDirectory {
    pub(super) fn new(section: &Arc<Section>, name: &str) -> Self {
        Self {
            path: section.path().join(name),
            section: Arc::clone(section),
            name: name.to_owned(),
            made: OnceLock::new(),
            held: OnceLock::new(),
        }
    }

    /// By which its processes know it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_made(&self) -> bool {
        self.made.get() == Some(&Ok(()))
    }

    /// Makes it where that has not been done. One that is there already is an error, as it is another's.
    pub(super) fn make(&self) -> io::Result<()> {
        let make = || match self.section.held()?.make(&self.name) {
            // That of a requirement is used again when it is released.
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && self.section.is_reused() =>
            {
                Ok(())
            }
            made => made,
        };
        let made = self.made.get_or_init(|| {
            make().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        });
        Ok((*made)?)
    }

    /// A file in it to be written to at its end.
    pub(super) fn append(&self, name: &str) -> io::Result<File> {
        match self.make() {
            // In a batch, its processes may have made it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        self.held()?.append(name)
    }

    /// A file in it to be read.
    pub(super) fn read(&self, name: &str) -> io::Result<File> {
        self.held()?.read(name)
    }

    fn held(&self) -> io::Result<&Held> {
        match self.held.get() {
            Some(held) => Ok(held),
            None => {
                let held = self.section.held()?.enter(&self.name)?;
                Ok(self.held.get_or_init(|| held))
            }
        }
    }

    /// It is there, whoever has made it.
    pub(super) fn exists(&self) -> bool {
        let parent = self.section.held();
        parent.is_ok_and(|parent| parent.has_directory(&self.name))
    }

    /// Removes it, if it was made.
    pub(super) fn remove(&self) {
        if self.is_made()
            && let Err(error) = self.section.held().and_then(|held| held.remove(&self.name))
        {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}
