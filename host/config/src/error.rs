//! Owns the errors of the configuration, and the origins of values that they name.

use std::fmt;
use std::path::PathBuf;

use crate::lookup::SHARED_LIMIT;

/// Why the configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named could not be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The parser's message.
        message: String,
    },
    /// A file has too many values.
    #[error(
        "{}: more than {most} values, lists and tables, the limit for a file of this size: remove \
         some, or split the file",
        path.display()
    )]
    TooMuch {
        /// The file.
        path: PathBuf,
        /// The limit.
        most: usize,
    },
    /// A value has the wrong type, or is out of range.
    #[error("setting `{name}` from {origin}: expected {expected}, found `{found}`")]
    Value {
        /// The setting.
        name: String,
        /// The origin of the value.
        origin: Origin,
        /// The shape of a valid value, in words.
        expected: &'static str,
        /// The value.
        found: String,
    },
    /// A limit that all plugins share was set for one plugin or world.
    #[error(
        "setting `{name}` from {origin}: all plugins share the limit `{SHARED_LIMIT}`: set \
         `plugins.limits.{SHARED_LIMIT}`"
    )]
    Shared {
        /// The setting.
        name: String,
        /// The origin of its value.
        origin: Origin,
    },
    /// A variable is not UTF-8.
    #[error("the variable {name} is not UTF-8: set it to a text in UTF-8, or unset it")]
    Variable {
        /// Its name, with other bytes replaced.
        name: String,
    },
    /// `--set` without a value.
    #[error("`--set {0}`: write it as `--set NAME=VALUE`, as in `--set run.max_parallel_tasks=4`")]
    Assignment(String),
}

/// The origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Persea itself.
    Default,
    /// A configuration file of the system or the user.
    File(PathBuf),
    /// A file of the project.
    Project(PathBuf),
    /// An environment variable.
    Environment(String),
    /// The command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the defaults"),
            Self::File(path) | Self::Project(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "${name}"),
            Self::CommandLine => f.write_str("the command line"),
        }
    }
}
