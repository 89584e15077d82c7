//! Owns the faked powers that record what a plugin says: messages, files, cases, pages, batches,
//! reports, downloads and the cache.

use super::{State, name, not_found, open_handle, power, slice, with, with_open};
use crate::artifacts::{Artifact, ArtifactPage};
use crate::attributes::Attributes;
use crate::cases::Case;
use crate::error::Error;
use crate::fetch::{DownloadInfo, Source};
use crate::model::Runnable;
use crate::runner::{Outcome, Task};
use crate::varianter::Variation;

impl State {
    /// Counts a message of the task, and its bytes.
    fn count(&mut self, messages: usize, bytes: usize) -> Result<(), Error> {
        let messages = self.status_messages.saturating_add(messages);
        let bytes = self.status_bytes.saturating_add(bytes);
        if messages > self.limits.status_messages || bytes > self.limits.status_bytes {
            return Err(Error::new("limit", "the task has too many messages"));
        }
        (self.status_messages, self.status_bytes) = (messages, bytes);
        Ok(())
    }
}

pub(crate) fn progress(message: &str) -> Result<(), Error> {
    power("messages.progress")?;
    with(|state| {
        state.count(1, message.len())?;
        state.progress.push(message.to_owned());
        Ok(())
    })
}

pub(crate) fn whiteboard(text: &str) -> Result<(), Error> {
    power("messages.whiteboard")?;
    with(|state| {
        state.count(1, text.len())?;
        state.whiteboard.push_str(text);
        Ok(())
    })
}

pub(crate) fn artifact_write(file: &str, bytes: &[u8]) -> Result<(), Error> {
    power("artifacts.write")?;
    name(file)?;
    with(|state| {
        state.count(0, bytes.len())?;
        state.append(file, bytes);
        Ok(())
    })
}

fn artifact<T>(task: Option<&str>, file: &str, work: impl FnOnce(&[u8]) -> T) -> Result<T, Error> {
    name(file)?;
    with(|state| {
        let key = (task.map(str::to_owned), file.to_owned());
        let bytes = state.artifacts.get(&key);
        bytes
            .map(|bytes| work(bytes))
            .ok_or_else(|| not_found(file))
    })
}

pub(crate) fn artifact_read(
    task: Option<&str>,
    name: &str,
    offset: u64,
    length: u32,
) -> Result<Vec<u8>, Error> {
    power("artifacts.read")?;
    artifact(task, name, |bytes| slice(bytes, offset, length))
}

pub(crate) fn artifact_size(task: Option<&str>, name: &str) -> Result<u64, Error> {
    power("artifacts.size")?;
    artifact(task, name, |bytes| bytes.len() as u64)
}

/// The number of entries in a page of `list-artifacts`.
const PAGE: usize = 4096;

pub(crate) fn list_artifacts(
    task: Option<&str>,
    cursor: Option<&str>,
) -> Result<ArtifactPage, Error> {
    power("artifact-list.list-artifacts")?;
    with(|state| {
        let of_task = state
            .artifacts
            .iter()
            .filter(|((of, _), _)| of.as_deref() == task);
        let entry = |((_, name), bytes): (&(_, String), &Vec<u8>)| Artifact {
            name: name.clone(),
            size: bytes.len() as u64,
            more: Attributes::new(),
        };
        let all: Vec<Artifact> = of_task.map(entry).collect();
        if let (Some(task), true) = (task, all.is_empty()) {
            return Err(Error::new("not-found", format!("there is no task {task}")));
        }
        if cursor.is_some_and(|cursor| !all.iter().any(|entry| entry.name == cursor)) {
            return Err(Error::new("invalid", "no page had this cursor"));
        }
        let rest = all
            .into_iter()
            .filter(|entry| cursor.is_none_or(|at| entry.name.as_str() > at));
        let mut entries: Vec<Artifact> = rest.take(PAGE + 1).collect();
        let is_last = entries.len() <= PAGE;
        entries.truncate(PAGE);
        let cursor = entries
            .last()
            .filter(|_| !is_last)
            .map(|entry| entry.name.clone());
        Ok(ArtifactPage { entries, cursor })
    })
}

fn check_path(path: &[String]) -> Result<usize, Error> {
    let bytes = path.iter().map(String::len).sum();
    match (path.len(), bytes) {
        (1..=64, ..=4096) => Ok(bytes),
        _ => Err(Error::new(
            "invalid",
            "the path of a case has 1 to 64 names, of 4 KiB together",
        )),
    }
}

pub(crate) fn case_start(path: Vec<String>) -> Result<(), Error> {
    power("cases.start")?;
    with(|state| {
        state.count(1, check_path(&path)?)?;
        state.started_cases.push(path);
        Ok(())
    })
}

pub(crate) fn case_finish(cases: Vec<Case>) -> Result<(), Error> {
    power("cases.finish")?;
    with(|state| {
        for case in cases {
            let reason = case.reason.as_ref().map_or(0, String::len);
            state.count(1, check_path(&case.path)? + reason)?;
            state.cases.push(case);
        }
        Ok(())
    })
}

fn add_page(state: &mut State, items: usize) -> Result<(), Error> {
    let all: usize = state.pages.iter().sum();
    if all.saturating_add(items) > state.limits.page_items {
        return Err(Error::new("limit", "the answer has too many items"));
    }
    state.pages.push(items);
    Ok(())
}

