//! The directory of one task or requirement: where it is made, how it comes to the job's results, and what the host writes and reads there,
//! which goes through descriptors because tests can put anything in the place of its names. It must not know what is in it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;

use super::directory::Section;
use crate::held::Held;
use crate::spawner::Environment;

/// A directory, made when something goes into it: a task that leaves nothing costs nothing.
pub(super) struct TaskDirectory {
    section: Arc<Section>,
    name: String,
    path: PathBuf,
    environment: OnceLock<Environment>,
    made: OnceLock<Result<(), Errno>>,
    held: OnceLock<Held>,
}

impl TaskDirectory {
    pub(super) fn new(section: &Arc<Section>, name: &str) -> Self {
        Self {
            path: section.path().join(name),
            section: Arc::clone(section),
            name: name.to_owned(),
            environment: OnceLock::new(),
            made: OnceLock::new(),
            held: OnceLock::new(),
        }
    }

    /// By which its processes know it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its task runs there.
    pub(super) fn is_in(&self, environment: &Environment) {
        let _ = self.environment.set(environment.clone());
    }

    fn private(&self) -> Option<&Held> {
        let environment = self.environment.get()?;
        environment.in_place_of(self.section.path())
    }

    /// Where it is as long as its task runs.
    fn parent(&self) -> io::Result<&Held> {
        match self.private() {
            Some(private) => Ok(private),
            None => self.section.held(),
        }
    }

    pub(super) fn is_made(&self) -> bool {
        self.made.get() == Some(&Ok(()))
    }

    /// Makes it where that has not been done. One that is there already is an error, as it is another's.
    pub(super) fn make(&self) -> io::Result<()> {
        let make = || match self.parent()?.make(&self.name) {
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
                let held = self.parent()?.enter(&self.name)?;
                Ok(self.held.get_or_init(|| held))
            }
        }
    }

    /// Its task has ended: from now on it is where the results of all tasks are. Whether there is one.
    pub(super) fn settle(&self) -> bool {
        let moved = match self.private() {
            Some(private) => self.take_from(private),
            None => return self.is_made(),
        };
        moved.unwrap_or_else(|error| {
            let path = self.path.display();
            tracing::warn!("what a test has left is lost, there is no {path}: {error}");
            false
        })
    }

    fn take_from(&self, private: &Held) -> io::Result<bool> {
        let all = self.section.held()?;
        match private.rename(&self.name, all, &self.name) {
            // It left nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_made() => {
                return Ok(false);
            }
            moved => moved?,
        }
        if all.has_directory(&self.name) {
            return Ok(true);
        }
        all.remove(&self.name)?;
        Err(io::Error::other("something else was in its place"))
    }

    /// It is there, whoever has made it.
    pub(super) fn exists(&self) -> bool {
        let parent = self.parent();
        parent.is_ok_and(|parent| parent.has_directory(&self.name))
    }

    /// Removes it, if it was made.
    pub(super) fn remove(&self) {
        if self.is_made()
            && let Err(error) = self.parent().and_then(|all| all.remove(&self.name))
        {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }

    /// Removes it if nothing is in it.
    pub(super) fn remove_empty(&self) {
        // It fails where there is something, or nothing at all.
        let _ = std::fs::remove_dir(&self.path);
    }
}
