//! Owns the measure of how long an instance has waited for nobody: no process that it has started,
//! no environment, no next task. Does not know about those.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Measures the time for which an instance has not waited for others.
#[derive(Debug)]
pub(crate) struct IdleClock(Mutex<Waits>);

#[derive(Debug)]
struct Waits {
    /// How many things the instance waits for.
    count: usize,
    /// When the last one of them has ended.
    since: Instant,
}

/// A thing that the instance waits for. The instance is not idle while this lives.
#[derive(Debug)]
pub(crate) struct BusyGuard(Arc<IdleClock>);

impl Default for IdleClock {
    fn default() -> Self {
        Self(Mutex::new(Waits {
            count: 0,
            since: Instant::now(),
        }))
    }
}

impl IdleClock {
    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait for others, until the guard is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> BusyGuard {
        self.waits().count += 1;
        BusyGuard(Arc::clone(self))
    }

    /// Returns once the instance has been idle for this time without a break.
    pub(crate) async fn reaches(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let since = {
                let waits = self.waits();
                match waits.count {
                    0 => waits.since,
                    _ => now,
                }
            };
            // An end that the clock cannot express never comes.
            let Some(end) = since.checked_add(limit) else {
                return std::future::pending().await;
            };
            if end <= now {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        let mut waits = self.0.waits();
        waits.count = waits.count.saturating_sub(1);
        if waits.count == 0 {
            waits.since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    async fn is_over(idle: &IdleClock) -> bool {
        tokio::time::timeout(Duration::ZERO, idle.reaches(LIMIT))
            .await
            .is_ok()
    }

    /// Moves the start of idleness back by the limit.
    fn age(idle: &IdleClock) {
        let mut waits = idle.waits();
        if let Some(before) = waits.since.checked_sub(LIMIT) {
            waits.since = before;
        }
    }

    #[tokio::test]
    async fn idle_time_starts_again_after_each_wait() {
        let idle = Arc::new(IdleClock::default());
        assert!(!is_over(&idle).await);
        let (one, other) = (idle.busy(), idle.busy());
        age(&idle);
        assert!(!is_over(&idle).await);
        drop(one);
        age(&idle);
        assert!(!is_over(&idle).await);
        drop(other);
        assert!(!is_over(&idle).await);
        age(&idle);
        assert!(is_over(&idle).await);
    }
}
