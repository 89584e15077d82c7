//! Owns the list of the spawners: what each one is, what it needs, and how it is made. A new
//! spawner is a variant of [`SpawnerKind`], a file or folder beside this file, and a line here.

use std::path::PathBuf;

use persea_config::Config;
use persea_model::SpawnerKind;

use crate::{SpawnError, Spawner, process, sandbox};

/// The inputs from which a spawner is made.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The helper: a static executable.
    pub helper: &'static [u8],
    /// The directory for files that live only as long as the spawner.
    pub temporary: PathBuf,
    /// The directory in which processes start: the project.
    pub directory: PathBuf,
    /// The user's home directory.
    pub home: PathBuf,
    /// Paths that an isolating spawner hides: the user's own files of Persea, and results of jobs.
    pub private: Vec<PathBuf>,
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
    /// Whether tests in an environment reach the network.
    pub has_network: fn(&Config) -> bool,
    /// Whether each test gets a new environment.
    pub is_fresh: fn(&Config) -> bool,
    /// Checks whether this machine has what the spawner needs.
    pub probe: fn() -> Result<(), SpawnError>,
    /// Makes the spawner.
    pub make: fn(Setup<'_>) -> Result<Box<dyn Spawner>, SpawnError>,
}

/// Returns the description of a spawner.
pub const fn descriptor(kind: SpawnerKind) -> &'static Descriptor {
    match kind {
        SpawnerKind::Process => &process::DESCRIPTOR,
        SpawnerKind::Sandbox => &sandbox::DESCRIPTOR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_has_the_kind_and_all_settings_of_its_spawner() {
        for kind in SpawnerKind::ALL {
            let descriptor = descriptor(kind);
            assert_eq!(descriptor.kind, kind);
            for name in descriptor.settings {
                assert!(name.starts_with(&format!("spawner.{kind}.")), "{name}");
                assert!(persea_config::is_known(name), "{name}");
            }
            let own = format!("spawner.{kind}.");
            let known = persea_config::SETTINGS.iter();
            let known = known.filter(|setting| setting.name.starts_with(&own));
            assert_eq!(known.count(), descriptor.settings.len());
        }
    }
}
