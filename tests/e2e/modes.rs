//! Owns the modes of what the host makes: under no umask can other users write to any of it, and
//! they enter only what they may read.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::plugins::components;
use crate::support::recipes::{logged_test, noop};
use crate::support::{Fixture, Ran, finish, signal, wait_until, wrapped};

/// A project whose host has a umask, and a cache of its own.
struct Case {
    fixture: Fixture,
    umask: u32,
}

impl Case {
    fn new(umask: u32) -> Self {
        let fixture = Fixture::new();
        Self { fixture, umask }
    }

    fn persea(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.fixture.persea(args);
        command.env("XDG_CACHE_HOME", self.fixture.root().join("cache"));
        let script = format!("umask {:03o}; exec \"$@\"", self.umask);
        wrapped(&["sh", "-c", &script, "sh"], &command)
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Ran {
        finish(self.persea(args).spawn().unwrap()).code(0)
    }

    /// The permissions of a path below the root of the fixture.
    #[track_caller]
    fn assert_mode(&self, path: &Path, mode: u32) {
        let meta = path.symlink_metadata();
        let meta = meta.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let found = meta.permissions().mode() & 0o7777;
        let (umask, path) = (self.umask, path.display());
        assert_eq!(found, mode, "{path} has {found:o}; umask {umask:o}");
    }

    /// What the host has made, apart from the project, and other users can reach.
    fn reachable(&self) -> Vec<PathBuf> {
        let all = entries(self.fixture.root()).into_iter();
        all.filter(|path| !path.ends_with("project"))
            .flat_map(|path| reachable(&path))
            .collect()
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(directory).into_iter().flatten();
    all.flatten().map(|entry| entry.path()).collect()
}

/// The path, and all below it that users other than the owner can reach.
fn reachable(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_path_buf()];
    // Temporary files come and go.
    let Ok(meta) = path.symlink_metadata() else {
        return Vec::new();
    };
    if meta.is_dir() && meta.permissions().mode() & 0o011 != 0 {
        found.extend(entries(path).iter().flat_map(|path| reachable(path)));
    }
    found
}

/// No path can be written to by the group or by others.
#[track_caller]
fn assert_not_writable(paths: &[PathBuf]) {
    for path in paths {
        let Ok(meta) = path.symlink_metadata() else {
            continue;
        };
        let mode = meta.permissions().mode();
        assert!(
            meta.is_symlink() || mode & 0o022 == 0,
            "{} has {mode:o}",
            path.display()
        );
    }
}

/// The one entry of a directory whose name begins so.
#[track_caller]
fn one(directory: &Path, prefix: &str) -> PathBuf {
    let begins = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(prefix.as_bytes())
    };
    let mut all: Vec<PathBuf> = entries(directory).into_iter().filter(begins).collect();
    assert_eq!(all.len(), 1, "{prefix} in {}", directory.display());
    all.remove(0)
}

#[test]
fn nobody_else_can_write_to_what_the_host_makes() {
    let needs = json!([{"type": "command", "label": "setup", "setup": "true", "teardown": "true"}]);
    for umask in [0o000, 0o022, 0o077] {
        let case = Case::new(umask);
        let root = case.fixture.root();
        let readable = 0o755 & !umask;
        case.fixture.file("p.wasm", &components()["format-csv"]);
        case.run(&["plugin", "add", "p.wasm"]);
        case.run(&["plugin", "add", "p.wasm", "--user"]);
        case.assert_mode(&case.fixture.project().join("persea.lock"), 0o644 & !umask);
        let config = root.join("home/.config/persea");
        case.assert_mode(&config, 0o700);
        case.assert_mode(&config.join("persea.lock"), 0o644 & !umask);

        let mut waits = logged_test("waits", &needs);
        waits["args"] = json!(["-c", "echo text; echo here >started; exec sleep 1000"]);
        let tests: [Value; 2] = [noop("first"), waits];
        case.fixture.recipe("job.json", &tests);
        let child = case.persea(&["run", "job.json"]).spawn().unwrap();
        case.fixture.wait_for("started");
        let temporary = one(root, "persea-");
        case.assert_mode(&temporary, readable);
        case.assert_mode(&temporary.join("common"), readable);
        let results = root.join("home/persea/job-results");
        case.assert_mode(&results, readable);
        let job = one(&results, "job-");
        case.assert_mode(&job, readable);
        case.assert_mode(&job.join("test-results"), readable);
        case.assert_mode(&one(&job.join("test-results"), "2-waits"), readable);
        case.assert_mode(&job.join("events.jsonl"), 0o644 & !umask);
        case.assert_mode(&root.join("home/.local/state/persea/unreleased"), 0o700);
        assert_not_writable(&case.reachable());
        signal(child.id(), "INT");
        finish(child).code(8);
        case.assert_mode(&root.join("cache/persea"), 0o700);
        case.assert_mode(&root.join("cache/persea/compiled"), 0o700);
        case.assert_mode(&job.join("results.json"), 0o644 & !umask);
        assert_not_writable(&case.reachable());
        assert_not_writable(&entries(&root.join("cache/persea/compiled")));
    }
}

#[test]
fn running_tests_of_sandboxes_are_reachable_only_by_the_owner() {
    for umask in [0o000, 0o022, 0o077] {
        let case = Case::new(umask);
        case.fixture.script("silent.sh", "exit 0");
        case.fixture
            .script("waits.sh", "echo text; exec sleep 1000");
        let args = [
            "run",
            "--spawner",
            "sandbox",
            "--max-parallel-tasks",
            "1",
            "./silent.sh",
            "./waits.sh",
        ];
        let child = case.persea(&args).spawn().unwrap();
        let latest = case.fixture.root().join("home/persea/job-results/latest");
        // A file that the test makes in its project is its sandbox's.
        let running = latest.join(".running");
        wait_until("the output of the test that waits", || {
            let sandboxes = entries(&running).into_iter();
            let outputs = sandboxes.flat_map(|path| entries(&path));
            let outputs: Vec<_> = outputs.map(|path| path.join("stdout")).collect();
            let is_there = |path: &PathBuf| std::fs::read(path).is_ok_and(|it| it == b"text\n");
            match outputs.iter().any(is_there) {
                true => Ok(()),
                false => Err(format!("{outputs:?}")),
            }
        });
        case.assert_mode(&running, 0o700);
        assert_not_writable(&case.reachable());
        signal(child.id(), "INT");
        finish(child).code(8);
        // The first test has left nothing, and so has no directory, whatever the umask.
        let results = case.fixture.job().0.join("test-results");
        let left: Vec<_> = entries(&results)
            .into_iter()
            .filter(|path| !path.ends_with("by-status"))
            .collect();
        assert_eq!(left, [results.join("2-._waits.sh")], "umask {umask:o}");
        case.fixture.assert_no_strays();
    }
}
