//! Owns how much a job needs at once, as configured: tasks and instances of plugins.

use crate::dispatch::slots;
use crate::plan::slot_pools;
use persea_config::{Config, settings};
use persea_model::SpawnerKind;
use persea_spawner::descriptor;

/// The most plugin instances at once: each reserves address space, which is limited.
const MOST_INSTANCES: u32 = 9_000;

/// The most plugin instances that a job needs at once, as configured: one for each running or
/// queued task, one for each requirement slot, and a reserve for resolvers and result formats.
/// Which tests there are is not known yet, so all hosts that are configured count.
pub fn instances(config: &Config) -> u32 {
    let own = config.get(settings::RUN_SPAWNER);
    let is_remote = |kind: &SpawnerKind| {
        let descriptor = descriptor(*kind);
        let has_hosts = || (descriptor.slots)(config).is_some_and(|slots| slots > 0);
        *kind != own && descriptor.is_remote && has_hosts()
    };
    let remote = SpawnerKind::ALL.into_iter().filter(is_remote);
    let slots: usize = remote.chain([own]).map(|it| parallel(it, config)).sum();
    let all = slots.saturating_mul(slots::MAX_TASKS_IN_SLOT + 1) + 64;
    u32::try_from(all).unwrap_or(u32::MAX).min(MOST_INSTANCES)
}

/// The number of tasks with a spawner that a job runs at once, as configured.
pub fn parallel(spawner: SpawnerKind, config: &Config) -> usize {
    slot_pools::slots_of(spawner, config)
}
