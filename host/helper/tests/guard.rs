//! The helper as a guard: every process below it ends with its command or with the host.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::process::{Child, Command, Stdio};

use common::{process_with, until};

/// A guard whose host is this process.
fn guard(script: &str) -> Child {
    guard_of(std::process::id(), script)
}

fn guard_of(host: u32, script: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_persea-helper"))
        .args(["guard", &host.to_string(), "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn mark(number: u32) -> String {
    format!("3500.{}{number:03}", std::process::id())
}

#[test]
fn guard_exits_with_the_exit_code_of_its_command() {
    let mut guard = guard("exit 7");
    assert_eq!(guard.wait().unwrap().code(), Some(7));
}

#[test]
fn guard_exits_with_128_plus_the_signal_that_ended_its_command() {
    let mut guard = guard("kill -KILL $$");
    assert_eq!(guard.wait().unwrap().code(), Some(137));
}

#[test]
fn orphans_end_with_the_command() {
    let mark = mark(1);
    let mut guard = guard(&format!(
        "setsid sleep {mark} </dev/null >/dev/null & exit 0"
    ));
    assert_eq!(guard.wait().unwrap().code(), Some(0));
    assert_eq!(process_with(&mark), []);
}

/// Counts the processes `sleep` with a mark. The guard and its shells have the mark in their
/// command lines, too.
fn sleepers(mark: &str) -> usize {
    let name = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm"));
    let all = process_with(mark);
    let sleeps = |pid: &&i32| name(pid).is_ok_and(|name| name.trim_end() == "sleep");
    all.iter().filter(sleeps).count()
}

/// The process number of a host that is not the parent of the guard any more.
const DEAD_HOST: u32 = u32::MAX >> 1;

#[test]
fn processes_that_never_end_are_ended_after_the_death_of_the_host() {
    let mark = mark(2);
    let script = format!("trap '' TERM HUP INT; (setsid sleep {mark}) & exec sleep {mark}");
    let mut guard = guard_of(DEAD_HOST, &script);
    until("both run", || sleepers(&mark) == 2);
    drop(guard.stdin.take());
    assert_eq!(guard.wait().unwrap().code(), Some(1));
    assert_eq!(process_with(&mark), []);
}

#[test]
fn command_is_not_ended_while_the_host_lives() {
    // Longer than a command may run after the death of its host.
    let mut guard = guard("sleep 4; exit 7");
    drop(guard.stdin.take());
    assert_eq!(guard.wait().unwrap().code(), Some(7));
}

#[test]
fn channel_ends_with_the_command_although_the_guard_lives() {
    let mark = mark(3);
    // The command closes its end of the output, and goes on.
    let mut guard = guard_of(DEAD_HOST, &format!("exec sleep {mark} >/dev/null"));
    let mut output = guard.stdout.take().unwrap();
    let read = std::io::copy(&mut output, &mut std::io::sink()).unwrap();
    assert_eq!(read, 0);
    assert!(guard.try_wait().unwrap().is_none());
    drop(guard.stdin.take());
    guard.wait().unwrap();
}
