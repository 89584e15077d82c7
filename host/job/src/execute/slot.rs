//! Owns a slot: its environment, opened in the state that a task needs, and the reports of how
//! environments change. Does not know which tasks run in the slot.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use persea_journal::EnvironmentPhase;
use persea_model::SpawnerKind;
use persea_spawner::{Environment, EnvironmentId, EnvironmentState, SpawnError, Spawners};
use tokio::sync::{mpsc, oneshot};

use crate::execute::messages::{EnvironmentNews, ExecutorMessage};

/// The index of a slot: those of tasks come first, then those of requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotIndex(pub(crate) usize);

/// A unit of parallelism: runs one task at a time, in its own environment.
pub(crate) struct Slot {
    pub(crate) index: SlotIndex,
    environment: Mutex<Option<(Environment, EnvironmentState)>>,
    /// Held while an environment is opened, so that a slot never opens two.
    opening: tokio::sync::Mutex<()>,
    /// Where changes of environments are reported; none outside of a job.
    reports: Option<EnvironmentReports>,
}

/// The way of changes of environments to the dispatcher. Clones number environments together.
#[derive(Clone)]
pub(crate) struct EnvironmentReports {
    messages: mpsc::UnboundedSender<ExecutorMessage>,
    /// The number of the last environment.
    last: Arc<AtomicUsize>,
}

impl EnvironmentReports {
    /// Numbers environments from after `last`.
    pub(crate) fn new(messages: mpsc::UnboundedSender<ExecutorMessage>, last: usize) -> Self {
        Self {
            messages,
            last: Arc::new(AtomicUsize::new(last)),
        }
    }

    /// Reports the start of a new environment.
    fn begin(&self, slot: SlotIndex, spawner: SpawnerKind) -> EnvironmentReport {
        let report = EnvironmentReport {
            messages: self.messages.clone(),
            spawner,
            number: self.last.fetch_add(1, Ordering::Relaxed) + 1,
            slot,
        };
        report.send(
            EnvironmentPhase::Starting,
            None,
            EnvironmentId::default(),
            None,
        );
        report
    }
}

/// The reports of one environment.
struct EnvironmentReport {
    messages: mpsc::UnboundedSender<ExecutorMessage>,
    spawner: SpawnerKind,
    number: usize,
    slot: SlotIndex,
}

impl EnvironmentReport {
    fn send(
        &self,
        state: EnvironmentPhase,
        reason: Option<String>,
        id: EnvironmentId,
        proceed: Option<oneshot::Sender<()>>,
    ) {
        let news = EnvironmentNews {
            number: self.number,
            spawner: self.spawner,
            slot: self.slot,
            state,
            reason,
            id,
            proceed,
        };
        let _ = self
            .messages
            .send(ExecutorMessage::Environment(Box::new(news)));
    }

    /// Reports that the environment is ready, waits until the journal has that, and reports later
    /// that it has ended. A host that takes the job over then knows what has to have ended before
    /// another attempt of a task.
    async fn ready(self, environment: &Environment) {
        let (proceed, recorded) = oneshot::channel();
        let id = environment.id().clone();
        self.send(EnvironmentPhase::Ready, None, id, Some(proceed));
        // Fails only if the job has ended.
        let _ = recorded.await;
        let ended = environment.ended();
        tokio::spawn(async move {
            let lost = ended.await;
            let state = match lost {
                Some(_) => EnvironmentPhase::Lost,
                None => EnvironmentPhase::Closed,
            };
            self.send(state, lost, EnvironmentId::default(), None);
        });
    }

    /// Reports that the environment could not be made.
    fn failed(&self, error: &SpawnError) {
        let reason = Some(error.to_string());
        self.send(
            EnvironmentPhase::Closed,
            reason,
            EnvironmentId::default(),
            None,
        );
    }
}

impl Slot {
    pub(crate) fn new(index: SlotIndex) -> Self {
        Self {
            index,
            environment: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            reports: None,
        }
    }

    /// A slot whose environments are reported.
    pub(crate) fn reporting(index: SlotIndex, reports: &EnvironmentReports) -> Self {
        Self {
            reports: Some(reports.clone()),
            ..Self::new(index)
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
        spawners: &Spawners,
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
        let report = self
            .reports
            .as_ref()
            .map(|it| it.begin(self.index, state.spawner));
        let opened = spawners.restore(self.index.0, state).await;
        match (&opened, report) {
            (Ok(environment), Some(report)) => report.ready(environment).await,
            (Err(error), Some(report)) => report.failed(error),
            (Ok(_) | Err(_), None) => {}
        }
        let environment = opened?;
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
