//! Owns the decision whether a task or a requirement is tried again, and the requeueing of it. Does
//! not know how an attempt is made.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::preparation::owner;
use super::record::record;
use super::{DispatchState, Dispatcher, LastAttempt};
use crate::execute::messages::{FinishedTask, Fulfilment};
use crate::plan::graph::NodeIndex;
use crate::plan::requirements::{RequirementStep, StepIndex};
use persea_config::RetryCause;
use persea_journal::{AttemptCause, Event, RequirementRetried};
use persea_model::{Outcome, Status, Task};

/// Whether one of the causes for a retry is that of an outcome. A task that has passed has none.
fn is_cause(causes: &[RetryCause], outcome: &Outcome) -> bool {
    let of_status = match outcome.status {
        Status::Pass | Status::Warn => return false,
        Status::Fail => Some(RetryCause::Fail),
        Status::Error => Some(RetryCause::Error),
        Status::Interrupted => Some(RetryCause::Interrupted),
        Status::Cancel => Some(RetryCause::Cancel),
        Status::Skip => None,
    };
    of_status.is_some_and(|cause| causes.contains(&cause))
        || outcome.is_infrastructure() && causes.contains(&RetryCause::Infrastructure)
}

impl Dispatcher<'_> {
    /// Whether a task that has ended is retried. A task that failed because the job is being
    /// stopped is not.
    pub(super) fn is_retried(
        &self,
        state: &DispatchState,
        task: &Task,
        finished: &FinishedTask,
    ) -> bool {
        state.stopped.is_none() && Self::has_retry(state, task, finished)
    }

    /// Whether a task that has ended would be retried in a job that goes on.
    fn has_retry(state: &DispatchState, task: &Task, finished: &FinishedTask) -> bool {
        let rule = state.retries.of(&task.runnable.more);
        state.retries_of(task) < rule.count && is_cause(&rule.causes, &finished.outcome)
    }

    /// Whether the end of a task is no result of its own, because the job is being stopped: a host
    /// that takes the job over runs the task.
    pub(super) fn is_cut_short(
        &self,
        state: &DispatchState,
        task: &Task,
        ran: Option<&FinishedTask>,
    ) -> bool {
        state.stopped.is_some()
            && ran.is_none_or(|finished| {
                finished.is_stopped || finished.is_lost || Self::has_retry(state, task, finished)
            })
    }

    /// Requeues a task for its next attempt, which is a retry unless there is a cause. The
    /// directory of this attempt is kept under another name.
    pub(super) fn retry(
        &mut self,
        state: &mut DispatchState,
        task: &Task,
        finished: &FinishedTask,
        cause: Option<AttemptCause>,
    ) {
        if cause == Some(AttemptCause::EnvironmentLost) {
            *state.losses.entry(task.index).or_default() += 1;
        }
        let before = state.attempts(task);
        let mut record = record(task, &finished.outcome, Some(finished), before);
        record.environment = self.task_environment(state, task, finished.slot);
        record.attempts = before + 1;
        record.cause = cause;
        let directory = finished
            .has_directory
            .then(|| format!("{}.attempt-{}", task.directory, record.attempts));
        if let Some(name) = &directory {
            self.directory.set_aside(&task.directory, name);
            record.directory = format!("{}/{name}", persea_model::names::TEST_RESULTS);
        }
        let event = Event::TaskRetried(Cow::Borrowed(&record));
        self.write_event(state, Some(&task.id), &event);
        let record = Arc::new(record);
        self.screen.task_retried(task, Arc::clone(&record));
        state
            .last_attempts
            .insert(task.index, LastAttempt { record, directory });
        state.queue.put_back(task.index);
    }

    /// Whether a requirement is tried again: its resolver blames the environment and has undone
    /// what it changed.
    pub(super) fn is_requirement_retried(
        &self,
        state: &DispatchState,
        step: StepIndex,
        fulfilment: &Fulfilment,
    ) -> bool {
        let is_fault = matches!(
            fulfilment,
            Fulfilment::Failed {
                unknown: false,
                is_infrastructure: true,
                ..
            }
        );
        let before = state.preparation.attempts.get(&step).copied();
        let rule = state.retries.of_job();
        is_fault
            && before.unwrap_or_default() < rule.count
            && state.stopped.is_none()
            && rule.causes.contains(&RetryCause::Infrastructure)
    }

    /// Requeues a requirement for its next attempt.
    pub(super) fn retry_requirement(
        &mut self,
        state: &mut DispatchState,
        node: NodeIndex,
        (index, step): (StepIndex, &RequirementStep),
        reason: String,
        elapsed: Duration,
    ) {
        let attempts = state.preparation.attempts.entry(index).or_default();
        *attempts += 1;
        let line = format!("requirement {}: not met: {reason}, retrying", step.name);
        let event = RequirementRetried {
            id: step.id.clone(),
            reason,
            elapsed: u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
            attempts: *attempts,
        };
        let plan = Arc::clone(&self.plan);
        let event = Event::RequirementRetried(Cow::Borrowed(&event));
        self.write_event(state, owner(&plan, step), &event);
        self.screen.requirement_finished(index.0, line, true);
        state.queue.put_back(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_have_the_causes_that_the_setting_names() {
        use RetryCause::{Cancel, Error, Fail, Infrastructure, Interrupted};
        let usual = [Fail, Error, Interrupted, Infrastructure];
        let bare = Outcome::bare;
        for status in [Status::Fail, Status::Error, Status::Interrupted] {
            assert!(is_cause(&usual, &bare(status)), "{status}");
            assert!(
                !is_cause(&[Infrastructure, Cancel], &bare(status)),
                "{status}"
            );
            let blamed = bare(status).with_infrastructure();
            assert!(is_cause(&[Infrastructure], &blamed), "{status}");
            assert!(!is_cause(&[], &blamed), "{status}");
        }
        for status in [Status::Skip, Status::Cancel] {
            assert!(!is_cause(&usual, &bare(status)), "{status}");
            assert!(
                is_cause(&usual, &bare(status).with_infrastructure()),
                "{status}"
            );
        }
        assert!(is_cause(&[Cancel], &bare(Status::Cancel)));
        for status in [Status::Pass, Status::Warn] {
            assert!(
                !is_cause(&usual, &bare(status).with_infrastructure()),
                "{status}"
            );
        }
    }
}
