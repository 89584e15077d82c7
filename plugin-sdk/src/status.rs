//! The power `status`: what a runner may say about its task while that runs. Messages and bytes are limited for each
//! task; over that a call answers `limit`.

use crate::backend;
use crate::error::Error;

/// A line about progress for whoever looks at the job: it is shown and kept in the journal.
///
/// # Errors
/// `limit`.
pub fn progress(message: &str) -> Result<(), Error> {
    backend::progress(message)
}

/// Adds text to the task's whiteboard: a note that reports carry with the result.
///
/// # Errors
/// `limit`.
pub fn whiteboard(text: &str) -> Result<(), Error> {
    backend::whiteboard(text)
}

/// Adds bytes to a file in the task's results directory. The name is a single path component that doesn't begin with a
/// dot.
///
/// # Errors
/// `limit`, `invalid`, `io`.
pub fn write_artifact(name: &str, bytes: &[u8]) -> Result<(), Error> {
    backend::write_artifact(name, bytes)
}

/// Reads up to `length` bytes (at most 1 MiB) of one of the task's files from `offset`; fewer only at its end. What a
/// process wrote to a file is there when the process has ended.
///
/// # Errors
/// `not-found`, `invalid`, `io`.
pub fn read_artifact(name: &str, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
    backend::read_artifact(name, offset, length)
}
