//! Tests the process spawner with the real helper and real processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod streams;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::*;
use crate::process::ProcessSpawner;
pub(crate) use streams::check_streams;

/// The helper, as the program embeds it.
pub(crate) fn helper() -> &'static [u8] {
    persea_static_helper::HELPER
}

struct Fixture {
    spawner: ProcessSpawner,
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        Fixture {
            spawner: ProcessSpawner::new(helper(), root),
            dir,
        }
    }

    async fn open(&self) -> Environment {
        self.spawner.open(0).await.unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Asserts that no work directory is left.
    fn assert_empty(&self) {
        let left: Vec<_> = std::fs::read_dir(self.path("root")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

pub(crate) fn sh(script: &str) -> Command {
    Command::new("sh", ["-c", script])
}

fn pipes(command: Command) -> Command {
    Command {
        stdin: Input::Pipe,
        stdout: Output::Pipe,
        ..command
    }
}

/// Returns a unique number of seconds to sleep, by which a process is found.
fn mark() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "3700.{}{:03}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Returns the running processes with this text in their command line.
pub(crate) fn with(text: &str) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(text)
        })
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Returns the helper of a process: its parent.
pub(crate) fn helper_of(child: Pid) -> Pid {
    Pid::from_raw(persea_helper::tree::read_process(child).unwrap().parent).unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap()
}

async fn read_all(child: &Child, stream: Stream) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let some = child.read(stream, u32::MAX).await.unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

#[tokio::test]
async fn run_returns_how_the_process_ended() {
    let fixture = Fixture::new();
    let environment = fixture.open().await;
    let (out, err) = (fixture.path("out"), fixture.path("err"));
    let exit = environment
        .run(Command {
            stdout: Output::File(out.clone()),
            stderr: Output::File(err.clone()),
            ..sh("echo out; echo err >&2; exit 3")
        })
        .await
        .unwrap();
    assert_eq!(exit.ending, Ending::Code(3));
    assert_eq!(std::fs::read(out).unwrap(), b"out\n");
    assert_eq!(std::fs::read(err).unwrap(), b"err\n");
    let exit = environment.run(sh("kill -TERM $$")).await.unwrap();
    assert_eq!(exit.ending, Ending::Signal(15));
    assert!(
        environment
            .run(Command::new("true", [""; 0]))
            .await
            .unwrap()
            .is_success()
    );
    assert!(environment.run(pipes(sh(""))).await.unwrap_err().code() == "invalid");
    assert!(Path::new(environment.work_dir()).is_dir());
    assert_eq!(environment.end_task().await.unwrap(), 0);
    environment.close().await;
    assert!(!environment.is_alive());
    assert_eq!(environment.run(sh("")).await.unwrap_err().code(), "closed");
    fixture.assert_empty();
}

#[tokio::test]
async fn start_errors_have_the_codes_of_the_plugin_interface() {
    let fixture = Fixture::new();
    let environment = fixture.open().await;
    let file = Output::File(fixture.path("missing/out"));
    let cases = [
        (
            Command::new("no-such-program", [""; 0]),
            "not-found",
            "no-such-program",
        ),
        (
            Command::new("/etc/passwd", [""; 0]),
            "not-permitted",
            "/etc/passwd",
        ),
        (
            Command {
                cwd: Some("/no/such".into()),
                ..sh("")
            },
            "not-found",
            "/no/such",
        ),
        (
            Command {
                stdout: file,
                ..sh("")
            },
            "io",
            "missing/out",
        ),
        (Command::new("", [""; 0]), "invalid", "no program"),
    ];
    for (command, code, text) in cases {
        for error in [
            environment.run(command.clone()).await.unwrap_err(),
            environment.start(command.clone()).await.unwrap_err(),
        ] {
            assert_eq!(error.code(), code, "{error}");
            assert!(error.to_string().contains(text), "{error}");
            assert!(error.errno().is_some());
        }
    }
    let huge = "x".repeat(persea_helper::protocol::MAX_FRAME);
    let error = environment.run(sh(&huge)).await.unwrap_err();
    assert_eq!(error.code(), "invalid", "{error}");
    assert!(environment.run(sh("")).await.unwrap().is_success());
    environment.close().await;
}

#[tokio::test]
async fn signal_pause_resume_and_end_reach_all_processes() {
    let fixture = Fixture::new();
    let environment = fixture.open().await;
    let mark = mark();
    let child = environment
        .start(sh(&format!("setsid sleep {mark} & wait")))
        .await
        .unwrap();
    let sleeping = format!("sleep\0{mark}");
    until("it sleeps", || with(&sleeping).len() == 1).await;
    environment.pause().await.unwrap();
    let sleeper = with(&sleeping)[0];
    let state = |pid| persea_helper::tree::read_process(pid).unwrap().state;
    until("it is stopped", || state(sleeper) == 'T').await;
    environment.resume().await.unwrap();
    until("it goes on", || state(sleeper) == 'S').await;
    child.signal(15).await.unwrap();
    assert_eq!(child.wait().await.unwrap().ending, Ending::Signal(15));
    assert_eq!(child.signal(1000).await.unwrap_err().code(), "invalid");
    std::fs::write(Path::new(environment.work_dir()).join("x"), "x").unwrap();
    assert_eq!(environment.end_task().await.unwrap(), 1);
    assert!(with(&mark).is_empty());
    assert!(!Path::new(environment.work_dir()).join("x").exists());
    // Not a shell: if it is about to call exec, it loses a signal that it has caught.
    let child = environment
        .start(Command::new("sleep", [mark]))
        .await
        .unwrap();
    environment.signal_all(2).await.unwrap();
    assert_eq!(child.wait().await.unwrap().ending, Ending::Signal(2));
    environment.close().await;
    fixture.assert_empty();
}

#[tokio::test]
async fn dropping_a_child_or_future_ends_the_process() {
    let fixture = Fixture::new();
    let environment = fixture.open().await;
    let mark = mark();
    let child = environment
        .start(sh(&format!("sleep {mark}; :")))
        .await
        .unwrap();
    until("it sleeps", || with(&mark).len() == 2).await;
    drop(child);
    until("it has ended", || with(&mark).is_empty()).await;
    let run = environment.run(sh(&format!("sleep {mark}; :")));
    let started = async { until("it sleeps", || with(&mark).len() == 2).await };
    tokio::select! {
        _ = run => panic!("it ended"),
        () = started => {}
    }
    until("it has ended", || with(&mark).is_empty()).await;
    assert!(environment.run(sh("")).await.unwrap().is_success());
    // Dropping the last clone and the last child closes the environment.
    let child = environment
        .start(sh(&format!("sleep {mark}; :")))
        .await
        .unwrap();
    drop(environment);
    assert!(child.signal(0).await.is_err());
    drop(child);
    until("all is gone", || with(&mark).is_empty()).await;
    until("the directory too", || {
        std::fs::read_dir(fixture.path("root")).unwrap().count() == 0
    })
    .await;
}

#[tokio::test]
async fn killed_helper_leaves_no_process_and_no_file() {
    let fixture = Fixture::new();
    let environment = fixture.open().await;
    let mark = mark();
    let script = format!("setsid sh -c 'setsid sleep {mark} & sleep {mark}; :' & wait");
    let child = environment.start(sh(&script)).await.unwrap();
    until("all run", || with(&format!("sleep\0{mark}")).len() == 2).await;
    kill_process(helper_of(pid(&child)), Signal::KILL).unwrap();
    let error = child.wait().await.unwrap_err();
    assert!(matches!(&error, SpawnError::HelperDied { .. }), "{error}");
    assert!(error.to_string().contains("signal 9"), "{error}");
    // The error comes after the end of all processes.
    assert!(with(&mark).is_empty());
    environment.closed().await;
    for error in [
        environment.run(sh("")).await.unwrap_err(),
        environment.end_task().await.unwrap_err(),
    ] {
        assert!(matches!(&error, SpawnError::HelperDied { .. }), "{error}");
    }
    assert!(!environment.is_alive());
    fixture.assert_empty();
    assert!(fixture.open().await.run(sh("")).await.unwrap().is_success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_children_run_at_once_in_two_environments() {
    let fixture = Fixture::new();
    let spawner = &fixture.spawner;
    let environments = [
        spawner.open(0).await.unwrap(),
        spawner.open(1).await.unwrap(),
    ];
    assert_ne!(environments[0].work_dir(), environments[1].work_dir());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let environment = environments[n % 2].clone();
        tasks.spawn(async move {
            let child = environment
                .start(pipes(sh(&format!("cat; exit {}", n % 100))))
                .await
                .unwrap();
            child.write(n.to_string().into_bytes()).await.unwrap();
            child.close_stdin().await.unwrap();
            assert_eq!(
                read_all(&child, Stream::Stdout).await,
                n.to_string().as_bytes()
            );
            assert_eq!(
                child.wait().await.unwrap().ending,
                Ending::Code((n % 100) as i32)
            );
        });
    }
    tasks.join_all().await;
    for environment in &environments {
        assert_eq!(environment.end_task().await.unwrap(), 0);
        environment.close().await;
    }
    fixture.assert_empty();
}

#[tokio::test]
async fn program_that_is_not_a_helper_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let opened = |program: &'static [u8]| {
        let spawner = ProcessSpawner::new(program, dir.path().to_path_buf());
        async move { spawner.open(0).await.unwrap_err() }
    };
    // The interpreter of a script cannot open the memory file, as exec has closed it, and says so.
    let error = opened(b"#!/bin/sh\n").await;
    assert!(matches!(error, SpawnError::HelperDied { .. }), "{error}");
    assert!(error.to_string().contains("last words"), "{error}");
    let error = opened(b"nothing").await;
    assert!(matches!(error, SpawnError::HelperStart { .. }), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
