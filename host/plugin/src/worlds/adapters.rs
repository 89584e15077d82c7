//! Owns the table of the contract's tracks and of what the host does for each: link, ask for the
//! description, call. A further track is one folder of bindings, and one line here; what it answers
//! is converted to the types of the newest track where it comes in.

use std::pin::Pin;

use wasmtime::Store;
use wasmtime::component::InstancePre;

use crate::contract::description::{Description, Part};
use crate::contract::track::{self, Track};
use crate::contract::world::Role;
use crate::error::PluginError;
use crate::instance::context::PluginContext;
use crate::instance::state::InstanceState;
use crate::powers;
use crate::worlds::describe::describe;
use crate::worlds::linked::LinkedComponent;
use crate::worlds::runtime::LinkPowers;

/// The description of a component that is being asked for it.
pub(crate) type Describing<'a> =
    Pin<Box<dyn Future<Output = Result<Description, PluginError>> + Send + 'a>>;

/// What the host does for the components of one track.
pub(crate) struct TrackAdapter {
    track: &'static Track,
    /// Adds the powers that a component imports to its linker.
    pub(crate) link: LinkPowers,
    /// Checks the functions that a component exports for these roles, and asks the component for
    /// its description.
    pub(crate) describe: for<'a> fn(
        &'a PluginContext,
        Store<InstanceState>,
        InstancePre<InstanceState>,
        &'a [Role],
    ) -> Describing<'a>,
    /// Makes the callable form of a component for one of its worlds.
    pub(crate) part:
        fn(&str, &Part, InstancePre<InstanceState>) -> Result<LinkedComponent, PluginError>,
}

/// The adapter of the track 0.2.
static V0_2: TrackAdapter = TrackAdapter {
    track: &track::V0_2,
    link: powers::link,
    describe: |context, store, component, exported| {
        Box::pin(describe(context, store, component, exported))
    },
    part: LinkedComponent::new,
};

/// The adapters of all tracks.
static ADAPTERS: &[&TrackAdapter] = &[&V0_2];

impl TrackAdapter {
    /// Returns the adapter of a track.
    pub(crate) fn of(track: &Track) -> &'static Self {
        // Each track of the host has an adapter, as a test checks.
        Self::find(ADAPTERS, track).unwrap_or(&V0_2)
    }

    fn find(all: &[&'static Self], track: &Track) -> Option<&'static Self> {
        let mut all = all.iter().copied();
        all.find(|adapter| adapter.track.newest == track.newest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use semver::Version;
    use wasmtime::component::{Component, Linker};

    use super::*;
    use crate::contract::track::TRACKS;
    use crate::contract::world::World;

    /// A track of a later host, which would have a folder of its own.
    static TRACK: Track = Track {
        newest: Version::new(0, 3, 1),
        interfaces: &[("plugin", Version::new(0, 3, 0))],
    };

    static V0_3: TrackAdapter = TrackAdapter {
        track: &TRACK,
        link: |_, _| Err(wasmtime::Error::msg("the powers of 0.3")),
        describe: |_, _, _, _| Box::pin(async { Err(refused("described by 0.3".to_owned())) }),
        part: |plugin, part, _| Err(refused(format!("{plugin} is {} by 0.3", part.world.name()))),
    };

    fn refused(message: String) -> PluginError {
        PluginError::Engine { message }
    }

    #[test]
    fn each_track_has_an_adapter() {
        for track in TRACKS {
            assert_eq!(TrackAdapter::of(track).track.newest, track.newest);
        }
    }

    #[test]
    fn component_of_another_track_is_called_by_its_adapter() {
        let both = [&V0_2, &V0_3];
        let found = TrackAdapter::find(&both, &TRACK).unwrap();
        let engine = wasmtime::Engine::default();
        let mut linker = Linker::new(&engine);
        assert!((found.link)(&mut linker, &[]).is_err());
        let empty = wat::parse_str("(component)").unwrap();
        let empty = Component::new(&engine, &empty).unwrap();
        let component = linker.instantiate_pre(&empty).unwrap();
        let part = Part {
            world: World::Runner,
            kinds: Vec::new(),
            more: Default::default(),
            is_program_runner: false,
            batch_kinds: Vec::new(),
        };
        let error = (found.part)("p.wasm", &part, component.clone())
            .err()
            .unwrap();
        assert!(error.to_string().ends_with("p.wasm is runner by 0.3"));
        // The same component has no functions of the track 0.2.
        let older = TrackAdapter::find(&both, &track::V0_2).unwrap();
        let error = (older.part)("p.wasm", &part, component).err().unwrap();
        assert!(
            error
                .to_string()
                .starts_with("p.wasm does not fit its role `runner`")
        );
    }
}
