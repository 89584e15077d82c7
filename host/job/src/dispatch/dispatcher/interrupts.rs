//! What is asked of a job from outside while it runs: to end, to end at once, to stand still. It must not know how a task is ended.

use super::{Dispatcher, State};
use crate::execute::control::{Signals, Stop};
use persea_journal::Event;
use std::borrow::Cow;

impl Dispatcher<'_> {
    /// Cuts the job short; asked for a second time, at once.
    pub(super) fn stop(&mut self, state: &mut State, stop: Stop) {
        let again = state.interrupted && stop == Stop::User;
        state.interrupted = true;
        let why = match stop {
            Stop::User => "interrupted by the user",
            Stop::Timeout => "the job's time is up",
            Stop::Journal => "the journal cannot be written",
            Stop::Directory => "the job's directory is gone",
        };
        state.stopped = Some(why);
        state.control.send_modify(|control| {
            control.stop.get_or_insert(stop);
            control.kill |= again;
        });
        self.screen.notice(match (stop, again) {
            (Stop::User, false) => "Interrupt requested: running tests are being ended; once more (Ctrl-C) to kill them.",
            (Stop::User, true) => "Interrupt requested again: running tests are being killed.",
            (Stop::Timeout, _) => "The job's time is up: running tests are being ended.",
            (Stop::Journal, _) => "The journal cannot be written: running tests are being ended.",
            (Stop::Directory, _) => "The job's directory is gone: running tests are being ended.",
        });
    }

    /// Ctrl-Z: the tests, the clocks and the host stand still until SIGCONT.
    pub(super) async fn stand_still(&mut self, state: &mut State, signals: &mut Signals) {
        let written = self
            .journal
            .record(None, &Event::JobPaused(Cow::default()))
            .and_then(|()| self.journal.commit());
        self.check(state, written);
        self.shared.clock.pause();
        for slot in state.slots() {
            if let Some(environment) = slot.environment() {
                let _ = environment.pause().await;
            }
        }
        self.screen.suspend().await;
        signals.stand_still().await;
        self.screen.resume();
        for slot in state.slots() {
            if let Some(environment) = slot.environment() {
                let _ = environment.resume().await;
            }
        }
        self.shared.clock.resume();
        let written = self
            .journal
            .record(None, &Event::JobResumed(Cow::default()))
            .and_then(|()| self.journal.commit());
        self.check(state, written);
    }
}
