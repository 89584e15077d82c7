//! Owns processes: where they run, and how they are started, fed, read, signalled and ended. No
//! other crate starts one. Does not know about tests, plugins or jobs.
//!
//! A [`Spawner`] opens an [`Environment`] for each slot. At the other end of the environment's
//! channel runs the helper (crate `persea-helper`), which starts and supervises the processes
//! wherever the environment is. A spawner therefore only has to bring the helper there:
//!
//! - `descriptor`: what the rest of the host knows about a spawner;
//! - `registry`: the list of the spawners;
//! - `spawners`: the spawners of a job, one of each kind that its tasks use;
//! - `waits`: what they wait for, such as nodes of a cluster;
//! - `process`: the spawner that does not isolate;
//! - `sandbox`: the spawner of sandboxes on this machine, with the mounts, masks, layers and the
//!   seccomp filter that it takes;
//! - `container`: the spawner of containers of Podman or Docker on this machine;
//! - `ssh`: the spawner of other hosts over ssh;
//! - `slurm`: the spawner of a cluster;
//! - `remote`: what other hosts of any kind have in common: a connection, over which the helper is
//!   sent and run;
//! - `project`: the project as it is sent to hosts that do not share this machine's files;
//! - `owner`: which host has made a thing outside of this process, and whether it was killed;
//! - `lease`: how long a helper on another host lives without this one;
//! - `environment`: an environment and its processes, as the rest of the host sees them, with
//!   commands and queued processes (pipelining);
//! - `channel`: requests and replies over a pair of byte streams;
//! - `limits`: what the test in an environment may use, and `cgroup` for those by the kernel;
//! - `error`: what can go wrong with a process or an environment;
//! - `launch`: a helper that is a child process of the host, its executable, and the list of the
//!   host's child processes.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod cgroup;
mod channel;
mod container;
mod descriptor;
mod environment;
mod error;
mod launch;
mod lease;
mod limits;
mod owner;
mod process;
mod project;
mod registry;
mod remote;
mod sandbox;
mod slurm;
mod spawners;
mod ssh;
mod waits;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use persea_model::{Limit, SpawnerKind};
use tokio::sync::watch;

pub use descriptor::{Descriptor, SpawnerInputs};
pub use environment::command::{
    Command, Ending, Exit, Input, MAX_INPUT, Output, PeakOf, Stream, TerminalSize, Usage,
};
pub use environment::identity::EnvironmentId;
pub use environment::queued::{PipelinePosition, QueuedProcess};
pub use environment::remote_files::{Fetched, RemoteFiles};
pub use environment::{Child, Environment};
pub use error::SpawnError;
pub use limits::{LimitMeans, LimitsReport, ReachedLimit};
pub use registry::descriptor;
pub use spawners::Spawners;
pub use waits::Waits;

/// A future that a [`Spawner`] returns; boxed, so that spawners can be trait objects.
pub type SpawnerFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The state in which an environment is opened. It has no default: each names its spawner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentState {
    /// The spawner of the environment.
    pub spawner: SpawnerKind,
    /// The image of a container; none for the one that the settings name, and for a spawner without
    /// images.
    pub image: Option<String>,
    /// The name of the snapshot that the environment is restored from; none for a new environment.
    pub snapshot: Option<String>,
    /// Whether the processes reach the network. They always do if the spawner cannot isolate it.
    pub network: bool,
    /// The third-party plugin that the environment belongs to, by its digest; none for the user's
    /// own tasks. An environment is not shared between owners.
    pub owner: Option<String>,
    /// A directory of the host that the processes can write to, at the same path. The spawner
    /// creates it if it is missing.
    pub writable_directory: Option<PathBuf>,
}

impl EnvironmentState {
    /// A new environment of a spawner, without a network where the spawner can isolate it.
    pub const fn new(spawner: SpawnerKind) -> Self {
        Self {
            spawner,
            image: None,
            snapshot: None,
            network: false,
            owner: None,
            writable_directory: None,
        }
    }
}

/// Opens environments of one kind: on this machine, in a sandbox, in a container, on another host.
pub trait Spawner: Send + Sync {
    /// The description of the spawner.
    fn descriptor(&self) -> &'static Descriptor;

