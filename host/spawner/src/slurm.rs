//! Owns the spawner of a cluster with Slurm: one allocation for a job, and for each slot a helper
//! on one of its nodes. Does not know what is requested of the helper.
//!
//! Slurm allocates nodes, Persea assigns tests to slots on them. So a test costs no request to
//! Slurm. The programs of Slurm on this machine do the rest (`programs`): what the user may do by
//! `sbatch`, Persea may do, too. What is the same for other hosts of any kind is in `remote`.

mod allocation;
mod pilot;
mod programs;
mod state;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use persea_config::{Config, Sharing, settings};
use persea_model::{Limit, SpawnerKind};
use tokio::sync::watch;

use crate::limits::LimitMeans;
use crate::owner::Owner;
use crate::remote::link::Link;
use crate::remote::{self, RemoteEnvironments};
use crate::{Descriptor, Environment, SpawnError, Spawner, SpawnerFuture, SpawnerInputs};
use allocation::Allocation;
use programs::{NodeRoute, Wishes};
use state::Nodes;

/// The description of the spawner.
pub(crate) const DESCRIPTOR: Descriptor = Descriptor {
    kind: SpawnerKind::Slurm,
    about: "nodes of a cluster with Slurm, which share files with this machine",
    settings: &[
        settings::SPAWNER_SLURM_ACCOUNT.name(),
        settings::SPAWNER_SLURM_EXTRA.name(),
        settings::SPAWNER_SLURM_LEASE.name(),
        settings::SPAWNER_SLURM_NODES.name(),
        settings::SPAWNER_SLURM_PARTITION.name(),
        settings::SPAWNER_SLURM_SLOTS.name(),
        settings::SPAWNER_SLURM_TIME.name(),
    ],
    has_snapshots: false,
    is_remote: true,
    is_one_machine: |config| config.get(settings::SPAWNER_SLURM_NODES) < 2,
    slots: |config| {
        let Size { nodes, slots } = Size::configured(config);
        Some(nodes.saturating_mul(slots))
    },
    has_network: |_| true,
    is_fresh: |_| false,
    make: |inputs| Ok(Box::new(SlurmSpawner::new(inputs)?)),
};

/// How long Slurm may take to notice that a node has failed: 6 min. By default (SlurmdTimeout) it
/// takes 5 min.
const NOTICED_WITHIN: Duration = Duration::from_secs(360);

/// The pause before another attempt to reach a node: 2 s.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// The most tests at once on one node.
const MAX_SLOTS: u64 = 1024;

/// The size of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    nodes: usize,
    /// The number of tests at once on each node.
    slots: usize,
}

impl Size {
    fn configured(config: &Config) -> Self {
        let nodes = config.get(settings::SPAWNER_SLURM_NODES);
        let slots = config.get(settings::SPAWNER_SLURM_SLOTS);
        Self {
            nodes: usize::try_from(nodes).unwrap_or(usize::MAX),
            slots: usize::try_from(slots.clamp(1, MAX_SLOTS)).unwrap_or(1),
        }
    }

    /// The part of this size that this number of slots needs.
    fn for_slots(self, slots: usize) -> Self {
        let nodes = self.nodes.min(slots).max(1);
        Self {
            nodes,
            slots: self.slots.min(slots.div_ceil(nodes)).max(1),
        }
    }
}

/// The nodes that an allocation has got, until Slurm requeues it.
struct Pilot {
    /// How often the allocation was requeued before it got them.
    restarts: u32,
    /// The connections to the nodes, in the order of the nodes' names.
    links: Vec<Arc<Link>>,
}

impl Pilot {
    /// The connection of a slot.
    fn link(&self, slot: usize) -> Option<&Arc<Link>> {
        self.links.get(slot.checked_rem(self.links.len())?)
    }
}

/// Starts processes on the nodes of an allocation, without isolation.
pub(crate) struct SlurmSpawner {
    size: Size,
    wishes: Wishes,
    owner: Arc<Owner>,
    environments: RemoteEnvironments,
    /// The allocation, once it was submitted. Locked while somebody waits for its nodes.
    allocation: Arc<tokio::sync::Mutex<Option<Allocation>>>,
    /// The present nodes; none before there are any.
    pilot: Mutex<Option<Arc<Pilot>>>,
    /// The connections to nodes that Slurm has taken away.
    old_links: Mutex<Vec<Arc<Link>>>,
    /// What the job waits for.
    says: watch::Sender<Arc<str>>,
}

