//! Owns the world `batch-runner`: its trait, the handle to the tasks of a batch, and the adapter to
//! the generated code.

use crate::attributes::Attributes;
use crate::backend;
use crate::bindings::batch_runner as raw;
use crate::bindings::types;
use crate::error::Error;
use crate::export::{Adapter, start};
use crate::runner::{Outcome, Task};

/// A runner that can also run many tasks in one instance and one environment, one after the other.
/// It is meant for kinds whose tasks share an expensive set-up, such as starting an interpreter.
///
/// The plugin has the roles [`runner`](crate::Role::runner) and
/// [`batch-runner`](crate::Role::batch_runner). The host calls [`Runner::run`](crate::Runner::run)
/// only for kinds that the role `batch-runner` does not name, and when the user wants no batches.
///
/// ```
/// # use persea_plugin_sdk::prelude::*;
/// # struct Mine;
/// impl Plugin for Mine {
///     fn describe() -> Description {
///         Description::new("mine", "does nothing")
///             .role(Role::runner(["mine"]))
///             .role(Role::batch_runner(["mine"]))
///     }
/// }
/// # impl Runner for Mine {
/// #     fn run(_: Task) -> Result<Outcome, Error> { Ok(Outcome::pass()) }
/// # }
/// impl BatchRunner for Mine {
///     fn run_batch(batch: &mut Batch) -> Result<(), Error> {
///         // The expensive set-up comes here.
///         while let Some(task) = batch.take_task()? {
///             batch.finish_task(Self::run(task))?;
///         }
///         Ok(())
///     }
/// }
/// export!(Mine: runner, batch_runner);
/// ```
///
/// Powers: those of a [`Runner`](crate::Runner).
pub trait BatchRunner {
    /// Runs a batch: takes each task with [`Batch::take_task`] and ends it with
    /// [`Batch::finish_task`], until there are no more. The runner must make sure that no task sees
    /// anything that another task left behind.
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
pub struct Batch {
    /// The job's id: 40 hexadecimal digits.
    pub job_id: String,
    /// Further data; no names are defined yet.
    pub more: Attributes,
}

impl Batch {
    /// Takes the next task and starts it: its time-out begins to run, and files, messages and
    /// limits are its own from now on. None when this instance gets no more tasks; then
    /// [`run_batch`](BatchRunner::run_batch) should return.
    ///
    /// Processes do not end with the task in which they were started, but with the batch.
    ///
    /// # Errors
    /// `invalid` while the previous task is not finished, `not-permitted`.
    pub fn take_task(&mut self) -> Result<Option<Task>, Error> {
        backend::take_task()
    }

    /// Ends the task that was taken last. An error as outcome ends it with status ERROR.
    ///
    /// # Errors
    /// `invalid` when no task is taken, `not-permitted`.
    pub fn finish_task(&mut self, outcome: Result<Outcome, Error>) -> Result<(), Error> {
        match outcome {
            Ok(outcome) => backend::finish_task(outcome),
            Err(error) => backend::fail_task(error),
        }
    }

    /// A batch of the tasks that [`testing::Host::tasks`](crate::testing::Host::tasks) was given,
    /// for unit tests. [`Installed::outcomes`](crate::testing::Installed::outcomes) has the
    /// outcomes.
    #[cfg(not(target_family = "wasm"))]
    pub fn of_fakes() -> Self {
        Self {
            job_id: "0".repeat(40),
            more: Attributes::new(),
        }
    }
}

impl<P: BatchRunner> raw::Guest for Adapter<P> {
    fn run_batch(request: raw::Request) -> Result<types::Done, raw::Error> {
        start();
        let mut batch = Batch {
            job_id: request.job_id,
            more: Attributes(request.more),
        };
        P::run_batch(&mut batch)?;
        Ok(types::Done { more: Vec::new() })
    }
}
