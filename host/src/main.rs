//! The way in from the command line.

fn main() -> std::process::ExitCode {
    persea::cli::main()
}
