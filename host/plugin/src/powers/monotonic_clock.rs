//! The power `monotonic-clock`: the time since the call began, and when it is up. Does not know the
//! time of day.

use std::time::{Duration, Instant};

use crate::contract::world::World;
use crate::instance::state::{InstanceState, PowerState};
use crate::powers::descriptor::Power;
use crate::powers::task::TaskPower;

pub(crate) static POWER: Power = Power {
    name: "monotonic-clock",
    worlds: &[World::Runner, World::Lister, World::RequirementResolver],
    words: "measure time",
    grant: None,
    more_grants: &[],
};

/// The clock of the current call.
pub(crate) struct CallClock {
    begun: Instant,
    /// The limit on the call itself, where it has one.
    limit: Option<Duration>,
}

impl PowerState for CallClock {}

impl CallClock {
    /// The clock of a call that begins now. `limit` is the time for the call, apart from that of
    /// its task.
    pub(crate) fn start(limit: Option<Duration>) -> Self {
        Self {
            begun: Instant::now(),
            limit,
        }
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.begun);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns when the time is up, by this clock: at the limit of the call or at that of the task,
    /// whichever is first.
    fn deadline(&self, of_task: Option<Instant>) -> Option<u64> {
        // A limit that the clock cannot express never comes.
        let of_call = self.limit.and_then(|limit| self.begun.checked_add(limit));
        let first = of_call.into_iter().chain(of_task).min()?;
        Some(self.nanoseconds(first))
    }
}

impl InstanceState {
    /// Returns the clock of the current call, if its role has the power. Other roles see a clock
    /// that stands still, because their answers must not depend on time.
    fn call_clock(&self) -> Option<&CallClock> {
        self.permit(&POWER).ok()?;
        self.power()
    }

    /// Returns the time since the current call began, in nanoseconds.
    pub(crate) fn call_time(&self) -> u64 {
        let clock = self.call_clock();
        clock.map_or(0, |clock| clock.nanoseconds(Instant::now()))
    }

    /// Returns when the time of the call or of its task is up, in nanoseconds since the call began.
    pub(crate) fn call_deadline(&self) -> Option<u64> {
        let task = self.power::<TaskPower>();
        let of_task = task.and_then(|task| task.host.deadline());
        self.call_clock().and_then(|clock| clock.deadline(of_task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadline_is_the_first_of_call_and_task() {
        let second = Duration::from_secs(1);
        let clock = CallClock::start(Some(2 * second));
        let at = |seconds: u32| clock.begun.checked_add(second * seconds);
        assert_eq!(clock.deadline(None), Some(2_000_000_000));
        assert_eq!(clock.deadline(at(1)), Some(1_000_000_000));
        assert_eq!(clock.deadline(at(3)), Some(2_000_000_000));
        assert_eq!(CallClock::start(None).deadline(None), None);
        assert_eq!(CallClock::start(Some(Duration::MAX)).deadline(None), None);
    }

    #[test]
    fn deadline_in_the_past_is_the_beginning_of_the_call() {
        let earlier = Instant::now();
        let clock = CallClock::start(None);
        assert_eq!(clock.deadline(Some(earlier)), Some(0));
    }
}
