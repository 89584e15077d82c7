//! Owns the files of tasks in an environment on a host that does not share this machine's files:
//! where they are there, reading them while a task runs, and fetching them when it has ended. Does
//! not know what the files mean.

mod store;

use std::io::{self};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use persea_helper::protocol::archive::ArchiveReader;
use persea_helper::protocol::{Bytes, MAX_READ, Reply, Request};
use persea_system::directory_handle::DirectoryHandle;
use rustix::io::Errno;

use super::command::{Command, Input};
use super::{Environment, failure, unexpected};
use crate::error::SpawnError;
use store::{Store, invalid};

/// How much is asked for at first: 64 KiB, more than most tests leave.
const FIRST: u32 = 64 << 10;

/// Where an environment that shares no files with this machine has those of its tasks.
#[derive(Clone, Debug)]
pub struct RemoteFiles {
    /// The host, for people.
    pub(crate) host: Arc<str>,
    /// The absolute path of the project there.
    pub(crate) project: String,
    /// The absolute path of the project here.
    pub(crate) origin: PathBuf,
    /// The absolute path of a directory there that several tasks share.
    pub(crate) common: String,
    /// The absolute path of the directory there in which those of tasks are made.
    pub(crate) tasks: String,
    /// The most that is fetched for one task, in bytes.
    pub(crate) fetch_limit: u64,
}

/// What was fetched.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The size of all files, in bytes.
    pub size: u64,
    /// What was not fetched, for people.
    pub left_out: Vec<String>,
}

impl RemoteFiles {
    /// The path of the project there.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The path of a directory there that several tasks share.
    pub fn common(&self) -> &str {
        &self.common
    }

    /// The host, for people.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path on the other host of a task's directory, whose path on this machine is `here`. The
    /// last two names of the path stay: the section's and the task's.
    pub fn task_directory(&self, here: &Path) -> PathBuf {
        let mut names = here.iter().rev();
        let name = names.next().unwrap_or_default();
        let section = names.next().unwrap_or_default();
        Path::new(&self.tasks).join(section).join(name)
    }

    /// The path there of something in the project, whose path here is absolute. Any other path
    /// stays as it is.
    pub fn path(&self, path: &str) -> String {
        match Path::new(path).strip_prefix(&self.origin) {
            Ok(below) if below.as_os_str().is_empty() => self.project.clone(),
            Ok(below) => format!("{}/{}", self.project, below.display()),
            Err(_) => path.to_owned(),
        }
    }

    /// The command with its program, working directory and input of the project as they are there.
    pub(super) fn translate(&self, command: Command) -> Command {
        let input = match command.stdin {
            Input::File(path) => match path.to_str() {
                Some(text) => Input::File(self.path(text).into()),
                None => Input::File(path),
            },
            other => other,
        };
        Command {
            program: self.path(&command.program),
            cwd: command.cwd.map(|cwd| self.path(&cwd)),
            stdin: input,
            ..command
        }
    }
}

fn bytes(path: &Path) -> Bytes {
    Bytes(path.as_os_str().as_bytes().to_vec())
}

