//! Owns the spawners of a job, one of each kind that its tasks use, and passes each request to the
//! spawner that it names. Does not know which task needs which spawner.
//!
//! There is no default: a request for a kind that was not added is an error, so nothing starts in
//! an environment that isolates less than the one that was asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;
use persea_model::{Limit, SpawnerKind};

use crate::waits::Waits;
use crate::{
    Environment, EnvironmentState, LimitMeans, SpawnError, Spawner, SpawnerInputs, descriptor,
};

/// A spawner of a job, with what the job's settings say about it.
struct JobSpawner {
    spawner: Box<dyn Spawner>,
    /// The directory that all tasks with this spawner share.
    common_dir: PathBuf,
    has_network: bool,
    is_fresh: bool,
    /// The job's index of the spawner's first slot.
    first_slot: usize,
}

/// The spawners of a job. Most jobs have one.
#[derive(Default)]
pub struct Spawners {
    all: Vec<JobSpawner>,
    /// The directory with the private directories of several spawners.
    storage: Option<PathBuf>,
}

impl Spawners {
    /// Makes a spawner and adds it. All its tasks share `common_dir`.
    ///
    /// # Errors
    /// The spawner cannot be made here.
    pub fn add(
        &mut self,
        kind: SpawnerKind,
        inputs: SpawnerInputs<'_>,
        common_dir: PathBuf,
    ) -> Result<(), SpawnError> {
        let descriptor = descriptor(kind);
        let config = inputs.config;
        self.all.push(JobSpawner {
            spawner: (descriptor.make)(inputs)?,
            common_dir,
            has_network: (descriptor.has_network)(config),
            is_fresh: (descriptor.is_fresh)(config),
            first_slot: 0,
        });
        Ok(())
    }

    fn find(&self, kind: SpawnerKind) -> Result<&JobSpawner, SpawnError> {
        let mut all = self.all.iter();
        all.find(|own| own.spawner.kind() == kind).ok_or_else(|| {
            SpawnError::Invalid(format!(
                "the spawner `{kind}` was not prepared for this job; this is a bug of Persea"
            ))
        })
    }

    /// The spawner of a kind.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, kind: SpawnerKind) -> Result<&dyn Spawner, SpawnError> {
        Ok(&*self.find(kind)?.spawner)
    }

    /// Whether environments of any spawner can be kept as snapshots.
    pub fn any_has_snapshots(&self) -> bool {
        self.all.iter().any(|own| own.spawner.has_snapshots())
    }

    /// The directory that all tasks with a spawner share.
    pub fn common_dir(&self, kind: SpawnerKind) -> Option<&Path> {
        self.find(kind).ok().map(|own| &*own.common_dir)
    }

    /// Whether tests with a spawner reach the network.
    pub fn has_network(&self, kind: SpawnerKind) -> bool {
        self.find(kind).is_ok_and(|own| own.has_network)
    }

    /// Whether each test with a spawner gets a new environment.
    pub fn is_fresh(&self, kind: SpawnerKind) -> bool {
        self.find(kind).is_ok_and(|own| own.is_fresh)
    }

    /// Sets the job's index of a spawner's first slot. The spawner counts its slots from 0.
    pub fn set_first_slot(&mut self, kind: SpawnerKind, first: usize) {
        let own = self.all.iter_mut().find(|own| own.spawner.kind() == kind);
        if let Some(own) = own {
            own.first_slot = first;
        }
    }

    /// Prepares a spawner for this number of slots. Where the job has several spawners, also checks
    /// that it works, because a job that ends in the middle is of no use to its other tests.
    ///
    /// # Errors
    /// Something is wrong that would fail every task of a slot.
    pub async fn prepare(&self, kind: SpawnerKind, slots: usize) -> Result<(), SpawnError> {
        let spawner = self.get(kind)?;
        if self.all.len() > 1 {
            spawner.probe().await?;
        }
        spawner.prepare(slots).await
    }

    /// The name of the other host on which a slot's environments are; none for this machine.
    pub fn host(&self, kind: SpawnerKind, slot: usize) -> Option<Arc<str>> {
        let own = self.find(kind).ok()?;
        own.spawner.host(slot.saturating_sub(own.first_slot))
    }

    /// What a user should know of the preparation: a line each.
    pub fn notices(&self) -> Vec<String> {
        let all = self.all.iter().flat_map(|own| own.spawner.notices());
        all.collect()
    }

    /// What the spawners wait for.
    pub fn waits(&self) -> Waits {
        let lines = self.all.iter().filter_map(|own| own.spawner.waits());
        Waits::new(lines.collect())
    }

    /// Waits until environments can be opened again on the host of a slot, after one was lost.
    ///
    /// # Errors
    /// The host stays away: no environment will be opened there any more.
    pub async fn recover(&self, kind: SpawnerKind, slot: usize) -> Result<(), SpawnError> {
        let own = self.find(kind)?;
        let slot = slot.saturating_sub(own.first_slot);
        own.spawner.recover(slot).await
    }

    /// Opens an environment for a slot in the given state, with the spawner that the state names.
    ///
    /// # Errors
    /// The environment cannot be opened.
    pub async fn restore(
        &self,
        slot: usize,
        state: &EnvironmentState,
    ) -> Result<Environment, SpawnError> {
        let own = self.find(state.spawner)?;
        let slot = slot.saturating_sub(own.first_slot);
        own.spawner.restore(slot, state).await
    }

    /// Closes a slot's environment, which the spawner has made, and keeps its files as the snapshot
    /// `name`.
    ///
    /// # Errors
    /// The spawner cannot keep them.
    pub async fn snapshot(
        &self,
        kind: SpawnerKind,
        slot: usize,
        environment: Environment,
        name: &str,
    ) -> Result<(), SpawnError> {
        let own = self.find(kind)?;
        let slot = slot.saturating_sub(own.first_slot);
        own.spawner.snapshot(slot, environment, name).await
    }

    /// How a spawner keeps a limit of a test.
    ///
    /// # Errors
    /// There is no such spawner.
    pub fn limit_means(&self, kind: SpawnerKind, limit: Limit) -> Result<LimitMeans, SpawnError> {
        Ok(self.get(kind)?.limit_means(limit))
    }

    /// Hides a path of the host from all environments of isolating spawners that are opened later.
    pub fn hide(&mut self, path: &Path) {
        for own in &mut self.all {
            own.spawner.hide(path);
        }
    }

    /// Gives each environment of an isolating spawner a private directory in place of `shown`.
    /// Where several spawners isolate, each has a directory of its own in `storage`.
    pub fn set_private_directories(&mut self, shown: &Path, storage: &Path) {
        let isolating = |own: &&mut JobSpawner| own.spawner.kind().is_isolating();
        let count = self.all.iter_mut().filter(isolating).count();
        for own in self.all.iter_mut().filter(isolating) {
            if count == 1 {
                own.spawner.set_private_directory(shown, storage);
                continue;
            }
            // Each spawner numbers its directories by itself, and none sees those of the others.
            let place = storage.join(own.spawner.name());
            own.spawner.set_private_directory(shown, &place);
            own.spawner.hide(storage);
            self.storage = Some(storage.to_path_buf());
        }
    }

    /// Removes the files of all spawners, after all environments are closed.
    pub async fn close(&self) {
        join_all(self.all.iter().map(|own| own.spawner.close())).await;
        if let Some(storage) = &self.storage {
            // Missing if no environment was opened.
            let _ = std::fs::remove_dir(storage);
        }
    }
}
