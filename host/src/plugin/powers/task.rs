//! What the powers `process` and `status` act on: the task that a runner has been given.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use super::log::Level;
use crate::plugin::limits::Limits;
use crate::spawner::{Environment, SpawnError, Turn};

/// The task as its runner may touch it. Implemented by the job.
pub trait TaskHost: Send + Sync {
    /// The environment of the task; made when it is asked for the first time.
    fn environment(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Environment, SpawnError>> + Send + '_>>;

    /// Where the task is one process: its turn, which is there once the environment is.
    fn turn(&self) -> Option<&Turn>;

    /// The path of a file in the task's directory, which is made if need be. The name has been checked.
    fn file(&self, name: &str) -> std::io::Result<PathBuf>;

    /// A line about progress.
    fn progress(&self, message: String);

    /// More text for the whiteboard.
    fn whiteboard(&self, text: &str);

    /// A line for the task's `debug.log`.
    fn log(&self, level: Level, message: &str);
}

/// The power over one task, and how much of it is used.
pub(in crate::plugin) struct TaskPower {
    pub(in crate::plugin) host: Arc<dyn TaskHost>,
    pub(in crate::plugin) bytes_left: u64,
    pub(in crate::plugin) messages_left: u64,
}

impl TaskPower {
    pub(in crate::plugin) fn new(host: Arc<dyn TaskHost>, limits: &Limits) -> Self {
        Self {
            host,
            bytes_left: limits.status_bytes,
            messages_left: limits.status_messages,
        }
    }

    /// The next task has it all again.
    pub(in crate::plugin) fn refill(&mut self, limits: &Limits) {
        self.bytes_left = limits.status_bytes;
        self.messages_left = limits.status_messages;
    }
}
