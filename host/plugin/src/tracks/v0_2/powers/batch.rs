//! The interface `batch` of the track 0.2.

use wasmtime::component::{HasSelf, Linker};

use self::bindings::persea::plugin::batch as wit;
use crate::instance::state::InstanceState;
use crate::tracks::v0_2::bindings::import_bindings;
use crate::tracks::v0_2::bindings::types::{self, Error};

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/batch@0.2.0;
    }",
    { default: async | trappable }
);

/// Adds the interface to the linker of a component.
pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl wit::Host for InstanceState {
    async fn take_task(&mut self) -> wasmtime::Result<Result<Option<types::Task>, Error>> {
        let task = self.start_next_task().await;
        Ok(task.map(|task| task.map(Into::into)).map_err(Into::into))
    }

    async fn finish_task(
        &mut self,
        outcome: types::Outcome,
    ) -> wasmtime::Result<Result<(), Error>> {
        let ended = self.end_task(Ok(outcome.into())).await;
        Ok(ended.map_err(Into::into))
    }

    async fn fail_task(&mut self, reason: Error) -> wasmtime::Result<Result<(), Error>> {
        let ended = self.end_task(Err(reason.into())).await;
        Ok(ended.map_err(Into::into))
    }
}
