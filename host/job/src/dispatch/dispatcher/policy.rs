//! Owns the choice of the ready task that starts next: the first in plan order, or the one that a
//! scheduler plugin chooses. Does not know how a task is started.

use std::borrow::Cow;
use std::sync::Arc;

use super::{DispatchState, Dispatcher};
use crate::plan::graph::{Dependency, Graph};
use crate::plan::history::History;
use crate::plan::planner::{Plan, TaskFate};
use persea_config::Config;
use persea_journal::{Event, Warning, WarningCause};
use persea_model::{Attributes, Outcome, Status, Task, TaskIndex};
use persea_plugin::{Plugin, PluginError, Scheduler, SchedulerChoice, SchedulerNode};

/// The most ready tasks that a scheduler is shown in one call.
const SHOWN: usize = 4096;

/// The scheduling policy of a job: plan order, or a scheduler plugin with the results that it has
/// not received yet.
pub(crate) struct Policy {
    scheduler: Option<Scheduler>,
    news: Vec<(u32, Status)>,
    /// The task that the scheduler chose and that no slot could take yet. The scheduler is not
    /// asked about it again.
    chosen: Option<TaskIndex>,
}

impl Policy {
    /// Plan order, without a scheduler plugin.
    pub(crate) fn none() -> Self {
        Self {
            scheduler: None,
            news: Vec::new(),
            chosen: None,
        }
    }

    /// Instantiates a scheduler plugin and passes it the tasks of the plan.
    pub(crate) async fn begin(
        plugin: &Plugin,
        config: &Config,
        (plan, graph): (&Plan, &Graph),
        history: &History,
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
                id: task.id.clone(),
                name: task.name.clone(),
                kind: task.runnable.kind.clone(),
                needs: waits(Dependency::Needs),
                after: waits(Dependency::After),
                more: about(task, history),
            }
        };
        let nodes = plan.entries.iter().map(|entry| node(&entry.task)).collect();
        let settings = config.subset(&plugin.settings);
        let scheduler = Scheduler::begin(plugin, &settings, nodes).await?;
        Ok(Self {
            scheduler: Some(scheduler),
            news: Vec::new(),
            chosen: None,
        })
    }

    pub(crate) fn is_plugin(&self) -> bool {
        self.scheduler.is_some()
    }

    /// Forgets the scheduler's choice once a slot has taken that task.
    pub(super) fn taken(&mut self, task: TaskIndex) {
        if self.chosen == Some(task) {
            self.chosen = None;
        }
    }

    /// Keeps a result for the scheduler, which receives it before it chooses again.
    pub(super) fn ended(&mut self, task: TaskIndex, status: Status) {
        if self.scheduler.is_some()
            && let Some(task) = contract_index(task)
        {
            self.news.push((task, status));
        }
    }

    async fn choose(&mut self, ready: &[u32]) -> Result<SchedulerChoice, PluginError> {
        let Some(scheduler) = &mut self.scheduler else {
            return Ok(SchedulerChoice::Wait);
        };
        for (task, status) in self.news.drain(..) {
            scheduler.ended(task, status).await?;
        }
        scheduler.next(ready).await
    }
}

/// The index of a task in the contract with schedulers.
fn contract_index(task: TaskIndex) -> Option<u32> {
    u32::try_from(task.0).ok()
}

fn about(task: &Task, history: &History) -> Attributes {
    let mut more = Attributes::new();
    for name in ["suite", "variant"] {
        if let Some(value) = task.runnable.more.get(name) {
            more.insert(name.into(), value.clone());
        }
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
        state.policy.chosen = state
            .policy
            .chosen
            .filter(|task| state.queue.can_start(*task));
        if state.policy.chosen.is_some() {
            return state.policy.chosen;
        }
        loop {
            let ready = state.queue.ready(SHOWN);
            let first = ready.first().copied()?;
            let has_ended = |index: &TaskIndex| {
                let entry = plan.entry(*index);
                entry.is_some_and(|entry| !matches!(entry.fate, TaskFate::Run(..)))
            };
            // A task whose result the plan already knows needs no slot and no scheduler.
            if let Some(ended) = ready.iter().copied().find(has_ended) {
                return Some(ended);
            }
            if !state.slots.has_room() {
                return None;
            }
            let shown: Vec<u32> = ready.iter().filter_map(|it| contract_index(*it)).collect();
            let is_idle = state.slots.is_empty() && state.preparation.is_idle();
            match state.policy.choose(&shown).await {
                Ok(SchedulerChoice::Start(task)) if shown.contains(&task) => {
                    state.policy.chosen = Some(TaskIndex(task as usize));
                    return state.policy.chosen;
                }
                Ok(SchedulerChoice::Start(task)) => {
                    self.give_up(
                        state,
                        &format!("it chose the task {task}, which is not ready"),
                    );
                    return Some(first);
                }
                Ok(SchedulerChoice::Wait) => return is_idle.then_some(first),
                Ok(SchedulerChoice::Drop(tasks)) if self.drop_tasks(state, &tasks) => {}
                Ok(SchedulerChoice::Drop(_)) => {
                    self.give_up(state, "it dropped tasks that have started or ended already");
                    return Some(first);
                }
                Err(error) => {
                    self.give_up(state, &error.to_string());
                    return Some(first);
                }
            }
        }
    }

    /// Cancels those of the tasks that have not been started, and returns whether there were any.
    fn drop_tasks(&mut self, state: &mut DispatchState, tasks: &[u32]) -> bool {
        let plan = Arc::clone(&self.plan);
        let mut dropped = false;
        for index in tasks.iter().map(|task| TaskIndex(*task as usize)) {
            if let Some(entry) = plan.entry(index)
                && state.queue.is_waiting(index)
            {
                let outcome = Outcome::new(Status::Cancel, "the scheduler dropped this task");
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
