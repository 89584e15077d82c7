//! Owns what the powers `process`, `status` and `batch` act on: the task that a runner or a
//! requirement resolver has been given.

use std::fs::File;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use crate::contract::bindings::types::Error;
use crate::contract::convert::error;
use crate::engine::limits::Limits;
use crate::instance::log::LogLevel;
use crate::instance::state::{InstanceState, PowerState};
use persea_spawner::{Environment, QueuedProcess, SpawnError};

/// A task, as far as its plugin may act on it. Implemented by the job.
pub trait TaskHost: Send + Sync {
    /// Returns the task's environment, which the first call makes.
    fn environment(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Environment, SpawnError>> + Send + '_>>;

    /// The queued process of a task that is one process; none for other tasks, and before the
    /// environment is open.
    fn queued_process(&self) -> Option<&QueuedProcess>;

    /// Returns the path at which the task's processes find a file of the task's directory, which is
    /// made if it does not exist. The host must not open it: a process may have put a link there.
    /// `name` is a checked artifact name, here and below.
    fn file(&self, name: &str) -> io::Result<PathBuf>;

    /// Opens a file of the task's directory for appending. It is an ordinary file, and no link.
    fn append(&self, name: &str) -> io::Result<File>;

    /// Opens a file of the task's directory for reading. It is an ordinary file, and no link.
    fn read(&self, name: &str) -> io::Result<File>;

    /// Reports a line about the task's progress.
    fn progress(&self, message: String);

    /// Adds text to the whiteboard.
    fn whiteboard(&self, text: &str);

    /// Writes a line to the task's `debug.log`.
    fn log(&self, level: LogLevel, message: &str);
}

/// What a plugin may start for its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Starting {
    /// Any process that it is granted.
    Allowed,
    /// Nothing: the host has run the task's program.
    ProgramHasRun,
}

/// The task of one instance, and what is left of its limits.
pub(crate) struct TaskPower {
    pub(crate) host: Arc<dyn TaskHost>,
    pub(crate) bytes_left: u64,
    pub(crate) messages_left: u64,
    pub(crate) starting: Starting,
}

impl TaskPower {
    pub(crate) fn new(host: Arc<dyn TaskHost>, limits: &Limits, starting: Starting) -> Self {
        Self {
            host,
            bytes_left: limits.status_bytes,
            messages_left: limits.status_messages,
            starting,
        }
    }
}

impl PowerState for TaskPower {
    fn refill(&mut self, limits: &Limits) {
        self.bytes_left = limits.status_bytes;
        self.messages_left = limits.status_messages;
    }
}

impl InstanceState {
    /// Returns the instance's task.
    ///
    /// # Errors
    /// `unsupported`: the instance has no task.
    pub(crate) fn task(&mut self) -> Result<&mut TaskPower, Error> {
        self.power_mut()
            .ok_or_else(|| error("unsupported", "this call has no task"))
    }
}
