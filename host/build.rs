//! Builds the built-in plugins as components, and writes the table of them that the program embeds.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use persea_guest_build::{Built, Guest, Target, Toolchain};
use sha2::{Digest as _, Sha256};

fn main() {
    if let Err(error) = build() {
        persea_guest_build::fail(&*error);
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let workspace = manifest
        .parent()
        .ok_or("the crate is not in its workspace")?
        .to_path_buf();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // OUT_DIR is …/target/<profile>/build/<package>/out. The guests have a target directory of
    // their own, because the running cargo has locked this one.
    let target = out
        .ancestors()
        .nth(4)
        .ok_or("OUT_DIR is not in a target directory")?
        .to_path_buf();
    for changed in ["plugins", "plugin-sdk", "wit", "Cargo.lock", "Cargo.toml"] {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(changed).display()
        );
    }
    println!("cargo::rerun-if-env-changed=PERSEA_WASM_TOOLCHAIN");
    plugins(&workspace, &target.join("guests"), &out)
}

/// Every folder of `plugins/` is a plugin.
fn plugins(workspace: &Path, target: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut packages = Vec::new();
    for entry in std::fs::read_dir(workspace.join("plugins"))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            packages.push(format!("persea-{}", entry.file_name().to_string_lossy()));
        }
    }
    packages.sort();
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    let toolchain = Toolchain::find(Target::Unknown)?;
    let built = toolchain.build(&Guest {
        manifest: &workspace.join("Cargo.toml"),
        packages: &names,
        profile: "plugin",
        target_dir: target,
        overrides: &[],
    })?;
    table(out, &built)
}

/// Writes the plugins, and the source of the table of them that the host has.
fn table(out: &Path, built: &[Built]) -> Result<(), Box<dyn Error>> {
    let mut table = String::from(
        "/// The plugins that are embedded in this program.\n\
         static BUILTINS: &[persea_plugin::BuiltIn] = &[\n",
    );
    for plugin in built {
        let path = out.join(format!("{}.wasm", plugin.name));
        std::fs::write(&path, &plugin.component)?;
        let digest: String = Sha256::digest(&plugin.component)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        writeln!(
            table,
            "    persea_plugin::BuiltIn {{ \
             name: {:?}, digest: {digest:?}, bytes: include_bytes!({:?}) }},",
            plugin.name,
            path.display().to_string(),
        )?;
    }
    table.push_str("];\n");
    std::fs::write(out.join("builtins.rs"), table)?;
    Ok(())
}
