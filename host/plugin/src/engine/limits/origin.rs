//! Owns the order of the places that set a plugin's limit: all plugins, its world, its lock entry,
//! and its own settings; and how to raise a limit at each. Does not know about what is limited.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::contract::world::World;
use persea_config::Config;

/// Limits of one plugin: those of its lock entry, or those with which it is to be locked.
#[derive(Clone, Debug)]
pub struct OwnLimits<'a> {
    values: &'a BTreeMap<String, Value>,
    /// The plugin's name, if the lock entry has it before the plugin is described.
    name: Option<&'a str>,
    command: LockCommand,
}

/// The start of the command that sets limits in the lock: `persea plugin update runner.greet `. It
/// is empty while the plugin is being locked, because the user is typing that command then.
#[derive(Clone, Debug, Default)]
struct LockCommand(String);

impl LockCommand {
    fn remedy(&self, limit: &str) -> String {
        format!("`{}--limit {limit}=…` raises it", self.0)
    }
}

/// The limits of a plugin that has none of its own.
static NONE: BTreeMap<String, Value> = BTreeMap::new();

impl<'a> OwnLimits<'a> {
    /// No limits.
    pub fn none() -> OwnLimits<'static> {
        OwnLimits::asked(&NONE)
    }

    /// The limits with which a plugin is to be locked.
    pub fn asked(values: &'a BTreeMap<String, Value>) -> Self {
        Self {
            values,
            name: None,
            command: LockCommand::default(),
        }
    }

    /// The limits of the lock entry `id` (`runner.greet`) of the plugin `name`, or those that are
    /// to replace them.
    pub(crate) fn locked(id: &str, name: &'a str, values: &'a BTreeMap<String, Value>) -> Self {
        Self {
            values,
            name: Some(name),
            command: LockCommand(format!("persea plugin update {id} ")),
        }
    }

    /// Returns one of these limits as a whole number, and how to raise it.
    pub(super) fn number(&self, limit: &str) -> Option<(u64, String)> {
        let number = self.values.get(limit)?.as_u64()?;
        Some((number, self.command.remedy(limit)))
    }
}

/// The world of a plugin, and the plugin itself once its name is known.
#[derive(Clone, Debug)]
pub(super) struct LimitScope {
    world: World,
    name: Option<String>,
    command: LockCommand,
}

/// The place that sets a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitOrigin {
    /// The setting of all plugins.
    All,
    /// The setting of the plugin's world.
    World,
    /// The plugin's lock entry.
    Lock,
    /// The plugin's own setting.
    Plugin,
}

/// The names of one limit at each place.
pub(super) struct SettingNames<'a> {
    /// The setting of all plugins.
    pub(super) all: String,
    /// The end of the settings of a world and of a plugin.
    pub(super) ending: String,
    /// The name in a lock entry.
    pub(super) lock: &'a str,
}

impl<'a> SettingNames<'a> {
    /// The names of a limit below `plugins.limits`.
    pub(super) fn of(limit: &'a str) -> Self {
        Self {
            all: format!("plugins.limits.{limit}"),
            ending: format!(".limits.{limit}"),
            lock: limit,
        }
    }
}

impl LimitScope {
    pub(super) fn new(world: World, name: Option<&str>, own: &OwnLimits<'_>) -> Self {
        Self {
            world,
            name: name.or(own.name).map(str::to_owned),
            command: own.command.clone(),
        }
    }

    /// Returns the value of a limit from the place that overrides the others.
    pub(super) fn find<'a>(
        &self,
        config: &'a Config,
        own: &OwnLimits<'a>,
        names: &SettingNames<'_>,
    ) -> Option<(&'a Value, LimitOrigin)> {
        let found = |value: Option<&'a Value>, origin| value.map(|value| (value, origin));
        let of_plugin = self.plugin_setting(names);
        let of_plugin = of_plugin.and_then(|name| config.raw(&name));
        found(of_plugin, LimitOrigin::Plugin)
            .or_else(|| found(own.values.get(names.lock), LimitOrigin::Lock))
            .or_else(|| found(config.raw(&self.world_setting(names)), LimitOrigin::World))
            .or_else(|| found(config.raw(&names.all), LimitOrigin::All))
    }

    fn world_setting(&self, names: &SettingNames<'_>) -> String {
        format!("plugins.{}{}", self.world.name(), names.ending)
    }

    fn plugin_setting(&self, names: &SettingNames<'_>) -> Option<String> {
        let name = self.name.as_ref()?;
        Some(format!(
            "plugins.{}.{name}{}",
            self.world.name(),
            names.ending
        ))
    }

    /// How to raise a limit that this place sets.
    pub(super) fn remedy(&self, origin: LimitOrigin, names: &SettingNames<'_>) -> String {
        // Until the plugin is described, its world's setting is the narrowest that can be named.
        let of_world = self.world_setting(names);
        let narrowest = self.plugin_setting(names).unwrap_or(of_world.clone());
        let set = match origin {
            LimitOrigin::All => names.all.clone(),
            LimitOrigin::World => of_world,
            LimitOrigin::Plugin => narrowest.clone(),
            LimitOrigin::Lock => return self.command.remedy(names.lock),
        };
        match set == narrowest {
            true => format!("`{set}` raises it"),
            false => format!("`{set}` raises it, or `{narrowest}` alone"),
        }
    }
}
