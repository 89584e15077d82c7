//! Owns what a plugin says about itself: its roles and the settings that it understands.

use crate::attributes::{Attributes, Value};
use crate::bindings::types;
use crate::model::strings;

/// A plugin: what [`export!`](crate::export) exports, in one or several roles.
pub trait Plugin {
    /// Describes the plugin. The host calls this in an instance of its own when it loads the
    /// plugin. It must be pure and quick (10 s by default), and may use no power but
    /// [`log`](crate::log).
    ///
    /// The description must have the roles that [`export!`](crate::export) exports, and no others.
    /// The plugin cannot be loaded otherwise; `export!` makes a unit test that checks it.
    fn describe() -> Description;
}

/// What a plugin says about itself. The host asks once, before any other call.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// A short name: lower-case letters, digits and hyphens, at most 64 characters. No two plugins
    /// with the same role have the same name.
    pub name: String,
    /// The plugin's version (Semantic Versioning 2.0). [`export!`](crate::export) replaces an empty
    /// version by that of the plugin's crate.
    pub version: String,
    /// The plugin's purpose in one line, for people.
    pub summary: String,
    /// What the plugin is.
    pub roles: Vec<Role>,
    /// The settings that the plugin understands. The host passes no others.
    pub settings: Vec<SettingDescription>,
    /// Further data. The host understands `contract` (text), the least version of the contract
    /// whose names in `more` the plugin relies on. The SDK has no name yet that hosts of contract
    /// 0.2.0 do not understand, so it sets nothing.
    pub more: Attributes,
}

impl Description {
    /// Creates a description without roles and settings; its version will be that of the crate.
    pub fn new(name: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: String::new(),
            summary: summary.into(),
            roles: Vec::new(),
            settings: Vec::new(),
            more: Attributes::new(),
        }
    }

    /// Sets the version, if it differs from that of the crate.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Adds a role.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.roles.push(role);
        self
    }

    /// Adds a setting: a reference to a [`Setting`](crate::Setting), or a [`SettingDescription`].
    #[must_use]
    pub fn setting(mut self, setting: impl Into<SettingDescription>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// Sets an entry of [`more`](Self::more).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

/// One thing that a plugin is.
#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    /// The name of the role in the contract, such as `requirement-resolver`.
    pub name: String,
    /// For runners and listers, the kinds of runnable that they run or list. For a requirement
    /// resolver, the kinds of requirement that it handles. For a resolver, the kinds of runnable
    /// that it may return; `*` stands for any kind. Empty for other roles.
    pub kinds: Vec<String>,
    /// Further data; the documentation of each trait has the names that the host understands.
    pub more: Attributes,
}

impl Role {
    fn new<I: IntoIterator<Item: Into<String>>>(name: &str, kinds: I) -> Self {
        Self {
            name: name.to_owned(),
            kinds: strings(kinds),
            more: Attributes::new(),
        }
    }

    /// The role of a [`Resolver`](crate::Resolver) that returns runnables of these kinds; `*`
    /// stands for any kind.
    pub fn resolver<I: IntoIterator<Item: Into<String>>>(kinds: I) -> Self {
        Self::new("resolver", kinds)
    }

    /// The role of a [`Varianter`](crate::Varianter).
    pub fn varianter() -> Self {
        Self::new("varianter", [""; 0])
    }

    /// The role of a [`Runner`](crate::Runner) of these kinds.
    pub fn runner<I: IntoIterator<Item: Into<String>>>(kinds: I) -> Self {
        Self::new("runner", kinds)
    }

    /// The role of a [`ProgramRunner`](crate::ProgramRunner) of these kinds.
    pub fn program_runner<I: IntoIterator<Item: Into<String>>>(kinds: I) -> Self {
        Self::new("program-runner", kinds)
    }

    /// The role of a [`BatchRunner`](crate::BatchRunner), with the kinds that may run in batches.
    /// The plugin needs the role [`runner`](Self::runner) for these kinds too.
    pub fn batch_runner<I: IntoIterator<Item: Into<String>>>(kinds: I) -> Self {
        Self::new("batch-runner", kinds)
    }

    /// The role of a [`Lister`](crate::Lister) of these kinds.
    pub fn lister<I: IntoIterator<Item: Into<String>>>(kinds: I) -> Self {
        Self::new("lister", kinds)
    }

    /// The role of a [`RequirementResolver`](crate::RequirementResolver) of these kinds.
    pub fn requirement_resolver<I: IntoIterator<Item: Into<String>>>(kinds: I) -> Self {
        Self::new("requirement-resolver", kinds)
    }

    /// The role of a [`Scheduler`](crate::Scheduler).
    pub fn scheduler() -> Self {
        Self::new("scheduler", [""; 0])
    }

    /// The role of a [`ResultFormat`](crate::ResultFormat).
    pub fn result_format() -> Self {
        Self::new("result-format", [""; 0])
    }

    /// Sets an entry of [`more`](Self::more).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.insert(name, value);
        self
    }
}

/// A setting that a plugin understands, as the host sees it. [`Setting`](crate::Setting) makes one,
/// with the types checked.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingDescription {
    /// The setting's name in the configuration: `runner.exectest.exitcodes.skip`.
    pub key: String,
    /// The type of its value: `text`, `integer`, `number`, `boolean`, `duration`, `list` or
    /// `table`.
    pub shape: String,
    /// The value where the configuration has none; [`Value::Null`] for none.
    pub default_value: Value,
    /// The setting's purpose in one line, for people.
    pub summary: String,
    /// Further data. The host understands `choices` (json, a list of texts), `least` and `most`
    /// (number), and `secret` (boolean).
    pub more: Attributes,
}

impl From<Description> for types::Description {
    fn from(description: Description) -> Self {
        let role = |role: Role| types::Role {
            name: role.name,
            kinds: role.kinds,
            more: role.more.0,
        };
        let setting = |setting: SettingDescription| types::Setting {
            key: setting.key,
            shape: setting.shape,
            default_value: setting.default_value,
            summary: setting.summary,
            more: setting.more.0,
        };
        Self {
            name: description.name,
            version: description.version,
            summary: description.summary,
            roles: description.roles.into_iter().map(role).collect(),
            settings: description.settings.into_iter().map(setting).collect(),
            more: description.more.0,
        }
    }
}
