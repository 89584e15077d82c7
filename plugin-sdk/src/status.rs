//! The power `status`: messages and files of the current task, for runners; requirement resolvers
//! use it for the current requirement.
//!
//! The number of messages, and the bytes of messages and files together, are limited for each task:
//! 100,000 and 16 MiB by default (`plugins.limits.status_messages`, `plugins.limits.status_bytes`).
//! A call over a limit fails with `limit`.
//!
//! The name of a file is one path component of at most 255 bytes that does not begin with a dot and
//! has no control characters.

use crate::backend;
use crate::error::Error;

/// Reports progress, in one line. The host shows the line and writes it to the journal.
///
/// # Errors
/// `limit`.
pub fn progress(message: &str) -> Result<(), Error> {
    backend::progress(message)
}

/// Appends text to the task's whiteboard, a note that reports show with the result.
///
/// # Errors
/// `limit`.
pub fn whiteboard(text: &str) -> Result<(), Error> {
    backend::whiteboard(text)
}

/// Appends bytes to a file in the task's results directory, and creates the file if necessary.
///
/// # Errors
/// `limit`, `invalid` for a name that is not allowed or is not an ordinary file's, `not-permitted`,
/// `io`.
pub fn write_artifact(name: &str, bytes: &[u8]) -> Result<(), Error> {
    backend::write_artifact(name, bytes)
}

/// Reads up to `length` bytes (at most 1 MiB) of a file in the task's results directory, from
/// `offset`. The result is shorter only at the end of the file. The output of a process is complete
/// once the process has ended.
///
/// # Errors
/// `not-found`, `invalid` for a name that is not allowed or is not an ordinary file's,
/// `not-permitted`, `io`.
pub fn read_artifact(name: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    backend::read_artifact(name, offset, length)
}
