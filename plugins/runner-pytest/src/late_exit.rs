//! Owns the time between the end of the tests and the end of their process: a process that goes on
//! is a case of its own, so that the reason of a task whose time is up names it.

use std::time::Duration;

use persea_plugin_sdk::cases::{self, Case};
use persea_plugin_sdk::monotonic_clock;
use persea_plugin_sdk::poll::{self, Interest};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{Child, Exit};

/// How long a process may take to end before that is a case: 10 s, or half of the task's time that
/// is left.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process whose tests have ended, and that may not end.
#[derive(Debug, Default)]
pub(crate) struct LateExit {
    /// The exit code of pytest.
    code: i32,
    /// What keeps the process from its end, such as `thread Thread-1 (work)`.
    waits_for: Vec<String>,
    /// The case of a process that goes on.
    case: Option<String>,
}

impl LateExit {
    pub(crate) fn new(code: i32, waits_for: Vec<String>) -> Self {
        Self {
            code,
            waits_for,
            case: None,
        }
    }

    /// Waits until a child is ready, and starts the case where that takes too long. `done` is the
    /// number of tests that have ended.
    ///
    /// # Errors
    /// `interrupted`, and those of the child.
    pub(crate) fn watch(
        &mut self,
        child: &Child,
        interest: Interest,
        done: u64,
    ) -> Result<(), Error> {
        if self.case.is_some() {
            return Ok(());
        }
        let left = monotonic_clock::remaining().map(|left| left / 2);
        let patience = left.map_or(PATIENCE, |left| left.min(PATIENCE));
        let ready = poll::watch(child, interest)?;
        if poll::poll(&[&ready], Some(patience))?.is_empty() {
            let name = self.name(done);
            // A host that takes no more cases does not get this one either.
            if cases::start([name.as_str()]).is_ok() {
                self.case = Some(name);
            }
        }
        Ok(())
    }

    /// What the case is called: the whole story, because a reason shows only this.
    fn name(&self, done: u64) -> String {
        let tests = match done {
            1 => "the only test has".to_owned(),
            done => format!("all {done} tests have"),
        };
        let process = match self.waits_for.split_first() {
            None => "the process has not".to_owned(),
            Some((first, [])) => format!("the {first} has not"),
            Some((first, others)) => format!("the {first} and {} more have not", others.len()),
        };
        format!("exit: {tests} ended, but {process}")
    }

    /// Ends the case where the process has ended by itself after all.
    pub(crate) fn finish(&mut self, exit: &Exit) {
        if exit.code() == Some(self.code)
            && let Some(name) = self.case.take()
        {
            let reason = "the process ended long after its tests";
            let case = Case::new([name], Status::Warn).reason(reason);
            let _ = cases::finish([case]);
        }
    }
}
