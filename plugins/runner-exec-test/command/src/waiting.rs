//! Owns waiting for a process: with a time limit, or while its output is followed.

use std::time::Duration;

use persea_plugin_sdk::Error;
use persea_plugin_sdk::poll::{self, Interest};
use persea_plugin_sdk::process::{self, Child, Command, Exit};

/// How often a running process is looked at.
const TICK: Duration = Duration::from_millis(250);

/// Runs a process within a time; none when the time is up first, and the process is ended then. 0
/// means no limit, as for every time of a setting.
///
/// # Errors
/// Those of starting and of waiting.
pub fn run_within(command: &Command, limit: Duration) -> Result<Option<Exit>, Error> {
    let child = process::start(command)?;
    let end = poll::watch(&child, Interest::Ended)?;
    let limit = (!limit.is_zero()).then_some(limit);
    match poll::poll(&[&end], limit)?.is_empty() {
        true => Ok(None),
        false => child.wait().map(Some),
    }
}

/// Waits for the end of a process, and looks at it meanwhile. Returns whether the task was
/// interrupted before the process ended.
///
/// # Errors
/// Those of the host and of `look`.
pub fn wait_looking(
    child: &Child,
    mut look: impl FnMut() -> Result<(), Error>,
) -> Result<bool, Error> {
    let end = poll::watch(child, Interest::Ended)?;
    loop {
        match poll::poll(&[&end], Some(TICK)) {
            Ok(ready) if !ready.is_empty() => return Ok(false),
            Ok(_) => look()?,
            Err(error) if error.code == "interrupted" => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}

/// Whether the task has been interrupted, or its time is up.
pub fn is_time_up() -> bool {
    let polled = poll::poll(&[], Some(Duration::ZERO));
    polled.is_err_and(|error| error.code == "interrupted")
}
