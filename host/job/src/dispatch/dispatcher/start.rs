//! Owns the start of tasks: which slot and environment each gets, and whether it joins a batch.
//! Does not know how a task is executed.

use std::borrow::Cow;
use std::sync::Arc;

use super::record::{journal_leases, lease_data, lease_variables};
use super::{DispatchState, Dispatcher, MAX_HELPER_DEATHS};
use crate::dispatch::slots::{BatchFeed, Demand, Placement};
use crate::execute::batch::Batch;
use crate::execute::executor::execute;
use crate::execute::messages::Assignment;
use crate::execute::slot::SlotIndex;
use crate::input::{own_directory, own_spawner};
use crate::plan::entry::{PlanEntry, TaskFate};
use persea_config::settings;
use persea_journal::{Event, TaskEnvironment, TaskStarted};
use persea_model::{SpawnerKind, Status, Task, TaskIndex};
use persea_plugin::Plugin;
use persea_spawner as spawner;

/// How a task is executed in its slot.
enum ExecutionMode {
    Alone,
    /// As the first task of a new batch.
    AsBatch,
    /// In a batch that already runs and is ready for another task.
    InBatch(BatchFeed),
}

impl Dispatcher<'_> {
    /// Assigns tasks to all slots that have room, with one write to the journal, and ends the tasks
    /// whose result is known without running.
    pub(super) async fn start(&mut self, state: &mut DispatchState) {
        let mut given: Vec<(TaskIndex, Assignment, ExecutionMode)> = Vec::new();
        let plan = Arc::clone(&self.plan);
        if let Some(why) = state.stopped {
            for index in state.queue.waiting() {
                match plan.entry(index) {
                    Some(PlanEntry { task, .. }) => self.skip(state, task, why),
                    None => self.end_node(state, index, Status::Skip),
                }
            }
        }
        self.prepare(state);
        state.queue.open_pools();
        while state.stopped.is_none()
            && let Some(index) = self.next_task(state).await
            && let Some(entry) = plan.entry(index)
        {
            let PlanEntry {
                task,
                fate,
                spawner,
                ..
            } = entry;
            let runner = match fate {
                TaskFate::Ended(outcome) | TaskFate::Refused(outcome) => {
                    self.finish(state, task, outcome, None);
                    continue;
                }
                TaskFate::Run(runner, _) => runner,
            };
            // A task that holds a resource would block others while it waits in a slot's queue.
            let waits = runner.is_program_runner && !state.queue.claims(index);
            let limits = self.context.limits.of(&task.runnable.more);
            let cwd = own_directory::of(&task.runnable.more, &self.context.execution.project_dir);
            // Limits and a directory are those of one task, so it is alone in its slot.
            let is_alone = (!limits.is_empty() || cwd.is_some()) && runner.starts_processes();
            let is_fresh = self.context.execution.spawners.is_fresh(*spawner);
            let leaves_dirty = is_fresh || plan.requirements.leaves_dirty(index);
            let demand = Demand {
                pool: self.pools.of_spawner(*spawner),
                state: runner
                    .starts_processes()
                    .then(|| self.environment(state, entry)),
                leaves_dirty,
                one_process: waits && !is_alone,
                // A batch shares one environment.
                batch: self
                    .batch(runner, &task.runnable.kind)
                    .filter(|_| !leaves_dirty && !is_alone),
            };
            let Some(Placement {
                slot,
                position,
                feed,
            }) = state.slots.assign(index, &demand)
            else {
                // Tasks of other pools may still have room.
                match state.queue.close_pool(demand.pool) {
                    true => continue,
                    false => break,
                }
            };
            let mode = match (feed, &demand.batch) {
                (Some(feed), _) => ExecutionMode::InBatch(feed),
                (None, Some(_)) => ExecutionMode::AsBatch,
                (None, None) => ExecutionMode::Alone,
            };
            state.queue.take(index);
            state.policy.taken(index);
            let mut variables = state.preparation.variables(&plan.requirements, index);
            let leases = state.queue.leases(index);
            variables.extend(lease_variables(&leases));
            let more = lease_data(&leases);
            if position.is_none() {
                self.started(state, task, slot.index);
            }
            let helper_deaths = state.helper_deaths.get(&index).copied().unwrap_or_default();
            let assignment = Assignment {
                slot,
                position,
                can_requeue: helper_deaths < MAX_HELPER_DEATHS,
                state: demand
                    .state
                    .unwrap_or_else(|| spawner::EnvironmentState::new(entry.spawner)),
                leaves_dirty: demand.leaves_dirty,
                limits,
                cwd,
                variables,
                more,
                messages: state.messages.clone(),
            };
            given.push((index, assignment, mode));
        }
        state.slots.end_idle_batches();
        let written = self.journal.commit();
        self.stop_unless_written(state, written);
        self.screen.flush();
        for (index, assignment, mode) in given {
            let is_batch = match mode {
                ExecutionMode::Alone => false,
                ExecutionMode::AsBatch => true,
                ExecutionMode::InBatch(feed) => {
                    let slot = assignment.slot.index;
                    if feed.send((index, assignment)).is_err() {
                        state.queue.put_back(index);
                        state.slots.return_task(slot, index);
                    }
                    continue;
                }
            };
            let (context, plan) = (Arc::clone(&self.context), Arc::clone(&self.plan));
            let control = state.control.subscribe();
            let catalog = Arc::clone(&context.catalog);
            catalog.spawn(async move {
                // Always matches: the index comes from this plan.
                if let Some(PlanEntry {
                    task,
                    fate: TaskFate::Run(runner, settings),
                    ..
                }) = plan.entry(index)
                {
                    if is_batch {
                        let (plan, runner) = (Arc::clone(&plan), Arc::clone(runner));
                        let batch = Batch::new(context, plan, runner, (index, assignment));
                        // Boxed so that the future of a single task stays small.
                        Box::pin(batch.execute(control)).await;
                    } else {
                        execute(context, assignment, task, runner, settings, control).await;
                    }
                }
            });
        }
    }

    /// The digest of the runner if its tasks of a kind are executed in batches.
    fn batch(&self, runner: &Plugin, kind: &str) -> Option<String> {
        let batches = runner.runs_batches(kind) && self.context.has_batches;
        batches.then(|| runner.digest.clone())
    }

    /// The state in which a task needs its environment.
    fn environment(&self, state: &DispatchState, entry: &PlanEntry) -> spawner::EnvironmentState {
        let new = spawner::EnvironmentState::new(entry.spawner);
        if !spawner::descriptor(entry.spawner).has_snapshots {
            return new;
        }
        let requirements = &self.plan.requirements;
        let last = requirements.last_of(entry.task.index);
        let snapshot = state.preparation.snapshot(requirements, last);
        spawner::EnvironmentState {
            image: own_spawner::image(&entry.task.runnable.more),
            snapshot: snapshot.map(str::to_owned),
            network: self.context.execution.spawners.has_network(entry.spawner),
            owner: entry.owner.as_deref().map(str::to_owned),
            ..new
        }
    }

    /// The image of a task's container; none for a task that runs in none.
    fn image(&self, spawner: SpawnerKind, task: &Task) -> Option<String> {
        match spawner {
            SpawnerKind::Container => own_spawner::image(&task.runnable.more).or_else(|| {
                let image = self.config.get(settings::SPAWNER_CONTAINER_IMAGE);
                image.map(str::to_owned)
            }),
            SpawnerKind::Process | SpawnerKind::Sandbox | SpawnerKind::Ssh | SpawnerKind::Slurm => {
                None
            }
        }
    }

    /// The environment of a task in a slot, for the journal; none for this machine itself.
    pub(super) fn task_environment(
        &self,
        state: &DispatchState,
        task: &Task,
        slot: SlotIndex,
    ) -> Option<TaskEnvironment<'static>> {
        let kind = self.plan.entry(task.index)?.spawner;
        let descriptor = spawner::descriptor(kind);
        let host = self.context.execution.spawners.host(kind, slot.0);
        if host.is_none() && !descriptor.has_snapshots {
            return None;
        }
        let requirements = &self.plan.requirements;
        let last = requirements.last_of(task.index);
        let snapshot = state.preparation.snapshot(requirements, last);
        Some(TaskEnvironment {
            spawner: kind.name().into(),
            host: host.map(|host| Cow::Owned(host.to_string())),
            image: self.image(kind, task).map(Cow::Owned),
            snapshot: snapshot.map(|snapshot| Cow::Owned(snapshot.to_owned())),
        })
    }

    /// Records the start of a task in the journal and on the display.
    pub(super) fn started(&mut self, state: &mut DispatchState, task: &Task, slot: SlotIndex) {
        let event = Event::TaskStarted(Cow::Owned(TaskStarted {
            leases: journal_leases(state.queue.leases(task.index)),
            environment: self.task_environment(state, task, slot),
        }));
        let written = self.journal.record(Some(&task.id), &event);
        self.stop_unless_written(state, written);
        self.screen.task_started(task);
    }
}
