//! Owns the world `batch-runner`: its trait, the handle to the tasks of a batch, and the adapter to
//! the generated code.

use crate::backend;
use crate::bindings::batch_runner as raw;
use crate::error::Error;
use crate::export::start;
use crate::runner::{Outcome, Runner, Task};
use std::convert::Infallible;
use std::marker::PhantomData;

/// A runner that can also run many tasks in one instance and one environment, one after the other.
/// It is meant for kinds whose tasks share an expensive set-up, such as starting an interpreter.
///
/// Export it with `export!(batch_runner: …)`. The host calls [`Runner::run`] only when the user
/// wants no batches.
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
///         // The expensive set-up comes here.
///         while let Some(task) = batch.next()? {
///             batch.finish(Self::run(task))?;
///         }
///         Ok(())
///     }
/// }
/// export!(batch_runner: Mine);
/// ```
pub trait BatchRunner: Runner {
    /// Runs a batch: takes each task with [`Batch::next`] and ends it with [`Batch::finish`], until
    /// there are no more. The runner must make sure that no task sees anything that another task
    /// left behind.
    ///
    /// A task that is taken and not finished when this returns or panics ends with status ERROR.
    /// When the current task times out or the user interrupts it, all processes of the batch get
    /// SIGTERM, and SIGKILL after a grace period; the task's status is then INTERRUPTED. The other
    /// tasks are not affected: the host puts them into another batch.
    ///
    /// # Errors
    /// An error ends the task that is taken and not finished with status ERROR.
    fn run_batch(batch: &mut Batch) -> Result<(), Error>;
}

/// The handle through which a batch runner takes and finishes the tasks of its batch.
#[derive(Debug)]
pub struct Batch(());

impl Batch {
    /// Takes the next task and starts it: its time-out begins to run, and files, messages and
    /// limits are its own from now on. None when this instance gets no more tasks; then
    /// [`run_batch`](BatchRunner::run_batch) should return.
    ///
    /// Processes do not end with the task in which they were started, but with the batch.
    ///
    /// # Errors
    /// `invalid` while the previous task is not finished.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot fail")]
    pub fn next(&mut self) -> Result<Option<Task>, Error> {
        backend::next_task()
    }

    /// Ends the task that was taken last. An error as outcome ends it with status ERROR.
    ///
    /// # Errors
    /// `invalid` when no task is taken.
    pub fn finish(&mut self, outcome: Result<Outcome, Error>) -> Result<(), Error> {
        backend::finish_task(outcome)
    }

    /// A batch of the tasks that [`testing::Host::tasks`](crate::testing::Host::tasks) was given,
    /// for unit tests. [`Installed::outcomes`](crate::testing::Installed::outcomes) has the
    /// outcomes.
    #[cfg(not(target_family = "wasm"))]
    pub fn of_fakes() -> Self {
        Self(())
    }
}

/// Implemented by [`export!`](crate::export): links the adapter to the plugin.
pub trait Batches {
    /// The plugin's type.
    type Plugin;
}

/// Implements the generated trait for an exported batch runner.
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
