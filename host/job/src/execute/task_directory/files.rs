//! Owns the host's access to the files of a task: by descriptor on this machine, by the helper on a
//! host that shares no files with it.

use std::fs::File;
use std::io;

use super::{DEBUG_LOG, RemoteDirectory, TaskDirectory};
use persea_model::names::is_artifact_name;
use persea_spawner::{Fetched, SpawnError};
use persea_system::bounded_read;
use persea_system::directory_handle::MOST_LISTED_FILES;

impl TaskDirectory {
    /// Opens a file in the directory for appending.
    pub(crate) fn append(&self, name: &str) -> io::Result<File> {
        let made = match self.is_remote() {
            true => self
                .section
                .handle()?
                .create_directory(&self.name)
                .map(drop),
            false => self.make_here(),
        };
        match made {
            // The processes of a batch may have made it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        self.handle()?.open_append(name)
    }

    /// Opens a file in the directory on this machine for reading.
    pub(crate) fn open(&self, name: &str) -> io::Result<File> {
        self.handle()?.open_file(name)
    }

    /// Reads up to `length` bytes of a file in the directory, at most 1 MiB, from `offset`; fewer
    /// only at its end.
    pub(crate) async fn read(&self, name: &str, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        match (self.open(name), self.remote.get()) {
            (Err(error), Some(remote)) if error.kind() == io::ErrorKind::NotFound => {
                let file = remote.path.join(name);
                remote.environment.read_file(&file, offset, length).await
            }
            (file, _) => bounded_read::part(&file?, offset, length),
        }
    }

    /// The size of a file that [`Self::read`] reads, in bytes.
    pub(crate) async fn size(&self, name: &str) -> io::Result<u64> {
        match (self.open(name), self.remote.get()) {
            (Err(error), Some(remote)) if error.kind() == io::ErrorKind::NotFound => {
                let files = remote.files().await?;
                let found = files.into_iter().find(|(file, _)| file == name);
                found.map(|(_, size)| size).ok_or(error)
            }
            (file, _) => Ok(file?.metadata()?.len()),
        }
    }

    /// Opens a file in the directory for reading and writing.
    pub(crate) fn update(&self, name: &str) -> io::Result<File> {
        self.handle()?.open_update(name)
    }

    /// Returns the name and the size of each file that [`Self::read`] reads, sorted by name.
    pub(crate) async fn artifacts(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = match self.handle() {
            Ok(directory) => directory.ordinary_files(is_artifact_name)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        if let Some(remote) = self.remote.get() {
            let there = remote.files().await?.into_iter();
            files.extend(there.filter(|(name, _)| is_artifact_name(name)));
            // Stable: a file that is here, too, is the one that is read.
            files.sort_by(|(a, _), (b, _)| a.cmp(b));
            files.dedup_by(|(a, _), (b, _)| a == b);
        }
        Ok(files)
    }

    /// Fetches the files of the task's processes from the other host, and removes them there. None
    /// if there is no other host.
    ///
    /// # Errors
    /// The host was lost, or the files cannot be stored here.
    pub(crate) async fn fetch(&self) -> Option<Result<Fetched, SpawnError>> {
        let remote = self.remote.get()?;
        let log = self.has_log.then(|| DEBUG_LOG.to_owned());
        let made: Vec<String> = self.files().own.iter().cloned().chain(log).collect();
        let to = match self.section.handle() {
            Ok(to) => to,
            Err(error) => {
                let path = self.section.path().display();
                let why = SpawnError::Invalid(format!("cannot open {path}: {error}"));
                return Some(Err(why));
            }
        };
        let fetched = remote
            .environment
            .fetch(&remote.path, &made, to, &self.name)
            .await;
        if fetched.is_ok() {
            let _ = remote.is_fetched.set(());
        }
        Some(fetched)
    }
}

impl RemoteDirectory {
    async fn files(&self) -> io::Result<Vec<(String, u64)>> {
        self.environment
            .list_files(&self.path, MOST_LISTED_FILES)
            .await
    }
}
