//! Owns faked children, the clock and polling. A child's output exists from its start. The child
//! ends when the clock reaches its running time or the deadline, or at a signal.

use super::command_check::{check, has_pipes};
use super::{State, handle_limit, open_handle, power, with, with_open};
use crate::error::Error;
use crate::poll::Interest;
use crate::process::{Command, Ending, Exit, Input, Output, Pipe};
use crate::testing::processes::Answer;
use crate::workspace::MAX_READ;
use std::time::Duration;

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// The highest number of a signal with a name. The host sends no others.
const MOST_SIGNAL: i32 = 31;

/// The most pollables in one call of `poll`.
const MOST_POLLED: usize = 1024;

/// How long a poll waits at least for something that is not ready, as the host does.
const SHORTEST_POLL: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(in crate::testing) struct Process {
    exit: Exit,
    /// When the process started and ends, on the clock.
    started: Duration,
    ends: Duration,
    /// The unread bytes of each pipe; none for an output that is not a pipe.
    stdout: Option<Vec<u8>>,
    stderr: Option<Vec<u8>>,
    report: Option<Vec<u8>>,
    /// Whether standard input is a pipe.
    piped: bool,
    /// Whether the plugin has dropped the handle.
    dropped: bool,
    pub(in crate::testing) stdin: Vec<u8>,
    pub(in crate::testing) closed: bool,
    pub(in crate::testing) signals: Vec<i32>,
}

impl Process {
    fn pipe(&mut self, pipe: Pipe) -> &mut Option<Vec<u8>> {
        match pipe {
            Pipe::Stdout => &mut self.stdout,
            Pipe::Stderr => &mut self.stderr,
            Pipe::Report => &mut self.report,
        }
    }

    /// Ends the process by a signal, at this time on the clock.
    fn end_by(&mut self, signal: i32, at: Duration) {
        self.ends = at;
        self.exit.ending = Ending::Signal(signal);
        self.exit.duration = at.saturating_sub(self.started);
    }

    /// When an interest is ready, on the clock.
    fn ready_at(&mut self, interest: Interest) -> Duration {
        match interest {
            _ if self.dropped => Duration::ZERO,
            Interest::Writable => Duration::ZERO,
            Interest::Ended => self.ends,
            Interest::Readable(pipe) => match self.pipe(pipe) {
                Some(bytes) if bytes.is_empty() => self.ends,
                _ => Duration::ZERO,
            },
        }
    }
}

#[derive(Debug)]
pub(crate) struct Child(usize);

impl Drop for Child {
    fn drop(&mut self) {
        with_open(|state| {
            state.handles = state.handles.saturating_sub(1);
            if let Some(process) = state.children.get_mut(self.0) {
                process.dropped = true;
            }
        });
    }
}

fn no_pipe() -> Error {
    Error::new("invalid", "this output of the process is not a pipe")
}

impl State {
    fn sink(&mut self, output: &Output, bytes: Vec<u8>) -> Option<Vec<u8>> {
        match output {
            Output::Discard | Output::WithStdout => None,
            Output::Pipe => Some(bytes),
            Output::File(name) => {
                self.append(name, &bytes);
                None
            }
        }
    }
}

/// Starts a process, and returns its position among all that were started.
fn launch(command: &Command) -> Result<usize, Error> {
    check(command)?;
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
    with(|state| {
        let exit = answer.exit?;
        let (mut stdout, stderr) = (answer.stdout, answer.stderr);
        let stderr = match command.stderr {
            Output::WithStdout => {
                stdout.extend(stderr);
                Vec::new()
            }
            Output::Discard | Output::File(_) | Output::Pipe => stderr,
        };
        let stdin = match &command.stdin {
            Input::Bytes(bytes) => bytes.clone(),
            Input::Empty | Input::Pipe | Input::File(_) => Vec::new(),
        };
        let mut process = Process {
            started: state.now,
            ends: state.now.saturating_add(exit.duration),
            exit,
            stdout: state.sink(&command.stdout, stdout),
            stderr: state.sink(&command.stderr, stderr),
            report: state.sink(&command.report, answer.report),
            piped: command.stdin == Input::Pipe,
            dropped: false,
            stdin,
            closed: command.stdin != Input::Pipe,
            signals: Vec::new(),
        };
        if let Some(deadline) = state.deadline.filter(|at| *at < process.ends) {
            // The host ends all processes of a task whose time is up.
            process.end_by(SIGTERM, deadline.max(state.now));
        }
        state.children.push(process);
        Ok(state.children.len() - 1)
    })
}

pub(crate) fn start(command: &Command) -> Result<Child, Error> {
    power("process.start")?;
    with(|state| handle_limit(state.handles, state.limits.handles, "processes"))?;
    let child = launch(command)?;
    with(|state| state.handles = state.handles.saturating_add(1));
    Ok(Child(child))
}

pub(crate) fn run(command: &Command) -> Result<Exit, Error> {
    power("process.run")?;
    if has_pipes(command) {
        let message = "a process that is run to its end cannot have pipes";
        return Err(Error::new("invalid", message));
    }
    wait(launch(command)?)
}

/// Calls a function with a child, and the clock.
fn child<T>(
    child: usize,
    work: impl FnOnce(&mut Process, &mut Duration) -> Result<T, Error>,
) -> Result<T, Error> {
    with(|state| match state.children.get_mut(child) {
        Some(process) => work(process, &mut state.now),
        None => Err(Error::new(
            "closed",
            "the fakes that started this process are not installed any more",
        )),
    })
}

