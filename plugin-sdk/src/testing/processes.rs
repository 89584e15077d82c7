//! Owns the fakes of processes: what a process prints, and how it ends.

use crate::error::Error;
use crate::process::{Command, Ending, Exit};
use std::fmt;
use std::time::Duration;

/// The faked processes: a function from each started command to its [`Answer`].
pub struct Processes(pub(super) Box<dyn FnMut(&Command) -> Answer>);

impl Processes {
    /// Calls a function for each started command.
    pub fn new(answer: impl FnMut(&Command) -> Answer + 'static) -> Self {
        Self(Box::new(answer))
    }

    /// Gives every command the same answer.
    pub fn always(answer: Answer) -> Self {
        Self::new(move |_| answer.clone())
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Processes(..)")
    }
}

/// What one faked process prints, and how it ends. The bytes go where the command directs them: to
/// a file of the task, to the plugin, or nowhere.
#[derive(Clone, Debug)]
#[must_use]
pub struct Answer {
    pub(super) exit: Result<Exit, Error>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) report: Vec<u8>,
}

/// The default running time of a faked process.
const MILLISECOND: Duration = Duration::from_millis(1);

impl Answer {
    fn new(exit: Result<Exit, Error>) -> Self {
        Self {
            exit,
            stdout: Vec::new(),
            stderr: Vec::new(),
            report: Vec::new(),
        }
    }

    /// The process ends with an exit code, after a millisecond.
    pub fn code(code: i32) -> Self {
        Self::new(Ok(Exit {
            duration: MILLISECOND,
            ..Exit::new(Ending::Code(code))
        }))
    }

    /// A signal ends the process, after a millisecond.
    pub fn signal(number: i32) -> Self {
        Self::new(Ok(Exit {
            duration: MILLISECOND,
            ..Exit::new(Ending::Signal(number))
        }))
    }

    /// The process cannot be started.
    pub fn error(error: Error) -> Self {
        Self::new(Err(error))
    }

    /// The program does not exist: `not-found`, errno 2.
    pub fn missing() -> Self {
        Self::error(Error::new("not-found", "there is no such program").with("os-error", 2))
    }

    /// Sets the standard output of the process.
    pub fn stdout(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdout = bytes.into();
        self
    }

    /// Sets the standard error of the process.
    pub fn stderr(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stderr = bytes.into();
        self
    }

    /// Sets what the process writes to its report. Ignored if the command has none.
    pub fn report(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.report = bytes.into();
        self
    }

    /// Sets the running time, on the clock of the fakes. The call does not take that long.
    pub fn duration(mut self, duration: Duration) -> Self {
        if let Ok(exit) = &mut self.exit {
            exit.duration = duration;
        }
        self
    }
}
