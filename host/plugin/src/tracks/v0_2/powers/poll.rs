//! The interface `poll` of the track 0.2.

use wasmtime::component::{HasSelf, Linker, Resource};

use self::bindings::persea::plugin::poll as wit;
use crate::instance::state::InstanceState;
use crate::powers::poll::{Awaited, Pollable};
use crate::powers::process::StartedProcess;
use crate::tracks::v0_2::bindings::import_bindings;
use crate::tracks::v0_2::bindings::types::Error;
use crate::tracks::v0_2::powers::process::stream;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/process@0.2.0;
        import persea:plugin/poll@0.2.0;
    }",
    { default: async | trappable },
    "persea:plugin/process@0.2.0":
        crate::tracks::v0_2::powers::process::bindings::persea::plugin::process,
    "persea:plugin/poll.pollable": crate::powers::poll::Pollable
);

/// Adds the interface to the linker of a component.
pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl From<wit::Interest> for Awaited {
    fn from(interest: wit::Interest) -> Self {
        match interest {
            wit::Interest::Readable(pipe) => Self::Readable(stream(pipe)),
            wit::Interest::Writable => Self::Writable,
            wit::Interest::Ended => Self::Ended,
        }
    }
}

impl wit::Host for InstanceState {
    async fn watch(
        &mut self,
        child: Resource<StartedProcess>,
        interest: wit::Interest,
    ) -> wasmtime::Result<Result<Resource<Pollable>, Error>> {
        let watched = self.watch_child(&child, interest.into())?;
        Ok(watched.map_err(Into::into))
    }

    async fn poll(
        &mut self,
        among: Vec<Resource<Pollable>>,
        timeout: Option<u64>,
    ) -> wasmtime::Result<Result<Vec<u32>, Error>> {
        let polled = self.poll_among(among, timeout).await?;
        Ok(polled.map_err(Into::into))
    }
}

impl wit::HostPollable for InstanceState {
    async fn ready(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<bool> {
        self.is_ready(&pollable).await
    }

    async fn drop(&mut self, pollable: Resource<Pollable>) -> wasmtime::Result<()> {
        self.drop_pollable(pollable)
    }
}
