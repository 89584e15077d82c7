//! Owns program runners that misbehave: they name commands that cannot be run, and judge results
//! badly. One instance serves many tasks, and each fault fails one task.

use serde_json::{Value, json};

use crate::hostile::{prepared, run};
use crate::support::plugins::install;
use crate::support::{Fixture, Job, Ran};

/// A project with the hostile program runner.
fn with_programs() -> Fixture {
    let fixture = prepared();
    install(&fixture, "plugins", &["hostile-program"]);
    fixture
}

/// Runs a job of one runnable of the kind `program` between two ordinary ones.
fn run_one(way: &str, options: &[&str], code: i32) -> (Fixture, Ran) {
    let fixture = with_programs();
    let runnable = format!(r#"{{"kind": "program", "uri": "{way}", "identifier": "x"}}"#);
    let all = [&["--grant", "process"], options].concat();
    let ran = run(&fixture, &runnable, &all, code);
    (fixture, ran)
}

/// The task ends in ERROR with a reason that contains these parts.
#[track_caller]
fn assert_error(way: &str, options: &[&str], parts: &[&str]) {
    let (fixture, _) = run_one(way, options, 1);
    fixture.job().assert_error("x", parts);
}

const PLUGIN: &str = "runner `program` (plugins/hostile-program.wasm)";

#[test]
fn number_of_commands_is_limited() {
    let error =
        |count| format!("it has named {count} commands for this task, and can name 1 to 16");
    assert_error("none", &[], &[PLUGIN, &error(0)]);
    assert_error("many", &[], &[PLUGIN, &error(17)]);
}

#[test]
fn first_existing_command_is_run() {
    assert_error("missing", &[], &["/nowhere/15"]);
    let (fixture, ran) = run_one("last", &[], 0);
    assert_eq!(fixture.job().status("x"), "PASS", "{ran}");
}

#[test]
fn program_cannot_use_pipes_or_files_elsewhere() {
    assert_error("pipe", &[], &["takes no pipes"]);
    assert_error(
        "elsewhere",
        &[],
        &["\"../../elsewhere\" cannot be the name of a file"],
    );
}

#[test]
fn program_runner_starts_no_other_process() {
    assert_error(
        "starts-early",
        &[],
        &["may not use `process` in this call (not-permitted)"],
    );
    assert_error(
        "judge-starts",
        &[],
        &["unsupported", "a program runner starts nothing else"],
    );
}

#[test]
fn program_runner_has_no_files_before_its_task() {
    assert_error(
        "early",
        &[],
        &["may not use `artifacts` in this call (not-permitted)"],
    );
}

#[test]
fn error_of_a_program_runner_is_the_reason() {
    assert_error("error", &[], &[PLUGIN, "I know of no program"]);
    assert_error("judge-error", &[], &[PLUGIN, "I cannot judge that"]);
    assert_error("panic", &[], &[PLUGIN, "panicked at", "no program for 2-x"]);
    assert_error(
        "judge-panic",
        &[],
        &[PLUGIN, "panicked at", "no judgement for 2-x"],
    );
}

#[test]
fn endless_loop_is_stopped_at_the_cpu_limit() {
    let cpu = ["--set", "plugins.limits.cpu=0.3"];
    assert_error("loop", &cpu, &["processor time", "plugins.limits.cpu"]);
    assert_error(
        "judge-loop",
        &cpu,
        &["processor time", "plugins.limits.cpu"],
    );
}

/// Runs a job of many runnables in one slot, so that the runner gets them in order.
fn run_many(ways: &[&str], options: &[&str], code: i32) -> (Fixture, Job) {
    let fixture = with_programs();
    let runnable = |(number, way): (usize, &&str)| {
        let name = format!("t{number}");
        json!({"kind": "program", "uri": way, "identifier": name})
    };
    let runnables: Vec<Value> = ways.iter().enumerate().map(runnable).collect();
    fixture.recipe("many.json", &runnables);
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--grant",
        "process",
        "--max-parallel-tasks",
        "1",
    ];
    fixture
        .run(&[&args, options, &["many.json"]].concat())
        .code(code);
    let job = fixture.job();
    (fixture, job)
}

#[test]
fn crash_fails_only_its_task() {
    let ways = [
        "fine",
        "fails",
        "judge-panic",
        "fine",
        "panic",
        "fails",
        "fine",
    ];
    let (_sandbox, job) = run_many(&ways, &[], 1);
    let found: Vec<String> = (0..ways.len())
        .map(|n| job.status(&format!("t{n}")))
        .collect();
    assert_eq!(
        found,
        ["PASS", "FAIL", "ERROR", "PASS", "ERROR", "FAIL", "PASS"]
    );
}

#[test]
fn instance_serves_a_limited_number_of_tasks() {
    let (_sandbox, job) = run_many(&["fine"; 200], &[], 0);
    let events = job.events().into_iter();
    let judged = |event: Value| event["data"]["judged-before"].as_u64();
    let before: Vec<u64> = events.filter_map(judged).collect();
    assert_eq!(before.len(), 200);
    assert!(before.iter().any(|&count| count > 10), "{before:?}");
    assert!(before.iter().all(|&count| count < 128), "{before:?}");
}

#[test]
fn task_log_holds_only_its_own_messages() {
    let (_sandbox, job) = run_many(&["fine", "floods", "fine", "floods"], &[], 0);
    for name in ["t1", "t3"] {
        let log = job.artifact(name, "debug.log");
        assert!(log.contains("line 0 of a flood"), "{name}");
        assert!(log.contains("more messages are dropped"), "{name}");
    }
    for name in ["t0", "t2"] {
        assert!(!job.directory(name).join("debug.log").exists(), "{name}");
    }
}

#[test]
fn memory_kept_between_tasks_is_limited() {
    let memory = ["--set", "plugins.limits.memory_mb=100"];
    let (_sandbox, job) = run_many(&["hoards", "hoards", "hoards", "fine"], &memory, 1);
    let found: Vec<String> = (0..4).map(|n| job.status(&format!("t{n}"))).collect();
    assert_eq!(found, ["PASS", "PASS", "ERROR", "PASS"]);
    assert!(job.reason("t2").contains("plugins.limits.memory_mb"));
}
