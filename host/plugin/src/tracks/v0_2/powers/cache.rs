//! The interface `cache` of the track 0.2.

use wasmtime::component::{HasSelf, Linker};

use self::bindings::persea::plugin::cache as wit;
use crate::instance::state::InstanceState;
use crate::tracks::v0_2::bindings::import_bindings;
use crate::tracks::v0_2::bindings::types::Error;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/cache@0.2.0;
    }",
    { default: trappable }
);

/// Adds the interface to the linker of a component.
pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl wit::Host for InstanceState {
    fn get(&mut self, name: String) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let value = self.cache().and_then(|cache| cache.get(&name));
        Ok(value.map_err(Into::into))
    }

    fn put(&mut self, name: String, bytes: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        let put = self.cache().and_then(|cache| cache.put(&name, &bytes));
        Ok(put.map_err(Into::into))
    }
}
