#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use crate::instance::wasi::DIRECTORIES;
use crate::powers::{fetch, workspace};
use crate::tracks::v0_2;
use proptest::prelude::*;

fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let mut wat = String::from("(component");
    for import in imports {
        wat.push_str(&format!("(import \"{import}\" (instance))"));
    }
    for export in exports {
        wat.push_str(&format!("(instance (export \"{export}\"))"));
    }
    wat.push(')');
    wat::parse_str(&wat).unwrap()
}

fn read(imports: &[&str], exports: &[&str]) -> Result<Manifest, String> {
    Manifest::read("p.wasm", &component(imports, exports)).map_err(|error| error.to_string())
}

#[test]
fn imports_are_the_powers_of_a_component() {
    let manifest = read(
        &[
            "persea:plugin/types@0.2.0",
            "persea:plugin/process@0.2.0",
            "persea:plugin/log@0.2.0",
        ],
        &["persea:plugin/plugin@0.2.0", "persea:plugin/run@0.2.0"],
    )
    .unwrap();
    assert_eq!(manifest.worlds(), [World::Runner]);
    let names: Vec<&str> = manifest.powers.iter().map(|power| power.name).collect();
    assert_eq!(names, ["process", "log"]);
    assert!(!manifest.imports_wasi);
}

#[test]
fn component_of_several_roles_asks_for_what_any_of_them_offers() {
    let imports = [
        "persea:plugin/process@0.2.0",
        "persea:plugin/workspace@0.2.0",
    ];
    let exports = [
        "persea:plugin/plugin@0.2.0",
        "persea:plugin/run@0.2.0",
        "persea:plugin/run-batch@0.2.0",
        "persea:plugin/resolve@0.2.0",
        "persea:plugin/teleport@0.2.0",
    ];
    let manifest = read(&imports, &exports).unwrap();
    assert_eq!(
        manifest.exported,
        [Role::Resolver, Role::Runner, Role::BatchRunner]
    );
    assert_eq!(manifest.worlds(), [World::Resolver, World::Runner]);
    assert_eq!(manifest.words(), "a resolver and a runner");
    assert_eq!(manifest.powers.len(), 2);
    let refused = read(&["persea:plugin/fetch@0.2.0"], &exports).unwrap_err();
    assert!(
        refused.contains("which a resolver and a runner does not get"),
        "{refused}"
    );
}

#[test]
fn resolver_that_imports_processes_is_refused() {
    let error = read(
        &["persea:plugin/process@0.2.0"],
        &["persea:plugin/plugin@0.2.0", "persea:plugin/resolve@0.2.0"],
    )
    .unwrap_err();
    assert_eq!(
        error,
        "p.wasm asks for `persea:plugin/process@0.2.0`, which a resolver does not get: it can \
         ask for `log`, `pages`, `workspace`"
    );
}

#[test]
fn newer_version_of_the_track_is_read() {
    for version in ["0.2.0", "0.2.7", "0.2"] {
        let log = format!("persea:plugin/log@{version}");
        let run = format!("persea:plugin/run@{version}");
        let manifest = read(&[&log], &["persea:plugin/plugin@0.2.0", &run]).unwrap();
        assert_eq!(manifest.least, Version::new(0, 2, 0));
    }
}

#[test]
fn interface_of_a_newer_version_is_named_with_both_versions() {
    let exports = ["persea:plugin/plugin@0.2.3", "persea:plugin/run@0.2.3"];
    let error = read(&["persea:plugin/teleport@0.2.3"], &exports).unwrap_err();
    assert_eq!(
        error,
        "p.wasm needs `persea:plugin/teleport`, which this host does not have: the plugin was \
         built for persea:plugin@0.2.3, and this host offers persea:plugin@0.2.0: use a newer \
         persea"
    );
}

/// A track of a later host, beside the track 0.2.
static MADE_UP: Track = Track {
    newest: Version::new(0, 3, 1),
    interfaces: &[
        ("plugin", Version::new(0, 3, 0)),
        ("run", Version::new(0, 3, 0)),
        ("log", Version::new(0, 3, 1)),
        ("poll", Version::new(0, 3, 2)),
    ],
    link: v0_2::TRACK.link,
    describe: v0_2::TRACK.describe,
    link_part: v0_2::TRACK.link_part,
};

#[test]
fn host_of_two_tracks_reads_components_of_both() {
    static BOTH: [&Track; 2] = [&v0_2::TRACK, &MADE_UP];
    let read = |imports: &[&str], exports: &[&str]| {
        let read = Manifest::read_for(&BOTH, "p.wasm", &component(imports, exports));
        read.map_err(|error| error.to_string())
    };
    let made_up = ["persea:plugin/plugin@0.3.0", "persea:plugin/run@0.3.0"];
    let manifest = read(&["persea:plugin/log@0.3.1"], &made_up).unwrap();
    assert_eq!(manifest.track.newest, MADE_UP.newest);
    assert_eq!(manifest.least, Version::new(0, 3, 1));
    let older = read(
        &["persea:plugin/log@0.2.0"],
        &["persea:plugin/plugin@0.2.0", "persea:plugin/run@0.2.0"],
    );
    assert_eq!(older.unwrap().track.newest, Version::new(0, 2, 0));
    assert_eq!(
        read(&["persea:plugin/poll@0.3.2"], &made_up).unwrap_err(),
        "p.wasm needs `persea:plugin/poll`, which hosts have since 0.3.2, and this host offers \
         persea:plugin@0.3.1: use a newer persea"
    );
    let mixed = read(&["persea:plugin/log@0.2.0"], &made_up).unwrap_err();
    assert!(
        mixed.starts_with("p.wasm needs persea:plugin/log@0.2.0,"),
        "{mixed}"
    );
}

