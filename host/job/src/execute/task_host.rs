//! The task as its runner may touch it: its directory, its environment, its messages. Also the slot that it runs in, and what is
//! told of it to the dispatcher. It must not know how a task is run to its end.

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

/// One place in which a task can run at a time.
pub(crate) struct Slot {
    pub(crate) index: usize,
    environment: Mutex<Option<(Environment, EnvironmentState)>>,
    /// Held while one is opened: there is to be only one.
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

    /// Its environment, where it has one that lives.
    pub(crate) fn environment(&self) -> Option<Environment> {
        let mut held = self.held();
        held.take_if(|(environment, _)| !environment.is_alive());
        held.as_ref().map(|(environment, _)| environment.clone())
    }

    /// Its environment in this state, opened where there is none, or brought back to it where it is in another one.
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

    /// Gives up an environment; another one is opened for the next task.
    pub(crate) fn give_up(&self, environment: &Environment) {
        self.held().take_if(|(held, _)| held.is_same(environment));
    }

    /// Takes the environment away, as for closing it.
    pub(crate) fn take(&self) -> Option<Environment> {
        self.held().take().map(|(environment, _)| environment)
    }
}

/// What executors tell the dispatcher.
pub(crate) enum Message {
    /// The helper has started the queued process of a task.
    Started { task: usize, slot: usize },
    /// A line about progress.
    Progress {
        task: usize,
        slot: usize,
        text: String,
    },
    /// The helper has returned the queued process of a task unstarted: the task goes back into the
    /// dispatcher's queue, as if it had never been assigned.
    Returned {
        task: usize,
        slot: usize,
        /// The helper died before the start.
        helper_died: bool,
    },
    /// The task has ended, and its slot is free.
    Finished(Box<Finished>),
    /// The batch in this slot wants another task; it's over when there is none for it.
    More {
        slot: usize,
        give: oneshot::Sender<(usize, Assignment)>,
    },
    /// The batch in this slot is over.
    Over { slot: usize },
    /// A requirement is not there, and is about to be brought about: when that is written down, `go` is told.
    Absent {
        step: usize,
        go: oneshot::Sender<()>,
    },
    /// A requirement has been seen to.
    Prepared(Box<Prepared>),
    /// A requirement has been released, or could not be: then why.
    Released {
        /// The node of the graph for which that was done, where it was done for one.
        node: Option<usize>,
        step: usize,
        slot: usize,
        failed: Option<String>,
        elapsed: Duration,
    },
}

/// How it went with a requirement.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Its node in the graph.
    pub(crate) node: usize,
    pub(crate) step: usize,
    pub(crate) slot: usize,
    pub(crate) met: Met,
    pub(crate) elapsed: Duration,
}

/// Whether a requirement is met.
#[derive(Debug)]
pub(crate) enum Met {
    /// It was there.
    Present,
    /// It was brought about, and this is what it takes to undo that.
    Fulfilled(Attributes),
    /// It was brought about, and the environment in which it's there has been kept by the requirement's id.
    Kept(Attributes),
    /// It is not met, and why.
    Failed {
        reason: String,
        /// It was being brought about, and nobody knows how far that came.
        unknown: bool,
    },
}

/// How a task went.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) task: usize,
    pub(crate) slot: usize,
    pub(crate) outcome: Outcome,
    /// When it started, in nanoseconds of Unix time.
    pub(crate) started: u64,
    pub(crate) elapsed: Duration,
    pub(crate) left_behind: usize,
    pub(crate) whiteboard: Option<String>,
    /// The running time of a queued process, as measured by the helper.
    pub(crate) took: Option<Duration>,
    /// It has a directory.
    pub(crate) has_directory: bool,
}

