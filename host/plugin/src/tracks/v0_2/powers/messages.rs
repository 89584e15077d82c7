//! The interface `messages` of the track 0.2.

use wasmtime::component::{HasSelf, Linker};

use self::bindings::persea::plugin::messages as wit;
use crate::instance::state::InstanceState;
use crate::tracks::v0_2::bindings::import_bindings;
use crate::tracks::v0_2::bindings::types::Error;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/messages@0.2.0;
    }",
    { default: trappable }
);

/// Adds the interface to the linker of a component.
pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl wit::Host for InstanceState {
    fn progress(&mut self, message: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.report_progress(message).map_err(Into::into))
    }

    fn whiteboard(&mut self, text: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.add_to_whiteboard(&text).map_err(Into::into))
    }
}
