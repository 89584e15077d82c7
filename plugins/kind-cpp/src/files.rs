//! Owns reading what processes have written into files of the task.

pub(crate) use persea_exec_command::files::{part, rest, tail, text};
use persea_plugin_sdk::Error;

/// Returns the last line with something in it, at most 200 characters; none where there is none.
///
/// # Errors
/// Those of the host.
pub(crate) fn last_line(name: &str) -> Result<Option<String>, Error> {
    let text = tail(name, 4096)?;
    let mut lines = text.lines().rev().map(str::trim);
    let line = lines.find(|line| !line.is_empty());
    Ok(line.map(|line| crate::result::shown(line, 200)))
}
