//! The world `batch-runner`: its trait, the tasks of a batch, and the adapter between them and the generated code.

use crate::backend;
use crate::bindings::batch_runner as raw;
use crate::error::Error;
use crate::export::start;
use crate::runner::{Outcome, Runner, Task};
use std::convert::Infallible;
use std::marker::PhantomData;

/// A runner that can also run many tasks one after the other, for kinds in which most of a task's time goes into what all tasks have
/// in common. It is exported by `export!(batch_runner: …)`.
///
/// ```
/// # use persea_plugin_sdk::prelude::*;
/// # struct Mine;
/// # impl Runner for Mine {
/// #     fn describe() -> Description { Description::new("mine", "does nothing").kinds(["mine"]) }
/// #     fn run(_: Task) -> Result<Outcome, Error> { Ok(Outcome::pass()) }
/// # }
/// impl BatchRunner for Mine {
///     fn run_batch(batch: &mut Batch) -> Result<(), Error> {
///         // What takes its time comes here.
///         while let Some(task) = batch.next()? {
///             batch.finish(Self::run(task))?;
///         }
///         Ok(())
///     }
/// }
/// export!(batch_runner: Mine);
/// ```
pub trait BatchRunner: Runner {
    /// Runs tasks until there is none. The runner sees to it that no task finds anything that another one has left.
    ///
    /// A task that was taken and has not been finished when this returns or panics ends with status ERROR. No other one pays for
    /// it: those are given to another batch.
    ///
    /// # Errors
    /// The task that was taken ends with status ERROR.
    fn run_batch(batch: &mut Batch) -> Result<(), Error>;
}

/// The tasks of a batch.
#[derive(Debug)]
pub struct Batch(());

impl Batch {
    /// Takes the next task: it has started. From now on files and messages are its own, and its time runs. Processes go on beyond the
    /// task for which they were started; the end of the batch ends them. None when there is no more.
    ///
    /// # Errors
    /// `invalid` while another task is not finished.
    #[expect(
        clippy::should_implement_trait,
        reason = "it can fail, and lends nothing"
    )]
    pub fn next(&mut self) -> Result<Option<Task>, Error> {
        backend::next_task()
    }

    /// Says how the task ended that was taken last. An error ends it with status ERROR.
    ///
    /// # Errors
    /// `invalid` when none is taken.
    pub fn finish(&mut self, outcome: Result<Outcome, Error>) -> Result<(), Error> {
        backend::finish_task(outcome)
    }

    /// A batch of the tasks that the [fakes](crate::testing::Host::tasks) have.
    #[cfg(not(target_family = "wasm"))]
    pub fn of_fakes() -> Self {
        Self(())
    }
}

/// What [`export!`](crate::export) says of the batch runner that it exports.
pub trait Batches {
    /// The author's type.
    type Plugin;
}

/// Implements the generated trait for what is exported.
pub struct BatchAdapter<B>(PhantomData<B>, Infallible);

impl<B: Batches> raw::Guest for BatchAdapter<B>
where
    B::Plugin: BatchRunner,
{
    fn run_batch() -> Result<(), raw::Error> {
        start();
        Ok(B::Plugin::run_batch(&mut Batch(()))?)
    }
}
