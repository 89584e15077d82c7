//! Owns how many slots a job has, and which tasks each serves. The tasks on this machine share its
//! slots, whatever their spawners; those of a spawner of other hosts have the slots of its hosts.
//! Does not know which task is in which slot.

use std::collections::BTreeMap;

use crate::plan::entry::PlanEntry;
use crate::plan::planner::Plan;
use persea_config::{Config, settings};
use persea_model::SpawnerKind;
use persea_spawner::descriptor;
use persea_system::threads;

/// The most tasks at once: more would exhaust the system's process and descriptor tables.
const MOST_PARALLEL: usize = 4096;

/// The index of a pool of slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolIndex(pub(crate) usize);

/// The slots of this machine, or of a spawner of other hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotPool {
    /// The spawner of other hosts; none for this machine.
    remote: Option<SpawnerKind>,
    /// The index of the pool's first slot.
    pub(crate) first: usize,
    pub(crate) count: usize,
}

/// The slots of a job, by pool.
#[derive(Clone, Debug)]
pub(crate) struct SlotPools {
    pools: Vec<SlotPool>,
    /// The number of tasks that run at once in all pools together.
    pub(crate) at_once: usize,
}

/// The spawner of other hosts whose slots a task needs; none for those of this machine.
fn remote(spawner: SpawnerKind) -> Option<SpawnerKind> {
    Some(spawner).filter(|kind| descriptor(*kind).is_remote)
}

/// The number of slots that tasks with a spawner can have, as configured.
pub(crate) fn slots_of(spawner: SpawnerKind, config: &Config) -> usize {
    match config.get(settings::RUN_MAX_PARALLEL_TASKS) {
        0 => {
            let slots = (descriptor(spawner).slots)(config);
            let slots = slots.filter(|slots| *slots > 0);
            slots.map_or_else(threads::processors, |slots| slots.min(MOST_PARALLEL))
        }
        number => usize::try_from(number)
            .unwrap_or(usize::MAX)
            .min(MOST_PARALLEL),
    }
}

impl SlotPools {
    /// The pools for these tasks: as many slots as the settings allow, and no more than there are
    /// tasks for them.
    pub(crate) fn new<'a>(entries: impl Iterator<Item = &'a PlanEntry>, config: &Config) -> Self {
        Self::of(entries.map(|entry| entry.spawner), config)
    }

    fn of(kinds: impl Iterator<Item = SpawnerKind>, config: &Config) -> Self {
        let mut tasks: BTreeMap<Option<SpawnerKind>, (SpawnerKind, usize)> = BTreeMap::new();
        for kind in kinds {
            tasks.entry(remote(kind)).or_insert((kind, 0)).1 += 1;
        }
        if tasks.is_empty() {
            let kind = config.get(settings::RUN_SPAWNER);
            tasks.insert(remote(kind), (kind, 1));
        }
        let (mut pools, mut first, mut most) = (Vec::new(), 0, 0_usize);
        let is_mixed = tasks.len() > 1;
        for (remote, (kind, tasks)) in tasks {
            let mut slots = slots_of(kind, config);
            // What the setting allows is for all pools, and hosts have no more than their slots.
            if is_mixed && let Some(own) = (descriptor(kind).slots)(config) {
                slots = slots.min(own.max(1));
            }
            let count = slots.min(tasks);
            pools.push(SlotPool {
                remote,
                first,
                count,
            });
            first += count;
            most = most.saturating_add(slots);
        }
        let at_once = match config.get(settings::RUN_MAX_PARALLEL_TASKS) {
            0 => most.min(MOST_PARALLEL),
            number => usize::try_from(number)
                .unwrap_or(usize::MAX)
                .min(MOST_PARALLEL),
        };
        Self { pools, at_once }
    }

    /// One pool of slots of this machine.
    #[cfg(test)]
    pub(crate) fn one(count: usize) -> Self {
        Self {
            pools: vec![SlotPool {
                remote: None,
                first: 0,
                count,
            }],
            at_once: count,
        }
    }

    /// Slots of this machine and of other hosts.
    #[cfg(test)]
    pub(crate) fn two(here: usize, elsewhere: usize, at_once: usize) -> Self {
        let mut pools = Self::one(here);
        pools.pools.push(SlotPool {
            remote: Some(SpawnerKind::Ssh),
            first: here,
            count: elsewhere,
        });
        pools.at_once = at_once;
        pools
    }

    /// The pools in the order of their slots.
    pub(crate) fn all(&self) -> &[SlotPool] {
        &self.pools
    }

    /// The number of all slots.
    pub(crate) fn count(&self) -> usize {
        self.pools.iter().map(|pool| pool.count).sum()
    }

    /// The pool for tasks with a spawner.
    pub(crate) fn of_spawner(&self, spawner: SpawnerKind) -> PoolIndex {
        let wanted = remote(spawner);
        let found = self.pools.iter().position(|pool| pool.remote == wanted);
        PoolIndex(found.unwrap_or_default())
    }

    /// The pool of each task of a plan; empty if there is only one pool.
    pub(crate) fn of_tasks(&self, plan: &Plan) -> Vec<PoolIndex> {
        match *self.pools {
            [_] => Vec::new(),
            _ => {
                let kinds = plan.entries.iter().map(|entry| entry.spawner);
                kinds.map(|kind| self.of_spawner(kind)).collect()
            }
        }
    }

    /// The slots of a pool for tasks with a spawner.
    pub(crate) fn slots(&self, spawner: SpawnerKind) -> Option<&SlotPool> {
        self.pools.get(self.of_spawner(spawner).0)
    }

    /// The spawner of other hosts to which a slot belongs; none for this machine.
    pub(crate) fn remote(&self, slot: usize) -> Option<SpawnerKind> {
        let mut pools = self.pools.iter();
        let pool = pools.find(|it| (it.first..it.first + it.count).contains(&slot))?;
        pool.remote
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(kinds: &[SpawnerKind], set: &[(&str, serde_json::Value)]) -> SlotPools {
        let mut config = Config::default();
        for (name, value) in set {
            config.set_raw(name, value.clone());
        }
        SlotPools::of(kinds.iter().copied(), &config)
    }

    #[test]
    fn spawners_of_this_machine_share_slots_and_hosts_have_their_own() {
        use SpawnerKind::{Container, Process, Sandbox, Ssh};
        let hosts = ("spawner.ssh.hosts", serde_json::json!(["a=3", "b"]));
        let three = ("run.max_parallel_tasks", 3.into());
        let kinds = [Process, Ssh, Container, Sandbox, Ssh, Process];
        let found = pools(&kinds, &[hosts.clone(), three]);
        let counts: Vec<usize> = found.all().iter().map(|it| it.count).collect();
        assert_eq!((counts, found.at_once), (vec![3, 2], 3));
        assert_eq!(found.of_spawner(Container), found.of_spawner(Process));
        assert_eq!(found.slots(Ssh).map(|it| it.first), Some(3));
        let remotes = [0, 2, 3, 4, 5].map(|slot| found.remote(slot));
        assert_eq!(remotes, [None, None, Some(Ssh), Some(Ssh), None]);
        let all = pools(&[Ssh; 9], std::slice::from_ref(&hosts));
        assert_eq!((all.count(), all.at_once), (4, 4));
        let both = pools(&[Process, Ssh, Ssh, Ssh, Ssh, Ssh], &[hosts]);
        assert_eq!(both.at_once, threads::processors() + 4);
        assert_eq!(both.count(), 5);
        assert_eq!(pools(&[], &[]).count(), 1);
    }
}