pub(crate) fn child_id(child: &Child) -> Option<u32> {
    u32::try_from(child.0).ok()?.checked_add(1000)
}

pub(crate) fn child_read(of: &Child, pipe: Pipe, length: u32) -> Result<Vec<u8>, Error> {
    power("process.child.read")?;
    child(of.0, |process, now| {
        let ends = process.ends;
        let bytes = process.pipe(pipe).as_mut().ok_or_else(no_pipe)?;
        if bytes.is_empty() {
            *now = ends.max(*now);
        }
        let length = bytes.len().min(length.min(MAX_READ) as usize);
        Ok(bytes.drain(..length).collect())
    })
}

pub(crate) fn child_write(of: &Child, bytes: &[u8]) -> Result<(), Error> {
    power("process.child.write")?;
    child(of.0, |process, now| {
        if !process.piped || process.closed || process.ends <= *now {
            let message = "the standard input of the process is not an open pipe";
            return Err(Error::new("closed", message));
        }
        process.stdin.extend_from_slice(bytes);
        Ok(())
    })
}

pub(crate) fn child_close_stdin(of: &Child) -> Result<(), Error> {
    power("process.child.close-stdin")?;
    child(of.0, |process, _| {
        process.closed = true;
        Ok(())
    })
}

pub(crate) fn child_signal(of: &Child, number: i32) -> Result<(), Error> {
    power("process.child.signal")?;
    child(of.0, |process, now| {
        if !(1..=MOST_SIGNAL).contains(&number) {
            return Err(Error::new(
                "invalid",
                format!("no signal has the number {number}"),
            ));
        }
        if process.ends <= *now {
            return Err(Error::new("closed", "the process has ended"));
        }
        process.signals.push(number);
        if matches!(number, SIGKILL | SIGTERM) {
            process.end_by(number, *now);
        }
        Ok(())
    })
}

fn wait(of: usize) -> Result<Exit, Error> {
    child(of, |process, now| {
        *now = process.ends.max(*now);
        Ok(process.exit.clone())
    })
}

pub(crate) fn child_wait(of: &Child) -> Result<Exit, Error> {
    power("process.child.wait")?;
    wait(of.0)
}

#[derive(Debug)]
pub(crate) struct Pollable {
    child: usize,
    interest: Interest,
}

impl Drop for Pollable {
    fn drop(&mut self) {
        with_open(|state| state.pollables = state.pollables.saturating_sub(1));
    }
}

pub(crate) fn watch(of: &Child, interest: Interest) -> Result<Pollable, Error> {
    power("poll.watch")?;
    child(of.0, |process, _| match interest {
        Interest::Readable(pipe) if process.pipe(pipe).is_none() => Err(no_pipe()),
        Interest::Readable(_) | Interest::Writable | Interest::Ended => Ok(()),
    })?;
    with(|state| open_handle(&mut state.pollables, state.limits.pollables, "pollables"))?;
    Ok(Pollable {
        child: of.0,
        interest,
    })
}

impl State {
    /// When a pollable is ready, on the clock.
    fn ready_at(&mut self, pollable: &Pollable) -> Duration {
        let process = self.children.get_mut(pollable.child);
        process.map_or(Duration::ZERO, |process| {
            process.ready_at(pollable.interest)
        })
    }

    /// Whether the time of the call is up, on the clock.
    pub(super) fn is_interrupted(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= self.now)
    }
}

pub(super) fn interrupted() -> Error {
    Error::new("interrupted", "the task is interrupted: its time is up")
}

pub(crate) fn pollable_ready(of: &Pollable) -> bool {
    with(|state| {
        let at = state.ready_at(of);
        if at > state.now {
            // So that a loop without any other call ends, as it does with the host.
            state.now = state.now.saturating_add(SHORTEST_POLL).min(at);
        }
        at <= state.now
    })
}

pub(crate) fn poll(
    among: &[&crate::poll::Pollable],
    timeout: Option<u64>,
) -> Result<Vec<u32>, Error> {
    power("poll.poll")?;
    if among.len() > MOST_POLLED {
        return Err(Error::new("invalid", "there are too many pollables"));
    }
    if among.is_empty() && timeout.is_none() {
        return Err(Error::new("invalid", "there is nothing to wait for"));
    }
    with(|state| {
        if state.is_interrupted() {
            return Err(interrupted());
        }
        let pollables = among.iter();
        let times: Vec<Duration> = pollables.map(|it| state.ready_at(&it.0)).collect();
        let timeout = timeout.map(|time| Duration::from_nanos(time).max(SHORTEST_POLL));
        let until = timeout.map(|time| state.now.saturating_add(time));
        let wake = times.iter().copied().chain(until).min();
        let wake = wake.unwrap_or_default().max(state.now);
        if let Some(deadline) = state.deadline.filter(|deadline| *deadline <= wake) {
            state.now = deadline;
            return Err(interrupted());
        }
        state.now = wake;
        let positions = (0..).zip(times);
        Ok(positions
            .filter(|(_, time)| *time <= state.now)
            .map(|(position, _)| position)
            .collect())
    })
}

pub(crate) fn now() -> u64 {
    with(|state| u64::try_from(state.now.as_nanos()).unwrap_or(u64::MAX))
}

pub(crate) fn deadline() -> Option<u64> {
    let deadline = with(|state| state.deadline)?;
    Some(u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX))
}
