//! Owns reading and checking the arguments of a requirement of kind `package`.
//! Does not know the commands of a package manager.

use std::fmt;

use persea_plugin_sdk::prelude::*;
use persea_requirement_tool::arguments::Arguments;

use crate::Packages;
use crate::manager::Manager;

/// The package manager, instead of the one that the environment has.
pub(crate) const MANAGER_SETTING: OptionalSetting<Text> =
    Setting::text("requirement.package.manager")
        .choices(&["apt", "dnf", "yum", "zypper", "apk"])
        .summary("The package manager that installs packages");

/// Values of the argument `action`, which are Avocado's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Install,
    Check,
    Remove,
}

/// Arguments of a requirement of kind `package`.
#[derive(Debug)]
pub(crate) struct PackageSpec<'a> {
    pub(crate) names: Vec<String>,
    pub(crate) version: Option<&'a str>,
    pub(crate) action: Action,
    manager: Option<Manager>,
}

impl<'a> PackageSpec<'a> {
    pub(crate) fn read(request: &'a RequirementRequest) -> Result<Self, Error> {
        let arguments = Arguments::read(&request.requirement, &["name", "version", "action"])?;
        let names: Vec<String> = match arguments.value("name") {
            Some(Value::Json(_)) => arguments.texts("name")?,
            _ => {
                let names = arguments.uri_or("name")?.unwrap_or_default();
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
            let message = format!("{wrong:?} is not a valid package name or version");
            return Err(arguments.invalid(message));
        }
        if version.is_some() && names.len() > 1 {
            let message = "it has one `version` and several names; write several requirements";
            return Err(arguments.invalid(message));
        }
        let action = match arguments.text("action")? {
            None | Some("install") => Action::Install,
            Some("check") => Action::Check,
            Some("remove") => Action::Remove,
            Some(_) => return Err(arguments.wrong("action", "install, check or remove")),
        };
        let manager = match MANAGER_SETTING.get(&request.settings) {
            None | Some("") => None,
            Some(name) => Some(Manager::from_name(name)?),
        };
        Ok(Self {
            names,
            version,
            action,
            manager,
        })
    }

    /// Returns the manager of the setting, or else the one that the environment has.
    pub(crate) fn manager(&self) -> Result<Manager, Error> {
        self.manager.map_or_else(Manager::detect, Ok)
    }

    /// Returns the requirement's packages that are installed, by the names that the manager lists.
    pub(crate) fn installed(&self, manager: Manager, packages: &Packages) -> Vec<String> {
        let keys = self
            .names
            .iter()
            .filter_map(|name| manager.listed_name(name, packages));
        keys.map(str::to_owned).collect()
    }

    /// Whether the installed packages meet the requirement.
    pub(crate) fn is_met(&self, manager: Manager, packages: &Packages) -> bool {
        let is_installed = |name: &String| {
            let listed = manager.listed_name(name, packages);
            let version = listed.and_then(|listed| packages.get(listed));
            version.is_some_and(|version| self.version.is_none_or(|it| it == version))
        };
        match self.action {
            Action::Install | Action::Check => self.names.iter().all(is_installed),
            Action::Remove => !self.names.iter().any(is_installed),
        }
    }
}

/// Writes the packages and the version for messages.
impl fmt::Display for PackageSpec<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))?;
        self.version
            .map_or(Ok(()), |version| write!(f, " {version}"))
    }
}

/// Whether no package manager takes a text for an option, a path, a pattern or a condition.
fn is_plain(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-._:~^".contains(c))
}
