//! Owns the ends of tasks and of other nodes of the graph: their records, and what can no longer
//! run because of them. Does not know how a task has run.

use std::borrow::Cow;
use std::sync::Arc;

use super::record::record;
use super::{DispatchState, Dispatcher, LastAttempt};
use crate::dispatch::queue::Unrunnable;
use crate::execute::messages::FinishedTask;
use crate::plan::graph::NodeIndex;
use persea_journal::{AttemptCause, Event, TaskFinished};
use persea_model::{Outcome, Status, Task};

impl Dispatcher<'_> {
    /// Records the end of a task that is not started because the job is being stopped. A task that
    /// waited for a retry ends with the result of its last attempt.
    pub(super) fn skip(&mut self, state: &mut DispatchState, task: &Task, why: &str) {
        // An attempt that ended with its host has no result.
        let has_result =
            |last: &mut LastAttempt| last.record.cause != Some(AttemptCause::JobTakenOver);
        let last = state.last_attempts.get_mut(&task.index);
        if !last.is_some_and(has_result) {
            let outcome = Outcome::new(Status::Skip, format!("not started: {why}"));
            return self.finish(state, task, &outcome, None);
        }
        let Some(last) = state.last_attempts.remove(&task.index) else {
            return;
        };
        let mut record = Arc::unwrap_or_clone(last.record);
        record.cut_short = true;
        let status = record.status;
        if record.attempts == 1 {
            // The journal counts attempts only for tasks with more than one.
            record.attempts = 0;
        }
        self.record_end(state, task, record, last.directory.as_deref());
        self.end_node(state, task.index, status);
    }

    /// Records the end of a task, started or not, and of all tasks that can no longer run because
    /// of it.
    pub(super) fn finish(
        &mut self,
        state: &mut DispatchState,
        task: &Task,
        outcome: &Outcome,
        ran: Option<&FinishedTask>,
    ) {
        self.finish_task(state, task, outcome, ran);
        self.end_node(state, task.index, outcome.status);
    }

    /// Marks a node of the graph as ended, and records the ends of all nodes that can no longer run
    /// because of it.
    pub(super) fn end_node(
        &mut self,
        state: &mut DispatchState,
        node: impl Into<NodeIndex>,
        status: Status,
    ) {
        let unrunnable = state.queue.end(node, status);
        self.end_unrunnable(state, unrunnable);
    }

    /// Records the ends of these nodes, and of all that can no longer run because of them.
    pub(super) fn end_unrunnable(
        &mut self,
        state: &mut DispatchState,
        mut unrunnable: Vec<Unrunnable>,
    ) {
        let plan = Arc::clone(&self.plan);
        while let Some(Unrunnable {
            node,
            needs,
            status,
        }) = unrunnable.pop()
        {
            let why = match (plan.entry(needs), state.preparation.why(needs)) {
                (Some(needs), _) => {
                    format!("it needs `{}`, which has ended {status}", needs.task.id)
                }
                (None, why) => why.unwrap_or_default().to_owned(),
            };
            match plan.entry(node) {
                Some(entry) => {
                    let outcome = Outcome::new(Status::Cancel, why);
                    self.finish_task(state, &entry.task, &outcome, None);
                }
                None => state.preparation.fail(node, why),
            }
            unrunnable.extend(state.queue.end(node, Status::Cancel));
        }
    }

    pub(super) fn finish_task(
        &mut self,
        state: &mut DispatchState,
        task: &Task,
        outcome: &Outcome,
        ran: Option<&FinishedTask>,
    ) {
        let mut record = record(task, outcome, ran, state.attempts(task));
        record.environment = ran.and_then(|ran| self.task_environment(state, task, ran.slot));
        record.is_refused = ran.is_none() && self.plan.is_refused(task.index);
        // Another environment is no second chance.
        record.flaky &= state.retries_of(task) > 0;
        if ran.is_none() {
            // No other attempt was made. The journal counts attempts only where there were several.
            let before = state.attempts(task);
            record.attempts = if before > 1 { before } else { 0 };
        }
        record.cut_short = self.is_cut_short(state, task, ran);
        state.last_attempts.remove(&task.index);
        let directory = ran.is_some_and(|ran| ran.has_directory);
        let directory = directory.then_some(&*task.directory);
        self.record_end(state, task, record, directory);
    }

    /// Writes a task's end to the journal, the display and the tallies. `directory` is the name of
    /// the task's directory, if it has one.
    pub(super) fn record_end(
        &mut self,
        state: &mut DispatchState,
        task: &Task,
        record: TaskFinished,
        directory: Option<&str>,
    ) {
        let status = record.status;
        state.policy.ended(task.index, status, record.elapsed);
        state.flaky += usize::from(record.flaky);
        state.is_cut_short |= record.cut_short;
        state.ran += usize::from(record.started.is_some());
        let event = Event::TaskFinished(Cow::Borrowed(&record));
        self.write_event(state, Some(&task.id), &event);
        state.tally.add(status);
        self.screen
            .task_finished(task, Arc::new(record), state.tally, directory);
        if status != Status::Pass
            && let Some(directory) = directory
        {
            self.directory.link_by_status(status, directory);
        }
        let failures = state.tally.fail + state.tally.error + state.tally.interrupted;
        if state.failfast > 0
            && u64::try_from(failures).unwrap_or(u64::MAX) >= state.failfast
            && !status.is_ok()
            && state.stopped.is_none()
        {
            state.stopped = Some("a test has failed before (--failfast)");
            self.screen.notice("Interrupting job (failfast).");
        }
    }
}
