//! Owns the project as it is sent to hosts that do not share this machine's files: what is sent
//! (`scan`), what is known of contents from earlier jobs (`digests`), and the transfer (`send`).
//! Does not know how another host is reached.

mod digests;
mod scan;
pub(crate) mod send;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use persea_config::{Config, Sharing, settings};
use persea_helper::protocol::project::ProjectEntry;
use tokio::sync::Mutex;

use crate::SpawnError;

/// What is sent of a project.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) entries: Vec<ProjectEntry>,
    /// The size of all files, in bytes.
    pub(crate) size: u64,
    /// What is not sent, for people.
    pub(crate) left_out: Vec<String>,
    /// Identifies the state of each file, by the positions of the entries; none for others.
    states: Vec<Option<scan::FileState>>,
}

/// The project of a job, and the settings about sending it.
#[derive(Debug)]
pub(crate) struct Project {
    /// The absolute path.
    pub(crate) directory: PathBuf,
    pub(crate) sharing: Sharing,
    /// The directory of kept contents on other hosts; none for their own default.
    cache: Option<String>,
    cache_limit: u64,
    /// The most that is fetched for one task, in bytes.
    pub(crate) fetch_limit: u64,
    rules: scan::Rules,
    /// The user's cache directory on this machine.
    own_cache: PathBuf,
    manifest: Mutex<Option<Arc<Manifest>>>,
}

impl Project {
    /// `private` are paths that are never sent: results of jobs, and files of Persea.
    ///
    /// # Errors
    /// A setting is wrong.
    pub(crate) fn new(
        directory: PathBuf,
        private: &[PathBuf],
        own_cache: PathBuf,
        sharing: Sharing,
        config: &Config,
    ) -> Result<Self, SpawnError> {
        let limit = config.get(settings::FILES_MAX_SENT);
        let exclude = config.get(settings::FILES_EXCLUDE);
        let unlimited = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
        Ok(Self {
            rules: scan::Rules::new(&directory, &exclude, private, unlimited(limit))?,
            directory,
            sharing,
            cache: config.get(settings::FILES_CACHE).map(ToOwned::to_owned),
            cache_limit: unlimited(config.get(settings::FILES_MAX_KEPT)),
            fetch_limit: unlimited(config.get(settings::FILES_MAX_FETCHED)),
            own_cache,
            manifest: Mutex::default(),
        })
    }

    /// What is sent. All hosts receive the project in the state of the first call, unless a file
    /// changes before it is sent.
    pub(crate) async fn manifest(&self) -> Result<Arc<Manifest>, SpawnError> {
        let mut manifest = self.manifest.lock().await;
        if let Some(manifest) = &*manifest {
            return Ok(Arc::clone(manifest));
        }
        let rules = self.rules.clone();
        let known = digests::Digests::path(&self.own_cache, &self.directory);
        let scanned = tokio::task::spawn_blocking(move || rules.scan(&known)).await;
        let scanned = scanned.map_err(|_| SpawnError::Closed("the search for files to send"))??;
        Ok(Arc::clone(manifest.insert(Arc::new(scanned))))
    }

    /// Forgets a state of the project in which a file has changed.
    pub(crate) async fn forget(&self, state: &Arc<Manifest>) {
        let mut manifest = self.manifest.lock().await;
        manifest.take_if(|kept| Arc::ptr_eq(kept, state));
    }

    /// The path of an entry on this machine.
    fn path(&self, entry: &ProjectEntry) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        let path: &Path = Path::new(std::ffi::OsStr::from_bytes(&entry.path.0));
        self.directory.join(path)
    }
}
