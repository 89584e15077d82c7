//! Owns the cache of compiled components and the process that compiles them. No content of the
//! cache and no component that is slow or large to compile harms a job.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::plugins::{components, lock};
use crate::support::{Fixture, Ran, assert_stderr, finish};

/// A project with a cache of its own, which other tests do not fill.
struct Case {
    fixture: Fixture,
    cache: PathBuf,
}

impl Case {
    fn new() -> Self {
        let fixture = Fixture::new();
        fixture.file("plugins/format-csv.wasm", &components()["format-csv"]);
        let cache = fixture.root().join("own-cache");
        Self { fixture, cache }
    }

    /// The command of a job that calls built-in plugins and one of the project.
    fn command(&self) -> Command {
        let args = ["run", "--plugin-dir", "plugins", "/bin/true"];
        let mut command = self.fixture.persea(&args);
        command.env("XDG_CACHE_HOME", &self.cache);
        command
    }

    fn start(&self) -> std::process::Child {
        self.command().spawn().unwrap()
    }

    /// Runs a job, in which every plugin works and nothing is reported.
    #[track_caller]
    fn assert_works(&self) {
        let ran = finish(self.start()).code(0);
        assert_eq!(ran.stderr, "", "{ran}");
        let job = self.fixture.job();
        assert_eq!(job.status("/bin/true"), "PASS");
        assert_eq!(job.read("results.csv").lines().count(), 2);
    }

    /// Runs a job with the cached descriptions of plugins and one without. Without them the host
    /// loads every plugin, also those that the job does not call.
    #[track_caller]
    fn assert_works_with_and_without_descriptions(&self) {
        self.assert_works();
        for path in self.entries(".json") {
            std::fs::remove_file(path).unwrap();
        }
        self.assert_works();
    }

    /// The entries of the cache whose names end so, sorted: compiled code (`.cwasm`) with its
    /// checksum (`.sum`) for each plugin, and the descriptions (`.json`) of built-in ones.
    #[track_caller]
    fn entries(&self, ending: &str) -> Vec<PathBuf> {
        let paths = self.files(ending);
        let of_project = usize::from(ending != ".json");
        assert_eq!(paths.len(), loaded_built_in() + of_project, "{paths:?}");
        paths
    }

    /// The files of the cache whose names end so, sorted.
    #[track_caller]
    fn files(&self, ending: &str) -> Vec<PathBuf> {
        let directory = std::fs::read_dir(self.cache.join("persea/compiled")).unwrap();
        let paths = directory.map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> = paths
            .filter(|path| path.to_string_lossy().ends_with(ending))
            .collect();
        paths.sort();
        paths
    }
}

/// The number of built-in plugins that every job loads: all but requirement resolvers.
fn loaded_built_in() -> usize {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let names = std::fs::read_dir(plugins).unwrap().flatten();
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    names
        .filter(|name| !name.starts_with("requirement-"))
        .count()
}

#[test]
fn corrupt_cache_entry_is_recompiled_and_never_run() {
    let case = Case::new();
    case.assert_works();
    let entries = case.entries(".cwasm");
    // The middle of a file is machine code, where only the checksum can notice a change.
    for (number, path) in entries.iter().enumerate() {
        let mut bytes = std::fs::read(path).unwrap();
        let length = bytes.len();
        match number % 4 {
            0 => bytes[length / 2..length / 2 + 4096].fill(0xcc),
            1 => bytes.truncate(length / 2),
            2 => bytes.clear(),
            _ => bytes[length / 3] ^= 1,
        }
        std::fs::write(path, bytes).unwrap();
    }
    case.assert_works_with_and_without_descriptions();
    assert_eq!(case.entries(".cwasm"), entries);
    // Later jobs use the recompiled entries.
    let times = |case: &Case| -> Vec<_> {
        let changed = |path: &PathBuf| path.metadata().unwrap().modified().unwrap();
        case.entries(".cwasm").iter().map(changed).collect()
    };
    let before = times(&case);
    case.assert_works();
    assert_eq!(times(&case), before);
}

