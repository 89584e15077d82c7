//! Owns what a batch offers to its runner: the next task, its results, and the powers of a task.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use super::Batch;
use crate::execute::batch_outputs::Outputs;
use persea_model::{Case, Outcome};
use persea_plugin::{BatchHost, LogLevel, NextBatchTask, PluginError, TaskFuture, TaskHost};
use persea_spawner::{Environment, QueuedProcess, SpawnError};

impl BatchHost for Batch {
    fn task(self: Arc<Self>) -> Arc<dyn TaskHost> {
        self
    }

    fn next(&self) -> NextBatchTask<'_> {
        Box::pin(self.take_next())
    }

    fn finish(&self, outcome: Result<Outcome, PluginError>) -> TaskFuture<'_, ()> {
        Box::pin(self.finish_current(outcome))
    }
}

/// The powers of a batch: messages and files go to the current task, processes to the environment
/// that all tasks of the batch share.
impl TaskHost for Batch {
    fn environment(&self) -> TaskFuture<'_, Result<Environment, SpawnError>> {
        Box::pin(async {
            match self.current() {
                Some(session) => session.environment().await,
                None => {
                    self.slot
                        .open(&self.context.execution.spawners, &self.state)
                        .await
                }
            }
        })
    }

    fn is_isolated(&self) -> bool {
        self.state.spawner.is_isolating()
    }

    /// A task with a directory of its own is in no batch.
    fn cwd(&self) -> Option<&str> {
        None
    }

    fn queued_process(&self) -> Option<&QueuedProcess> {
        None
    }

    fn file(&self, name: &str) -> io::Result<PathBuf> {
        self.running_task()?;
        let environment = self.slot.environment();
        // Nothing else reads or writes them while the plugin calls this.
        let locked = self.outputs.try_lock();
        let mut outputs = locked.map_err(|_| io::Error::from(io::ErrorKind::ResourceBusy))?;
        let outputs = outputs
            .get_or_insert_with(|| Outputs::new(&self.context.test_results, environment.as_ref()));
        outputs.file(name)
    }

    fn append(&self, name: &str) -> io::Result<File> {
        self.running_task()?.append(name)
    }

    fn read<'a>(
        &'a self,
        name: &'a str,
        offset: u64,
        length: u32,
    ) -> TaskFuture<'a, io::Result<Vec<u8>>> {
        Box::pin(async move {
            let session = self.running_task()?;
            self.copy_output(&session).await;
            session.directory.read(name, offset, length).await
        })
    }

    fn size<'a>(&'a self, name: &'a str) -> TaskFuture<'a, io::Result<u64>> {
        Box::pin(async move {
            let session = self.running_task()?;
            self.copy_output(&session).await;
            session.directory.size(name).await
        })
    }

    fn artifacts(&self) -> TaskFuture<'_, io::Result<Vec<(String, u64)>>> {
        Box::pin(async {
            let session = self.running_task()?;
            self.copy_output(&session).await;
            session.directory.artifacts().await
        })
    }

    fn case_started(&self, path: Vec<String>) {
        if let Some(session) = self.current() {
            session.case_started(path);
        }
    }

    fn case_finished(&self, case: Case) {
        if let Some(session) = self.current() {
            session.case_finished(case);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.current()?.deadline()
    }

    fn interrupted(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.interruption.wait())
    }

    fn progress(&self, message: String) {
        if let Some(session) = self.current() {
            session.progress(message);
        }
    }

    fn whiteboard(&self, text: &str) {
        if let Some(session) = self.current() {
            session.whiteboard(text);
        }
    }

    fn log(&self, level: LogLevel, message: &str) {
        match self.current() {
            Some(session) => session.log(level, message),
            None => tracing::debug!("{}: {message}", self.runner.label()),
        }
    }
}
