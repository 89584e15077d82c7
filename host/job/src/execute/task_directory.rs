//! Owns the directory of one task or requirement: where it is made, how it reaches the job's
//! results, and the host's access to its files. That access goes through descriptors, because tests
//! can replace any name in it. Does not know what the files mean.

mod ending;
mod files;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::Mode;
use rustix::io::Errno;

use crate::results::directory::Section;
use persea_spawner::Environment;
use persea_system::directory_handle::DirectoryHandle;

/// The file in a test's directory for messages of the host and of the runner.
pub(crate) const DEBUG_LOG: &str = "debug.log";

/// The directory of a task or requirement. It is made before anything may be written to it, and
/// removed in the end if nothing was.
pub(crate) struct TaskDirectory {
    section: Arc<Section>,
    name: String,
    path: PathBuf,
    /// Whether an empty [`DEBUG_LOG`] is made with the directory.
    has_log: bool,
    environment: OnceLock<Environment>,
    /// The directory on a host that shares no files with this machine, where the task's processes
    /// write; none for a task on another one. What the host itself writes is here from the
    /// beginning.
    remote: OnceLock<RemoteDirectory>,
    made: OnceLock<Result<(), Errno>>,
    handle: OnceLock<DirectoryHandle>,
    files: Mutex<OutputFiles>,
    /// Set when the directory was empty and has been given up.
    given_up: OnceLock<()>,
}

/// The empty files that were made with the directory, for the output of the task's processes.
#[derive(Default)]
struct OutputFiles {
    own: Vec<String>,
    /// The files of an earlier task that had the directory before it was recycled.
    recycled: Vec<String>,
    /// The mode of the directory when it was made.
    mode: Option<Mode>,
}

/// The directory of a task on a host that shares no files with this machine.
struct RemoteDirectory {
    environment: Environment,
    path: PathBuf,
    /// Whether the helper was asked to make the directory.
    is_made: OnceLock<()>,
    /// Whether everything in it was fetched.
    is_fetched: OnceLock<()>,
}

impl TaskDirectory {
    pub(crate) fn new(section: &Arc<Section>, name: &str) -> Self {
        Self {
            path: section.path().join(name),
            section: Arc::clone(section),
            name: name.to_owned(),
            has_log: false,
            environment: OnceLock::new(),
            remote: OnceLock::new(),
            made: OnceLock::new(),
            handle: OnceLock::new(),
            files: Mutex::default(),
            given_up: OnceLock::new(),
        }
    }

    /// The directory of a test. Processes of the test receive the path of its [`DEBUG_LOG`], so
    /// that file exists before the first of them starts.
    pub(crate) fn of_test(section: &Arc<Section>, name: &str) -> Self {
        Self {
            has_log: true,
            ..Self::new(section, name)
        }
    }

    /// The directory's path, as the task's processes know it.
    pub(crate) fn path(&self) -> &Path {
        self.remote.get().map_or(&self.path, |remote| &remote.path)
    }

    /// The directory's path on this machine, while the task runs.
    pub(crate) fn path_here(&self) -> PathBuf {
        let environment = self.environment.get();
        let private = environment.and_then(|it| it.private_path(self.section.path()));
        private.unwrap_or(self.section.path()).join(&self.name)
    }

    /// Sets the environment in which the task runs.
    pub(crate) fn is_in(&self, environment: &Environment) {
        let _ = self.environment.set(environment.clone());
        if let Some(files) = environment.remote_files() {
            let _ = self.remote.set(RemoteDirectory {
                environment: environment.clone(),
                path: files.task_directory(&self.path),
                is_made: OnceLock::new(),
                is_fetched: OnceLock::new(),
            });
        }
    }

    /// Whether the task's processes write to another host, from which [`TaskDirectory::fetch`]
    /// fetches their files.
    pub(crate) fn is_remote(&self) -> bool {
        self.remote.get().is_some()
    }

    fn private(&self) -> Option<&DirectoryHandle> {
        let environment = self.environment.get()?;
        environment.private_directory(self.section.path())
    }

    /// The directory's parent while the task runs.
    fn parent(&self) -> io::Result<&DirectoryHandle> {
        match self.private() {
            Some(private) => Ok(private),
            None => self.section.handle(),
        }
    }

    pub(crate) fn is_made(&self) -> bool {
        self.made.get() == Some(&Ok(()))
    }

    /// Makes the directory unless that has been done. One that exists already belongs to another
    /// task and is an error.
    pub(crate) fn make(&self) -> io::Result<()> {
        match self.remote.get() {
            Some(remote) => self.make_there(remote),
            None => self.make_here(),
        }
    }

    fn make_there(&self, remote: &RemoteDirectory) -> io::Result<()> {
        if remote.is_made.set(()).is_err() {
            return Ok(());
        }
        let log: &[&str] = match self.has_log {
            true => &[DEBUG_LOG],
            false => &[],
        };
        let made = remote.environment.make_directory(&remote.path, log);
        made.map_err(io::Error::other)
    }

    fn make_here(&self) -> io::Result<()> {
        let make = || match self.make_or_reuse() {
            // A requirement's directory is used again for its release.
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

    fn make_or_reuse(&self) -> io::Result<()> {
        let parent = self.parent()?;
        let directories = self.private().is_none().then(|| self.section.recycled());
        let (recycled, mode) = match directories.and_then(|it| it.take(parent, &self.name)) {
            Some(recycled) => recycled,
            None => (Vec::new(), parent.create_directory(&self.name)?),
        };
        let mut files = self.files();
        (files.recycled, files.mode) = (recycled, Some(mode));
        if self.has_log {
            let is_log = |file: &String| file == DEBUG_LOG;
            if !files.recycled.iter().any(is_log) {
                parent.create_file(&format!("{}/{DEBUG_LOG}", self.name))?;
            }
            files.recycled.retain(|file| !is_log(file));
            files.own.push(DEBUG_LOG.to_owned());
        }
        Ok(())
    }

    fn files(&self) -> MutexGuard<'_, OutputFiles> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the path of a file for the output of the task's processes, as they know it.
    pub(crate) fn output(&self, name: &str) -> io::Result<PathBuf> {
        self.make()?;
        let mut files = self.files();
        files.recycled.retain(|other| other != name);
        if !files.own.iter().any(|own| own == name) {
            files.own.push(name.to_owned());
        }
        Ok(self.path().join(name))
    }

    fn handle(&self) -> io::Result<&DirectoryHandle> {
        match self.handle.get() {
            Some(handle) => Ok(handle),
            None => {
                let handle = self.parent()?.open_directory(&self.name)?;
                Ok(self.handle.get_or_init(|| handle))
            }
        }
    }

    /// Whether the directory exists, whoever made it.
    pub(crate) fn exists(&self) -> bool {
        let parent = self.parent();
        self.given_up.get().is_none() && parent.is_ok_and(|parent| parent.has_directory(&self.name))
    }
}

#[cfg(test)]
mod tests;
