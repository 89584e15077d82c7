//! The job's clock: it stands still while the job is stopped (Ctrl-Z), and so does every time-out.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time since the job began, without the time for which it was stopped.
pub(crate) struct Clock {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stopped: Duration,
    since: Option<Instant>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// How long the job has run.
    pub(crate) fn now(&self) -> Duration {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let until = state.since.unwrap_or_else(Instant::now);
        until
            .duration_since(self.started)
            .saturating_sub(state.stopped)
    }

    /// Stops the clock.
    pub(crate) fn pause(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.since.get_or_insert_with(Instant::now);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = state.since.take() {
            state.stopped += since.elapsed();
        }
    }

    /// Returns when the clock shows `deadline`, and not because of time for which it stood still.
    pub(crate) async fn until(&self, deadline: Duration) {
        loop {
            let now = self.now();
            if now >= deadline {
                return;
            }
            // While the clock stands, what is left does not shrink; so it is looked at again, at least ten times a second.
            let left = deadline - now;
            let paused = self
                .state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .since
                .is_some();
            tokio::time::sleep(if paused {
                left.min(Duration::from_millis(100))
            } else {
                left
            })
            .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stopped_clock_holds_back_its_deadlines() {
        let clock = Clock::new();
        clock.pause();
        let stood = clock.now();
        let waited = tokio::time::timeout(
            Duration::from_millis(50),
            clock.until(stood + Duration::from_millis(1)),
        )
        .await;
        assert!(waited.is_err(), "the deadline passed while the clock stood");
        assert_eq!(clock.now(), stood);
        clock.resume();
        clock.until(stood + Duration::from_millis(1)).await;
        assert!(clock.now() >= stood + Duration::from_millis(1));
    }
}
