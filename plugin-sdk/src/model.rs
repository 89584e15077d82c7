//! Owns the data that several roles share: runnables and requirements.

use crate::attributes::{Attributes, Value};
use crate::bindings::types;
use std::time::Duration;

#[doc(inline)]
pub use crate::bindings::types::Status;

impl Status {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Pass,
        Self::Fail,
        Self::Error,
        Self::Skip,
        Self::Warn,
        Self::Cancel,
        Self::Interrupted,
    ];

    /// The name that events and reports have for the status: `PASS`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Error => "ERROR",
            Self::Skip => "SKIP",
            Self::Warn => "WARN",
            Self::Cancel => "CANCEL",
            Self::Interrupted => "INTERRUPTED",
        }
    }

    /// The status with this name; none for an unknown one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

pub(crate) fn strings<I: IntoIterator<Item: Into<String>>>(items: I) -> Vec<String> {
    items.into_iter().map(Into::into).collect()
}

/// Something that must be in a task's environment before the task can start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requirement {
    /// The kind of requirement (`package`, `file`, …), which selects the requirement resolver.
    pub kind: String,
    /// The required thing, where one string names it.
    pub uri: Option<String>,
    /// Positional arguments, in order.
    pub args: Vec<String>,
    /// Keyword arguments; the kind defines their names.
    pub kwargs: Attributes,
    /// Further data. The host understands:
    ///
    /// * `scope` (text, `environment` or `task`; default `environment`): with `task` the
    ///   requirement is fulfilled for each task anew, and released after it
    pub more: Attributes,
}

impl Requirement {
    /// Creates a requirement of a kind, with nothing else set.
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            ..Self::default()
        }
    }

    /// Sets the required thing.
    #[must_use]
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.uri = Some(uri.into());
        self
    }

    /// Adds positional arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.args.extend(strings(args));
        self
    }

    /// Sets a keyword argument.
    #[must_use]
    pub fn kwarg(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.kwargs.insert(name, value);
        self
    }

    /// Sets an entry of [`more`](Self::more).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

impl From<types::Requirement> for Requirement {
    fn from(requirement: types::Requirement) -> Self {
        Self {
            kind: requirement.kind,
            uri: requirement.uri,
            args: requirement.args,
            kwargs: Attributes(requirement.kwargs),
            more: Attributes(requirement.more),
        }
    }
}

impl From<Requirement> for types::Requirement {
    fn from(requirement: Requirement) -> Self {
        Self {
            kind: requirement.kind,
            uri: requirement.uri,
            args: requirement.args,
            kwargs: requirement.kwargs.0,
            more: requirement.more.0,
        }
    }
}

/// Something that can be run. A resolver turns a reference into runnables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runnable {
    /// The kind of runnable (`exec-test`, `tap`, …), which selects the runner.
    pub kind: String,
    /// What to run, in the form that the kind defines: a path, `path:Class.method`, a URL.
    pub uri: Option<String>,
    /// Positional arguments, in order.
    pub args: Vec<String>,
    /// Keyword arguments; the kind defines their names.
    pub kwargs: Attributes,
    /// Changes to the environment variables, in order: a value sets the variable, none removes it.
    pub env: Vec<(String, Option<String>)>,
    /// Tags with their values; a flat tag has no values.
    pub tags: Vec<(String, Vec<String>)>,
    /// What must be in the environment before the task can start.
    pub requirements: Vec<Requirement>,
    /// The name to show to people. Without one the host derives it from `uri`, by the setting
    /// `runner.identifier_format`.
    pub identifier: Option<String>,
    /// Further data. The host understands:
    ///
    /// * `variant` (json): the variant of the test
    /// * `config` (json): settings for this runnable alone
    /// * `timeout` (integer, nanoseconds): the limit on the task's running time
    /// * `retries` (integer, or json with `count` and `on`): how often the task is tried again if
    ///   it fails, and after which causes, as in `run.retry_on`
    /// * `cwd` (text): the directory in which the task's processes start; the project's directory
    ///   by default, to which a relative path belongs
    /// * `spawner` (text): the spawner in whose environments the task runs
    /// * `image` (text): the image in whose containers the task runs
    /// * `limits` (json, an object): what the task's processes may use: `memory`, `processes`,
    ///   `cpus` and `disk`, each as its setting
    /// * `needs` (json, a list of names or ids): tasks that must pass before this one starts
    /// * `after` (json, a list of names or ids): tasks that must end before this one starts
    /// * `mutexes` (json, a list of names): each is held by at most one task at a time
    /// * `resources` (json, an object): what the task takes while it runs: an amount by name, or a
    ///   list of the instances that it must have
    pub more: Attributes,
}

impl Runnable {
    /// Creates a runnable of a kind, with nothing else set.
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            ..Self::default()
        }
    }

    /// Sets what to run.
    #[must_use]
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.uri = Some(uri.into());
        self
    }

    /// Adds positional arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: Into<String>>>(mut self, args: I) -> Self {
        self.args.extend(strings(args));
        self
    }

    /// Sets a keyword argument.
    #[must_use]
    pub fn kwarg(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.kwargs.insert(name, value);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Removes an environment variable.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<String>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// Adds a tag with its values; a flat tag has no values.
    #[must_use]
    pub fn tag<I: IntoIterator<Item: Into<String>>>(
        mut self,
        name: impl Into<String>,
        values: I,
    ) -> Self {
        self.tags.push((name.into(), strings(values)));
        self
    }

    /// Adds a requirement.
    #[must_use]
    pub fn requirement(mut self, requirement: Requirement) -> Self {
        self.requirements.push(requirement);
        self
    }

    /// Sets the limit on the task's running time.
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Self {
        self.with("timeout", limit)
    }

    /// Sets the name to show to people.
    #[must_use]
    pub fn identifier(mut self, identifier: impl Into<String>) -> Self {
        self.identifier = Some(identifier.into());
        self
    }

    /// Sets an entry of [`more`](Self::more).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

impl From<types::Runnable> for Runnable {
    fn from(runnable: types::Runnable) -> Self {
        Self {
            kind: runnable.kind,
            uri: runnable.uri,
            args: runnable.args,
            kwargs: Attributes(runnable.kwargs),
            env: runnable.env,
            tags: runnable.tags,
            requirements: runnable.requirements.into_iter().map(Into::into).collect(),
            identifier: runnable.identifier,
            more: Attributes(runnable.more),
        }
    }
}

impl From<Runnable> for types::Runnable {
    fn from(runnable: Runnable) -> Self {
        Self {
            kind: runnable.kind,
            uri: runnable.uri,
            args: runnable.args,
            kwargs: runnable.kwargs.0,
            env: runnable.env,
            tags: runnable.tags,
            requirements: runnable.requirements.into_iter().map(Into::into).collect(),
            identifier: runnable.identifier,
            more: runnable.more.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runnable_survives_the_conversion_to_the_contract_and_back() {
        let runnable = Runnable::new("exec-test")
            .uri("./t.sh")
            .args(["-x", "1"])
            .kwarg("size", 3)
            .env("A", "1")
            .env_remove("B")
            .tag("slow", [""; 0])
            .tag("arch", ["x86_64", "arm64"])
            .requirement(
                Requirement::new("package")
                    .uri("gcc")
                    .args(["-y"])
                    .kwarg("action", "install")
                    .with("scope", "task"),
            )
            .identifier("t;v")
            .timeout(Duration::from_millis(1500));
        let across: Runnable = types::Runnable::from(runnable.clone()).into();
        assert_eq!(across, runnable);
    }
}
