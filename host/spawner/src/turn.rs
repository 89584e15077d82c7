//! The turn of a task that is one process: it waits in the environment's queue behind others, and is started there without
//! asking the host. It must not know which task it is, nor where it goes when it has to wait for too long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use persea_helper::protocol::{Id, QueuePosition, Reply, Request, StartFailureKind};
use tokio::sync::{Notify, oneshot};

use super::command::{Command, Exit};
use super::environment::{Environment, Running, unexpected};
use super::error::SpawnError;

/// A place in the line of those that wait for their turn in one environment: they ask for their processes in the order of the
/// line, whichever is ready first.
pub struct InLine {
    before: Option<oneshot::Receiver<()>>,
    asked: oneshot::Sender<()>,
}

impl InLine {
    /// The next place in a line; `last` is the one before, at first none. Afterwards it is this one.
    pub fn next(last: &mut Option<oneshot::Receiver<()>>) -> InLine {
        let (asked, was_asked) = oneshot::channel();
        InLine {
            before: last.replace(was_asked),
            asked,
        }
    }

    /// Waits until the one before has asked, or does not want to any more.
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

/// One task's turn in an environment.
pub struct Turn {
    environment: Environment,
    phase: Mutex<Phase>,
    /// Until it has asked.
    in_line: Mutex<Option<InLine>>,
    on_start: Arc<dyn Fn() + Send + Sync>,
    started: Arc<AtomicBool>,
    /// Should the helper die before the start, the task can wait elsewhere.
    patient: bool,
    helper_died: AtomicBool,
    not_now: Notify,
}

#[derive(Clone, Copy)]
enum Phase {
    /// Nothing runs or waits.
    Before,
    /// It waits or runs.
    Given(Id),
    /// It has run.
    Over {
        left: usize,
        /// What was left could be ended.
        clean: bool,
        took: Duration,
    },
    /// Nobody wants it any more.
    Refused,
}

impl Turn {
    /// A turn in `environment`; `on_start` is called when its process starts. When the helper dies before that, a patient
    /// one ends with [`Turn::not_now`], another with the error.
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

    /// Starts the process when its turn comes, and waits for its end; what it leaves is ended too. Does not return when
    /// the turn does not come: then [`Turn::not_now`] does.
    pub async fn run(&self, command: Command) -> Result<Exit, SpawnError> {
        let program = command.program.clone();
        let in_line = self
            .in_line
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let (line, in_line) = match in_line {
            Some(mut in_line) => (in_line.come_up().await, Some(in_line)),
            // Its first program was none.
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
                        "{program} can't be run: a task that waits for its turn is one process, and this is another"
                    )));
                }
            }
        };
        if let Some(InLine { asked, .. }) = in_line {
            // Whoever is next may be gone.
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

    /// Waits until it is clear that the process does not get its turn here: it has not been started, and won't be.
    pub async fn not_now(&self) {
        self.not_now.notified().await;
    }

    /// Whether it did not get its turn because the helper died.
    pub fn helper_died(&self) -> bool {
        self.helper_died.load(Ordering::Acquire)
    }

    /// How long its process has run, when it has ended.
    pub fn took(&self) -> Option<Duration> {
        match *self.phase() {
            Phase::Over { took, .. } => Some(took),
            Phase::Before | Phase::Given(_) | Phase::Refused => None,
        }
    }

    /// Sends a signal to every process of the task. If its turn has not come, it's given back.
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

    /// Ends every process of the task, and says how many it has left.
    pub async fn end(&self) -> Result<usize, SpawnError> {
        let phase = *self.phase();
        match phase {
            Phase::Over {
                left, clean: true, ..
            } => Ok(left),
            // What could not be ended by itself says why.
            Phase::Over { clean: false, .. } => self.environment.end(None).await,
            Phase::Given(child) => self.environment.end(Some(child)).await,
            Phase::Before | Phase::Refused => Ok(0),
        }
    }
}
