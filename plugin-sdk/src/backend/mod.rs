//! Owns the choice between the two implementations of the powers: the host's imports in a
//! WebAssembly build, the fakes of `testing` in a native one. Both have the same functions, and the
//! types [`Child`] and [`Report`].

#[cfg(target_family = "wasm")]
mod wasm;
#[cfg(target_family = "wasm")]
pub(crate) use wasm::*;

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(not(target_family = "wasm"))]
pub(crate) use native::*;
