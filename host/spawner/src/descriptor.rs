//! Owns what a description of a spawner has: what the spawner is, what it needs, and how it is
//! made. Does not know which spawners there are.

use std::path::PathBuf;

use persea_config::Config;
use persea_model::SpawnerKind;

use crate::Spawner;
use crate::error::SpawnError;

/// The inputs from which a spawner is made.
#[derive(Clone, Debug)]
pub struct SpawnerInputs<'a> {
    /// The helper: a static executable.
    pub helper: &'static [u8],
    /// The directory for files that live only as long as the spawner.
    pub temporary: PathBuf,
    /// The directory in which processes start: the project.
    pub directory: PathBuf,
    /// A directory of this job that other hosts see, too, as far as they share the user's files:
    /// the spawner of another host is given one. Otherwise the same as `temporary`.
    pub shared: PathBuf,
    /// The user's home directory.
    pub home: PathBuf,
    /// Paths that an isolating spawner hides, and that are not sent to other hosts: the user's own
    /// files of Persea, and results of jobs.
    pub private: Vec<PathBuf>,
    /// The user's cache directory of Persea.
    pub cache: PathBuf,
    /// The settings.
    pub config: &'a Config,
}

/// The description of a spawner: all that the rest of the host knows about it.
pub struct Descriptor {
    /// The spawner's name, and whether it isolates.
    pub kind: SpawnerKind,
    /// What the spawner is, in one line.
    pub about: &'static str,
    /// The names of the spawner's own settings.
    pub settings: &'static [&'static str],
    /// Whether environments can be kept as snapshots. If so, requirements are fulfilled inside.
    pub has_snapshots: bool,
    /// Whether processes run on other hosts. Such environments can be lost: their helpers have
    /// leases, and a task whose environment was lost gets another attempt.
    pub is_remote: bool,
    /// Whether all environments are on one machine, so that what a requirement changes on it is
    /// there for all tasks.
    pub is_one_machine: fn(&Config) -> bool,
    /// The number of tasks that run at once by default; none for the number of processors.
    pub slots: fn(&Config) -> Option<usize>,
    /// Whether tests in an environment reach the network.
    pub has_network: fn(&Config) -> bool,
    /// Whether each test gets a new environment.
    pub is_fresh: fn(&Config) -> bool,
    /// Makes the spawner.
    pub make: fn(SpawnerInputs<'_>) -> Result<Box<dyn Spawner>, SpawnError>,
}
