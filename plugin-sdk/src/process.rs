//! The power `process`: processes in the task's environment, which may be this machine, a sandbox,
//! a container or another machine. The plugin itself never runs there.
//!
//! No process outlives its task: when the runner returns, the host ends every process that is left,
//! including those that have left their process group or session.
//!
//! [`run`] waits for a process whose output goes to files. [`start`] gives a [`Child`] with pipes:
//!
//! ```
//! use persea_plugin_sdk::process::{self, Command, Input, Output, Pipe};
//! # use persea_plugin_sdk::testing::{Answer, Host, Processes};
//! # let _host = Host::new().processes(Processes::always(Answer::code(0).stdout("A"))).install();
//!
//! let upper = Command::new("tr").args(["a-z", "A-Z"]);
//! let child = process::start(&upper.stdin(Input::Pipe).stdout(Output::Pipe))?;
//! child.write(b"a")?;
//! child.close_stdin()?;
//! assert_eq!(child.read(Pipe::Stdout, 16)?, b"A");
//! assert_eq!(child.wait()?.code(), Some(0));
//! # Ok::<(), persea_plugin_sdk::Error>(())
//! ```

use crate::attributes::{Attributes, Value};
use crate::backend;
use crate::bindings::process as raw;
use crate::error::Error;
use std::time::Duration;

#[doc(inline)]
pub use crate::bindings::process::{Ending, Input, Output, Pipe};

/// A program to start, with its arguments and its surroundings.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Command {
    /// A path, or a name that the host looks up in the environment's PATH.
    pub program: String,
    /// The arguments, without the program's own name.
    pub args: Vec<String>,
    /// Changes to the environment variables, in order: a value sets the variable, none removes it.
    pub env: Vec<(String, Option<String>)>,
    /// Whether the process starts without environment variables. PATH is kept, unless `env` changes
    /// it.
    pub clear_env: bool,
    /// The working directory; by default the project's directory in the environment.
    pub cwd: Option<String>,
    /// The standard input.
    pub stdin: Input,
    /// The destination of the standard output.
    pub stdout: Output,
    /// The destination of the standard error.
    pub stderr: Output,
    /// The destination of the report: results that must not mix with what a test prints. It is file
    /// descriptor 3; the process finds that number in `PERSEA_REPORT_FD`. [`Output::Discard`]:
    /// there is none.
    pub report: Output,
    /// Further data. The host understands `report-socket` (boolean) and `terminal` (json): see
    /// [`report_socket`](Self::report_socket) and [`terminal`](Self::terminal).
    pub more: Attributes,
}

impl Command {
    /// Creates a command without arguments and input, whose output is discarded.
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
            report: Output::Discard,
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

    /// Starts the process without environment variables but PATH.
    pub fn clear_env(mut self) -> Self {
        self.clear_env = true;
        self
    }

    /// Sets the working directory.
    pub fn cwd(mut self, directory: impl Into<String>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// Sets the standard input.
    pub fn stdin(mut self, input: Input) -> Self {
        self.stdin = input;
        self
    }

    /// Sets the destination of the standard output.
    pub fn stdout(mut self, output: Output) -> Self {
        self.stdout = output;
        self
    }

    /// Sets the destination of the standard error.
    pub fn stderr(mut self, output: Output) -> Self {
        self.stderr = output;
        self
    }

    /// Sets the destination of the report, file descriptor 3.
    pub fn report(mut self, output: Output) -> Self {
        self.report = output;
        self
    }

    /// Gives the process the path of a UNIX stream socket, in `PERSEA_REPORT_SOCKET`. What its
    /// descendants write to connections of the socket becomes part of the report, whole lines at a
    /// time.
    pub fn report_socket(self) -> Self {
        self.with("report-socket", true)
    }

    /// Makes the standard input, output and error a terminal of this size. The standard error goes
    /// to the same destination as the standard output.
    pub fn terminal(self, rows: u16, columns: u16) -> Self {
        let size = format!("{{\"rows\":{rows},\"columns\":{columns}}}");
        self.stderr(Output::WithStdout)
            .with("terminal", Value::json(size))
    }

    /// Sets an entry of [`more`](Self::more).
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

impl Input {
    /// These bytes, at most 16 MiB, then end of file. The process need not read them.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bytes(bytes.into())
    }

    /// The content of an ordinary file, by its path in the environment; a relative path starts in
    /// the process's working directory.
    pub fn file(path: impl Into<String>) -> Self {
        Self::File(path.into())
    }
}

impl Output {
    /// Appended to a file in the task's results directory, by file descriptor: no byte passes
    /// through the host or the plugin.
    ///
    /// The name is one path component of at most 255 bytes that does not begin with a dot and has
    /// no control characters. [`run`] and [`start`] fail with `invalid` for any other name.
    pub fn file(name: impl Into<String>) -> Self {
        Self::File(name.into())
    }
}

/// The end of a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// How it ended.
    pub ending: Ending,
    /// The running time.
    pub duration: Duration,
    /// Further data. An environment that measures them sets `user-time` and `system-time` (integer,
    /// nanoseconds) and `peak-memory` (integer, bytes).
    pub more: Attributes,
}

