//! What host and helper share: the protocol and the check of the helper's replies, the inspection
//! of process trees, and the recursive removal of directories. Does not know about tokio, wasmtime
//! or the host.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

/// The first argument that makes the helper's program a guard instead of a helper.
///
/// The further arguments are the process number of the host, which starts the guard, and a command.
/// The guard runs the command, and ends every process below itself when the command ends or the
/// host dies. It notices the host's death at its standard input, a pipe from the host.
pub const GUARD_ARGUMENT: &str = "guard";

/// The first argument that makes the helper take its standard streams from a UNIX socket, whose
/// path is the second argument. The host sends them there in one message, as three descriptors
/// (SCM_RIGHTS, see unix(7)): standard input, output and error.
pub const CONNECT_ARGUMENT: &str = "connect";

pub mod pending_requests;
pub mod protocol;
pub mod removal;
pub mod tree;
