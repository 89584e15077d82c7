//! Owns what a plugin reaches of its task or requirement while it runs: directory, environment,
//! messages, whiteboard and log. Does not know how a task is executed or ended.

use std::fs::File;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, mpsc, oneshot};

use crate::execute::executor::Shared;
use crate::execute::task_directory::{DEBUG_LOG, TaskDirectory};
use persea_journal as journal;
use persea_model::names::printable;
use persea_model::{Attributes, Outcome};
use persea_plugin::{LogLevel, TaskHost};
use persea_spawner::{
    Environment, EnvironmentState, PipelinePosition, QueuedProcess, SpawnError, Spawner,
};

/// A unit of parallelism: runs one task at a time, in its own environment.
pub(crate) struct Slot {
    pub(crate) index: usize,
    environment: Mutex<Option<(Environment, EnvironmentState)>>,
    /// Held while an environment is opened, so that a slot never opens two.
    opening: tokio::sync::Mutex<()>,
}

impl Slot {
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index,
            environment: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<(Environment, EnvironmentState)>> {
        self.environment
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot's environment, if it has one that is alive.
    pub(crate) fn environment(&self) -> Option<Environment> {
        let mut held = self.held();
        held.take_if(|(environment, _)| !environment.is_alive());
        held.as_ref().map(|(environment, _)| environment.clone())
    }

    /// Returns an environment in the given state: the slot's own, or a new one that replaces it.
    pub(crate) async fn open(
        &self,
        spawner: &dyn Spawner,
        state: &EnvironmentState,
    ) -> Result<Environment, SpawnError> {
        let _opening = self.opening.lock().await;
        if let Some(environment) = self.environment() {
            let is_right = self.held().as_ref().is_some_and(|(_, held)| held == state);
            if is_right {
                return Ok(environment);
            }
            self.take();
            environment.close().await;
        }
        let environment = spawner.restore(self.index, state).await?;
        *self.held() = Some((environment.clone(), state.clone()));
        Ok(environment)
    }

    /// Drops an environment, so that the next task opens another one.
    pub(crate) fn give_up(&self, environment: &Environment) {
        self.held().take_if(|(held, _)| held.is_same(environment));
    }

    /// Removes the environment from the slot, for example to close it.
    pub(crate) fn take(&self) -> Option<Environment> {
        self.held().take().map(|(environment, _)| environment)
    }
}

/// The messages of executors to the dispatcher.
pub(crate) enum ExecutorMessage {
    /// The process of a queued task has started.
    Started { task: usize, slot: usize },
    /// A progress message of the task.
    Progress {
        task: usize,
        slot: usize,
        text: String,
    },
    /// The helper has returned the queued process of a task unstarted: the dispatcher requeues the
    /// task.
    Returned {
        task: usize,
        slot: usize,
        /// Whether the helper died.
        helper_died: bool,
    },
    /// The task has ended, and its slot is free.
    Finished(Box<FinishedTask>),
    /// The batch in this slot is ready for its next task; it ends when `give` is dropped.
    BatchReady {
        slot: usize,
        give: oneshot::Sender<(usize, Assignment)>,
    },
    /// The batch in this slot is over.
    BatchEnded { slot: usize },
    /// A requirement is absent and about to be fulfilled. The executor waits for `proceed`, which
    /// is sent once the journal has the event.
    RequirementAbsent {
        step: usize,
        proceed: oneshot::Sender<()>,
    },
    /// A requirement has been checked, and fulfilled where it was absent.
    RequirementPrepared(Box<PreparedRequirement>),
    /// A requirement has been released, or could not be for the reason in `failed`.
    RequirementReleased {
        /// The node of the graph that the release belongs to; none at the end of the job.
        node: Option<usize>,
        step: usize,
        slot: usize,
        failed: Option<String>,
        elapsed: Duration,
    },
}

/// The result of fulfilling a requirement.
#[derive(Debug)]
pub(crate) struct PreparedRequirement {
    /// The requirement's node in the graph.
    pub(crate) node: usize,
    pub(crate) step: usize,
    pub(crate) slot: usize,
    pub(crate) fulfilment: Fulfilment,
    pub(crate) elapsed: Duration,
}

/// How a requirement was fulfilled, or that it was not.
#[derive(Debug)]
pub(crate) enum Fulfilment {
    /// It was present before.
    Present,
    /// It was fulfilled; the attributes are what its release needs.
    Fulfilled(Attributes),
    /// It was fulfilled, and its environment was kept as a snapshot under the requirement's id.
    Snapshot(Attributes),
    /// It is not fulfilled.
    Failed {
        reason: String,
        /// Its resolver was cut off while it changed something, and how much is unknown.
        unknown: bool,
    },
}

/// The result of a task, with its measurements.
#[derive(Debug)]
pub(crate) struct FinishedTask {
    pub(crate) task: usize,
    pub(crate) slot: usize,
    pub(crate) outcome: Outcome,
    /// When it started, in nanoseconds of Unix time.
    pub(crate) started: u64,
    pub(crate) elapsed: Duration,
    pub(crate) left_behind: usize,
    pub(crate) whiteboard: Option<String>,
    /// The run time of a queued task's process, as its helper measured it.
    pub(crate) took: Option<Duration>,
    pub(crate) has_directory: bool,
}

/// The slot and environment of a task, and the channel to the dispatcher.
pub(crate) struct Assignment {
    pub(crate) slot: Arc<Slot>,
    /// The position in the slot's pipeline, for a task that is one process. Any other task has the
    /// slot exclusively and starts at once.
    pub(crate) position: Option<PipelinePosition>,
    /// Whether the task is requeued, rather than failed, when the helper dies before its process
    /// starts.
    pub(crate) can_requeue: bool,
    /// The state in which the task needs its environment.
    pub(crate) state: EnvironmentState,
    /// The task leaves the environment dirty: it is not reused.
    pub(crate) leaves_dirty: bool,
    /// Variables for the task from its requirements and leases.
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) messages: mpsc::UnboundedSender<ExecutorMessage>,
}

