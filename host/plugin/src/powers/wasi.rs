//! WASI as a power: not of the contract, and given to each component that imports it. It is inert
//! but for these grants; `instance` owns what it does.

use wasmtime::component::Linker;
use wasmtime_wasi::p2::add_to_linker_async;

use crate::contract::world::World;
use crate::instance::environment::VARIABLES;
use crate::instance::state::InstanceState;
use crate::instance::wasi::DIRECTORIES;
use crate::powers::descriptor::Power;

pub(crate) static POWER: Power = Power {
    name: "wasi",
    worlds: &World::ALL,
    words: "use WASI, in which there is nothing but what is granted",
    grant: None,
    more_grants: &[&VARIABLES, &DIRECTORIES],
};

/// Adds WASI to the linker of a component.
pub(crate) fn link(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    add_to_linker_async(linker)
}
