//! The power `artifacts`: the files in the directories of tasks. A runner has those of its own
//! task, a result format those of all tasks of the job. Does not know who else writes these files.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;

use wasmtime::component::HasSelf;

use self::bindings::persea::plugin::artifacts as wit;
use crate::contract::bindings::import_bindings;
use crate::contract::bindings::types::Error;
use crate::contract::convert::{error, io_error};
use crate::contract::limits::ARTIFACT_READ;
use crate::contract::world::World;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::descriptor::Power;
use crate::powers::files::{checked_name, file_error, read_at};
use persea_model::names::{TEST_RESULTS, is_artifact_name, task_directory};
use persea_system::directory_handle::DirectoryHandle;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/artifacts@0.2.0;
    }",
    { default: trappable }
);

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
    link: |linker| wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
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

impl InstanceState {
    /// Opens a file of a task for reading.
    fn artifact(&mut self, task: Option<&str>, name: &str) -> Result<File, Error> {
        self.permit(&POWER)?;
        checked_name(name)?;
        let file = match self.power_mut::<JobFiles>() {
            Some(files) => files.open(named(task)?, name),
            None => {
                is_own(task)?;
                self.task(&POWER)?.host.read(name)
            }
        };
        file.map_err(|failure| file_error(name, &failure))
    }

    /// Returns the names and sizes of the files of a task, sorted by name, for the power
    /// `artifact-list`.
    pub(crate) fn list_artifacts_of(
        &mut self,
        power: &Power,
        task: Option<&str>,
    ) -> Result<Vec<(String, u64)>, Error> {
        self.permit(power)?;
        match self.power_mut::<JobFiles>() {
            Some(files) => files.list(named(task)?),
            None => {
                is_own(task)?;
                let files = self.task(power)?.host.artifacts();
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

impl wit::Host for InstanceState {
    fn write(&mut self, name: String, bytes: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.pay(&POWER, bytes.len()).and_then(|task| {
            let file = task.host.append(checked_name(&name)?);
            file.and_then(|mut file| file.write_all(&bytes))
                .map_err(|failure| file_error(&name, &failure))
        }))
    }

    fn read(
        &mut self,
        task: Option<String>,
        name: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let file = self.artifact(task.as_deref(), &name);
        Ok(file.and_then(|file| {
            read_at(&file, offset, length, &ARTIFACT_READ)
                .map_err(|failure| file_error(&name, &failure))
        }))
    }

    fn size(&mut self, task: Option<String>, name: String) -> wasmtime::Result<Result<u64, Error>> {
        let file = self.artifact(task.as_deref(), &name);
        Ok(file.and_then(|file| {
            let meta = file.metadata();
            meta.map(|meta| meta.len())
                .map_err(|failure| io_error(&name, &failure))
        }))
    }
}
