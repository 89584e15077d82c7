//! The power `batch`: one task after the other for the same instance. Which ones, is the job's to say.

use std::pin::Pin;
use std::sync::Arc;

use super::task::TaskHost;
use crate::PluginError;
use crate::contract::bindings::batch::Host;
use crate::contract::bindings::types::{self, Error};
use crate::contract::convert::{self, error};
use crate::instance::state::State;
use crate::instance::trap::refused;
use persea_model::{Attributes, Outcome, Task};

/// A task of a batch, with what its runner is told of it.
#[derive(Debug)]
pub struct Given {
    /// What is to be run.
    pub task: Arc<Task>,
    /// The settings that the runner may see.
    pub settings: Attributes,
    /// Open data.
    pub more: Attributes,
}

/// What [`BatchHost::next`] answers.
pub type Next<'a> = Pin<Box<dyn Future<Output = Option<Given>> + Send + 'a>>;

/// The tasks of a batch. Implemented by the job.
pub trait BatchHost: Send + Sync {
    /// The task that is run now, as far as there is one, and what all of them share.
    fn task(self: Arc<Self>) -> Arc<dyn TaskHost>;

    /// The next task; it has started. None where there is no more.
    fn next(&self) -> Next<'_>;

    /// The task that was taken last has ended.
    fn finish(&self, outcome: Result<Outcome, PluginError>);
}

/// The power over a batch.
pub(crate) struct BatchPower {
    pub(crate) host: Arc<dyn BatchHost>,
    pub(crate) job_id: String,
    pub(crate) taken: bool,
}

impl State {
    fn batch(&mut self) -> Result<&mut BatchPower, Error> {
        self.batch
            .as_mut()
            .ok_or_else(|| error("unsupported", "this is no batch"))
    }

    async fn next_task(&mut self) -> Result<Option<types::Task>, Error> {
        let batch = self.batch()?;
        if batch.taken {
            return Err(error(
                "invalid",
                "a task was taken and is not finished: say how it ended before the next is taken",
            ));
        }
        let host = Arc::clone(&batch.host);
        let busy = self.idle.busy();
        let next = host.next().await;
        drop(busy);
        let Some(given) = next else {
            return Ok(None);
        };
        let batch = self.batch()?;
        batch.taken = true;
        let task = convert::to_task(&given.task, &batch.job_id, &given.settings, &given.more);
        // Each task has its time, its log and its messages anew.
        let limits = Arc::clone(&self.terms.limits);
        self.log.refill();
        self.usage.refill(limits.ticks());
        if let Some(power) = &mut self.task {
            power.refill(&limits);
        }
        Ok(Some(task))
    }

    fn finish_task(&mut self, outcome: Result<types::Outcome, Error>) -> Result<(), Error> {
        let terms = Arc::clone(&self.terms);
        let batch = self.batch()?;
        if !std::mem::take(&mut batch.taken) {
            return Err(error("invalid", "no task is taken that could be finished"));
        }
        let outcome = match outcome {
            Ok(outcome) => terms.fitting(convert::outcome(outcome, &mut terms.room())),
            Err(error) => Err(refused(&terms.label, error)),
        };
        batch.host.finish(outcome);
        Ok(())
    }
}

impl Host for State {
    async fn next(&mut self) -> wasmtime::Result<Result<Option<types::Task>, Error>> {
        Ok(self.next_task().await)
    }

    async fn finish(
        &mut self,
        outcome: Result<types::Outcome, Error>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.finish_task(outcome))
    }
}
