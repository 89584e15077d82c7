//! Owns the files of tasks in an environment on a host that does not share this machine's files:
//! where they are there, reading them while a task runs, and fetching them when it has ended. Does
//! not know what the files mean.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use persea_helper::protocol::archive::{ArchiveItem, ArchiveReader, LeftOut, Record};
use persea_helper::protocol::{Bytes, MAX_READ, Reply, Request};
use persea_system::directory_handle::DirectoryHandle;
use rustix::io::Errno;

use super::command::{Command, Input};
use super::{Environment, failure, unexpected};
use crate::error::SpawnError;

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

    /// The path there of the directory of a task, whose directory here is `here`: below a directory
    /// of the same name.
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

fn invalid(why: String) -> SpawnError {
    SpawnError::Fetch { why }
}

/// Where fetched files are stored.
struct Store<'a> {
    parent: &'a DirectoryHandle,
    name: &'a str,
    /// None until there is anything.
    directory: Option<DirectoryHandle>,
    file: Option<(File, PathBuf)>,
    /// The directories that were made, with the modes that they get in the end.
    directories: Vec<(PathBuf, u32)>,
    made: HashSet<Vec<u8>>,
    fetched: Fetched,
}

impl<'a> Store<'a> {
    fn new(parent: &'a DirectoryHandle, name: &'a str) -> Self {
        Self {
            parent,
            name,
            directory: None,
            file: None,
            directories: Vec::new(),
            made: HashSet::new(),
            fetched: Fetched::default(),
        }
    }

    /// Stores what the reader has.
    fn take(&mut self, reader: &mut ArchiveReader) -> Result<(), SpawnError> {
        loop {
            match reader.next_item() {
                Ok(None) => return Ok(()),
                Ok(Some(ArchiveItem::Record(record))) => self.add(record)?,
                Ok(Some(ArchiveItem::Content(content))) => {
                    self.fetched.size += content.len() as u64;
                    if let Some((file, path)) = &mut self.file {
                        let written = file.write_all(content);
                        written.map_err(|error| cannot_store(path, &error))?;
                    }
                }
                Err(error) => return Err(invalid(error.to_string())),
            }
        }
    }

    fn add(&mut self, record: Record) -> Result<(), SpawnError> {
        match record {
            Record::Directory { path, mode } => {
                let path = self.new_path(path)?;
                let made = self.directory()?.make_below(&path);
                made.map_err(|error| cannot_store(&path, &error))?;
                self.directories.push((path, mode));
            }
            Record::File { path, mode, .. } => {
                let path = self.new_path(path)?;
                let file = self.directory()?.continue_below(&path);
                let file = file.and_then(|file| {
                    file.set_permissions(Permissions::from_mode(mode))?;
                    Ok(file)
                });
                let file = file.map_err(|error| cannot_store(&path, &error))?;
                self.file = Some((file, path));
            }
            Record::FileEnd { is_whole, .. } => {
                if let Some((_, path)) = self.file.take()
                    && !is_whole
                {
                    let path = path.display();
                    self.leave_out(format!("the end of {path} (it became shorter meanwhile)"));
                }
            }
            Record::Link { path, target } => {
                let path = self.new_path(path)?;
                let target = Path::new(OsStr::from_bytes(&target.0));
                let made = self.directory()?.link_below(target, &path);
                made.map_err(|error| cannot_store(&path, &error))?;
            }
            Record::LeftOut { path, why } => {
                let path = String::from_utf8_lossy(&path.0);
                let why = match why {
                    LeftOut::Size(size) => format!("{size} bytes, over `files.max_fetched`"),
                    LeftOut::Kind => "neither a file, a directory nor a link".to_owned(),
                    LeftOut::Unreadable(why) => why,
                };
                self.leave_out(format!("{path} ({why})"));
            }
            Record::End { left_out: 0 } => {}
            Record::End { left_out } => {
                self.leave_out(format!(
                    "{left_out} more entries, because there are too many"
                ));
            }
        }
        Ok(())
    }

    /// Adds to what is said. The other host decides how much there is, so that has a limit.
    fn leave_out(&mut self, what: String) {
        const MOST: usize = 20;
        match self.fetched.left_out.len() {
            ..MOST => self.fetched.left_out.push(what),
            MOST => self.fetched.left_out.push("and more".to_owned()),
            _ => {}
        }
    }

    /// Checks that a path comes only once.
    fn new_path(&mut self, path: Bytes) -> Result<PathBuf, SpawnError> {
        let shown = PathBuf::from(OsStr::from_bytes(&path.0));
        match self.made.insert(path.0) {
            true => Ok(shown),
            false => Err(invalid(format!("{} comes twice", shown.display()))),
        }
    }

    fn directory(&mut self) -> Result<&DirectoryHandle, SpawnError> {
        if self.directory.is_none() {
            let made = match self.parent.create_directory(self.name) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                Ok(_) | Err(_) => self.parent.open_directory(self.name),
            };
            let made = made.map_err(|error| cannot_store(Path::new(self.name), &error))?;
            self.directory = Some(made);
        }
        let none = || invalid("its directory is missing".to_owned());
        self.directory.as_ref().ok_or_else(none)
    }

    /// Gives directories their modes: those below first, because one may deny to enter it.
    fn finish(self) -> Result<Fetched, SpawnError> {
        if let Some(directory) = &self.directory {
            for (path, mode) in self.directories.iter().rev() {
                let set = directory.set_mode_below(path, *mode);
                set.map_err(|error| cannot_store(path, &error))?;
            }
        }
        Ok(self.fetched)
    }
}

