//! Owns the lease of a helper: how long it lives unless the host renews it. Does not know about
//! requests.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long a paused helper lives without a renewal: a day. A host that is stopped (Ctrl-Z) cannot
/// renew, and it stops the tasks before itself.
const PAUSED: Duration = Duration::from_secs(24 * 3600);

/// The time since the start of this machine, including the time for which it was suspended: a
/// lease is over even if the machine slept.
pub(crate) fn clock() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// The clock in the form of the protocol, in nanoseconds.
pub(crate) fn clock_in_protocol() -> u64 {
    u64::try_from(clock().as_nanos()).unwrap_or(u64::MAX)
}

/// A lease that is over at a time of [`clock`].
pub(crate) struct Lease {
    duration: Duration,
    until: Duration,
}

impl Lease {
    /// Begins now.
    pub(crate) fn new(duration: Duration) -> Self {
        Self {
            duration,
            until: clock().saturating_add(duration),
        }
    }

    /// The time until the lease is over.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_sub(clock())
    }

    /// Extends the lease until this time of the clock, and by no more than its duration. Never
    /// shortens it.
    pub(crate) fn renew(&mut self, until: Duration) {
        let most = clock().saturating_add(self.duration);
        self.until = self.until.max(until.min(most));
    }

    /// Extends the lease for a pause.
    pub(crate) fn pause(&mut self) {
        self.until = clock().saturating_add(PAUSED.max(self.duration));
    }

    /// Ends a pause: the lease begins again.
    pub(crate) fn resume(&mut self) {
        *self = Self::new(self.duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_extends_a_lease_by_at_most_its_duration() {
        let minute = Duration::from_secs(60);
        let mut lease = Lease::new(minute);
        assert!(lease.left() <= minute);
        lease.until = clock() + Duration::from_secs(1);
        lease.renew(clock() + minute * 10);
        assert!(lease.left() <= minute && lease.left() > minute / 2);
    }

    #[test]
    fn late_renewal_extends_no_lease() {
        let mut lease = Lease::new(Duration::from_secs(60));
        let until = lease.until;
        lease.renew(until.saturating_sub(Duration::from_secs(30)));
        assert_eq!(lease.until, until);
    }

    #[test]
    fn pause_ends_with_a_full_lease() {
        let minute = Duration::from_secs(60);
        let mut lease = Lease::new(minute);
        lease.pause();
        assert!(lease.left() > minute * 60);
        lease.resume();
        assert!(lease.left() <= minute);
    }
}
