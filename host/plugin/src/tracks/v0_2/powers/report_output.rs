//! The interface `report-output` of the track 0.2.

use wasmtime::component::{HasSelf, Linker, Resource};

use self::bindings::persea::plugin::report_output as wit;
use crate::instance::state::InstanceState;
use crate::powers::report_output::ReportHandle;
use crate::tracks::v0_2::bindings::import_bindings;
use crate::tracks::v0_2::bindings::types::Error;

import_bindings!(
    "package persea:host;
    world imports {
        import persea:plugin/types@0.2.0;
        import persea:plugin/report-output@0.2.0;
    }",
    { default: trappable },
    "persea:plugin/report-output.report": crate::powers::report_output::ReportHandle
);

/// Adds the interface to the linker of a component.
pub(super) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    wit::add_to_linker::<_, HasSelf<_>>(linker, |state| state)
}

impl wit::Host for InstanceState {
    fn open_report(&mut self) -> wasmtime::Result<Result<Resource<ReportHandle>, Error>> {
        Ok(self.open_report_once()?.map_err(Into::into))
    }
}

impl wit::HostReport for InstanceState {
    fn append(
        &mut self,
        _: Resource<ReportHandle>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.append_to_report(&bytes).map_err(Into::into))
    }

    fn overwrite(
        &mut self,
        _: Resource<ReportHandle>,
        offset: u64,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.overwrite_report(offset, &bytes).map_err(Into::into))
    }

    fn drop(&mut self, report: Resource<ReportHandle>) -> wasmtime::Result<()> {
        self.resources.delete(report)?;
        Ok(())
    }
}
