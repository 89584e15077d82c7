//! Every limit on a plugin, in one struct. Knows nothing of what plugins do, or of how they are held to it.
//!
//! A limit is the setting `plugins.limits.NAME`; for the plugins of one world `plugins.WORLD.limits.NAME` comes before it, then what the
//! lock says of the plugin, then `plugins.WORLD.PLUGIN.limits.NAME`. The time for an answer depends on the world: there it's `timeout` instead
//! of `limits.NAME`, and in the lock `timeout` too. Who reaches a limit is told which of these it was.

mod own;
mod reached;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

pub use self::own::Own;
use self::own::{Names, Origin, Scope};
pub use self::reached::Reached;
pub(crate) use self::reached::bytes;
use crate::engine::compiler::{Room, TICK};
use crate::trust::lock::Lock;
use crate::trust::manifest::World;
use persea_config as config;
use persea_config::Config;
use persea_config::settings;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What one instance of a plugin may use. All are on by default; the defaults are those of the settings.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Linear memory, in bytes, all memories together. 256 MiB: room for a guest with an interpreter in it.
    pub memory: usize,
    /// Elements of all tables together. 100,000: function tables of large guests have some 10,000.
    pub table_elements: usize,
    /// Core instances in one component. 200: a Python component has over 20.
    pub instances: usize,
    /// Time on a processor inside the guest; none for no limit. 10 minutes.
    pub cpu: Option<Duration>,
    /// The longest that one answer may take; none for no limit. What counts depends on the world, and so does the default.
    pub wall: Option<Duration>,
    /// What that is the time for, and what raises it.
    wall_of: (&'static str, String),
    /// The longest that it may take to say what it is. 10 s: a guest with an interpreter in it takes one.
    pub describe: Duration,
    /// Bytes that the guest may hand to the host in one call: 32 MiB (wasmtime's default is 128 MiB).
    pub call_bytes: usize,
    /// The host's memory that one answer may become: 256 MiB. 100,000 runnables take some 130 MiB.
    pub answer_bytes: u64,
    /// The host's memory that its answers may take in one job, where they are kept: 2 GiB.
    pub kept_bytes: u64,
    /// Handles to resources that are alive at once: 1,000 (wasmtime's default is 100,000).
    pub handles: usize,
    /// Log messages: 20,000.
    pub log_messages: u64,
    /// Bytes of log messages: 1 MiB.
    pub log_bytes: u64,
    /// Messages about one task, each an event of the journal: 100,000.
    pub status_messages: u64,
    /// Bytes of messages and artifacts of one task: 16 MiB.
    pub status_bytes: u64,
    /// Bytes of one report: 4 GiB; 100,000 tests take some 100 MiB.
    pub output_bytes: u64,
    /// The largest component file that is loaded: 128 MiB.
    pub component_bytes: u64,
    /// Processor time of the compiler for a component that's not the host's own: 2 minutes; one with Python in it takes 10 seconds.
    pub compile: Duration,
    /// Address space of that compiler: 4 GiB.
    pub compile_memory: u64,
    /// Stack of the guest, in bytes: 512 KiB. One for all plugins: the engine's stacks are alike.
    pub stack: u64,
    /// After so many traps, limits and time-outs in one job a plugin is not asked again: 10.
    pub deaths: u64,
    /// What it is the limits of.
    scope: Scope,
    /// Where each of them comes from.
    origins: BTreeMap<&'static str, Origin>,
}

/// The room that the engine makes for a guest: that of whichever has the highest limits.
pub(crate) fn room(config: &Config, locks: &[Lock]) -> Room {
    let most = |limit: &str| {
        let ending = format!(".limits.{limit}");
        let set = config.iter().filter(|(name, ..)| name.ends_with(&ending));
        let locked = locks.iter().flat_map(Lock::entries);
        let own = locked.filter_map(|entry| entry.limits.get(limit));
        let all = set.map(|(_, value, _)| value).chain(own);
        let most = all.filter_map(Value::as_u64).max().unwrap_or(0);
        usize::try_from(most).unwrap_or(usize::MAX)
    };
    Room {
        stack: stack(config),
        elements: most("table_elements"),
        instances: most("instances"),
    }
}

