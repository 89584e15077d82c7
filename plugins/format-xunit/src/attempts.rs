//! The attempts of tests that failed and are tried again, until the tests have ended.

use std::collections::HashMap;

use persea_plugin_sdk::Event;

/// An attempt that failed.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) status: String,
    pub(crate) reason: String,
}

/// Those of the tests that have not ended, by task.
#[derive(Debug, Default)]
pub(crate) struct Attempts(HashMap<String, Vec<Attempt>>);

impl Attempts {
    /// Adds the attempt that a `task-retried` is about.
    pub(crate) fn add(&mut self, event: &Event) {
        let text = |name, or: &str| event.data.text(name).unwrap_or(or).to_owned();
        if let Some(task) = &event.task {
            self.0.entry(task.clone()).or_default().push(Attempt {
                status: text("status", "ERROR"),
                reason: text("reason", "no reason is known"),
            });
        }
    }

    /// The attempts before the one with which a task has ended.
    pub(crate) fn take(&mut self, event: &Event) -> Vec<Attempt> {
        let task = event.task.as_ref();
        let mut all = task
            .and_then(|task| self.0.remove(task))
            .unwrap_or_default();
        // A task that is not tried again after all ends as its last attempt did.
        let ended = event.data.integer("attempts").unwrap_or(1).max(1);
        all.truncate(usize::try_from(ended - 1).unwrap_or_default());
        all
    }
}
