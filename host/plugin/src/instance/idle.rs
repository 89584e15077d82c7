//! How long an instance has been waiting for nothing but itself: for no process that it has started, no environment, no task that is to come.
//! Knows nothing of what those are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Whether an instance waits for others now, and since when it doesn't.
#[derive(Debug)]
pub(crate) struct Idle(Mutex<Waits>);

#[derive(Debug)]
struct Waits {
    /// How many things it has that others have to end.
    count: usize,
    /// When the last of them had ended.
    since: Instant,
}

/// As long as this lives the instance is not idle.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Idle>);

impl Default for Idle {
    fn default() -> Self {
        Self(Mutex::new(Waits {
            count: 0,
            since: Instant::now(),
        }))
    }
}

impl Idle {
    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It waits for others from now on.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.waits().count += 1;
        Busy(Arc::clone(self))
    }

    /// Returns when it has been idle for so long without a break.
    pub(crate) async fn for_so_long(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let since = {
                let waits = self.waits();
                match waits.count {
                    0 => waits.since,
                    _ => now,
                }
            };
            // A limit beyond all time is none.
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

impl Drop for Busy {
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

    async fn is_over(idle: &Idle) -> bool {
        tokio::time::timeout(Duration::ZERO, idle.for_so_long(LIMIT))
            .await
            .is_ok()
    }

    /// As if that had been a limit ago.
    fn age(idle: &Idle) {
        let mut waits = idle.waits();
        if let Some(before) = waits.since.checked_sub(LIMIT) {
            waits.since = before;
        }
    }

    #[tokio::test]
    async fn only_time_without_a_break_counts() {
        let idle = Arc::new(Idle::default());
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
