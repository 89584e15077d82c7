//! Where a plugin's limit comes from: from all plugins, its world, its lock, or a setting of its own; and what raises it there. Knows nothing of
//! what the limits are on.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::trust::lock::Entry;
use crate::trust::manifest::World;
use persea_config::Config;

/// Limits that a plugin has of its own: those of its lock, or those with which it is to be locked.
#[derive(Clone, Debug)]
pub struct Own<'a> {
    values: &'a BTreeMap<String, Value>,
    /// Its name, where that is known before it has said so.
    name: Option<&'a str>,
    /// As that of [`Scope`].
    lock: String,
}

/// No limits.
static NONE: BTreeMap<String, Value> = BTreeMap::new();

impl<'a> Own<'a> {
    /// None at all.
    pub fn none() -> Own<'static> {
        Own::asked(&NONE)
    }

    /// Those with which a plugin is to be locked.
    pub fn asked(values: &'a BTreeMap<String, Value>) -> Self {
        Self::under("", values)
    }

    /// Those of this entry of a lock, or what is to become of them.
    pub fn locked(entry: &'a Entry, values: &'a BTreeMap<String, Value>) -> Self {
        Self {
            name: Some(&entry.name),
            ..Self::under(&format!("persea plugin update {} ", entry.id()), values)
        }
    }

    /// Those that this line sets.
    pub(crate) fn under(line: &str, values: &'a BTreeMap<String, Value>) -> Self {
        Self {
            values,
            name: None,
            lock: line.to_owned(),
        }
    }

    /// A limit of these, as a whole number, with what raises it.
    pub(crate) fn number(&self, limit: &str) -> Option<(u64, String)> {
        let number = self.values.get(limit)?.as_u64()?;
        Some((number, raises_in_lock(&self.lock, limit)))
    }
}

/// A world, and a plugin of it once its name is known.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    world: &'static str,
    name: Option<String>,
    /// What to type for the limits of its own, up to those: `persea plugin update runner.greet `; nothing where it's being locked.
    lock: String,
}

/// Where the limit of a plugin comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    All,
    World,
    Lock,
    Plugin,
}

/// How a limit is called.
pub(crate) struct Names<'a> {
    /// The setting of all plugins.
    pub(crate) all: String,
    /// What stands behind a world or a plugin in the setting that's theirs.
    pub(crate) own: String,
    /// In a lock.
    pub(crate) lock: &'a str,
}

impl<'a> Names<'a> {
    /// Of one below `plugins.limits`.
    pub(crate) fn of(limit: &'a str) -> Self {
        Self {
            all: format!("plugins.limits.{limit}"),
            own: format!(".limits.{limit}"),
            lock: limit,
        }
    }
}

impl Scope {
    /// Of a plugin with the name that it has, or is known by already.
    pub(crate) fn new(world: World, name: Option<&str>, own: &Own<'_>) -> Self {
        Self {
            world: world.name(),
            name: name.or(own.name).map(str::to_owned),
            lock: own.lock.clone(),
        }
    }

    /// The nearest value of a limit, and where that is from.
    pub(crate) fn find<'a>(
        &self,
        config: &'a Config,
        own: &Own<'a>,
        names: &Names<'_>,
    ) -> Option<(&'a Value, Origin)> {
        let found = |value: Option<&'a Value>, origin| value.map(|value| (value, origin));
        let named = self
            .name
            .as_ref()
            .and_then(|_| config.raw(&self.nearest(names)));
        found(named, Origin::Plugin)
            .or_else(|| found(own.values.get(names.lock), Origin::Lock))
            .or_else(|| found(config.raw(&self.of_world(names)), Origin::World))
            .or_else(|| found(config.raw(&names.all), Origin::All))
    }

    fn of_world(&self, names: &Names<'_>) -> String {
        format!("plugins.{}{}", self.world, names.own)
    }

    /// The setting that lies closest: that of its own, or that of its world before it has said its name.
    fn nearest(&self, names: &Names<'_>) -> String {
        match &self.name {
            Some(name) => format!("plugins.{}.{name}{}", self.world, names.own),
            None => self.of_world(names),
        }
    }

    /// What raises a limit that comes from there.
    pub(crate) fn raises(&self, origin: Origin, names: &Names<'_>) -> String {
        let nearest = self.nearest(names);
        let set = match origin {
            Origin::All => names.all.clone(),
            Origin::World => self.of_world(names),
            Origin::Plugin => nearest.clone(),
            Origin::Lock => return raises_in_lock(&self.lock, names.lock),
        };
        match set == nearest {
            true => format!("`{set}` raises it"),
            false => format!("`{set}` raises it, or `{nearest}` alone"),
        }
    }
}

fn raises_in_lock(line: &str, limit: &str) -> String {
    format!("`{line}--limit {limit}=…` raises it")
}
