//! The dispatcher's part in starting tasks: which slot each gets, in which environment, and whether it goes into a batch. It must not know how a
//! task is run.

use std::borrow::Cow;
use std::sync::Arc;

use super::record::lease_variables;
use super::{Dispatcher, PATIENCE, State};
use crate::dispatch::slots::{Found, More, Wanted};
use crate::execute::batch::Batch;
use crate::execute::executor::execute;
use crate::execute::task_host::Assignment;
use crate::plan::planner::{Entry, Fate};
use persea_journal::{Event, TaskEnvironment, TaskStarted};
use persea_model::{Status, Task};
use persea_plugin::Plugin;
use persea_spawner as spawner;

/// How a task is run.
enum How {
    Alone,
    /// It begins a batch.
    AsBatch,
    /// It goes into one.
    InBatch(More),
}

impl Dispatcher<'_> {
    /// Gives tasks to all slots that have room, in one write to the journal; ends those that have ended before they could start.
    pub(super) async fn start(&mut self, state: &mut State) {
        let mut given: Vec<(usize, Assignment, How)> = Vec::new();
        let plan = Arc::clone(&self.plan);
        if let Some(why) = state.stopped {
            for index in state.queue.left() {
                match plan.entries.get(index) {
                    Some(Entry { task, .. }) => self.skip(state, task, why),
                    None => self.ended(state, index, Status::Skip),
                }
            }
        }
        self.prepare(state);
        while state.stopped.is_none()
            && let Some(index) = self.next_task(state).await
            && let Some(Entry { task, fate, owner }) = plan.entries.get(index)
        {
            let runner = match fate {
                Fate::Ended(outcome) | Fate::Refused(outcome) => {
                    self.finish(state, task, outcome, None);
                    continue;
                }
                Fate::Run(runner, _) => runner,
            };
            // Who holds something that others want is not to wait with it.
            let waits = runner.manifest.is_program_runner && !state.queue.claims(index);
            let spoils = self.shared.fresh || plan.requirements.spoils(index);
            let wanted = Wanted {
                state: runner
                    .manifest
                    .starts_processes()
                    .then(|| self.environment(state, index, owner.as_deref())),
                spoils,
                one_process: waits,
                // In a batch it would share its environment.
                batch: self.batch(runner).filter(|_| !spoils),
            };
            let Some(Found {
                slot,
                position,
                more,
            }) = state.places.give(index, &wanted)
            else {
                break;
            };
            let how = match (more, &wanted.batch) {
                (Some(more), _) => How::InBatch(more),
                (None, Some(_)) => How::AsBatch,
                (None, None) => How::Alone,
            };
            state.queue.take(index);
            state.policy.taken(index);
            let mut variables = state.preparation.variables(&plan.requirements, index);
            variables.extend(lease_variables(&state.queue.leases(index)));
            if position.is_none() {
                self.started(state, task);
            }
            let deaths = state.deaths.get(&index).copied().unwrap_or_default();
            let assignment = Assignment {
                slot,
                position,
                can_requeue: deaths < PATIENCE,
                state: wanted.state.unwrap_or_default(),
                spoils: wanted.spoils,
                variables,
                messages: state.messages.clone(),
            };
            given.push((index, assignment, how));
        }
        state.places.dismiss();
        let written = self.journal.commit();
        self.check(state, written);
        self.screen.flush();
        for (index, assignment, how) in given {
            let is_batch = match how {
                How::Alone => false,
                How::AsBatch => true,
                How::InBatch(more) => {
                    let slot = assignment.slot.index;
                    if more.send((index, assignment)).is_err() {
                        state.queue.put_back(index);
                        state.places.return_task(slot, index);
                    }
                    continue;
                }
            };
            let (shared, plan) = (Arc::clone(&self.shared), Arc::clone(&self.plan));
            let control = state.control.subscribe();
            let catalog = Arc::clone(&shared.catalog);
            catalog.spawn(async move {
                // The index comes from this plan.
                if let Some(Entry {
                    task,
                    fate: Fate::Run(runner, settings),
                    ..
                }) = plan.entries.get(index)
                {
                    if is_batch {
                        let (plan, runner) = (Arc::clone(&plan), Arc::clone(runner));
                        let batch = Batch::new(shared, plan, runner, (index, assignment));
                        // Apart, as those who are none would have its size too.
                        Box::pin(batch.execute(control)).await;
                    } else {
                        execute(shared, assignment, task, runner, settings, control).await;
                    }
                }
            });
        }
    }

    /// Whether this runner is given many tasks for one instance.
    fn batch(&self, runner: &Plugin) -> Option<String> {
        let batches = runner.manifest.runs_batches && self.shared.batches;
        batches.then(|| runner.digest.clone())
    }

    /// What the environment of a task is to be like.
    fn environment(
        &self,
        state: &State,
        task: usize,
        owner: Option<&str>,
    ) -> spawner::EnvironmentState {
        if !self.shared.spawner.has_snapshots() {
            return spawner::EnvironmentState::default();
        }
        let requirements = &self.plan.requirements;
        let last = requirements.last_of(task);
        let snapshot = state.preparation.snapshot(requirements, last);
        spawner::EnvironmentState {
            snapshot: snapshot.map(str::to_owned),
            network: self.shared.network,
            owner: owner.map(str::to_owned),
            writable_directory: None,
        }
    }

    /// Records the start of a task.
    pub(super) fn started(&mut self, state: &mut State, task: &Task) {
        let requirements = &self.plan.requirements;
        let spawner = &self.shared.spawner;
        let environment = spawner.has_snapshots().then(|| TaskEnvironment {
            spawner: spawner.name().into(),
            snapshot: state
                .preparation
                .snapshot(requirements, requirements.last_of(task.index))
                .map(Cow::Borrowed),
        });
        let leases = state.queue.leases(task.index).into_iter();
        let leases = leases.map(|(resource, instances)| {
            let instances = instances.into_iter().map(Cow::Borrowed);
            (Cow::Borrowed(resource), instances.collect())
        });
        let event = Event::TaskStarted(Cow::Owned(TaskStarted {
            leases: leases.collect(),
            environment,
        }));
        let written = self.journal.record(Some(&task.id), &event);
        self.check(state, written);
        self.screen.task_started(task);
    }
}
