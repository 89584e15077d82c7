//! Owns the renewal of a helper's lease, and when the lease of a lost helper is over. Does not know
//! where the helper is.
//!
//! The helper counts its lease from a time of its own clock that it has told the host. The host
//! waits from the later time at which it heard that. So the host never takes a lease for over that
//! the helper still counts on, however long a message was under way.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use persea_helper::protocol::{Reply, Request};

use crate::channel::Channel;

/// How long a helper may take to end its processes after its lease: 1 s. Killing them takes
/// milliseconds.
const END_WITHIN: Duration = Duration::from_secs(1);

/// How long an answer is waited for beyond its time: 1 s. A host that was stopped (Ctrl-Z) finds
/// its time passed, and reads the answer only then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How long after an answer the next renewal of a lease is sent.
pub(crate) fn interval(lease: Duration) -> Duration {
    lease / 3
}

/// How long the answer to a renewal may take: the rest of the lease.
pub(crate) fn answer_within(lease: Duration) -> Duration {
    lease.saturating_sub(interval(lease))
}

/// The lease of one helper.
#[derive(Debug)]
pub(crate) struct Lease {
    duration: Duration,
    /// When the helper was heard from last; none before its greeting.
    heard: Mutex<Option<Instant>>,
}

impl Lease {
    pub(crate) fn new(duration: Duration) -> Arc<Self> {
        Arc::new(Self {
            duration,
            heard: Mutex::default(),
        })
    }

    /// How long the helper lives without a renewal.
    pub(crate) fn duration(&self) -> Duration {
        self.duration
    }

    fn hear(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Renews the lease as long as the channel is open. Gives the channel up if the helper does not
    /// answer in time.
    pub(crate) async fn keep(self: Arc<Self>, channel: Arc<Channel>) {
        self.hear();
        let mut clock = channel.clock();
        let nanoseconds = u64::try_from(self.duration.as_nanos()).unwrap_or(u64::MAX);
        loop {
            tokio::select! {
                () = channel.closed() => return,
                () = tokio::time::sleep(interval(self.duration)) => {}
            }
            let until = clock.saturating_add(nanoseconds);
            let Ok(mut asked) = channel.request(|id| Request::Renew { id, until }) else {
                return;
            };
            let answer = within(answer_within(self.duration), channel.reply(&mut asked));
            match answer.await {
                Some(Ok(Reply::Renewed { clock: now, .. })) => {
                    clock = now;
                    self.hear();
                }
                Some(Ok(_) | Err(_)) => return,
                None => return channel.give_up(),
            }
        }
    }

    /// Waits until the helper has ended because nobody renews its lease. Returns at once for a
    /// helper that was never heard from: it has started nothing.
    pub(crate) async fn over(&self) {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(heard) = heard {
            tokio::time::sleep_until((heard + self.duration + END_WITHIN).into()).await;
        }
    }
}

/// Waits for an answer; none if it does not come in time.
async fn within<T>(time: Duration, answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    match tokio::time::timeout(time, &mut answer).await {
        Ok(answer) => Some(answer),
        Err(_) => tokio::time::timeout(PATIENCE, answer).await.ok(),
    }
}
