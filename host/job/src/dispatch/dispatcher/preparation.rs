//! Owns the dispatcher's state of requirements: when each is fulfilled, and what has to be released
//! afterwards, in reverse order. Does not know how a requirement is fulfilled.

mod results;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::record::{journal_leases, lease_data};
use super::{DispatchState, Dispatcher};
use crate::execute::messages::{Assignment, ExecutorMessage, PreparedRequirement};
use crate::execute::preparer::{self, Undo};
use crate::execute::slot::{EnvironmentReports, Slot, SlotIndex};
use crate::plan::graph::{Node, NodeIndex};
use crate::plan::planner::Plan;
use crate::plan::requirements::{RequirementStep, Requirements, StepIndex};
use persea_config::settings;
use persea_journal::{Event, RequirementAbsent, RequirementStarted};
use persea_model::{Attributes, Limits, Scope, SpawnerKind, Status, TaskIndex};
use persea_spawner as spawner;

/// The state of the requirements of a running job.
pub(super) struct Preparation {
    slots: Vec<Arc<Slot>>,
    /// The indices of the slots in which nothing runs.
    free: Vec<SlotIndex>,
    /// The index of the first slot: lower ones belong to tasks.
    first_slot: usize,
    /// The steps that were fulfilled and have to be released, in the order in which they were
    /// fulfilled.
    unreleased: Vec<(StepIndex, Option<Attributes>)>,
    /// By step that was tried: the data of its task for the resolver.
    data: HashMap<StepIndex, Attributes>,
    /// By step: the number of attempts that have failed and were retried.
    pub(super) attempts: HashMap<StepIndex, usize>,
    /// By step: the variables that it sets for the tasks that need it.
    variables: HashMap<StepIndex, Vec<(String, String)>>,
    /// By node: why the nodes that wait for it cannot run.
    reasons: HashMap<NodeIndex, String>,
    /// The steps whose environment was kept as a snapshot.
    snapshots: HashSet<StepIndex>,
    /// The requirements that could not be released: name and reason.
    pub(super) not_released: Vec<(String, String)>,
}

impl Preparation {
    /// Creates the slots for requirements: `tasks`, the number of slots for tasks, but at most one
    /// for each requirement. Their indices follow those of the slots for tasks.
    pub(super) fn new(
        tasks: usize,
        requirements: &Requirements,
        reports: &EnvironmentReports,
    ) -> Self {
        let count = tasks.min(requirements.steps.len());
        let slot = |index| Arc::new(Slot::reporting(SlotIndex(tasks + index), reports));
        Self {
            slots: (0..count).map(slot).collect(),
            free: (tasks..tasks + count).rev().map(SlotIndex).collect(),
            first_slot: tasks,
            unreleased: Vec::new(),
            data: HashMap::new(),
            attempts: HashMap::new(),
            variables: HashMap::new(),
            reasons: HashMap::new(),
            snapshots: HashSet::new(),
            not_released: Vec::new(),
        }
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().map(|slot| &**slot)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    pub(super) fn why(&self, node: NodeIndex) -> Option<&str> {
        self.reasons.get(&node).map(String::as_str)
    }

    pub(super) fn fail(&mut self, node: NodeIndex, why: String) {
        self.reasons.insert(node, why);
    }

    /// The variables that the requirements of a task set for it.
    pub(super) fn variables(
        &self,
        requirements: &Requirements,
        task: TaskIndex,
    ) -> Vec<(String, String)> {
        let all = requirements
            .of(task)
            .filter_map(|step| self.variables.get(&step));
        all.flatten().cloned().collect()
    }

    /// The id of the nearest snapshot, from the step `last` down its chain of bases. Steps that
    /// found their requirement present changed nothing and have no snapshot.
    pub(super) fn snapshot<'a>(
        &self,
        requirements: &'a Requirements,
        last: Option<StepIndex>,
    ) -> Option<&'a str> {
        let mut at = last;
        while let Some(index) = at {
            let step = requirements.step(index)?;
            if self.snapshots.contains(&index) {
                return Some(&step.id);
            }
            at = step.base;
        }
        None
    }

    /// The one of these steps that was fulfilled last and has not been released.
    fn last_fulfilled(&self, steps: &[StepIndex]) -> Option<StepIndex> {
        let undo = self.unreleased.iter().map(|(step, _)| *step);
        undo.rev().find(|step| steps.contains(step))
    }

    fn take_slot(&mut self) -> Option<Arc<Slot>> {
        let index = self.free.pop()?;
        self.slots.get(index.0 - self.first_slot).cloned()
    }
}

