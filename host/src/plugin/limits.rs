//! Every limit on a plugin, in one struct, and how a store is held to them. Knows nothing of what plugins do.
//!
//! A limit is the setting `plugins.limits.NAME`; for the plugins of one world `plugins.WORLD.limits.NAME` comes before it, then what the
//! lock says of the plugin, then `plugins.WORLD.PLUGIN.limits.NAME`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use super::engine::{Room, TICK};
use super::lock::Lock;
use super::manifest::World;
use crate::config::{self, Config};

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
    /// The longest that one answer may take; none for no limit. It depends on the world, and tasks have times of their own.
    pub wall: Option<Duration>,
    /// The setting that it is from.
    pub wall_setting: String,
    /// The longest that it may take to say what it is. 10 s: a guest with an interpreter in it takes one.
    pub describe: Duration,
    /// Bytes that the guest may hand to the host in one call: 32 MiB (wasmtime's default is 128 MiB).
    pub call_bytes: usize,
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
    /// What it is the limits of, in the names of settings: `runner.greet`, or `runner` before it has said its name.
    scope: String,
}

/// The room that the engine makes for a guest: that of whichever has the highest limits.
pub(super) fn room(config: &Config, locks: &[Lock]) -> Room {
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
pub(super) fn stack(config: &Config) -> u64 {
    let kib = config.integer("plugins.limits.stack_kb").unwrap_or(512);
    // Below, not even a guest's start fits; above, a pool of stacks takes more addresses than there are.
    kib.clamp(64, 64 * KIB) * KIB
}

/// Whether there is such a limit that a plugin can have of its own, and the value is one.
pub fn check(name: &str, value: &Value) -> Result<(), String> {
    let shape = config::limit(name).ok_or_else(|| {
        let names: Vec<String> = config::limits().map(|name| format!("`{name}`")).collect();
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

impl Limits {
    /// Those of a plugin of this world: with the name that it has, once that is known, and what its lock says.
    pub(super) fn of(
        config: &Config,
        world: World,
        name: Option<&str>,
        own: &BTreeMap<String, Value>,
    ) -> Self {
        let world = world.name();
        let scope = name.map_or_else(|| world.to_owned(), |name| format!("{world}.{name}"));
        let value = |limit: &str| {
            let named = name.and_then(|_| config.get(&format!("plugins.{scope}.limits.{limit}")));
            named
                .or_else(|| own.get(limit))
                .or_else(|| config.get(&format!("plugins.{world}.limits.{limit}")))
                .or_else(|| config.get(&format!("plugins.limits.{limit}")))
        };
        // The settings have defaults, and their values were checked; 0 would only stand for a table without that limit.
        let number = |limit: &str| value(limit).and_then(Value::as_u64).unwrap_or(0);
        let size = |limit: &str, unit: u64| {
            usize::try_from(number(limit).saturating_mul(unit)).unwrap_or(usize::MAX)
        };
        let time = |limit: &str| value(limit).and_then(config::duration);
        Self {
            memory: size("memory_mb", MIB),
            table_elements: size("table_elements", 1),
            instances: size("instances", 1),
            cpu: time("cpu").filter(|time| !time.is_zero()),
            wall: config.duration(&format!("plugins.{world}.timeout")),
            wall_setting: format!("plugins.{world}.timeout"),
            describe: time("describe").unwrap_or_default(),
            call_bytes: size("call_mb", MIB),
            handles: size("handles", 1),
            log_messages: number("log_messages"),
            log_bytes: number("log_bytes"),
            status_messages: number("status_messages"),
            status_bytes: number("status_bytes"),
            output_bytes: number("output_mb").saturating_mul(MIB),
            component_bytes: number("component_mb").saturating_mul(MIB),
            compile: time("compile").unwrap_or_default(),
            compile_memory: number("compile_memory_mb").saturating_mul(MIB),
            stack: stack(config),
            deaths: number("deaths"),
            scope,
        }
    }

    /// The same for the call in which it says what it is.
    pub(super) fn to_describe(&self) -> Self {
        Self {
            wall: Some(self.describe),
            wall_setting: "plugins.limits.describe".into(),
            ..self.clone()
        }
    }

    /// The time on a processor, in ticks of the engine's clock.
    pub(super) fn ticks(&self) -> Option<u64> {
        let ticks = |cpu: Duration| u64::try_from(cpu.as_nanos() / TICK.as_nanos());
        self.cpu.map(|cpu| ticks(cpu).unwrap_or(u64::MAX))
    }

    /// That a limit was reached: what it is on, its value, and the setting below `plugins.limits`.
    pub(super) fn reached(
        &self,
        what: &'static str,
        value: String,
        setting: &'static str,
    ) -> Reached {
        let own = format!("plugins.{}.limits.{setting}", self.scope);
        Reached {
            what,
            value,
            setting: format!("plugins.limits.{setting}"),
            own: Some(own),
        }
    }
}

/// A limit that was reached, said in one way for all: what it is on, its value, and how it is raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// What it is on: `memory`.
    pub what: &'static str,
    /// Its value, with the unit.
    pub value: String,
    /// The setting that raises it.
    pub setting: String,
    /// The setting that raises it for this plugin alone, or for its world.
    pub own: Option<String>,
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "its limit on {}, {}: `{}` raises it",
            self.what, self.value, self.setting
        )?;
        match &self.own {
            Some(own) => write!(f, ", or `{own}` alone"),
            None => Ok(()),
        }
    }
}

/// A number of bytes, for people.
pub(super) fn bytes(count: u64) -> String {
    match count {
        count if count >= MIB && count.is_multiple_of(MIB) => format!("{} MiB", count / MIB),
        count if count >= KIB && count.is_multiple_of(KIB) => format!("{} KiB", count / KIB),
        count => format!("{count} bytes"),
    }
}

/// What a store has used of its limits.
#[derive(Debug)]
pub(super) struct Usage {
    memory_left: usize,
    table_left: usize,
    instances: usize,
    ticks_left: Option<u64>,
    limits: std::sync::Arc<Limits>,
    /// The limit that was reached, for the message about the trap that follows.
    pub(super) reached: Option<Reached>,
}

impl Usage {
    pub(super) fn new(limits: &std::sync::Arc<Limits>) -> Self {
        Self {
            memory_left: limits.memory,
            table_left: limits.table_elements,
            instances: limits.instances,
            ticks_left: limits.ticks(),
            limits: std::sync::Arc::clone(limits),
            reached: None,
        }
    }

    /// From now on it has so much time on a processor.
    pub(super) fn refill(&mut self, ticks: Option<u64>) {
        self.ticks_left = ticks;
    }
}

impl ResourceLimiter for Usage {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if growth > self.memory_left {
            let value = bytes(self.limits.memory as u64);
            self.reached = Some(self.limits.reached("memory", value, "memory_mb"));
            return Ok(false);
        }
        self.memory_left -= growth;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        // A pool's table has a maximum of its own, which is the largest of these limits.
        if growth > self.table_left || desired > self.limits.table_elements {
            let value = format!("{} elements", self.limits.table_elements);
            self.reached = Some(self.limits.reached("tables", value, "table_elements"));
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.table_left -= growth;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances
    }
}

/// Puts a new store under its limits. Each tick the guest gives way to others; when its processor time is used up it traps.
pub(super) fn apply<T: AsMut<Usage> + 'static>(store: &mut Store<T>, limits: &Limits) {
    store.limiter(|state| state.as_mut());
    store.set_hostcall_fuel(limits.call_bytes);
    store.set_max_component_handles(limits.handles);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        let usage = store.data_mut().as_mut();
        if let Some(left) = &mut usage.ticks_left {
            if *left == 0 {
                let limits = &usage.limits;
                let value = format!("{} s", limits.cpu.unwrap_or_default().as_secs_f64());
                usage.reached = Some(limits.reached("processor time", value, "cpu"));
                return Err(wasmtime::Error::msg("processor time used up"));
            }
            *left -= 1;
        }
        Ok(UpdateDeadline::Yield(1))
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn limits(settings: &[(&str, u64)], own: &[(&str, u64)]) -> Limits {
        let mut config = Config::load(&config::UserDirs::from_env(), &[], &[]).unwrap();
        for (name, value) in settings {
            config.set_option(name, *value);
        }
        let own = own
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.into()));
        Limits::of(&config, World::Runner, Some("greet"), &own.collect())
    }

    #[test]
    fn the_nearest_setting_wins() {
        let all = ("plugins.limits.memory_mb", 1);
        let world = ("plugins.runner.limits.memory_mb", 2);
        let own = ("plugins.runner.greet.limits.memory_mb", 4);
        let other = ("plugins.resolver.limits.memory_mb", 8);
        let memory = |settings: &[(&str, u64)], lock: &[(&str, u64)]| {
            limits(settings, lock).memory as u64 / MIB
        };
        assert_eq!(memory(&[], &[]), 256);
        assert_eq!(memory(&[all, other], &[]), 1);
        assert_eq!(memory(&[all, world], &[]), 2);
        assert_eq!(memory(&[all, world], &[("memory_mb", 3)]), 3);
        assert_eq!(memory(&[all, world, own], &[("memory_mb", 3)]), 4);
    }

    #[test]
    fn none_is_zero_by_mistake() {
        let limits = limits(&[], &[]);
        let all = [
            limits.memory as u64,
            limits.table_elements as u64,
            limits.instances as u64,
            limits.call_bytes as u64,
            limits.handles as u64,
            limits.log_messages,
            limits.log_bytes,
            limits.status_messages,
            limits.status_bytes,
            limits.output_bytes,
            limits.component_bytes,
            limits.compile.as_secs(),
            limits.describe.as_secs(),
            limits.compile_memory,
            limits.stack,
            limits.deaths,
            limits.ticks().unwrap(),
        ];
        assert!(all.iter().all(|limit| *limit > 0), "{all:?}");
    }

    #[test]
    fn a_limit_is_told_with_its_value_and_the_way_out() {
        let reached = limits(&[], &[]).reached("memory", bytes(64 << 20), "memory_mb");
        assert_eq!(
            reached.to_string(),
            "its limit on memory, 64 MiB: `plugins.limits.memory_mb` raises it, or `plugins.runner.greet.limits.memory_mb` alone"
        );
        assert_eq!(bytes(1536), "1536 bytes");
        assert_eq!(bytes(64 << 10), "64 KiB");
    }
}
