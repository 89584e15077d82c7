//! What the powers `process` and `status` act on: the task that a runner has been given.

use std::fs::File;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use super::log::Level;
use crate::engine::limits::Limits;
use persea_spawner::{Environment, SpawnError, Turn};

/// The task as its runner may touch it. Implemented by the job.
pub trait TaskHost: Send + Sync {
    /// The environment of the task; made when it is asked for the first time.
    fn environment(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Environment, SpawnError>> + Send + '_>>;

    /// Where the task is one process: its turn, which is there once the environment is.
    fn turn(&self) -> Option<&Turn>;

    /// The path by which the task's processes have a file in its directory, which is made if need be. It is not for the host: a process
    /// may have put a link there. The name has been checked, here and below.
    fn file(&self, name: &str) -> io::Result<PathBuf>;

    /// A file in the task's directory to be written to at its end; an ordinary one, and no link.
    fn append(&self, name: &str) -> io::Result<File>;

    /// The same to be read.
    fn read(&self, name: &str) -> io::Result<File>;

    /// A line about progress.
    fn progress(&self, message: String);

    /// More text for the whiteboard.
    fn whiteboard(&self, text: &str);

    /// A line for the task's `debug.log`.
    fn log(&self, level: Level, message: &str);
}

/// The power over one task, and how much of it is used.
pub(crate) struct TaskPower {
    pub(crate) host: Arc<dyn TaskHost>,
    pub(crate) bytes_left: u64,
    pub(crate) messages_left: u64,
    /// Whether the plugin starts its processes.
    pub(crate) may_start: bool,
}

impl TaskPower {
    pub(crate) fn new(host: Arc<dyn TaskHost>, limits: &Limits) -> Self {
        Self {
            host,
            bytes_left: limits.status_bytes,
            messages_left: limits.status_messages,
            may_start: true,
        }
    }

    /// The next task has it all again.
    pub(crate) fn refill(&mut self, limits: &Limits) {
        self.bytes_left = limits.status_bytes;
        self.messages_left = limits.status_messages;
    }
}
