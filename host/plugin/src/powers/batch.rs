//! The power `batch`: one task after the other for the same instance. Does not know how the job
//! chooses the tasks.

use std::pin::Pin;
use std::sync::Arc;

use crate::contract::convert::{self, error};
use crate::contract::data::{self, Error};
use crate::contract::world::World;
use crate::error::PluginError;
use crate::instance::failure::answered_error;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::descriptor::Power;
use crate::powers::task::{TaskFuture, TaskHost};
use persea_model::{Attributes, Outcome, Task};

pub(crate) static POWER: Power = Power {
    name: "batch",
    worlds: &[World::Runner],
    words: "take one task of the job after the other",
    grant: None,
    more_grants: &[],
};

/// A task of a batch, with what the runner gets to know about it.
#[derive(Debug)]
pub struct BatchTask {
    /// The task.
    pub task: Arc<Task>,
    /// The settings that the runner has declared.
    pub settings: Attributes,
    /// Further data.
    pub more: Attributes,
}

/// The answer of [`BatchHost::next`].
pub type NextBatchTask<'a> = Pin<Box<dyn Future<Output = Option<BatchTask>> + Send + 'a>>;

/// The tasks of a batch. Implemented by the job.
pub trait BatchHost: Send + Sync {
    /// Returns the task that runs now, if one does, with what all tasks of the batch share.
    fn task(self: Arc<Self>) -> Arc<dyn TaskHost>;

    /// Starts the next task and returns it; none if the batch is over.
    fn next(&self) -> NextBatchTask<'_>;

    /// Ends the task that was started last.
    fn finish(&self, outcome: Result<Outcome, PluginError>) -> TaskFuture<'_, ()>;
}

/// The batch of one instance.
pub(crate) struct BatchPower {
    host: Arc<dyn BatchHost>,
    job_id: String,
    /// Whether a task has started and not ended.
    has_task: bool,
}

impl BatchPower {
    pub(crate) fn new(host: Arc<dyn BatchHost>, job_id: &str) -> Self {
        Self {
            host,
            job_id: job_id.to_owned(),
            has_task: false,
        }
    }
}

impl PowerState for BatchPower {}

impl InstanceState {
    fn batch(&mut self) -> Result<&mut BatchPower, Error> {
        self.permitted(&POWER)
    }

    /// Starts the next task of the batch; none if there are no more.
    pub(crate) async fn start_next_task(&mut self) -> Result<Option<data::Task>, Error> {
        let batch = self.batch()?;
        if batch.has_task {
            return Err(error(
                "invalid",
                "the previous task is not finished: call `finish-task` before `take-task`",
            ));
        }
        let host = Arc::clone(&batch.host);
        let busy = self.idle.busy();
        let next = host.next().await;
        drop(busy);
        let Some(next) = next else {
            return Ok(None);
        };
        let batch = self.batch()?;
        batch.has_task = true;
        let task = convert::to_task(&next.task, &batch.job_id, &next.settings, &next.more);
        self.refill();
        Ok(Some(task))
    }

    /// Ends the task that was started last.
    pub(crate) async fn end_task(
        &mut self,
        outcome: Result<data::Outcome, Error>,
    ) -> Result<(), Error> {
        let context = Arc::clone(&self.context);
        let batch = self.batch()?;
        if !std::mem::take(&mut batch.has_task) {
            return Err(error("invalid", "no task is taken that could be finished"));
        }
        let outcome = match outcome {
            Ok(outcome) => {
                context.within_budget(convert::outcome(outcome, &mut context.answer_budget()))
            }
            Err(error) => Err(answered_error(&context.label, error)),
        };
        let host = Arc::clone(&batch.host);
        let _busy = self.idle.busy();
        host.finish(outcome).await;
        Ok(())
    }
}
