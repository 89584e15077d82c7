//! The interface `artifacts` of the track 0.2.

use wasmtime::component::{HasSelf, Linker};

use self::bindings::persea::plugin::artifacts as wit;
use crate::instance::state::InstanceState;
use crate::tracks::v0_2::bindings::import_bindings;
use crate::tracks::v0_2::bindings::types::Error;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/artifacts@0.2.0;
    }",
    { default: async | trappable }
);

/// Adds the interface to the linker of a component.
pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl wit::Host for InstanceState {
    async fn write(&mut self, name: String, bytes: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.write_artifact(&name, &bytes).map_err(Into::into))
    }

    async fn read(
        &mut self,
        task: Option<String>,
        name: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        let read = self
            .read_artifact(task.as_deref(), &name, offset, length)
            .await;
        Ok(read.map_err(Into::into))
    }

    async fn size(
        &mut self,
        task: Option<String>,
        name: String,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let size = self.artifact_size(task.as_deref(), &name).await;
        Ok(size.map_err(Into::into))
    }
}
