//! Owns the spawner of a command and the temporary directories that live as long as it does. Does
//! not know what the spawner starts.

use std::path::{Path, PathBuf};

use super::{Context, Failure, exit};
use persea_config::{Config, UserDirs};
use persea_job::{default_results, results_root};
use persea_model::SpawnerKind;
use persea_spawner::{Descriptor, Spawner, SpawnerInputs, descriptor};
use persea_static_helper::HELPER;
use persea_system::private::{READABLE, create_directory};
use persea_system::temporary::Temporary;
use persea_system::threads;

/// The variable by which a user names the directory that all tests of a job share. The host does
/// not remove that directory.
const COMMON_TMPDIR: &str = "AVOCADO_TESTS_COMMON_TMPDIR";

/// Takes over the signals that end a command. Call it before [`SpawnerSession::new`]: the default
/// action of a signal would leave the session's temporary files.
pub(super) fn listen_to_signals() -> Result<persea_job::Signals, Failure> {
    persea_job::Signals::listen().map_err(|error| {
        let error = miette::miette!("cannot handle signals: {error}");
        Failure::new(exit::JOB_FAIL, error)
    })
}

/// A spawner with its temporary directories.
pub(super) struct SpawnerSession {
    /// The spawner.
    pub(super) spawner: Box<dyn Spawner>,
    /// The directory that all tasks share.
    pub(super) common_dir: PathBuf,
    /// The directories of all temporary files, removed when they are dropped.
    pub(super) temporary: SessionFiles,
}

/// The directories of a session's temporary files.
pub(super) struct SessionFiles {
    own: Temporary,
    /// A second directory, for a spawner of other hosts: beside the directories of jobs, which such
    /// hosts share. Otherwise none.
    shared: Option<Temporary>,
}

impl SessionFiles {
    fn new(spawner: SpawnerKind, config: &Config, dirs: &UserDirs) -> Result<Self, Failure> {
        let own = Temporary::new().map_err(|error| {
            let help = "set TMPDIR to a directory that exists and that you may write to";
            Failure::new(exit::FAIL, miette::miette!(help = help, "{error}"))
        })?;
        let Descriptor {
            is_remote, slots, ..
        } = descriptor(spawner);
        let has_hosts = *is_remote && slots(config).is_some_and(|slots| slots > 0);
        let shared = has_hosts.then(|| {
            let results = results_root(config, dirs);
            // Processes of other hosts start in another directory.
            let results = std::path::absolute(results).map_err(Failure::of)?;
            std::fs::create_dir_all(&results).map_err(Failure::of)?;
            Temporary::new_in(&results).map_err(Failure::of)
        });
        Ok(Self {
            own,
            shared: shared.transpose()?,
        })
    }

    /// The directory of all files that are not for other hosts.
    pub(super) fn own(&self) -> &Path {
        self.own.path()
    }

    /// The directory that every process of the spawner can see.
    pub(super) fn shared(&self) -> &Path {
        self.shared.as_ref().unwrap_or(&self.own).path()
    }
}

impl SpawnerSession {
    /// Sets a spawner up as the configuration says.
    pub(super) async fn new(spawner: SpawnerKind, context: &Context) -> Result<Self, Failure> {
        Self::with(spawner, context, &context.config).await
    }

    /// Sets a spawner up with other settings than those of the context.
    pub(super) async fn with(
        spawner: SpawnerKind,
        context: &Context,
        config: &Config,
    ) -> Result<Self, Failure> {
        threads::reserved().await.map_err(Failure::of)?;
        let temporary = SessionFiles::new(spawner, config, &context.dirs)?;
        let users = std::env::var_os(COMMON_TMPDIR).map(PathBuf::from);
        let common_dir = match users {
            // An isolating spawner shows its tests no other directory that they may write to.
            Some(users) if !spawner.is_isolating() && users.is_dir() => {
                std::path::absolute(users).map_err(Failure::of)?
            }
            _ => {
                let common = temporary.shared().join("common");
                create_directory(&common, READABLE).map_err(Failure::of)?;
                common
            }
        };
        let Context { dirs, .. } = context;
        let own = [&dirs.config, &dirs.state, &dirs.cache]
            .into_iter()
            .cloned();
        let jobs = [default_results(dirs), results_root(config, dirs)];
        let inputs = SpawnerInputs {
            helper: HELPER,
            temporary: temporary.own().to_path_buf(),
            shared: temporary.shared().to_path_buf(),
            directory: std::env::current_dir().map_err(Failure::of)?,
            home: dirs.home.clone(),
            private: own.chain(jobs).collect(),
            config,
        };
        let spawner = (descriptor(spawner).make)(inputs)
            .map_err(|error| Failure::with(exit::JOB_FAIL, error))?;
        Ok(Self {
            spawner,
            common_dir,
            temporary,
        })
    }
}
