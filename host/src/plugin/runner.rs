//! The adapter for world `runner`: one task, one fresh instance.

use std::sync::Arc;

use super::bindings::runner::exports::persea::plugin::run;
use super::catalog::{Catalog, Plugin, Pre};
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
        let Pre::Runner(pre) = &plugin.pre else {
            return Err(PluginError::Load {
                plugin: plugin.label.clone(),
                message: "it is no runner".into(),
            });
        };
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
        let wanted = run::Task {
            id: task.id.clone(),
            job_id: job.as_str().to_owned(),
            runnable: convert::to_runnable(&task.runnable),
            settings: convert::to_attributes(settings),
            more: convert::to_attributes(&more),
        };
        let answer = match pre.instantiate_async(&mut store).await {
            Ok(instance) => {
                instance
                    .persea_plugin_run()
                    .call_run(&mut store, &wanted)
                    .await
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => {
                store.data_mut().drain_output();
                answer
                    .map(convert::outcome)
                    .map_err(|error| PluginError::Answer {
                        plugin: plugin.label.clone(),
                        code: error.code,
                        message: error.message,
                    })
            }
            Err(error) => Err(explain(&plugin.label, &mut store, &error)),
        }
    }
}