/// The stack of all guests, in bytes. Deep recursion ends there, as a trap.
pub(crate) fn stack(config: &Config) -> u64 {
    let kib = config.get(settings::PLUGINS_LIMITS_STACK_KB);
    // Below, not even a guest's start fits; above, a pool of stacks takes more addresses than there are.
    kib.clamp(64, 64 * KIB) * KIB
}

/// The name of the time for one answer among the limits of a lock.
const TIMEOUT: &str = "timeout";

const ANSWER: &str = "the time for one answer";

/// Whether there is such a limit that a plugin can have of its own, and the value is one.
pub fn check(name: &str, value: &Value) -> Result<(), String> {
    if name == config::SHARED_LIMIT {
        return Err(format!(
            "no plugin has a limit `{name}` of its own, because it is one for all: the setting `plugins.limits.{name}`"
        ));
    }
    let shape = match name {
        TIMEOUT => Some(config::Shape::Duration),
        name => config::limit(name),
    };
    let shape = shape.ok_or_else(|| {
        let names = config::limits().chain([TIMEOUT]);
        let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        format!(
            "there is no limit `{name}` of a plugin: there are {}",
            names.join(", ")
        )
    })?;
    match shape.fits(value) {
        true => Ok(()),
        false => Err(format!(
            "limit `{name}`: expected {}, found `{value}`",
            shape.expected()
        )),
    }
}

/// The largest component that is read, and what is said of a larger one.
#[derive(Clone, Debug)]
pub struct Largest {
    /// In bytes.
    pub bytes: u64,
    /// What raises that.
    pub reached: Reached,
}

impl Largest {
    fn new(mebibytes: u64, raises: String) -> Self {
        let bytes = mebibytes.saturating_mul(MIB);
        Self {
            bytes,
            reached: too_large(bytes, raises),
        }
    }

    /// What any plugin may have: before a component is read nobody knows whose limit counts.
    pub(crate) fn of_any(config: &Config, locks: &[Lock]) -> Self {
        let ending = format!(".{COMPONENT}");
        let set = config.iter().filter(|(name, ..)| name.ends_with(&ending));
        let set = set.filter_map(|(name, value, _)| {
            let raises = format!("`{name}` raises it");
            Some(Self::new(value.as_u64()?, raises))
        });
        let locked = locks.iter().flat_map(Lock::entries);
        let locked = locked.filter_map(|entry| {
            let own = Own::locked(entry, &entry.limits).number(COMPONENT);
            own.map(|(most, raises)| Self::new(most, raises))
        });
        let most = set.chain(locked).max_by_key(|largest| largest.bytes);
        most.unwrap_or_else(|| Self::new(0, String::new()))
    }

    /// The same where a plugin has this limit of its own.
    pub(crate) fn or(self, own: &Own<'_>) -> Self {
        let own = own.number(COMPONENT);
        let own = own.map(|(most, raises)| Self::new(most, raises));
        own.filter(|own| own.bytes > self.bytes).unwrap_or(self)
    }
}

/// The limit on a component's size.
const COMPONENT: &str = "component_mb";

fn too_large(largest: u64, raises: String) -> Reached {
    Reached {
        what: "the component's size",
        value: bytes(largest),
        raises,
    }
}

