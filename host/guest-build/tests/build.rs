//! Real runs of cargo on minimal crates. The end-to-end tests cover the build of plugins.
#![allow(clippy::unwrap_used)]

use persea_guest_build::{Error, Program, build_static, component};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Creates a crate with one program.
fn package(directory: &Path, main: &str) {
    let manifest =
        "[package]\nname = \"tiny\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::create_dir(directory.join("src")).unwrap();
    fs::write(directory.join("Cargo.toml"), manifest).unwrap();
    fs::write(directory.join("src/main.rs"), main).unwrap();
}

fn build(directory: &Path) -> Result<std::path::PathBuf, Error> {
    build_static(&Program {
        manifest: &directory.join("Cargo.toml"),
        package: "tiny",
        profile: "dev",
        target_dir: &directory.join("target"),
    })
}

#[test]
fn static_program_is_built_and_needs_no_loader() {
    let directory = tempfile::tempdir().unwrap();
    package(
        directory.path(),
        "fn main() { println!(\"{}\", cfg!(target_feature = \"crt-static\")) }",
    );
    let program = build(directory.path()).unwrap();
    let output = Command::new(&program).output().unwrap();
    assert_eq!(output.stdout, b"true\n");
    assert!(
        directory.path().join("Cargo.lock").is_file(),
        "a missing lock file is created"
    );
}

#[test]
fn compile_error_is_in_the_message() {
    let directory = tempfile::tempdir().unwrap();
    package(directory.path(), "fn main() { nonsense() }");
    let error = build(directory.path()).unwrap_err().to_string();
    assert!(
        error.starts_with("cargo build ended with exit status: 101:\n"),
        "{error}"
    );
    assert!(error.contains("cannot find function `nonsense`"), "{error}");
}

#[test]
fn lock_file_is_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    package(directory.path(), "fn main() {}");
    fs::write(directory.path().join("Cargo.lock"), "version = 4\n").unwrap();
    let error = build(directory.path()).unwrap_err().to_string();
    assert!(error.contains("--locked"), "{error}");
}

#[test]
fn missing_manifest_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = build(directory.path()).unwrap_err();
    assert!(
        matches!(&error, Error::Read { path, .. } if path.ends_with("Cargo.toml")),
        "{error}"
    );
}

#[test]
fn component_is_unchanged_and_module_without_a_world_becomes_an_empty_one() {
    let nothing = b"\0asm\x0d\0\x01\0".to_vec();
    assert_eq!(component(nothing.clone()), Ok(nothing));
    let empty = component(b"\0asm\x01\0\0\0".to_vec()).unwrap();
    assert!(wasmparser::Parser::is_component(&empty));
    assert!(component(b"\x7fELF".to_vec()).is_err());
}
