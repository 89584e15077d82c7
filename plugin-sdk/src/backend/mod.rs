//! Who answers when a plugin uses a power: the host in a guest, the fakes of `testing` natively. Both sides have the same
//! functions and the types [`Child`] and [`Report`]; the modules of the powers know no other difference.

#[cfg(target_family = "wasm")]
mod wasm;
#[cfg(target_family = "wasm")]
pub(crate) use wasm::*;

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(not(target_family = "wasm"))]
pub(crate) use native::*;