#[test]
fn imports_of_wasi_are_offered_refused_or_too_new() {
    let exports = ["persea:plugin/plugin@0.2.0", "persea:plugin/run@0.2.0"];
    let imports = ["wasi:cli/stdout@0.2.6", "wasi:http/types@0.2.6"];
    let manifest = read(&imports, &exports).unwrap();
    assert!(manifest.imports_wasi);
    assert_eq!(manifest.refused, ["wasi:http/types@0.2.6"]);
    let error = read(&["wasi:cli/stdout@0.3.0"], &exports).unwrap_err();
    assert_eq!(
        error,
        "p.wasm asks for `wasi:cli/stdout@0.3.0`, and this host has WASI 0.2: build the plugin \
         for the target wasm32-wasip2"
    );
}

#[test]
fn incompatible_version_is_refused_with_both_versions() {
    for version in ["0.1.0", "0.3.0", "1.0.0", "0.2.1-rc.1", "0.2.0-rc.1"] {
        let run = format!("persea:plugin/run@{version}");
        let error = read(&[], &["persea:plugin/plugin@0.2.0", &run]).unwrap_err();
        assert!(
            error.contains(&format!(
                "needs {run}, and this host offers persea:plugin@{CONTRACT}"
            )),
            "{error}"
        );
    }
}

#[test]
fn file_that_is_no_plugin_is_refused_with_what_it_is() {
    let error = |bytes: &[u8]| Manifest::read("p.wasm", bytes).unwrap_err().to_string();
    assert!(error(b"").contains("the file is empty"));
    assert!(error(b"#!/bin/sh\n").contains("does not begin as WebAssembly does"));
    assert!(error(&wat::parse_str("(module)").unwrap()).contains("persea plugin pack"));
    let whole = component(
        &["persea:plugin/log@0.2.0"],
        &["persea:plugin/plugin@0.2.0", "persea:plugin/run@0.2.0"],
    );
    assert!(error(&whole[..whole.len() - 3]).contains("broken or cut off"));
    assert!(
        read(&[], &["a:b/c@1.0.0"])
            .unwrap_err()
            .contains("it exports `a:b/c@1.0.0`")
    );
    assert!(read(&[], &[]).unwrap_err().contains("it exports nothing"));
}

#[test]
fn imported_powers_need_grants_and_other_grants_are_removed() {
    let manifest = read(
        &[
            "persea:plugin/log@0.2.0",
            "persea:plugin/process@0.2.0",
            "persea:plugin/fetch@0.2.0",
            "persea:plugin/cache@0.2.0",
        ],
        &["persea:plugin/plugin@0.2.0", "persea:plugin/fulfil@0.2.0"],
    )
    .unwrap();
    assert_eq!(
        manifest.missing(&Grants::default()),
        [&process::POWER, &fetch::POWER]
    );
    let grants = |texts: &[&str]| Grants::parse(texts).unwrap();
    let mut more = grants(&["process", "programs=git", "workspace", "directories=x"]);
    assert_eq!(manifest.missing(&more), [&fetch::POWER]);
    assert_eq!(
        manifest.remove_useless(&mut more),
        [&workspace::DIRECTORIES, &DIRECTORIES]
    );
    assert_eq!(more, grants(&["process", "programs=git"]));
    assert!(manifest.missing(&Grants::of_built_in()).is_empty());
}

/// Generates names of interfaces, of the contract and of others.
fn name() -> impl Strategy<Value = String> {
    let ours = "(types|plugin|run|run-batch|run-program|resolve|fulfil|format|log|process|\
                messages|batch|fetch|cache|pages|poll|report-output|workspace)";
    prop_oneof![
        4 => ours.prop_map(|name| format!("{PACKAGE}{name}@{CONTRACT}")),
        1 => (ours, "@[01]\\.[0-3]\\.[01]")
            .prop_map(|(name, version)| format!("{PACKAGE}{name}{version}")),
        1 => "(wasi:cli/stdout@0\\.2\\.0|a:b/c|[a-z]{1,4})",
    ]
}

fn names() -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set(name(), 0..5).prop_map(Vec::from_iter)
}

proptest! {
    /// Whatever a component imports, a plugin gets only what its world offers, and its exports
    /// decide its world.
    #[test]
    fn manifest_stays_within_the_contract(imports in names(), exports in names()) {
        fn texts(names: &[String]) -> Vec<&str> {
            names.iter().map(String::as_str).collect()
        }
        if let Ok(manifest) = read(&texts(&imports), &texts(&exports)) {
            let worlds = manifest.worlds();
            let mut powers = manifest.powers.iter();
            let is_offered = |power: &&Power| {
                let mut worlds = worlds.iter();
                worlds.any(|world| powers::offered(*world).any(|it| it == *power))
            };
            prop_assert!(powers.all(is_offered));
            let mut roles: Vec<Role> = exports
                .iter()
                .filter_map(|name| Role::exporting(InterfaceName::parse(name)?.interface))
                .collect();
            roles.sort();
            roles.dedup();
            prop_assert!(!roles.is_empty());
            prop_assert_eq!(&manifest.exported, &roles);
            let strange = |name: &&String| {
                !name.starts_with(PACKAGE) && !name.starts_with("wasi:")
            };
            prop_assert_eq!(imports.iter().find(strange), None);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        cut in any::<prop::sample::Index>()
    ) {
        let _ = Manifest::read("p.wasm", &bytes);
        let whole = component(
            &["persea:plugin/log@0.2.0"],
            &["persea:plugin/plugin@0.2.0", "persea:plugin/run@0.2.0"],
        );
        let mut broken = whole[..cut.index(whole.len())].to_vec();
        broken.extend(bytes);
        let _ = Manifest::read("p.wasm", &broken);
    }
}
