//! The adapter for world `scheduler`: one instance for a whole job.

use std::sync::Arc;

use wasmtime::Store;

use super::bindings::scheduler::Scheduler as Instance;
use super::bindings::scheduler::exports::persea::plugin::schedule;
use crate::contract::bindings::types;
use crate::contract::convert;
use crate::error::PluginError;
use crate::instance::call::call_in_time;
use crate::instance::context::PluginContext;
use crate::instance::failure::{answer, failure};
use crate::instance::state::InstanceState;
use crate::worlds::linked::LinkedComponent;
use crate::worlds::plugin::Plugin;
use persea_model::{Attributes, Status};

/// A task, as a scheduler sees it. Other tasks are named by their index in the list of all tasks.
#[derive(Debug)]
pub struct SchedulerNode {
    /// The task's id.
    pub id: String,
    /// The task's name for people.
    pub name: String,
    /// The kind of the task's runnable.
    pub kind: String,
    /// The tasks that must have passed before this one starts.
    pub needs: Vec<u32>,
    /// The tasks that must have ended before this one starts.
    pub after: Vec<u32>,
    /// Further data.
    pub more: Attributes,
}

/// What the job does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchedulerChoice {
    /// It starts this task.
    Start(u32),
    /// It starts no task now.
    Wait,
    /// It never runs these tasks.
    Drop(Vec<u32>),
}

/// An instance of a scheduler. It cannot be called again after an error.
pub struct Scheduler {
    context: Arc<PluginContext>,
    store: Store<InstanceState>,
    instance: Instance,
}

impl Scheduler {
    /// Makes an instance of a scheduler, and gives it the job's tasks.
    pub async fn begin(
        plugin: &Plugin,
        settings: &Attributes,
        nodes: Vec<SchedulerNode>,
    ) -> Result<Self, PluginError> {
        let LinkedComponent::Scheduler(component) = plugin.linked().await? else {
            return Err(plugin.is_no("scheduler"));
        };
        let context = &plugin.context;
        context.check_alive()?;
        let mut store = plugin.runtime.store(context);
        let made = call_in_time(context, component.instantiate_async(&mut store)).await?;
        let instance = made.map_err(|error| failure(context, &mut store, &error))?;
        let mut scheduler = Self {
            context: Arc::clone(context),
            store,
            instance,
        };
        let nodes: Vec<schedule::Node> = nodes
            .into_iter()
            .map(|node| schedule::Node {
                id: node.id,
                name: node.name,
                kind: node.kind,
                needs: node.needs,
                after: node.after,
                more: convert::to_attributes(&node.more),
            })
            .collect();
        let settings = convert::to_attributes(settings);
        let calls = scheduler.instance.persea_plugin_schedule();
        let call = calls.call_begin(&mut scheduler.store, &nodes, &settings);
        let called = call_in_time(&scheduler.context, call).await?;
        scheduler.answer(called)?;
        Ok(scheduler)
    }

    /// Returns the plugin's name in messages.
    pub fn label(&self) -> &str {
        &self.context.label
    }

    /// Reports that a task has ended.
    pub async fn ended(&mut self, task: u32, status: Status) -> Result<(), PluginError> {
        let calls = self.instance.persea_plugin_schedule();
        let call = calls.call_ended(&mut self.store, task, convert::to_status(status));
        let called = call_in_time(&self.context, call).await?;
        self.answer(called)
    }

    /// Returns the scheduler's choice among the tasks that are ready.
    pub async fn next(&mut self, ready: &[u32]) -> Result<SchedulerChoice, PluginError> {
        let calls = self.instance.persea_plugin_schedule();
        let call = calls.call_next(&mut self.store, ready);
        let called = call_in_time(&self.context, call).await?;
        Ok(match self.answer(called)? {
            schedule::Choice::Start(task) => SchedulerChoice::Start(task),
            schedule::Choice::Wait => SchedulerChoice::Wait,
            schedule::Choice::Drop(tasks) => SchedulerChoice::Drop(tasks),
        })
    }

    fn answer<T>(
        &mut self,
        called: wasmtime::Result<Result<T, types::Error>>,
    ) -> Result<T, PluginError> {
        answer(&self.context, &mut self.store, called)
    }
}
