//! Owns the errors of a build, with the commands that help.

use crate::Target;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::{fmt, io};

/// Why a component or program could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No compiler for the target is installed.
    #[error(
        "no compiler for {target}, neither rustc's own nor one in {}\n\
         help: `rustup target add {target}`, or `./setup.sh` if rustup cannot download it",
        searched.display()
    )]
    NoToolchain {
        /// The requested target.
        target: Target,
        /// The cache directory of `setup.sh`, which has no toolchain.
        searched: PathBuf,
    },
    /// A tool could not be started.
    #[error("{tool} cannot be started: {source}")]
    Start {
        /// The tool's name or path.
        tool: String,
        /// The reason.
        source: io::Error,
    },
    /// A tool failed.
    #[error("{tool} ended with {status}:\n{stderr}")]
    Failed {
        /// The tool and its subcommand.
        tool: String,
        /// The exit status.
        status: ExitStatus,
        /// The last lines of its standard error.
        stderr: Tail,
    },
    /// Cargo built a package, but no module or program.
    #[error(
        "cargo built no {what} from {package}\nhelp: the package needs a target of type {kind}"
    )]
    NothingBuilt {
        /// The expected artifact.
        what: &'static str,
        /// The package; or the manifest, if no package was named.
        package: String,
        /// The type of target that builds it.
        kind: &'static str,
    },
    /// A module could not be turned into a component.
    #[error("the module of {package} is not a plugin: {reason}")]
    Component {
        /// The package.
        package: String,
        /// The error of wit-component.
        reason: String,
    },
    /// A file could not be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// rustc did not name the machine that it runs on.
    #[error("`rustc -vV` names no host")]
    NoHost,
}

/// The last lines of a tool's standard error: at most 60.
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
