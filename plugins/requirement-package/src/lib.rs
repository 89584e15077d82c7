//! Owns the requirement resolver for the kind `package`: installs packages with the environment's
//! package manager, and removes at release all packages that the installation added.
//! Does not know the commands of each package manager: see `manager`.

mod manager;
mod spec;

use std::collections::BTreeMap;

use persea_plugin_sdk::messages;
use persea_plugin_sdk::prelude::*;
use serde_json::json;

use manager::Manager;
use spec::{Action, MANAGER_SETTING, PackageSpec};

/// Packages with their versions.
type Packages = BTreeMap<String, String>;

// Attributes of a fulfilled requirement, read by `release`. Their names are part of journals.
/// Name of the package manager.
const MANAGER: &str = "manager";
/// Added packages.
const ADDED: &str = "came";
/// Added packages whose configuration files were there before.
const CONFIGURED: &str = "configured";
/// Packages whose version changed, with the former version.
const CHANGED: &str = "changed";
/// Removed packages, with their version.
const REMOVED: &str = "went";

/// The requirement resolver `package`.
#[derive(Debug)]
pub struct Package;

impl Plugin for Package {
    fn describe() -> Description {
        let summary = "installs packages with apt, dnf, yum, zypper or apk, and removes them again";
        let role = Role::requirement_resolver(["package"])
            .with("network", true)
            .with("one-at-a-time", true)
            .with("unique-by", Value::list(["uri", "name"]));
        Description::new("package", summary)
            .role(role)
            .setting(&MANAGER_SETTING)
    }
}

impl RequirementResolver for Package {
    fn check(request: &RequirementRequest) -> Result<CheckedRequirement, Error> {
        let spec = PackageSpec::read(request)?;
        let manager = spec.manager()?;
        if spec.is_met(manager, &manager.installed()?) {
            return Ok(Presence::Present.into());
        }
        if spec.action == Action::Check {
            let message =
                format!("{spec} is not installed, and the action `check` does not install it");
            return Err(Error::new("not-found", message));
        }
        manager.check_privileges()?;
        Ok(Presence::Absent.into())
    }

    fn fulfil(request: &RequirementRequest) -> Result<FulfilledRequirement, Error> {
        let spec = PackageSpec::read(request)?;
        let manager = spec.manager()?;
        let before = manager.installed()?;
        let configured = manager.removed_with_configuration()?;
        let done = match spec.action {
            Action::Install | Action::Check => {
                let _ = messages::progress(&format!("installing {spec} with {}", manager.name()));
                manager.install(&spec.names, spec.version)
            }
            Action::Remove => {
                let _ = messages::progress(&format!("removing {spec} with {}", manager.name()));
                manager.remove(&spec.installed(manager, &before), false)
            }
        };
        let after = manager.installed()?;
        let change = Change::between(&before, &after, &configured);
        let done = done.and_then(|()| match spec.is_met(manager, &after) {
            true => Ok(()),
            false => {
                let message = format!(
                    "{} succeeded, but the requirement for {spec} is still not met",
                    manager.name()
                );
                Err(Error::new("failed", message))
            }
        });
        match done {
            Ok(()) => {
                for (name, old) in &change.changed {
                    log::warn!("{name} had version {old} before, which is not restored");
                }
                Ok(change.fulfilled(manager))
            }
            Err(error) => match change.undo(manager) {
                Ok(()) => Err(error),
                Err(left) => {
                    let message =
                        format!("{}; undoing failed too: {}", error.message, left.message);
                    Err(Error { message, ..error })
                }
            },
        }
    }

    fn release(request: &ReleaseRequest) -> Result<(), Error> {
        let spec = PackageSpec::read(&request.request)?;
        let Some(undo) = &request.undo else {
            let manager = spec.manager()?;
            let installed = !spec.installed(manager, &manager.installed()?).is_empty();
            if installed == (spec.action == Action::Remove) {
                return Ok(());
            }
            let message = format!(
                "the job ended before the changes for {spec} were recorded; see the log of {}",
                manager.name()
            );
            return Err(Error::new("unknown", message));
        };
        let manager = undo.text(MANAGER).unwrap_or_default();
        Change::read(undo)?.undo(Manager::from_name(manager)?)
    }
}

