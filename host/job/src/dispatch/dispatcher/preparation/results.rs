//! Owns what the dispatcher does when a requirement was fulfilled or released, or could not be.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::super::{DispatchState, Dispatcher};
use super::owner;
use crate::execute::messages::{Fulfilment, PreparedRequirement};
use crate::execute::slot::SlotIndex;
use crate::plan::graph::NodeIndex;
use crate::plan::requirements::StepIndex;
use persea_journal::{Event, RequirementFinished, RequirementReleased, RequirementState};
use persea_model::{Scope, Status};
use persea_plugin::Fulfilled;

impl Dispatcher<'_> {
    /// Records how a requirement was fulfilled, or that it was not.
    pub(in crate::dispatch::dispatcher) fn prepared(
        &mut self,
        state: &mut DispatchState,
        prepared: PreparedRequirement,
    ) {
        let plan = Arc::clone(&self.plan);
        let PreparedRequirement {
            node,
            step: index,
            slot,
            fulfilment,
            elapsed,
        } = prepared;
        state.preparation.free.push(slot);
        let Some(step) = plan.requirements.step(index) else {
            return;
        };
        if self.is_requirement_retried(state, index, &fulfilment)
            && let Fulfilment::Failed { reason, .. } = fulfilment
        {
            return self.retry_requirement(state, node, (index, step), reason, elapsed);
        }
        let mut event = RequirementFinished {
            id: step.id.clone(),
            state: RequirementState::Present,
            reason: None,
            elapsed: u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
            fulfilled: None,
            snapshot: None,
        };
        let mut to_release = None;
        match fulfilment {
            Fulfilment::Present => {}
            Fulfilment::Fulfilled(Fulfilled { undo, env }) => {
                event.state = RequirementState::Fulfilled;
                event.fulfilled = Some(undo.clone());
                state.preparation.variables.insert(index, variables(env));
                to_release = Some(Some(undo));
            }
            Fulfilment::Snapshot(Fulfilled { undo, env }) => {
                event.state = RequirementState::Fulfilled;
                event.snapshot = Some(step.id.clone());
                event.fulfilled = Some(undo);
                state.preparation.variables.insert(index, variables(env));
                state.preparation.snapshots.insert(index);
            }
            Fulfilment::Failed {
                reason,
                unknown,
                is_infrastructure: _,
            } => {
                event.state = match unknown {
                    true => RequirementState::Unknown,
                    false => RequirementState::Failed,
                };
                event.reason = Some(reason);
                to_release = unknown.then_some(None);
            }
        }
        if let Some(undo) = to_release
            && step.scope != Scope::Keep
            && !step.stacked
        {
            state.preparation.unreleased.push((index, undo));
        }
        let record = Event::RequirementFinished(Cow::Borrowed(&event));
        self.write_event(state, owner(&plan, step), &record);
        let seconds = elapsed.as_secs_f64();
        let is_shown = event.state != RequirementState::Present;
        let line = match (is_shown, &event.reason) {
            (false, _) => format!("requirement {}: present", step.name),
            (true, None) => format!("requirement {}: fulfilled ({seconds:.2} s)", step.name),
            (true, Some(reason)) => format!("requirement {}: not met: {reason}", step.name),
        };
        self.screen.requirement_finished(index.0, line, is_shown);
        let status = match event.reason {
            None => Status::Pass,
            Some(reason) => {
                let why = format!("requirement `{}` is not met: {reason}", step.name);
                state.preparation.fail(node, why);
                Status::Cancel
            }
        };
        self.end_node(state, node, status);
    }

    /// Records how a release ended, and starts the next one of the same owner.
    pub(in crate::dispatch::dispatcher) fn released(
        &mut self,
        state: &mut DispatchState,
        (node, index, slot): (Option<NodeIndex>, StepIndex, SlotIndex),
        failed: Option<String>,
        elapsed: Duration,
    ) {
        let plan = Arc::clone(&self.plan);
        let Some(step) = plan.requirements.step(index) else {
            return;
        };
        let event = RequirementReleased {
            id: step.id.clone(),
            reason: failed.clone(),
            elapsed: u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
        };
        let record = Event::RequirementReleased(Cow::Borrowed(&event));
        self.write_event(state, owner(&plan, step), &record);
        let seconds = elapsed.as_secs_f64();
        let line = match &failed {
            None => format!("requirement {}: released ({seconds:.2} s)", step.name),
            Some(reason) => format!("requirement {}: not released: {reason}", step.name),
        };
        self.screen.requirement_finished(index.0, line, true);
        if let Some(reason) = failed {
            state
                .preparation
                .not_released
                .push((step.name.clone(), reason));
        }
        // The owner's next requirement is released, or its node of the graph ends.
        let own = step.owner.map(|owner| plan.requirements.own(owner));
        let next = own.and_then(|own| state.preparation.last_fulfilled(own));
        match (node, next) {
            (Some(node), Some(next)) => {
                let slot = state
                    .preparation
                    .slots
                    .get(slot.0 - state.preparation.first_slot);
                if let Some(slot) = slot.cloned() {
                    self.release(state, Some(node), next, slot);
                }
            }
            (Some(node), None) => {
                state.preparation.free.push(slot);
                self.end_node(state, node, Status::Pass);
            }
            (None, _) => state.preparation.free.push(slot),
        }
    }
}

/// The environment variables of a fulfilled requirement, without those that the system cannot pass
/// to a process.
fn variables(env: Vec<(String, String)>) -> Vec<(String, String)> {
    let can_be_passed = |(name, value): &(String, String)| {
        !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
    };
    env.into_iter().filter(can_be_passed).collect()
}
