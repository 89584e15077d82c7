//! How a fake process ends, and what it leaves.

use crate::error::Error;
use crate::process::{Command, Exit};
use std::fmt;

/// Answers what is started: a function from the command to how its process ends.
pub struct Processes(pub(super) Box<dyn FnMut(&Command) -> Answer>);

impl Processes {
    /// Asks a function.
    pub fn new(answer: impl FnMut(&Command) -> Answer + 'static) -> Self {
        Self(Box::new(answer))
    }

    /// Answers every command alike.
    pub fn always(answer: Answer) -> Self {
        Self::new(move |_| answer.clone())
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Processes(..)")
    }
}

/// How one process ends and what it writes. The bytes go to where the command sends them: into a file of the task, to
/// the plugin, or nowhere.
#[derive(Clone, Debug)]
#[must_use]
pub struct Answer {
    pub(super) exit: Result<Exit, Error>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) report: Vec<u8>,
}

/// How long processes take, in nanoseconds.
const MILLISECOND: u64 = 1_000_000;

impl Answer {
    fn new(exit: Result<Exit, Error>) -> Self {
        Self {
            exit,
            stdout: Vec::new(),
            stderr: Vec::new(),
            report: Vec::new(),
        }
    }

    /// It ends with an exit code, after a millisecond.
    pub fn code(code: i32) -> Self {
        Self::new(Ok(Exit {
            duration: MILLISECOND,
            ..Exit::code(code)
        }))
    }

    /// A signal ends it, after a millisecond.
    pub fn signal(number: i32) -> Self {
        Self::new(Ok(Exit {
            duration: MILLISECOND,
            ..Exit::signal(number)
        }))
    }

    /// It can't be started.
    pub fn error(error: Error) -> Self {
        Self::new(Err(error))
    }

    /// There is no such program: `not-found`, errno 2.
    pub fn missing() -> Self {
        Self::error(Error::new("not-found", "there is no such program").with("os-error", 2))
    }

    /// Sets what it prints.
    pub fn stdout(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdout = bytes.into();
        self
    }

    /// Sets what it prints as errors.
    pub fn stderr(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stderr = bytes.into();
        self
    }

    /// Sets what it writes to file descriptor 3, where it has one.
    pub fn report(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.report = bytes.into();
        self
    }

    /// Sets how long it runs, in nanoseconds. Nobody waits for it.
    pub fn duration(mut self, nanoseconds: u64) -> Self {
        if let Ok(exit) = &mut self.exit {
            exit.duration = nanoseconds;
        }
        self
    }
}
