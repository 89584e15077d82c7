//! The adapter for world `scheduler`: one instance for a whole job.

use std::sync::Arc;

use crate::PluginError;
use crate::contract::bindings::scheduler::Scheduler as Instance;
use crate::contract::bindings::scheduler::exports::persea::plugin::schedule;
use crate::contract::bindings::types;
use crate::contract::convert;
use crate::find::catalog::Catalog;
use crate::instance::call::within;
use crate::instance::state::State;
use crate::instance::terms::Terms;
use crate::instance::trap::{answered, explain};
use crate::worlds::linked::Pre;
use crate::worlds::plugin::Plugin;
use persea_model::{Attributes, Status};

/// A task, as a scheduler sees it.
#[derive(Debug)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The tasks that must have passed before.
    pub needs: Vec<u32>,
    /// The tasks that must have ended before.
    pub after: Vec<u32>,
    /// Open data.
    pub more: Attributes,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This task starts.
    Start(u32),
    /// None starts now.
    Wait,
    /// These are not run at all.
    Drop(Vec<u32>),
}

/// A living instance of a scheduler. After an error it is of no more use.
pub struct Scheduler {
    terms: Arc<Terms>,
    store: wasmtime::Store<State>,
    instance: Instance,
}

impl Scheduler {
    /// A fresh instance in a sandbox of its own, which has been told of the job's tasks.
    pub async fn begin(
        catalog: &Catalog,
        plugin: &Plugin,
        settings: &Attributes,
        nodes: Vec<Node>,
    ) -> Result<Self, PluginError> {
        let Pre::Scheduler(pre) = catalog.linked(plugin).await? else {
            return Err(plugin.is_no("scheduler"));
        };
        plugin.terms.check()?;
        let mut store = catalog.loader().store(&plugin.terms);
        let made = within(&plugin.terms, pre.instantiate_async(&mut store)).await?;
        let instance = made.map_err(|error| explain(&plugin.terms, &mut store, &error))?;
        let mut scheduler = Self {
            terms: Arc::clone(&plugin.terms),
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
        let answer = within(&scheduler.terms, call).await?;
        scheduler.answer(answer)?;
        Ok(scheduler)
    }

    /// The plugin, for messages.
    pub fn label(&self) -> &str {
        &self.terms.label
    }

    /// Tells it that a task has ended.
    pub async fn ended(&mut self, task: u32, status: Status) -> Result<(), PluginError> {
        let calls = self.instance.persea_plugin_schedule();
        let call = calls.call_ended(&mut self.store, task, convert::to_status(status));
        let answer = within(&self.terms, call).await?;
        self.answer(answer)
    }

    /// Asks it for one of the tasks that are ready.
    pub async fn next(&mut self, ready: &[u32]) -> Result<Choice, PluginError> {
        let calls = self.instance.persea_plugin_schedule();
        let call = calls.call_next(&mut self.store, ready);
        let answer = within(&self.terms, call).await?;
        Ok(match self.answer(answer)? {
            schedule::Choice::Start(task) => Choice::Start(task),
            schedule::Choice::Wait => Choice::Wait,
            schedule::Choice::Drop(tasks) => Choice::Drop(tasks),
        })
    }

    fn answer<T>(
        &mut self,
        answer: wasmtime::Result<Result<T, types::Error>>,
    ) -> Result<T, PluginError> {
        answered(&self.terms, &mut self.store, answer)
    }
}