/// The start of a task, reported to the dispatcher when it happens.
pub(crate) struct TaskStart {
    task: usize,
    slot: usize,
    shared: Arc<Shared>,
    messages: mpsc::UnboundedSender<ExecutorMessage>,
    /// In nanoseconds of Unix time, and by the job's clock.
    at: OnceLock<(u64, Duration)>,
}

impl TaskStart {
    pub(crate) fn get(&self) -> Option<(u64, Duration)> {
        self.at.get().copied()
    }

    fn now(&self) {
        let _ = self.at.set((journal::now(), self.shared.clock.now()));
    }
}

/// The debug log of a task.
#[derive(Default)]
enum DebugLog {
    #[default]
    Closed,
    Open(File),
    /// It cannot be written to; a warning has been logged.
    Lost,
}

/// What a plugin reaches of the task or requirement that it runs.
pub(crate) struct TaskSession {
    pub(crate) shared: Arc<Shared>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) directory: TaskDirectory,
    pub(crate) start: Arc<TaskStart>,
    task: usize,
    /// None once the environment is open: the position is then in `queued_process`.
    position: Mutex<Option<PipelinePosition>>,
    can_requeue: bool,
    state: EnvironmentState,
    environment: OnceCell<Environment>,
    queued_process: OnceLock<QueuedProcess>,
    whiteboard: Mutex<String>,
    debug_log: Mutex<DebugLog>,
    /// Progress messages before the start. They are dropped if the task never starts.
    early: Mutex<Vec<String>>,
    messages: mpsc::UnboundedSender<ExecutorMessage>,
}

impl TaskSession {
    pub(crate) fn new(
        shared: Arc<Shared>,
        index: usize,
        directory: TaskDirectory,
        Assignment {
            slot,
            position,
            can_requeue,
            state,
            messages,
            leaves_dirty: _,
            variables: _,
        }: Assignment,
    ) -> Self {
        let start = TaskStart {
            task: index,
            slot: slot.index,
            shared: Arc::clone(&shared),
            messages: messages.clone(),
            at: OnceLock::new(),
        };
        if position.is_none() {
            start.now();
        }
        Self {
            directory,
            shared,
            slot,
            start: Arc::new(start),
            task: index,
            position: Mutex::new(position),
            can_requeue,
            state,
            environment: OnceCell::new(),
            queued_process: OnceLock::new(),
            whiteboard: Mutex::default(),
            debug_log: Mutex::default(),
            early: Mutex::default(),
            messages,
        }
    }

