//! Owns reading what processes have printed into files of the task.

use persea_plugin_sdk::{Error, artifacts};

/// The largest part of a file that one call reads, in bytes: 1 MiB.
const PART: u32 = 1 << 20;

/// Reads a file of the task to its end; empty where no process has written it.
///
/// # Errors
/// `too-large` for more than `limit` bytes; those of the host.
pub(crate) fn whole(name: &str, limit: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    loop {
        let part = match artifacts::read(name, bytes.len() as u64, PART) {
            Err(error) if error.code == "not-found" => Vec::new(),
            other => other?,
        };
        if part.is_empty() {
            return Ok(bytes);
        }
        bytes.extend(part);
        if bytes.len() > limit {
            let message = format!("{name} is longer than {limit} bytes");
            return Err(Error::new("too-large", message));
        }
    }
}

/// Reads the last bytes of a file of the task, at most `length`, as text; empty where no process
/// has written it.
///
/// # Errors
/// Those of the host.
pub(crate) fn tail(name: &str, length: u32) -> Result<String, Error> {
    let size = match artifacts::size(name) {
        Err(error) if error.code == "not-found" => return Ok(String::new()),
        other => other?,
    };
    let bytes = artifacts::read(name, size.saturating_sub(length.into()), length)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
