//! Room 2: the WebAssembly engine: compiling, the cache of compiled code, limits.

pub mod compile;
pub(crate) mod compiled;
pub(crate) mod compiler;
pub(crate) mod limits;
