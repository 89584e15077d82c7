//! Owns the faked powers that record what a plugin says: messages, files, cases, pages, batches,
//! reports, downloads and the cache.

use super::children::interrupted;
use super::{State, Used, handle_limit, name, not_found, power, slice, with, with_open};
use crate::artifacts::{Artifact, ArtifactPage};
use crate::attributes::{Attributes, Value};
use crate::cases::Case;
use crate::error::Error;
use crate::fetch::{DownloadInfo, Source};
use crate::model::Runnable;
use crate::runner::{Outcome, Task};
use crate::varianter::Variation;

/// What a message or a case of a task costs in bytes, apart from its content.
const MESSAGE_COST: usize = 64;

impl Used {
    /// Counts a message, and its bytes.
    fn pay(
        &mut self,
        bytes: usize,
        (messages_limit, bytes_limit): (usize, usize),
        what: &str,
    ) -> Result<(), Error> {
        let messages = self.messages.saturating_add(1);
        let bytes = self
            .bytes
            .saturating_add(bytes)
            .saturating_add(MESSAGE_COST);
        if messages > messages_limit || bytes > bytes_limit {
            return Err(Error::new("limit", format!("the task has too many {what}")));
        }
        *self = Self { messages, bytes };
        Ok(())
    }
}

impl State {
    /// Counts a message or an artifact of the task.
    fn pay(&mut self, bytes: usize) -> Result<(), Error> {
        let limits = (self.limits.status_messages, self.limits.status_bytes);
        self.status.pay(bytes, limits, "messages")
    }

    /// Counts a start or an end of a case of the task.
    fn pay_for_case(&mut self, bytes: usize) -> Result<(), Error> {
        let limits = (self.limits.cases, self.limits.case_bytes);
        self.case_ends.pay(bytes, limits, "cases")
    }
}

pub(crate) fn progress(message: &str) -> Result<(), Error> {
    power("messages.progress")?;
    with(|state| {
        state.pay(message.len())?;
        state.progress.push(message.to_owned());
        Ok(())
    })
}

pub(crate) fn whiteboard(text: &str) -> Result<(), Error> {
    power("messages.whiteboard")?;
    with(|state| {
        state.pay(text.len())?;
        state.whiteboard.push_str(text);
        Ok(())
    })
}

