//! The interface `monotonic-clock` of the track 0.2.

use wasmtime::component::{HasSelf, Linker};

use self::bindings::persea::plugin::monotonic_clock as wit;
use crate::instance::state::InstanceState;
use crate::tracks::v0_2::bindings::import_bindings;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/monotonic-clock@0.2.0;
    }",
    { default: trappable }
);

/// Adds the interface to the linker of a component.
pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl wit::Host for InstanceState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.call_time())
    }

    fn deadline(&mut self) -> wasmtime::Result<Option<u64>> {
        Ok(self.call_deadline())
    }
}
