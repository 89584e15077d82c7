//! Owns the descriptions of a process: how to start it, why it did not start, how it ended.

use serde::{Deserialize, Serialize};

use super::Bytes;

/// The standard input of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Nothing: the process reads end of file at once.
    #[default]
    Empty,
    /// A pipe, to which [`Request::Write`](super::Request::Write) writes.
    Pipe,
    /// These bytes, at most [`MAX_INPUT`](super::MAX_INPUT), from a file in memory. Nobody waits
    /// for the process to read them.
    Bytes(Bytes),
    /// The ordinary file with this path, opened for reading. A relative path begins in the
    /// working directory of the process. Files of `/proc` are refused, because the helper would
    /// open its own there.
    File(Bytes),
}

/// The destination of a process's standard output, standard error or report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// The bytes are discarded.
    #[default]
    Discard,
    /// Appended to the file with this path. The helper creates the file if it is missing, but not
    /// its directory.
    File(Bytes),
    /// A pipe, from which [`Request::Read`](super::Request::Read) reads.
    Pipe,
    /// The open file of standard output, so that the bytes of both stay in order. For standard
    /// error only.
    WithStdout,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// The number of rows.
    pub rows: u16,
    /// The number of columns.
    pub columns: u16,
}

/// The pipes of a child that the host can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
    /// The report pipe, file descriptor 3.
    Report,
}

/// A process to start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// A path, or a name that the helper looks up in the PATH of the new process.
    pub program: String,
    /// The arguments, without the program's own name.
    pub args: Vec<String>,
    /// Changes to the environment variables, in order: a value sets the variable, none removes it.
    pub env: Vec<(String, Option<String>)>,
    /// Whether the process starts without environment variables. PATH is kept, unless `env` changes
    /// it.
    pub clear_env: bool,
    /// The working directory; by default the one that the helper was started in.
    pub cwd: Option<String>,
    /// The standard input.
    pub stdin: Input,
    /// The standard output.
    pub stdout: Output,
    /// The standard error.
    pub stderr: Output,
    /// File descriptor 3, whose number the process finds in `PERSEA_REPORT_FD`. With
    /// [`Output::Discard`] the process has neither.
    pub report: Output,
    /// Whether the helper listens on a UNIX stream socket, whose path the process finds in
    /// `PERSEA_REPORT_SOCKET`. Bytes that arrive there go to the destination of the report, which
    /// must be a pipe or a file, one line at a time.
    pub report_socket: bool,
    /// Makes a new pseudo terminal of this size the standard input, output and error of the
    /// process, and the controlling terminal of a new session. Standard input must not be a file,
    /// and standard error must be [`Output::WithStdout`].
    pub terminal: Option<TerminalSize>,
    /// Whether the helper leaves out [`Reply::Started`](super::Reply::Started). It reports a
    /// failure in any case.
    pub quiet: bool,
    /// Whether the process is queued, and where; none starts it at once.
    ///
    /// The helper starts a queued process when no other process of it runs, in the order of the
    /// requests and without asking the host in between (pipelining). Each queued process is a task
    /// of its own: when it exits, the helper ends what it left behind before it starts the next
    /// one. While one runs for longer than [`RETURN_AFTER`](super::RETURN_AFTER), the helper
    /// returns those behind it with [`StartFailureKind::Returned`].
    ///
    /// A queued process has no pipes, and a helper that runs queued processes runs no others.
    pub queue_position: Option<QueuePosition>,
    /// What the process may use by itself; boxed, because most processes have no limits.
    pub limits: Option<Box<ProcessLimits>>,
}

/// What one process may use, as setrlimit(2) has it. Its descendants inherit that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLimits {
    /// The address space, in bytes.
    pub address_space: Option<u64>,
    /// The number of processes and threads of the process's user.
    pub processes: Option<u64>,
    /// The size of a file that it writes, in bytes.
    pub file_size: Option<u64>,
    /// Whether the kernel kills the process and its descendants rather than the helper when the
    /// memory of their cgroup is used up.
    pub dies_first: bool,
}

/// The position of a queued process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueuePosition {
    /// First in a new queue: the host knows the end of every process that was queued before.
    First,
    /// Behind the process that was queued before. If the helper has returned that one, it returns
    /// this one too, so that they keep their order.
    Following,
}

/// The kind of failure to start a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartFailureKind {
    /// The program is missing, or cannot be executed.
    Program,
    /// The working directory is missing, or cannot be entered.
    WorkingDirectory,
    /// The input file is missing or cannot be opened.
    InputFile,
    /// An output file cannot be opened.
    OutputFile,
    /// The system lacks descriptors, processes or memory.
    Resources,
    /// The request makes no sense, for instance a zero byte in an argument.
    Invalid,
    /// The queued process was returned to the host before its start: one before it runs for too
    /// long, or the host withdrew it. Nothing is wrong with the request.
    Returned,
}

/// Why a process could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// The kind of failure.
    pub kind: StartFailureKind,
    /// The system's error number; 0 for [`StartFailureKind::Returned`].
    pub errno: i32,
    /// The reason, for people. It names the program, directory or file.
    pub message: String,
}

/// The way in which a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The child exited with this code.
    Code(i32),
    /// The signal with this number ended the child.
    Signal(i32),
    /// The child has ended, and nobody knows how.
    Unknown,
}

/// What processes have used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The processor time in user mode of all of them, in nanoseconds.
    pub user_ns: u64,
    /// The processor time that the kernel spent for all of them, in nanoseconds.
    pub system_ns: u64,
    /// The peak of the resident memory of the largest of them, in bytes; 0 if there was none.
    pub largest_process: u64,
}

impl Usage {
    /// Adds what other processes have used.
    pub fn add(&mut self, other: Usage) {
        self.user_ns = self.user_ns.saturating_add(other.user_ns);
        self.system_ns = self.system_ns.saturating_add(other.system_ns);
        self.largest_process = self.largest_process.max(other.largest_process);
    }
}

/// The end of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// How the child ended.
    pub ending: Ending,
    /// The running time, in nanoseconds.
    pub duration_ns: u64,
    /// Whether no process is left below the helper and the work directory is empty, so that
    /// [`Request::EndTask`](super::Request::EndTask) would have nothing to do.
    pub clean: bool,
    /// How many processes a queued child left behind, all of which were ended. 0 for any other
    /// child, whose left-over processes only [`Request::EndTask`](super::Request::EndTask) ends and
    /// counts.
    pub leftovers: u32,
    /// What all processes have used that ended since the previous reply with a usage: the child and
    /// its descendants, and other children and orphans.
    pub usage: Usage,
}
