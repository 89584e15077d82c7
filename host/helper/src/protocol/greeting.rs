//! Owns the greetings: what each end sends first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Bytes;

/// The host's greeting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The absolute path of the work directory, which is empty at the start of each task. The
    /// helper creates it if it is missing, and removes it in the end. It refuses a directory that
    /// is not empty, so that a wrong path never deletes anybody's files.
    pub work_dir: Option<Bytes>,
    /// The environment variables that processes start with, by name; none for the helper's own.
    /// Unlike those, other users cannot read these in /proc.
    pub variables: Option<Vec<(Bytes, Bytes)>>,
    /// What the helper and its processes lose access to.
    pub isolation: Isolation,
    /// How long the helper lives unless the host renews this lease
    /// ([`Request::Renew`](super::Request::Renew)); none for a helper that lives as long as its
    /// channel is open. When the lease is over, the helper ends every process below it and itself,
    /// so nothing is left where the host cannot reach any more.
    pub lease: Option<Duration>,
}

/// What the helper, and with it each of its processes, loses access to before it starts a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// The session keyring of the user who started the host. The helper joins a new one.
    pub session_keyring: bool,
    /// The abstract Unix sockets of other processes. Needs Landlock's scopes (Linux 6.12 or later),
    /// and has no effect on an older kernel.
    pub abstract_sockets: bool,
}

/// The helper's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The helper's process number, in its environment.
    pub pid: u32,
    /// The time by the helper's clock, from which the lease counts: nanoseconds since the start of
    /// the helper's machine, including the time for which that was suspended.
    pub clock: u64,
}

/// What the host knows of files that the helper must see too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedFiles {
    /// The absolute path of a file that the host has just written, in a directory in which the
    /// helper must be able to write.
    pub proof: Bytes,
    /// The content of that file, which nobody can guess.
    pub content: Bytes,
    /// The absolute path of the directory in which processes start.
    pub directory: Bytes,
    /// The directory's inode number, as the host sees it.
    pub inode: u64,
    /// When the directory itself was changed last (ctime): seconds and nanoseconds of Unix time.
    /// Nobody can choose that time, so two directories with the same one are the same.
    pub changed: (i64, i64),
}
