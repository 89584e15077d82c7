//! Owns the list of the spawners. A new spawner is a variant of [`SpawnerKind`], a file or folder
//! beside this file with its descriptor, and a line here.

use persea_model::SpawnerKind;

use crate::descriptor::Descriptor;
use crate::{container, process, sandbox, slurm, ssh};

/// Returns the description of a spawner.
pub const fn descriptor(kind: SpawnerKind) -> &'static Descriptor {
    match kind {
        SpawnerKind::Process => &process::DESCRIPTOR,
        SpawnerKind::Sandbox => &sandbox::DESCRIPTOR,
        SpawnerKind::Container => &container::DESCRIPTOR,
        SpawnerKind::Ssh => &ssh::DESCRIPTOR,
        SpawnerKind::Slurm => &slurm::DESCRIPTOR,
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
