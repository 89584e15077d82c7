//! Processes: where they run and how they are started, fed, read, signalled and ended. Nothing outside this module starts
//! one. It must not know what a test, a plugin or a job is.
//!
//! A [`Spawner`] opens an [`Environment`] for each slot of parallelism. At the end of an environment's channel sits the
//! helper (crate `persea-helper`), which does the work wherever it runs; so a spawner is only how the helper gets there:
//!
//! - `command`: what to start, how it ended; plain data;
//! - `error`: what can go wrong;
//! - `channel`: requests and replies over any pair of byte streams; `pipe`: one that is let be while they gather;
//! - `environment`: what the rest of the host uses;
//! - `queued`: queued processes, which the helper starts one after the other (pipelining);
//! - `children`: the host's own child processes, and the strays that come to it when a helper is killed;
//! - `registry`: the list of the spawners, with a descriptor for each;
//! - `program`, `launch`: a helper that is a child of the host: its executable, its life;
//! - `process`: the spawner of this machine; `sandbox`: the same in namespaces of its own, over a layer that takes what is written;
//!   `mounts`, `hidden`, `private`: what that takes; `seccomp`: its filter of system calls. Each further spawner is a file beside them.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod channel;
mod children;
mod command;
mod environment;
mod error;
mod hidden;
mod launch;
mod mounts;
mod pipe;
mod private;
mod process;
mod program;
mod queued;
mod registry;
mod sandbox;
mod seccomp;

use std::path::{Path, PathBuf};
use std::pin::Pin;

use persea_model::SpawnerKind;

pub use command::{Command, Exit, Input, Output, Stream};
pub use environment::{Child, Environment};
pub use error::SpawnError;
pub use queued::{PipelinePosition, QueuedProcess};
pub use registry::{Descriptor, Setup, descriptor};

/// What [`Spawner::open`] answers; boxed, so that spawners can be kept in one list.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Environment, SpawnError>> + Send + 'a>>;

/// What [`Spawner::snapshot`] and [`Spawner::close`] answer.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What an environment is to be like when it is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The snapshot that it is brought back to; none for how the spawner makes it.
    pub snapshot: Option<String>,
    /// Its processes reach the network. Where a spawner can't keep them from it, they always do.
    pub network: bool,
    /// Whose it is: what others have started there has no place in it.
    pub owner: Option<String>,
    /// A directory of the host, made where it is missing, that its processes can write to. It has the same path for them.
    pub own: Option<PathBuf>,
}

/// Makes environments of one kind: this machine, a sandbox, a container, another host.
pub trait Spawner: Send + Sync {
    /// Which spawner this is.
    fn kind(&self) -> SpawnerKind;

    /// The name by which users choose the spawner.
    fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Opens an environment for a slot of parallelism. It may be used for any number of tasks, one after the other; when
    /// its helper has died, another one is opened for the slot.
    fn open(&self, slot: usize) -> Opening<'_>;

    /// Whether its environments can be brought back to an earlier state, and do not see what happens in others.
    fn has_snapshots(&self) -> bool {
        descriptor(self.kind()).has_snapshots
    }

    /// Opens an environment for a slot in this state, whatever has become of the one before. A name that no
    /// snapshot has is an error.
    fn restore<'a>(&'a self, slot: usize, state: &'a State) -> Opening<'a> {
        match &state.snapshot {
            None => self.open(slot),
            Some(name) => Box::pin(std::future::ready(Err(no_snapshot(name)))),
        }
    }

    /// Ends everything in an environment of this slot, closes it, and keeps what has become of it under a name, to which others can be
    /// brought back from then on.
    fn snapshot<'a>(
        &'a self,
        slot: usize,
        environment: Environment,
        name: &'a str,
    ) -> Doing<'a, Result<(), SpawnError>> {
        let _ = (slot, environment);
        Box::pin(std::future::ready(Err(no_snapshot(name))))
    }

    /// Hides a path of the host from what runs in environments that are opened from now on, where they can be kept from anything.
    fn hide(&mut self, path: &Path) {
        let _ = path;
    }

    /// Gives each environment that is opened from now on a directory of its own in place of this one of the host, which must be there:
    /// see [`Environment`]. They are kept in `place`, on the same file system, and nothing of them when all is closed.
    fn keep_apart(&mut self, directory: &Path, place: &Path) {
        let _ = (directory, place);
    }

    /// Removes what it keeps, when all environments are closed.
    fn close(&self) -> Doing<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn no_snapshot(name: &str) -> SpawnError {
    SpawnError::Invalid(format!("no environment has been kept as `{name}`"))
}

#[cfg(test)]
mod tests;
