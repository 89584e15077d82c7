//! What plugins are made of and hand around: descriptions, runnables, requirements. Plain data.

use crate::attributes::{Attributes, Value};
use crate::bindings::types;

#[doc(inline)]
pub use crate::bindings::types::Status;

fn strings<I: IntoIterator<Item: Into<String>>>(items: I) -> Vec<String> {
    items.into_iter().map(Into::into).collect()
}

/// What a plugin is, as it says itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// A short name, unique among plugins of its sort: lower case letters, digits and hyphens, at most 64 characters.
    pub name: String,
    /// The plugin's version (Semantic Versioning 2.0). While it is empty, [`export!`](crate::export) fills in the
    /// version of the crate that it stands in.
    pub version: String,
    /// One line for people.
    pub summary: String,
    /// The kinds of runnable that a runner runs or a resolver makes, the kinds of requirement that a requirement
    /// resolver handles. A result format has none.
    pub kinds: Vec<String>,
    /// The configuration keys that the plugin wants to see. It is given these and no others.
    pub settings: Vec<String>,
    /// Open data; the names that the host understands are documented with the traits.
    pub more: Attributes,
}

impl Description {
    /// A plugin of this name, in a line for people.
    pub fn new(name: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: String::new(),
            summary: summary.into(),
            kinds: Vec::new(),
            settings: Vec::new(),
            more: Attributes::new(),
        }
    }

    /// Sets the version, where it is not that of the crate.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Adds kinds.
    #[must_use]
    pub fn kinds<I: IntoIterator<Item: Into<String>>>(mut self, kinds: I) -> Self {
        self.kinds.extend(strings(kinds));
        self
    }

    /// Adds configuration keys.
    #[must_use]
    pub fn settings<I: IntoIterator<Item: Into<String>>>(mut self, keys: I) -> Self {
        self.settings.extend(strings(keys));
        self
    }

    /// Sets a name of the open data.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

impl From<Description> for types::Description {
    fn from(description: Description) -> Self {
        Self {
            name: description.name,
            version: description.version,
            summary: description.summary,
            kinds: description.kinds,
            settings: description.settings,
            more: description.more.0,
        }
    }
}

/// Something that a task needs in its environment before it can start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requirement {
    /// The kind of requirement (`package`, `file`, …): it chooses the requirement resolver.
    pub kind: String,
    /// The thing itself, where one string names it.
    pub uri: Option<String>,
    /// Arguments, in order.
    pub args: Vec<String>,
    /// Everything else that was declared, by name.
    pub kwargs: Attributes,
}

impl Requirement {
    /// A requirement of a kind.
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            ..Self::default()
        }
    }

    /// Sets the thing itself.
    #[must_use]
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.uri = Some(uri.into());
        self
    }

    /// Adds arguments.
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
}

impl From<types::Requirement> for Requirement {
    fn from(requirement: types::Requirement) -> Self {
        Self {
            kind: requirement.kind,
            uri: requirement.uri,
            args: requirement.args,
            kwargs: Attributes(requirement.kwargs),
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
        }
    }
}

/// Something that can be run: what a resolver makes of a reference.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runnable {
    /// The kind (`exec-test`, `tap`, …): it chooses the runner.
    pub kind: String,
    /// What to run, in the words of the kind: a path, `path:Class.method`, a URL.
    pub uri: Option<String>,
    /// Arguments, in order.
    pub args: Vec<String>,
    /// Keyword arguments, in the words of the kind.
    pub kwargs: Attributes,
    /// Changes to the environment variables: a value sets one, none removes it.
    pub env: Vec<(String, Option<String>)>,
    /// Tags with their values; a flat tag has none.
    pub tags: Vec<(String, Vec<String>)>,
    /// What must be there before it can start.
    pub requirements: Vec<Requirement>,
    /// The name that people see. Without one the host makes it from `uri`.
    pub identifier: Option<String>,
    /// Open data. The host understands `variant` (json), `config` (json: settings for this runnable alone) and
    /// `timeout` (seconds).
    pub more: Attributes,
}

impl Runnable {
    /// A runnable of a kind.
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

    /// Adds arguments.
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

    /// Adds a tag with its values; a flat tag has none.
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

    /// Sets the name that people see.
    #[must_use]
    pub fn identifier(mut self, identifier: impl Into<String>) -> Self {
        self.identifier = Some(identifier.into());
        self
    }

    /// Sets a name of the open data.
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
    fn a_runnable_is_the_same_on_both_sides_of_the_contract() {
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
                    .kwarg("action", "install"),
            )
            .identifier("t;v")
            .with("timeout", 1.5);
        let across: Runnable = types::Runnable::from(runnable.clone()).into();
        assert_eq!(across, runnable);
    }
}
