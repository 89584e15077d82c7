//! The adapter for world `scheduler`: one instance for a whole job.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::Store;

use crate::contract::convert;
use crate::contract::known_keys::{CHOICE, DONE, TASK_START};
use crate::contract::limits::PLAN_PAGE;
use crate::error::PluginError;
use crate::instance::call::call_in_time;
use crate::instance::context::PluginContext;
use crate::instance::failure::{answer, failure};
use crate::instance::state::InstanceState;
use crate::tracks::calls::{Called, PlanNode, SchedulerCalls, TaskEnd, Turn};
use crate::tracks::linked::LinkedComponent;
use crate::worlds::plugin::Plugin;
use persea_model::{Attribute, Attributes, Status};

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

/// A task that has ended, as a scheduler sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulerTaskEnd {
    /// The task's index in the list of all tasks.
    pub task: u32,
    /// How it ended.
    pub status: Status,
    /// Further data: `elapsed`.
    pub more: Attributes,
}

/// A task that a scheduler starts.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulerStart {
    /// The task's index in the list of all tasks.
    pub task: u32,
    /// The instances of resources that the task gets, by the names of the resources; the host
    /// chooses those that are missing here.
    pub instances: BTreeMap<String, Vec<String>>,
}

/// What the job does next. With neither, no task starts now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchedulerChoice {
    /// The job starts these tasks, in this order.
    pub start: Vec<SchedulerStart>,
    /// The job never runs these tasks.
    pub cancel: Vec<u32>,
}

/// The most tasks in one page of the plan, and the most ready tasks in one turn.
pub const SCHEDULER_PAGE: usize = PLAN_PAGE.most;

/// An instance of a scheduler. It cannot be called again after an error.
pub struct Scheduler {
    context: Arc<PluginContext>,
    store: Store<InstanceState>,
    instance: Box<dyn SchedulerCalls>,
}

impl Scheduler {
    /// Makes an instance of a scheduler, and gives it the job's tasks. `more` is the host's further
    /// data about the job: `slots`.
    pub async fn begin(
        plugin: &Plugin,
        settings: &Attributes,
        more: &Attributes,
        nodes: impl ExactSizeIterator<Item = SchedulerNode>,
    ) -> Result<Self, PluginError> {
        let LinkedComponent::Scheduler(component) = plugin.linked().await? else {
            return Err(plugin.is_no("scheduler"));
        };
        let context = &plugin.context;
        context.check_alive()?;
        let mut store = plugin.runtime.store(context);
        let made = call_in_time(context, component.instantiate(&mut store)).await?;
        let instance = made.map_err(|error| failure(context, &mut store, &error))?;
        let mut scheduler = Self {
            context: Arc::clone(context),
            store,
            instance,
        };
        let tasks = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        let settings = convert::to_attributes(settings);
        let more = convert::to_attributes(more);
        let store = &mut scheduler.store;
        let call = scheduler.instance.start_job(store, tasks, settings, more);
        let called = call_in_time(&scheduler.context, call).await?;
        let done = scheduler.answer(called)?;
        scheduler.context.log_unknown(&DONE, &done.more);
        let mut nodes = nodes.map(|node| PlanNode {
            id: node.id,
            name: node.name,
            kind: node.kind,
            needs: node.needs,
            after: node.after,
            more: convert::to_attributes(&node.more),
        });
        loop {
            let page: Vec<PlanNode> = nodes.by_ref().take(SCHEDULER_PAGE).collect();
            if page.is_empty() {
                return Ok(scheduler);
            }
            scheduler.add_to_plan(page).await?;
        }
    }

    async fn add_to_plan(&mut self, nodes: Vec<PlanNode>) -> Result<(), PluginError> {
        let call = self.instance.add_to_plan(&mut self.store, nodes);
        let called = call_in_time(&self.context, call).await?;
        let done = self.answer(called)?;
        self.context.log_unknown(&DONE, &done.more);
        Ok(())
    }

    /// Returns the plugin's name in messages.
    pub fn label(&self) -> &str {
        &self.context.label
    }

    /// Reports tasks that have ended.
    pub async fn ended(&mut self, ends: Vec<SchedulerTaskEnd>) -> Result<(), PluginError> {
        let mut ends = ends.into_iter().map(|end| TaskEnd {
            task: end.task,
            status: end.status,
            more: convert::to_attributes(&end.more),
        });
        loop {
            let page: Vec<TaskEnd> = ends.by_ref().take(SCHEDULER_PAGE).collect();
            if page.is_empty() {
                return Ok(());
            }
            let call = self.instance.tasks_ended(&mut self.store, page);
            let called = call_in_time(&self.context, call).await?;
            let done = self.answer(called)?;
            self.context.log_unknown(&DONE, &done.more);
        }
    }

    /// Returns the scheduler's choice among the tasks that are ready, of which `slots` can start
    /// now. `more` is the host's further data: `free`.
    pub async fn next(
        &mut self,
        ready: &[u32],
        slots: u32,
        more: &Attributes,
    ) -> Result<SchedulerChoice, PluginError> {
        let turn = Turn {
            ready: ready.to_vec(),
            slots,
            more: convert::to_attributes(more),
        };
        let call = self.instance.next_tasks(&mut self.store, turn);
        let called = call_in_time(&self.context, call).await?;
        let choice = self.answer(called)?;
        self.context.log_unknown(&CHOICE, &choice.more);
        let mut budget = self.context.answer_budget();
        let mut start = Vec::with_capacity(choice.start.len());
        for chosen in choice.start {
            self.context.log_unknown(&TASK_START, &chosen.more);
            let more = convert::attributes(chosen.more, &mut budget);
            let more = self.context.within_budget(more)?;
            start.push(SchedulerStart {
                task: chosen.task,
                instances: instances(&more).map_err(|message| self.context.invalid(message))?,
            });
        }
        Ok(SchedulerChoice {
            start,
            cancel: choice.cancel,
        })
    }

    fn answer<T>(&mut self, called: Called<T>) -> Result<T, PluginError> {
        answer(&self.context, &mut self.store, called)
    }
}

/// Returns the instances of resources that a scheduler chooses for a task.
fn instances(more: &Attributes) -> Result<BTreeMap<String, Vec<String>>, String> {
    let Some(chosen) = more.get("instances").filter(|it| !it.is_null()) else {
        return Ok(BTreeMap::new());
    };
    let refuse = || format!("`instances` is {chosen}, and must be an object of lists of texts");
    let members = chosen.members().ok_or_else(refuse)?;
    let names = |(resource, value): (String, Attribute)| {
        let names = value.items().ok_or_else(refuse)?.into_iter();
        let names = names.map(|name| name.into_text().ok_or_else(refuse));
        Ok((resource, names.collect::<Result<_, String>>()?))
    };
    members.into_iter().map(names).collect()
}
