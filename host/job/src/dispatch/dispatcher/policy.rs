//! Owns the choice of the ready task that starts next: the first in plan order, or the one that a
//! scheduler plugin chooses. Does not know how a task is started.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{DispatchState, Dispatcher};
use crate::dispatch::queue::Queue;
use crate::plan::entry::TaskFate;
use crate::plan::graph::{Dependency, Graph};
use crate::plan::history::History;
use crate::plan::planner::Plan;
use crate::plan::slot_pools::PoolIndex;
use persea_config::Config;
use persea_journal::{Event, Warning, WarningCause};
use persea_model::{Attribute, Attributes, Outcome, Requirement, Status, Task, TaskIndex};
use persea_plugin::{
    Plugin, PluginError, SCHEDULER_PAGE, Scheduler, SchedulerChoice, SchedulerNode,
    SchedulerTaskEnd,
};

/// The scheduling policy of a job: plan order, or a scheduler plugin with the results that it has
/// not received yet.
pub(crate) struct Policy {
    scheduler: Option<Scheduler>,
    ended: Vec<SchedulerTaskEnd>,
    /// The tasks that the scheduler chose and that no slot has taken yet, in its order. The
    /// scheduler is not asked again before they have started.
    chosen: VecDeque<TaskIndex>,
}

impl Policy {
    /// Plan order, without a scheduler plugin.
    pub(crate) fn none() -> Self {
        Self {
            scheduler: None,
            ended: Vec::new(),
            chosen: VecDeque::new(),
        }
    }

    /// Instantiates a scheduler plugin and passes it the tasks of the plan.
    pub(crate) async fn begin(
        plugin: &Plugin,
        config: &Config,
        (plan, graph): (&Plan, &Graph),
        history: &History,
        slots: u32,
    ) -> Result<Self, PluginError> {
        let node = |task: &Task| {
            let waits = |wanted: Dependency| {
                let all = graph.dependencies(task.index);
                let wanted = all.filter(|(_, wait)| *wait == wanted);
                wanted
                    .filter_map(|(other, _)| contract_index(other))
                    .collect()
            };
            SchedulerNode {
                id: task.id.to_string(),
                name: task.name.to_string(),
                kind: task.runnable.kind.clone(),
                needs: waits(Dependency::Needs),
                after: waits(Dependency::After),
                more: about(task, history),
            }
        };
        let nodes = plan.entries.iter().map(|entry| node(&entry.task));
        let settings = plugin.configured(config);
        let more = Attributes::from([("slots".to_owned(), u64::from(slots).into())]);
        let scheduler = Scheduler::begin(plugin, &settings, &more, nodes).await?;
        Ok(Self {
            scheduler: Some(scheduler),
            ended: Vec::new(),
            chosen: VecDeque::new(),
        })
    }

    pub(crate) fn is_plugin(&self) -> bool {
        self.scheduler.is_some()
    }

    /// Forgets the scheduler's choice once a slot has taken that task.
    pub(super) fn taken(&mut self, task: TaskIndex) {
        self.chosen.retain(|chosen| *chosen != task);
    }

    /// Keeps a result for the scheduler, which receives it before it chooses again.
    pub(super) fn ended(&mut self, task: TaskIndex, status: Status, elapsed: u64) {
        if self.scheduler.is_some()
            && let Some(task) = contract_index(task)
        {
            self.ended.push(SchedulerTaskEnd {
                task,
                status,
                more: Attributes::from([("elapsed".to_owned(), elapsed.into())]),
            });
        }
    }

    async fn choose(
        &mut self,
        ready: &[u32],
        slots: usize,
        more: &Attributes,
    ) -> Result<SchedulerChoice, PluginError> {
        let Some(scheduler) = &mut self.scheduler else {
            return Ok(SchedulerChoice::default());
        };
        scheduler.ended(std::mem::take(&mut self.ended)).await?;
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        scheduler.next(ready, slots, more).await
    }
}