impl Exit {
    /// The end of a process, for unit tests. The running time is 0.
    pub fn new(ending: Ending) -> Self {
        Self {
            ending,
            duration: Duration::ZERO,
            more: Attributes::new(),
        }
    }

    /// Whether the process exited with code 0.
    pub fn success(&self) -> bool {
        self.code() == Some(0)
    }

    /// The exit code; none for any other ending.
    pub fn code(&self) -> Option<i32> {
        match self.ending {
            Ending::Code(code) => Some(code),
            Ending::Signal(_) | Ending::Unknown => None,
        }
    }

    /// The number of the signal that ended the process; none for any other ending.
    pub fn signal(&self) -> Option<i32> {
        match self.ending {
            Ending::Signal(number) => Some(number),
            Ending::Code(_) | Ending::Unknown => None,
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
            ending: exit.ending,
            duration: Duration::from_nanos(exit.duration),
            more: Attributes(exit.more),
        }
    }
}

/// Starts a process and waits until it ends: [`start`] and [`Child::wait`] in one call, which costs
/// less.
///
/// # Errors
/// As for [`start`], and `invalid` for a command with a pipe.
pub fn run(command: &Command) -> Result<Exit, Error> {
    backend::run(command)
}

/// Starts a process.
///
/// # Errors
/// * `not-found`: the program or the working directory does not exist
/// * `not-permitted`: it may not be used, or the plugin's grant excludes it
/// * `invalid`: the command makes no sense, for instance a zero byte in an argument, or has more
///   than 16 MiB of input
/// * `limit`: more than 1,000 handles at once (`plugins.limits.handles`)
/// * `unsupported`: the plugin is a program runner
/// * `closed` or `io`: the environment is lost
/// * `io`: everything else, for instance a lack of memory
///
/// The detail `os-error` has the errno, where there is one.
pub fn start(command: &Command) -> Result<Child, Error> {
    backend::start(command).map(Child)
}

/// A started process. Dropping the handle ends the process and its process group.
#[derive(Debug)]
pub struct Child(pub(crate) backend::Child);

impl Child {
    /// Returns the process number, in the environment; none where the environment has no such
    /// numbers.
    pub fn id(&self) -> Option<u32> {
        backend::child_id(&self.0)
    }

    /// Waits until a pipe has bytes, and returns up to `length` of them (at most 1 MiB). An empty
    /// result is the end of the pipe: every process that could write to it has closed it, or the
    /// child has ended and all its output was read.
    ///
    /// # Errors
    /// `invalid` for an output that is not a pipe; `closed` or `io` when the environment is lost.
    pub fn read(&self, pipe: Pipe, length: u32) -> Result<Vec<u8>, Error> {
        backend::child_read(&self.0, pipe, length)
    }

    /// Writes to the child's standard input, and waits until all bytes are in the pipe.
    ///
    /// # Errors
    /// `closed` when standard input is not an open pipe, or nobody reads it any more; `io`.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        backend::child_write(&self.0, bytes)
    }

    /// Closes the child's standard input, so that the child reads end of file. Does nothing when it
    /// is closed already, or is not a pipe.
    ///
    /// # Errors
    /// `closed` or `io` when the environment is lost.
    pub fn close_stdin(&self) -> Result<(), Error> {
        backend::child_close_stdin(&self.0)
    }

    /// Sends a signal to the child alone, not to its process group. `number` is the signal's number
    /// in Linux on x86-64 (15 is SIGTERM); the environment translates it.
    ///
    /// # Errors
    /// `closed` when the child has ended, `invalid` for a number that no signal has, `io`.
    pub fn signal(&self, number: i32) -> Result<(), Error> {
        backend::child_signal(&self.0, number)
    }

    /// Waits until the child ends; returns at once if it has ended already.
    ///
    /// # Errors
    /// `closed` or `io` when the environment is lost.
    pub fn wait(&self) -> Result<Exit, Error> {
        backend::child_wait(&self.0)
    }
}
