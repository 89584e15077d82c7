//! Owns what the host has to know about a power, in one place for each. Does not know which powers
//! there are.

use std::fmt;

use crate::contract::world::World;
use crate::instance::grants::Grant;

/// A power: an interface that a plugin imports to act outside of its sandbox. The host reads a
/// component's manifest, checks its grants and describes it to people by this.
pub struct Power {
    /// The interface's name in the contract: `process`.
    pub name: &'static str,
    /// The worlds whose plugins may import the power.
    pub worlds: &'static [World],
    /// What the power lets a plugin do: "start processes where its task runs".
    pub words: &'static str,
    /// The grant without which a plugin that imports the power is not loaded.
    pub grant: Option<&'static Grant>,
    /// Grants that a plugin with the power may have in addition.
    pub(crate) more_grants: &'static [&'static Grant],
}

impl Power {
    /// Returns all grants that a plugin with the power may have.
    pub(crate) fn grants(&self) -> impl Iterator<Item = &'static Grant> {
        self.grant
            .into_iter()
            .chain(self.more_grants.iter().copied())
    }
}

impl PartialEq for Power {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Power {}

impl fmt::Debug for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