    /// The environment, if the plugin has asked for one.
    pub(crate) fn opened(&self) -> Option<&Environment> {
        self.environment.get()
    }

    async fn open(&self) -> Result<Environment, SpawnError> {
        let environment = self.slot.open(&*self.shared.spawner, &self.state).await?;
        self.directory.is_in(&environment);
        let position = self
            .position
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(position) = position {
            let start = Arc::clone(&self.start);
            let process =
                QueuedProcess::new(environment.clone(), position, self.can_requeue, move || {
                    start.now();
                    let _ = start.messages.send(ExecutorMessage::Started {
                        task: start.task,
                        slot: start.slot,
                    });
                });
            let _ = self.queued_process.set(process);
        }
        Ok(environment)
    }

    /// Sends the progress messages that were kept before the start.
    pub(crate) fn report_early(&self) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        for text in early.drain(..) {
            let _ = self.messages.send(ExecutorMessage::Progress {
                task: self.task,
                slot: self.slot.index,
                text,
            });
        }
    }

    /// Logs the number of processes that were left behind, if any were.
    pub(crate) fn log_left_behind(&self, count: usize) {
        if count > 0 {
            self.log(
                LogLevel::Warn,
                &format!("{count} processes were left running and have been killed"),
            );
        }
    }

    /// Takes the text of the whiteboard; none if it is empty.
    pub(crate) fn take_whiteboard(&self) -> Option<String> {
        let mut whiteboard = self
            .whiteboard
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Some(std::mem::take(&mut *whiteboard)).filter(|text| !text.is_empty())
    }

    /// The paths that a plugin receives for its call.
    pub(crate) fn surroundings(&self) -> Attributes {
        let mut more = Attributes::new();
        let text = |path: &Path| path.to_string_lossy().into_owned().into();
        more.insert("output-dir".into(), text(self.directory.path()));
        if let Some(environment) = self.opened() {
            more.insert("work-dir".into(), environment.work_dir().into());
        }
        more.insert("job-temp-dir".into(), text(&self.shared.temp_dir));
        more.insert("project-dir".into(), text(&self.shared.project_dir));
        more
    }
}

impl TaskHost for TaskSession {
    fn environment(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Environment, SpawnError>> + Send + '_>> {
        Box::pin(async {
            self.environment
                .get_or_try_init(|| self.open())
                .await
                .cloned()
        })
    }

    fn queued_process(&self) -> Option<&QueuedProcess> {
        self.queued_process.get()
    }

    fn file(&self, name: &str) -> io::Result<PathBuf> {
        self.directory.output(name)
    }

    fn append(&self, name: &str) -> io::Result<File> {
        self.directory.append(name)
    }

    fn read(&self, name: &str) -> io::Result<File> {
        self.directory.read(name)
    }

    fn progress(&self, message: String) {
        if self.start.get().is_none() {
            let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
            early.push(message);
            return;
        }
        self.report_early();
        let _ = self.messages.send(ExecutorMessage::Progress {
            task: self.task,
            slot: self.slot.index,
            text: message,
        });
    }

    fn whiteboard(&self, text: &str) {
        self.whiteboard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(text);
    }

    fn log(&self, level: LogLevel, message: &str) {
        let mut held = self
            .debug_log
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if matches!(*held, DebugLog::Closed) {
            *held = match self.directory.append(DEBUG_LOG) {
                Ok(file) => DebugLog::Open(file),
                Err(error) => self.log_is_lost(&error),
            };
        }
        if let DebugLog::Open(file) = &mut *held
            && let Err(error) = line(file, level, message)
        {
            *held = self.log_is_lost(&error);
        }
    }
}

impl TaskSession {
    fn log_is_lost(&self, error: &io::Error) -> DebugLog {
        let directory = self.directory.path().display();
        tracing::warn!("cannot write to the debug.log in {directory}: {error}");
        DebugLog::Lost
    }
}

fn line(file: &mut File, level: LogLevel, message: &str) -> io::Result<()> {
    let time = persea_journal::date_and_time();
    file.write_all(format!("{time:.3} {:5} {}\n", level.name(), printable(message)).as_bytes())
}