pub(crate) fn artifact_write(file: &str, bytes: &[u8]) -> Result<(), Error> {
    power("artifacts.write")?;
    with(|state| {
        state.pay(bytes.len())?;
        name(file)?;
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

/// What a cursor begins with, before the last name of the page before it.
const AFTER: &str = "after:";

pub(crate) fn list_artifacts(
    task: Option<&str>,
    cursor: Option<&str>,
) -> Result<ArtifactPage, Error> {
    power("artifact-list.list-artifacts")?;
    let wrong_cursor = || Error::new("invalid", "no page had this cursor");
    let last = match cursor {
        None => None,
        Some(cursor) => Some(cursor.strip_prefix(AFTER).ok_or_else(wrong_cursor)?),
    };
    if let Some(last) = last {
        name(last).map_err(|_| wrong_cursor())?;
    }
    with(|state| {
        let files = state.artifacts.iter();
        let mut of_task = files
            .filter(|((of, _), _)| of.as_deref() == task)
            .peekable();
        if let (Some(task), None) = (task, of_task.peek()) {
            return Err(Error::new("not-found", format!("there is no task {task}")));
        }
        let entry = |((_, name), bytes): (&(_, String), &Vec<u8>)| Artifact {
            name: name.clone(),
            size: bytes.len() as u64,
            more: Attributes::new(),
        };
        let rest = of_task.filter(|((_, name), _)| last.is_none_or(|last| name.as_str() > last));
        let mut entries: Vec<Artifact> = rest.take(PAGE + 1).map(entry).collect();
        let is_last = entries.len() <= PAGE;
        entries.truncate(PAGE);
        let last = entries.last().filter(|_| !is_last);
        let cursor = last.map(|entry| format!("{AFTER}{}", entry.name));
        Ok(ArtifactPage { entries, cursor })
    })
}

/// The longest reason of a case, in bytes: 64 KiB.
const LONGEST_REASON: usize = 64 << 10;

/// Checks the path of a case, and returns its cost in bytes.
fn weigh_path(path: &[String]) -> Result<usize, Error> {
    let bytes = path.iter().map(String::len).sum::<usize>();
    match (path.len(), bytes) {
        // In the host each name has a length, a capacity and an address, of 8 bytes each.
        (1..=64, ..=4096) => Ok(bytes + 24 * path.len()),
        _ => Err(Error::new(
            "invalid",
            "the path of a case has 1 to 64 names, of 4 KiB together",
        )),
    }
}

/// The bytes of open data. The host counts more for it: what it takes of the host's memory.
fn weigh(data: &Attributes) -> usize {
    let of = |value: &Value| match value {
        Value::Text(text) | Value::Json(text) => text.len(),
        Value::Null | Value::Boolean(_) | Value::Integer(_) | Value::Number(_) => 0,
    };
    data.iter()
        .map(|(name, value)| name.len() + of(value))
        .sum()
}

/// Checks the values of open data, as far as that needs no JSON parser.
fn check_data(data: &Attributes) -> Result<(), Error> {
    let wrong = data.iter().find(|(_, value)| match value {
        Value::Number(number) => !number.is_finite(),
        Value::Json(text) => !text.trim_start().starts_with(['[', '{']),
        Value::Null | Value::Boolean(_) | Value::Integer(_) | Value::Text(_) => false,
    });
    match wrong {
        None => Ok(()),
        Some((name, value)) => Err(Error::new(
            "invalid",
            format!("{name}: {value:?} is neither finite nor a JSON list or object"),
        )),
    }
}

fn check_runnable(runnable: &Runnable) -> Result<(), Error> {
    check_data(&runnable.kwargs)?;
    check_data(&runnable.more)?;
    runnable.requirements.iter().try_for_each(|requirement| {
        check_data(&requirement.kwargs)?;
        check_data(&requirement.more)
    })
}

pub(crate) fn case_start(path: Vec<String>) -> Result<(), Error> {
    power("cases.start")?;
    with(|state| {
        state.pay_for_case(weigh_path(&path)?)?;
        state.started_cases.push(path);
        Ok(())
    })
}

pub(crate) fn case_finish(cases: Vec<Case>) -> Result<(), Error> {
    power("cases.finish")?;
    with(|state| {
        for mut case in cases {
            let path = weigh_path(&case.path)?;
            if let Some(reason) = &mut case.reason {
                reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
            }
            let reason = case.reason.as_ref().map_or(0, String::len);
            check_data(&case.more)?;
            state.pay_for_case(path + reason + weigh(&case.more))?;
            state.cases.push(case);
        }
        Ok(())
    })
}

impl State {
    /// Counts a page, unless the answer has too many items with it.
    fn add_page(&mut self, before: usize, items: usize, limit: usize) -> Result<(), Error> {
        if self.is_interrupted() {
            return Err(interrupted());
        }
        if before.saturating_add(items) > limit {
            self.page_refused = true;
            return Err(Error::new("limit", "the answer has too many items"));
        }
        self.pages.push(items);
        Ok(())
    }
}

pub(crate) fn add_runnables(page: Vec<Runnable>) -> Result<(), Error> {
    power("pages.add-runnables")?;
    with(|state| {
        let limit = state.limits.page_runnables;
        page.iter().try_for_each(check_runnable)?;
        state.add_page(state.runnables.len(), page.len(), limit)?;
        state.runnables.extend(page);
        Ok(())
    })
}

pub(crate) fn add_variations(page: Vec<Variation>) -> Result<(), Error> {
    power("pages.add-variations")?;
    with(|state| {
        let limit = state.limits.page_variations;
        page.iter().try_for_each(|variation| {
            check_data(&variation.parameters)?;
            check_data(&variation.more)
        })?;
        state.add_page(state.variations.len(), page.len(), limit)?;
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
        if next.is_some() {
            (state.status, state.case_ends) = (Used::default(), Used::default());
            (state.log_messages, state.log_bytes) = (0, 0);
            state.log_is_full = false;
        }
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

/// Returns a whole number from 0 among a source's further data.
fn number_of(source: &Source, name: &str) -> Result<Option<u64>, Error> {
    match source.more.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Integer(number)) if *number >= 0 => Ok(Some(number.cast_unsigned())),
        Some(_) => Err(Error::new(
            "invalid",
            format!("`{name}` of a source is a whole number from 0"),
        )),
    }
}

/// Checks the form of a checksum: its algorithm, and as many hexadecimal digits as that has.
fn check_checksum(checksum: &str) -> Result<(), Error> {
    let digits = match checksum.split_once(':') {
        Some(("sha1", digits)) => (digits, 40),
        Some(("sha256", digits)) => (digits, 64),
        Some(("sha512", digits)) => (digits, 128),
        _ => ("", 1),
    };
    match digits {
        (digits, length)
            if digits.len() == length && digits.bytes().all(|it| it.is_ascii_hexdigit()) =>
        {
            Ok(())
        }
        _ => Err(Error::new(
            "invalid",
            format!("{checksum:?} is no checksum: `sha256:` and 64 hexadecimal digits"),
        )),
    }
}

pub(crate) fn fetch(source: &Source) -> Result<Download, Error> {
    power("fetch.fetch")?;
    with(|state| {
        state.fetched.push(source.clone());
        handle_limit(state.open_downloads, state.limits.downloads, "downloads")?;
        if let Some(checksum) = &source.checksum {
            check_checksum(checksum)?;
        }
        let most = number_of(source, "max-bytes")?;
        number_of(source, "max-age")?;
        let mut locations = source.locations.iter();
        let found = locations.find_map(|it| state.downloads.get_key_value(it));
        let Some((location, bytes)) = found else {
            let wanted = source.locations.join(", ");
            return Err(Error::new("not-found", format!("none of {wanted} has it")));
        };
        if most.is_some_and(|most| bytes.len() as u64 > most) {
            return Err(Error::new("too-large", format!("{location} is too large")));
        }
        state.open_downloads += 1;
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
