//! Owns the program `persea`: its command line, the plugins embedded in it, and its allocator. The work is done in the
//! crates beside it.

#![deny(unsafe_code)]

mod cli;

/// A task makes and frees hundreds of small values on whatever thread runs it. glibc's allocator would return each such heap to
/// the system and fetch it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
