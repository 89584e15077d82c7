//! Finds the version of wasmtime in the lock file: compiled code of another version is not loaded.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let workspace = manifest
        .ancestors()
        .nth(2)
        .ok_or("the crate is not in its workspace")?;
    let lock = workspace.join("Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    let lock = std::fs::read_to_string(lock)?;
    println!(
        "cargo::rustc-env=PERSEA_WASMTIME_VERSION={}",
        wasmtime_version(&lock).ok_or("Cargo.lock does not say the version of wasmtime")?
    );
    Ok(())
}

fn wasmtime_version(lock: &str) -> Option<&str> {
    let (_, after) = lock.split_once("name = \"wasmtime\"\n")?;
    let version = after.lines().next()?;
    version.strip_prefix("version = \"")?.strip_suffix('"')
}
