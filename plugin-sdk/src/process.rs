//! The power `process`: processes in the task's environment, and nowhere else. Whatever a task has started ends with it.

use crate::attributes::{Attributes, Value};
use crate::backend;
use crate::bindings::process as raw;
use crate::error::Error;

#[doc(inline)]
pub use crate::bindings::process::{Input, Output, Stream};

/// What to start, and how.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Command {
    /// A path, or a name to be looked for in the environment's PATH.
    pub program: String,
    /// Its arguments, without the program's name.
    pub args: Vec<String>,
    /// Changes to the environment variables, in order: a value sets one, none removes it.
    pub env: Vec<(String, Option<String>)>,
    /// Begin with no environment variables at all; PATH is kept where `env` does not set it.
    pub clear_env: bool,
    /// The working directory. Without one it is the project's directory in that environment.
    pub cwd: Option<String>,
    /// What it reads.
    pub stdin: Input,
    /// Where what it prints goes.
    pub stdout: Output,
    /// Where what it prints as errors goes.
    pub stderr: Output,
    /// A third pipe to the plugin, file descriptor 3 of the process; it finds the number in `PERSEA_REPORT_FD`.
    pub report: bool,
    /// Open data; nothing is defined yet.
    pub more: Attributes,
}

impl Command {
    /// A program that reads nothing and whose output is discarded.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            clear_env: false,
            cwd: None,
            stdin: Input::Empty,
            stdout: Output::Discard,
            stderr: Output::Discard,
            report: false,
            more: Attributes::new(),
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(mut self, name: impl Into<String>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// Begins with no environment variables but PATH.
    pub fn clear_env(mut self) -> Self {
        self.clear_env = true;
        self
    }

    /// Sets the working directory.
    pub fn cwd(mut self, directory: impl Into<String>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// Sets what it reads.
    pub fn stdin(mut self, input: Input) -> Self {
        self.stdin = input;
        self
    }

    /// Sets where what it prints goes.
    pub fn stdout(mut self, output: Output) -> Self {
        self.stdout = output;
        self
    }

    /// Sets where what it prints as errors goes.
    pub fn stderr(mut self, output: Output) -> Self {
        self.stderr = output;
        self
    }

    /// Whether it has the third pipe, [`Stream::Report`].
    pub fn report(mut self, report: bool) -> Self {
        self.report = report;
        self
    }

    /// Sets a name of the open data.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

impl Output {
    /// Into a file of the task's results directory, by descriptor. The name is a single path component that doesn't
    /// begin with a dot; an existing file is added to.
    pub fn file(name: impl Into<String>) -> Self {
        Self::File(name.into())
    }
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// The exit code, or none when a signal ended it.
    pub code: Option<i32>,
    /// The number of the signal that ended it.
    pub signal: Option<i32>,
    /// From start to end, in nanoseconds.
    pub duration: u64,
    /// Open data; an environment that knows them gives `user-time` and `system-time` (integer, nanoseconds) and
    /// `peak-memory` (integer, bytes).
    pub more: Attributes,
}

impl Exit {
    /// The end of a process that exited with this code, as a test of a runner makes it.
    pub fn code(code: i32) -> Self {
        Self {
            code: Some(code),
            signal: None,
            duration: 0,
            more: Attributes::new(),
        }
    }

    /// The end of a process by this signal, as a test of a runner makes it.
    pub fn signal(number: i32) -> Self {
        Self {
            code: None,
            signal: Some(number),
            ..Self::code(0)
        }
    }
}

impl From<Command> for raw::Command {
    fn from(command: Command) -> Self {
        Self {
            program: command.program,
            args: command.args,
            env: command.env,
            clear_env: command.clear_env,
            cwd: command.cwd,
            stdin: command.stdin,
            stdout: command.stdout,
            stderr: command.stderr,
            report: command.report,
            more: command.more.0,
        }
    }
}

impl From<raw::Exit> for Exit {
    fn from(exit: raw::Exit) -> Self {
        Self {
            code: exit.code,
            signal: exit.signal,
            duration: exit.duration,
            more: Attributes(exit.more),
        }
    }
}

/// Starts a process and waits for its end. Neither its input nor its outputs may be pipes (`invalid`).
///
/// # Errors
/// As [`start`].
pub fn run(command: &Command) -> Result<Exit, Error> {
    backend::run(command)
}

/// Starts a process.
///
/// # Errors
/// `not-found` or `not-permitted` where the program is missing or can't be run, `io`; the errno is the detail
/// `os-error`.
pub fn start(command: &Command) -> Result<Child, Error> {
    backend::start(command).map(Child)
}

/// A process that was started. Dropping it ends the process.
#[derive(Debug)]
pub struct Child(backend::Child);

impl Child {
    /// Its number in its environment.
    pub fn id(&self) -> u32 {
        backend::child_id(&self.0)
    }

    /// Waits until a pipe has something, and reads up to `length` bytes (at most 1 MiB) of it. Empty at its end.
    ///
    /// # Errors
    /// `invalid` where that stream is no pipe.
    pub fn read(&self, stream: Stream, length: u32) -> Result<Vec<u8>, Error> {
        backend::child_read(&self.0, stream, length)
    }

    /// Writes to its standard input, and waits until it is written.
    ///
    /// # Errors
    /// `closed` when nobody reads it any more, `invalid` where it is no pipe.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        backend::child_write(&self.0, bytes)
    }

    /// Ends its standard input.
    ///
    /// # Errors
    /// `invalid` where it is no pipe.
    pub fn close_stdin(&self) -> Result<(), Error> {
        backend::child_close_stdin(&self.0)
    }

    /// Sends a signal to the process, by number (15 is SIGTERM).
    ///
    /// # Errors
    /// `not-found` where it has ended, `invalid` where there is no such signal.
    pub fn signal(&self, number: i32) -> Result<(), Error> {
        backend::child_signal(&self.0, number)
    }

    /// Waits for its end. Answers at once when it has ended.
    ///
    /// # Errors
    /// `io` where its environment was lost.
    pub fn wait(&self) -> Result<Exit, Error> {
        backend::child_wait(&self.0)
    }
}
