//! Owns runners that misbehave: each fails its own task and no other.

use crate::hostile::hostile;
use crate::support::{Fixture, Ran, assert_well_formed};

/// The task ends in ERROR with a short reason that names the plugin and contains these parts.
#[track_caller]
fn assert_error(kind: &str, options: &[&str], parts: &[&str]) {
    let runnable = format!(r#"{{"kind": "{kind}", "uri": "x"}}"#);
    let (fixture, _) = hostile(&runnable, options, 1);
    let job = fixture.job();
    job.assert_error("x", parts);
    job.assert_error("x", &["runner `hostile` (plugins/hostile-runner.wasm)"]);
    assert!(job.reason("x").len() < 1000, "{}", job.reason("x"));
}

#[test]
fn panic_is_reported_with_message_and_line() {
    assert_error(
        "panic",
        &[],
        &["panicked at", "src/lib.rs:", "the deep end of x"],
    );
}

#[test]
fn endless_loop_is_stopped_at_the_cpu_limit() {
    assert_error(
        "loop",
        &["--set", "plugins.limits.cpu=0.3"],
        &["processor time", "plugins.limits.cpu"],
    );
}

#[test]
fn endless_loop_is_stopped_at_the_task_timeout() {
    let (fixture, _) = hostile(
        r#"{"kind": "loop", "uri": "x"}"#,
        &["--task-timeout", "0.3"],
        8,
    );
    let job = fixture.job();
    assert_eq!(job.status("x"), "INTERRUPTED");
    assert_eq!(job.reason("x"), "Test interrupted: Timeout reached");
}

#[test]
fn memory_is_limited() {
    assert_error(
        "hog",
        &["--set", "plugins.limits.memory_mb=64"],
        &["memory", "plugins.limits.memory_mb"],
    );
}

#[test]
fn endless_recursion_is_stopped_and_named() {
    let callers = "(in hostile_runner::recurse, called by hostile_runner::recurse, called by ";
    assert_error("stack", &[], &["trap", callers]);
}

#[test]
fn exit_without_a_result_is_an_error() {
    assert_error("exit-early", &[], &["failed"]);
}

#[test]
fn error_of_a_runner_is_the_reason() {
    assert_error("error", &[], &["I do not want to", "not-permitted"]);
}

#[test]
fn bytes_of_messages_are_limited() {
    assert_error(
        "chatter",
        &["--set", "plugins.limits.status_bytes=1000000"],
        &["limit"],
    );
}

#[test]
fn number_of_messages_is_limited() {
    assert_error(
        "chatter",
        &["--set", "plugins.limits.status_messages=20"],
        &["its limit on messages, 20: `plugins.limits.status_messages` raises it"],
    );
}

#[test]
fn bytes_of_artifacts_are_limited() {
    let runnable = r#"{"kind": "artifacts", "uri": "x"}"#;
    let set = ["--set", "plugins.limits.status_bytes=3000000"];
    let (fixture, ran) = hostile(runnable, &set, 1);
    let job = fixture.job();
    assert_eq!(job.status("x"), "ERROR", "{ran}");
    assert!(
        job.reason("x").contains("plugins.limits.status_bytes"),
        "{}",
        job.reason("x")
    );
    assert!(job.artifact("x", "heap").len() <= 3_000_000);
}

#[test]
fn flood_of_log_lines_is_cut_and_counted() {
    let (fixture, _) = hostile(r#"{"kind": "flood", "uri": "x"}"#, &[], 0);
    let job = fixture.job();
    assert_eq!(job.status("x"), "PASS");
    let log = job.artifact("x", "debug.log");
    // The limit counts the messages; the host adds a time and a level to each.
    assert!(log.len() < 3 << 20, "{} bytes", log.len());
    assert!(log.contains("line 0 of a flood"));
    let last = log.lines().last().unwrap();
    assert!(
        last.contains("more messages") && last.contains("plugins.limits.log_bytes"),
        "{last}"
    );
}

#[test]
fn orphans_of_a_runner_are_killed_and_reported() {
    let (fixture, ran) = hostile(r#"{"kind": "orphan", "uri": "x"}"#, &[], 0);
    assert_eq!(fixture.job().status("x"), "PASS");
    assert!(ran.stdout.contains(" left behind]\n"), "{ran}");
}

#[test]
fn runner_writes_only_into_its_directory() {
    let (fixture, _) = hostile(r#"{"kind": "escape", "uri": "x"}"#, &[], 0);
    let job = fixture.job();
    assert_eq!(job.status("x"), "CANCEL", "{:#}", job.test("x"));
}

/// Runs a job of a task with one kind of invalid result.
fn invalid_result(which: &str, code: i32) -> (Fixture, Ran) {
    hostile(
        &format!(r#"{{"kind": "rubbish", "uri": "{which}"}}"#),
        &[],
        code,
    )
}

#[test]
fn invalid_results_are_sanitised() {
    let (fixture, _) = invalid_result("empty", 1);
    assert_eq!(fixture.job().status("empty"), "FAIL");

    let (fixture, ran) = invalid_result("huge", 1);
    assert_eq!(fixture.job().status("huge"), "FAIL");
    assert!(ran.stdout.len() < 4000, "{} bytes", ran.stdout.len());

    let (fixture, ran) = invalid_result("control", 1);
    let job = fixture.job();
    assert_eq!(job.status("control"), "FAIL");
    assert!(ran.stdout.contains(r"FAIL: \x1b[2J"), "{ran}");
    let log = job.read("job.log");
    assert!(!log.contains(['\u{1b}', '\r', '\u{202e}']), "{log}");
    assert_well_formed(&job.0.join("results.xml"));

    let (fixture, _) = invalid_result("nul", 1);
    assert_well_formed(&fixture.job().0.join("results.xml"));

    let (fixture, _) = invalid_result("interrupted", 8);
    assert_eq!(fixture.job().status("interrupted"), "INTERRUPTED");

    // Data that is no JSON is an error of the call, and not another value.
    let (fixture, _) = invalid_result("other", 1);
    fixture.job().assert_error(
        "other",
        &["the value `more.json` is invalid: it is not JSON"],
    );
}

#[test]
fn runner_cannot_forge_fields_of_the_host() {
    let (fixture, _) = invalid_result("forged", 1);
    let job = fixture.job();
    let test = job.test("forged");
    assert_eq!(test["status"], "FAIL");
    assert_eq!(test["id"], "2-forged");
    let directory = test["logdir"].as_str().unwrap();
    assert!(directory.ends_with("/test-results/2-forged"), "{directory}");
    let counts = job.results();
    assert_eq!(
        (&counts["pass"], &counts["failures"]),
        (&2.into(), &1.into())
    );
}
