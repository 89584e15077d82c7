//! Owns a slot: its environment, opened in the state that a task needs. Does not know which tasks
//! run in the slot.

use std::sync::{Mutex, MutexGuard, PoisonError};

use persea_spawner::{Environment, EnvironmentState, SpawnError, Spawner};

/// The index of a slot: those of tasks come first, then those of requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotIndex(pub(crate) usize);

/// A unit of parallelism: runs one task at a time, in its own environment.
pub(crate) struct Slot {
    pub(crate) index: SlotIndex,
    environment: Mutex<Option<(Environment, EnvironmentState)>>,
    /// Held while an environment is opened, so that a slot never opens two.
    opening: tokio::sync::Mutex<()>,
}

impl Slot {
    pub(crate) fn new(index: SlotIndex) -> Self {
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
        let environment = spawner.restore(self.index.0, state).await?;
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
