//! Owns the directory of one task or requirement: where it is made, how it reaches the job's
//! results, and the host's access to its files. That access goes through descriptors, because tests
//! can replace any name in it. Does not know what the files mean.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::results::directory::Section;
use crate::results::recycled::RecycledDirectory;
use persea_model::names::is_artifact_name;
use persea_spawner::{Environment, Fetched, SpawnError};
use persea_system::bounded_read;
use persea_system::directory_handle::{DirectoryHandle, MOST_LISTED_FILES};

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

    /// Makes the empty files of the processes that were not fetched because there was nothing else,
    /// beside what the host has written here. Returns whether there is a directory.
    fn complete(&self, remote: &RemoteDirectory) -> bool {
        let exists = self.exists();
        if exists && remote.is_made.get().is_some() && remote.is_fetched.get().is_some() {
            for name in &self.files().own {
                // Fails where the test has left something else of that name.
                let _ = self.handle().and_then(|it| it.open_append(name));
            }
        }
        exists
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

    /// Moves the directory to the results of all tasks after its task has ended. Returns whether
    /// there is one.
    pub(crate) fn settle(&self) -> bool {
        if self.is_made() && self.give_up_empty() {
            return false;
        }
        let moved = match self.private() {
            Some(private) => self.move_from(private),
            None => match self.remote.get() {
                Some(remote) => return self.complete(remote),
                None => return self.is_made(),
            },
        };
        moved.unwrap_or_else(|error| {
            let path = self.path.display();
            tracing::warn!("the output of a test is lost, cannot move it to {path}: {error}");
            false
        })
    }

    /// Gives the directory up for recycling if nothing was written to it. Returns whether it was
    /// given up.
    fn give_up_empty(&self) -> bool {
        if self.section.is_reused() {
            return false;
        }
        let taken = std::mem::take(&mut *self.files());
        let OutputFiles {
            own,
            recycled,
            mode,
        } = taken;
        let Some(mode) = mode else {
            return false;
        };
        let looked = self.handle().and_then(|handle| {
            let names = [&*own, &*recycled].concat();
            let like = self.private().map_or_else(|| self.section.handle(), Ok)?;
            let empty = handle.has_only_empty_files(&names, mode, like)?;
            if !empty {
                // Remove the earlier task's empty files, unless this task has written to them
                // itself.
                for name in &recycled {
                    if handle.open_file(name)?.metadata()?.len() == 0 {
                        handle.remove(name)?;
                    }
                }
            }
            Ok(empty.then_some(names))
        });
        // A directory that cannot be read is kept.
        let Some(files) = looked.ok().flatten() else {
            return false;
        };
        match self.private() {
            Some(private) => {
                if private.remove(&self.name).is_err() {
                    return false;
                }
            }
            None => self.section.recycled().put(RecycledDirectory {
                name: self.name.clone(),
                files,
                mode,
            }),
        }
        let _ = self.given_up.set(());
        true
    }

    fn move_from(&self, private: &DirectoryHandle) -> io::Result<bool> {
        let all = self.section.handle()?;
        match private.rename(&self.name, all, &self.name) {
            // The task never made it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_made() => {
                return Ok(false);
            }
            moved => moved?,
        }
        if all.has_directory(&self.name) {
            self.disarm();
            return Ok(true);
        }
        all.remove(&self.name)?;
        Err(io::Error::other(
            "a file that is not a directory was in its place",
        ))
    }

    /// Clears set-user-id bits and file capabilities of what root's processes have left in the
    /// directory: other users could use them outside the sandbox.
    pub(crate) fn disarm(&self) {
        if !geteuid().is_root() {
            return;
        }
        let entered = self
            .section
            .handle()
            .and_then(|all| all.open_directory(&self.name));
        match entered.and_then(|directory| directory.remove_privileges()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(
                    "a file in {} may keep its set-user-id bit or its capabilities: {error}",
                    self.path.display()
                );
            }
            _ => {}
        }
    }

    /// Whether the directory exists, whoever made it.
    pub(crate) fn exists(&self) -> bool {
        let parent = self.parent();
        self.given_up.get().is_none() && parent.is_ok_and(|parent| parent.has_directory(&self.name))
    }

    /// Removes the directory if the host made it.
    pub(crate) fn remove(&self) {
        if let Some(remote) = self.remote.get()
            && remote.is_made.get().is_some()
        {
            remote.environment.remove_directory(&remote.path);
        }
        if self.is_made()
            && !self.give_up_empty()
            && let Err(error) = self.parent().and_then(|all| all.remove(&self.name))
        {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }

    /// Removes the directory if it is empty.
    pub(crate) fn remove_empty(&self) {
        // Fails where it has entries or is missing, which is fine.
        let _ = std::fs::remove_dir(&self.path);
    }
}

