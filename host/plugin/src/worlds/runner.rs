//! The adapter for the worlds `runner`, where one task has one fresh instance, and `batch-runner`, where one instance has one task after the
//! other. That for `program-runner` is `program`.

use std::sync::Arc;

use crate::PluginError;
use crate::contract::bindings::{runner, types};
use crate::contract::convert;
use crate::find::catalog::Catalog;
use crate::instance::call::unless_idle;
use crate::instance::state::State;
use crate::instance::trap::answered;
use crate::powers::batch::{BatchHost, BatchPower};
use crate::powers::task::TaskHost;
use crate::worlds::linked::Pre;
use crate::worlds::plugin::Plugin;
use persea_model::{Attributes, JobId, Outcome, Task};

impl Catalog {
    /// Runs a task with `plugin` to its end. The future may be dropped at any time: then the instance
    /// is gone, and what is left in the task's environment is the caller's to end.
    pub async fn run(
        &self,
        plugin: &Plugin,
        job: &JobId,
        task: &Task,
        settings: &Attributes,
        more: Attributes,
        host: Arc<dyn TaskHost>,
    ) -> Result<Outcome, PluginError> {
        let wanted = convert::to_task(task, job.as_str(), settings, &more);
        match self.linked(plugin).await? {
            // Apart, as those who only wait for a program would have its size too, and of them there are many.
            Pre::Runner(pre, _) => Box::pin(self.run_alone(plugin, pre, &wanted, host)).await,
            Pre::Programs(programs) => self.run_program(plugin, programs, &wanted, &host).await,
            _ => Err(plugin.is_no("runner")),
        }
    }

    async fn run_alone(
        &self,
        plugin: &Plugin,
        pre: &runner::RunnerPre<State>,
        wanted: &types::Task,
        host: Arc<dyn TaskHost>,
    ) -> Result<Outcome, PluginError> {
        plugin.terms.check()?;
        let mut store = self.task_store(&plugin.terms, host);
        let idle = Arc::clone(&store.data().idle);
        let call = async {
            let instance = pre.instantiate_async(&mut store).await?;
            let calls = instance.persea_plugin_run();
            calls.call_run(&mut store, wanted).await
        };
        let answer = unless_idle(&plugin.terms, &idle, call).await?;
        let outcome = answered(&plugin.terms, &mut store, answer)?;
        let outcome = convert::outcome(outcome, &mut plugin.terms.room());
        plugin.terms.fitting(outcome)
    }

    /// Runs tasks with `plugin` as long as `host` has any for it, and drops the instance. The future may be dropped at any time, as that of
    /// [`Catalog::run`].
    pub async fn run_batch(
        &self,
        plugin: &Plugin,
        job: &JobId,
        host: Arc<dyn BatchHost>,
    ) -> Result<(), PluginError> {
        let Pre::Runner(_, Some(pre)) = self.linked(plugin).await? else {
            return Err(plugin.is_no("runner of batches"));
        };
        plugin.terms.check()?;
        let mut store = self.task_store(&plugin.terms, Arc::clone(&host).task());
        store.data_mut().batch = Some(BatchPower {
            host,
            job_id: job.as_str().to_owned(),
            taken: false,
        });
        let idle = Arc::clone(&store.data().idle);
        let call = async {
            let instance = pre.instantiate_async(&mut store).await?;
            let calls = instance.persea_plugin_run_batch();
            calls.call_run_batch(&mut store).await
        };
        let answer = unless_idle(&plugin.terms, &idle, call).await?;
        answered(&plugin.terms, &mut store, answer)
    }
}
