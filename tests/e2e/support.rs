//! Owns the fixture of every end-to-end test: a project with a home of its own, in which the binary
//! is run. What is beside it: `engine` runs containers, `job` reads results, `process` waits for
//! children, `recipes` builds runnables, `results` compares statuses, `plugins` builds and locks
//! components, `slurm` runs clusters, `ssh` runs servers, `tools` gets programs from registries,
//! `users` runs the binary as somebody else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

pub mod engine;
mod job;
pub mod plugins;
mod process;
pub mod recipes;
pub mod results;
pub mod slurm;
pub mod ssh;
pub mod tools;
pub mod users;

pub use job::{Job, assert_well_formed};
pub use process::{LONG, Ran, assert_stderr, finish, rest, signal, skip, wait_until, wrapped};

/// An environment variable that every process of one project inherits, so that orphans are found.
const MARK: &str = "PERSEA_TEST_MARK";

/// A project with a home of its own. Only the cache of compiled plugins is shared by all projects:
/// a cold one would cost each test seconds.
pub struct Fixture {
    dir: tempfile::TempDir,
    mark: String,
}

impl Fixture {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("project")).unwrap();
        let mark = format!(
            "{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        Self { dir, mark }
    }

    /// The directory that holds the project, its home and its temporary files.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn project(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    /// Writes a file of the project.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.project().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Makes a named pipe in the project.
    pub fn pipe(&self, name: &str) -> PathBuf {
        let path = self.project().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        path
    }

    /// Writes the configuration of the user.
    pub fn user_config(&self, text: &str) -> PathBuf {
        self.file("../home/.config/persea/config.toml", text)
    }

    /// Writes an executable shell script into the project.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.file(name, format!("#!/bin/sh\n{body}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Writes a recipe of these runnables into the project.
    pub fn recipe(&self, name: &str, runnables: &[Value]) -> PathBuf {
        self.file(name, Value::from(runnables).to_string())
    }

    /// The lines of a file that tests append to; none where no test has written it.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.project().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The binary, in the project, without any setting of this machine.
    pub fn persea(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_persea"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PERSEA_") {
                command.env_remove(name);
            }
        }
        // A toolchain of rustup lies in the home of the user who runs the tests.
        for (name, directory) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")] {
            let home = std::env::home_dir().map(|home| home.join(directory));
            if let Some(home) = home.filter(|home| home.exists())
                && std::env::var_os(name).is_none()
            {
                command.env(name, home);
            }
        }
        command
            .args(args)
            .current_dir(self.project())
            .env("HOME", self.dir.path().join("home"))
            .env("TMPDIR", self.dir.path())
            .env(
                "XDG_CACHE_HOME",
                Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"),
            )
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_STATE_HOME")
            .env("NO_COLOR", "1")
            .env(MARK, &self.mark)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The binary started by another program, which takes the command as its last arguments.
    pub fn persea_below(&self, wrapper: &[&str], args: &[&str]) -> Command {
        wrapped(wrapper, &self.persea(args))
    }

    /// Gives another program the directory, variables and streams that the binary gets.
    pub fn equip<'a>(&self, other: &'a mut Command) -> &'a mut Command {
        process::equip_as(other, &self.persea(&[]))
    }

    /// Runs the binary to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        finish(self.persea(args).spawn().unwrap())
    }

    /// Runs the binary to its end after `change` has set a variable or a directory.
    pub fn run_with(
        &self,
        args: &[&str],
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Ran {
        let mut command = self.persea(args);
        finish(change(&mut command).spawn().unwrap())
    }

    /// Runs the binary to its end, and returns its peak of resident memory in MiB.
    pub fn run_with_peak(&self, args: &[&str]) -> (u64, Ran) {
        const PEAK: &str = "import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)";
        let mut command = self.persea_below(&["python3", "-c", PEAK], args);
        let ran = finish(command.spawn().unwrap());
        let mut lines = ran.stderr.lines();
        let peak = lines.find_map(|line| line.strip_prefix("peak "));
        let kib: u64 = peak.unwrap().parse().unwrap();
        (kib >> 10, ran)
    }

    /// The latest job.
    pub fn job(&self) -> Job {
        Job(self
            .dir
            .path()
            .join("home/persea/job-results/latest")
            .canonicalize()
            .expect("a job was run"))
    }

    /// The command failed before it started any job.
    #[track_caller]
    pub fn assert_no_job(&self) {
        assert!(!self.root().join("home/persea").exists());
    }

    /// The live processes of this project with their command lines: those that carry its mark, and
    /// those whose command line has a path in it, because a sandbox starts without variables.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let wanted = format!("{MARK}={}", self.mark);
        let root = format!("{}/", self.root().display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let mut variables = environment.split(|byte| *byte == 0);
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if variables.any(|variable| variable == wanted.as_bytes()) || line.contains(&root) {
                found.push((pid, line));
            }
        }
        found
    }

    /// Every process of this project ends, within the time that anything may take.
    #[track_caller]
    pub fn assert_no_strays(&self) {
        wait_until("all processes have ended", || {
            let alive = self.processes();
            if alive.is_empty() {
                Ok(())
            } else {
                Err(format!("{alive:?}"))
            }
        });
    }

    /// Waits until a file of the project has text, and returns that.
    #[track_caller]
    pub fn wait_for(&self, name: &str) -> String {
        let path = self.project().join(name);
        wait_until(name, || match std::fs::read_to_string(&path) {
            Ok(text) if !text.is_empty() => Ok(text),
            other => Err(format!("{other:?}")),
        })
    }

    /// Waits until a file of the project exists, also an empty one.
    #[track_caller]
    pub fn wait_for_existence(&self, name: &str) {
        let path = self.project().join(name);
        wait_until(name, || match path.exists() {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        });
    }
}
