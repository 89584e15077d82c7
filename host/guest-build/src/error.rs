//! What can go wrong in a build, with what to type.

use crate::Target;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::{fmt, io};

/// Why there is no component, or no program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No compiler for the target was found.
    #[error(
        "no compiler for {target} was found: type `rustup target add {target}`, or, where rustup can't fetch it, `./setup.sh` (looked in {})",
        looked.display()
    )]
    NoToolchain {
        /// The target that was asked for.
        target: Target,
        /// The cache directory in which there is no toolchain either.
        looked: PathBuf,
    },
    /// A tool could not be started.
    #[error("{tool} can't be started: {source}")]
    Start {
        /// The tool's name or path.
        tool: String,
        /// Why.
        source: io::Error,
    },
    /// A tool ended badly.
    #[error("{tool} ended with {status}:\n{stderr}")]
    Failed {
        /// The tool, with what it was to do.
        tool: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines that it wrote to its standard error.
        stderr: Tail,
    },
    /// Cargo made nothing for a package.
    #[error("cargo made no {what} of {package}: is its crate-type {kind}?")]
    NothingBuilt {
        /// What was expected.
        what: &'static str,
        /// The package, or the manifest where no package was named.
        package: String,
        /// The kind of target that gives it.
        kind: &'static str,
    },
    /// A module can't become a component.
    #[error("the module of {package} is no plugin: {reason}")]
    Component {
        /// The package.
        package: String,
        /// What wit-component says.
        reason: String,
    },
    /// A file could not be read.
    #[error("{} can't be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The last lines of a tool's standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail(String);

impl Tail {
    const LINES: usize = 60;

    pub(crate) fn new(stderr: &[u8]) -> Self {
        let text = String::from_utf8_lossy(stderr);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(Self::LINES);
        Self(lines.get(from..).unwrap_or_default().join("\n"))
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
