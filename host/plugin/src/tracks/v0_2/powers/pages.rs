//! The interface `pages` of the track 0.2.

use wasmtime::component::{HasSelf, Linker};

use self::bindings::persea::plugin::pages as wit;
use crate::instance::state::InstanceState;
use crate::tracks::v0_2::bindings::import_bindings;
use crate::tracks::v0_2::bindings::types::{self, Error};
use crate::tracks::v0_2::convert::all;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/pages@0.2.0;
    }",
    { default: trappable }
);

/// Adds the interface to the linker of a component.
pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl wit::Host for InstanceState {
    fn add_runnables(&mut self, page: Vec<types::Runnable>) -> wasmtime::Result<Result<(), Error>> {
        let added = self.add_runnable_page(all(page));
        Ok(added.map_err(Into::into))
    }

    fn add_variations(
        &mut self,
        page: Vec<types::Variation>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let added = self.add_variation_page(all(page));
        Ok(added.map_err(Into::into))
    }
}
