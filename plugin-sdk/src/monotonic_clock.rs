//! The power `monotonic-clock`: a clock that starts with the call, so that it tells nothing about
//! the machine.

use crate::backend;
use std::time::Duration;

/// The time since the current call began; for a batch, since the batch began.
pub fn now() -> Duration {
    Duration::from_nanos(backend::now())
}

/// When the time of the call or of the current task is up, on that clock; none where it has no
/// limit.
pub fn deadline() -> Option<Duration> {
    backend::deadline().map(Duration::from_nanos)
}

/// The time until the [`deadline`], 0 after it; none where there is no limit.
pub fn remaining() -> Option<Duration> {
    deadline().map(|deadline| deadline.saturating_sub(now()))
}
