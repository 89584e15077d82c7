//! Owns the spawners of a command and the temporary directories that live as long as they do. Does
//! not know what the spawners start.

use std::path::{Path, PathBuf};

use super::{Context, Failure, exit};
use persea_config::{Config, UserDirs};
use persea_job::{default_results, results_root};
use persea_model::SpawnerKind;
use persea_spawner::{Descriptor, SpawnerInputs, Spawners, descriptor};
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

/// Spawners with their temporary directories.
pub(super) struct SpawnerSession {
    /// The spawners.
    pub(super) spawners: Spawners,
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
    fn new(spawners: &[SpawnerKind], config: &Config, dirs: &UserDirs) -> Result<Self, Failure> {
        let own = Temporary::new().map_err(|error| {
            let help = "set TMPDIR to a directory that exists and that you may write to";
            Failure::new(exit::FAIL, miette::miette!(help = help, "{error}"))
        })?;
        let has_hosts = |kind: &SpawnerKind| {
            let Descriptor {
                is_remote, slots, ..
            } = descriptor(*kind);
            *is_remote && slots(config).is_some_and(|slots| slots > 0)
        };
        let shared = spawners.iter().any(has_hosts).then(|| {
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

    /// The directory of the temporary files that only this machine needs to see.
    pub(super) fn own(&self) -> &Path {
        self.own.path()
    }

    /// The directory that every process without isolation can see.
    pub(super) fn shared(&self) -> &Path {
        self.shared.as_ref().unwrap_or(&self.own).path()
    }
}

impl SpawnerSession {
    /// Sets a spawner up as the configuration says.
    pub(super) async fn new(spawner: SpawnerKind, context: &Context) -> Result<Self, Failure> {
        Self::with(&[spawner], context, &context.config).await
    }

    /// Sets spawners up, at least one, with other settings than those of the context.
    pub(super) async fn with(
        kinds: &[SpawnerKind],
        context: &Context,
        config: &Config,
    ) -> Result<Self, Failure> {
        threads::reserved().await.map_err(Failure::of)?;
        let temporary = SessionFiles::new(kinds, config, &context.dirs)?;
        let users = std::env::var_os(COMMON_TMPDIR).map(PathBuf::from);
        let users = users.filter(|users| users.is_dir());
        let users = users.map(std::path::absolute).transpose();
        let users = users.map_err(Failure::of)?;
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
            cache: dirs.cache.clone(),
            config,
        };
        let mut spawners = Spawners::default();
        for kind in kinds {
            let common = match (kind.is_isolating(), &users) {
                (false, Some(users)) => users.clone(),
                (false, None) => common_in(temporary.shared())?,
                // An isolating spawner shows its tests no other directory that they may write to.
                (true, _) => common_in(temporary.own())?,
            };
            let added = spawners.add(*kind, inputs.clone(), common);
            added.map_err(|error| Failure::with(exit::JOB_FAIL, error))?;
        }
        Ok(Self {
            spawners,
            temporary,
        })
    }
}

/// Makes the directory in another one that all tasks share.
fn common_in(directory: &Path) -> Result<PathBuf, Failure> {
    let common = directory.join("common");
    create_directory(&common, READABLE).map_err(Failure::of)?;
    Ok(common)
}
