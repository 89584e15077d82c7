//! Owns the environments of other hosts: for each slot a helper on the slot's host, over a kept
//! connection. Does not know how a host is reached.
//!
//! Nothing is installed on the other side: a script receives the helper and runs it (`bootstrap`),
//! once for each connection (`link`). The slots of a host share the connection.
//!
//! Where both sides see the same files, the project and the results of the job, tests use these; a
//! file that only this machine can have written proves it (`proof`). To other hosts the project is
//! sent, and the files of tests are fetched from there, where the spawner allows that.

pub(crate) mod bootstrap;
pub(crate) mod link;
mod proof;

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use persea_config::Sharing;
use persea_helper::protocol::{Bytes, Isolation, Request};
use persea_model::Limit;
use tokio::sync::watch;

use crate::environment::remote_files::RemoteFiles;
use crate::launch::{Launch, Remote};
use crate::lease::Lease;
use crate::limits::{LimitMeans, without_cgroup};
use crate::project::Project;
use crate::project::send::Sent;
use crate::{Environment, SpawnError, SpawnerInputs};
use bootstrap::random;
use link::place::FilesPlace;
use link::{Connection, Link, Setup};
use proof::Proof;

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
    project: Arc<Project>,
    proof: Arc<Proof>,
    /// What users should know of the preparation.
    notices: Mutex<Vec<String>>,
    /// The environments that were opened before their slots needed them.
    prepared: Mutex<HashMap<usize, Environment>>,
    /// The number of work directories so far.
    made: AtomicUsize,
    closing: watch::Sender<bool>,
}

impl RemoteEnvironments {
    /// The environments of this spawner, whose helpers have this lease: the value of the setting
    /// `spawner.NAME.lease`. `sharing` says whether the project is sent to hosts that do not share
    /// the files.
    ///
    /// # Errors
    /// The lease is too short or too long, or a setting about files is wrong.
    pub(crate) fn new(
        spawner: &'static str,
        lease: Duration,
        sharing: Sharing,
        inputs: SpawnerInputs<'_>,
    ) -> Result<Self, SpawnError> {
        if !(MIN_LEASE..=MAX_LEASE).contains(&lease) {
            return Err(SpawnError::Invalid(format!(
                "the setting `spawner.{spawner}.lease` is {} s: expected a time from 1 s to a day",
                lease.as_secs_f64()
            )));
        }
        let (closing, is_closing) = watch::channel(false);
        let SpawnerInputs {
            helper,
            shared,
            directory,
            private,
            cache,
            config,
            ..
        } = inputs;
        Ok(Self {
            spawner,
            setup: Arc::new(Setup::new(helper, lease, is_closing)),
            proof: Arc::new(Proof::new(shared, directory.clone())),
            project: Arc::new(Project::new(directory, &private, cache, sharing, config)?),
            notices: Mutex::default(),
            prepared: Mutex::default(),
            made: AtomicUsize::new(0),
            closing,
        })
    }

    /// What the connections share.
    pub(crate) fn setup(&self) -> &Arc<Setup> {
        &self.setup
    }

    /// Takes what users should know of the preparation.
    pub(crate) fn take_notices(&self) -> Vec<String> {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *notices)
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
        let connection = link.connected().await?;
        let place = connection.files(&self.project, &self.proof).await?;
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
        self.enter(environment, link, &connection, (place, number))
            .await
    }

    /// Makes the project the working directory of an environment, where the host has it. `number`
    /// is that of the environment's work directory.
    async fn enter(
        &self,
        environment: Environment,
        link: &Link,
        connection: &Connection,
        (place, number): (&FilesPlace, usize),
    ) -> Result<Environment, SpawnError> {
        let (environment, directory, shared) = match place {
            FilesPlace::Shared => {
                let shared = self.proof.describe();
                let shared = shared.map_err(|error| link.failure(&error.to_string()))?;
                let directory = self.project.directory.as_os_str().as_bytes();
                (environment, directory.to_vec(), Some(shared))
            }
            FilesPlace::Sent {
                project, common, ..
            } => {
                let files = RemoteFiles {
                    host: link.host().into(),
                    project: project.clone(),
                    origin: self.project.directory.clone(),
                    common: common.clone(),
                    tasks: format!("{}/tasks.{number}", connection.directory()),
                    fetch_limit: self.project.fetch_limit,
                };
                let directory = project.as_bytes().to_vec();
                (environment.with_remote_files(files), directory, None)
            }
        };
        let entered = environment
            .ask("looking at its files", |id| Request::Enter {
                id,
                directory: Bytes(directory),
                shared,
            })
            .await;
        match entered {
            Ok(()) => Ok(environment),
            Err(SpawnError::Request { message, .. }) => {
                environment.close().await;
                Err(link.failure(&format!(
                    "it does not share the files of this host: {message} there; the project and \
                     the directory of results (`--results-dir`) must be the same at the same paths \
                     on both, for example in a home directory on NFS{}",
                    self.instead_of_sharing()
                )))
            }
            Err(error) => {
                environment.close().await;
                Err(link.failure(&error.to_string()))
            }
        }
    }

    /// What a user can do who has no shared files.
    fn instead_of_sharing(&self) -> &'static str {
        match self.spawner {
            "ssh" => "; or let the project be sent, with `files.sharing = \"auto\"`",
            _ => "; only the spawner `ssh` sends the project to hosts that do not share it",
        }
    }

    /// Opens an environment for each of these slots, which are on different connections.
    pub(crate) async fn prepare(&self, slots: Vec<(usize, Arc<Link>)>) -> Result<(), SpawnError> {
        let opened = slots.into_iter().map(|(slot, link)| async move {
            let environment = self.open(slot, &link).await?;
            self.note(&link).await?;
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

    /// Keeps what a user should know of a connection.
    async fn note(&self, link: &Link) -> Result<(), SpawnError> {
        let connection = link.connected().await?;
        let place = connection.files(&self.project, &self.proof).await?;
        if let FilesPlace::Sent { sent, .. } = place {
            let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
            notices.push(words_of(link.host(), sent));
        }
        Ok(())
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

/// What was sent to a host, for people.
fn words_of(host: &str, sent: &Sent) -> String {
    let Sent {
        why,
        files,
        size,
        sent,
        took,
        left_out,
        not_kept,
    } = sent;
    let why = match why.is_empty() {
        true => String::new(),
        false => format!(" ({why} there)"),
    };
    let mut words = format!(
        "host {host}: the project was sent, {files} files of {size} bytes, {sent} of them new, in \
         {:.2} s, and the files of tests are fetched from there{why}",
        took.as_secs_f64()
    );
    if !left_out.is_empty() {
        words += &format!("; left out: {}", left_out.join("; "));
    }
    if let Some(why) = not_kept {
        words += &format!("; the next job has to send everything again: {why}");
    }
    words
}
