//! The helper's protocol, and what helper and host both need to find and end processes and to empty directories.
//! It must not know tokio, wasmtime or anything of the host.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod protocol;
pub mod sweep;
pub mod tree;
