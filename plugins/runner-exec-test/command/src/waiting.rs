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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use persea_plugin_sdk::testing::{Answer, Host, Processes};

    use super::*;

    fn slow() -> Host {
        let answer = Answer::code(3).duration(Duration::from_secs(60));
        Host::new().processes(Processes::always(answer))
    }

    #[test]
    fn process_past_its_limit_has_no_exit() {
        let _host = slow().install();
        let run = |seconds| {
            let limit = Duration::from_secs(seconds);
            run_within(&Command::new("t"), limit).unwrap()
        };
        assert_eq!(run(59), None);
        assert_eq!(run(61).unwrap().code(), Some(3));
        assert_eq!(run(0).unwrap().code(), Some(3), "0 means no limit");
    }

    #[test]
    fn running_process_is_looked_at() {
        let _host = slow().install();
        let child = process::start(&Command::new("t")).unwrap();
        let mut looks = 0;
        let is_interrupted = wait_looking(&child, || {
            looks += 1;
            Ok(())
        });
        assert!(!is_interrupted.unwrap());
        assert!((200..=240).contains(&looks), "{looks} looks in a minute");
        let child = process::start(&Command::new("t")).unwrap();
        let failed = wait_looking(&child, || Err(Error::new("io", "no")));
        assert_eq!(failed.unwrap_err().code, "io");
    }

    #[test]
    fn deadline_of_the_task_interrupts() {
        let host = slow().deadline(Duration::from_secs(5)).install();
        assert!(!is_time_up());
        let child = process::start(&Command::new("t")).unwrap();
        assert!(wait_looking(&child, || Ok(())).unwrap());
        assert!(is_time_up(), "at {:?}", host.now());
    }
}
