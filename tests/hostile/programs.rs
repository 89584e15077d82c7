//! Program runners that misbehave: they name what can't be run, and judge badly. One instance sees many tasks, and each task pays for itself.

use std::path::Path;

use crate::hostile::{prepared, run};
use crate::support::plugins::install;
use crate::support::{Job, Ran, Sandbox};

fn with_programs() -> Sandbox {
    let sandbox = prepared();
    install(&sandbox, "plugins", &["hostile-program"]);
    sandbox
}

/// A job of one runnable of the kind `program` between two that are fine.
fn one(way: &str, options: &[&str], code: i32) -> (Sandbox, Ran) {
    let sandbox = with_programs();
    let runnable = format!(r#"{{"kind": "program", "uri": "{way}", "identifier": "x"}}"#);
    let all = [&["--grant", "process"], options].concat();
    let ran = run(&sandbox, &runnable, &all, code);
    (sandbox, ran)
}

/// The task ends in ERROR with a reason that says all of these.
#[track_caller]
fn is_an_error(way: &str, options: &[&str], says: &[&str]) {
    let (sandbox, ran) = one(way, options, 1);
    let job = sandbox.job();
    assert_eq!(job.status("x"), "ERROR", "{way}: {ran}");
    let reason = job.reason("x");
    for part in says {
        assert!(reason.contains(part), "{way}: no {part} in: {reason}");
    }
}

const PLUGIN: &str = "runner `program` (plugins/hostile-program.wasm)";

#[test]
fn number_of_commands_is_limited() {
    let says = |count| format!("it has named {count} commands for this task, and can name 1 to 16");
    is_an_error("none", &[], &[PLUGIN, &says(0)]);
    is_an_error("many", &[], &[PLUGIN, &says(17)]);
}

#[test]
fn first_existing_command_is_run() {
    is_an_error("missing", &[], &["/nowhere/15"]);
    let (sandbox, ran) = one("last", &[], 0);
    assert_eq!(sandbox.job().status("x"), "PASS", "{ran}");
}

#[test]
fn program_cannot_use_pipes_or_files_elsewhere() {
    is_an_error("pipe", &[], &["has no pipes"]);
    is_an_error(
        "elsewhere",
        &[],
        &["\"../../elsewhere\" cannot be the name of a file"],
    );
}

#[test]
fn program_runner_starts_no_other_process() {
    is_an_error("starts-early", &[], &["unsupported", "no task to speak of"]);
    is_an_error(
        "judge-starts",
        &[],
        &["unsupported", "a program runner starts nothing else"],
    );
}

#[test]
fn program_runner_has_no_files_before_its_task() {
    is_an_error("early", &[], &["unsupported", "no task to speak of"]);
}

#[test]
fn error_of_a_program_runner_is_the_reason() {
    is_an_error("error", &[], &[PLUGIN, "I know of no program"]);
    is_an_error("judge-error", &[], &[PLUGIN, "I cannot judge that"]);
    is_an_error("panic", &[], &[PLUGIN, "panicked at", "no program for 2-x"]);
    is_an_error(
        "judge-panic",
        &[],
        &[PLUGIN, "panicked at", "no judgement for 2-x"],
    );
}

#[test]
fn endless_loop_is_stopped_at_the_cpu_limit() {
    let cpu = ["--set", "plugins.limits.cpu=0.3"];
    is_an_error("loop", &cpu, &["processor time", "plugins.limits.cpu"]);
    is_an_error(
        "judge-loop",
        &cpu,
        &["processor time", "plugins.limits.cpu"],
    );
}

/// A job of many runnables, one at a time, so that they are asked about in order.
fn many(ways: &[&str], options: &[&str], code: i32) -> (Sandbox, Job) {
    let sandbox = with_programs();
    let runnable = |(n, way): (usize, &&str)| {
        format!(r#"{{"kind": "program", "uri": "{way}", "identifier": "t{n}"}}"#)
    };
    let all: Vec<String> = ways.iter().enumerate().map(runnable).collect();
    sandbox.file("many.json", format!("[{}]", all.join(",")));
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--grant",
        "process",
        "--max-parallel-tasks",
        "1",
    ];
    sandbox
        .run(&[&args, options, &["many.json"]].concat())
        .code(code);
    let job = sandbox.job();
    (sandbox, job)
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
    let (_sandbox, job) = many(&ways, &[], 1);
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
    let (_sandbox, job) = many(&["fine"; 200], &[], 0);
    let events = job.events().into_iter();
    let judged = |event: serde_json::Value| event["data"]["judged-before"].as_u64();
    let before: Vec<u64> = events.filter_map(judged).collect();
    assert_eq!(before.len(), 200);
    assert!(before.iter().any(|&count| count > 10), "{before:?}");
    assert!(before.iter().all(|&count| count < 128), "{before:?}");
}

#[test]
fn task_log_holds_only_its_own_messages() {
    let (_sandbox, job) = many(&["fine", "floods", "fine", "floods"], &[], 0);
    for name in ["t1", "t3"] {
        let log = job.artifact(name, "debug.log");
        assert!(log.contains("line 0 of a flood"), "{name}");
        assert!(log.contains("more messages are dropped"), "{name}");
    }
    for name in ["t0", "t2"] {
        let directory = job.test(name)["logdir"].clone();
        let log = Path::new(directory.as_str().unwrap()).join("debug.log");
        assert!(!log.exists(), "{name}");
    }
}

#[test]
fn memory_kept_between_tasks_is_limited() {
    let memory = ["--set", "plugins.limits.memory_mb=100"];
    let (_sandbox, job) = many(&["hoards", "hoards", "hoards", "fine"], &memory, 1);
    let found: Vec<String> = (0..4).map(|n| job.status(&format!("t{n}"))).collect();
    assert_eq!(found, ["PASS", "PASS", "ERROR", "PASS"]);
    assert!(job.reason("t2").contains("plugins.limits.memory_mb"));
}
