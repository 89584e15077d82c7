//! Owns the state of the fakes of a thread, and the functions of the powers on it: the native side
//! of `backend`.

use super::{Answer, Entry, Processes};
use crate::attributes::Attributes;
use crate::error::Error;
use crate::fetch::{Download, Source};
use crate::log::Level;
use crate::process::{Command, Exit, Input, Output, Stream};
use crate::runner::{Outcome, Task};
use crate::workspace::{FileKind, FileStat, MAX_READ};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

/// Everything that the fakes of one thread know and record.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(super) files: BTreeMap<String, Entry>,
    pub(super) processes: Option<Processes>,
    pub(super) artifacts: BTreeMap<(Option<String>, String), Vec<u8>>,
    /// Whether the report goes to a stream.
    pub(super) stream: bool,
    pub(super) report: Option<Vec<u8>>,
    pub(super) log: Vec<(Level, String)>,
    pub(super) progress: Vec<String>,
    pub(super) whiteboard: String,
    pub(super) commands: Vec<Command>,
    pub(super) children: Vec<Process>,
    pub(super) downloads: BTreeMap<String, Vec<u8>>,
    pub(super) fetched: Vec<Source>,
    pub(super) cache: BTreeMap<String, Vec<u8>>,
    pub(super) tasks: VecDeque<Task>,
    /// Whether a task of the batch is taken and not finished.
    pub(super) taken: bool,
    pub(super) outcomes: Vec<Result<Outcome, Error>>,
}

#[derive(Debug)]
pub(super) struct Process {
    exit: Exit,
    /// The unread bytes of each pipe; none for a stream that is not a pipe.
    stdout: Option<Vec<u8>>,
    stderr: Option<Vec<u8>>,
    report: Option<Vec<u8>>,
    /// Whether standard input is a pipe.
    piped: bool,
    pub(super) stdin: Vec<u8>,
    pub(super) closed: bool,
    pub(super) signals: Vec<i32>,
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

fn entry<T>(path: &str, work: impl FnOnce(&Entry) -> T) -> Result<T, Error> {
    if path.split('/').any(|part| part == "..") {
        return Err(Error::new(
            "not-permitted",
            format!("{path} leads out of the project"),
        ));
    }
    with(|state| match normal(path).as_str() {
        "" => Ok(work(&Entry::Directory)),
        normal => state
            .files
            .get(normal)
            .map(work)
            .ok_or_else(|| not_found(path)),
    })
}

fn kind(entry: &Entry) -> FileKind {
    match entry {
        Entry::File { .. } => FileKind::File,
        Entry::Directory => FileKind::Directory,
        Entry::Other => FileKind::Other,
    }
}

pub(crate) fn next_task() -> Result<Option<Task>, Error> {
    with(|state| {
        if state.taken {
            return Err(Error::new(
                "invalid",
                "the previous task has not ended: call `finish` before `next`",
            ));
        }
        let next = state.tasks.pop_front();
        state.taken = next.is_some();
        Ok(next)
    })
}

pub(crate) fn finish_task(outcome: Result<Outcome, Error>) -> Result<(), Error> {
    with(|state| {
        if !std::mem::take(&mut state.taken) {
            return Err(Error::new("invalid", "no task is taken"));
        }
        state.outcomes.push(outcome);
        Ok(())
    })
}

pub(crate) fn log(level: Level, message: &str) {
    with(|state| state.log.push((level, message.to_owned())));
}

pub(crate) fn stat(path: &str) -> Result<FileStat, Error> {
    entry(path, |entry| {
        let (size, executable) = match entry {
            Entry::File { bytes, executable } => (bytes.len() as u64, *executable),
            _ => (0, false),
        };
        FileStat {
            kind: kind(entry),
            size,
            executable,
        }
    })
}

pub(crate) fn list_directory(path: &str) -> Result<Vec<(String, FileKind)>, Error> {
    if entry(path, kind)? != FileKind::Directory {
        let message = format!("{path} is not a directory");
        return Err(Error::new("not-found", message).with("os-error", 20));
    }
    let parent = match normal(path).as_str() {
        "" => String::new(),
        path => format!("{path}/"),
    };
    Ok(with(|state| {
        let inside = state
            .files
            .iter()
            .filter_map(|(path, entry)| Some((path.strip_prefix(&parent)?, kind(entry))));
        let here = inside.filter(|(name, _)| !name.is_empty() && !name.contains('/'));
        here.map(|(name, kind)| (name.to_owned(), kind)).collect()
    }))
}

pub(crate) fn read(path: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    entry(path, |entry| match entry {
        Entry::File { bytes, .. } => Ok(slice(bytes, offset, length)),
        _ => Err(Error::new(
            "invalid",
            format!("{path} is not an ordinary file"),
        )),
    })?
}

#[derive(Debug)]
pub(crate) struct Child(usize);

fn name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(Error::new(
            "invalid",
            format!("{name:?} cannot be the name of a file of a task"),
        ));
    }
    Ok(())
}

