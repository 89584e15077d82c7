//! The WebAssembly engine: settings, compiling, the cache of compiled code, and limits.

pub(crate) mod code_cache;
pub mod compile;
pub(crate) mod compiler;
pub(crate) mod componentize;
pub(crate) mod digest;
pub(crate) mod full_names;
pub(crate) mod limits;
pub(crate) mod settings;