impl SlurmSpawner {
    fn new(inputs: SpawnerInputs<'_>) -> Result<Self, SpawnError> {
        let config = inputs.config;
        let lease = config.get(settings::SPAWNER_SLURM_LEASE);
        Ok(Self {
            size: Size::configured(config),
            wishes: Wishes::new(config),
            owner: Arc::new(Owner::new(&inputs.temporary)),
            environments: RemoteEnvironments::new("slurm", lease, Sharing::Shared, inputs)?,
            allocation: Arc::default(),
            pilot: Mutex::default(),
            old_links: Mutex::default(),
            says: watch::Sender::new("".into()),
        })
    }

    fn present(&self) -> Option<Arc<Pilot>> {
        let pilot = self.pilot.lock().unwrap_or_else(PoisonError::into_inner);
        pilot.clone()
    }

    /// Waits for the nodes. Submits the job for this number of slots, if that was not done before.
    async fn nodes(&self, slots: Option<usize>) -> Result<Arc<Pilot>, SpawnError> {
        match self.present() {
            Some(pilot) => Ok(pilot),
            None => Ok(self.look(slots).await?.0),
        }
    }

    /// [`SlurmSpawner::nodes`], and asks Slurm in any case which of them are still there.
    async fn look(&self, slots: Option<usize>) -> Result<(Arc<Pilot>, Nodes), SpawnError> {
        if self.size.nodes == 0 {
            return Err(SpawnError::Invalid(
                "the spawner `slurm` needs nodes: say how many with the setting \
                 `spawner.slurm.nodes`, such as `--set spawner.slurm.nodes=1`"
                    .to_owned(),
            ));
        }
        let mut allocation = Arc::clone(&self.allocation).lock_owned().await;
        if self.environments.setup().is_closed() {
            return Err(SpawnError::Closed("the spawner"));
        }
        if allocation.is_none() {
            // Listers and releases open a single environment, without preparation.
            let Size { nodes, slots } = self.size.for_slots(slots.unwrap_or(1));
            let arguments = self.wishes.arguments(nodes, slots, &self.owner.line());
            let setup = Arc::clone(self.environments.setup());
            let owner = Arc::clone(&self.owner);
            // Nobody has to wait for it.
            tokio::spawn(async move { programs::cancel_abandoned(&owner).await });
            // A task of its own, so that a job that is just being submitted is ended in order even
            // if the caller's future is dropped.
            let submitting = tokio::spawn(async move {
                *allocation = Some(Allocation::submit(&arguments, &setup).await?);
                Ok(allocation)
            });
            let submitted = submitting.await;
            allocation = submitted.unwrap_or(Err(SpawnError::Closed("the spawner")))?;
        }
        let job = allocation
            .as_ref()
            .map(|submitted| Arc::clone(submitted.job()));
        let job = job.ok_or(SpawnError::Closed("the allocation"))?;
        let nodes = allocation::running(&job, &self.says).await;
        let nodes = nodes.map_err(SpawnError::Invalid)?;
        if let Some(pilot) = self.present()
            && pilot.restarts == nodes.restarts
        {
            return Ok((pilot, nodes));
        }
        let names = programs::nodes_in(&nodes.list).await;
        let names = names.map_err(SpawnError::Invalid)?;
        let links = names.into_iter().map(|node| {
            let route = NodeRoute {
                job: Arc::clone(&job),
                restarts: nodes.restarts,
                holds_pilot: *node == *nodes.of_pilot,
                node: Arc::clone(&node),
            };
            let setup = Arc::clone(self.environments.setup());
            Arc::new(Link::new(node, Arc::new(route), setup))
        });
        let pilot = Arc::new(Pilot {
            links: links.collect(),
            restarts: nodes.restarts,
        });
        let mut present = self.pilot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = present.replace(Arc::clone(&pilot)) {
            let mut links = self
                .old_links
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            links.extend(old.links.iter().cloned());
        }
        Ok((pilot, nodes))
    }

    async fn open_in(&self, slot: usize) -> Result<Environment, SpawnError> {
        let pilot = self.nodes(None).await?;
        let link = pilot
            .link(slot)
            .ok_or(SpawnError::Closed("the allocation"))?;
        self.environments.open(slot, link).await
    }

    /// Opens an environment on each node that this number of slots uses.
    async fn prepare_all(&self, slots: usize) -> Result<(), SpawnError> {
        let pilot = self.nodes(Some(slots)).await?;
        let links = pilot.links.iter().cloned().enumerate().take(slots);
        self.environments.prepare(links.collect()).await
    }

