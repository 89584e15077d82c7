//! The powers in a WebAssembly build: the generated imports, converted to the types of this crate.

use crate::attributes::Attributes;
use crate::bindings::{batch, cache, fetch, log, output, process, status, workspace};
use crate::error::Error;
use crate::fetch::{Download, Source};
use crate::log::Level;
use crate::process::{Command, Exit, Stream};
use crate::runner::{Outcome, Task};
use crate::workspace::{FileKind, FileStat};

pub(crate) use crate::bindings::output::Report;
pub(crate) use crate::bindings::process::Child;

pub(crate) fn log(level: Level, message: &str) {
    log::log(level, message);
}

pub(crate) fn panicked(message: &str, location: &str) {
    log::panicked(message, location);
}

pub(crate) fn stat(path: &str) -> Result<FileStat, Error> {
    Ok(workspace::stat(path)?)
}

pub(crate) fn list_directory(path: &str) -> Result<Vec<(String, FileKind)>, Error> {
    Ok(workspace::list_directory(path)?)
}

pub(crate) fn read(path: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    Ok(workspace::read(path, offset, length)?)
}

pub(crate) fn run(command: &Command) -> Result<Exit, Error> {
    Ok(process::run(&command.clone().into())?.into())
}

pub(crate) fn start(command: &Command) -> Result<Child, Error> {
    Ok(process::start(&command.clone().into())?)
}

pub(crate) fn child_id(child: &Child) -> u32 {
    child.id()
}

pub(crate) fn child_read(child: &Child, stream: Stream, length: u32) -> Result<Vec<u8>, Error> {
    Ok(child.read(stream, length)?)
}

pub(crate) fn child_write(child: &Child, bytes: &[u8]) -> Result<(), Error> {
    Ok(child.write(bytes)?)
}

pub(crate) fn child_close_stdin(child: &Child) -> Result<(), Error> {
    Ok(child.close_stdin()?)
}

pub(crate) fn child_signal(child: &Child, number: i32) -> Result<(), Error> {
    Ok(child.signal(number)?)
}

pub(crate) fn child_wait(child: &Child) -> Result<Exit, Error> {
    Ok(child.wait()?.into())
}

pub(crate) fn progress(message: &str) -> Result<(), Error> {
    Ok(status::progress(message)?)
}

pub(crate) fn whiteboard(text: &str) -> Result<(), Error> {
    Ok(status::whiteboard(text)?)
}

pub(crate) fn write_artifact(name: &str, bytes: &[u8]) -> Result<(), Error> {
    Ok(status::write_artifact(name, bytes)?)
}

pub(crate) fn read_artifact(name: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    Ok(status::read_artifact(name, offset, length)?)
}

pub(crate) fn next_task() -> Result<Option<Task>, Error> {
    Ok(batch::next()?.map(Task::from))
}

pub(crate) fn finish_task(outcome: Result<Outcome, Error>) -> Result<(), Error> {
    let done = match outcome {
        Ok(outcome) => batch::finish(Ok(&outcome.into())),
        Err(error) => batch::finish(Err(&error.into())),
    };
    Ok(done?)
}

pub(crate) fn open() -> Result<Report, Error> {
    Ok(output::open()?)
}

pub(crate) fn report_write(report: &Report, bytes: &[u8]) -> Result<(), Error> {
    Ok(report.write(bytes)?)
}

pub(crate) fn report_write_at(report: &Report, offset: u64, bytes: &[u8]) -> Result<(), Error> {
    Ok(report.write_at(offset, bytes)?)
}

pub(crate) fn task_artifact_size(task: &str, name: &str) -> Result<u64, Error> {
    Ok(output::artifact_size(task, name)?)
}

pub(crate) fn read_task_artifact(
    task: &str,
    name: &str,
    offset: u64,
    length: u32,
) -> Result<Vec<u8>, Error> {
    Ok(output::read_artifact(task, name, offset, length)?)
}

pub(crate) fn fetch(source: &Source) -> Result<Download, Error> {
    let source = source.clone();
    let download = fetch::fetch(&fetch::Source {
        locations: source.locations,
        checksum: source.checksum,
        more: source.more.0,
    })?;
    Ok(Download {
        id: download.id,
        size: download.size,
        location: download.location,
        more: Attributes(download.more),
    })
}

pub(crate) fn read_download(id: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    Ok(fetch::read(id, offset, length)?)
}

pub(crate) fn cache_get(name: &str) -> Result<Vec<u8>, Error> {
    Ok(cache::get(name)?)
}

pub(crate) fn cache_put(name: &str, bytes: &[u8]) -> Result<(), Error> {
    Ok(cache::put(name, bytes)?)
}
