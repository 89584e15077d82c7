//! Owns the program `persea`: its command line, its embedded plugins and its allocator. The other
//! crates do the work.

#![deny(unsafe_code)]

mod cli;

/// A task allocates and frees hundreds of small values on the thread that runs it. glibc's
/// allocator would return each such heap to the system and request it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
