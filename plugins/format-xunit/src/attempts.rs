//! Owns the failed attempts of tests that are being retried.

use std::collections::HashMap;

use persea_plugin_sdk::Event;

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) status: String,
    pub(crate) reason: String,
}

/// Failed attempts of the tests that have not finished, by task id.
#[derive(Debug, Default)]
pub(crate) struct Attempts(HashMap<String, Vec<Attempt>>);

impl Attempts {
    /// Adds the attempt that an event `task-retried` reports.
    pub(crate) fn add(&mut self, event: &Event) {
        let text = |name, or: &str| event.data.text(name).unwrap_or(or).to_owned();
        if let Some(task) = &event.task {
            self.0.entry(task.clone()).or_default().push(Attempt {
                status: text("status", "ERROR"),
                reason: text("reason", "no reason is known"),
            });
        }
    }

    /// Removes and returns the attempts of a finished task, without the one that its result comes
    /// from.
    pub(crate) fn take(&mut self, event: &Event) -> Vec<Attempt> {
        let task = event.task.as_ref();
        let mut all = task
            .and_then(|task| self.0.remove(task))
            .unwrap_or_default();
        all.truncate(event.earlier_attempts());
        all
    }
}
