//! Owns the spawner of a command and the temporary directories that live as long as it does. Does
//! not know what the spawner starts.

use std::path::PathBuf;

use super::{Context, Failure, exit};
use persea_model::SpawnerKind;
use persea_spawner::{Spawner, SpawnerInputs, descriptor};
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
    /// The directory of all temporary files, removed when it is dropped.
    pub(super) temporary: Temporary,
}

impl SpawnerSession {
    /// Sets a spawner up as the configuration says.
    pub(super) async fn new(spawner: SpawnerKind, context: &Context) -> Result<Self, Failure> {
        threads::reserved().await.map_err(Failure::of)?;
        let temporary = Temporary::new().map_err(|error| {
            let help = "set TMPDIR to a directory that exists and that you may write to";
            Failure::new(exit::FAIL, miette::miette!(help = help, "{error}"))
        })?;
        let users = std::env::var_os(COMMON_TMPDIR).map(PathBuf::from);
        let common_dir = match users {
            // An isolating spawner shows its tests no other directory that they may write to.
            Some(users) if !spawner.is_isolating() && users.is_dir() => {
                std::path::absolute(users).map_err(Failure::of)?
            }
            _ => {
                let common = temporary.path().join("common");
                create_directory(&common, READABLE).map_err(Failure::of)?;
                common
            }
        };
        let Context { config, dirs, .. } = context;
        let own = [&dirs.config, &dirs.state, &dirs.cache]
            .into_iter()
            .cloned();
        let jobs = [
            persea_job::default_results(dirs),
            persea_job::results_root(config, dirs),
        ];
        let inputs = SpawnerInputs {
            helper: HELPER,
            temporary: temporary.path().to_path_buf(),
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
