//! Owns the program `persea`: its command line, its embedded plugins and its allocator. The other
//! crates do the work.

#![deny(unsafe_code)]

mod allocator;
mod cli;

fn main() -> std::process::ExitCode {
    allocator::restore_environment();
    cli::main()
}