    /// Waits until there is a node for a slot again, on which a helper can be started.
    async fn recover_in(&self, slot: usize) -> Result<(), SpawnError> {
        let began = Instant::now();
        self.leave(slot).await;
        loop {
            let (pilot, now) = tokio::select! {
                () = self.environments.setup().closed() => {
                    return Err(SpawnError::Closed("the spawner"));
                }
                looked = self.look(None) => looked?,
            };
            let link = pilot
                .link(slot)
                .ok_or(SpawnError::Closed("the allocation"))?;
            let names = programs::nodes_in(&now.list).await;
            if names.is_ok_and(|names| !names.iter().any(|name| **name == *link.host())) {
                return Err(link.failure("it has failed, and Slurm has taken it out of the job"));
            }
            let recovered = match link.recover().await {
                Ok(()) => {
                    self.environments
                        .prepare(vec![(slot, Arc::clone(link))])
                        .await
                }
                Err(error) => Err(error),
            };
            let Err(error) = recovered else {
                return Ok(());
            };
            // Slurm notices the failure of a node late. Then it takes the node out of the job, or
            // requeues the job. A controller that has just been restarted refuses steps at first.
            if began.elapsed() > NOTICED_WITHIN {
                return Err(error);
            }
            self.says.send_replace(
                format!("{error}; waiting until Slurm gives the node up or it is back").into(),
            );
            link.try_again().await;
            tokio::select! {
                () = self.environments.setup().closed() => {}
                () = tokio::time::sleep(AGAIN_AFTER) => {}
            }
        }
    }

    /// Closes the connection to a node that Slurm is taking away, so that its files are removed
    /// there before Slurm kills what removes them.
    async fn leave(&self, slot: usize) {
        if let Some(pilot) = self.present()
            && let Some(link) = pilot.link(slot)
            && let Some(ask) = link.ask_lost()
            && ask().await
        {
            link.close().await;
        }
    }

    async fn close_all(&self) {
        // Ends those who wait with the lock.
        self.environments.end_waiting();
        let mut links = self
            .present()
            .map_or_else(Vec::new, |pilot| pilot.links.clone());
        {
            let mut old = self
                .old_links
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            links.append(&mut old);
        }
        self.environments.close(links).await;
        let allocation = self.allocation.lock().await.take();
        if let Some(allocation) = allocation {
            allocation.end().await;
        }
    }

    /// Checks what can be known without an allocation, which might take hours.
    async fn check_all(&self) -> Result<(), SpawnError> {
        programs::ask("scontrol", &["ping"])
            .await
            .map_err(SpawnError::Invalid)?;
        if self.size.nodes == 0 {
            return Ok(());
        }
        let Size { nodes, slots } = self.size;
        let mut arguments = vec!["--test-only".to_owned()];
        arguments.extend(self.wishes.arguments(nodes, slots, ""));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let asked = programs::ask("sbatch", &arguments).await;
        asked.map_err(|words| SpawnError::Invalid(programs::explain_refusal(&words)))?;
        Ok(())
    }
}

impl Spawner for SlurmSpawner {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn open(&self, slot: usize) -> SpawnerFuture<'_, Result<Environment, SpawnError>> {
        Box::pin(self.open_in(slot))
    }

    fn prepare(&self, slots: usize) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        Box::pin(self.prepare_all(slots))
    }

    fn host(&self, slot: usize) -> Option<Arc<str>> {
        let pilot = self.present()?;
        Some(pilot.link(slot)?.host().into())
    }

    fn recover(&self, slot: usize) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        Box::pin(self.recover_in(slot))
    }

    fn waits(&self) -> Option<watch::Receiver<Arc<str>>> {
        Some(self.says.subscribe())
    }

    fn check(&self) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        Box::pin(self.check_all())
    }

    fn limit_means(&self, limit: Limit) -> LimitMeans {
        remote::limit_means(limit)
    }

    fn remove_abandoned(&self) -> SpawnerFuture<'_, Result<usize, SpawnError>> {
        Box::pin(async {
            let cancelled = programs::cancel_abandoned(&self.owner).await;
            cancelled.map_err(SpawnError::Invalid)
        })
    }

    fn close(&self) -> SpawnerFuture<'_, ()> {
        Box::pin(self.close_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_slots_take_no_more_nodes_and_processors_than_they_need() {
        let size = Size { nodes: 4, slots: 8 };
        let needed = |slots| {
            let Size { nodes, slots } = size.for_slots(slots);
            (nodes, slots)
        };
        assert_eq!(needed(1), (1, 1));
        assert_eq!(needed(3), (3, 1));
        assert_eq!(needed(6), (4, 2));
        assert_eq!(needed(100), (4, 8));
    }
}
