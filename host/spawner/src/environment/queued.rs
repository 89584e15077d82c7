//! Owns one task's process in the queue of an environment: the helper starts it there when the
//! process before it has ended, without asking the host (pipelining). Does not know which task it
//! is, or where the task goes if the helper returns the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use persea_helper::protocol::{Id, QueuePosition, Reply, Request, StartFailureKind};
use tokio::sync::{Notify, oneshot};

use super::command::{Command, Exit, Usage};
use super::{Environment, ForgetOnDrop, unexpected};
use crate::error::SpawnError;

/// A position in the order in which tasks queue their processes in one environment. A task that is
/// ready early waits for those before it.
pub struct PipelinePosition {
    previous: Option<oneshot::Receiver<()>>,
    queued: oneshot::Sender<()>,
}

impl PipelinePosition {
    /// Creates the position behind `last` (none for the first one), and stores the new one there.
    pub fn next(last: &mut Option<oneshot::Receiver<()>>) -> PipelinePosition {
        let (queued, was_queued) = oneshot::channel();
        PipelinePosition {
            previous: last.replace(was_queued),
            queued,
        }
    }

    /// Waits until the task before has queued its process, or has given up its position.
    async fn wait_for_previous(&mut self) -> QueuePosition {
        match self.previous.take() {
            None => QueuePosition::First,
            Some(previous) => {
                // Fails if the previous task has dropped its position, which frees the way too.
                let _ = previous.await;
                QueuePosition::Following
            }
        }
    }
}

/// One task's process in the queue of an environment.
pub struct QueuedProcess {
    environment: Environment,
    phase: Mutex<Phase>,
    /// None once the process is queued.
    position: Mutex<Option<PipelinePosition>>,
    on_start: Arc<dyn Fn() + Send + Sync>,
    started: Arc<AtomicBool>,
    /// Whether the task can wait in another environment if the helper dies before the start.
    can_requeue: bool,
    helper_died: AtomicBool,
    returned: Notify,
}

#[derive(Clone, Copy)]
enum Phase {
    /// The process is not queued yet.
    Unqueued,
    /// The process is queued or runs.
    Queued(Id),
    /// The process has ended.
    Ended {
        leftovers: usize,
        /// Whether its left-over processes were ended.
        clean: bool,
        running_time: Duration,
        /// What the process and its descendants have used.
        usage: Option<Usage>,
    },
    /// The process will not start in this environment.
    Returned,
}

