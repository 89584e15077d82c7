//! What can go wrong with processes and their environments. It must not know how it is shown.

use std::io;
use std::sync::Arc;

use persea_helper::protocol::{ProtocolError, StartFailure, StartFailureKind};
use rustix::io::Errno;

/// Why something with a process, or with the environment of one, failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// A process could not be started.
    #[error("{message}")]
    Start {
        /// What was to be started.
        program: String,
        /// The kind of failure, one of the plugin interface's error codes.
        code: &'static str,
        /// The system's error number.
        errno: i32,
        /// Names the program, directory or file, and the reason.
        message: String,
    },
    /// A request about a process failed.
    #[error("{what} failed: {message}")]
    Request {
        /// What was asked for.
        what: &'static str,
        /// The system's error number.
        errno: i32,
        /// The reason.
        message: String,
    },
    /// The helper has ended before its time, and with it all processes of its environment.
    #[error(
        "the helper that runs the processes of environment {environment} has died: {reason}; what ran there is lost, \
         and the environment has to be opened anew"
    )]
    HelperDied {
        /// The environment's name.
        environment: Arc<str>,
        /// How it ended, and its last words.
        reason: Arc<str>,
    },
    /// The helper could not be brought to where it should run.
    #[error(
        "the helper for environment {environment} can't be started: {what}: {source}{}",
        persea_system::ulimit::hint(source)
    )]
    HelperStart {
        /// The environment's name.
        environment: Arc<str>,
        /// Which step failed.
        what: &'static str,
        /// Why.
        source: Arc<io::Error>,
    },
    /// What answered is not the helper, or not this version of it.
    #[error("the helper of environment {environment} can't be understood: {source}")]
    Protocol {
        /// The environment's name.
        environment: Arc<str>,
        /// Why.
        source: ProtocolError,
    },
    /// What it was to be done with has ended: a pipe, a process, an environment.
    #[error("{0} has ended or was closed")]
    Closed(&'static str),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
}

impl SpawnError {
    /// The error code of the plugin interface: `not-found`, `not-permitted`, `closed`, `invalid` or `io`.
    pub fn code(&self) -> &'static str {
        match self {
            SpawnError::Start { code, .. } => code,
            SpawnError::Closed(_) => "closed",
            SpawnError::Invalid(_) => "invalid",
            SpawnError::Request { .. }
            | SpawnError::HelperDied { .. }
            | SpawnError::HelperStart { .. }
            | SpawnError::Protocol { .. } => "io",
        }
    }

    /// The system's error number, where there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            SpawnError::Start { errno, .. } | SpawnError::Request { errno, .. } => Some(*errno),
            SpawnError::HelperStart { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    pub(super) fn of_start(program: String, failure: StartFailure) -> SpawnError {
        let errno = Errno::from_raw_os_error(failure.errno);
        let code = match (failure.kind, errno) {
            (StartFailureKind::Invalid, _) => "invalid",
            (
                StartFailureKind::Program | StartFailureKind::WorkingDirectory,
                Errno::NOENT | Errno::NOTDIR,
            ) => "not-found",
            (StartFailureKind::WorkingDirectory, Errno::ACCESS | Errno::PERM)
            | (StartFailureKind::Program, _) => "not-permitted",
            (
                StartFailureKind::WorkingDirectory
                | StartFailureKind::OutputFile
                | StartFailureKind::Resources
                | StartFailureKind::Returned,
                _,
            ) => "io",
        };
        SpawnError::Start {
            program,
            code,
            errno: failure.errno,
            message: failure.message,
        }
    }
}
