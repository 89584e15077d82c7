//! What a requirement of kind `package` asks for, read from its arguments. It must not know how a manager is asked.

use std::fmt;

use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::arguments::Arguments;

use crate::Packages;
use crate::manager::Manager;

/// The configuration key that chooses the manager.
pub(crate) const SETTING: &str = "requirement.package.manager";

/// What is to be done, in Avocado's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Install,
    Check,
    Remove,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) names: Vec<String>,
    pub(crate) version: Option<&'a str>,
    pub(crate) action: Action,
    manager: Option<Manager>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn read(request: &'a Request) -> Result<Self, Error> {
        let arguments = Arguments::read(&request.requirement, &["name", "version", "action"])?;
        let names: Vec<String> = match arguments.value("name") {
            Some(Value::Json(_)) => arguments.texts("name")?,
            _ => {
                let names = arguments.thing("name")?.unwrap_or_default();
                names.split_whitespace().map(str::to_owned).collect()
            }
        };
        if names.is_empty() {
            return Err(arguments.invalid("it needs a `name`: the package"));
        }
        let version = arguments.text("version")?;
        if let Some(wrong) = names
            .iter()
            .map(String::as_str)
            .chain(version)
            .find(|it| !is_plain(it))
        {
            return Err(arguments.invalid(format!("{wrong:?} is no name or version of a package")));
        }
        if version.is_some() && names.len() > 1 {
            return Err(
                arguments.invalid("it has one `version` and several names; make several of it")
            );
        }
        let action = match arguments.text("action")? {
            None | Some("install") => Action::Install,
            Some("check") => Action::Check,
            Some("remove") => Action::Remove,
            Some(_) => return Err(arguments.wrong("action", "install, check or remove")),
        };
        let manager = match request.settings.text(SETTING) {
            None | Some("") => None,
            Some(name) => Some(Manager::named(name)?),
        };
        Ok(Self {
            names,
            version,
            action,
            manager,
        })
    }

    pub(crate) fn manager(&self) -> Result<Manager, Error> {
        self.manager.map_or_else(Manager::found, Ok)
    }

    /// Those of the packages that are installed, by the manager's own names for them.
    pub(crate) fn installed(&self, manager: Manager, packages: &Packages) -> Vec<String> {
        let keys = self
            .names
            .iter()
            .filter_map(|name| manager.key(name, packages));
        keys.map(str::to_owned).collect()
    }

    /// Whether the packages are as they are wanted.
    pub(crate) fn is_met(&self, manager: Manager, packages: &Packages) -> bool {
        let is_there = |name: &String| {
            let key = manager.key(name, packages);
            let version = key.and_then(|key| packages.get(key));
            version.is_some_and(|version| self.version.is_none_or(|it| it == version))
        };
        match self.action {
            Action::Install | Action::Check => self.names.iter().all(is_there),
            Action::Remove => !self.names.iter().any(is_there),
        }
    }
}

/// As people call it.
impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))?;
        self.version
            .map_or(Ok(()), |version| write!(f, " {version}"))
    }
}

/// What no manager takes for an option, a path, a pattern or a condition.
fn is_plain(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-._:~^".contains(c))
}
