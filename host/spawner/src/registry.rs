//! Owns the list of the spawners: what each is, what it needs, and how it is made. A new spawner is a variant of
//! [`SpawnerKind`], a file beside this one, and a line here.

use std::path::PathBuf;

use persea_config::Config;
use persea_model::SpawnerKind;

use super::{SpawnError, Spawner, process, sandbox};

/// What a spawner is made from.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The helper: a static executable.
    pub helper: &'static [u8],
    /// The directory for what lives only as long as the spawner.
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

/// A spawner as a whole.
pub struct Descriptor {
    /// The spawner's name, and whether it isolates.
    pub kind: SpawnerKind,
    /// What the spawner is, in a line.
    pub about: &'static str,
    /// The names of the settings that are the spawner's own.
    pub settings: &'static [&'static str],
    /// Whether environments can be kept as snapshots: requirements are then fulfilled inside.
    pub has_snapshots: bool,
    /// Whether tests in an environment reach the network.
    pub has_network: fn(&Config) -> bool,
    /// Whether each test has an environment for itself.
    pub is_fresh: fn(&Config) -> bool,
    /// Finds out whether this machine has what the spawner needs.
    pub probe: fn() -> Result<(), SpawnError>,
    /// Makes the spawner.
    pub make: fn(Setup<'_>) -> Result<Box<dyn Spawner>, SpawnError>,
}

/// The description of a spawner.
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
    fn descriptors_are_those_of_their_kinds() {
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
