//! Owns an entry of a plan: a task, and what happens to it. Does not know the order of the entries.

use std::sync::Arc;

use persea_journal::{KnownResult, MadeBy};
use persea_model::{Attributes, Outcome, SpawnerKind, Task};
use persea_plugin::Plugin;

/// What happens to a task. Outcomes are boxed, because most tasks have none before they run.
pub(crate) enum TaskFate {
    /// The task runs with this runner, which receives these settings of the job.
    Run(Arc<Plugin>, Arc<Attributes>),
    /// The result is known without running.
    Ended(Box<Outcome>),
    /// The task cannot run because of the configuration. The reason is shown once for all tasks
    /// that share it.
    Refused(Box<Outcome>),
}

/// A task of the plan.
pub(crate) struct PlanEntry {
    pub(crate) task: Task,
    pub(crate) fate: TaskFate,
    /// The spawner of the task's processes.
    pub(crate) spawner: SpawnerKind,
    /// The provenance of the task's processes: its runner and the plugins that produced the task;
    /// none where all of them are built in.
    pub(crate) owner: Option<Arc<str>>,
    /// The plugins that produced the task, as the journal has them; none where all are built in.
    pub(crate) made_by: Option<Arc<MadeBy>>,
    /// The result that was known before the task could run, because its resolver failed.
    pub(crate) known_result: Option<Box<KnownResult>>,
}

impl PlanEntry {
    /// Whether the task will run, and may start processes.
    pub(crate) fn starts_processes(&self) -> bool {
        match &self.fate {
            TaskFate::Run(runner, _) => runner.starts_processes(),
            TaskFate::Ended(_) | TaskFate::Refused(_) => false,
        }
    }
}

/// The provenance of a task's processes.
pub(super) fn owner(fate: &TaskFate, provenance: Option<Arc<str>>) -> Option<Arc<str>> {
    let runner = match fate {
        TaskFate::Run(runner, _) => runner.owner(),
        TaskFate::Ended(_) | TaskFate::Refused(_) => None,
    };
    match (runner, provenance) {
        (None, provenance) => provenance,
        (Some(runner), None) => Some(runner.into()),
        (Some(runner), Some(provenance)) => Some(format!("{runner} {provenance}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job may have a million tasks, each with an entry. What only a resumed job needs is behind
    /// two pointers.
    #[test]
    fn entry_is_small() {
        let size = size_of::<PlanEntry>();
        assert!(size <= 144, "{size} bytes");
    }
}