/// Where a task was given, and to whom it is told how it goes.
pub(crate) struct Assignment {
    pub(crate) slot: Arc<Slot>,
    /// The position in the slot's pipeline, for a task that is one process. Any other task has the
    /// slot for itself, and has started.
    pub(crate) position: Option<PipelinePosition>,
    /// Whether the task is requeued if the helper dies before its process has started.
    pub(crate) can_requeue: bool,
    /// What its environment is to be like.
    pub(crate) state: EnvironmentState,
    /// The environment is of no use to others after it.
    pub(crate) spoils: bool,
    /// What others have for it: where a requirement is, which instance of a resource it has.
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) messages: mpsc::UnboundedSender<Message>,
}

/// When a task has started.
pub(crate) struct Beginning {
    task: usize,
    slot: usize,
    shared: Arc<Shared>,
    messages: mpsc::UnboundedSender<Message>,
    /// In nanoseconds of Unix time, and by the job's clock.
    at: OnceLock<(u64, Duration)>,
}

impl Beginning {
    pub(crate) fn get(&self) -> Option<(u64, Duration)> {
        self.at.get().copied()
    }

    fn now(&self) {
        let _ = self.at.set((journal::now(), self.shared.clock.now()));
    }
}

/// The log of a task for who looks for faults.
#[derive(Default)]
enum DebugLog {
    #[default]
    Closed,
    Open(File),
    /// It can't be written to, which was said.
    Lost,
}

/// The task as its runner may touch it.
pub(crate) struct Host {
    pub(crate) shared: Arc<Shared>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) directory: TaskDirectory,
    pub(crate) beginning: Arc<Beginning>,
    task: usize,
    /// None once the environment is open: the position is then in `queued_process`.
    position: Mutex<Option<PipelinePosition>>,
    can_requeue: bool,
    state: EnvironmentState,
    environment: OnceCell<Environment>,
    queued_process: OnceLock<QueuedProcess>,
    whiteboard: Mutex<String>,
    debug_log: Mutex<DebugLog>,
    /// What was said before the start: it's told only when there was one.
    early: Mutex<Vec<String>>,
    messages: mpsc::UnboundedSender<Message>,
}

impl Host {
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
            spoils: _,
            variables: _,
        }: Assignment,
    ) -> Self {
        let beginning = Beginning {
            task: index,
            slot: slot.index,
            shared: Arc::clone(&shared),
            messages: messages.clone(),
            at: OnceLock::new(),
        };
        if position.is_none() {
            beginning.now();
        }
        Self {
            directory,
            shared,
            slot,
            beginning: Arc::new(beginning),
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

    /// Its environment, where it has asked for one.
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
            let beginning = Arc::clone(&self.beginning);
            let process =
                QueuedProcess::new(environment.clone(), position, self.can_requeue, move || {
                    beginning.now();
                    let _ = beginning.messages.send(Message::Started {
                        task: beginning.task,
                        slot: beginning.slot,
                    });
                });
            let _ = self.queued_process.set(process);
        }
        Ok(environment)
    }

    /// Tells what was said before the start.
    pub(crate) fn tell_early(&self) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        for text in early.drain(..) {
            let _ = self.messages.send(Message::Progress {
                task: self.task,
                slot: self.slot.index,
                text,
            });
        }
    }

    /// Puts into its log that it has left so many processes, if it has.
    pub(crate) fn log_left_behind(&self, count: usize) {
        if count > 0 {
            self.log(
                LogLevel::Warn,
                &format!("{count} processes were left behind and have been ended"),
            );
        }
    }

    /// What has been written on the whiteboard.
    pub(crate) fn take_whiteboard(&self) -> Option<String> {
        let mut whiteboard = self
            .whiteboard
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Some(std::mem::take(&mut *whiteboard)).filter(|text| !text.is_empty())
    }

    /// What a plugin is told of where it acts.
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

impl TaskHost for Host {
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
        if self.beginning.get().is_none() {
            let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
            early.push(message);
            return;
        }
        self.tell_early();
        let _ = self.messages.send(Message::Progress {
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

impl Host {
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
