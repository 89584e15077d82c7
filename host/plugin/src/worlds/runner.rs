//! The adapter for the worlds `runner`, where each task has an instance of its own, and
//! `batch-runner`, where one instance has one task after the other.

use std::sync::Arc;

use crate::contract::convert;
use crate::contract::data::{self, Done};
use crate::error::PluginError;
use crate::instance::call::call_unless_idle;
use crate::instance::failure::answer;
use crate::powers::batch::{BatchHost, BatchPower};
use crate::powers::task::TaskHost;
use crate::tracks::calls::{Component, RunnerCalls};
use crate::tracks::linked::LinkedComponent;
use crate::worlds::plugin::Plugin;
use persea_model::{Attributes, JobId, Outcome, Task};

impl Plugin {
    /// Runs a task with this runner, and returns its outcome.
    ///
    /// The future may be dropped at any time. Then the instance is gone, and the caller has to end
    /// what is left in the task's environment.
    pub async fn run(
        &self,
        job: &JobId,
        task: &Task,
        settings: &Attributes,
        more: Attributes,
        host: Arc<dyn TaskHost>,
    ) -> Result<Outcome, PluginError> {
        let task = convert::to_task(task, job.as_str(), settings, &more);
        match self.linked().await? {
            // Boxed so that the future of a program's task, of which there are many, stays small.
            LinkedComponent::Runner { one_task, .. } => {
                Box::pin(self.run_alone(one_task, task, host)).await
            }
            LinkedComponent::ProgramRunner(component) => {
                self.run_program(component, task, &host).await
            }
            LinkedComponent::Resolver(_)
            | LinkedComponent::Lister(_)
            | LinkedComponent::ResultFormat(_)
            | LinkedComponent::RequirementResolver(_)
            | LinkedComponent::Scheduler(_)
            | LinkedComponent::Varianter(_) => Err(self.is_no("runner")),
        }
    }

    async fn run_alone(
        &self,
        component: &Component<dyn RunnerCalls>,
        task: data::Task,
        host: Arc<dyn TaskHost>,
    ) -> Result<Outcome, PluginError> {
        self.context.check_alive()?;
        let mut store = self.runtime.task_store(&self.context, host);
        let idle = Arc::clone(&store.data().idle);
        let call = async {
            let instance = component.instantiate(&mut store).await?;
            instance.run(&mut store, task).await
        };
        let called = call_unless_idle(&self.context, &idle, call).await?;
        let outcome = answer(&self.context, &mut store, called)?;
        let outcome = convert::outcome(outcome, &mut self.context.answer_budget());
        self.context.within_budget(outcome)
    }

    /// Runs tasks with this runner until `host` has no more, and drops the instance. The future may
    /// be dropped at any time, as that of [`Plugin::run`].
    pub async fn run_batch(
        &self,
        job: &JobId,
        host: Arc<dyn BatchHost>,
    ) -> Result<(), PluginError> {
        let LinkedComponent::Runner {
            batch: Some(component),
            ..
        } = self.linked().await?
        else {
            return Err(self.is_no("runner of batches"));
        };
        self.context.check_alive()?;
        let task = Arc::clone(&host).task();
        let mut store = self.runtime.task_store(&self.context, task);
        let power = BatchPower::new(host, job.as_str());
        let job_id = job.as_str().to_owned();
        store.data_mut().give(power);
        let idle = Arc::clone(&store.data().idle);
        let call = async {
            let instance = component.instantiate(&mut store).await?;
            instance.run_batch(&mut store, job_id).await
        };
        let called = call_unless_idle(&self.context, &idle, call).await?;
        answer(&self.context, &mut store, called).map(|Done { more: _ }| ())
    }
}
