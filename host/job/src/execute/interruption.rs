//! Owns the signal that a call is interrupted, for plugins that wait. Does not know why.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Whether a call is interrupted. Several may wait for that.
#[derive(Debug, Default)]
pub(crate) struct Interruption {
    has_come: AtomicBool,
    comes: Notify,
}

impl Interruption {
    /// Interrupts the call, for good.
    pub(crate) fn interrupt(&self) {
        self.has_come.store(true, Ordering::Release);
        self.comes.notify_waiters();
    }

    /// Returns once the call is interrupted.
    pub(crate) async fn wait(&self) {
        let mut coming = std::pin::pin!(self.comes.notified());
        // From now on a notification is not missed.
        coming.as_mut().enable();
        if !self.has_come.load(Ordering::Acquire) {
            coming.await;
        }
    }
}
