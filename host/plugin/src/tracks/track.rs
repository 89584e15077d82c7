//! Owns the descriptor of a track: which versions of the contract it has, and what the host does
//! for its components. Does not know which tracks there are.

use std::fmt;
use std::pin::Pin;

use semver::Version;
use wasmtime::Store;
use wasmtime::component::{InstancePre, Linker};

use crate::contract::description::{Description, Part};
use crate::contract::world::Role;
use crate::error::PluginError;
use crate::instance::context::PluginContext;
use crate::instance::state::InstanceState;
use crate::powers::descriptor::Power;
use crate::tracks::linked::LinkedComponent;

/// Adds powers to the linker of a component, in the form of the component's track.
pub(crate) type LinkPowers =
    fn(&mut Linker<InstanceState>, &[&'static Power]) -> wasmtime::Result<()>;

/// The description of a component that is being asked for it.
pub(crate) type Describing<'a> =
    Pin<Box<dyn Future<Output = Result<Description, PluginError>> + Send + 'a>>;

/// Asks a component for its description.
pub(crate) type Describe = for<'a> fn(
    &'a PluginContext,
    Store<InstanceState>,
    InstancePre<InstanceState>,
    &'a [Role],
) -> Describing<'a>;

/// Makes the callable form of a component.
pub(crate) type LinkPart =
    fn(&str, &Part, InstancePre<InstanceState>) -> Result<LinkedComponent, PluginError>;

/// The versions of the contract that are compatible with one another: those with one major version,
/// or from 0.0 to 0.9 those with one minor version. With what the host does for their components.
pub(crate) struct Track {
    /// The newest version that this host has.
    pub(crate) newest: Version,
    /// Each interface with the version that added it.
    pub(crate) interfaces: &'static [(&'static str, Version)],
    /// Adds the powers that a component imports to its linker.
    pub(crate) link: LinkPowers,
    /// Checks the functions that a component exports for these roles, and asks the component for
    /// its description.
    pub(crate) describe: Describe,
    /// Makes the callable form of a component for one of its worlds.
    pub(crate) link_part: LinkPart,
}

impl Track {
    /// Whether a version belongs to the track, also one that is newer than the host's. A prerelease
    /// is compatible with itself only.
    pub(crate) fn has(&self, version: &Version) -> bool {
        let newest = &self.newest;
        version.pre == newest.pre
            && version.major == newest.major
            && (version.major > 0 || version.minor == newest.minor)
    }

    /// Returns the version that added an interface; none for one that this host does not know.
    pub(crate) fn since(&self, interface: &str) -> Option<&'static Version> {
        let mut all = self.interfaces.iter();
        let (_, since) = all.find(|(name, _)| *name == interface)?;
        Some(since)
    }
}

impl fmt::Debug for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Track({})", self.newest)
    }
}