#[test]
fn cache_entry_with_another_plugins_code_is_not_loaded() {
    let case = Case::new();
    case.assert_works();
    let entries = case.entries(".cwasm");
    for pair in entries.chunks_exact(2) {
        std::fs::copy(&pair[0], &pair[1]).unwrap();
    }
    case.assert_works_with_and_without_descriptions();
    // Each entry has its own plugin's code again.
    let code: std::collections::HashSet<Vec<u8>> = case
        .entries(".cwasm")
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    assert_eq!(code.len(), entries.len());
}

#[test]
fn cache_entry_writable_by_others_is_not_loaded() {
    let case = Case::new();
    case.assert_works();
    for path in case.entries(".cwasm") {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
    }
    case.assert_works_with_and_without_descriptions();
    for path in case.entries(".cwasm") {
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o022, 0, "{}", path.display());
    }
    // A directory that others may write is not used as a cache.
    let directory = case.cache.join("persea/compiled");
    std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o777)).unwrap();
    let ran = finish(case.start()).code(0);
    assert!(
        ran.stderr
            .contains("must belong to you, and nobody else may write to it"),
        "{ran}"
    );
}

#[test]
fn invalid_cached_description_is_replaced() {
    let case = Case::new();
    case.assert_works();
    let entries = case.entries(".json");
    let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    let good: Vec<String> = entries.iter().map(read).collect();
    let away = case.fixture.root().join("away");
    for (number, path) in entries.iter().enumerate() {
        match number % 6 {
            0 => std::fs::write(path, "").unwrap(),
            1 => std::fs::write(path, r#"{"name":"noop"}"#).unwrap(),
            2 => std::fs::write(path, good[number].clone() + &" ".repeat(1 << 20)).unwrap(),
            3 => std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).unwrap(),
            4 => {
                std::fs::rename(path, &away).unwrap();
                std::os::unix::fs::symlink(&away, path).unwrap();
            }
            _ => {
                std::fs::remove_file(path).unwrap();
                rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).unwrap();
            }
        }
    }
    case.assert_works();
    for (path, text) in entries.iter().zip(good) {
        let meta = path.symlink_metadata().unwrap();
        assert!(meta.is_file(), "{}", path.display());
        assert_eq!(meta.permissions().mode() & 0o022, 0, "{}", path.display());
        assert_eq!(read(path), text);
    }
}

#[test]
fn missing_code_is_compiled_when_the_plugin_is_called() {
    let case = Case::new();
    case.assert_works();
    let entries = case.entries(".cwasm");
    for path in &entries {
        std::fs::remove_file(path).unwrap();
    }
    case.assert_works();
    // The resolvers `pytest`, `bats`, `cpp`, `go-test`, `node-test`, `rust-libtest`,
    // `python-unittest`, `recipe` and `exec-test`, a runner, and four formats. For the other
    // plugins the descriptions sufficed.
    assert_eq!(case.files(".cwasm").len(), 14);
    case.entries(".json");
}

#[test]
fn cache_directory_writable_by_others_is_not_used() {
    let case = Case::new();
    case.assert_works();
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    let persea = case.cache.join("persea");
    for directory in [&persea, &case.cache, &persea.join("plugins")] {
        std::fs::create_dir_all(directory).unwrap();
        set(directory, 0o777);
        let ran = finish(case.start()).code(0);
        let warning = format!(
            "{} must belong to you, and nobody else may write to it",
            directory.display()
        );
        assert_eq!(ran.stderr.matches(&warning).count(), 1, "{ran}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran}");
        set(directory, 0o700);
    }
    case.assert_works();
}

