//! Owns the state of a job that another host has begun: what has ended stays so, and attempts
//! count. Does not know where that comes from.

use std::sync::Arc;

use super::{DispatchState, Dispatcher, LastAttempt};
use crate::dispatch::takeover::Progress;
use crate::plan::graph::{Node, NodeIndex};
use persea_journal::{AttemptCause, TaskFinished};
use persea_model::names::TEST_RESULTS;
use persea_model::{Status, TaskIndex};

impl Dispatcher<'_> {
    /// Brings the state to where the former host has left it.
    pub(super) fn go_on(&mut self, state: &mut DispatchState, progress: Progress) {
        let Progress {
            ended,
            attempts,
            tally,
            elapsed: _,
            warnings,
            switches,
            last_environment: _,
            notice: _,
        } = progress;
        state.tally = tally;
        state.warnings = warnings;
        state.slots.switches = switches;
        for (task, attempts) in attempts {
            self.restore_attempts(state, task, attempts);
        }
        let mut has_ended = vec![false; self.plan.entries.len()];
        for (task, _) in &ended {
            if let Some(has_ended) = has_ended.get_mut(task.0) {
                *has_ended = true;
            }
        }
        self.end_unneeded(state, &has_ended);
        let mut unrunnable = Vec::new();
        for (task, record) in ended {
            state.ran += usize::from(record.started.is_some());
            state.flaky += usize::from(record.flaky);
            state.policy.ended(task, record.status, record.elapsed);
            let status = record.status;
            if !status.is_ok() {
                self.screen.task_had_failed(Arc::new(record));
            }
            unrunnable.extend(state.queue.end(task, status));
        }
        // Tasks that have ended are in `ended` already.
        unrunnable.retain(|it| !has_ended.get(it.node.0).copied().unwrap_or_default());
        self.end_unrunnable(state, unrunnable);
    }

    fn restore_attempts(
        &mut self,
        state: &mut DispatchState,
        task: TaskIndex,
        attempts: Vec<TaskFinished>,
    ) {
        let count = |cause: AttemptCause| {
            let of_cause = attempts.iter().filter(|it| it.cause == Some(cause));
            of_cause.count()
        };
        let (lost, taken_over) = (
            count(AttemptCause::EnvironmentLost),
            count(AttemptCause::JobTakenOver),
        );
        if lost > 0 {
            state.losses.insert(task, lost);
        }
        if taken_over > 0 {
            state.taken_over.insert(task, taken_over);
        }
        if let Some(record) = attempts.into_iter().last() {
            let directory = record.directory.strip_prefix(TEST_RESULTS);
            let directory = directory.and_then(|it| it.strip_prefix('/'));
            let directory = directory.filter(|_| record.has_directory);
            let last = LastAttempt {
                directory: directory.map(str::to_owned),
                record: Arc::new(record),
            };
            state.last_attempts.insert(task, last);
        }
    }

    /// Ends the requirements that only tasks need which have ended.
    fn end_unneeded(&mut self, state: &mut DispatchState, has_ended: &[bool]) {
        let requirements = &self.plan.requirements;
        let mut needed = vec![false; requirements.steps.len()];
        for (task, steps) in requirements.tasks() {
            if !has_ended.get(task.0).copied().unwrap_or_default() {
                for step in steps {
                    if let Some(needed) = needed.get_mut(step.0) {
                        *needed = true;
                    }
                }
            }
        }
        if needed.iter().all(|needed| *needed) {
            return;
        }
        let nodes = (self.plan.entries.len()..state.queue.len()).map(NodeIndex);
        let unneeded = nodes.filter(|node| match state.queue.node(*node) {
            Node::Fulfil(step) => !needed.get(step.0).copied().unwrap_or(true),
            Node::Task | Node::Reserve(_) | Node::Release(_) => false,
        });
        for node in unneeded.collect::<Vec<_>>() {
            self.end_node(state, node, Status::Pass);
        }
    }
}
