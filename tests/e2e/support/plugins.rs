//! Owns the components of third parties: builds those of `tests/plugins` and `tests/hostile/guests`
//! from source, with the SDK as its package has it, writes them into projects and locks them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use persea_guest_build::{Guest, Target, Toolchain, package};

use super::Fixture;

/// A runnable for the runner of `runner-greet`.
pub const GREET: &str = r#"{"kind": "greet", "uri": "World"}"#;

/// Cargo's target directory for all guests, which share their build scripts and macros.
pub fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests")
}

/// The unpacked package of the SDK, as other authors get it: what the package lacks, no plugin here
/// can use.
fn packaged_sdk() -> &'static Path {
    static SDK: OnceLock<PathBuf> = OnceLock::new();
    SDK.get_or_init(|| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-sdk/Cargo.toml");
        let directory = target_dir().join("sdk");
        package(&manifest, &directory).unwrap_or_else(|error| panic!("{error}"));
        let name = concat!("persea-plugin-sdk-", env!("CARGO_PKG_VERSION"));
        let new = tempfile::tempdir_in(&directory).unwrap();
        // Files that are as old as the unpacking, because cargo builds again by age. The left out
        // file changes with each commit.
        let unpacked = Command::new("tar")
            .args(["-xzmf"])
            .arg(directory.join(format!("package/{name}.crate")))
            .arg("--exclude=.cargo_vcs_info.json")
            .arg("-C")
            .arg(new.path())
            .status();
        assert!(unpacked.unwrap().success());
        let (new, current) = (new.path().join(name), directory.join(name));
        let compared = Command::new("diff")
            .arg("-rq")
            .args([&new, &current])
            .output();
        if !compared.unwrap().status.success() {
            let _ = std::fs::remove_dir_all(&current);
            std::fs::rename(new, &current).unwrap();
        }
        current
    })
}

/// Builds packages of workspaces below `tests/plugins`: the components by the packages' names. An
/// empty list of packages is the workspace's own.
pub fn build(target: Target, crates: &[(&str, &[&str])]) -> BTreeMap<String, Vec<u8>> {
    let toolchain = Toolchain::find(target).unwrap_or_else(|error| panic!("{error}"));
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/plugins");
    let mut all = BTreeMap::new();
    for (directory, packages) in crates {
        let built = toolchain.build(&Guest {
            manifest: &plugins.join(directory).join("Cargo.toml"),
            packages,
            profile: "release",
            target_dir: &target_dir(),
            overrides: &[packaged_sdk()],
        });
        for guest in built.unwrap_or_else(|error| panic!("{directory}: {error}")) {
            all.insert(guest.name, guest.component);
        }
    }
    all
}

/// The components that the tests use, by the names of their packages, built once per test run.
pub fn components() -> &'static BTreeMap<String, Vec<u8>> {
    static COMPONENTS: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    COMPONENTS.get_or_init(|| {
        let hostile = [
            "hostile-runner",
            "hostile-resolver",
            "hostile-format",
            "runner-rival",
            "hostile-describe",
            "hostile-requirement",
            "hostile-scheduler",
            "hostile-varianter",
            "hostile-batch",
            "hostile-cases",
            "hostile-pages",
            "hostile-lister",
            "hostile-idle",
            "hostile-program",
            "hostile-report",
            "hostile-roles",
        ];
        let own: &[&str] = &[];
        build(
            Target::Unknown,
            &[
                ("runner-greet", own),
                ("runner-modest", own),
                ("resolver-list", own),
                ("format-csv", own),
                ("lab", own),
                ("requirement-token", own),
                ("suite-script", own),
                ("../../docs/examples/scheduler-depth-first", own),
                ("../../docs/examples/varianter-pairwise", own),
                ("../../docs/examples/suite-component", own),
                ("../hostile/guests", &hostile),
            ],
        )
    })
}

/// A core module as cargo leaves it, before its author packs it into a component.
pub fn core_module() -> Vec<u8> {
    components();
    let path = "wasm32-unknown-unknown/release/runner_greet.wasm";
    std::fs::read(target_dir().join(path)).unwrap()
}

/// Writes components into a directory of the project and locks each with all that it asks for: in
/// the project's lock, or in the user's lock where the directory begins with `..`.
#[track_caller]
pub fn install(fixture: &Fixture, directory: &str, names: &[&str]) {
    for name in names {
        let path = format!("{directory}/{name}.wasm");
        fixture.file(&path, &components()[*name]);
        lock(fixture, &path, &[]);
    }
}

/// A project with components in its directory `plugins`, which no lock binds, and a recipe `r.json`
/// of one greeting.
pub fn with_unlocked(names: &[&str]) -> Fixture {
    let fixture = Fixture::new();
    for name in names {
        fixture.file(&format!("plugins/{name}.wasm"), &components()[*name]);
    }
    fixture.file("r.json", GREET);
    fixture
}

/// Locks a component with all that it asks for.
#[track_caller]
pub fn lock(fixture: &Fixture, path: &str, more: &[&str]) {
    let bytes = std::fs::read(fixture.project().join(path)).unwrap();
    let asks = |power: &str| {
        let import = format!("persea:plugin/{power}@");
        bytes
            .windows(import.len())
            .any(|window| window == import.as_bytes())
    };
    let mut args = vec!["plugin", "add", path];
    // These worlds start no process themselves; the grant says where the tests that they produce
    // may run.
    let produces_tests = ["resolve", "vary", "fulfil", "list-tests"]
        .into_iter()
        .any(asks);
    let grants = [
        (asks("process") || produces_tests, "process=process,sandbox"),
        (asks("workspace"), "workspace=."),
        (asks("fetch"), "fetch=*,file,."),
    ];
    for (_, grant) in grants.into_iter().filter(|(asks, _)| *asks) {
        args.extend(["--grant", grant]);
    }
    if path.starts_with("..") {
        args.push("--user");
    }
    args.extend(more);
    fixture.run(&args).code(0);
}

/// The lock of the project.
pub fn read_lock(fixture: &Fixture) -> toml::Table {
    let text = std::fs::read_to_string(fixture.project().join("persea.lock")).unwrap();
    text.parse().unwrap()
}
