//! Owns the spawner of other hosts: for each slot a helper on the slot's host, over a channel of an
//! ssh connection. Does not know what is requested of the helper.
//!
//! The system's own `ssh` makes the connections, so that keys, agents, jump hosts and
//! `~/.ssh/config` work as the user knows them. Nothing is installed on the other side: a line of
//! shell receives the helper and runs it (`bootstrap`), once for each connection (`link`). The
//! slots of a host share the connection.
//!
//! Both sides see the same files: the project, and the results of the job. The helper proves it
//! before anything runs.

mod bootstrap;
mod client;
mod hosts;
mod link;

use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use persea_config::settings;
use persea_helper::protocol::{Bytes, Isolation, Request, SharedFiles};
use persea_model::{Limit, SpawnerKind};
use tokio::sync::{OnceCell, watch};

use crate::launch::{Launch, Remote, private_dir};
use crate::lease::Lease;
use crate::limits::{LimitMeans, without_cgroup};
use crate::{Descriptor, Environment, SpawnError, Spawner, SpawnerFuture, SpawnerInputs};
use bootstrap::random;
use client::Client;
use hosts::Hosts;
use link::{Link, Setup};

/// The description of the spawner.
pub(crate) const DESCRIPTOR: Descriptor = Descriptor {
    kind: SpawnerKind::Ssh,
    about: "other hosts over ssh, which share files with this one",
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

/// The shortest lease. Answers of a helper may take a good part of a second.
const MIN_LEASE: Duration = Duration::from_secs(1);

/// The longest lease: a day.
const MAX_LEASE: Duration = Duration::from_secs(24 * 3600);

/// Starts processes on other hosts, without isolation.
pub(crate) struct SshSpawner {
    hosts: Hosts,
    setup: Arc<Setup>,
    /// The connections, by host and number. A connection serves a limited number of slots.
    links: Mutex<HashMap<(usize, usize), Arc<Link>>>,
    /// The project, where processes start.
    project: PathBuf,
    /// A directory that the hosts must share.
    shared: PathBuf,
    files: OnceCell<SharedFiles>,
    /// The environments that were opened before their slots needed them.
    prepared: Mutex<HashMap<usize, Environment>>,
    /// The number of work directories so far.
    made: AtomicUsize,
    closing: watch::Sender<bool>,
}

impl SshSpawner {
    fn new(inputs: SpawnerInputs<'_>) -> Result<SshSpawner, SpawnError> {
        let SpawnerInputs {
            helper,
            temporary,
            shared,
            directory,
            config,
            ..
        } = inputs;
        let lease = config.get(settings::SPAWNER_SSH_LEASE);
        if !(MIN_LEASE..=MAX_LEASE).contains(&lease) {
            return Err(SpawnError::Invalid(format!(
                "the setting `spawner.ssh.lease` is {} s: expected a time from 1 s to a day",
                lease.as_secs_f64()
            )));
        }
        let (closing, is_closing) = watch::channel(false);
        let client = Client {
            options: config.get(settings::SPAWNER_SSH_OPTIONS),
            lease,
        };
        Ok(SshSpawner {
            hosts: Hosts::parse(&config.get(settings::SPAWNER_SSH_HOSTS))?,
            setup: Arc::new(Setup {
                client,
                helper,
                temporary,
                sockets: OnceCell::new(),
                is_closing,
            }),
            links: Mutex::default(),
            project: directory,
            shared,
            files: OnceCell::new(),
            prepared: Mutex::default(),
            made: AtomicUsize::new(0),
            closing,
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
        let link = links
            .entry((host, number))
            .or_insert_with(|| Arc::new(Link::new(Arc::clone(name), Arc::clone(&self.setup))));
        Ok(Arc::clone(link))
    }

    /// What helpers must see. The first call writes the file for the proof.
    async fn files(&self) -> Result<&SharedFiles, SpawnError> {
        let describe = async {
            describe(&self.shared, &self.project).map_err(|error| {
                SpawnError::Invalid(format!(
                    "cannot prepare the check that other hosts see the files of this one: {error}"
                ))
            })
        };
        self.files.get_or_try_init(|| describe).await
    }

    fn take_prepared(&self, slot: usize) -> Option<Environment> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.remove(&slot).filter(Environment::is_alive)
    }

    async fn open_in(&self, slot: usize) -> Result<Environment, SpawnError> {
        if let Some(environment) = self.take_prepared(slot) {
            return Ok(environment);
        }
        let link = self.link(slot)?;
        let files = self.files().await?;
        let connection = link.connected().await?;
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let marker = random().map_err(|error| link.failure(&error.to_string()))?;
        let launch = Launch {
            name: format!("ssh/{}/{slot}", link.host()).into(),
            work: Path::new(connection.directory()).join(number.to_string()),
            variables: None,
            isolation: Isolation::default(),
            private: None,
            cgroups: None,
            remote: Some(Remote {
                marker: bootstrap::marker(&marker),
                lease: Lease::new(self.setup.client.lease),
                host: link.host().into(),
            }),
            keep_alive: Box::new(()),
        };
        let opened = launch
            .bring_up(|requests, replies| {
                let child = connection.start_helper(&marker, requests, replies);
                child.map(|child| (child, None))
            })
            .await;
        let environment = opened.map_err(|error| link.failure(&error.to_string()))?;
        let files = files.clone();
        let entered = environment
            .ask("looking at its files", |id| Request::Enter { id, files })
            .await;
        match entered {
            Ok(()) => Ok(environment),
            Err(SpawnError::Request { message, .. }) => {
                environment.close().await;
                Err(link.failure(&format!(
                    "it does not share the files of this host: {message} there; the project and \
                     the directory of results (`--results-dir`) must be the same at the same paths \
                     on both, for example in a home directory on NFS"
                )))
            }
            Err(error) => {
                environment.close().await;
                Err(link.failure(&error.to_string()))
            }
        }
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
        let opened = firsts.into_iter().map(|slot| async move {
            let environment = self.open_in(slot).await?;
            let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
            prepared.insert(slot, environment);
            Ok(())
        });
        let failed = join_all(opened).await.into_iter().filter_map(Result::err);
        let mut failed: Vec<SpawnError> = failed.collect();
        match failed.len() {
            0 => Ok(()),
            1 => Err(failed.remove(0)),
            _ => {
                let mut all: Vec<String> = failed.iter().map(SpawnError::to_string).collect();
                all.dedup();
                Err(SpawnError::Invalid(all.join("\n")))
            }
        }
    }

    async fn close_all(&self) {
        self.closing.send_replace(true);
        let prepared = {
            let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *prepared)
        };
        join_all(prepared.values().map(Environment::close)).await;
        let links: Vec<Arc<Link>> = {
            let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            links.values().cloned().collect()
        };
        join_all(links.iter().map(|link| link.close())).await;
        if let Some(sockets) = self.setup.sockets.get() {
            let _ = std::fs::remove_dir_all(sockets);
        }
    }
}

/// Writes the file for the proof into `shared`, and describes it and the project.
fn describe(shared: &Path, project: &Path) -> io::Result<SharedFiles> {
    let directory = private_dir(shared, "proof-")?;
    let proof = directory.join("proof");
    let content = random()?;
    std::fs::write(&proof, &content)?;
    let found = std::fs::metadata(project)?;
    let bytes = |path: &Path| Bytes(path.as_os_str().as_bytes().to_vec());
    Ok(SharedFiles {
        proof: bytes(&proof),
        content: Bytes(content.into_bytes()),
        directory: bytes(project),
        inode: found.ino(),
        modified: found.mtime(),
    })
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

    fn host(&self, slot: usize) -> Option<&str> {
        self.hosts.place(slot).map(|(_, name, _)| &**name)
    }

    fn recover(&self, slot: usize) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        Box::pin(async move { self.link(slot)?.recover().await })
    }

    fn check(&self) -> SpawnerFuture<'_, Result<(), SpawnError>> {
        Box::pin(async {
            match self.hosts.slots() {
                // Without a host, only the program can be checked.
                0 => self.setup.client.check(),
                slots => self.prepare_all(slots).await,
            }
        })
    }

    fn limit_means(&self, limit: Limit) -> LimitMeans {
        match limit {
            // The kernel counts all processes of the user, which are not known from here.
            Limit::Processes => LimitMeans::None(
                "the processes of other hosts cannot be counted from this one".to_owned(),
            ),
            Limit::Memory | Limit::Cpus | Limit::Disk => {
                without_cgroup(limit, "there is none on other hosts")
            }
        }
    }

    fn close(&self) -> SpawnerFuture<'_, ()> {
        Box::pin(self.close_all())
    }
}
