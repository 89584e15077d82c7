//! Every limit on a plugin, in one struct, and how a store is held to them. Knows nothing of what plugins do.

use std::time::Duration;

use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use super::engine::TICK;
use crate::config::Config;

/// What one instance of a plugin may use. All are on by default.
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
    /// Bytes that the guest may hand to the host in one call: 32 MiB (wasmtime's default is 128 MiB).
    pub call_bytes: usize,
    /// Handles to resources that are alive at once: 1,000 (wasmtime's default is 100,000).
    pub handles: usize,
    /// Bytes of log messages: 1 MiB.
    pub log_bytes: u64,
    /// Bytes of messages and artifacts of one task: 16 MiB.
    pub status_bytes: u64,
    /// The largest component file that is loaded: 128 MiB.
    pub component_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            table_elements: 100_000,
            instances: 200,
            cpu: Some(Duration::from_secs(600)),
            call_bytes: 32 << 20,
            handles: 1_000,
            log_bytes: 1 << 20,
            status_bytes: 16 << 20,
            component_bytes: 128 << 20,
        }
    }
}

impl Limits {
    /// The limits as the configuration sets them.
    pub fn from_config(config: &Config) -> Self {
        let default = Self::default();
        let mebibytes = config
            .integer("plugins.limits.memory_mb")
            .and_then(|mb| usize::try_from(mb).ok());
        Self {
            memory: mebibytes.map_or(default.memory, |mb| mb.saturating_mul(1 << 20)),
            cpu: config.duration("plugins.limits.cpu"),
            log_bytes: config
                .integer("plugins.limits.log_bytes")
                .unwrap_or(default.log_bytes),
            status_bytes: config
                .integer("plugins.limits.status_bytes")
                .unwrap_or(default.status_bytes),
            ..default
        }
    }

    /// The time on a processor, in ticks of the engine's clock.
    pub(super) fn ticks(&self) -> Option<u64> {
        let ticks = |cpu: Duration| u64::try_from(cpu.as_nanos() / TICK.as_nanos());
        self.cpu.map(|cpu| ticks(cpu).unwrap_or(u64::MAX))
    }
}

/// What a store has used of its limits.
#[derive(Debug)]
pub(super) struct Usage {
    memory_left: usize,
    table_left: usize,
    instances: usize,
    ticks_left: Option<u64>,
    /// The limit that was reached, for the message about the trap that follows.
    pub(super) reached: Option<String>,
}

impl Usage {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory_left: limits.memory,
            table_left: limits.table_elements,
            instances: limits.instances,
            ticks_left: limits.ticks(),
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
            self.reached = Some(format!(
                "its memory would pass the limit (`plugins.limits.memory_mb`) by {} bytes",
                growth - self.memory_left
            ));
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
        if maximum.is_some_and(|maximum| desired > maximum) || growth > self.table_left {
            self.reached = Some("its tables would pass the limit on elements".into());
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
                usage.reached = Some("its processor time is used up (`plugins.limits.cpu`)".into());
                return Err(wasmtime::Error::msg("processor time used up"));
            }
            *left -= 1;
        }
        Ok(UpdateDeadline::Yield(1))
    });
}