impl State {
    fn append(&mut self, name: &str, bytes: &[u8]) {
        let file = self.artifacts.entry((None, name.to_owned())).or_default();
        file.extend_from_slice(bytes);
    }

    fn sink(&mut self, output: &Output, bytes: Vec<u8>) -> Option<Vec<u8>> {
        match output {
            Output::Discard => None,
            Output::Pipe => Some(bytes),
            Output::File(name) => {
                self.append(name, &bytes);
                None
            }
        }
    }
}

pub(crate) fn start(command: &Command) -> Result<Child, Error> {
    for output in [&command.stdout, &command.stderr] {
        if let Output::File(file) = output {
            name(file)?;
        }
    }
    // The function of the test may itself use a power, so the state must not be borrowed during the
    // call.
    let processes = with(|state| {
        state.commands.push(command.clone());
        state.processes.take()
    });
    let answer = match processes {
        None => Answer::missing(),
        Some(mut processes) => {
            let answer = (processes.0)(command);
            with(|state| state.processes = Some(processes));
            answer
        }
    };
    let exit = answer.exit?;
    Ok(with(|state| {
        let process = Process {
            exit,
            stdout: state.sink(&command.stdout, answer.stdout),
            stderr: state.sink(&command.stderr, answer.stderr),
            report: command.report.then_some(answer.report),
            piped: command.stdin == Input::Pipe,
            stdin: Vec::new(),
            closed: false,
            signals: Vec::new(),
        };
        state.children.push(process);
        Child(state.children.len() - 1)
    }))
}

pub(crate) fn run(command: &Command) -> Result<Exit, Error> {
    if command.stdin == Input::Pipe
        || command.stdout == Output::Pipe
        || command.stderr == Output::Pipe
        || command.report
    {
        return Err(Error::new(
            "invalid",
            "a process that is run to its end cannot have pipes",
        ));
    }
    child_wait(&start(command)?)
}

fn child<T>(
    child: &Child,
    work: impl FnOnce(&mut Process) -> Result<T, Error>,
) -> Result<T, Error> {
    with(|state| match state.children.get_mut(child.0) {
        Some(process) => work(process),
        None => Err(Error::new(
            "closed",
            "the fakes that started this process are not installed any more",
        )),
    })
}

pub(crate) fn child_id(child: &Child) -> u32 {
    u32::try_from(child.0).map_or(u32::MAX, |number| number.saturating_add(1000))
}

pub(crate) fn child_read(of: &Child, stream: Stream, length: u32) -> Result<Vec<u8>, Error> {
    child(of, |process| {
        let pipe = match stream {
            Stream::Stdout => &mut process.stdout,
            Stream::Stderr => &mut process.stderr,
            Stream::Report => &mut process.report,
        };
        let Some(bytes) = pipe else {
            return Err(Error::new(
                "invalid",
                "this stream of the process is not a pipe",
            ));
        };
        let length = bytes.len().min(length.min(MAX_READ) as usize);
        Ok(bytes.drain(..length).collect())
    })
}

pub(crate) fn child_write(of: &Child, bytes: &[u8]) -> Result<(), Error> {
    child(of, |process| {
        if !process.piped || process.closed {
            return Err(Error::new(
                "closed",
                "the standard input of the process is not an open pipe",
            ));
        }
        process.stdin.extend_from_slice(bytes);
        Ok(())
    })
}

pub(crate) fn child_close_stdin(of: &Child) -> Result<(), Error> {
    child(of, |process| {
        process.closed = true;
        Ok(())
    })
}

