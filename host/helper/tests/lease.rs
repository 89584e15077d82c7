//! A helper on another host lives only as long as the host renews its lease, and so does the keeper
//! of the helper's directory.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Helper, PATIENCE, process_with, start};
use persea_helper::protocol::{Hello, Reply, Request};

/// Long enough for a busy machine that runs a test late.
const LEASE: Duration = Duration::from_millis(1200);

/// A helper with a lease, and a process below it with the mark.
fn leased() -> (Helper, String) {
    let mut helper = Helper::silent();
    helper.greet_with(&Hello {
        lease: Some(LEASE),
        ..Hello::default()
    });
    let mark = helper.mark();
    helper.start(start("setsid", &["sleep", &mark]));
    (helper, mark)
}

/// Renews the lease, and returns the helper's clock.
fn renew(helper: &mut Helper, until: u64) -> u64 {
    let id = helper.id();
    helper.send(&Request::Renew { id, until });
    match helper.reply(id) {
        Reply::Renewed { clock, .. } => clock,
        other => panic!("{other:?}"),
    }
}

#[test]
fn helper_without_renewal_ends_its_processes_and_itself() {
    let (mut helper, mark) = leased();
    assert_eq!(helper.wait().code(), Some(1));
    assert_eq!(process_with(&mark), []);
    let log = helper.log();
    assert!(log.contains("lease"), "{log}");
}

#[test]
fn renewed_helper_outlives_its_lease() {
    let (mut helper, mark) = leased();
    let began = Instant::now();
    let mut clock = renew(&mut helper, 0);
    while began.elapsed() < LEASE * 3 {
        std::thread::sleep(LEASE / 8);
        clock = renew(
            &mut helper,
            clock + u64::try_from(LEASE.as_nanos()).unwrap(),
        );
    }
    assert_eq!(process_with(&mark).len(), 1);
}

#[test]
fn paused_helper_needs_no_renewal_until_it_is_resumed() {
    let (mut helper, mark) = leased();
    helper.request(|id| Request::Pause { id });
    std::thread::sleep(LEASE * 2);
    renew(&mut helper, 0);
    helper.request(|id| Request::Resume { id });
    assert_eq!(helper.wait().code(), Some(1));
    assert_eq!(process_with(&mark), []);
}

/// A copy of the helper in a directory.
fn program_in(directory: &Path) -> PathBuf {
    let program = directory.join("helper");
    std::fs::copy(env!("CARGO_BIN_EXE_persea-helper"), &program).unwrap();
    program
}

/// A keeper of this directory, with a lease in milliseconds.
fn keeper(directory: &Path, lease: &str) -> Child {
    Command::new(program_in(directory))
        .arg("keep")
        .arg(directory)
        .arg(lease)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn keeper_removes_its_directory_when_the_connection_ends() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("kept");
    std::fs::create_dir(&directory).unwrap();
    let mut keeper = keeper(&directory, "60000");
    let mut byte = [0];
    keeper.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    keeper
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut byte)
        .unwrap();
    assert_eq!(byte, *b"x");
    assert!(directory.join("helper").exists());
    drop(keeper.stdin.take());
    assert!(keeper.wait().unwrap().success());
    assert!(!directory.exists());
}

#[test]
fn keeper_without_renewal_removes_its_directory() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("kept");
    std::fs::create_dir(&directory).unwrap();
    let began = Instant::now();
    let mut keeper = keeper(&directory, "300");
    // Waiting would close the input.
    let _input = keeper.stdin.take();
    assert_eq!(keeper.wait().unwrap().code(), Some(1));
    assert!(began.elapsed() < PATIENCE);
    assert!(!directory.exists());
}

#[test]
fn keeper_waits_for_the_other_programs_of_its_directory() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("kept");
    std::fs::create_dir(&directory).unwrap();
    let mut keeper = keeper(&directory, "100");
    let _input = keeper.stdin.take();
    let mut other = Command::new(directory.join("helper"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(directory.exists());
    drop(other.stdin.take());
    other.wait().unwrap();
    keeper.wait().unwrap();
    assert!(!directory.exists());
}
