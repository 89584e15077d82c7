//! The adapter for the worlds `runner`, where one task has one fresh instance, and `batch-runner`, where one instance has one task after the
//! other.

use std::sync::Arc;

use wasmtime::Store;

use super::bindings::types;
use super::catalog::{Catalog, Plugin, Pre};
use super::powers::batch::{BatchHost, BatchPower};
use super::powers::log::{Level, Log};
use super::powers::task::{TaskHost, TaskPower};
use super::state::State;
use super::trap::explain;
use super::{PluginError, convert};
use crate::model::{Attributes, JobId, Outcome, Task};

impl Catalog {
    /// Runs a task with `plugin` to its end, and drops the instance. The future may be dropped at any time: then the instance
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
        let Pre::Runner(pre, _) = &plugin.pre else {
            return Err(no_runner(plugin));
        };
        let mut store = self.task_store(host);
        let wanted = convert::to_task(task, job.as_str(), settings, &more);
        let answer = match pre.instantiate_async(&mut store).await {
            Ok(instance) => {
                instance
                    .persea_plugin_run()
                    .call_run(&mut store, &wanted)
                    .await
            }
            Err(error) => Err(error),
        };
        answered(plugin, &mut store, answer).map(convert::outcome)
    }

    /// Runs tasks with `plugin` as long as `host` has any for it, and drops the instance. The future may be dropped at any time, as that of
    /// [`Catalog::run`].
    pub async fn run_batch(
        &self,
        plugin: &Plugin,
        job: &JobId,
        host: Arc<dyn BatchHost>,
    ) -> Result<(), PluginError> {
        let Pre::Runner(_, Some(pre)) = &plugin.pre else {
            return Err(no_runner(plugin));
        };
        let mut store = self.task_store(Arc::clone(&host).task());
        store.data_mut().batch = Some(BatchPower {
            host,
            label: plugin.label.clone(),
            job_id: job.as_str().to_owned(),
            limits: self.limits.clone(),
            taken: false,
        });
        let answer = match pre.instantiate_async(&mut store).await {
            Ok(instance) => {
                let calls = instance.persea_plugin_run_batch();
                calls.call_run_batch(&mut store).await
            }
            Err(error) => Err(error),
        };
        answered(plugin, &mut store, answer)
    }

    /// A store whose instance may act on a task.
    fn task_store(&self, host: Arc<dyn TaskHost>) -> Store<State> {
        let log = Arc::clone(&host);
        let target = Box::new(move |level: Level, message: &str| log.log(level, message));
        let mut store = State::store(
            &self.compiler.engine,
            &self.limits,
            Log::new(target, self.limits.log_bytes),
        );
        store.data_mut().task = Some(TaskPower {
            host,
            bytes_left: self.limits.status_bytes,
        });
        store
    }
}

fn no_runner(plugin: &Plugin) -> PluginError {
    PluginError::Load {
        plugin: plugin.label.clone(),
        message: "it is no runner, or none for batches".into(),
    }
}

fn answered<T>(
    plugin: &Plugin,
    store: &mut Store<State>,
    answer: wasmtime::Result<Result<T, types::Error>>,
) -> Result<T, PluginError> {
    match answer {
        Ok(answer) => {
            store.data_mut().drain_output();
            answer.map_err(|error| PluginError::Answer {
                plugin: plugin.label.clone(),
                code: error.code,
                message: error.message,
            })
        }
        Err(error) => Err(explain(&plugin.label, store, &error)),
    }
}