pub(crate) fn add_runnables(page: Vec<Runnable>) -> Result<(), Error> {
    power("pages.add-runnables")?;
    with(|state| {
        add_page(state, page.len())?;
        state.runnables.extend(page);
        Ok(())
    })
}

pub(crate) fn add_variations(page: Vec<Variation>) -> Result<(), Error> {
    power("pages.add-variations")?;
    with(|state| {
        add_page(state, page.len())?;
        state.variations.extend(page);
        Ok(())
    })
}

pub(crate) fn take_task() -> Result<Option<Task>, Error> {
    power("batch.take-task")?;
    with(|state| {
        if state.taken {
            let message = "the previous task has not ended: call `finish_task` first";
            return Err(Error::new("invalid", message));
        }
        let next = state.tasks.pop_front();
        state.taken = next.is_some();
        (state.status_messages, state.status_bytes) = (0, 0);
        Ok(next)
    })
}

fn end_task(outcome: Result<Outcome, Error>) -> Result<(), Error> {
    with(|state| {
        if !std::mem::take(&mut state.taken) {
            return Err(Error::new("invalid", "no task is taken"));
        }
        state.outcomes.push(outcome);
        Ok(())
    })
}

pub(crate) fn finish_task(outcome: Outcome) -> Result<(), Error> {
    power("batch.finish-task")?;
    end_task(Ok(outcome))
}

pub(crate) fn fail_task(reason: Error) -> Result<(), Error> {
    power("batch.fail-task")?;
    end_task(Err(reason))
}

#[derive(Debug)]
pub(crate) struct Report;

pub(crate) fn open_report() -> Result<Report, Error> {
    power("report-output.open-report")?;
    with(|state| match state.report {
        Some(_) => Err(Error::new("invalid", "the report is open already")),
        None => {
            state.report = Some(Vec::new());
            Ok(Report)
        }
    })
}

pub(crate) fn report_append(_: &Report, bytes: &[u8]) -> Result<(), Error> {
    power("report-output.report.append")?;
    with(|state| {
        let report = state.report.get_or_insert_default();
        if report.len().saturating_add(bytes.len()) > state.limits.report_bytes {
            return Err(Error::new("limit", "the report is too large"));
        }
        report.extend_from_slice(bytes);
        Ok(())
    })
}

pub(crate) fn report_overwrite(_: &Report, offset: u64, bytes: &[u8]) -> Result<(), Error> {
    power("report-output.report.overwrite")?;
    with(|state| {
        if state.stream {
            let message = "the report goes to a stream, which can only be appended to";
            return Err(Error::new("unsupported", message));
        }
        let report = state.report.get_or_insert_default();
        let place = usize::try_from(offset)
            .ok()
            .and_then(|start| report.get_mut(start..start.checked_add(bytes.len())?));
        match place {
            Some(place) => place.copy_from_slice(bytes),
            None => {
                let message = "the offset is beyond the report's end";
                return Err(Error::new("invalid", message));
            }
        }
        Ok(())
    })
}

/// A download, by the location that served it.
#[derive(Debug)]
pub(crate) struct Download(String);

impl Drop for Download {
    fn drop(&mut self) {
        with_open(|state| state.open_downloads = state.open_downloads.saturating_sub(1));
    }
}

pub(crate) fn fetch(source: &Source) -> Result<Download, Error> {
    power("fetch.fetch")?;
    with(|state| {
        state.fetched.push(source.clone());
        let mut locations = source.locations.iter();
        let Some(location) = locations.find(|location| state.downloads.contains_key(*location))
        else {
            let wanted = source.locations.join(", ");
            return Err(Error::new("not-found", format!("none of {wanted} has it")));
        };
        open_handle(
            &mut state.open_downloads,
            state.limits.downloads,
            "downloads",
        )?;
        Ok(Download(location.clone()))
    })
}

pub(crate) fn download_info(download: &Download) -> DownloadInfo {
    DownloadInfo {
        size: with(|state| {
            state
                .downloads
                .get(&download.0)
                .map_or(0, |bytes| bytes.len() as u64)
        }),
        location: Some(download.0.clone()),
        more: Attributes::new(),
    }
}

pub(crate) fn download_read(
    download: &Download,
    offset: u64,
    length: u32,
) -> Result<Vec<u8>, Error> {
    power("fetch.download.read")?;
    with(|state| match state.downloads.get(&download.0) {
        Some(bytes) => Ok(slice(bytes, offset, length)),
        None => Err(not_found(&download.0)),
    })
}

pub(crate) fn cache_get(of: &str) -> Result<Vec<u8>, Error> {
    power("cache.get")?;
    name(of)?;
    with(|state| state.cache.get(of).cloned()).ok_or_else(|| not_found(of))
}

pub(crate) fn cache_put(of: &str, bytes: &[u8]) -> Result<(), Error> {
    power("cache.put")?;
    name(of)?;
    with(|state| {
        if bytes.len() > state.limits.cache_bytes {
            return Err(Error::new(
                "too-large",
                format!("{of} is too large for the cache"),
            ));
        }
        if !state.cache.contains_key(of) && state.cache.len() >= state.limits.cache_names {
            return Err(Error::new("limit", "the cache has too many names"));
        }
        state.cache.insert(of.to_owned(), bytes.to_vec());
        Ok(())
    })
}
