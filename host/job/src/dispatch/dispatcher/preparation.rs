//! The dispatcher's part in requirements: when each is met, what is to be undone, and that it is undone in the end, the last one
//! first. It must not know how a requirement is met.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Dispatcher, State};
use crate::execute::preparer;
use crate::execute::task_host::{Assignment, Message, Met, Prepared, Slot};
use crate::plan::graph::Node;
use crate::plan::planner::Plan;
use crate::plan::requirements::{Requirements, Step};
use persea_journal::{
    Event, RequirementAbsent, RequirementFinished, RequirementReleased, RequirementStarted,
    RequirementState,
};
use persea_model::{Attribute, Attributes, Scope, Status};
use persea_spawner as spawner;

/// How far the requirements of a job have come.
pub(super) struct Preparation {
    slots: Vec<Arc<Slot>>,
    /// Those in which nothing is being done.
    free: Vec<usize>,
    /// The number of the first slot: those before are the tasks'.
    first: usize,
    /// What was brought about and is to be undone, in that order.
    undo: Vec<(usize, Attributes)>,
    /// By step: the variables that it has for the tasks.
    variables: HashMap<usize, Vec<(String, String)>>,
    /// By node: why what waits for it can't go on.
    why: HashMap<usize, String>,
    /// The steps in whose environment others can begin.
    kept: HashSet<usize>,
    /// What could not be released: its name, and why.
    pub(super) left: Vec<(String, String)>,
}

impl Preparation {
    /// With as many slots as the tasks have, numbered after those.
    pub(super) fn new(tasks: usize, requirements: &Requirements) -> Self {
        let count = tasks.min(requirements.steps.len());
        let slot = |index| Arc::new(Slot::new(tasks + index));
        Self {
            slots: (0..count).map(slot).collect(),
            free: (tasks..tasks + count).rev().collect(),
            first: tasks,
            undo: Vec::new(),
            variables: HashMap::new(),
            why: HashMap::new(),
            kept: HashSet::new(),
            left: Vec::new(),
        }
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().map(|slot| &**slot)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    pub(super) fn why(&self, node: usize) -> Option<&str> {
        self.why.get(&node).map(String::as_str)
    }

    pub(super) fn forsake(&mut self, node: usize, why: String) {
        self.why.insert(node, why);
    }

    /// The variables that the requirements of a task have for it.
    pub(super) fn variables(
        &self,
        requirements: &Requirements,
        task: usize,
    ) -> Vec<(String, String)> {
        let all = requirements
            .of(task)
            .filter_map(|step| self.variables.get(&step));
        all.flatten().cloned().collect()
    }

    /// The id of the last of these steps, each the base of the one before, whose environment has been kept: who was there already has
    /// changed nothing.
    pub(super) fn snapshot<'a>(
        &self,
        requirements: &'a Requirements,
        last: Option<usize>,
    ) -> Option<&'a str> {
        let mut at = last;
        while let Some(index) = at {
            let step = requirements.steps.get(index)?;
            if self.kept.contains(&index) {
                return Some(&step.id);
            }
            at = step.base;
        }
        None
    }

    /// Of these steps the one that was brought about last and is to be undone.
    fn last_of(&self, steps: &[usize]) -> Option<usize> {
        let undo = self.undo.iter().map(|(step, _)| *step);
        undo.rev().find(|step| steps.contains(step))
    }

    fn slot(&mut self) -> Option<Arc<Slot>> {
        let number = self.free.pop()?;
        self.slots.get(number - self.first).cloned()
    }
}

