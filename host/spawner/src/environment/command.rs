//! Owns the descriptions of a process to start and of its end: plain data. Does not know how they
//! are sent to the helper, apart from their conversion.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use persea_helper::protocol;
pub use persea_helper::protocol::{Input, Stream};

/// The destination of an output stream of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Output {
    /// Discards the output.
    #[default]
    Discard,
    /// Appends to a file, which is created if it does not exist. Its directory must exist, and the
    /// file must not be a link.
    File(PathBuf),
    /// A pipe, read by [`crate::Child::read`]. The process blocks while the pipe is full.
    Pipe,
}

impl Output {
    fn is_pipe(&self) -> bool {
        matches!(self, Output::Pipe)
    }
}

/// A process to start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// A path, or a name that is looked up in the PATH of the new process.
    pub program: String,
    /// The arguments, without the program's name.
    pub args: Vec<String>,
    /// Changes to the environment variables, in order: a value sets a variable, none removes it.
    pub env: Vec<(String, Option<String>)>,
    /// Whether to start without environment variables. PATH is kept, unless `env` changes it.
    pub clear_env: bool,
    /// The working directory; none for that of the environment.
    pub cwd: Option<String>,
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// Whether the process gets a third pipe to the host, as descriptor 3. `PERSEA_REPORT_FD` has
    /// the number.
    pub report: bool,
}

impl Command {
    /// Describes a program with its arguments, without input, and whose output is discarded.
    pub fn new<A: Into<String>>(
        program: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Command {
        Command {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            ..Command::default()
        }
    }

    /// Whether a stream of the process is a pipe to the host.
    pub(crate) fn pipes(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout.is_pipe(),
            Stream::Stderr => self.stderr.is_pipe(),
            Stream::Report => self.report,
        }
    }

    pub(crate) fn has_pipes(&self) -> bool {
        self.stdin == Input::Pipe || self.stdout.is_pipe() || self.stderr.is_pipe() || self.report
    }

    pub(crate) fn into_start(self, quiet: bool) -> protocol::Start {
        let output = |output| match output {
            Output::Discard => protocol::Output::Discard,
            Output::File(path) => {
                protocol::Output::File(protocol::Bytes(path.into_os_string().into_vec()))
            }
            Output::Pipe => protocol::Output::Pipe,
        };
        protocol::Start {
            program: self.program,
            args: self.args,
            env: self.env,
            clear_env: self.clear_env,
            cwd: self.cwd,
            stdin: self.stdin,
            stdout: output(self.stdout),
            stderr: output(self.stderr),
            report: self.report,
            quiet,
            queue_position: None,
        }
    }

    pub(crate) fn into_queued_start(
        self,
        queue_position: protocol::QueuePosition,
    ) -> protocol::Start {
        protocol::Start {
            queue_position: Some(queue_position),
            ..self.into_start(false)
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; none if a signal ended the process.
    pub code: Option<i32>,
    /// The number of the signal that ended the process.
    pub signal: Option<i32>,
    /// The time from start to end, as measured by the helper.
    pub duration: Duration,
}

impl Exit {
    /// Whether the process ended with exit code 0.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }
}

impl From<protocol::Exit> for Exit {
    fn from(exit: protocol::Exit) -> Exit {
        Exit {
            code: exit.code,
            signal: exit.signal,
            duration: Duration::from_nanos(exit.duration_ns),
        }
    }
}