impl QueuedProcess {
    /// Creates the process of a task in `environment`. `on_start` is called when the process
    /// starts. If the helper dies before that, [`QueuedProcess::returned`] returns if
    /// `can_requeue`; otherwise [`QueuedProcess::run`] fails.
    pub fn new(
        environment: Environment,
        position: PipelinePosition,
        can_requeue: bool,
        on_start: impl Fn() + Send + Sync + 'static,
    ) -> QueuedProcess {
        QueuedProcess {
            environment,
            phase: Mutex::new(Phase::Unqueued),
            position: Mutex::new(Some(position)),
            on_start: Arc::new(on_start),
            started: Arc::default(),
            can_requeue,
            helper_died: AtomicBool::new(false),
            returned: Notify::new(),
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the process and waits for its end; the helper then ends its left-over processes.
    /// Never returns if the helper returns the process; then [`QueuedProcess::returned`] does.
    pub async fn run(&self, command: Command) -> Result<Exit, SpawnError> {
        command.check()?;
        let program = command.program.clone();
        let position = self
            .position
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let (queue_position, position) = match position {
            Some(mut position) => (position.wait_for_previous().await, Some(position)),
            // A second attempt: the first program of the task does not exist.
            None => (QueuePosition::Following, None),
        };
        let request = {
            let mut phase = self.phase();
            match *phase {
                Phase::Unqueued => {
                    let request = self.enqueue(command, queue_position);
                    if let Ok((id, _)) = &request {
                        *phase = Phase::Queued(*id);
                    }
                    Some(request)
                }
                Phase::Returned => None,
                Phase::Queued(_) | Phase::Ended { .. } => {
                    return Err(SpawnError::Invalid(format!(
                        "{program} can't be run: a queued task is one process, and this would be a \
                         second"
                    )));
                }
            }
        };
        if let Some(PipelinePosition { queued, .. }) = position {
            // Fails if the next task has dropped its position.
            let _ = queued.send(());
        }
        let channel = self.environment.channel();
        let answer = match request {
            None => return self.return_process().await,
            Some(Err(error)) => Err(error),
            Some(Ok((id, mut reply))) => {
                let guard = ForgetOnDrop::new(channel, id);
                let answer = channel.reply(&mut reply).await;
                guard.disarm();
                answer
            }
        };
        match answer {
            Err(SpawnError::HelperDied { .. } | SpawnError::Closed(_))
                if self.can_requeue && !self.started.load(Ordering::Acquire) =>
            {
                self.helper_died.store(true, Ordering::Release);
                self.return_process().await
            }
            Err(error) => Err(error),
            Ok(Reply::Exited { exit, .. }) => {
                let (leftovers, clean) = (exit.leftovers as usize, exit.clean);
                let usage = Usage::of(exit.usage);
                let exit = Exit::from(exit);
                *self.phase() = Phase::Ended {
                    leftovers,
                    clean,
                    running_time: exit.duration,
                    usage,
                };
                Ok(exit)
            }
            Ok(Reply::StartFailed { failure, .. })
                if failure.kind == StartFailureKind::Returned =>
            {
                self.return_process().await
            }
            Ok(Reply::StartFailed { failure, .. }) => {
                *self.phase() = Phase::Unqueued;
                Err(SpawnError::of_start(program, failure))
            }
            Ok(other) => Err(unexpected(&other)),
        }
    }

    fn enqueue(
        &self,
        command: Command,
        queue_position: QueuePosition,
    ) -> Result<(Id, oneshot::Receiver<Reply>), SpawnError> {
        let (started, on_start) = (Arc::clone(&self.started), Arc::clone(&self.on_start));
        self.environment.channel().start_queued(
            self.environment
                .translate(command)
                .into_queued_start(queue_position),
            Box::new(move || {
                started.store(true, Ordering::Release);
                on_start();
            }),
        )
    }

    /// Wakes [`QueuedProcess::returned`], and then stays pending: the caller drops this future.
    async fn return_process<T>(&self) -> T {
        *self.phase() = Phase::Returned;
        self.returned.notify_one();
        std::future::pending().await
    }

    /// Waits until it is certain that the process will not start in this environment.
    pub async fn returned(&self) {
        self.returned.notified().await;
    }

    /// Whether the process did not start because the helper died.
    pub fn helper_died(&self) -> bool {
        self.helper_died.load(Ordering::Acquire)
    }

    /// The running time of the process, once it has ended.
    pub fn running_time(&self) -> Option<Duration> {
        match *self.phase() {
            Phase::Ended { running_time, .. } => Some(running_time),
            Phase::Unqueued | Phase::Queued(_) | Phase::Returned => None,
        }
    }

    /// What the process and its descendants have used, once it has ended.
    pub fn usage(&self) -> Option<Usage> {
        match *self.phase() {
            Phase::Ended { usage, .. } => usage,
            Phase::Unqueued | Phase::Queued(_) | Phase::Returned => None,
        }
    }

    /// Sends a signal to every process of the task, or withdraws the process if it is still queued.
    pub async fn signal_all(&self, signal: i32) -> Result<(), SpawnError> {
        let phase = {
            let mut phase = self.phase();
            if matches!(*phase, Phase::Unqueued) {
                *phase = Phase::Returned;
            }
            *phase
        };
        match phase {
            Phase::Queued(child) => {
                self.environment
                    .ask("sending a signal to all", |id| Request::SignalAll {
                        id,
                        only_for: Some(child),
                        signal,
                    })
                    .await
            }
            Phase::Unqueued | Phase::Ended { .. } | Phase::Returned => Ok(()),
        }
    }

    /// Ends every process of the task. Returns the number of left-over processes.
    pub async fn end(&self) -> Result<usize, SpawnError> {
        let phase = *self.phase();
        match phase {
            Phase::Ended {
                leftovers,
                clean: true,
                ..
            } => Ok(leftovers),
            // `EndTask` tries again, and its reply has the reason.
            Phase::Ended { clean: false, .. } => self.environment.end(None).await,
            Phase::Queued(child) => self.environment.end(Some(child)).await,
            Phase::Unqueued | Phase::Returned => Ok(0),
        }
    }
}