impl Environment {
    /// Tells where the environment has the files of tasks. Has no effect on an environment of which
    /// there is a clone.
    pub(crate) fn with_remote_files(mut self, files: RemoteFiles) -> Environment {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.remote_files = Some(files);
        }
        self
    }

    /// Where the environment has the files of tasks; none if it has those of this machine.
    pub fn remote_files(&self) -> Option<&RemoteFiles> {
        self.inner.remote_files.as_ref()
    }

    pub(super) fn translate(&self, command: Command) -> Command {
        match &self.inner.remote_files {
            Some(files) => files.translate(command),
            None => command,
        }
    }

    /// Makes a directory there, before anything that is asked for later. If that fails, so does the
    /// start of a process that needs the directory.
    ///
    /// # Errors
    /// The environment is closed.
    pub fn make_directory(&self, directory: &Path, files: &[&str]) -> Result<(), SpawnError> {
        let files = files.iter().map(|name| Bytes(name.as_bytes().to_vec()));
        let (directory, files) = (bytes(directory), files.collect());
        // Nobody waits for the reply.
        let made = self.inner.channel.request(|id| Request::MakeDirectory {
            id,
            directory,
            files,
        });
        made.map(drop)
    }

    /// Removes a directory there, if the environment is open.
    pub fn remove_directory(&self, directory: &Path) {
        let directory = bytes(directory);
        let channel = &self.inner.channel;
        let _ = channel.request(|id| Request::RemoveDirectory { id, directory });
    }

    /// Reads a part of a file there, of at most 1 MiB. Returns no bytes at the end.
    ///
    /// # Errors
    /// It is missing, not an ordinary file, or the environment is closed.
    pub async fn read_file(&self, file: &Path, offset: u64, max: u32) -> io::Result<Vec<u8>> {
        let path = bytes(file);
        let max = max.clamp(1, MAX_READ);
        let asked = self.inner.channel.ask(|id| Request::ReadFile {
            id,
            path,
            offset,
            max,
        });
        match asked.await.map_err(io::Error::other)? {
            Reply::Data { bytes, .. } => Ok(bytes.0),
            other => Err(system_error("reading a file", other)),
        }
    }

    /// The names and sizes of the ordinary files in a directory there whose names are UTF-8, sorted
    /// by name. One that is missing has none.
    ///
    /// # Errors
    /// The directory cannot be read, has more than `most` files, or the environment is closed.
    pub async fn list_files(
        &self,
        directory: &Path,
        most: usize,
    ) -> io::Result<Vec<(String, u64)>> {
        let mut all: Vec<(String, u64)> = Vec::new();
        loop {
            let directory = bytes(directory);
            let after = all.last().map(|(name, _)| name.clone()).unwrap_or_default();
            let asked = self.inner.channel.ask(|id| Request::ListFiles {
                id,
                directory,
                after,
            });
            match asked.await.map_err(io::Error::other)? {
                Reply::Files { files, is_all, .. } => {
                    all.extend(files);
                    if all.len() > most {
                        return Err(io::Error::other(format!("it has more than {most} files")));
                    }
                    if is_all {
                        return Ok(all);
                    }
                }
                other => return Err(system_error("listing files", other)),
            }
        }
    }

    /// Fetches everything in a directory there into the directory `name` of `to`, which is made if
    /// there is anything, and then removes it there. Empty files with the names `made` do not count
    /// as anything. A file that is here already is continued.
    ///
    /// # Errors
    /// The environment was lost, the files cannot be stored here, or have impossible names.
    pub async fn fetch(
        &self,
        directory: &Path,
        made: &[String],
        to: &DirectoryHandle,
        name: &str,
    ) -> Result<Fetched, SpawnError> {
        let limit = self
            .inner
            .remote_files
            .as_ref()
            .map_or(u64::MAX, |it| it.fetch_limit);
        let mut reader = ArchiveReader::default();
        let mut store = Store::new(to, name);
        let (of, made) = (bytes(directory), made.iter());
        let made = made.map(|name| Bytes(name.as_bytes().to_vec())).collect();
        let channel = &self.inner.channel;
        let mut archive = 0;
        let mut receiver = channel.request(|id| {
            archive = id;
            Request::Fetch {
                id,
                directory: of,
                made,
                limit,
                max: FIRST,
            }
        })?;
        loop {
            let part = match channel.reply(&mut receiver).await? {
                Reply::Data { bytes, .. } => bytes.0,
                other => return Err(failure("fetching the files of the test", other)),
            };
            if part.is_empty() {
                return Err(invalid("it ends too early".to_owned()));
            }
            reader.push(&part);
            store.take(&mut reader)?;
            if reader.has_ended() {
                break;
            }
            receiver = channel.request(|id| Request::FetchMore {
                id,
                archive,
                max: MAX_READ,
            })?;
        }
        let fetched = store.finish()?;
        self.remove_directory(directory);
        Ok(fetched)
    }
}

fn system_error(what: &'static str, reply: Reply) -> io::Error {
    let Reply::Failed { errno, message, .. } = reply else {
        return io::Error::other(unexpected(&reply));
    };
    match Errno::from_raw_os_error(errno) {
        Errno::NOENT => io::ErrorKind::NotFound.into(),
        Errno::LOOP => io::Error::new(io::ErrorKind::InvalidInput, "it is a link"),
        Errno::INVAL | Errno::NXIO => {
            io::Error::new(io::ErrorKind::InvalidInput, "it is not an ordinary file")
        }
        _ => io::Error::other(format!("{what} failed: {message}")),
    }
}

#[cfg(test)]
mod tests;
