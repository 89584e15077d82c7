//! A project with a home of its own, in which the binary is run, and what can be asked of a job afterwards.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest that anything may take before a test says that it hangs.
pub const LONG: Duration = Duration::from_secs(60);

/// A variable that every process of one sandbox inherits, so that strays can be found.
const MARK: &str = "PERSEA_TEST_MARK";

/// A project with a home of its own. Compiled plugins are shared by all, because a cold cache is not what is tested.
pub struct Sandbox {
    dir: tempfile::TempDir,
    mark: String,
}

/// How a run of the binary ended.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

/// A job's directory.
pub struct Job(pub PathBuf);

impl Sandbox {
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

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn project(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    /// A file in the project.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.project().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A shell script in the project, ready to be run.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.file(name, format!("#!/bin/sh\n{body}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// The binary, in the project, with nothing of the machine's own settings.
    pub fn persea(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_persea"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PERSEA_") {
                command.env_remove(name);
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

    /// Gives another program what the binary would get: directory, variables and streams.
    pub fn equip<'a>(&self, other: &'a mut Command) -> &'a mut Command {
        let own = self.persea(&[]);
        other
            .current_dir(self.project())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in own.get_envs() {
            match value {
                Some(value) => other.env(name, value),
                None => other.env_remove(name),
            };
        }
        other
    }

    /// Runs the binary to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        finish(self.persea(args).spawn().unwrap())
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

    /// The processes that carry this sandbox's mark, or are started with a path in it, with their command lines.
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
            // A sandbox is started without variables.
            if variables.any(|variable| variable == wanted.as_bytes()) || line.contains(&root) {
                found.push((pid, line));
            }
        }
        found
    }

    /// Nothing that was started here lives on.
    #[track_caller]
    pub fn assert_no_strays(&self) {
        wait_until("all processes have ended", || {
            let left = self.processes();
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        });
    }

    /// Waits until a file of the project is there.
    #[track_caller]
    pub fn wait_for(&self, name: &str) -> String {
        let path = self.project().join(name);
        wait_until(name, || match std::fs::read_to_string(&path) {
            Ok(text) if !text.is_empty() => Ok(text),
            other => Err(format!("{other:?}")),
        })
    }
}

/// Asks again and again until it's so, and fails with the last answer when it takes too long.
#[track_caller]
pub fn wait_until<T>(what: &str, mut is_so: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match is_so() {
            Ok(answer) => return answer,
            Err(state) if start.elapsed() > LONG => panic!("waited {LONG:?} for {what}: {state}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Waits for a child and takes all its output; a child that does not end is killed, and the test fails.
#[track_caller]
pub fn finish(mut child: Child) -> Ran {
    let start = Instant::now();
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let out = std::thread::spawn(move || read(&mut stdout));
    let err = std::thread::spawn(move || read(&mut stderr));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LONG {
            let _ = child.kill();
            panic!("persea hangs: no end after {LONG:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let took = start.elapsed();
    Ran {
        code: status.code(),
        stdout: out.join().unwrap(),
        stderr: err.join().unwrap(),
        took,
    }
}

fn read(from: &mut impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Ran {
    /// The exit code is this; otherwise all that was said is shown.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, Some(expected), "\n{self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "--- exit {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

impl Job {
    pub fn read(&self, name: &str) -> String {
        let path = self.0.join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Avocado's results.json.
    pub fn results(&self) -> Value {
        serde_json::from_str(&self.read("results.json")).unwrap()
    }

    /// The test with this name in results.json.
    #[track_caller]
    pub fn test(&self, name: &str) -> Value {
        let results = self.results();
        let tests = results["tests"].as_array().unwrap();
        let found = tests.iter().find(|test| test["name"] == name);
        found
            .unwrap_or_else(|| panic!("no test {name} in {results:#}"))
            .clone()
    }

    #[track_caller]
    pub fn status(&self, name: &str) -> String {
        self.test(name)["status"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn reason(&self, name: &str) -> String {
        self.test(name)["fail_reason"].as_str().unwrap().to_owned()
    }

    /// A file that a test left.
    #[track_caller]
    pub fn artifact(&self, name: &str, file: &str) -> String {
        let test = self.test(name);
        let path = Path::new(test["logdir"].as_str().unwrap()).join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The ids of the tasks in the order of the plan.
    pub fn ids(&self) -> Vec<String> {
        let events = self.events();
        let planned = events
            .iter()
            .filter(|event| event["event"] == "task-planned");
        planned
            .map(|event| event["task"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The lines of the journal.
    pub fn events(&self) -> Vec<Value> {
        self.read("events.jsonl")
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Sends a signal to a process that a test has started.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success(), "kill -{name} {pid}");
}

/// Reports that a test cannot be run on this machine. In CI (the variable `CI`) everything is there, and this fails.
#[track_caller]
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {why}");
    eprintln!("skipped: {why}");
}

/// What is left to read of a pipe.
pub fn rest(from: &mut impl std::io::Read) -> String {
    let mut text = String::new();
    let _ = from.read_to_string(&mut text);
    text
}
