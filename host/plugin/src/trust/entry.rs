//! Owns the entry of one plugin in a lock file. Does not know about the file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract::description::Part;
use crate::contract::world::World;
use crate::engine::limits::{OwnLimits, check_limit};
use crate::instance::grants::Grants;

/// The beginning of a source that is in a registry.
const REGISTRY: &str = "oci://";

/// The entry of one plugin in a lock file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockEntry {
    /// The plugin's own name.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// The version of the contract for which the plugin was built.
    pub contract: String,
    /// Where the plugin came from: a path relative to the lock's directory, or
    /// `oci://REGISTRY/REPOSITORY:TAG`.
    pub source: String,
    /// The SHA-256 of the component, as 64 hexadecimal digits in lower case.
    pub sha256: String,
    /// The text of the minisign signature with which the plugin was locked, if keys were
    /// configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// What the plugin is, with the kinds that it serves as each.
    pub roles: BTreeMap<World, Vec<String>>,
    /// What the plugin may do.
    #[serde(default, skip_serializing_if = "Grants::is_empty")]
    pub grants: Grants,
    /// The plugin's own limits, by their names below `plugins.limits`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Value>,
}

impl LockEntry {
    /// Returns the entry's name in messages and commands, which is unique in a lock: the plugin's
    /// name with the first of its roles, `runner.greet`.
    pub fn id(&self) -> String {
        self.ids().next().unwrap_or_else(|| self.name.clone())
    }

    /// Returns the plugin's name with each of its roles. No two entries of a lock share one.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        let worlds = self.roles.keys();
        worlds.map(|world| format!("{}.{}", world.name(), self.name))
    }

    /// Returns the kinds that the plugin serves in a world.
    pub fn kinds(&self, world: World) -> &[String] {
        self.roles.get(&world).map_or(&[], Vec::as_slice)
    }

    /// Returns the reference in a registry from which the plugin came, if it did.
    pub fn registry(&self) -> Option<&str> {
        self.source.strip_prefix(REGISTRY)
    }

    /// Returns the plugin's own limits.
    pub fn own_limits(&self) -> OwnLimits<'_> {
        self.own_limits_from(&self.limits)
    }

    /// Returns these limits as the plugin's own ones, in place of those of the entry.
    pub fn own_limits_from<'a>(&'a self, limits: &'a BTreeMap<String, Value>) -> OwnLimits<'a> {
        OwnLimits::locked(&self.id(), &self.name, limits)
    }

    /// Checks that a plugin describes itself with the entry's name, roles and kinds, because the
    /// same bytes need not always answer the same.
    ///
    /// # Errors
    /// What is different, for a message.
    pub(crate) fn check_description(&self, name: &str, parts: &[&Part]) -> Result<(), String> {
        if name != self.name {
            return Err(format!("its name is `{name}`"));
        }
        for part in parts {
            let world = part.world.name();
            let Some(locked) = self.roles.get(&part.world) else {
                return Err(format!("it has the role `{world}`"));
            };
            let mut kinds = part.kinds.iter();
            if let Some(kind) = kinds.find(|kind| !locked.contains(kind)) {
                return Err(format!("it names the kind `{kind}` as a {world}"));
            }
        }
        Ok(())
    }

    /// Checks the values of the entry.
    ///
    /// # Errors
    /// What is wrong with one, for a message.
    pub(super) fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Err("`name` has lower case letters, digits and hyphens only".into());
        }
        if self.roles.is_empty() {
            return Err("`roles` names no role".into());
        }
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if self.sha256.len() != 64 || !self.sha256.chars().all(hex) {
            return Err("`sha256` has 64 digits from 0 to f".into());
        }
        if self.source.is_empty() || self.source.contains('\0') {
            return Err("`source` is a path or begins with `oci://`".into());
        }
        self.grants.check()?;
        for (name, value) in &self.limits {
            check_limit(name, value)?;
        }
        Ok(())
    }
}
