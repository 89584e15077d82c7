//! Owns the check of the order of rooms within a crate. The compiler holds the order of the crates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The crates that have rooms, with their rooms from the lowest to the highest.
const ROOMS: &[(&str, &[&str])] = &[
    (
        "job",
        &[
            "input", "plan", "results", "execute", "listing", "undo", "dispatch", "run",
        ],
    ),
    (
        "plugin",
        &[
            "error", "contract", "engine", "instance", "powers", "tracks", "trust", "worlds",
            "find",
        ],
    ),
];

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

/// The modules that a module uses, as paths such as `engine/limits`. `crate::a::b::Item` is the
/// deepest of these modules that there is.
fn used(module: &str, text: &str, modules: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    // The file of a room uses the modules that it declares.
    if !module.contains('/') {
        let declared = text
            .lines()
            .filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'));
        used.extend(declared.map(|name| format!("{module}/{name}")));
    }
    let parent = module.rsplit_once('/').map_or("", |(parent, _)| parent);
    let absolute = text.split("crate::").skip(1).map(|rest| ("", rest));
    let relative = text.split("super::").skip(1).map(|rest| (parent, rest));
    for (start, rest) in absolute.chain(relative) {
        let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let path: String = rest.chars().take_while(|&c| is_path(c)).collect();
        let path = format!("{start}/{}", path.replace("::", "/"));
        let mut path = path.trim_matches('/');
        while !modules.contains_key(path)
            && let Some((outer, _)) = path.rsplit_once('/')
        {
            path = outer;
        }
        if modules.contains_key(path) && path != module {
            used.insert(path.to_owned());
        }
    }
    used
}

/// The crates of the host, by the names of their folders.
fn crates() -> Vec<String> {
    let folders = std::fs::read_dir(host()).unwrap();
    let crates = folders.map(|entry| entry.unwrap());
    let crates = crates.filter(|entry| entry.path().join("src/lib.rs").exists());
    let names = crates.map(|entry| entry.file_name().into_string().unwrap());
    let names: Vec<String> = names.collect();
    assert!(names.len() > 10, "the crates of the host: {names:?}");
    names
}

/// The modules of a crate, with the modules that each uses outside of its tests.
fn imports(name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let source = host().join(name).join("src");
    let mut modules = BTreeMap::new();
    for file in sources(&source) {
        let module = file.strip_prefix(&source).unwrap().with_extension("");
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
        modules.insert(module.to_str().unwrap().to_owned(), code);
    }
    modules.remove("lib");
    let graph = modules.iter().map(|(module, text)| {
        let mut used = used(module, text, &modules);
        // A room may declare a module of tests, or one within its file.
        used.retain(|used| modules.contains_key(used));
        (module.clone(), used)
    });
    graph.collect()
}

/// The modules that a module uses, directly or by others.
fn reachable<'a>(graph: &'a BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = graph[from].iter().map(String::as_str).collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(graph[module].iter().map(String::as_str));
        }
    }
    reached
}

#[test]
fn page_of_layers_has_a_row_for_every_crate() {
    let page = std::fs::read_to_string(host().join("../docs/design/layers.md")).unwrap();
    for name in crates() {
        let folder = format!("| `host/{name}/` |");
        assert!(
            page.contains(&folder),
            "docs/design/layers.md has no row with {folder}"
        );
    }
}

#[test]
fn imports_within_a_crate_go_in_no_circle_of_three() {
    let mut count = 0;
    for name in &crates() {
        let mut graph = imports(name);
        count += graph.values().map(BTreeSet::len).sum::<usize>();
        // A module and the modules below it are one: they share what is private.
        for (module, used) in &mut graph {
            used.retain(|used| !module.starts_with(&format!("{used}/")));
        }
        for module in graph.keys() {
            let circle: Vec<&str> = reachable(&graph, module)
                .into_iter()
                .filter(|other| reachable(&graph, other).contains(&**module))
                .collect();
            assert!(
                circle.len() < 3,
                "these modules of {name} use each other: {circle:?}"
            );
        }
    }
    assert!(count > 500, "{count} imports between modules");
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
    const COMPILER: &str = "plugin/src/engine/compile.rs";
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
