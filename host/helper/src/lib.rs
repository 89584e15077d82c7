//! The helper's protocol, the check of its replies, and what helper and host both need to find and end processes and to empty directories.
//! It must not know tokio, wasmtime or anything of the host.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

/// The first argument that makes the helper's program a guard. What follows is the process number of the host, which has
/// started it, and a command. It ends everything below it when the command has ended or the host has died, which it notices
/// by its standard input: a pipe from there.
pub const GUARD: &str = "guard";

pub mod outstanding;
pub mod protocol;
pub mod sweep;
pub mod tree;
