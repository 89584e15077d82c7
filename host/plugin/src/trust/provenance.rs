//! Owns where a plugin came from, and why the host may use it.

use std::path::PathBuf;

/// Where a plugin came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginOrigin {
    /// The program itself.
    BuiltIn,
    /// A file.
    File(PathBuf),
}

/// Why the host may use a plugin; the most trusted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The plugin is part of the host.
    BuiltIn,
    /// A lock binds the plugin's bytes, and grants what it may do.
    Locked,
    /// The user has named the plugin's directory for this run. Its processes, and those that others
    /// start for it, run in isolating spawners only.
    Unlocked,
}
