//! Owns the dispatcher's answer to requests from outside: to stop the job, to kill its tasks, to
//! pause. Does not know how a task is ended.

use super::{DispatchState, Dispatcher};
use crate::execute::control::{Signals, StopReason};
use persea_journal::Event;
use std::borrow::Cow;

impl Dispatcher<'_> {
    /// Stops the job: running tasks are ended with a grace period, or killed when the user asks a
    /// second time.
    pub(super) fn stop(&mut self, state: &mut DispatchState, stop: StopReason) {
        let again = state.interrupted && stop == StopReason::User;
        state.interrupted = true;
        let why = match stop {
            StopReason::User => "interrupted by the user",
            StopReason::Timeout => "the job has reached its timeout",
            StopReason::Journal => "the journal cannot be written",
            StopReason::Directory => "the job's directory is gone",
        };
        state.stopped = Some(why);
        state.control.send_modify(|control| {
            control.stop.get_or_insert(stop);
            control.kill |= again;
        });
        self.screen.notice(match (stop, again) {
            (StopReason::User, false) => {
                "Interrupt requested: ending the running tests. Press Ctrl-C again to kill them."
            }
            (StopReason::User, true) => "Interrupt requested again: killing the running tests.",
            (StopReason::Timeout, _) => {
                "The job has reached its timeout: ending the running tests."
            }
            (StopReason::Journal, _) => "The journal cannot be written: ending the running tests.",
            (StopReason::Directory, _) => "The job's directory is gone: ending the running tests.",
        });
    }

    /// Pauses the tests, the clock and the host until SIGCONT (Ctrl-Z).
    pub(super) async fn pause(&mut self, state: &mut DispatchState, signals: &mut Signals) {
        let written = self
            .journal
            .record(None, &Event::JobPaused(Cow::default()))
            .and_then(|()| self.journal.commit());
        self.stop_unless_written(state, written);
        self.context.execution.clock.pause();
        for slot in state.all_slots() {
            if let Some(environment) = slot.environment() {
                let _ = environment.pause().await;
            }
        }
        self.screen.suspend().await;
        signals.pause().await;
        self.screen.resume();
        for slot in state.all_slots() {
            if let Some(environment) = slot.environment() {
                let _ = environment.resume().await;
            }
        }
        self.context.execution.clock.resume();
        let written = self
            .journal
            .record(None, &Event::JobResumed(Cow::default()))
            .and_then(|()| self.journal.commit());
        self.stop_unless_written(state, written);
    }
}
