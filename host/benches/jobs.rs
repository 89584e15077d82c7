//! Times whole runs of the real binary from outside, in pairs with a bare loop that starts the same
//! programs.
//!
//! `cargo bench -p persea --bench jobs` measures everything; `-- NAME…` only those whose names
//! contain one of the words; `--runs N` takes N runs of each instead of 5. What is printed is the
//! median, with the least and the most.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "jobs/one_task.rs"]
mod one_task;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PERSEA: &str = env!("CARGO_BIN_EXE_persea");

/// One run: how long it took, and the most memory that the host had at once, in KiB.
struct Sample {
    wall: Duration,
    peak: u64,
}

struct Bench {
    dir: tempfile::TempDir,
    runs: usize,
    only: Vec<String>,
}

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (mut runs, mut only) = (5, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--runs" => {
                runs = args
                    .next()
                    .and_then(|n| n.parse().ok())
                    .expect("--runs takes a number")
            }
            word => only.push(word.to_owned()),
        }
    }
    let bench = Bench {
        dir: tempfile::tempdir().unwrap(),
        runs,
        only,
    };
    println!(
        "{:<34} {:>10} {:>10} {:>10}  {:>9}",
        "", "median", "least", "most", "peak RSS"
    );
    bench.start_up();
    for count in [1_000, 10_000] {
        bench.exec_tests(&format!("exec-test: {count}"), count, &["/bin/true"]);
    }
    let prints = ["/bin/echo", "a line"];
    bench.exec_tests("exec-test: 10000 that print", 10_000, &prints);
    for count in [10_000, 100_000, 1_000_000] {
        bench.noops(count);
    }
    bench.cases(100_000);
    bench.listing(50_000);
    bench.graph(100_000);
    bench.requirement(1_000);
    bench.references(10_000);
    bench.sandbox(1_000);
    bench.python(10_000);
    bench.python_files(300, 5_000);
}