/// Difference between the packages of an environment before and after a fulfilment. The fields are
/// those of the attributes.
#[derive(Debug, Default, PartialEq)]
struct Change {
    added: Vec<String>,
    configured: Vec<String>,
    changed: Packages,
    removed: Packages,
}

impl Change {
    fn between(before: &Packages, after: &Packages, configured: &Packages) -> Self {
        let added = after.keys().filter(|name| !before.contains_key(*name));
        let added: Vec<String> = added.cloned().collect();
        let were_configured = added.iter().filter(|name| configured.contains_key(*name));
        let old = before
            .iter()
            .map(|(name, version)| (name.clone(), version.clone()));
        let is_changed =
            |(name, version): &(String, String)| after.get(name).is_some_and(|now| now != version);
        Self {
            configured: were_configured.cloned().collect(),
            added,
            changed: old.clone().filter(is_changed).collect(),
            removed: old.filter(|(name, _)| !after.contains_key(name)).collect(),
        }
    }

    fn fulfilled(&self, manager: Manager) -> FulfilledRequirement {
        FulfilledRequirement::new()
            .undo(MANAGER, manager.name())
            .undo(ADDED, Value::list(&self.added))
            .undo(CONFIGURED, Value::list(&self.configured))
            .undo(CHANGED, Value::json(json!(self.changed).to_string()))
            .undo(REMOVED, Value::json(json!(self.removed).to_string()))
    }

    fn read(undo: &Attributes) -> Result<Self, Error> {
        fn recorded<T: serde::de::DeserializeOwned + Default>(
            undo: &Attributes,
            name: &str,
        ) -> Result<T, Error> {
            let Some(json) = undo.json(name) else {
                return Ok(T::default());
            };
            serde_json::from_str(json).map_err(|error| {
                let message = format!("cannot read the recorded attribute `{name}`: {error}");
                Error::new("invalid", message)
            })
        }
        Ok(Self {
            added: recorded(undo, ADDED)?,
            configured: recorded(undo, CONFIGURED)?,
            changed: recorded(undo, CHANGED)?,
            removed: recorded(undo, REMOVED)?,
        })
    }

    /// Removes the added packages that are still installed, and installs the removed ones again.
    fn undo(&self, manager: Manager) -> Result<(), Error> {
        let now = manager.installed()?;
        let added = self.added.iter().filter(|name| now.contains_key(*name));
        let added: Vec<String> = added.cloned().collect();
        if !added.is_empty() {
            let _ = messages::progress(&format!("removing {}", added.join(", ")));
            // All in one command, because packages may depend on each other. If some of them had
            // configuration before, the command keeps the configuration of all, and that of the
            // others is removed next.
            manager.remove(&added, !self.configured.is_empty())?;
            if !self.configured.is_empty() {
                let new = added.iter().filter(|name| !self.configured.contains(name));
                let new: Vec<String> = new.cloned().collect();
                if !new.is_empty() {
                    manager.remove(&new, false)?;
                }
            }
        }
        for (name, version) in &self.removed {
            if !now.contains_key(name) {
                manager.install(std::slice::from_ref(name), Some(version))?;
            }
        }
        let now = manager.installed()?;
        let left: Vec<&str> = added
            .iter()
            .map(String::as_str)
            .filter(|name| now.contains_key(*name))
            .collect();
        if !left.is_empty() {
            let message = format!("{} did not remove {}", manager.name(), left.join(", "));
            return Err(Error::new("failed", message));
        }
        Ok(())
    }
}

export!(Package: requirement_resolver);

#[cfg(test)]
mod tests;
