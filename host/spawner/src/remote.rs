//! Owns the environments of other hosts that share files with this one: for each slot a helper on
//! the slot's host, over a kept connection. Does not know how a host is reached.
//!
//! Nothing is installed on the other side: a script receives the helper and runs it (`bootstrap`),
//! once for each connection (`link`). The slots of a host share the connection.
//!
//! Both sides see the same files: the project, and the results of the job. The helper proves it
//! before anything runs.

pub(crate) mod bootstrap;
pub(crate) mod link;

use std::collections::HashMap;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use persea_helper::protocol::{Bytes, Isolation, Request, SharedFiles};
use persea_model::Limit;
use tokio::sync::{OnceCell, watch};

use crate::launch::{Launch, Remote, private_dir};
use crate::lease::Lease;
use crate::limits::{LimitMeans, without_cgroup};
use crate::{Environment, SpawnError, SpawnerInputs};
use bootstrap::random;
use link::{Link, Setup};

/// The shortest lease. Answers of a helper may take a good part of a second.
const MIN_LEASE: Duration = Duration::from_secs(1);

/// The longest lease: a day.
const MAX_LEASE: Duration = Duration::from_secs(24 * 3600);

/// The environments of a spawner of other hosts.
pub(crate) struct RemoteEnvironments {
    /// The name of the spawner.
    spawner: &'static str,
    setup: Arc<Setup>,
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

impl RemoteEnvironments {
    /// The environments of this spawner, whose helpers have this lease: the value of the setting
    /// `spawner.NAME.lease`.
    ///
    /// # Errors
    /// The lease is too short or too long.
    pub(crate) fn new(
        spawner: &'static str,
        lease: Duration,
        inputs: SpawnerInputs<'_>,
    ) -> Result<Self, SpawnError> {
        if !(MIN_LEASE..=MAX_LEASE).contains(&lease) {
            return Err(SpawnError::Invalid(format!(
                "the setting `spawner.{spawner}.lease` is {} s: expected a time from 1 s to a day",
                lease.as_secs_f64()
            )));
        }
        let (closing, is_closing) = watch::channel(false);
        Ok(Self {
            spawner,
            setup: Arc::new(Setup::new(inputs.helper, lease, is_closing)),
            project: inputs.directory,
            shared: inputs.shared,
            files: OnceCell::new(),
            prepared: Mutex::default(),
            made: AtomicUsize::new(0),
            closing,
        })
    }

    /// What the connections share.
    pub(crate) fn setup(&self) -> &Arc<Setup> {
        &self.setup
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

    /// Opens an environment for a slot, over the connection to the slot's host.
    pub(crate) async fn open(&self, slot: usize, link: &Link) -> Result<Environment, SpawnError> {
        if let Some(environment) = self.take_prepared(slot) {
            return Ok(environment);
        }
        let files = self.files().await?;
        let connection = link.connected().await?;
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let marker = random().map_err(|error| link.failure(&error.to_string()))?;
        let launch = Launch {
            name: format!("{}/{}/{slot}", self.spawner, link.host()).into(),
            work: Path::new(connection.directory()).join(number.to_string()),
            variables: None,
            isolation: Isolation::default(),
            private: None,
            cgroups: None,
            remote: Some(Remote {
                marker: bootstrap::marker(&marker),
                lease: Lease::new(self.setup.lease),
                host: link.host().into(),
                ask_lost: link.ask_lost(),
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

    /// Opens an environment for each of these slots, which are on different connections.
    pub(crate) async fn prepare(&self, slots: Vec<(usize, Arc<Link>)>) -> Result<(), SpawnError> {
        let opened = slots.into_iter().map(|(slot, link)| async move {
            let environment = self.open(slot, &link).await?;
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

    /// Ends the waiting for hosts.
    pub(crate) fn end_waiting(&self) {
        self.closing.send_replace(true);
    }

    /// Ends the waiting for hosts, closes the environments that no slot has taken, and then these
    /// connections.
    pub(crate) async fn close(&self, links: Vec<Arc<Link>>) {
        self.end_waiting();
        let prepared = {
            let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *prepared)
        };
        join_all(prepared.values().map(Environment::close)).await;
        join_all(links.iter().map(|link| link.close())).await;
    }
}

/// How a limit of a test is kept on another host.
pub(crate) fn limit_means(limit: Limit) -> LimitMeans {
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
