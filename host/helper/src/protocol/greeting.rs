//! Owns the greetings: what each end sends first.

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
}
