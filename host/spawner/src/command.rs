//! What to start, and how it ended: plain data. It must not know how either travels.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use persea_helper::protocol;
pub use persea_helper::protocol::{Input, Stream};

/// Where what a process writes goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Output {
    /// Nowhere.
    #[default]
    Discard,
    /// To the end of this file, which is made where it is missing. Its directory must be there, and no link at its place.
    File(PathBuf),
    /// To [`super::Child::read`]. A process that writes faster than that has to wait.
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
    /// A path, or a name to be looked for in the PATH that the process gets.
    pub program: String,
    /// Its arguments, without its name.
    pub args: Vec<String>,
    /// Changes to the environment variables, in order: a value sets one, none removes it.
    pub env: Vec<(String, Option<String>)>,
    /// Begin with no environment variables; PATH is kept where `env` doesn't change it.
    pub clear_env: bool,
    /// The working directory; without one, the environment's own.
    pub cwd: Option<String>,
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// A third pipe to the host, descriptor 3 of the process; it finds the number in `PERSEA_REPORT_FD`.
    pub report: bool,
}

impl Command {
    /// A program with its arguments; no input, and no output kept.
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

    /// Whether this stream of it is a pipe to the host.
    pub(super) fn pipes(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout.is_pipe(),
            Stream::Stderr => self.stderr.is_pipe(),
            Stream::Report => self.report,
        }
    }

    pub(super) fn has_pipes(&self) -> bool {
        self.stdin == Input::Pipe || self.stdout.is_pipe() || self.stderr.is_pipe() || self.report
    }

    pub(super) fn into_start(self, quiet: bool) -> protocol::Start {
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

    pub(super) fn into_queued_start(
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
    /// The exit code, or none when a signal ended it.
    pub code: Option<i32>,
    /// The number of the signal that ended it.
    pub signal: Option<i32>,
    /// From start to end, as measured beside the process.
    pub duration: Duration,
}

impl Exit {
    /// It ended with exit code 0.
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
