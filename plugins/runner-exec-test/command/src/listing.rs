//! Owns what kinds share that ask a program for the list of its tests: the time limit, and why a
//! program has no list. Does not know the form of a list.

use std::time::Duration;

use persea_plugin_sdk::poll::{self, Interest};
use persea_plugin_sdk::process::{Child, Exit};
use persea_plugin_sdk::{Error, monotonic_clock};

/// Why a program has no list.
#[derive(Debug)]
pub enum NoList {
    /// Something that is wrong with the program, for people: it belongs after "PROGRAM has no list
    /// of tests: ".
    Fault(String),
    /// An error of the host or of the environment.
    Failed(Error),
}

impl From<Error> for NoList {
    /// A program that cannot be started, or that prints too much, is at fault itself.
    fn from(error: Error) -> Self {
        match error.code.as_str() {
            "not-found" | "not-permitted" | "too-large" => Self::Fault(error.message),
            _ => Self::Failed(error),
        }
    }
}

/// The time, on the clock of the call, until which a list that is asked for now may take. None
/// where `timeout` is 0, which means no limit, as for every time of a setting.
pub fn deadline(timeout: Duration) -> Option<Duration> {
    (!timeout.is_zero()).then(|| monotonic_clock::now() + timeout)
}

/// Waits for the end of a process; none when the deadline comes first.
///
/// # Errors
/// Those of the host.
pub fn wait(child: &Child, deadline: Option<Duration>) -> Result<Option<Exit>, Error> {
    let end = poll::watch(child, Interest::Ended)?;
    let rest = deadline.map(|deadline| deadline.saturating_sub(monotonic_clock::now()));
    match poll::poll(&[&end], rest)?.is_empty() {
        true => Ok(None),
        false => child.wait().map(Some),
    }
}
