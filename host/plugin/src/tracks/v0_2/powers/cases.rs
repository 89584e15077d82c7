//! The interface `cases` of the track 0.2.

use wasmtime::component::{HasSelf, Linker};

use self::bindings::persea::plugin::cases as wit;
use crate::contract::data::FinishedCase;
use crate::instance::state::InstanceState;
use crate::tracks::v0_2::bindings::import_bindings;
use crate::tracks::v0_2::bindings::types::Error;
use crate::tracks::v0_2::convert::{attributes, status};

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/cases@0.2.0;
    }",
    { default: trappable }
);

/// Adds the interface to the linker of a component.
pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl From<wit::Finished> for FinishedCase {
    fn from(finished: wit::Finished) -> Self {
        Self {
            path: finished.path,
            status: status(finished.status),
            duration: finished.duration,
            reason: finished.reason,
            more: attributes(finished.more),
        }
    }
}

impl wit::Host for InstanceState {
    fn start(&mut self, path: Vec<String>) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.start_case(path).map_err(Into::into))
    }

    fn finish(&mut self, cases: Vec<wit::Finished>) -> wasmtime::Result<Result<(), Error>> {
        let cases = cases.into_iter().map(FinishedCase::from);
        Ok(self.finish_cases(cases).map_err(Into::into))
    }
}
