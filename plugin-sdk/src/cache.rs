//! The power `cache`: what the host keeps for this plugin from job to job, and may drop at any time.

use crate::backend;
use crate::error::Error;

/// What was put there under that name.
///
/// # Errors
/// `not-found`, `invalid`, `io`.
pub fn get(name: &str) -> Result<Vec<u8>, Error> {
    backend::cache_get(name)
}

/// Keeps bytes under a name, in place of those before: at most 1 MiB, and at most 1,024 names. A name is a single path
/// component that doesn't begin with a dot.
///
/// # Errors
/// `too-large`, `limit`, `invalid`, `io`.
pub fn put(name: &str, bytes: &[u8]) -> Result<(), Error> {
    backend::cache_put(name, bytes)
}