impl Dispatcher<'_> {
    /// Starts requirements and releases that are ready, as long as slots for them are free.
    pub(super) fn prepare(&mut self, state: &mut DispatchState) {
        while state.stopped.is_none()
            && let Some(node) = state.queue.peek_preparation()
        {
            match state.queue.node(node) {
                Node::Task => return,
                Node::Reserve(_) => {
                    state.queue.take(node);
                    self.end_node(state, node, Status::Pass);
                }
                Node::Fulfil(step) => {
                    let Some(slot) = state.preparation.take_slot() else {
                        return;
                    };
                    state.queue.take(node);
                    self.fulfil(state, node, step, slot);
                }
                Node::Release(owner) => {
                    let own = self.plan.requirements.own(owner);
                    match state.preparation.last_fulfilled(own) {
                        None => {
                            state.queue.take(node);
                            self.end_node(state, node, Status::Pass);
                        }
                        Some(step) => {
                            let Some(slot) = state.preparation.take_slot() else {
                                return;
                            };
                            state.queue.take(node);
                            self.release(state, Some(node), step, slot);
                        }
                    }
                }
            }
        }
    }

    /// Releases the requirement that was fulfilled last, and returns whether there was one.
    pub(super) fn release_last(&mut self, state: &mut DispatchState) -> bool {
        let Some(step) = state.preparation.unreleased.last().map(|(step, _)| *step) else {
            return false;
        };
        let Some(slot) = state.preparation.take_slot() else {
            return false;
        };
        self.release(state, None, step, slot);
        true
    }

    fn fulfil(
        &mut self,
        state: &mut DispatchState,
        node: NodeIndex,
        index: StepIndex,
        slot: Arc<Slot>,
    ) {
        let plan = Arc::clone(&self.plan);
        let Some(step) = plan.requirements.step(index) else {
            return;
        };
        let task = plan.requirements.only_task(step);
        let task = task.and_then(|task| plan.entry(task)).map(|it| &it.task);
        let leases = task.map(|task| state.queue.leases(task.index));
        let leases = leases.unwrap_or_default();
        let variant = task.and_then(|task| task.runnable.more.get("variant"));
        let mut more = lease_data(&leases);
        more.extend(variant.map(|variant| ("variant".to_owned(), variant.clone())));
        // A journal without it is one of this machine, or of an earlier version.
        let all_here = [step.spawner, self.config.get(settings::RUN_SPAWNER)];
        let all_here = all_here == [SpawnerKind::Process; 2];
        let spawner = (!all_here).then(|| step.spawner.name().into());
        let event = Event::RequirementStarted(Cow::Owned(RequirementStarted {
            id: Cow::Borrowed(&step.id),
            name: Cow::Borrowed(&step.name),
            requirement: Cow::Borrowed(&step.requirement),
            scope: step.scope,
            resolver: Cow::Borrowed(&step.resolver.name),
            resolver_version: Some(Cow::Borrowed(&step.resolver.version)),
            leases: journal_leases(leases),
            variant: variant.map(Cow::Borrowed),
            spawner,
        }));
        let written = self.journal.record(owner(&plan, step), &event);
        self.stop_unless_written(state, written);
        self.screen.requirement_started(index.0, &step.name);
        // The release gets the same data, after the leases have ended.
        state.preparation.data.insert(index, more.clone());
        let mut assignment = assignment(state, step, Arc::clone(&slot), more);
        if step.stacked {
            let snapshot = state.preparation.snapshot(&plan.requirements, step.base);
            let spawners = &self.context.execution.spawners;
            assignment.state = spawner::EnvironmentState {
                spawner: step.spawner,
                image: step.image.clone(),
                snapshot: snapshot.map(str::to_owned),
                network: spawners.has_network(step.spawner) || step.wants_network(),
                owner: step.resolver.owner().map(str::to_owned),
                writable_directory: Some(
                    self.context
                        .execution
                        .dependencies
                        .path()
                        .join(&step.directory),
                ),
            };
        }
        let execution = Arc::clone(&self.context.execution);
        let control = state.control.subscribe();
        let messages = state.messages.clone();
        let (plan, catalog) = (Arc::clone(&plan), Arc::clone(&self.context.catalog));
        catalog.spawn(async move {
            let Some(step) = plan.requirements.step(index) else {
                return;
            };
            let begun = execution.clock.now();
            let absent = || {
                let (proceed, told) = oneshot::channel();
                let _ = messages.send(ExecutorMessage::RequirementAbsent {
                    step: index,
                    proceed,
                });
                told
            };
            let fulfilment =
                preparer::fulfil(&execution, index, step, assignment, control, absent).await;
            let _ = messages.send(ExecutorMessage::RequirementPrepared(Box::new(
                PreparedRequirement {
                    node,
                    step: index,
                    slot: slot.index,
                    fulfilment,
                    elapsed: execution.clock.now().saturating_sub(begun),
                },
            )));
        });
    }

    fn release(
        &mut self,
        state: &mut DispatchState,
        node: Option<NodeIndex>,
        index: StepIndex,
        slot: Arc<Slot>,
    ) {
        let plan = Arc::clone(&self.plan);
        let Some(step) = plan.requirements.step(index) else {
            return;
        };
        let undo = &mut state.preparation.unreleased;
        let place = undo.iter().rposition(|(step, _)| *step == index);
        let undo = Undo {
            data: place.and_then(|place| undo.remove(place).1),
            by: Some(step.resolver.version.clone()),
        };
        let name = format!("{} (release)", step.name);
        self.screen.requirement_started(index.0, &name);
        let more = state.preparation.data.get(&index).cloned();
        let assignment = assignment(state, step, Arc::clone(&slot), more.unwrap_or_default());
        let execution = Arc::clone(&self.context.execution);
        let control = state.control.subscribe();
        let messages = state.messages.clone();
        let catalog = Arc::clone(&self.context.catalog);
        let plan = Arc::clone(&plan);
        catalog.spawn(async move {
            let Some(step) = plan.requirements.step(index) else {
                return;
            };
            let begun = execution.clock.now();
            let released =
                preparer::release(&execution, index, step, assignment, control, &undo).await;
            let _ = messages.send(ExecutorMessage::RequirementReleased {
                node,
                step: index,
                slot: slot.index,
                failed: released.err(),
                elapsed: execution.clock.now().saturating_sub(begun),
            });
        });
    }

    /// Records that a requirement is about to be fulfilled. From now on there may be something to
    /// release, even if the host is killed.
    pub(super) fn absent(
        &mut self,
        state: &mut DispatchState,
        step: StepIndex,
        proceed: oneshot::Sender<()>,
    ) {
        let plan = Arc::clone(&self.plan);
        let Some(step) = plan.requirements.step(step) else {
            return;
        };
        let id = Cow::Borrowed(step.id.as_str());
        let event = Event::RequirementAbsent(Cow::Owned(RequirementAbsent { id }));
        self.write_event(state, owner(&plan, step), &event);
        let written = self.journal.commit();
        self.stop_unless_written(state, written);
        if step.scope != Scope::Keep
            && !step.stacked
            && let Err(error) = self.unreleased_jobs.add(self.directory.path())
        {
            tracing::warn!(
                "if this job is killed, later runs will not mention what it has to release: {error}"
            );
        }
        self.screen.log(format!(
            "requirement {}: not present, fulfilling it",
            step.name
        ));
        let _ = proceed.send(());
    }

    /// Shows a progress message of a requirement resolver.
    pub(super) fn preparing(&mut self, step: StepIndex, text: &str) {
        let plan = Arc::clone(&self.plan);
        if let Some(step) = plan.requirements.step(step) {
            let line = format!("requirement {}: {text}", step.name);
            self.screen.requirement_progress(line);
        }
    }
}

/// The id of the only task that needs a requirement.
pub(super) fn owner<'a>(plan: &'a Plan, step: &RequirementStep) -> Option<&'a str> {
    let entry = plan.entry(plan.requirements.only_task(step)?);
    entry.map(|entry| &*entry.task.id)
}

fn assignment(
    state: &DispatchState,
    step: &RequirementStep,
    slot: Arc<Slot>,
    more: Attributes,
) -> Assignment {
    Assignment {
        slot,
        position: None,
        can_requeue: false,
        state: spawner::EnvironmentState::new(step.spawner),
        leaves_dirty: false,
        limits: Limits::default(),
        cwd: None,
        variables: Vec::new(),
        more,
        messages: state.messages.clone(),
    }
}
