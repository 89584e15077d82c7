//! Owns the tools of this machine that make sandboxes.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::SpawnError;

/// The tools that the sandbox needs, each with its Debian package.
const TOOLS: [(&str, &str); 3] = [
    ("bwrap", "bubblewrap"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
];

/// Checks whether this machine has the tools.
pub(super) fn find_tools() -> Result<(), SpawnError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    for (tool, package) in TOOLS {
        if find(tool, &path).is_none() {
            return Err(SpawnError::Invalid(format!(
                "the spawner `sandbox` needs `{tool}`, which is not in PATH: install it \
                 (Debian: `apt-get install {package}`)"
            )));
        }
    }
    Ok(())
}

/// Looks a tool up in PATH.
pub(super) fn find(tool: &str, path: &OsStr) -> Option<PathBuf> {
    let all = std::env::split_paths(path).map(|directory| directory.join(tool));
    all.into_iter().find(|path| path.is_file())
}
