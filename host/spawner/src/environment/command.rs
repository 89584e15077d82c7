//! Owns the descriptions of a process to start and of its end: plain data. Does not know how they
//! are sent to the helper, apart from their conversion.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use persea_helper::protocol;
pub use persea_helper::protocol::{Ending, MAX_INPUT, Stream, TerminalSize};

use crate::SpawnError;

/// The standard input of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Input {
    /// Nothing: the process reads end of file at once.
    #[default]
    Empty,
    /// A pipe, to which [`crate::Child::write`] writes.
    Pipe,
    /// These bytes, at most [`MAX_INPUT`]. Nobody waits for the process to read them.
    Bytes(Vec<u8>),
    /// An ordinary file, opened in the environment for reading. A relative path begins in the
    /// working directory of the process. Files of `/proc` are refused.
    File(PathBuf),
}

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
    /// The same open file as standard output, so that the bytes of both stay in order. For
    /// standard error only.
    WithStdout,
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
    /// Descriptor 3, whose number `PERSEA_REPORT_FD` has. With [`Output::Discard`] the process has
    /// neither.
    pub report: Output,
    /// Whether `PERSEA_REPORT_SOCKET` names a UNIX stream socket, at which any process of the task
    /// can write to the report too. The report must be a pipe or a file. Lines of several
    /// connections are not mixed, if they have at most 64 KiB.
    pub report_socket: bool,
    /// Makes a new terminal of this size the standard input, output and error. Standard error must
    /// be [`Output::WithStdout`], and standard input no file; its bytes are typed, and then the end
    /// of input (Ctrl-D). `TERM` is left to `env`.
    pub terminal: Option<TerminalSize>,
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
            Stream::Report => self.report.is_pipe(),
        }
    }

    pub(crate) fn has_pipes(&self) -> bool {
        let outputs = [&self.stdout, &self.stderr, &self.report];
        self.stdin == Input::Pipe || outputs.into_iter().any(Output::is_pipe)
    }

    /// Checks what the helper could not receive.
    pub(crate) fn check(&self) -> Result<(), SpawnError> {
        match &self.stdin {
            Input::Bytes(bytes) if bytes.len() > MAX_INPUT => Err(SpawnError::Invalid(format!(
                "{} can't get {} bytes as its input: the limit is {MAX_INPUT}; use a pipe or a \
                 file",
                self.program,
                bytes.len()
            ))),
            Input::Empty | Input::Pipe | Input::Bytes(_) | Input::File(_) => Ok(()),
        }
    }

    pub(crate) fn into_start(self, quiet: bool) -> protocol::Start {
        let bytes = |path: PathBuf| protocol::Bytes(path.into_os_string().into_vec());
        let output = |output| match output {
            Output::Discard => protocol::Output::Discard,
            Output::File(path) => protocol::Output::File(bytes(path)),
            Output::Pipe => protocol::Output::Pipe,
            Output::WithStdout => protocol::Output::WithStdout,
        };
        protocol::Start {
            program: self.program,
            args: self.args,
            env: self.env,
            clear_env: self.clear_env,
            cwd: self.cwd,
            stdin: match self.stdin {
                Input::Empty => protocol::Input::Empty,
                Input::Pipe => protocol::Input::Pipe,
                Input::Bytes(all) => protocol::Input::Bytes(protocol::Bytes(all)),
                Input::File(path) => protocol::Input::File(bytes(path)),
            },
            stdout: output(self.stdout),
            stderr: output(self.stderr),
            report: output(self.report),
            report_socket: self.report_socket,
            terminal: self.terminal,
            quiet,
            queue_position: None,
            limits: None,
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

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// How the process ended.
    pub ending: Ending,
    /// The time from start to end, as measured by the helper.
    pub duration: Duration,
}

/// What the processes of a task have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The processor time in user mode.
    pub user: Duration,
    /// The processor time that the kernel spent for them.
    pub system: Duration,
    /// The peak of the memory, in bytes.
    pub peak_memory: u64,
    /// What the peak is that of.
    pub peak_of: PeakOf,
}

/// What a peak of memory is that of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeakOf {
    /// The resident memory of the largest process.
    LargestProcess,
    /// All processes together, with the files that they have in the page cache.
    Tree,
}

impl Usage {
    /// The usage that a helper has measured; none if no process has ended.
    pub(crate) fn of(measured: protocol::Usage) -> Option<Usage> {
        (measured != protocol::Usage::default()).then(|| Usage {
            user: Duration::from_nanos(measured.user_ns),
            system: Duration::from_nanos(measured.system_ns),
            peak_memory: measured.largest_process,
            peak_of: PeakOf::LargestProcess,
        })
    }
}

impl Exit {
    /// Whether the process ended with exit code 0.
    pub fn is_success(&self) -> bool {
        self.ending == Ending::Code(0)
    }
}

impl From<protocol::Exit> for Exit {
    fn from(exit: protocol::Exit) -> Exit {
        Exit {
            ending: exit.ending,
            duration: Duration::from_nanos(exit.duration_ns),
        }
    }
}