impl Dispatcher<'_> {
    /// Sees to requirements, as many at once as there are slots for it.
    pub(super) fn prepare(&mut self, state: &mut State) {
        while state.stopped.is_none()
            && let Some(node) = state.queue.peek_preparation()
        {
            match state.queue.node(node) {
                Node::Task => return,
                Node::Reserve(_) => {
                    state.queue.take(node);
                    self.ended(state, node, Status::Pass);
                }
                Node::Fulfil(step) => {
                    let Some(slot) = state.preparation.slot() else {
                        return;
                    };
                    state.queue.take(node);
                    self.fulfil(state, node, step, slot);
                }
                Node::Release(owner) => {
                    let own = self.plan.requirements.own(owner);
                    match state.preparation.last_of(own) {
                        None => {
                            state.queue.take(node);
                            self.ended(state, node, Status::Pass);
                        }
                        Some(step) => {
                            let Some(slot) = state.preparation.slot() else {
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

    /// Undoes the last thing that was brought about and not undone; whether there was one.
    pub(super) fn undo_last(&mut self, state: &mut State) -> bool {
        let Some(step) = state.preparation.undo.last().map(|(step, _)| *step) else {
            return false;
        };
        let Some(slot) = state.preparation.slot() else {
            return false;
        };
        self.release(state, None, step, slot);
        true
    }

    fn fulfil(&mut self, state: &mut State, node: usize, index: usize, slot: Arc<Slot>) {
        let plan = Arc::clone(&self.plan);
        let Some(step) = plan.requirements.steps.get(index) else {
            return;
        };
        let spawner = step.stacked.then(|| self.shared.spawner.name().into());
        let event = Event::RequirementStarted(Cow::Owned(RequirementStarted {
            id: Cow::Borrowed(&step.id),
            name: Cow::Borrowed(&step.name),
            requirement: Cow::Borrowed(&step.requirement),
            scope: step.scope,
            resolver: Cow::Borrowed(&step.resolver.name),
            spawner,
        }));
        self.write(state, owner(&plan, step), &event);
        self.screen.requirement_started(node, &step.name);
        let mut assignment = assignment(state, Arc::clone(&slot));
        if step.stacked {
            let snapshot = state.preparation.snapshot(&plan.requirements, step.base);
            assignment.state = spawner::EnvironmentState {
                snapshot: snapshot.map(str::to_owned),
                network: self.shared.network || step.wants_network(),
                owner: step.resolver.owner().map(str::to_owned),
                writable_directory: Some(self.shared.dependencies.path().join(&step.directory)),
            };
        }
        let (shared, control) = (Arc::clone(&self.shared), state.control.subscribe());
        let messages = state.messages.clone();
        let (plan, catalog) = (Arc::clone(&plan), Arc::clone(&self.shared.catalog));
        catalog.spawn(async move {
            let Some(step) = plan.requirements.steps.get(index) else {
                return;
            };
            let begun = shared.clock.now();
            let absent = || {
                let (go, told) = oneshot::channel();
                let _ = messages.send(Message::Absent { step: index, go });
                told
            };
            let met = preparer::fulfil(&shared, node, step, assignment, control, absent).await;
            let _ = messages.send(Message::Prepared(Box::new(Prepared {
                node,
                step: index,
                slot: slot.index,
                met,
                elapsed: shared.clock.now().saturating_sub(begun),
            })));
        });
    }

    fn release(&mut self, state: &mut State, node: Option<usize>, index: usize, slot: Arc<Slot>) {
        let plan = Arc::clone(&self.plan);
        let Some(step) = plan.requirements.steps.get(index) else {
            return;
        };
        let undo = &mut state.preparation.undo;
        let place = undo.iter().rposition(|(step, _)| *step == index);
        let fulfilled = place.map(|place| undo.remove(place).1).unwrap_or_default();
        let number = self.plan.entries.len() + index;
        let name = format!("{}, which is released", step.name);
        self.screen.requirement_started(number, &name);
        let assignment = assignment(state, Arc::clone(&slot));
        let (shared, control) = (Arc::clone(&self.shared), state.control.subscribe());
        let messages = state.messages.clone();
        let catalog = Arc::clone(&self.shared.catalog);
        let plan = Arc::clone(&plan);
        catalog.spawn(async move {
            let Some(step) = plan.requirements.steps.get(index) else {
                return;
            };
            let begun = shared.clock.now();
            let released =
                preparer::release(&shared, number, step, assignment, control, &fulfilled).await;
            let _ = messages.send(Message::Released {
                node,
                step: index,
                slot: slot.index,
                failed: released.err(),
                elapsed: shared.clock.now().saturating_sub(begun),
            });
        });
    }

    /// A requirement is about to be brought about. From now on there may be something to undo, whatever happens to the host.
    pub(super) fn absent(&mut self, state: &mut State, step: usize, go: oneshot::Sender<()>) {
        let plan = Arc::clone(&self.plan);
        let Some(step) = plan.requirements.steps.get(step) else {
            return;
        };
        let id = Cow::Borrowed(step.id.as_str());
        let event = Event::RequirementAbsent(Cow::Owned(RequirementAbsent { id }));
        self.write(state, owner(&plan, step), &event);
        let written = self.journal.commit();
        self.check(state, written);
        if step.scope != Scope::Keep
            && !step.stacked
            && let Err(error) = self.pending.add(self.directory.path())
        {
            tracing::warn!(
                "should this job be killed, nothing will remind of what it leaves: {error}"
            );
        }
        self.screen
            .log(format!("requirement {}: is being met", step.name));
        let _ = go.send(());
    }

    /// A requirement resolver says something for whoever looks.
    pub(super) fn preparing(&mut self, node: usize, text: &str) {
        let plan = Arc::clone(&self.plan);
        if let Some(step) = plan.requirements.steps.get(node - plan.entries.len()) {
            let line = format!("requirement {}: {text}", step.name);
            self.screen.requirement_progress(line);
        }
    }

    /// A requirement has been seen to.
    pub(super) fn prepared(&mut self, state: &mut State, prepared: Prepared) {
        let plan = Arc::clone(&self.plan);
        let Prepared {
            node,
            step: index,
            slot,
            met,
            elapsed,
        } = prepared;
        state.preparation.free.push(slot);
        let Some(step) = plan.requirements.steps.get(index) else {
            return;
        };
        let mut event = RequirementFinished {
            id: step.id.clone(),
            state: RequirementState::Present,
            reason: None,
            elapsed: u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
            fulfilled: Attributes::new(),
            snapshot: None,
        };
        let mut to_undo = None;
        match met {
            Met::Present => {}
            Met::Fulfilled(fulfilled) => {
                event.state = RequirementState::Fulfilled;
                event.fulfilled = fulfilled.clone();
                let variables = variables(&fulfilled);
                state.preparation.variables.insert(index, variables);
                to_undo = Some(fulfilled);
            }
            Met::Kept(fulfilled) => {
                event.state = RequirementState::Fulfilled;
                event.snapshot = Some(step.id.clone());
                let variables = variables(&fulfilled);
                event.fulfilled = fulfilled;
                state.preparation.variables.insert(index, variables);
                state.preparation.kept.insert(index);
            }
            Met::Failed { reason, unknown } => {
                event.state = match unknown {
                    true => RequirementState::Unknown,
                    false => RequirementState::Failed,
                };
                event.reason = Some(reason);
                to_undo = unknown.then(Attributes::new);
            }
        }
        if let Some(fulfilled) = to_undo
            && step.scope != Scope::Keep
            && !step.stacked
        {
            state.preparation.undo.push((index, fulfilled));
        }
        let record = Event::RequirementFinished(Cow::Borrowed(&event));
        self.write(state, owner(&plan, step), &record);
        let seconds = elapsed.as_secs_f64();
        let is_shown = event.state != RequirementState::Present;
        let line = match (is_shown, &event.reason) {
            (false, _) => format!("requirement {}: present", step.name),
            (true, None) => format!("requirement {}: fulfilled ({seconds:.2} s)", step.name),
            (true, Some(reason)) => format!("requirement {}: not met: {reason}", step.name),
        };
        self.screen.requirement_finished(node, line, is_shown);
        let status = match event.reason {
            None => Status::Pass,
            Some(reason) => {
                let why = format!("requirement `{}` is not met: {reason}", step.name);
                state.preparation.forsake(node, why);
                Status::Cancel
            }
        };
        self.ended(state, node, status);
    }

    /// A requirement has been released, or could not be.
    pub(super) fn released(
        &mut self,
        state: &mut State,
        (node, index, slot): (Option<usize>, usize, usize),
        failed: Option<String>,
        elapsed: Duration,
    ) {
        let plan = Arc::clone(&self.plan);
        let Some(step) = plan.requirements.steps.get(index) else {
            return;
        };
        let event = RequirementReleased {
            id: step.id.clone(),
            reason: failed.clone(),
            elapsed: u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
        };
        let record = Event::RequirementReleased(Cow::Borrowed(&event));
        self.write(state, owner(&plan, step), &record);
        let seconds = elapsed.as_secs_f64();
        let line = match &failed {
            None => format!("requirement {}: released ({seconds:.2} s)", step.name),
            Some(reason) => format!("requirement {}: not released: {reason}", step.name),
        };
        let number = self.plan.entries.len() + index;
        self.screen.requirement_finished(number, line, true);
        if let Some(reason) = failed {
            state.preparation.left.push((step.name.clone(), reason));
        }
        // The next one of the same owner, and then what waits for all of them.
        let own = step.owner.map(|owner| plan.requirements.own(owner));
        let next = own.and_then(|own| state.preparation.last_of(own));
        match (node, next) {
            (Some(node), Some(next)) => {
                let slot = state.preparation.slots.get(slot - state.preparation.first);
                if let Some(slot) = slot.cloned() {
                    self.release(state, Some(node), next, slot);
                }
            }
            (Some(node), None) => {
                state.preparation.free.push(slot);
                self.ended(state, node, Status::Pass);
            }
            (None, _) => state.preparation.free.push(slot),
        }
    }
}

/// The id of the task that has a requirement for itself.
fn owner<'a>(plan: &'a Plan, step: &Step) -> Option<&'a str> {
    let entry = plan.entries.get(plan.requirements.only_task(step)?);
    entry.map(|entry| entry.task.id.as_str())
}

fn assignment(state: &State, slot: Arc<Slot>) -> Assignment {
    Assignment {
        slot,
        position: None,
        can_requeue: false,
        state: spawner::EnvironmentState::default(),
        spoils: false,
        variables: Vec::new(),
        messages: state.messages.clone(),
    }
}

/// The variables in what a resolver says of what it has brought about.
fn variables(fulfilled: &Attributes) -> Vec<(String, String)> {
    let all = fulfilled.get("env").and_then(Attribute::members);
    let named = all.into_iter().flatten().map(|(name, value)| {
        let value = match value {
            Attribute::Text(text) => text,
            other => other.to_string(),
        };
        (name, value)
    });
    // What is no variable cannot be given to a process.
    named
        .filter(|(name, value)| {
            !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
        })
        .collect()
}