/// The index of a task in the contract with schedulers.
fn contract_index(task: TaskIndex) -> Option<u32> {
    u32::try_from(task.0).ok()
}

/// The kind of a requirement and what it names, for a scheduler.
fn about_requirement(requirement: &Requirement) -> Attribute {
    let kind = ("kind".to_owned(), requirement.kind.as_str().into());
    let uri = requirement.uri.as_deref();
    let uri = uri.map(|uri| ("uri".to_owned(), uri.into()));
    let members: Attributes = std::iter::once(kind).chain(uri).collect();
    members.into()
}

/// The instances of resources that no task holds, and those that ready tasks hold before they
/// start, for a scheduler.
fn about_instances(queue: &Queue, ready: &[TaskIndex]) -> Attributes {
    let mut more = Attributes::from([("free".to_owned(), instances(queue.free_instances()))]);
    let held = ready.iter().filter_map(|task| {
        let held = queue.held(*task)?;
        Some((task.0.to_string(), instances(held)))
    });
    let held: Attributes = held.collect();
    if !held.is_empty() {
        more.insert("held".to_owned(), held.into());
    }
    more
}

fn instances(all: BTreeMap<&str, Vec<&str>>) -> Attribute {
    let texts = |names: Vec<&str>| {
        let names = names.into_iter().map(Attribute::from);
        Attribute::from(names.collect::<Vec<Attribute>>())
    };
    let all = all.into_iter();
    let all: Attributes = all
        .map(|(resource, names)| (resource.to_owned(), texts(names)))
        .collect();
    all.into()
}

/// What a scheduler gets to know of a task beside its id, name and kind.
fn about(task: &Task, history: &History) -> Attributes {
    let mut more = Attributes::new();
    for name in ["suite", "variant", "resources", "mutexes"] {
        if let Some(value) = task.runnable.more.get(name) {
            more.insert(name.into(), value.clone());
        }
    }
    if !task.runnable.requirements.is_empty() {
        let requirements = task.runnable.requirements.iter();
        let requirements: Vec<Attribute> = requirements.map(about_requirement).collect();
        more.insert("requirements".into(), requirements.into());
    }
    if !task.runnable.tags.is_empty() {
        let tags = task.runnable.tags.iter();
        let tags: Attributes = tags
            .map(|(tag, values)| (tag.clone(), values.clone().into()))
            .collect();
        more.insert("tags".into(), tags.into());
    }
    if let Some(last) = history.of(task) {
        more.insert("last-status".into(), last.status.name().into());
        more.insert("last-elapsed".into(), last.elapsed.into());
    }
    more
}