fn cannot_store(path: &Path, error: &io::Error) -> SpawnError {
    SpawnError::Store {
        path: path.to_owned(),
        source: Arc::new(io::Error::new(error.kind(), error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use persea_helper::protocol::archive::encode_record;
    use persea_helper::protocol::{Hello, Welcome, encode, encode_greeting};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::channel::Channel;

    /// Fetches an archive into the directory `1-a` of `results`, from a helper that sends these
    /// parts.
    async fn fetch(results: &Path, parts: &[Vec<u8>]) -> Result<Fetched, SpawnError> {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let (reader, writer) = tokio::io::split(ours);
        let mut bytes = Vec::new();
        encode_greeting(&Welcome { pid: 1, clock: 2 }, &mut bytes).unwrap();
        theirs.write_all(&bytes).await.unwrap();
        let clean_up = Box::pin(async { "it is gone".to_owned() });
        let hello = Hello::default();
        let channel = Channel::open("t".into(), reader, writer, hello, None, clean_up);
        let environment = Environment::new(channel.await.unwrap(), String::new(), None);
        let mut requests = vec![0; 4096];
        let _ = theirs.read(&mut requests).await.unwrap();
        let to = DirectoryHandle::open(results).unwrap();
        let fetching = tokio::spawn({
            let environment = environment.clone();
            async move {
                let directory = Path::new("/there");
                environment.fetch(directory, &[], &to, "1-a").await
            }
        });
        for (number, part) in parts.iter().enumerate() {
            // A reply before its request would end the environment.
            let _ = theirs.read(&mut requests).await.unwrap();
            let id = number as u64 + 1;
            let bytes = Bytes(part.clone());
            let mut frame = Vec::new();
            encode(&Reply::Data { id, bytes }, &mut frame).unwrap();
            theirs.write_all(&frame).await.unwrap();
        }
        fetching.await.unwrap()
    }

    fn path(text: &str) -> Bytes {
        Bytes(text.as_bytes().to_vec())
    }

    fn records(records: &[Record]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in records {
            encode_record(record, &mut bytes).unwrap();
        }
        bytes
    }

    /// An empty file.
    fn file(name: &str, mode: u32) -> [Record; 2] {
        use sha2::{Digest as _, Sha256};
        let (path, size) = (path(name), 0);
        let digest = Sha256::digest(b"").into();
        let is_whole = true;
        [
            Record::File { path, mode, size },
            Record::FileEnd { digest, is_whole },
        ]
    }

    const END: Record = Record::End { left_out: 0 };

    #[tokio::test]
    async fn file_with_a_name_out_of_its_directory_is_refused() {
        for name in ["../x", "/tmp/x", "a/../../x", "..", "a//x"] {
            let results = tempfile::tempdir().unwrap();
            let archive = records(&[&file(name, 0o644)[..], &[END]].concat());
            let error = fetch(results.path(), &[archive]).await.unwrap_err();
            assert!(matches!(error, SpawnError::Fetch { .. }), "{name}: {error}");
            assert!(error.to_string().contains("refused"), "{name}: {error}");
            assert_eq!(
                std::fs::read_dir(results.path()).unwrap().count(),
                0,
                "{name}"
            );
        }
    }

    #[tokio::test]
    async fn file_behind_a_link_is_refused() {
        let outside = tempfile::tempdir().unwrap();
        let results = tempfile::tempdir().unwrap();
        let target = path(outside.path().to_str().unwrap());
        let link = Record::Link {
            path: path("way"),
            target,
        };
        let archive = records(&[&[link][..], &file("way/x", 0o644), &[END]].concat());
        let error = fetch(results.path(), &[archive]).await.unwrap_err();
        assert!(matches!(error, SpawnError::Store { .. }), "{error}");
        // Also one that is here already.
        std::fs::remove_dir_all(results.path().join("1-a")).unwrap();
        symlink(outside.path(), results.path().join("1-a")).unwrap();
        let archive = records(&[&file("x", 0o644)[..], &[END]].concat());
        fetch(results.path(), &[archive]).await.unwrap_err();
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn fetched_file_has_no_set_id_bit_and_comes_once() {
        let results = tempfile::tempdir().unwrap();
        let archive = records(&[&file("x", 0o6755)[..], &[END]].concat());
        let (one, two) = archive.split_at(20);
        let fetched = fetch(results.path(), &[one.to_vec(), two.to_vec()]).await;
        assert_eq!(fetched.unwrap(), Fetched::default());
        let meta = results.path().join("1-a/x").metadata().unwrap();
        assert_eq!(meta.mode() & 0o7777, 0o755);
        let twice = [&file("y", 0o644)[..], &file("y", 0o644), &[END]].concat();
        let error = fetch(results.path(), &[records(&twice)]).await.unwrap_err();
        assert!(error.to_string().contains("twice"), "{error}");
    }

    #[tokio::test]
    async fn archive_that_ends_too_early_is_an_error() {
        let results = tempfile::tempdir().unwrap();
        let error = fetch(results.path(), &[Vec::new()]).await.unwrap_err();
        assert!(error.to_string().contains("too early"), "{error}");
    }

    #[test]
    fn paths_of_the_project_are_translated_and_others_not() {
        let files = RemoteFiles {
            host: "one".into(),
            project: "/there/project".to_owned(),
            origin: "/here/project".into(),
            common: String::new(),
            tasks: "/there/tasks".to_owned(),
            fetch_limit: 0,
        };
        for (here, there) in [
            ("/here/project", "/there/project"),
            ("/here/project/a/b", "/there/project/a/b"),
            ("/here/projects", "/here/projects"),
            ("a/b", "a/b"),
            ("/bin/sh", "/bin/sh"),
        ] {
            assert_eq!(files.path(here), there);
        }
        let directory = files.task_directory(Path::new("/here/job/test-results/1-a"));
        assert_eq!(directory, Path::new("/there/tasks/test-results/1-a"));
    }
}