    /// The kind of the spawner.
    fn kind(&self) -> SpawnerKind {
        self.descriptor().kind
    }

    /// The name by which users choose the spawner.
    fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Opens a new environment for a slot. The environment serves any number of tasks, one after
    /// the other. If its helper dies, another environment is opened for the slot.
    fn open(&self, slot: usize) -> SpawnerFuture<'_, Result<Environment, SpawnError>>;

    /// Prepares for this number of slots, before anything runs in them.
    ///
    /// # Errors
    /// Something is wrong that would fail every task of a slot.
    fn prepare(&self, slots: usize) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        let _ = slots;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Checks what an environment needs here, before the first one is opened for a task, in a job
    /// whose other tasks run with other spawners.
    ///
    /// # Errors
    /// Something is wrong that would fail every task.
    fn probe(&self) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// What a user should know of the preparation, for example what was sent to other hosts: a line
    /// each.
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }

    /// The name of the other host on which a slot's environments are; none for this machine.
    fn host(&self, slot: usize) -> Option<Arc<str>> {
        let _ = slot;
        None
    }

    /// What the spawner waits for, for people, each time that it changes: its last word is that the
    /// wait is over. None for a spawner that never waits for long.
    fn waits(&self) -> Option<watch::Receiver<Arc<str>>> {
        None
    }

    /// Waits until environments can be opened again on the host of a slot, after one was lost.
    ///
    /// # Errors
    /// The host stays away: no environment will be opened there any more.
    fn recover(&self, slot: usize) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        let _ = slot;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Whether environments can be restored from snapshots, and do not see what happens in others.
    fn has_snapshots(&self) -> bool {
        self.descriptor().has_snapshots
    }

    /// Opens an environment for a slot in the given state, which does not depend on the slot's
    /// previous environment. An unknown snapshot is an error.
    fn restore<'a>(
        &'a self,
        slot: usize,
        state: &'a EnvironmentState,
    ) -> SpawnerFuture<'a, Result<Environment, SpawnError>> {
        match &state.snapshot {
            None => self.open(slot),
            Some(name) => Box::pin(std::future::ready(Err(no_snapshot(name)))),
        }
    }

    /// Ends every process of a slot's environment, closes the environment, and keeps its files as
    /// the snapshot `name`, for [`Spawner::restore`].
    fn snapshot<'a>(
        &'a self,
        slot: usize,
        environment: Environment,
        name: &'a str,
    ) -> SpawnerFuture<'a, Result<(), SpawnError>> {
        let _ = (slot, environment);
        Box::pin(std::future::ready(Err(no_snapshot(name))))
    }

    /// Checks whether environments can be made on this machine, as far as the settings allow: opens
    /// one, in which the helper has to start, and closes it.
    fn check(&self) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        Box::pin(async {
            self.open(0).await?.close().await;
            Ok(())
        })
    }

    /// How a limit of a test is kept in the environments of this spawner.
    fn limit_means(&self, limit: Limit) -> LimitMeans {
        limits::without_cgroup(limit, "this spawner makes none")
    }

    /// Removes what killed hosts have left of their environments, as far as it does not go by
    /// itself. Returns the number of removed things.
    fn remove_abandoned(&self) -> SpawnerFuture<'_, Result<usize, SpawnError>> {
        Box::pin(std::future::ready(Ok(0)))
    }

    /// Hides a path of the host from all environments that are opened later. Does nothing if the
    /// spawner does not isolate.
    fn hide(&mut self, path: &Path) {
        let _ = path;
    }

    /// Gives each environment that is opened later a private directory, which the environment sees
    /// in place of `shown`, an existing directory of the host. Creates the private directories in
    /// `storage`, which must be on the same file system, and removes `storage` in
    /// [`Spawner::close`]. Does nothing if the spawner does not isolate.
    fn set_private_directory(&mut self, shown: &Path, storage: &Path) {
        let _ = (shown, storage);
    }

    /// Removes the spawner's files, after all environments are closed.
    fn close(&self) -> SpawnerFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn no_snapshot(name: &str) -> SpawnError {
    SpawnError::Invalid(format!("there is no snapshot `{name}` of an environment"))
}

#[cfg(test)]
mod tests;
