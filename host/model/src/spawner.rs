//! Owns the names of the spawners, and which of them isolate. What a spawner does is in the crate
//! `persea-spawner`.

use serde::{Deserialize, Serialize};

/// A spawner: it makes the environments in which processes run.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum SpawnerKind {
    /// This machine as it is.
    #[default]
    Process,
    /// Namespaces of this machine, with a layer over its files.
    Sandbox,
    /// Containers of an engine on this machine: Podman or Docker.
    Container,
    /// Other hosts, over ssh.
    Ssh,
    /// Nodes of a cluster that Slurm manages.
    Slurm,
}

impl SpawnerKind {
    /// All spawners.
    pub const ALL: [Self; 5] = [
        Self::Process,
        Self::Sandbox,
        Self::Container,
        Self::Ssh,
        Self::Slurm,
    ];

    /// All names, for a message that expects one of them.
    pub const EXPECTED: &str = "`process`, `sandbox`, `container`, `ssh` or `slurm`";

    /// The name by which users choose the spawner: lower case letters, digits and hyphens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Sandbox => "sandbox",
            Self::Container => "container",
            Self::Ssh => "ssh",
            Self::Slurm => "slurm",
        }
    }

    /// The spawner with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether the spawner's environments keep the processes in them away from this machine. On
    /// another host that shares the user's files, a process reaches what it reaches here.
    pub const fn is_isolating(self) -> bool {
        match self {
            Self::Process | Self::Ssh | Self::Slurm => false,
            Self::Sandbox | Self::Container => true,
        }
    }

    /// The names of the spawners that isolate.
    pub fn isolating() -> Vec<&'static str> {
        let isolating = Self::ALL.into_iter().filter(|kind| kind.is_isolating());
        isolating.map(Self::name).collect()
    }
}

impl std::fmt::Display for SpawnerKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_messages_and_of_json() {
        let names = SpawnerKind::ALL.map(|kind| format!("`{kind}`"));
        let [others @ .., last] = &names;
        let expected = format!("{} or {last}", others.join(", "));
        assert_eq!(expected, SpawnerKind::EXPECTED);
        for kind in SpawnerKind::ALL {
            assert_eq!(SpawnerKind::parse(kind.name()), Some(kind));
            let json = serde_json::to_value(kind).ok();
            assert_eq!(json, Some(kind.name().into()));
        }
    }
}
