//! Owns the job's clock. It stops while the job is paused (Ctrl-Z), and all timeouts with it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time since the job started, without the time for which it was paused.
pub(crate) struct Clock {
    started: Instant,
    state: Mutex<ClockState>,
}

#[derive(Default)]
struct ClockState {
    paused_total: Duration,
    paused_since: Option<Instant>,
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
        let until = state.paused_since.unwrap_or_else(Instant::now);
        until
            .duration_since(self.started)
            .saturating_sub(state.paused_total)
    }

    /// Stops the clock.
    pub(crate) fn pause(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.paused_since.get_or_insert_with(Instant::now);
    }

    /// Restarts the clock.
    pub(crate) fn resume(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(paused_since) = state.paused_since.take() {
            state.paused_total += paused_since.elapsed();
        }
    }

    /// Returns when the clock reaches `deadline`. Time for which it was stopped does not count.
    pub(crate) async fn until(&self, deadline: Duration) {
        loop {
            let now = self.now();
            if now >= deadline {
                return;
            }
            // While the clock is stopped the remaining time stays the same, so it is checked ten
            // times a second.
            let left = deadline - now;
            let paused = self
                .state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .paused_since
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
    async fn stopped_clock_postpones_deadlines() {
        let clock = Clock::new();
        clock.pause();
        let stood = clock.now();
        let waited = tokio::time::timeout(
            Duration::from_millis(50),
            clock.until(stood + Duration::from_millis(1)),
        )
        .await;
        assert!(
            waited.is_err(),
            "the deadline passed while the clock was stopped"
        );
        assert_eq!(clock.now(), stood);
        clock.resume();
        clock.until(stood + Duration::from_millis(1)).await;
        assert!(clock.now() >= stood + Duration::from_millis(1));
    }
}
