//! Owns the state of the fakes of a thread, and the functions of the powers on it: the native side
//! of `backend`.

mod answers;
mod children;
mod command_check;
mod workspace;

pub(crate) use answers::{
    Download, Report, add_runnables, add_variations, artifact_read, artifact_size, artifact_write,
    cache_get, cache_put, case_finish, case_start, download_info, download_read, fail_task, fetch,
    finish_task, list_artifacts, open_report, progress, report_append, report_overwrite, take_task,
    whiteboard,
};
pub(in crate::testing) use children::Process;
pub(crate) use children::{
    Child, Pollable, child_close_stdin, child_id, child_read, child_signal, child_wait,
    child_write, deadline, now, poll, pollable_ready, run, start, watch,
};
pub(crate) use workspace::{list_directory, read, stat};

use super::files::Entry;
use super::limits::{Fault, Limits};
use super::processes::Processes;
use crate::cases::Case;
use crate::error::Error;
use crate::fetch::Source;
use crate::log::Level;
use crate::model::Runnable;
use crate::process::Command;
use crate::runner::{Outcome, Task};
use crate::varianter::Variation;
use crate::workspace::MAX_READ;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Everything that the fakes of one thread know and record.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(super) limits: Limits,
    pub(super) faults: BTreeMap<&'static str, Fault>,
    pub(super) now: Duration,
    pub(super) deadline: Option<Duration>,
    pub(super) files: BTreeMap<String, Entry>,
    pub(super) processes: Option<Processes>,
    pub(super) artifacts: BTreeMap<(Option<String>, String), Vec<u8>>,
    /// Whether the report goes to a stream.
    pub(super) stream: bool,
    pub(super) report: Option<Vec<u8>>,
    pub(super) log: Vec<(Level, String)>,
    /// Messages of the current task in the log, their cost, and whether one was dropped.
    pub(super) log_messages: usize,
    pub(super) log_bytes: usize,
    pub(super) log_is_full: bool,
    pub(super) progress: Vec<String>,
    pub(super) whiteboard: String,
    /// What the messages and artifacts of the task have used.
    pub(super) status: Used,
    /// What the starts and ends of cases of the task have used.
    pub(super) case_ends: Used,
    pub(super) started_cases: Vec<Vec<String>>,
    pub(super) cases: Vec<Case>,
    pub(super) runnables: Vec<Runnable>,
    pub(super) variations: Vec<Variation>,
    pub(super) pages: Vec<usize>,
    /// Whether a limit refused a page.
    pub(super) page_refused: bool,
    pub(super) commands: Vec<Command>,
    pub(super) children: Vec<Process>,
    /// Handles that the plugin holds.
    pub(super) handles: usize,
    pub(super) pollables: usize,
    pub(super) open_downloads: usize,
    pub(super) downloads: BTreeMap<String, Vec<u8>>,
    pub(super) fetched: Vec<Source>,
    pub(super) cache: BTreeMap<String, Vec<u8>>,
    pub(super) tasks: VecDeque<Task>,
    /// Whether a task of the batch is taken and not finished.
    pub(super) taken: bool,
    pub(super) outcomes: Vec<Result<Outcome, Error>>,
}

/// What a task has used of a pair of limits.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl State {
    fn append(&mut self, name: &str, bytes: &[u8]) {
        let file = self.artifacts.entry((None, name.to_owned())).or_default();
        file.extend_from_slice(bytes);
    }
}

thread_local! {
    pub(super) static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// Calls a function with the installed fakes, or with empty ones that are dropped afterwards.
pub(super) fn with<T>(work: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(|state| match state {
        Some(state) => work(state),
        None => work(&mut State::default()),
    })
}

/// Calls a function with the installed fakes, if there are any and nobody uses them: for handles
/// that are dropped.
fn with_open(work: impl FnOnce(&mut State)) {
    // Fails when the thread ends, and the fakes are gone.
    let _ = STATE.try_with(|state| {
        if let Ok(mut state) = state.try_borrow_mut()
            && let Some(state) = &mut *state
        {
            work(state);
        }
    });
}

/// Fails if the test asked for a failure of this function.
fn power(function: &'static str) -> Result<(), Error> {
    with(|state| match state.faults.get_mut(function) {
        None => Ok(()),
        Some(fault) if fault.calls > 0 => {
            fault.calls -= 1;
            Ok(())
        }
        Some(fault) => Err(fault.error.clone()),
    })
}

/// Checks that there is room for one more handle.
fn handle_limit(open: usize, limit: usize, what: &str) -> Result<(), Error> {
    match open < limit {
        true => Ok(()),
        false => Err(Error::new(
            "limit",
            format!("there are more than {limit} {what} at once"),
        )),
    }
}

/// Counts a handle, unless there are too many.
fn open_handle(open: &mut usize, limit: usize, what: &str) -> Result<(), Error> {
    handle_limit(*open, limit, what)?;
    *open += 1;
    Ok(())
}

/// Removes `.` components and redundant slashes from a path. The project's own directory becomes
/// the empty path.
pub(super) fn normal(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// Whether a character changes the direction of text or ends a line, so that a name looks like
/// another one.
fn is_mark(char: char) -> bool {
    matches!(
        char,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
    )
}

/// Checks the name of a file of a task, or of an entry of the cache.
fn name(name: &str) -> Result<(), Error> {
    let is_valid = !name.is_empty()
        && name.len() <= 255
        && !name.starts_with('.')
        && !name.contains(|char: char| char == '/' || char.is_control() || is_mark(char));
    match is_valid {
        true => Ok(()),
        false => Err(Error::new(
            "invalid",
            format!("{name:?} cannot be the name of a file"),
        )),
    }
}

fn not_found(path: &str) -> Error {
    Error::new("not-found", format!("there is no {path}")).with("os-error", 2)
}

fn slice(bytes: &[u8], offset: u64, length: u32) -> Vec<u8> {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|offset| bytes.get(offset..))
        .unwrap_or_default();
    rest.iter()
        .copied()
        .take(length.min(MAX_READ) as usize)
        .collect()
}

/// What a message to the log costs in bytes, apart from its text.
const LOG_COST: usize = 16;

pub(crate) fn log(level: Level, message: &str) {
    with(|state| {
        let bytes = state.log_bytes.saturating_add(message.len() + LOG_COST);
        let fits = state.log_messages < state.limits.log_messages
            && bytes <= state.limits.log_bytes
            && !state.log_is_full;
        if fits {
            (state.log_messages, state.log_bytes) = (state.log_messages + 1, bytes);
            state.log.push((level, message.to_owned()));
        } else {
            // A shorter message that still fits would appear after a gap that nobody sees.
            state.log_is_full = true;
        }
    });
}
