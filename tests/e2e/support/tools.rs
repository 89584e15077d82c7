//! Owns the tools that end-to-end tests get from registries, in fixed versions.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Gets tools with `.ci/guest-tools`. Returns their directory.
pub fn guest_tools(names: &[&str]) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/guest-tools");
    let ran = Command::new(script).args(names).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    PathBuf::from(String::from_utf8(ran.stdout).unwrap().trim())
}

/// The directory of Pythons with pytest: `pytest/bin/python` has the newest, `old-pytest` the
/// oldest that the runner takes.
pub fn pytests() -> PathBuf {
    static ROOT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    ROOT.get_or_init(|| guest_tools(&["pytest"])).clone()
}
