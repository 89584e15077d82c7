//! How a store is held to its limits: what it has used of them. Knows nothing of where they come from.

use std::sync::Arc;

use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use crate::engine::limits::{Limits, Reached, bytes};

/// What a store has used of its limits.
#[derive(Debug)]
pub(crate) struct Usage {
    memory_left: usize,
    table_left: usize,
    instances: usize,
    ticks_left: Option<u64>,
    limits: Arc<Limits>,
    /// The limit that was reached, for the message about the trap that follows.
    pub(crate) reached: Option<Reached>,
}

impl Usage {
    pub(crate) fn new(limits: &Arc<Limits>) -> Self {
        Self {
            memory_left: limits.memory,
            table_left: limits.table_elements,
            instances: limits.instances,
            ticks_left: limits.ticks(),
            limits: Arc::clone(limits),
            reached: None,
        }
    }

    /// From now on it has so much time on a processor.
    pub(crate) fn refill(&mut self, ticks: Option<u64>) {
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
pub(crate) fn apply<T: AsMut<Usage> + 'static>(store: &mut Store<T>, limits: &Limits) {
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