impl Bench {
    fn wanted(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn persea(&self, args: &[&str]) -> Sample {
        self.persea_in(self.dir.path(), args)
    }

    fn persea_in(&self, project: &Path, args: &[&str]) -> Sample {
        let home = self.path("home");
        std::fs::create_dir_all(&home).unwrap();
        timed(
            Command::new(PERSEA)
                .args(args)
                .env("HOME", home)
                .env_remove("XDG_CACHE_HOME")
                .current_dir(project),
        )
    }

    /// Runs all alternately, so that a change in the machine's speed affects each equally.
    fn compare(&self, rows: &mut [(&str, &mut dyn FnMut() -> Sample)]) -> Vec<f64> {
        let mut samples: Vec<Vec<Sample>> = rows.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.runs {
            for ((_, run), samples) in rows.iter_mut().zip(&mut samples) {
                samples.push(run());
            }
        }
        rows.iter()
            .zip(samples)
            .map(|((name, _), samples)| show(name, samples))
            .collect()
    }

    fn start_up(&self) {
        if !self.wanted("start-up") {
            return;
        }
        let _ = self.persea(&["run", "/bin/true"]);
        self.compare(&mut [
            ("start-up: run /bin/true", &mut || {
                self.persea(&["run", "/bin/true"])
            }),
            ("start-up: the same, empty cache", &mut || {
                let _ = std::fs::remove_dir_all(self.path("home/.cache"));
                self.persea(&["run", "/bin/true"])
            }),
        ]);
    }

    /// So many times one program, with all reports, beside the bare loop.
    fn exec_tests(&self, name: &str, count: usize, command: &[&str]) {
        if !self.wanted(name) {
            return;
        }
        let (program, args) = (command[0], &command[1..]);
        let runnable = format!(r#"{{"kind":"exec-test","uri":"{program}","args":{args:?}}}"#);
        let recipe = self.recipe(count, &runnable);
        let _ = self.persea(&["run", "/bin/true"]);
        let medians = self.compare(&mut [
            (&format!("{name}, bare loop"), &mut || {
                self.bare_loop(count, program, args)
            }),
            (name, &mut || {
                self.persea(&["run", "--max-parallel-tasks", "2", &recipe])
            }),
        ]);
        per_task(&medians, count);
        println!("    {:.3} times the bare loop", medians[1] / medians[0]);
    }

    fn noops(&self, count: usize) {
        let name = format!("noop: {count}");
        if !self.wanted(&name) {
            return;
        }
        let recipe = self.recipe(count, r#"{"kind":"noop","uri":"noop"}"#);
        let _ = self.persea(&["run", "/bin/true"]);
        let medians = self.compare(&mut [(&name, &mut || {
            self.persea(&["run", "--max-parallel-tasks", "2", &recipe])
        })]);
        per_task(&medians, count);
    }

    /// Tasks that each need two others, in pairs with the same tasks without needs: the difference
    /// is the cost of the graph.
    fn graph(&self, count: usize) {
        let name = format!("graph: {count}");
        if !self.wanted(&name) {
            return;
        }
        let recipe = |file: &str, needs: &dyn Fn(usize) -> String| {
            let runnable = |index: usize| {
                let needs = needs(index);
                format!(r#"{{"kind":"noop","identifier":"t{index}"{needs}}}"#)
            };
            let all: Vec<String> = (0..count).map(runnable).collect();
            let path = self.path(file);
            std::fs::write(&path, format!("[{}]", all.join(",\n"))).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let alone = recipe("alone.json", &|_| String::new());
        let needs = recipe("needs.json", &|index| match index {
            0 | 1 => String::new(),
            _ => format!(r#","needs":["t{}","t{}"]"#, index - 1, index / 2),
        });
        let _ = self.persea(&["run", "/bin/true"]);
        let run = |recipe: &str| self.persea(&["run", "--max-parallel-tasks", "2", recipe]);
        let list = |recipe: &str| self.persea(&["list", "--graph", recipe]);
        let medians = self.compare(&mut [
            (&format!("{name}, listed without edges"), &mut || {
                list(&alone)
            }),
            (&format!("{name}, listed with two each"), &mut || {
                list(&needs)
            }),
            (&format!("{name}, run without edges"), &mut || run(&alone)),
            (&format!("{name}, run with two each"), &mut || run(&needs)),
        ]);
        per_task(&medians, count);
    }

    /// What it costs that all share a requirement, beside meeting that once.
    fn requirement(&self, count: usize) {
        let name = format!("requirement: {count}");
        if !self.wanted(&name) {
            return;
        }
        let runnable =
            |kwargs: &str| format!(r#"{{"kind":"exec-test","uri":"/bin/true"{kwargs}}}"#);
        let needs = concat!(
            r#","kwargs":{"dependencies":[{"type":"command","#,
            r#""setup":"touch up","teardown":"rm up"}]}"#
        );
        let recipe = |file: &str, kwargs: &str, count: usize| {
            let path = self.path(file);
            let all = vec![runnable(kwargs); count].join(",\n");
            std::fs::write(&path, format!("[{all}]")).unwrap();
            file.to_owned()
        };
        let without = recipe("without.json", "", count);
        let with = recipe("with.json", needs, count);
        let once = recipe("once.json", needs, 1);
        let none = recipe("none.json", "", 1);
        let run = |recipe: &str| self.persea(&["run", "--max-parallel-tasks", "2", recipe]);
        let _ = run(&once);
        let medians = self.compare(&mut [
            (&format!("{name}, without"), &mut || run(&without)),
            (&format!("{name}, with one that they share"), &mut || {
                run(&with)
            }),
            ("requirement: one test without", &mut || run(&none)),
            ("requirement: one test with it", &mut || run(&once)),
        ]);
        let meeting = medians[3] - medians[2];
        println!(
            "    {:.3} times the same without, after {:.1} ms for meeting it",
            (medians[1] - meeting) / medians[0],
            meeting
        );
    }

    /// What it costs to run tests in a sandbox, and in one for each.
    fn sandbox(&self, count: usize) {
        let name = format!("sandbox: {count}");
        if !self.wanted(&name) {
            return;
        }
        let recipe = self.recipe(count, r#"{"kind":"exec-test","uri":"/bin/true"}"#);
        let few = self.recipe(100, r#"{"kind":"exec-test","uri":"/bin/true"}"#);
        let _ = self.persea(&["run", "/bin/true"]);
        let run = |recipe: &str, options: &[&str]| {
            let args = ["run", "--max-parallel-tasks", "2", recipe];
            self.persea(&[&args, options].concat())
        };
        let sandbox = ["--spawner", "sandbox"];
        let fresh = ["--set", "spawner.sandbox.fresh=true"];
        let medians = self.compare(&mut [
            (&format!("{name} without"), &mut || run(&recipe, &[])),
            (&name, &mut || run(&recipe, &sandbox)),
            ("sandbox: 100, one for each", &mut || {
                run(&few, &[sandbox, fresh].concat())
            }),
        ]);
        per_task(&medians[..2], count);
        per_task(&medians[2..], 100);
    }

    /// Methods of Python's unittest, in batches and one by one; the latter only a tenth of them.
    fn python(&self, count: usize) {
        let name = format!("python: {count}");
        if !self.wanted(&name) {
            return;
        }
        let module = |file: &str, count: usize| {
            let methods = (0..count).map(|n| format!("    def test_{n}(self): pass\n"));
            let text = "import unittest\nclass T(unittest.TestCase):\n".to_owned();
            let path = self.path(file);
            std::fs::write(&path, text + &methods.collect::<String>()).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (many, few) = (
            module("test_many.py", count),
            module("test_few.py", count / 10),
        );
        let _ = self.persea(&["run", "/bin/true"]);
        let run = |file: &str, batches: &str| {
            self.persea(&["run", "--max-parallel-tasks", "2", "--set", batches, file])
        };
        let medians = self.compare(&mut [
            (&format!("{name}, in batches"), &mut || {
                run(&many, "run.batches=true")
            }),
            ("python: a tenth of them, one by one", &mut || {
                run(&few, "run.batches=false")
            }),
        ]);
        per_task(&medians[..1], count);
        per_task(&medians[1..], count / 10);
        println!("    {:.1} times as fast", medians[1] * 10.0 / medians[0]);
    }

    /// Methods of Python's unittest that are spread over files.
    fn python_files(&self, files: usize, count: usize) {
        let name = format!("python: {count} in {files} files");
        if !self.wanted(&name) {
            return;
        }
        let dir = self.path("python");
        std::fs::create_dir_all(&dir).unwrap();
        for file in 0..files {
            let methods = (file..count).step_by(files);
            let methods = methods.map(|n| format!("    def test_{n}(self): pass\n"));
            let text = "import unittest\nclass T(unittest.TestCase):\n".to_owned();
            let path = dir.join(format!("test_{file}.py"));
            std::fs::write(path, text + &methods.collect::<String>()).unwrap();
        }
        let _ = self.persea(&["run", "/bin/true"]);
        let run = || self.persea(&["run", "--max-parallel-tasks", "2", "python"]);
        let medians = self.compare(&mut [(&name, &mut { run })]);
        per_task(&medians, count);
    }

    fn references(&self, count: usize) {
        let name = format!("references: list {count}");
        if !self.wanted(&name) {
            return;
        }
        let dir = self.path("files");
        std::fs::create_dir_all(&dir).unwrap();
        for index in 0..count {
            let path = dir.join(format!("test-{index:05}.sh"));
            if !path.exists() {
                std::fs::write(&path, "#!/bin/sh\n").unwrap();
                std::fs::set_permissions(
                    &path,
                    std::os::unix::fs::PermissionsExt::from_mode(0o755),
                )
                .unwrap();
            }
        }
        let _ = self.persea(&["run", "/bin/true"]);
        let medians = self.compare(&mut [(&name, &mut || self.persea(&["list", "files"]))]);
        per_task(&medians, count);
    }

    fn recipe(&self, count: usize, runnable: &str) -> String {
        let path = self.path(&format!("recipe-{count}.json"));
        std::fs::write(&path, format!("[{}]", vec![runnable; count].join(",\n"))).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The goal: the same programs on two threads, each with its output in two files, and nothing
    /// else.
    fn bare_loop(&self, count: usize, program: &str, args: &[&str]) -> Sample {
        // A fresh directory, and none is removed before the end: ext4 creates files slowly where
        // many were just removed.
        static RUN: AtomicUsize = AtomicUsize::new(0);
        let out = self.path(&format!("bare-{}", RUN.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir_all(&out).unwrap();
        let next = AtomicUsize::new(0);
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= count {
                            return;
                        }
                        let status = Command::new(program)
                            .args(args)
                            .stdin(Stdio::null())
                            .stdout(File::create(out.join(format!("{index}.out"))).unwrap())
                            .stderr(File::create(out.join(format!("{index}.err"))).unwrap())
                            .status()
                            .unwrap();
                        assert!(status.success());
                    }
                });
            }
        });
        Sample {
            wall: start.elapsed(),
            peak: 0,
        }
    }
}

/// Runs a command to its end and watches its memory.
fn timed(command: &mut Command) -> Sample {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let peak = &AtomicUsize::new(0);
    let (done, watched) = std::sync::mpsc::channel::<()>();
    let ended = std::thread::scope(|scope| {
        scope.spawn(move || {
            while watched
                .recv_timeout(Duration::from_millis(20))
                .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                peak.fetch_max(high_water(Path::new(&status)), Ordering::Relaxed);
            }
        });
        let ended = child.wait().unwrap();
        let wall = start.elapsed();
        drop(done);
        (ended, wall)
    });
    assert!(ended.0.success(), "{command:?} ended with {}", ended.0);
    Sample {
        wall: ended.1,
        peak: peak.load(Ordering::Relaxed) as u64,
    }
}

/// The most memory that a process has had, in KiB.
fn high_water(status: &Path) -> usize {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn show(name: &str, mut samples: Vec<Sample>) -> f64 {
    samples.sort_by_key(|sample| sample.wall);
    let ms = |sample: &Sample| sample.wall.as_secs_f64() * 1e3;
    let median = ms(&samples[samples.len() / 2]);
    let peak = samples.iter().map(|sample| sample.peak).max().unwrap_or(0);
    let peak = if peak == 0 {
        String::new()
    } else {
        format!("{} MiB", peak / 1024)
    };
    println!(
        "{name:<34} {median:>7.1} ms {:>7.1} ms {:>7.1} ms  {peak:>9}",
        ms(&samples[0]),
        ms(&samples[samples.len() - 1]),
    );
    median
}

#[allow(clippy::cast_precision_loss)]
fn per_task(medians: &[f64], count: usize) {
    let each: Vec<String> = medians
        .iter()
        .map(|median| format!("{:.1} µs", median * 1e3 / count as f64))
        .collect();
    println!("    each: {}", each.join(", "));
}
