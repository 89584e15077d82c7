//! Owns reading what processes have written into files of the task.

use persea_plugin_sdk::{Error, artifacts};

/// The largest part of a file that one call reads, in bytes: 1 MiB.
const PART: u32 = 1 << 20;

/// Reads a part of a file of the task from an offset; empty at its present end, and where no
/// process has written it.
///
/// # Errors
/// Those of the host.
pub fn part(name: &str, offset: u64) -> Result<Vec<u8>, Error> {
    match artifacts::read(name, offset, PART) {
        Err(error) if error.code == "not-found" => Ok(Vec::new()),
        other => other,
    }
}

/// Reads a file of the task from an offset to its present end; empty where no process has written
/// it.
///
/// # Errors
/// `too-large` for more than `limit` bytes; those of the host.
pub fn rest(name: &str, offset: u64, limit: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    loop {
        let part = part(name, offset + bytes.len() as u64)?;
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

/// Reads a file of the task to its end; empty where no process has written it.
///
/// # Errors
/// As [`rest`].
pub fn whole(name: &str, limit: usize) -> Result<Vec<u8>, Error> {
    rest(name, 0, limit)
}

/// Reads a file of the task as text; empty where no process has written it.
///
/// # Errors
/// As [`rest`].
pub fn text(name: &str, limit: usize) -> Result<String, Error> {
    rest(name, 0, limit).map(lossy)
}

/// Reads the last bytes of a file of the task, at most `length`, as text; empty where no process
/// has written it.
///
/// # Errors
/// Those of the host.
pub fn tail(name: &str, length: u32) -> Result<String, Error> {
    let size = match artifacts::size(name) {
        Err(error) if error.code == "not-found" => return Ok(String::new()),
        other => other?,
    };
    artifacts::read(name, size.saturating_sub(length.into()), length).map(lossy)
}

/// Returns the last line with something in it, at most 200 characters; none where there is none.
///
/// # Errors
/// Those of the host.
pub fn last_line(name: &str) -> Result<Option<String>, Error> {
    let text = tail(name, 4096)?;
    let mut lines = text.lines().rev().map(str::trim);
    let line = lines.find(|line| !line.is_empty());
    Ok(line.map(|line| crate::results::shown(line, 200)))
}

fn lossy(bytes: Vec<u8>) -> String {
    // Without a copy where the bytes are UTF-8.
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