#[test]
fn host_compiles_after_its_executable_was_removed() {
    let case = Case::new();
    let program = case.fixture.root().join("persea");
    std::fs::copy(env!("CARGO_BIN_EXE_persea"), &program).unwrap();
    // The executable is removed before it starts the process that compiles, which runs the same
    // file: as when an update replaces the program during a job.
    let script =
        "exec 9<$0 && rm $0 && exec /proc/self/fd/9 plugin inspect plugins/format-csv.wasm";
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).arg(&program);
    case.fixture.equip(&mut command);
    command.env("XDG_CACHE_HOME", &case.cache);
    let ran = finish(command.spawn().unwrap()).code(0);
    assert!(ran.stdout.contains("result-format"), "{ran}");
    assert!(!program.exists());
}

#[test]
fn concurrent_hosts_share_an_empty_cache() {
    let case = Case::new();
    let started: Vec<_> = (0..4).map(|_| case.start()).collect();
    for child in started {
        let ran: Ran = finish(child).code(0);
        assert_eq!(ran.stderr, "", "{ran}");
    }
    assert_eq!(case.files(".new-"), Vec::<PathBuf>::new());
    assert_eq!(case.entries(".cwasm").len(), case.entries(".sum").len());
    case.assert_works();
}

#[test]
fn job_runs_without_a_usable_cache() {
    let case = Case::new();
    std::fs::write(&case.cache, "a file").unwrap();
    case.assert_works();
}

#[test]
fn compiler_has_its_own_memory_limit() {
    let fixture = Fixture::new();
    fixture.file("p.wasm", &components()["format-csv"]);
    let limit = "plugins.limits.compile_memory_mb=40";
    let cache = fixture.root().join("own-cache");
    let ran = fixture
        .run_with(&["plugin", "add", "p.wasm", "--set", limit], |command| {
            command.env("XDG_CACHE_HOME", cache)
        })
        .code(4);
    let error = "p.wasm has reached its limit on the memory to compile it, 40 MiB: \
                 `plugins.limits.compile_memory_mb` raises it";
    assert_stderr(&ran, &[error]);
    lock(&fixture, "p.wasm", &[]);
    fixture.run(&["run", "/bin/true"]).code(0);
    assert!(fixture.job().0.join("results.csv").exists());
}

#[test]
fn compile_component_is_refused_on_the_command_line() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["compile-component"]).code(1);
    assert_eq!(
        ran.stderr,
        "`compile-component` is only for this program itself\n"
    );
}

#[test]
fn environment_variables_of_libraries_change_nothing() {
    for (name, value) in [
        ("WASMTIME_BACKTRACE_DETAILS", "1"),
        ("WASMTIME_BACKTRACE_DETAILS", "0"),
        ("TOKIO_WORKER_THREADS", "0"),
        ("RUST_MIN_STACK", "16384"),
        ("RAYON_NUM_THREADS", "1"),
        ("MIMALLOC_VERBOSE", "1"),
        ("mimalloc_show_stats", "1"),
        ("MIMALLOC_ARENA_RESERVE", "no number"),
    ] {
        // A cold cache is filled with the variable set, a warm one was filled without it.
        for is_warm in [false, true] {
            let case = Case::new();
            let compiled = is_warm.then(|| {
                case.assert_works();
                case.entries(".cwasm")
            });
            let ran = finish(case.command().env(name, value).spawn().unwrap()).code(0);
            assert_eq!(ran.stderr, "", "{name}={value}: {ran}");
            assert_eq!(case.fixture.job().read("results.csv").lines().count(), 2);
            if let Some(compiled) = compiled {
                assert_eq!(case.entries(".cwasm"), compiled, "{name}={value}");
            }
        }
    }
}

#[test]
fn variable_of_the_allocator_reaches_tests_and_not_the_host() {
    let fixture = Fixture::new();
    fixture.script("show.sh", "echo $MIMALLOC_VERBOSE$MIMALLOC_SHOW_STATS");
    let ran = fixture
        .run_with(&["run", "./show.sh"], |command| {
            command
                .env("MIMALLOC_VERBOSE", "1")
                .env("MIMALLOC_SHOW_STATS", "1")
        })
        .code(0);
    assert_eq!(ran.stderr, "");
    assert_eq!(fixture.job().artifact("./show.sh", "stdout"), "11\n");
}
