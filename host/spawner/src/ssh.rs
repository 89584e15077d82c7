//! Owns the spawner of other hosts: for each slot a helper on the slot's host, over a channel of an
//! ssh connection. Does not know what is requested of the helper.
//!
//! The system's own `ssh` makes the connections, so that keys, agents, jump hosts and
//! `~/.ssh/config` work as the user knows them. What is the same for other hosts of any kind is in
//! `remote`.

mod client;
mod hosts;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use persea_config::settings;
use persea_model::{Limit, SpawnerKind};

use crate::limits::LimitMeans;
use crate::remote::link::Link;
use crate::remote::{self, RemoteEnvironments};
use crate::{Descriptor, Environment, SpawnError, Spawner, SpawnerFuture, SpawnerInputs};
use client::{Client, SshRoute};
use hosts::Hosts;

/// The description of the spawner.
pub(crate) const DESCRIPTOR: Descriptor = Descriptor {
    kind: SpawnerKind::Ssh,
    about: "other hosts over ssh",
    settings: &[
        settings::SPAWNER_SSH_HOSTS.name(),
        settings::SPAWNER_SSH_LEASE.name(),
        settings::SPAWNER_SSH_OPTIONS.name(),
    ],
    has_snapshots: false,
    is_remote: true,
    is_one_machine: |config| config.get(settings::SPAWNER_SSH_HOSTS).len() < 2,
    slots: |config| {
        let hosts = Hosts::parse(&config.get(settings::SPAWNER_SSH_HOSTS));
        hosts.ok().map(|hosts| hosts.slots())
    },
    has_network: |_| true,
    is_fresh: |_| false,
    make: |inputs| Ok(Box::new(SshSpawner::new(inputs)?)),
};

/// Starts processes on other hosts, without isolation.
pub(crate) struct SshSpawner {
    hosts: Hosts,
    client: Arc<Client>,
    environments: RemoteEnvironments,
    /// The connections, by host and number. A connection serves a limited number of slots.
    links: Mutex<HashMap<(usize, usize), Arc<Link>>>,
}

impl SshSpawner {
    fn new(inputs: SpawnerInputs<'_>) -> Result<SshSpawner, SpawnError> {
        let config = inputs.config;
        let lease = config.get(settings::SPAWNER_SSH_LEASE);
        let options = config.get(settings::SPAWNER_SSH_OPTIONS);
        let sharing = config.get(settings::FILES_SHARING);
        Ok(SshSpawner {
            hosts: Hosts::parse(&config.get(settings::SPAWNER_SSH_HOSTS))?,
            client: Arc::new(Client::new(options, lease, inputs.temporary.clone())),
            environments: RemoteEnvironments::new("ssh", lease, sharing, inputs)?,
            links: Mutex::default(),
        })
    }

    /// The connection of a slot.
    fn link(&self, slot: usize) -> Result<Arc<Link>, SpawnError> {
        let Some((host, name, number)) = self.hosts.place(slot) else {
            return Err(SpawnError::Invalid(
                "the spawner `ssh` needs hosts: name them with `--hosts HOST,HOST=4`, or with the \
                 setting `spawner.ssh.hosts`"
                    .to_owned(),
            ));
        };
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let link = links.entry((host, number)).or_insert_with(|| {
            let route = SshRoute::new(Arc::clone(&self.client), Arc::clone(name));
            let setup = Arc::clone(self.environments.setup());
            Arc::new(Link::new(Arc::clone(name), Arc::new(route), setup))
        });
        Ok(Arc::clone(link))
    }

    async fn open_in(&self, slot: usize) -> Result<Environment, SpawnError> {
        self.environments.open(slot, &*self.link(slot)?).await
    }

    /// Opens an environment over each connection that this number of slots uses.
    async fn prepare_all(&self, slots: usize) -> Result<(), SpawnError> {
        let mut firsts: HashMap<(usize, usize), usize> = HashMap::new();
        for slot in 0..slots {
            if let Some((host, _, number)) = self.hosts.place(slot) {
                firsts.entry((host, number)).or_insert(slot);
            }
        }
        // Where there is no host, the first slot has the error.
        let mut firsts: Vec<usize> = firsts.into_values().collect();
        if firsts.is_empty() {
            firsts.push(0);
        }
        firsts.sort_unstable();
        let with_links = firsts.into_iter().map(|slot| Ok((slot, self.link(slot)?)));
        let with_links: Result<Vec<_>, SpawnError> = with_links.collect();
        self.environments.prepare(with_links?).await
    }

    async fn close_all(&self) {
        let links: Vec<Arc<Link>> = {
            let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            links.values().cloned().collect()
        };
        self.environments.close(links).await;
        self.client.close();
    }
}

impl Spawner for SshSpawner {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn open(&self, slot: usize) -> SpawnerFuture<'_, Result<Environment, SpawnError>> {
        Box::pin(self.open_in(slot))
    }

    fn prepare(&self, slots: usize) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        Box::pin(self.prepare_all(slots))
    }

    fn notices(&self) -> Vec<String> {
        self.environments.take_notices()
    }

    fn host(&self, slot: usize) -> Option<Arc<str>> {
        self.hosts.place(slot).map(|(_, name, _)| Arc::clone(name))
    }

    fn recover(&self, slot: usize) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        Box::pin(async move { self.link(slot)?.recover().await })
    }

    fn check(&self) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        Box::pin(async {
            match self.hosts.slots() {
                // Without a host, only the program can be checked.
                0 => self.client.check(),
                slots => self.prepare_all(slots).await,
            }
        })
    }

    fn limit_means(&self, limit: Limit) -> LimitMeans {
        remote::limit_means(limit)
    }

    fn close(&self) -> SpawnerFuture<'_, ()> {
        Box::pin(self.close_all())
    }
}