impl Limits {
    /// Those of a plugin of this world: with the name that it has, once that is known, and what it has of its own.
    pub(crate) fn of(config: &Config, world: World, name: Option<&str>, own: &Own<'_>) -> Self {
        let scope = Scope::new(world, name, own);
        let mut values: BTreeMap<&'static str, &Value> = BTreeMap::new();
        let mut origins = BTreeMap::new();
        for limit in config::limits() {
            if let Some((value, origin)) = scope.find(config, own, &Names::of(limit)) {
                values.insert(limit, value);
                origins.insert(limit, origin);
            }
        }
        // The settings have defaults, and their values were checked; 0 would only stand for a table without that limit.
        let number = |limit: &str| values.get(limit).and_then(|it| it.as_u64()).unwrap_or(0);
        let size = |limit: &str, unit: u64| {
            usize::try_from(number(limit).saturating_mul(unit)).unwrap_or(usize::MAX)
        };
        let time = |limit: &str| values.get(limit).copied().and_then(config::duration);
        let (wall, wall_of) = wall(config, world, &scope, own);
        Self {
            memory: size("memory_mb", MIB),
            table_elements: size("table_elements", 1),
            instances: size("instances", 1),
            cpu: time("cpu").filter(|time| !time.is_zero()),
            wall,
            wall_of,
            describe: time("describe").unwrap_or_default(),
            call_bytes: size("call_mb", MIB),
            answer_bytes: number("answer_mb").saturating_mul(MIB),
            kept_bytes: number("answers_mb").saturating_mul(MIB),
            handles: size("handles", 1),
            log_messages: number("log_messages"),
            log_bytes: number("log_bytes"),
            status_messages: number("status_messages"),
            status_bytes: number("status_bytes"),
            output_bytes: number("output_mb").saturating_mul(MIB),
            component_bytes: number(COMPONENT).saturating_mul(MIB),
            compile: time("compile").unwrap_or_default(),
            compile_memory: number("compile_memory_mb").saturating_mul(MIB),
            stack: stack(config),
            deaths: number("deaths"),
            scope,
            origins,
        }
    }

    /// The same for the call in which it says what it is.
    pub(crate) fn to_describe(&self) -> Self {
        Self {
            wall: Some(self.describe),
            wall_of: (ANSWER, self.raises("describe")),
            ..self.clone()
        }
    }

    /// Whether a component may be so large.
    pub(crate) fn check_size(&self, size: usize) -> Result<(), Reached> {
        match size as u64 > self.component_bytes {
            true => Err(too_large(self.component_bytes, self.raises(COMPONENT))),
            false => Ok(()),
        }
    }

    /// The time on a processor, in ticks of the engine's clock.
    pub(crate) fn ticks(&self) -> Option<u64> {
        let ticks = |cpu: Duration| u64::try_from(cpu.as_nanos() / TICK.as_nanos());
        self.cpu.map(|cpu| ticks(cpu).unwrap_or(u64::MAX))
    }

    /// What raises the limit of this name, from where it is.
    fn raises(&self, limit: &str) -> String {
        let origin = self.origins.get(limit).copied();
        self.scope
            .raises(origin.unwrap_or(Origin::All), &Names::of(limit))
    }

    /// That a limit was reached: what it is on, its value, and its name below `plugins.limits`.
    pub(crate) fn reached(
        &self,
        what: &'static str,
        value: String,
        limit: &'static str,
    ) -> Reached {
        Reached {
            what,
            value,
            raises: self.raises(limit),
        }
    }

    /// The same of the stack, which all plugins have alike.
    pub(crate) fn reached_stack(&self) -> Reached {
        Reached {
            what: "the stack",
            value: bytes(self.stack),
            raises: format!(
                "`plugins.limits.{}` raises it for all",
                config::SHARED_LIMIT
            ),
        }
    }

    /// The same of the time for an answer.
    pub fn reached_wall(&self) -> Reached {
        let (what, raises) = &self.wall_of;
        Reached {
            what,
            value: format!("{} s", self.wall.unwrap_or_default().as_secs_f64()),
            raises: raises.clone(),
        }
    }
}

/// The time for an answer of such a plugin, what it is the time for, and what raises it.
fn wall(
    config: &Config,
    world: World,
    scope: &Scope,
    own: &Own<'_>,
) -> (Option<Duration>, (&'static str, String)) {
    let (all, what) = match world {
        World::RequirementResolver => (
            "requirement.timeout".to_owned(),
            "the time to meet or to release a requirement",
        ),
        World::Runner => (
            "plugins.runner.timeout".to_owned(),
            "the time without a process",
        ),
        _ => (format!("plugins.{}.timeout", world.name()), ANSWER),
    };
    let names = Names {
        all,
        own: ".timeout".to_owned(),
        lock: TIMEOUT,
    };
    let found = scope.find(config, own, &names);
    let wall = found.and_then(|(value, _)| config::duration(value));
    let origin = found.map_or(Origin::All, |(_, origin)| origin);
    let raises = scope.raises(origin, &names);
    (wall.filter(|wall| !wall.is_zero()), (what, raises))
}

#[cfg(test)]
mod tests;
