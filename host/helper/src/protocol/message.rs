//! Owns the messages after the greeting: the host's requests and the helper's replies.

use serde::{Deserialize, Serialize};

use super::{Bytes, Exit, SharedFiles, Start, StartFailure, Stream, Usage};

/// The id of a request or of a child. The host chooses ids, and never reuses one on a connection. A
/// child's id is that of the [`Request::Start`] that started it.
pub type Id = u64;

/// A message from the host to the helper.
///
/// The helper answers each request that has an `id` with one reply of the same id, in any order.
/// Only [`Request::Start`] may get two: `StartFailed`, or `Started` (unless quiet) and later
/// `Exited`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Starts a process.
    Start {
        /// The id of the request, and of the child from now on.
        id: Id,
        /// The process to start.
        start: Start,
    },
    /// Waits until a pipe of a child has bytes, and reads them. The reply is `Data`. Each stream
    /// can have one such request at a time.
    Read {
        /// The request.
        id: Id,
        /// The child.
        child: Id,
        /// The pipe to read.
        stream: Stream,
        /// The largest number of bytes to return. More than [`MAX_READ`](super::MAX_READ) counts as
        /// that.
        max: u32,
    },
    /// Writes to a child's standard input. The reply is `Done` when all bytes are in the pipe; for
    /// no bytes, when the pipe has room. Each child can have one such request at a time.
    Write {
        /// The request.
        id: Id,
        /// The child.
        child: Id,
        /// The bytes to write.
        bytes: Bytes,
    },
    /// Closes a child's standard input. The reply is `Done`, even if it is closed or the child has
    /// ended.
    CloseStdin {
        /// The request.
        id: Id,
        /// The child.
        child: Id,
    },
    /// Sends a signal to a child. The reply is `Done`, or `Failed` with ESRCH if the child has
    /// ended.
    Signal {
        /// The request.
        id: Id,
        /// The child.
        child: Id,
        /// The number of the signal.
        signal: i32,
    },
    /// Sends a signal to every process below the helper, whatever its process group or session. The
    /// reply is `Done`.
    SignalAll {
        /// The request.
        id: Id,
        /// A queued child, whose task the request is for. If the child is still queued, the helper
        /// returns it instead; if it has ended, nothing happens. None for whatever runs.
        only_for: Option<Id>,
        /// The number of the signal.
        signal: i32,
    },
    /// Stops every process below the helper that is not stopped yet. The reply is `Done`.
    Pause {
        /// The request.
        id: Id,
    },
    /// Continues the processes that `Pause` stopped. The reply is `Done`.
    Resume {
        /// The request.
        id: Id,
    },
    /// Ends the task: ends every process below the helper, closes all pipes, forgets all children
    /// and empties the work directory. The reply is `TaskEnded`.
    EndTask {
        /// The request.
        id: Id,
        /// A queued child, whose task is to end. If the child is still queued, the helper returns
        /// it instead; if it has ended, nothing happens. None for whatever runs.
        only_for: Option<Id>,
    },
    /// Renews the lease. The reply is `Renewed`.
    ///
    /// The host bases `until` on the clock of an earlier reply. So a renewal that arrives late
    /// extends no lease beyond what the host counts on.
    Renew {
        /// The request.
        id: Id,
        /// When the lease is over, by the helper's clock, in nanoseconds.
        until: u64,
    },
    /// Makes a directory the one in which processes start. The reply is `Done`, or `Failed` with
    /// what is wrong with it.
    Enter {
        /// The request.
        id: Id,
        /// The absolute path of the directory.
        directory: Bytes,
        /// What helper and host must see alike; none if they share no files.
        shared: Option<SharedFiles>,
    },
    /// Makes a directory for the files of a task, its parents where they are missing, and empty
    /// files in it. The reply is `Done`, or `Failed` if the directory exists.
    MakeDirectory {
        /// The request.
        id: Id,
        /// The absolute path of the directory.
        directory: Bytes,
        /// The names of the files.
        files: Vec<Bytes>,
    },
    /// Reads a part of an ordinary file, also while it is written. The reply is `Data`.
    ReadFile {
        /// The request.
        id: Id,
        /// The absolute path of the file.
        path: Bytes,
        /// Where the part begins, in bytes.
        offset: u64,
        /// The length of the part, in bytes. More than [`MAX_READ`](super::MAX_READ) counts as
        /// that.
        max: u32,
    },
    /// Lists the ordinary files of a directory whose names are UTF-8. The reply is `Files`.
    ListFiles {
        /// The request.
        id: Id,
        /// The absolute path of the directory.
        directory: Bytes,
        /// The name behind which the list begins; empty for the whole list.
        after: String,
    },
    /// Begins to fetch everything in a directory, as an [`archive`](super::archive). The reply is
    /// `Data` with the beginning of the archive.
    Fetch {
        /// The request, and the archive from now on.
        id: Id,
        /// The absolute path of the directory. One that is missing is empty.
        directory: Bytes,
        /// Files that do not count where they are empty: if there is nothing else, the archive is
        /// empty.
        made: Vec<Bytes>,
        /// The most content that the archive may have, in bytes.
        limit: u64,
        /// The largest number of bytes to return.
        max: u32,
    },
    /// Continues with an archive. The reply is `Data`.
    FetchMore {
        /// The request.
        id: Id,
        /// The archive.
        archive: Id,
        /// The largest number of bytes to return.
        max: u32,
    },
    /// Removes a directory with everything in it, and forgets the archives of it. The reply is
    /// `Done`.
    RemoveDirectory {
        /// The request.
        id: Id,
        /// The absolute path of the directory.
        directory: Bytes,
    },
    /// Ends a child with its process group, and closes its pipes, because the host has no more
    /// interest in it. There is no reply but the child's `Exited`.
    Forget {
        /// The child.
        child: Id,
    },
}

/// A message from the helper to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The child has started.
    Started {
        /// The child.
        id: Id,
        /// The child's process number, in its environment.
        pid: u32,
    },
    /// The child could not be started.
    StartFailed {
        /// The child.
        id: Id,
        /// The reason.
        failure: StartFailure,
    },
    /// The child has ended, even if other processes still have its pipes open.
    Exited {
        /// The child.
        id: Id,
        /// How the child ended.
        exit: Exit,
    },
    /// The bytes of a read; empty at the end of the pipe or file.
    Data {
        /// The request.
        id: Id,
        /// The bytes.
        bytes: Bytes,
    },
    /// The request is done.
    Done {
        /// The request.
        id: Id,
    },
    /// The request failed. With id 0, the helper itself gives up, and the text is its reason.
    Failed {
        /// The request, or 0.
        id: Id,
        /// The system's error number.
        errno: i32,
        /// The reason, for people.
        message: String,
    },
    /// The lease was renewed.
    Renewed {
        /// The request.
        id: Id,
        /// The time by the helper's clock, as in [`Welcome`](super::Welcome).
        clock: u64,
    },
    /// The task has ended.
    TaskEnded {
        /// The request.
        id: Id,
        /// How many processes were left, all of which were ended.
        leftovers: u32,
        /// What all processes have used that ended since the previous reply with a usage.
        usage: Usage,
    },
    /// Files of a directory, sorted by name.
    Files {
        /// The request.
        id: Id,
        /// The names, of at most [`MAX_LISTED`](super::MAX_LISTED) bytes, and the sizes in bytes.
        files: Vec<(String, u64)>,
        /// Whether there are no more.
        is_all: bool,
    },
}
