//! The power `output`: the report that a result format writes, and the tests' files that it may
//! read.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::{HasSelf, Resource};

use self::bindings::persea::plugin::output as wit;
use crate::contract::bindings::import_bindings;
use crate::contract::bindings::types::Error;
use crate::contract::convert::{error, io_error};
use crate::contract::world::World;
use crate::engine::limits::Limit;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::descriptor::Power;
use crate::powers::files::{checked_name, file_error, read_at};
use persea_model::names::task_directory;
use persea_system::directory_handle::DirectoryHandle;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.1.0;
        import persea:plugin/output@0.1.0;
    }",
    { default: trappable },
    "persea:plugin/output.report": crate::powers::output::ReportHandle
);

pub(crate) static POWER: Power = Power {
    name: "output",
    worlds: &[World::ResultFormat],
    words: "write its own report",
    grant: None,
    more_grants: &[],
    link: |linker| wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state),
};

/// The directory in a job's directory that has the tests' directories.
const TEST_RESULTS: &str = "test-results";

/// Where a report goes.
pub enum ReportTarget {
    /// A file, which the format may also write to at an offset.
    File(File),
    /// A stream, to which the format can only append.
    Stream(Box<dyn Write + Send>),
}

/// The handle of a format's report, which is [`OutputPower`].
#[allow(unreachable_pub)] // the generated bindings name it
pub struct ReportHandle;

/// The report of one format in one job.
pub(crate) struct OutputPower {
    /// The format in messages.
    label: String,
    target: ReportTarget,
    job_dir: PathBuf,
    /// The directory of the tests' directories, once the format has read a file.
    results: Option<DirectoryHandle>,
    is_open: bool,
    bytes_left: u64,
}

impl PowerState for OutputPower {}

impl OutputPower {
    /// A report of at most `most_bytes`, whose format may read the tests' files of a job.
    pub(crate) fn new(
        label: &str,
        target: ReportTarget,
        job_dir: PathBuf,
        most_bytes: u64,
    ) -> Self {
        Self {
            label: label.to_owned(),
            target,
            job_dir,
            results: None,
            is_open: false,
            bytes_left: most_bytes,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.target {
            ReportTarget::File(file) => file.write_all(bytes),
            ReportTarget::Stream(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let ReportTarget::File(file) = &self.target else {
            return Err(error("unsupported", "a stream cannot be patched"));
        };
        let size = file
            .metadata()
            .map_err(|error| io_error(&self.label, &error))?
            .len();
        if offset.saturating_add(bytes.len() as u64) > size {
            return Err(error(
                "invalid",
                format!(
                    "{offset} and {} more bytes are beyond the end of the report",
                    bytes.len()
                ),
            ));
        }
        file.write_all_at(bytes, offset)
            .map_err(|error| io_error(&self.label, &error))
    }

    fn artifact(&mut self, task: &str, name: &str) -> Result<File, Error> {
        checked_name(name)?;
        self.open(task, name)
            .map_err(|error| file_error(name, &error))
    }

    fn open(&mut self, task: &str, name: &str) -> io::Result<File> {
        let results = match &mut self.results {
            Some(results) => results,
            none => none.insert(DirectoryHandle::open(&self.job_dir.join(TEST_RESULTS))?),
        };
        results
            .open_directory(&task_directory(task))?
            .open_file(name)
    }
}

impl InstanceState {
    fn output(&mut self) -> Result<&mut OutputPower, Error> {
        self.power_mut()
            .ok_or_else(|| error("unsupported", "this call has no report"))
    }
}

impl wit::Host for InstanceState {
    fn open(&mut self) -> wasmtime::Result<Result<Resource<ReportHandle>, Error>> {
        let output = match self.output() {
            Ok(output) => output,
            Err(error) => return Ok(Err(error)),
        };
        if std::mem::replace(&mut output.is_open, true) {
            return Ok(Err(error("invalid", "the report is open already")));
        }
        Ok(Ok(self.resources.push(ReportHandle)?))
    }

    fn artifact_size(
        &mut self,
        task: String,
        name: String,
    ) -> wasmtime::Result<Result<u64, Error>> {
        Ok(self.output().and_then(|output| {
            let meta = output.artifact(&task, &name)?.metadata();
            meta.map(|meta| meta.len())
                .map_err(|error| io_error(&name, &error))
        }))
    }

    fn read_artifact(
        &mut self,
        task: String,
        name: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(self.output().and_then(|output| {
            let file = output.artifact(&task, &name)?;
            read_at(&file, offset, length).map_err(|error| io_error(&name, &error))
        }))
    }
}

impl wit::HostReport for InstanceState {
    fn write(
        &mut self,
        _: Resource<ReportHandle>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let limits = Arc::clone(&self.context.limits);
        Ok(self.output().and_then(|output| {
            let left = output.bytes_left.checked_sub(bytes.len() as u64);
            output.bytes_left = left.ok_or_else(|| {
                let reached = limits.reached(Limit::ReportBytes);
                error("limit", format!("it has reached {reached}"))
            })?;
            output
                .write(&bytes)
                .map_err(|error| io_error(&output.label, &error))
        }))
    }

    fn write_at(
        &mut self,
        _: Resource<ReportHandle>,
        offset: u64,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self
            .output()
            .and_then(|output| output.write_at(offset, &bytes)))
    }

    fn drop(&mut self, report: Resource<ReportHandle>) -> wasmtime::Result<()> {
        self.resources.delete(report)?;
        Ok(())
    }
}
