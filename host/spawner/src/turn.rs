//! Owns one task's process in the queue of an environment: the helper starts it there when the
//! process before it has ended, without asking the host (pipelining). Does not know which task it
//! is, or where the task goes if the helper returns the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use persea_helper::protocol::{Id, QueuePosition, Reply, Request, StartFailureKind};
use tokio::sync::{Notify, oneshot};

use super::command::{Command, Exit};
use super::environment::{Environment, Running, unexpected};
use super::error::SpawnError;

/// A position in the order in which tasks queue their processes in one environment. A task that is
/// ready early waits for those before it.
pub struct InLine {
    before: Option<oneshot::Receiver<()>>,
    asked: oneshot::Sender<()>,
}

impl InLine {
    /// Creates the position behind `last` (none for the first one), and stores the new one there.
    pub fn next(last: &mut Option<oneshot::Receiver<()>>) -> InLine {
        let (asked, was_asked) = oneshot::channel();
        InLine {
            before: last.replace(was_asked),
            asked,
        }
    }

    /// Waits until the task before has queued its process, or has given up its position.
    async fn come_up(&mut self) -> QueuePosition {
        match self.before.take() {
            None => QueuePosition::First,
            Some(before) => {
                let _ = before.await;
                QueuePosition::Following
            }
        }
    }
}

/// One task's process in the queue of an environment.
pub struct Turn {
    environment: Environment,
    phase: Mutex<Phase>,
    /// None once the process is queued.
    in_line: Mutex<Option<InLine>>,
    on_start: Arc<dyn Fn() + Send + Sync>,
    started: Arc<AtomicBool>,
    /// Whether the task can wait in another environment if the helper dies before the start.
    patient: bool,
    helper_died: AtomicBool,
    not_now: Notify,
}

#[derive(Clone, Copy)]
enum Phase {
    /// The process is not queued yet.
    Before,
    /// The process is queued or runs.
    Given(Id),
    /// The process has ended.
    Over {
        left: usize,
        /// Whether its left-over processes were ended.
        clean: bool,
        took: Duration,
    },
    /// The process is not to be started any more.
    Refused,
}

impl Turn {
    /// Creates the turn of a task in `environment`. `on_start` is called when the process starts.
    /// If the helper dies before that, a patient turn ends with [`Turn::not_now`], and any other
    /// with the error.
    pub fn new(
        environment: Environment,
        in_line: InLine,
        patient: bool,
        on_start: impl Fn() + Send + Sync + 'static,
    ) -> Turn {
        Turn {
            environment,
            phase: Mutex::new(Phase::Before),
            in_line: Mutex::new(Some(in_line)),
            on_start: Arc::new(on_start),
            started: Arc::default(),
            patient,
            helper_died: AtomicBool::new(false),
            not_now: Notify::new(),
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the process and waits for its end; the helper then ends its left-over processes.
    /// Never returns if the helper returns the process; then [`Turn::not_now`] does.
    pub async fn run(&self, command: Command) -> Result<Exit, SpawnError> {
        let program = command.program.clone();
        let in_line = self
            .in_line
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let (line, in_line) = match in_line {
            Some(mut in_line) => (in_line.come_up().await, Some(in_line)),
            // The first of the task's programs does not exist.
            None => (QueuePosition::Following, None),
        };
        let asked = {
            let mut phase = self.phase();
            match *phase {
                Phase::Before => {
                    let asked = self.ask(command, line);
                    if let Ok((id, _)) = &asked {
                        *phase = Phase::Given(*id);
                    }
                    Some(asked)
                }
                Phase::Refused => None,
                Phase::Given(_) | Phase::Over { .. } => {
                    return Err(SpawnError::Invalid(format!(
                        "{program} can't be run: a queued task is one process, and this would be a \
                         second"
                    )));
                }
            }
        };
        if let Some(InLine { asked, .. }) = in_line {
            // Fails if the next task has given up its position.
            let _ = asked.send(());
        }
        let channel = self.environment.channel();
        let answer = match asked {
            None => return self.refuse().await,
            Some(Err(error)) => Err(error),
            Some(Ok((id, mut told))) => {
                let guard = Running::new(channel, id);
                let answer = channel.reply(&mut told).await;
                guard.over();
                answer
            }
        };
        match answer {
            Err(SpawnError::HelperDied { .. } | SpawnError::Closed(_))
                if self.patient && !self.started.load(Ordering::Acquire) =>
            {
                self.helper_died.store(true, Ordering::Release);
                self.refuse().await
            }
            Err(error) => Err(error),
            Ok(Reply::Exited { exit, .. }) => {
                let (left, clean) = (exit.leftovers as usize, exit.clean);
                let exit = Exit::from(exit);
                *self.phase() = Phase::Over {
                    left,
                    clean,
                    took: exit.duration,
                };
                Ok(exit)
            }
            Ok(Reply::StartFailed { failure, .. })
                if failure.kind == StartFailureKind::Returned =>
            {
                self.refuse().await
            }
            Ok(Reply::StartFailed { failure, .. }) => {
                *self.phase() = Phase::Before;
                Err(SpawnError::of_start(program, failure))
            }
            Ok(other) => Err(unexpected(&other)),
        }
    }

    fn ask(
        &self,
        command: Command,
        line: QueuePosition,
    ) -> Result<(Id, oneshot::Receiver<Reply>), SpawnError> {
        let (started, on_start) = (Arc::clone(&self.started), Arc::clone(&self.on_start));
        self.environment.channel().start_queued(
            command.into_queued_start(line),
            Box::new(move || {
                started.store(true, Ordering::Release);
                on_start();
            }),
        )
    }

    async fn refuse<T>(&self) -> T {
        *self.phase() = Phase::Refused;
        self.not_now.notify_one();
        std::future::pending().await
    }

    /// Waits until it is certain that the process will not start in this environment.
    pub async fn not_now(&self) {
        self.not_now.notified().await;
    }

    /// Whether the process did not start because the helper died.
    pub fn helper_died(&self) -> bool {
        self.helper_died.load(Ordering::Acquire)
    }

    /// The running time of the process, once it has ended.
    pub fn took(&self) -> Option<Duration> {
        match *self.phase() {
            Phase::Over { took, .. } => Some(took),
            Phase::Before | Phase::Given(_) | Phase::Refused => None,
        }
    }

    /// Sends a signal to every process of the task, or withdraws the process if it is still queued.
    pub async fn signal_all(&self, signal: i32) -> Result<(), SpawnError> {
        let phase = {
            let mut phase = self.phase();
            if matches!(*phase, Phase::Before) {
                *phase = Phase::Refused;
            }
            *phase
        };
        match phase {
            Phase::Given(child) => {
                self.environment
                    .ask("sending a signal to all", |id| Request::SignalAll {
                        id,
                        only_for: Some(child),
                        signal,
                    })
                    .await
            }
            Phase::Before | Phase::Over { .. } | Phase::Refused => Ok(()),
        }
    }

    /// Ends every process of the task. Returns how many were left behind.
    pub async fn end(&self) -> Result<usize, SpawnError> {
        let phase = *self.phase();
        match phase {
            Phase::Over {
                left, clean: true, ..
            } => Ok(left),
            // `EndTask` tries again, and its reply has the reason.
            Phase::Over { clean: false, .. } => self.environment.end(None).await,
            Phase::Given(child) => self.environment.end(Some(child)).await,
            Phase::Before | Phase::Refused => Ok(0),
        }
    }
}