impl RemoteDirectory {
    async fn files(&self) -> io::Result<Vec<(String, u64)>> {
        self.environment
            .list_files(&self.path, MOST_LISTED_FILES)
            .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn section() -> (tempfile::TempDir, Arc<Section>) {
        let dir = tempfile::tempdir().unwrap();
        let section = Section::of_tests(dir.path());
        (dir, section)
    }

    /// The directory of a task whose program printed this into these files.
    fn ended(section: &Arc<Section>, name: &str, files: &[(&str, &str)]) -> TaskDirectory {
        let directory = TaskDirectory::of_test(section, name);
        for (file, text) in files {
            let path = directory.output(file).unwrap();
            fs::write(&path, text).unwrap();
        }
        directory
    }

    fn names(section: &Section) -> Vec<String> {
        let entries = fs::read_dir(section.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn task_that_leaves_nothing_has_no_directory_in_the_end() {
        let (_dir, section) = section();
        let silent = [("stdout", ""), ("stderr", "")];
        assert!(!ended(&section, "1", &silent).settle());
        let second = ended(&section, "2", &silent);
        assert_eq!(names(&section), ["2"], "it is the first one's");
        assert!(!second.settle() && !second.exists());
        assert!(ended(&section, "3", &[("stdout", "x"), ("stderr", "")]).settle());
        assert_eq!(names(&section), ["3"]);
        let mut files: Vec<_> = fs::read_dir(section.path().join("3"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        files.sort();
        assert_eq!(files, ["debug.log", "stderr", "stdout"]);
        assert!(!ended(&section, "4", &silent).settle());
        let path = section.path().to_owned();
        drop((section, second));
        assert!(path.join("3").exists() && !path.join("4").exists());
    }

    #[test]
    fn test_directory_has_a_log_when_it_is_made_or_recycled() {
        let (_dir, section) = section();
        for name in ["1", "2"] {
            let test = ended(&section, name, &[("stdout", "")]);
            let log = test.path().join(DEBUG_LOG);
            assert_eq!(log.metadata().unwrap().len(), 0);
            assert!(!test.settle());
        }
        let batch = TaskDirectory::new(&section, "batch.1");
        batch.output("stderr").unwrap();
        fs::write(batch.path().join("stderr"), "x").unwrap();
        assert!(batch.settle());
        assert!(!batch.path().join(DEBUG_LOG).exists());
    }

    #[test]
    fn requeued_task_gets_its_own_directory_again() {
        let (_dir, section) = section();
        for name in ["1", "2", "1"] {
            ended(&section, name, &[("stdout", "")]).remove();
        }
        assert!(ended(&section, "1", &[("stdout", "x")]).settle());
    }

    #[test]
    fn directory_that_a_task_has_changed_is_kept() {
        let (_dir, section) = section();
        let kept: [fn(&Path); 5] = [
            |path| fs::write(path.join("marker"), "").unwrap(),
            |path| fs::create_dir(path.join("sub")).unwrap(),
            |path| fs::hard_link(path.join("stdout"), path.with_extension("link")).unwrap(),
            |path| fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap(),
            |path| {
                let file = path.join("stdout");
                fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
            },
        ];
        for (number, act) in kept.into_iter().enumerate() {
            let directory = ended(&section, &number.to_string(), &[("stdout", "")]);
            act(directory.path());
            assert!(directory.settle(), "{number}");
        }
    }

    #[test]
    fn recycled_directory_has_no_files_of_the_earlier_task() {
        let (_dir, section) = section();
        let both = [("stdout", ""), ("stderr", "")];
        assert!(!ended(&section, "1", &both).settle());
        assert!(ended(&section, "2", &[("stdout", "x")]).settle());
        assert!(!section.path().join("2/stderr").exists());
        assert!(!ended(&section, "3", &both).settle());
        // This task's program writes to the file without having been asked to.
        let sly = ended(&section, "4", &[("stdout", "x")]);
        fs::write(sly.path().join("stderr"), "own").unwrap();
        assert!(sly.settle());
        assert_eq!(
            fs::read_to_string(section.path().join("4/stderr")).unwrap(),
            "own"
        );
    }
}
