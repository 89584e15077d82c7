//! Processes: where they run and how they are started, fed, read, signalled and ended. Nothing outside this module starts
//! one. It must not know what a test, a plugin or a job is.
//!
//! A [`Spawner`] opens an [`Environment`] for each slot of parallelism. At the end of an environment's channel sits the
//! helper (crate `persea-helper`), which does the work wherever it runs; so a spawner is only how the helper gets there:
//!
//! - `command`: what to start, how it ended; plain data;
//! - `error`: what can go wrong;
//! - `channel`: requests and replies over any pair of byte streams;
//! - `environment`: what the rest of the host uses;
//! - `turn`: tasks of one process that follow each other in an environment without asking the host in between;
//! - `children`: the host's own child processes, and the strays that come to it when a helper is killed;
//! - `process`: the spawner of this machine. Each further spawner is a file beside it.

mod channel;
mod children;
mod command;
mod environment;
mod error;
mod process;
mod turn;

use std::pin::Pin;

pub use command::{Command, Exit, Input, Output, Stream};
pub use environment::{Child, Environment};
pub use error::SpawnError;
pub use process::ProcessSpawner;
pub use turn::{InLine, Turn};

/// What [`Spawner::open`] answers; boxed, so that spawners can be kept in one list.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Environment, SpawnError>> + Send + 'a>>;

/// Makes environments of one kind: this machine, a container, another host.
pub trait Spawner: Send + Sync {
    /// The name by which users choose it: lower case letters, digits and hyphens.
    fn name(&self) -> &'static str;

    /// Opens an environment for a slot of parallelism. It may be used for any number of tasks, one after the other; when
    /// its helper has died, another one is opened for the slot.
    fn open(&self, slot: usize) -> Opening<'_>;
}

#[cfg(test)]
mod tests;
