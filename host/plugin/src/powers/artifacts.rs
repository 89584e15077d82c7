//! The power `artifacts`: the files in the directories of tasks. A runner has those of its own
//! task, a result format those of all tasks of the job. Does not know who else writes these files.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use crate::contract::convert::{error, io_error};
use crate::contract::data::Error;
use crate::contract::limits::ARTIFACT_READ;
use crate::contract::world::World;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::descriptor::Power;
use crate::powers::files::{checked_name, file_error};
use crate::powers::task::TaskHost;
use persea_model::names::{TEST_RESULTS, is_artifact_name, task_directory};
use persea_system::bounded_read;
use persea_system::directory_handle::DirectoryHandle;

pub(crate) static POWER: Power = Power {
    name: "artifacts",
    worlds: &[
        World::Runner,
        World::Lister,
        World::RequirementResolver,
        World::ResultFormat,
    ],
    words: "read and write files in the directory of its task; a format reads those of all tasks",
    grant: None,
    more_grants: &[],
};

/// The files of all tasks of a job, for a result format.
pub(crate) struct JobFiles {
    job_dir: PathBuf,
    /// The directory of the tests' directories, once the format has read a file.
    results: Option<DirectoryHandle>,
}

impl PowerState for JobFiles {}

impl JobFiles {
    pub(crate) fn new(job_dir: PathBuf) -> Self {
        Self {
            job_dir,
            results: None,
        }
    }

    fn directory(&mut self, task: &str) -> io::Result<DirectoryHandle> {
        let results = match &mut self.results {
            Some(results) => results,
            none => none.insert(DirectoryHandle::open(&self.job_dir.join(TEST_RESULTS))?),
        };
        results.open_directory(&task_directory(task))
    }

    fn open(&mut self, task: &str, name: &str) -> io::Result<File> {
        self.directory(task)?.open_file(name)
    }

    fn list(&mut self, task: &str) -> Result<Vec<(String, u64)>, Error> {
        let directory = self.directory(task);
        let files = directory.and_then(|it| it.ordinary_files(is_artifact_name));
        files.map_err(|failure| io_error(task, &failure))
    }
}

/// A file of a task, as far as a plugin reads it.
enum ReadFile<'a> {
    /// Of any task of the job, for a result format.
    Open(File),
    /// Of the task of the call.
    Own(Arc<dyn TaskHost>, &'a str),
}

impl ReadFile<'_> {
    async fn part(&self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        match self {
            Self::Open(file) => bounded_read::part(file, offset, length),
            Self::Own(host, name) => host.read(name, offset, length).await,
        }
    }

    async fn size(&self) -> io::Result<u64> {
        match self {
            Self::Open(file) => Ok(file.metadata()?.len()),
            Self::Own(host, name) => host.size(name).await,
        }
    }
}

impl InstanceState {
    /// Finds a file of a task for reading.
    fn artifact<'a>(&mut self, task: Option<&str>, name: &'a str) -> Result<ReadFile<'a>, Error> {
        self.permit(&POWER)?;
        checked_name(name)?;
        match self.power_mut::<JobFiles>() {
            Some(files) => {
                let file = files.open(named(task)?, name);
                let file = file.map_err(|failure| file_error(name, &failure))?;
                Ok(ReadFile::Open(file))
            }
            None => {
                is_own(task)?;
                Ok(ReadFile::Own(Arc::clone(&self.task(&POWER)?.host), name))
            }
        }
    }

    /// Appends bytes to a file of the current task.
    pub(crate) fn write_artifact(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let task = self.pay(&POWER, bytes.len())?;
        let file = task.host.append(checked_name(name)?);
        file.and_then(|mut file| file.write_all(bytes))
            .map_err(|failure| file_error(name, &failure))
    }

    /// Reads a piece of a file of a task.
    pub(crate) async fn read_artifact(
        &mut self,
        task: Option<&str>,
        name: &str,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, Error> {
        let file = self.artifact(task, name)?;
        let most = u32::try_from(ARTIFACT_READ.most).unwrap_or(u32::MAX);
        let _busy = self.idle.busy();
        let part = file.part(offset, length.min(most)).await;
        part.map_err(|failure| file_error(name, &failure))
    }

    /// Returns the size of a file of a task, in bytes.
    pub(crate) async fn artifact_size(
        &mut self,
        task: Option<&str>,
        name: &str,
    ) -> Result<u64, Error> {
        let file = self.artifact(task, name)?;
        let _busy = self.idle.busy();
        let size = file.size().await;
        size.map_err(|failure| file_error(name, &failure))
    }

    /// Returns the names and sizes of the files of a task, sorted by name, for the power
    /// `artifact-list`.
    pub(crate) async fn list_artifacts_of(
        &mut self,
        power: &Power,
        task: Option<&str>,
    ) -> Result<Vec<(String, u64)>, Error> {
        self.permit(power)?;
        match self.power_mut::<JobFiles>() {
            Some(files) => files.list(named(task)?),
            None => {
                is_own(task)?;
                let host = Arc::clone(&self.task(power)?.host);
                let _busy = self.idle.busy();
                let files = host.artifacts().await;
                files.map_err(|failure| io_error("the directory of the task", &failure))
            }
        }
    }
}

/// Returns the task that a result format names.
fn named(task: Option<&str>) -> Result<&str, Error> {
    task.ok_or_else(|| {
        error(
            "invalid",
            "a result format has no task of its own: name one",
        )
    })
}

/// Checks that a plugin that acts on a task names no other.
fn is_own(task: Option<&str>) -> Result<(), Error> {
    match task {
        None => Ok(()),
        Some(_) => Err(error(
            "not-permitted",
            "only a result format may name a task: leave it out for the task of this call",
        )),
    }
}
