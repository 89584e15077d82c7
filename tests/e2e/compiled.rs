//! The cache of compiled code, and the process that compiles: nothing that lies in the one, and nothing that keeps the other busy, can harm a job.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::plugins::{components, lock};
use crate::support::{Ran, Sandbox, finish};

/// A sandbox whose compiled code is its own.
struct Case {
    sandbox: Sandbox,
    cache: PathBuf,
}

impl Case {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.file("plugins/format-csv.wasm", &components()["format-csv"]);
        let cache = sandbox.root().join("own-cache");
        Self { sandbox, cache }
    }

    fn start(&self) -> std::process::Child {
        let args = ["run", "--plugin-dir", "plugins", "/bin/true"];
        let mut command = self.sandbox.persea(&args);
        command.env("XDG_CACHE_HOME", &self.cache).spawn().unwrap()
    }

    /// A job, in which everything works.
    #[track_caller]
    fn works(&self) {
        let ran = finish(self.start()).code(0);
        assert_eq!(ran.stderr, "", "{ran}");
        let job = self.sandbox.job();
        assert_eq!(job.status("/bin/true"), "PASS");
        assert_eq!(job.read("results.csv").lines().count(), 2);
    }

    /// The same with what plugins say of themselves at hand, and without: then each is loaded, be it called or not.
    #[track_caller]
    fn works_either_way(&self) {
        self.works();
        for path in self.entries(".json") {
            std::fs::remove_file(path).unwrap();
        }
        self.works();
    }

    /// What is kept, by name; there is some.
    #[track_caller]
    fn entries(&self, ending: &str) -> Vec<PathBuf> {
        let paths = self.files(ending);
        assert!(paths.len() > 3, "{paths:?}");
        paths
    }

    /// The files of the cache whose names end so.
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

#[test]
fn corrupt_cache_entry_is_recompiled_and_never_run() {
    let case = Case::new();
    case.works();
    let entries = case.entries(".cwasm");
    assert!(entries.len() > 5, "{entries:?}");
    // In the middle are instructions: nobody but a checksum would see this.
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
    case.works_either_way();
    assert_eq!(case.entries(".cwasm"), entries);
    // And what was compiled anew is what is used from then on.
    let times = |case: &Case| -> Vec<_> {
        let changed = |path: &PathBuf| path.metadata().unwrap().modified().unwrap();
        case.entries(".cwasm").iter().map(changed).collect()
    };
    let before = times(&case);
    case.works();
    assert_eq!(times(&case), before);
}

#[test]
fn cache_entry_with_another_plugins_code_is_not_loaded() {
    let case = Case::new();
    case.works();
    let entries = case.entries(".cwasm");
    for pair in entries.chunks_exact(2) {
        std::fs::copy(&pair[0], &pair[1]).unwrap();
    }
    case.works_either_way();
    // Each has its own code again.
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
    case.works();
    for path in case.entries(".cwasm") {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
    }
    case.works_either_way();
    for path in case.entries(".cwasm") {
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o022, 0, "{}", path.display());
    }
    // A directory in which others can put what they like is no cache at all.
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
    case.works();
    let kept = case.entries(".json");
    assert!(kept.len() > 5, "{kept:?}");
    let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    let good: Vec<String> = kept.iter().map(read).collect();
    let away = case.sandbox.root().join("away");
    for (number, path) in kept.iter().enumerate() {
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
    case.works();
    for (path, text) in kept.iter().zip(good) {
        let meta = path.symlink_metadata().unwrap();
        assert!(meta.is_file(), "{}", path.display());
        assert_eq!(meta.permissions().mode() & 0o022, 0, "{}", path.display());
        assert_eq!(read(path), text);
    }
}

#[test]
fn missing_code_is_compiled_when_the_plugin_is_called() {
    let case = Case::new();
    case.works();
    let entries = case.entries(".cwasm");
    for path in &entries {
        std::fs::remove_file(path).unwrap();
    }
    case.works();
    let called = case.entries(".cwasm").len();
    assert!(called > 3 && called < entries.len(), "{called}");
    // Were they loaded to be asked what they are, their code would be there too.
    assert!(case.entries(".json").len() > 5);
}

#[test]
fn cache_directory_writable_by_others_is_not_used() {
    let case = Case::new();
    case.works();
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    let persea = case.cache.join("persea");
    for open in [&persea, &case.cache, &persea.join("plugins")] {
        std::fs::create_dir_all(open).unwrap();
        set(open, 0o777);
        let ran = finish(case.start()).code(0);
        let says = format!(
            "{} must belong to you, and nobody else may write to it",
            open.display()
        );
        assert_eq!(ran.stderr.matches(&says).count(), 1, "{ran}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran}");
        set(open, 0o700);
    }
    case.works();
}

#[test]
fn host_compiles_after_its_executable_was_removed() {
    let case = Case::new();
    let program = case.sandbox.root().join("persea");
    std::fs::copy(env!("CARGO_BIN_EXE_persea"), &program).unwrap();
    // It runs from a file that is not there any more by the time when it compiles.
    let script =
        "exec 9<$0 && rm $0 && exec /proc/self/fd/9 plugin inspect plugins/format-csv.wasm";
    let own = case.sandbox.persea(&[]);
    let mut command = std::process::Command::new("/bin/sh");
    command.arg("-c").arg(script).arg(&program);
    command.current_dir(case.sandbox.project());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("XDG_CACHE_HOME", &case.cache);
    command.stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
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
    case.works();
}

#[test]
fn job_runs_without_a_usable_cache() {
    let case = Case::new();
    std::fs::write(&case.cache, "a file").unwrap();
    case.works();
}

#[test]
fn compiler_has_its_own_memory_limit() {
    let sandbox = Sandbox::new();
    sandbox.file("p.wasm", &components()["format-csv"]);
    let mut command = sandbox.persea(&[
        "plugin",
        "add",
        "p.wasm",
        "--set",
        "plugins.limits.compile_memory_mb=40",
    ]);
    command.env("XDG_CACHE_HOME", sandbox.root().join("own-cache"));
    let ran = finish(command.spawn().unwrap()).code(4);
    assert!(ran.stderr.contains("p.wasm has reached its limit on the memory to compile it, 40 MiB: `plugins.limits.compile_memory_mb` raises it"), "{ran}");
    lock(&sandbox, "p.wasm", &[]);
    sandbox.run(&["run", "/bin/true"]).code(0);
    assert!(sandbox.job().0.join("results.csv").exists());
}

#[test]
fn compile_component_is_refused_on_the_command_line() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["compile-component"]).code(1);
    assert_eq!(
        ran.stderr,
        "`compile-component` is for this program itself\n"
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
    ] {
        // Compiled under the variable, and taken from a cache that was filled without.
        for is_warm in [false, true] {
            let case = Case::new();
            let compiled = is_warm.then(|| {
                case.works();
                case.entries(".cwasm")
            });
            let args = ["run", "--plugin-dir", "plugins", "/bin/true"];
            let mut command = case.sandbox.persea(&args);
            command.env("XDG_CACHE_HOME", &case.cache).env(name, value);
            let ran = finish(command.spawn().unwrap()).code(0);
            assert_eq!(ran.stderr, "", "{name}={value}: {ran}");
            assert_eq!(case.sandbox.job().read("results.csv").lines().count(), 2);
            if let Some(compiled) = compiled {
                assert_eq!(case.entries(".cwasm"), compiled, "{name}={value}");
            }
        }
    }
}
