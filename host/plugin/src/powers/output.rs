//! The power `output`: the report that a result format writes, and the tests' files that it may read.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::Resource;

use super::read_at;
use super::status::{checked, file_error};
use crate::contract::bindings::output::{Host, HostReport};
use crate::contract::bindings::types::Error;
use crate::contract::convert::{error, io_error};
use crate::engine::limits;
use crate::instance::state::State;
use persea_model::names::task_directory;
use persea_system::held::Held;

/// Where the tests' directories are in a job's.
const TEST_RESULTS: &str = "test-results";

/// Where a report goes.
pub enum ReportTarget {
    /// Into a file, which can be patched.
    File(File),
    /// To a stream.
    Stream(Box<dyn Write + Send>),
}

/// The handle that a format gets; what it stands for is in the power.
#[allow(unreachable_pub)] // the generated bindings name it
pub struct Report;

/// The power of one format in one job.
pub(crate) struct OutputPower {
    pub(crate) name: String,
    pub(crate) target: ReportTarget,
    pub(crate) job_dir: PathBuf,
    /// The tests' directories in it, once they are read.
    pub(crate) results: Option<Held>,
    pub(crate) opened: bool,
    pub(crate) bytes_left: u64,
}

impl OutputPower {
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
            .map_err(|error| io_error(&self.name, &error))?
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
            .map_err(|error| io_error(&self.name, &error))
    }

    fn artifact(&mut self, task: &str, name: &str) -> Result<File, Error> {
        checked(name)?;
        self.open(task, name)
            .map_err(|error| file_error(name, &error))
    }

    fn open(&mut self, task: &str, name: &str) -> io::Result<File> {
        let results = match &mut self.results {
            Some(results) => results,
            none => none.insert(Held::open(&self.job_dir.join(TEST_RESULTS))?),
        };
        results.enter(&task_directory(task))?.read(name)
    }
}

impl State {
    fn output(&mut self) -> Result<&mut OutputPower, Error> {
        self.output
            .as_mut()
            .ok_or_else(|| error("unsupported", "there is no report to be written here"))
    }
}

impl Host for State {
    fn open(&mut self) -> wasmtime::Result<Result<Resource<Report>, Error>> {
        let output = match self.output() {
            Ok(output) => output,
            Err(error) => return Ok(Err(error)),
        };
        if std::mem::replace(&mut output.opened, true) {
            return Ok(Err(error("invalid", "the report is open already")));
        }
        Ok(Ok(self.table.push(Report)?))
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

impl HostReport for State {
    fn write(
        &mut self,
        _: Resource<Report>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let limits = Arc::clone(&self.terms.limits);
        Ok(self.output().and_then(|output| {
            let left = output.bytes_left.checked_sub(bytes.len() as u64);
            output.bytes_left = left.ok_or_else(|| {
                let value = limits::bytes(limits.output_bytes);
                let reached = limits.reached("the report", value, "output_mb");
                error("limit", format!("it has reached {reached}"))
            })?;
            output
                .write(&bytes)
                .map_err(|error| io_error(&output.name, &error))
        }))
    }

    fn write_at(
        &mut self,
        _: Resource<Report>,
        offset: u64,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self
            .output()
            .and_then(|output| output.write_at(offset, &bytes)))
    }

    fn drop(&mut self, report: Resource<Report>) -> wasmtime::Result<()> {
        self.table.delete(report)?;
        Ok(())
    }
}
