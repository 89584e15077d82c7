//! Owns what can be wrong with the dependencies and claims of tasks.

use super::MAX_DEPENDENCIES;

/// Why tasks cannot be ordered, or cannot claim what they ask for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GraphError {
    /// A value in a runnable's `more` has the wrong type.
    #[error("task `{task}`: `{key}` is {expected}, not {found}")]
    Shape {
        /// The task's id.
        task: String,
        /// The key in the runnable's `more`.
        key: &'static str,
        /// The expected type.
        expected: &'static str,
        /// The value, as JSON.
        found: String,
    },
    /// No task has that name.
    #[error(
        "task `{task}`: `{key}` names `{name}`, and no task of this job has that name or id; \
         `persea list --graph` with the same references shows them all"
    )]
    Unknown {
        /// The task's id.
        task: String,
        /// `needs` or `after`.
        key: &'static str,
        /// The unknown name.
        name: String,
    },
    /// The tasks depend on each other in a cycle.
    #[error("these tasks wait for each other, so none could ever start: {}", .path.join(" → "))]
    Cycle {
        /// Their ids; the first one is repeated at the end.
        path: Vec<String>,
    },
    /// There are too many dependencies.
    #[error(
        "task `{task}`: with its `{key}` the job has more than {MAX_DEPENDENCIES} dependencies \
         between tasks: let tasks depend on one task that comes after the others"
    )]
    TooMany {
        /// The id of the task whose dependencies exceed the limit.
        task: String,
        /// `needs` or `after`.
        key: &'static str,
    },
    /// A task claims more of a resource than exists.
    #[error(
        "task `{task}` claims {claimed} of the resource `{resource}`, and there is {}; say how \
         much there is with `--set run.resources.{resource}={claimed}` or in persea.toml",
        if *.amount == 0 { "none".to_owned() } else { format!("only {amount}") }
    )]
    TooMuch {
        /// The task's id.
        task: String,
        /// The resource's name.
        resource: String,
        /// The claimed amount.
        claimed: u64,
        /// The configured amount.
        amount: u64,
    },
    /// A task claims an instance that a resource does not have.
    #[error(
        "task `{task}` claims `{instance}` of the resource `{resource}`, and there is no such \
         instance; {known}"
    )]
    NoInstance {
        /// The task's id.
        task: String,
        /// The resource's name.
        resource: String,
        /// The claimed instance.
        instance: String,
        /// The instances that there are, or how to give them names.
        known: String,
    },
}
