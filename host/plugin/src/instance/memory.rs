//! Owns the count of the host's memory that a job's tasks take.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::reached::{ReachedLimit, bytes};
use persea_config::{Config, settings};

/// A sum of bytes with an upper bound, which several threads add to.
#[derive(Debug)]
pub(crate) struct ByteCount {
    used: AtomicU64,
    most: u64,
}

impl ByteCount {
    pub(crate) fn new(most: u64) -> Self {
        Self {
            used: AtomicU64::new(0),
            most,
        }
    }

    /// Adds to the sum, unless that would exceed the bound. Returns whether it has added.
    pub(crate) fn try_add(&self, more: u64) -> bool {
        let added = |used: u64| used.checked_add(more).filter(|used| *used <= self.most);
        let order = Ordering::Relaxed;
        self.used.fetch_update(order, order, added).is_ok()
    }

    /// Takes bytes from the sum that were added before.
    pub(crate) fn remove(&self, bytes: u64) {
        let order = Ordering::Relaxed;
        let removed = |used: u64| Some(used.saturating_sub(bytes));
        // Cannot fail: there is always a result.
        let _ = self.used.fetch_update(order, order, removed);
    }
}

/// The host's memory that the tasks of one job take, whichever plugins have made them. Its limit is
/// the setting `run.plan_mb`.
#[derive(Debug)]
pub struct JobMemory(ByteCount);

impl JobMemory {
    pub(crate) fn new(config: &Config) -> Self {
        let mebibytes = config.get(settings::RUN_PLAN_MB);
        Self(ByteCount::new(mebibytes.saturating_mul(1 << 20)))
    }

    /// Counts memory that the job keeps, in bytes.
    ///
    /// # Errors
    /// All tasks together would take more than their limit.
    pub fn add(&self, more: u64) -> Result<(), ReachedLimit> {
        match self.0.try_add(more) {
            true => Ok(()),
            false => Err(ReachedLimit {
                subject: "the memory that the tasks of one job take",
                value: bytes(self.0.most),
                remedy: "`run.plan_mb` raises it".to_owned(),
            }),
        }
    }

    /// No longer counts memory that was added before, in bytes.
    pub(crate) fn remove(&self, bytes: u64) {
        self.0.remove(bytes);
    }
}
