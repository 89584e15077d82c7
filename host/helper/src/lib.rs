//! What host and helper share: the protocol and the check of the helper's replies, the inspection
//! of process trees, and the recursive removal of directories. Does not know about tokio, wasmtime
//! or the host.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

/// The first argument that makes the helper's program a guard instead of a helper.
///
/// The further arguments are the process number of the host, which starts the guard, and a command.
/// The guard runs the command, and ends every process below itself when the command ends or the
/// host dies. It notices the host's death at its standard input, a pipe from the host. With the
/// process number 0, the end of the input alone is the host's death.
pub const GUARD_ARGUMENT: &str = "guard";

/// The line that a guard whose host is elsewhere writes to its standard error when every process
/// below itself has ended. Without it, some may live until the helper's lease is over.
pub const ENDED_LINE: &str = "persea-helper: every process has ended";

/// The first argument that makes the helper take its standard streams from a UNIX socket, whose
/// path is the second argument. The host sends them there in one message, as three descriptors
/// (SCM_RIGHTS, see unix(7)): standard input, output and error.
pub const CONNECT_ARGUMENT: &str = "connect";

/// The first argument that makes the helper's program the keeper of a directory on another host.
///
/// The further arguments are the directory, in which the program itself is, and a lease in
/// milliseconds. The keeper copies each byte of its standard input to its standard output, which
/// renews the lease. It removes the directory when its input ends, or when the lease is over and no
/// helper of the directory runs any more.
pub const KEEP_ARGUMENT: &str = "keep";

/// The first argument that makes the helper's program receive a project on another host, as
/// [`protocol::project`] says.
///
/// The further argument is a lease in milliseconds: the program ends if nothing comes for longer.
pub const PROJECT_ARGUMENT: &str = "project";

pub mod pending_requests;
pub mod protocol;
pub mod removal;
pub mod tree;
