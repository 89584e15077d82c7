//! Builds the helper as a static program.

use std::error::Error;
use std::path::PathBuf;

use persea_guest_build::{Program, build_static};

fn main() {
    if let Err(error) = build() {
        persea_guest_build::fail(&*error);
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let workspace = manifest
        .ancestors()
        .nth(3)
        .ok_or("the crate is not in its workspace")?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // OUT_DIR is …/target/<profile>/build/<package>/out. The helper has a target directory of its
    // own, because the running cargo has locked this one.
    let target = out
        .ancestors()
        .nth(4)
        .ok_or("OUT_DIR is not in a target directory")?;
    for changed in ["host/helper/src", "host/helper/Cargo.toml", "Cargo.lock"] {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(changed).display()
        );
    }
    let helper = build_static(&Program {
        manifest: &workspace.join("Cargo.toml"),
        package: "persea-helper",
        profile: "helper",
        target_dir: &target.join("helper"),
    })?;
    println!("cargo::rustc-env=PERSEA_HELPER={}", helper.display());
    Ok(())
}