impl Dispatcher<'_> {
    /// Returns the task that starts next, if any can.
    pub(super) async fn next_task(&mut self, state: &mut DispatchState) -> Option<TaskIndex> {
        if !state.policy.is_plugin() {
            // Prefer tasks that can use the environment of a free slot as it is.
            let groups = state
                .slots
                .last_tasks()
                .filter_map(|last| self.plan.group(last));
            let next = groups.collect::<Vec<_>>().into_iter();
            let mut next = next.filter_map(|group| state.queue.peek_in(group));
            return next.next().or_else(|| state.queue.peek());
        }
        let plan = Arc::clone(&self.plan);
        // The choice stays when no slot could take it: a slot whose batch belongs to another runner
        // has room and still cannot take every task.
        let queue = &mut state.queue;
        state.policy.chosen.retain(|task| {
            let can_start = queue.can_start(*task) && !queue.is_pool_closed(*task);
            if !can_start {
                queue.forget_choice(*task);
            }
            can_start
        });
        if let Some(chosen) = state.policy.chosen.front() {
            return Some(*chosen);
        }
        if self.pools.all().len() > 1 {
            // The scheduler chooses among tasks that have room.
            let full = (0..self.pools.all().len()).map(PoolIndex);
            let full: Vec<PoolIndex> = full.filter(|it| !state.slots.has_room(*it)).collect();
            for pool in full {
                state.queue.close_pool(pool);
            }
        }
        loop {
            let ready = state.queue.ready(SCHEDULER_PAGE);
            let first = ready.first().copied()?;
            let has_ended = |index: &TaskIndex| {
                let entry = plan.entry(*index);
                entry.is_some_and(|entry| !matches!(entry.fate, TaskFate::Run(..)))
            };
            // A task whose result the plan already knows needs no slot and no scheduler.
            if let Some(ended) = ready.iter().copied().find(has_ended) {
                return Some(ended);
            }
            let room = state.slots.room();
            if room == 0 {
                return None;
            }
            let shown: Vec<u32> = ready.iter().filter_map(|it| contract_index(*it)).collect();
            let is_idle = state.slots.is_empty() && state.preparation.is_idle();
            let more = about_instances(&state.queue, &ready);
            let failed = match state.policy.choose(&shown, room, &more).await {
                Ok(SchedulerChoice { start, cancel }) if start.is_empty() && cancel.is_empty() => {
                    return is_idle.then_some(first);
                }
                Ok(choice) => self.take_choice(state, choice, &shown, room),
                Err(error) => Err(error.to_string()),
            };
            if let Err(why) = failed {
                self.give_up(state, &why);
                return state.queue.ready(1).first().copied();
            }
            if let Some(chosen) = state.policy.chosen.front() {
                return Some(*chosen);
            }
        }
    }

    /// Cancels and keeps what a scheduler chose among the shown tasks, as many as there is room
    /// for.
    ///
    /// # Errors
    /// What is wrong with the choice.
    fn take_choice(
        &mut self,
        state: &mut DispatchState,
        SchedulerChoice { start, cancel }: SchedulerChoice,
        shown: &[u32],
        room: usize,
    ) -> Result<(), String> {
        let mut chosen = VecDeque::new();
        for start in start {
            let task = start.task;
            if !shown.contains(&task) || cancel.contains(&task) {
                return Err(format!("it chose the task {task}, which is not ready"));
            }
            let index = TaskIndex(task as usize);
            if chosen.contains(&index) {
                return Err(format!("it chose the task {task} twice"));
            }
            if chosen.len() < room {
                state.queue.choose_instances(index, &start.instances)?;
                chosen.push_back(index);
            }
        }
        if !cancel.is_empty() && !self.drop_tasks(state, &cancel) {
            return Err("it cancelled tasks that have started or ended already".to_owned());
        }
        state.policy.chosen = chosen;
        Ok(())
    }

    /// Cancels those of the tasks that have not been started, and returns whether there were any.
    fn drop_tasks(&mut self, state: &mut DispatchState, tasks: &[u32]) -> bool {
        let plan = Arc::clone(&self.plan);
        let mut dropped = false;
        for index in tasks.iter().map(|task| TaskIndex(*task as usize)) {
            if let Some(entry) = plan.entry(index)
                && state.queue.is_waiting(index)
            {
                let outcome = Outcome::new(Status::Cancel, "the scheduler cancelled this task");
                self.finish(state, &entry.task, &outcome, None);
                dropped = true;
            }
        }
        dropped
    }

    /// Continues in plan order without the scheduler. Its failure is a warning in the journal and
    /// in reports.
    fn give_up(&mut self, state: &mut DispatchState, why: &str) {
        let plugin = state
            .policy
            .scheduler
            .as_ref()
            .map(|it| it.label().to_owned());
        state.policy = Policy::none();
        state.queue.forget_choices();
        let message =
            format!("the scheduler has failed, the remaining tasks run in plan order: {why}");
        state.warnings += 1;
        let warning = Warning {
            cause: WarningCause::Scheduler,
            reference: None,
            plugin,
            message,
        };
        self.write_event(state, None, &Event::Warning(Cow::Borrowed(&warning)));
        self.screen.notice(&warning.message);
        self.screen.log(warning.message);
    }
}
