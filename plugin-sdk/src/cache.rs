//! The power `cache`: a small store of bytes by name that the host keeps for this plugin from job
//! to job. The host may drop any entry at any time.
//!
//! A name is one path component of at most 255 bytes that does not begin with a dot and has no
//! control characters.

use crate::backend;
use crate::error::Error;

/// Returns the bytes that were stored under a name.
///
/// # Errors
/// `not-found`, `invalid` for a name that is not allowed, `not-permitted`, `io`.
pub fn get(name: &str) -> Result<Vec<u8>, Error> {
    backend::cache_get(name)
}

/// Stores bytes under a name, and replaces what was stored there.
///
/// # Errors
/// `too-large` for more than 1 MiB, `limit` for more than 1,024 names, `invalid` for a name that is
/// not allowed, `not-permitted`, `io`.
pub fn put(name: &str, bytes: &[u8]) -> Result<(), Error> {
    backend::cache_put(name, bytes)
}
