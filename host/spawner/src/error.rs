//! Owns the errors of processes and environments. Does not know how they are shown.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use persea_helper::protocol::{ProtocolError, StartFailure, StartFailureKind};
use rustix::io::Errno;

/// An operation on a process or an environment failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// A process could not be started.
    #[error("{message}")]
    Start {
        /// The program to start.
        program: String,
        /// The kind of failure, one of the plugin interface's error codes.
        code: &'static str,
        /// The system's error number.
        errno: i32,
        /// The name of the program, directory or file, and the reason.
        message: String,
    },
    /// A request about a process failed.
    #[error("{what} failed: {message}")]
    Request {
        /// The requested operation.
        what: &'static str,
        /// The system's error number.
        errno: i32,
        /// The reason.
        message: String,
    },
    /// The helper has died, and with it all processes of its environment.
    #[error(
        "the helper that runs the processes of environment {environment} has died: {reason}; its \
         processes are lost; what runs next gets another environment"
    )]
    HelperDied {
        /// The environment's name.
        environment: Arc<str>,
        /// How the helper ended, and its last lines on standard error.
        reason: Arc<str>,
    },
    /// The helper could not be started.
    #[error(
        "the helper for environment {environment} can't be started: {what}: {source}{}",
        persea_system::ulimit::hint(source)
    )]
    HelperStart {
        /// The environment's name.
        environment: Arc<str>,
        /// The step that failed.
        what: &'static str,
        /// The error of the system.
        source: Arc<io::Error>,
    },
    /// The container engine cannot do what an environment needs.
    #[error("{what}: {reason}")]
    Engine {
        /// What failed, with the name of the image, container or socket.
        what: String,
        /// The engine's reason, and what to do about it.
        reason: String,
    },
    /// Another host cannot be used.
    #[error("host {host}: {reason}")]
    Host {
        /// The host's name, as the settings have it.
        host: Arc<str>,
        /// What is wrong, and what to do about it.
        reason: Arc<str>,
    },
    /// The files of a test on another host are refused.
    #[error("the files of the test cannot be fetched: {why}")]
    Fetch {
        /// What is wrong with them.
        why: String,
    },
    /// A file of a test that was fetched from another host cannot be stored.
    #[error("cannot store {}, which was fetched from another host: {source}", path.display())]
    Store {
        /// The path in the test's directory.
        path: PathBuf,
        /// The error of the system.
        source: Arc<io::Error>,
    },
    /// The other end of the channel is not a helper, or one of another version.
    #[error("the helper of environment {environment} can't be understood: {source}")]
    Protocol {
        /// The environment's name.
        environment: Arc<str>,
        /// The violation of the protocol.
        source: ProtocolError,
    },
    /// The pipe, process or environment that the operation needs has ended.
    #[error("{0} has ended or was closed")]
    Closed(&'static str),
    /// The request is invalid.
    #[error("{0}")]
    Invalid(String),
}

impl SpawnError {
    /// The error code of the plugin interface: `not-found`, `not-permitted`, `closed`, `invalid` or
    /// `io`.
    pub fn code(&self) -> &'static str {
        match self {
            SpawnError::Start { code, .. } => code,
            SpawnError::Closed(_) => "closed",
            SpawnError::Invalid(_) => "invalid",
            SpawnError::Request { .. }
            | SpawnError::HelperDied { .. }
            | SpawnError::HelperStart { .. }
            | SpawnError::Engine { .. }
            | SpawnError::Host { .. }
            | SpawnError::Fetch { .. }
            | SpawnError::Store { .. }
            | SpawnError::Protocol { .. } => "io",
        }
    }

    /// The system's error number, if the system reported the error.
    pub fn errno(&self) -> Option<i32> {
        match self {
            SpawnError::Start { errno, .. } | SpawnError::Request { errno, .. } => Some(*errno),
            SpawnError::HelperStart { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// Whether the environment or its host is gone, or cannot be reached: what ran in it is lost.
    pub fn is_loss(&self) -> bool {
        match self {
            SpawnError::HelperDied { .. } | SpawnError::Host { .. } => true,
            SpawnError::Start { .. }
            | SpawnError::Request { .. }
            | SpawnError::HelperStart { .. }
            | SpawnError::Engine { .. }
            | SpawnError::Fetch { .. }
            | SpawnError::Store { .. }
            | SpawnError::Protocol { .. }
            | SpawnError::Closed(_)
            | SpawnError::Invalid(_) => false,
        }
    }

    pub(crate) fn of_start(program: String, failure: StartFailure) -> SpawnError {
        let errno = Errno::from_raw_os_error(failure.errno);
        let code = match (failure.kind, errno) {
            (StartFailureKind::Invalid, _) => "invalid",
            (
                StartFailureKind::Program
                | StartFailureKind::WorkingDirectory
                | StartFailureKind::InputFile,
                Errno::NOENT | Errno::NOTDIR,
            ) => "not-found",
            (
                StartFailureKind::WorkingDirectory | StartFailureKind::InputFile,
                Errno::ACCESS | Errno::PERM,
            )
            | (StartFailureKind::Program, _) => "not-permitted",
            // Not an ordinary file.
            (StartFailureKind::InputFile, Errno::INVAL) => "invalid",
            (
                StartFailureKind::WorkingDirectory
                | StartFailureKind::InputFile
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
