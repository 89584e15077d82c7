//! The powers in a WebAssembly build: the generated imports, converted to the types of this crate.

use crate::artifacts::{Artifact, ArtifactPage};
use crate::attributes::Attributes;
use crate::bindings::{
    artifact_list, artifacts, batch, cache, cases, fetch, log, messages, monotonic_clock, pages,
    poll, process, report_output, workspace,
};
use crate::cases::Case;
use crate::error::Error;
use crate::fetch::{DownloadInfo, Source};
use crate::log::Level;
use crate::model::Runnable;
use crate::process::{Command, Exit, Pipe};
use crate::runner::{Outcome, Task};
use crate::varianter::Variation;
use crate::workspace::{FileKind, FileStat};

pub(crate) use crate::bindings::fetch::Download;
pub(crate) use crate::bindings::poll::Pollable;
pub(crate) use crate::bindings::process::Child;
pub(crate) use crate::bindings::report_output::Report;

pub(crate) fn log(level: Level, message: &str) {
    log::log(level, message);
}

pub(crate) fn panicked(message: &str, location: &str) {
    log::panicked(message, location);
}

pub(crate) fn stat(path: &str) -> Result<FileStat, Error> {
    let stat = workspace::stat(path)?;
    Ok(FileStat {
        kind: stat.kind,
        size: stat.size,
        executable: stat.executable,
        more: Attributes(stat.more),
    })
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

pub(crate) fn child_id(child: &Child) -> Option<u32> {
    child.id()
}

pub(crate) fn child_read(child: &Child, pipe: Pipe, length: u32) -> Result<Vec<u8>, Error> {
    Ok(child.read(pipe, length)?)
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

pub(crate) fn watch(child: &Child, interest: poll::Interest) -> Result<Pollable, Error> {
    Ok(poll::watch(child, interest)?)
}

pub(crate) fn pollable_ready(pollable: &Pollable) -> bool {
    pollable.ready()
}

pub(crate) fn poll(
    among: &[&crate::poll::Pollable],
    timeout: Option<u64>,
) -> Result<Vec<u32>, Error> {
    let among: Vec<&Pollable> = among.iter().map(|pollable| &pollable.0).collect();
    Ok(poll::poll(&among, timeout)?)
}

pub(crate) fn now() -> u64 {
    monotonic_clock::now()
}

pub(crate) fn deadline() -> Option<u64> {
    monotonic_clock::deadline()
}

pub(crate) fn progress(message: &str) -> Result<(), Error> {
    Ok(messages::progress(message)?)
}

pub(crate) fn whiteboard(text: &str) -> Result<(), Error> {
    Ok(messages::whiteboard(text)?)
}

pub(crate) fn artifact_write(name: &str, bytes: &[u8]) -> Result<(), Error> {
    Ok(artifacts::write(name, bytes)?)
}

pub(crate) fn artifact_read(
    task: Option<&str>,
    name: &str,
    offset: u64,
    length: u32,
) -> Result<Vec<u8>, Error> {
    Ok(artifacts::read(task, name, offset, length)?)
}

pub(crate) fn artifact_size(task: Option<&str>, name: &str) -> Result<u64, Error> {
    Ok(artifacts::size(task, name)?)
}

pub(crate) fn list_artifacts(
    task: Option<&str>,
    cursor: Option<&str>,
) -> Result<ArtifactPage, Error> {
    let page = artifact_list::list_artifacts(task, cursor)?;
    let entry = |entry: artifact_list::Entry| Artifact {
        name: entry.name,
        size: entry.size,
        more: Attributes(entry.more),
    };
    Ok(ArtifactPage {
        entries: page.entries.into_iter().map(entry).collect(),
        cursor: page.cursor,
    })
}

pub(crate) fn case_start(path: Vec<String>) -> Result<(), Error> {
    Ok(cases::start(&path)?)
}

pub(crate) fn case_finish(cases: Vec<Case>) -> Result<(), Error> {
    let finished: Vec<cases::Finished> = cases.into_iter().map(Into::into).collect();
    Ok(cases::finish(&finished)?)
}

pub(crate) fn add_runnables(page: Vec<Runnable>) -> Result<(), Error> {
    let page: Vec<pages::Runnable> = page.into_iter().map(Into::into).collect();
    Ok(pages::add_runnables(&page)?)
}

pub(crate) fn add_variations(page: Vec<Variation>) -> Result<(), Error> {
    let page: Vec<pages::Variation> = page.into_iter().map(Into::into).collect();
    Ok(pages::add_variations(&page)?)
}

pub(crate) fn take_task() -> Result<Option<Task>, Error> {
    Ok(batch::take_task()?.map(Task::from))
}

pub(crate) fn finish_task(outcome: Outcome) -> Result<(), Error> {
    Ok(batch::finish_task(&outcome.into())?)
}

pub(crate) fn fail_task(reason: Error) -> Result<(), Error> {
    Ok(batch::fail_task(&reason.into())?)
}

pub(crate) fn open_report() -> Result<Report, Error> {
    Ok(report_output::open_report()?)
}

pub(crate) fn report_append(report: &Report, bytes: &[u8]) -> Result<(), Error> {
    Ok(report.append(bytes)?)
}

pub(crate) fn report_overwrite(report: &Report, offset: u64, bytes: &[u8]) -> Result<(), Error> {
    Ok(report.overwrite(offset, bytes)?)
}

pub(crate) fn fetch(source: &Source) -> Result<Download, Error> {
    let source = source.clone();
    Ok(fetch::fetch(&fetch::Source {
        locations: source.locations,
        checksum: source.checksum,
        more: source.more.0,
    })?)
}

pub(crate) fn download_info(download: &Download) -> DownloadInfo {
    let info = download.info();
    DownloadInfo {
        size: info.size,
        location: info.location,
        more: Attributes(info.more),
    }
}

pub(crate) fn download_read(
    download: &Download,
    offset: u64,
    length: u32,
) -> Result<Vec<u8>, Error> {
    Ok(download.read(offset, length)?)
}

pub(crate) fn cache_get(name: &str) -> Result<Vec<u8>, Error> {
    Ok(cache::get(name)?)
}

pub(crate) fn cache_put(name: &str, bytes: &[u8]) -> Result<(), Error> {
    Ok(cache::put(name, bytes)?)
}