pub(crate) fn child_signal(of: &Child, number: i32) -> Result<(), Error> {
    child(of, |process| {
        process.signals.push(number);
        Ok(())
    })
}

pub(crate) fn child_wait(of: &Child) -> Result<Exit, Error> {
    child(of, |process| Ok(process.exit.clone()))
}

pub(crate) fn progress(message: &str) -> Result<(), Error> {
    with(|state| state.progress.push(message.to_owned()));
    Ok(())
}

pub(crate) fn whiteboard(text: &str) -> Result<(), Error> {
    with(|state| state.whiteboard.push_str(text));
    Ok(())
}

pub(crate) fn write_artifact(file: &str, bytes: &[u8]) -> Result<(), Error> {
    name(file)?;
    with(|state| state.append(file, bytes));
    Ok(())
}

fn artifact<T>(task: Option<&str>, file: &str, work: impl FnOnce(&[u8]) -> T) -> Result<T, Error> {
    name(file)?;
    with(|state| {
        let key = (task.map(str::to_owned), file.to_owned());
        state
            .artifacts
            .get(&key)
            .map(|bytes| work(bytes))
            .ok_or_else(|| not_found(file))
    })
}

pub(crate) fn read_artifact(name: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    artifact(None, name, |bytes| slice(bytes, offset, length))
}

pub(crate) fn task_artifact_size(task: &str, name: &str) -> Result<u64, Error> {
    artifact(Some(task), name, |bytes| bytes.len() as u64)
}

pub(crate) fn read_task_artifact(
    task: &str,
    name: &str,
    offset: u64,
    length: u32,
) -> Result<Vec<u8>, Error> {
    artifact(Some(task), name, |bytes| slice(bytes, offset, length))
}

#[derive(Debug)]
pub(crate) struct Report;

pub(crate) fn open() -> Result<Report, Error> {
    with(|state| match state.report {
        Some(_) => Err(Error::new("invalid", "the report is open already")),
        None => {
            state.report = Some(Vec::new());
            Ok(Report)
        }
    })
}

pub(crate) fn report_write(_: &Report, bytes: &[u8]) -> Result<(), Error> {
    with(|state| {
        state
            .report
            .get_or_insert_default()
            .extend_from_slice(bytes)
    });
    Ok(())
}

pub(crate) fn report_write_at(_: &Report, offset: u64, bytes: &[u8]) -> Result<(), Error> {
    with(|state| {
        if state.stream {
            return Err(Error::new(
                "unsupported",
                "the report goes to a stream, which can only be appended to",
            ));
        }
        let report = state.report.get_or_insert_default();
        let place = usize::try_from(offset)
            .ok()
            .and_then(|start| report.get_mut(start..start.checked_add(bytes.len())?));
        match place {
            Some(place) => place.copy_from_slice(bytes),
            None => {
                return Err(Error::new(
                    "invalid",
                    "the offset is beyond the report's end",
                ));
            }
        }
        Ok(())
    })
}

pub(crate) fn fetch(source: &Source) -> Result<Download, Error> {
    with(|state| {
        state.fetched.push(source.clone());
        for location in &source.locations {
            if let Some(bytes) = state.downloads.get(location) {
                return Ok(Download {
                    id: location.clone(),
                    size: bytes.len() as u64,
                    location: Some(location.clone()),
                    more: Attributes::new(),
                });
            }
        }
        let wanted = source.locations.join(", ");
        Err(Error::new("not-found", format!("none of {wanted} has it")))
    })
}

pub(crate) fn read_download(id: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    with(|state| match state.downloads.get(id) {
        Some(bytes) => Ok(slice(bytes, offset, length)),
        None => Err(Error::new(
            "not-found",
            format!("there is no download {id:?}"),
        )),
    })
}

pub(crate) fn cache_get(of: &str) -> Result<Vec<u8>, Error> {
    name(of)?;
    with(|state| state.cache.get(of).cloned()).ok_or_else(|| not_found(of))
}

pub(crate) fn cache_put(of: &str, bytes: &[u8]) -> Result<(), Error> {
    name(of)?;
    with(|state| state.cache.insert(of.to_owned(), bytes.to_vec()));
    Ok(())
}
