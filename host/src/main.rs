//! The way in from the command line.

/// A task makes and frees hundreds of small things on whatever thread runs it; glibc's allocator hands each such heap back
/// to the system and takes it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    persea::cli::main()
}
