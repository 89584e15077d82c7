//! Owns how a store is held to its limits, and what it has used of them. Does not know where limits
//! come from.

use std::sync::Arc;

use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use crate::engine::limits::{Limit, Limits};
use crate::error::reached::ReachedLimit;

/// What a store has used of its limits.
#[derive(Debug)]
pub(crate) struct ResourceUsage {
    memory_left: usize,
    table_left: usize,
    instances: usize,
    ticks_left: Option<u64>,
    limits: Arc<Limits>,
    /// The limit that the guest has reached, for the report of the trap that follows.
    pub(crate) reached: Option<ReachedLimit>,
}

impl ResourceUsage {
    pub(crate) fn new(limits: &Arc<Limits>) -> Self {
        Self {
            memory_left: limits.memory,
            table_left: limits.table_elements,
            instances: limits.core_instances,
            ticks_left: limits.ticks(),
            limits: Arc::clone(limits),
            reached: None,
        }
    }

    /// Gives the guest this processor time from now on, in ticks.
    pub(crate) fn refill(&mut self, ticks: Option<u64>) {
        self.ticks_left = ticks;
    }
}

impl ResourceLimiter for ResourceUsage {
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
            self.reached = Some(self.limits.reached(Limit::Memory));
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
        // The pool gives each table the largest limit of all plugins as its maximum.
        if growth > self.table_left || desired > self.limits.table_elements {
            self.reached = Some(self.limits.reached(Limit::TableElements));
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

/// Puts a new store under its limits. The guest yields at each tick, and traps when its processor
/// time is used up.
pub(crate) fn put_under_limits<T: AsMut<ResourceUsage> + 'static>(
    store: &mut Store<T>,
    limits: &Limits,
) {
    store.limiter(|state| state.as_mut());
    store.set_hostcall_fuel(limits.call_bytes);
    store.set_max_component_handles(limits.all_handles());
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        let usage = store.data_mut().as_mut();
        if let Some(left) = &mut usage.ticks_left {
            if *left == 0 {
                usage.reached = Some(usage.limits.reached(Limit::ProcessorTime));
                return Err(wasmtime::Error::msg("processor time used up"));
            }
            *left -= 1;
        }
        Ok(UpdateDeadline::Yield(1))
    });
}
