//! Owns the check of the order of rooms within a crate. The compiler holds the order of the crates.

use std::path::{Path, PathBuf};

/// The crates that have rooms, with their rooms from the lowest to the highest.
const ROOMS: &[(&str, &[&str])] = &[(
    "job",
    &["input", "plan", "results", "execute", "undo", "dispatch"],
)];

fn host() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(folder).into_iter();
    let files = files.map(|entry| entry.unwrap().into_path());
    files
        .filter(|path| path.extension().is_some_and(|it| it == "rs"))
        .collect()
}

/// The modules at the root of its crate that a source names.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split("crate::").skip(1);
    parts.filter_map(|part| {
        part.split(|c: char| c != '_' && !c.is_alphanumeric())
            .next()
    })
}

#[test]
fn room_imports_only_rooms_below_it() {
    for (name, rooms) in ROOMS {
        let source = host().join(name).join("src");
        let mut imports = 0;
        for file in sources(&source) {
            let inside = file.strip_prefix(&source).unwrap();
            let room = inside.iter().next().unwrap().to_str().unwrap();
            let room = room.trim_end_matches(".rs");
            let Some(height) = rooms.iter().position(|it| *it == room) else {
                assert_eq!(room, "lib", "{} is in no room", file.display());
                continue;
            };
            let text = std::fs::read_to_string(&file).unwrap();
            for import in named(&text) {
                let below = rooms.iter().position(|it| *it == import);
                let is_below = below.is_some_and(|it| it <= height);
                assert!(is_below, "{} imports crate::{import}", file.display());
                imports += 1;
            }
        }
        assert!(imports > 20, "{name} has {imports} imports between rooms");
    }
}

#[test]
fn one_crate_names_wasmtime() {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(host()).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(manifest) = std::fs::read_to_string(folder.join("Cargo.toml")) else {
            continue;
        };
        let manifest: toml::Table = toml::from_str(&manifest).unwrap();
        let dependencies = manifest["dependencies"].as_table();
        if dependencies.is_some_and(|them| them.contains_key("wasmtime")) {
            found.push(folder.file_name().unwrap().to_owned());
        }
    }
    assert_eq!(found, ["plugin"]);
}

#[test]
fn only_the_spawner_starts_processes() {
    // Builds and the helper itself are outside of the host.
    const ELSEWHERE: [&str; 2] = ["helper", "guest-build"];
    // The compiler of strangers' components, which is this program itself.
    const COMPILER: &str = "plugin/src/compile.rs";
    let mut starting = Vec::new();
    for file in sources(&host()) {
        let inside = file.strip_prefix(host()).unwrap();
        let folder = inside.iter().next().unwrap().to_str().unwrap();
        if ELSEWHERE.contains(&folder) || folder == "benches" {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        if text.contains("process::Command") || text.contains("std::process::{") {
            starting.push(inside.to_owned());
        }
    }
    assert!(starting.iter().any(|file| file.starts_with("spawner")));
    starting.retain(|file| !file.starts_with("spawner"));
    assert_eq!(starting, [Path::new(COMPILER)]);
}
