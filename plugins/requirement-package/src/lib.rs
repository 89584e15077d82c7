//! The requirement resolver for the kind `package`: a package of the environment's own package manager is there, or is installed; and
//! what came by that goes again. How each manager is asked is in `manager`.

mod manager;
mod wanted;

use std::collections::BTreeMap;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::status;
use serde_json::json;

use manager::Manager;
use wanted::{Action, SETTING, Wanted};

/// Packages with their versions.
type Packages = BTreeMap<String, String>;

/// The names of what `release` needs: what came, which of that had left its configuration before, what changed its version (with the old one),
/// what went (with its version).
const MANAGER: &str = "manager";
const CAME: &str = "came";
const CONFIGURED: &str = "configured";
const CHANGED: &str = "changed";
const WENT: &str = "went";

/// The plugin.
#[derive(Debug)]
pub struct Package;

impl RequirementResolver for Package {
    fn describe() -> Description {
        let summary = "installs packages with apt, dnf, yum, zypper or apk, and removes them again";
        Description::new("package", summary)
            .kinds(["package"])
            .with("network", true)
            .settings([SETTING])
            .with("one-at-a-time", true)
            .with("unique-by", Value::json(r#"["uri", "name"]"#))
    }

    fn check(request: &Request) -> Result<Presence, Error> {
        let wanted = Wanted::read(request)?;
        let manager = wanted.manager()?;
        if wanted.is_met(manager, &manager.installed()?) {
            return Ok(Presence::Present);
        }
        if wanted.action == Action::Check {
            let message =
                format!("{wanted} is not installed, and its action `check` forbids to install it");
            return Err(Error::new("not-found", message));
        }
        manager.may_change()?;
        Ok(Presence::Absent)
    }

    fn fulfil(request: &Request) -> Result<Attributes, Error> {
        let wanted = Wanted::read(request)?;
        let manager = wanted.manager()?;
        let before = manager.installed()?;
        let configured = manager.configured()?;
        let done = match wanted.action {
            Action::Install | Action::Check => {
                let _ = status::progress(&format!("installing {wanted} with {}", manager.name()));
                manager.install(&wanted.names, wanted.version)
            }
            Action::Remove => {
                let _ = status::progress(&format!("removing {wanted} with {}", manager.name()));
                manager.remove(&wanted.installed(manager, &before), false)
            }
        };
        let after = manager.installed()?;
        let change = Change::between(&before, &after, &configured);
        let done = done.and_then(|()| match wanted.is_met(manager, &after) {
            true => Ok(()),
            false => {
                let message = format!(
                    "{} has done its work, and {wanted} is not as wanted",
                    manager.name()
                );
                Err(Error::new("failed", message))
            }
        });
        match done {
            Ok(()) => {
                for (name, old) in &change.changed {
                    log::warn!("{name} had the version {old} before, which does not come back");
                }
                Ok(change.attributes(manager))
            }
            Err(error) => match change.undo(manager) {
                Ok(()) => Err(error),
                Err(left) => {
                    let message = format!("{}; and not undone: {}", error.message, left.message);
                    Err(Error { message, ..error })
                }
            },
        }
    }

    fn release(request: &Request, fulfilled: &Attributes) -> Result<(), Error> {
        let wanted = Wanted::read(request)?;
        let Some(manager) = fulfilled.text(MANAGER) else {
            let manager = wanted.manager()?;
            let installed = !wanted.installed(manager, &manager.installed()?).is_empty();
            if installed == (wanted.action == Action::Remove) {
                return Ok(());
            }
            let message = format!(
                "the job ended before it was known what came or went with {wanted}; the log of {} may tell",
                manager.name()
            );
            return Err(Error::new("unknown", message));
        };
        Change::read(fulfilled)?.undo(Manager::named(manager)?)
    }
}

/// How the packages of an environment have changed.
#[derive(Debug, Default, PartialEq)]
struct Change {
    came: Vec<String>,
    configured: Vec<String>,
    changed: Packages,
    went: Packages,
}

impl Change {
    fn between(before: &Packages, after: &Packages, configured: &Packages) -> Self {
        let came = after.keys().filter(|name| !before.contains_key(*name));
        let came: Vec<String> = came.cloned().collect();
        let were_configured = came.iter().filter(|name| configured.contains_key(*name));
        let old = before
            .iter()
            .map(|(name, version)| (name.clone(), version.clone()));
        let is_changed =
            |(name, version): &(String, String)| after.get(name).is_some_and(|now| now != version);
        Self {
            configured: were_configured.cloned().collect(),
            came,
            changed: old.clone().filter(is_changed).collect(),
            went: old.filter(|(name, _)| !after.contains_key(name)).collect(),
        }
    }

    fn attributes(&self, manager: Manager) -> Attributes {
        Attributes::new()
            .with(MANAGER, manager.name())
            .with(CAME, Value::json(json!(self.came).to_string()))
            .with(CONFIGURED, Value::json(json!(self.configured).to_string()))
            .with(CHANGED, Value::json(json!(self.changed).to_string()))
            .with(WENT, Value::json(json!(self.went).to_string()))
    }

    fn read(fulfilled: &Attributes) -> Result<Self, Error> {
        fn noted<T: serde::de::DeserializeOwned + Default>(
            fulfilled: &Attributes,
            name: &str,
        ) -> Result<T, Error> {
            let Some(json) = fulfilled.json(name) else {
                return Ok(T::default());
            };
            serde_json::from_str(json).map_err(|error| {
                let message = format!("what was noted as `{name}` can't be read: {error}");
                Error::new("invalid", message)
            })
        }
        Ok(Self {
            came: noted(fulfilled, CAME)?,
            configured: noted(fulfilled, CONFIGURED)?,
            changed: noted(fulfilled, CHANGED)?,
            went: noted(fulfilled, WENT)?,
        })
    }

    /// Removes what came, where it's still there, and installs again what went.
    fn undo(&self, manager: Manager) -> Result<(), Error> {
        let now = manager.installed()?;
        let came = self.came.iter().filter(|name| now.contains_key(*name));
        let came: Vec<String> = came.cloned().collect();
        if !came.is_empty() {
            let _ = status::progress(&format!("removing {}", came.join(", ")));
            // In one go, for they may need each other; then the configuration of those that had none.
            manager.remove(&came, !self.configured.is_empty())?;
            if !self.configured.is_empty() {
                let new = came.iter().filter(|name| !self.configured.contains(name));
                let new: Vec<String> = new.cloned().collect();
                if !new.is_empty() {
                    manager.remove(&new, false)?;
                }
            }
        }
        for (name, version) in &self.went {
            if !now.contains_key(name) {
                manager.install(std::slice::from_ref(name), Some(version))?;
            }
        }
        let now = manager.installed()?;
        let left: Vec<&str> = came
            .iter()
            .map(String::as_str)
            .filter(|name| now.contains_key(*name))
            .collect();
        if !left.is_empty() {
            let message = format!("{} still has {}", manager.name(), left.join(", "));
            return Err(Error::new("failed", message));
        }
        Ok(())
    }
}

export!(requirement_resolver: Package);

#[cfg(test)]
mod tests;
