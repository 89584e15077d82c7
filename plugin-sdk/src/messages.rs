//! The power `messages`: messages about the current task, for runners and listers; requirement
//! resolvers use it for the current requirement.
//!
//! The number of messages is limited for each task, and so are their bytes together with those of
//! artifacts: 100,000 and 16 MiB by default (`plugins.limits.status_messages`,
//! `plugins.limits.status_bytes`). A call over a limit fails with `limit`.

use crate::backend;
use crate::error::Error;

/// Reports progress, in one line. The host shows the line and writes it to the journal.
///
/// # Errors
/// `limit`, `not-permitted`.
pub fn progress(message: &str) -> Result<(), Error> {
    backend::progress(message)
}

/// Appends text to the task's whiteboard, a note that reports show with the result.
///
/// # Errors
/// `limit`, `not-permitted`.
pub fn whiteboard(text: &str) -> Result<(), Error> {
    backend::whiteboard(text)
}
