//! The powers in the track 0.2: for each, the generated interface that its functions convert to and
//! from. Owns which powers the track has. Does not know what a power does.

use wasmtime::component::{HasSelf, Linker};

use crate::instance::state::InstanceState;
use crate::powers;
use crate::powers::descriptor::Power;
use crate::tracks::v0_2::bindings::types;

mod artifact_list;
mod artifacts;
mod batch;
mod cache;
mod cases;
mod fetch;
mod log;
mod messages;
mod monotonic_clock;
mod pages;
mod poll;
pub(crate) mod process;
mod report_output;
#[cfg(test)]
mod tests;
mod workspace;

/// Adds one interface to the linker of a component.
type LinkInterface = fn(&mut Linker<InstanceState>) -> wasmtime::Result<()>;

/// The powers of the track, with the functions that link them.
static LINKED: [(&Power, LinkInterface); 15] = [
    (&powers::log::POWER, log::link),
    (&powers::process::POWER, process::link),
    (&powers::messages::POWER, messages::link),
    (&powers::artifacts::POWER, artifacts::link),
    (&powers::artifact_list::POWER, artifact_list::link),
    (&powers::cases::POWER, cases::link),
    (&powers::poll::POWER, poll::link),
    (&powers::monotonic_clock::POWER, monotonic_clock::link),
    (&powers::pages::POWER, pages::link),
    (&powers::batch::POWER, batch::link),
    (&powers::workspace::POWER, workspace::link),
    (&powers::fetch::POWER, fetch::link),
    (&powers::cache::POWER, cache::link),
    (&powers::report_output::POWER, report_output::link),
    (&powers::wasi::POWER, powers::wasi::link),
];

impl types::Host for InstanceState {}

/// Links the contract's types, and these powers and no others.
pub(super) fn link(
    linker: &mut Linker<InstanceState>,
    wanted: &[&'static Power],
) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    let mut linked = LINKED.iter().filter(|(power, _)| wanted.contains(power));
    linked.try_for_each(|(_, link)| link(linker))
}
