//! Builds what is embedded in the host: the plugins, as components, and the helper, as a static program.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use persea_guest_build::{Built, Guest, Program, Target, Toolchain, build_static};
use sha2::{Digest as _, Sha256};

fn main() {
    // Cargo shows what a build script prints only when it fails; one clear text is better than a panic's.
    if let Err(error) = build() {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        for line in text.lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let workspace = manifest
        .parent()
        .ok_or("the crate is not in its workspace")?
        .to_path_buf();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // …/target/<profile>/build/<package>/out; directories of their own, because cargo has locked its own.
    let target = out
        .ancestors()
        .nth(4)
        .ok_or("OUT_DIR is not in a target directory")?
        .to_path_buf();
    for changed in ["plugins", "plugin-sdk", "wit", "host/helper", "Cargo.lock"] {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(changed).display()
        );
    }
    println!("cargo::rerun-if-env-changed=PERSEA_WASM_TOOLCHAIN");

    // `cargo fuzz` sets this. Its targets read texts: they run no plugin and start no process.
    let helper = if std::env::var_os("CARGO_CFG_FUZZING").is_some() {
        table(&out, &[])?;
        let none = out.join("no-helper");
        std::fs::write(&none, "")?;
        none
    } else {
        plugins(&workspace, &target.join("guests"), &out)?;
        build_static(&Program {
            manifest: &workspace.join("Cargo.toml"),
            package: "persea-helper",
            profile: "helper",
            target_dir: &target.join("helper"),
        })?
    };
    println!("cargo::rustc-env=PERSEA_HELPER={}", helper.display());
    println!(
        "cargo::rustc-env=PERSEA_WASMTIME_VERSION={}",
        wasmtime_version(&workspace)?
    );
    Ok(())
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
    })?;
    table(out, &built)
}

/// Writes the plugins, and the source of the table of them that the host has.
fn table(out: &Path, built: &[Built]) -> Result<(), Box<dyn Error>> {
    let mut table = String::from("pub(super) static BUILTINS: &[BuiltIn] = &[\n");
    for plugin in built {
        let path = out.join(format!("{}.wasm", plugin.name));
        std::fs::write(&path, &plugin.component)?;
        let digest: String = Sha256::digest(&plugin.component)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        writeln!(
            table,
            "    BuiltIn {{ name: {:?}, digest: {digest:?}, bytes: include_bytes!({:?}) }},",
            plugin.name,
            path.display().to_string(),
        )?;
    }
    table.push_str("];\n");
    std::fs::write(out.join("builtins.rs"), table)?;
    Ok(())
}

/// The version of wasmtime in the lock file: compiled code of another one is of no use.
fn wasmtime_version(workspace: &Path) -> Result<String, Box<dyn Error>> {
    let lock = std::fs::read_to_string(workspace.join("Cargo.lock"))?;
    let (_, after) = lock
        .split_once("name = \"wasmtime\"\n")
        .ok_or("wasmtime is not in Cargo.lock")?;
    let version = after
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    Ok(version
        .ok_or("wasmtime has no version in Cargo.lock")?
        .to_owned())
}
