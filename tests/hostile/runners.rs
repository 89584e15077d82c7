//! Plugins that misbehave: each is held to its limits and named with its trouble, and costs its own task, reference or
//! report and no other.

use crate::plugins::put;
use crate::reports::assert_well_formed;
use crate::support::{Ran, Sandbox};

/// A job of one hostile runnable between two that are not.
fn hostile(runnable: &str, options: &[&str], code: i32) -> (Sandbox, Ran) {
    let sandbox = Sandbox::new();
    put(&sandbox, "plugins", &["hostile-runner"]);
    let noop = |name: &str| format!(r#"{{"kind": "noop", "uri": "{name}"}}"#);
    let after = r#"{"kind": "exec-test", "uri": "/bin/sh", "args": ["-c", "echo after"], "identifier": "after"}"#;
    sandbox.file(
        "job.json",
        format!("[{},\n{runnable},\n{after}]", noop("before")),
    );
    let mut args = vec!["run", "--plugin-dir", "plugins"];
    args.extend(options);
    args.push("job.json");
    let ran = sandbox.run(&args).code(code);
    let job = sandbox.job();
    assert_eq!(job.status("before"), "PASS", "{ran}");
    assert_eq!(job.status("after"), "PASS", "{ran}");
    assert_eq!(job.results()["total"], 3);
    assert_printable(&ran);
    sandbox.assert_no_strays();
    (sandbox, ran)
}

/// Nothing reaches a terminal that would move its cursor or turn its writing around.
#[track_caller]
fn assert_printable(ran: &Ran) {
    let bad = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(
        !ran.stdout.contains(bad) && !ran.stderr.contains(bad),
        "{ran}"
    );
}

/// The task ends in ERROR with a reason that names the plugin and all of these.
#[track_caller]
fn is_an_error(kind: &str, options: &[&str], says: &[&str]) {
    let runnable = format!(r#"{{"kind": "{kind}", "uri": "x"}}"#);
    let (sandbox, ran) = hostile(&runnable, options, 1);
    let job = sandbox.job();
    assert_eq!(job.status("x"), "ERROR", "{ran}");
    let reason = job.reason("x");
    let plugin = "runner `hostile` (plugins/hostile-runner.wasm)";
    for part in says.iter().chain([&plugin]) {
        assert!(reason.contains(part), "no {part} in: {reason}");
    }
    assert!(reason.len() < 1000, "{reason}");
}

#[test]
fn a_panic_is_told_with_its_message_and_place() {
    is_an_error(
        "panic",
        &[],
        &["panicked at", "src/lib.rs:", "the deep end of x"],
    );
}

#[test]
fn an_endless_loop_ends_with_its_processor_time() {
    is_an_error(
        "loop",
        &["--set", "plugins.limits.cpu=0.3"],
        &["processor time", "plugins.limits.cpu"],
    );
}

#[test]
fn an_endless_loop_ends_with_the_tasks_time() {
    let (sandbox, _) = hostile(
        r#"{"kind": "loop", "uri": "x"}"#,
        &["--task-timeout", "0.3"],
        8,
    );
    let job = sandbox.job();
    assert_eq!(job.status("x"), "INTERRUPTED");
    assert_eq!(job.reason("x"), "Test interrupted: Timeout reached");
}

#[test]
fn memory_ends_at_its_limit() {
    is_an_error(
        "hog",
        &["--set", "plugins.limits.memory_mb=64"],
        &["memory", "plugins.limits.memory_mb"],
    );
}

#[test]
fn an_endless_recursion_ends_with_the_stack_and_is_named() {
    let twice = "hostile_runner::recurse, called by hostile_runner::recurse";
    is_an_error("stack", &[], &["trap", twice]);
}

#[test]
fn to_exit_is_no_outcome() {
    is_an_error("exit-early", &[], &["failed"]);
}

#[test]
fn an_error_of_a_runner_is_told_in_its_words() {
    is_an_error("error", &[], &["I do not want to", "not-permitted"]);
}

#[test]
fn chatter_ends_at_its_limit() {
    is_an_error(
        "chatter",
        &["--set", "plugins.limits.status_bytes=1000000"],
        &["limit"],
    );
}

#[test]
fn artifacts_end_at_their_limit() {
    let runnable = r#"{"kind": "artifacts", "uri": "x"}"#;
    let set = ["--set", "plugins.limits.status_bytes=3000000"];
    let (sandbox, ran) = hostile(runnable, &set, 1);
    let job = sandbox.job();
    assert_eq!(job.status("x"), "ERROR", "{ran}");
    assert!(
        job.reason("x").contains("plugins.limits.status_bytes"),
        "{}",
        job.reason("x")
    );
    assert!(job.artifact("x", "heap").len() <= 3_000_000);
}

#[test]
fn a_flood_of_log_lines_is_cut_and_the_rest_counted() {
    let (sandbox, _) = hostile(r#"{"kind": "flood", "uri": "x"}"#, &[], 0);
    let job = sandbox.job();
    assert_eq!(job.status("x"), "PASS");
    let log = job.artifact("x", "debug.log");
    // The limit is on the messages; the host adds a time and a level to each.
    assert!(log.len() < 3 << 20, "{} bytes", log.len());
    assert!(log.contains("line 0 of a flood"));
    let last = log.lines().last().unwrap();
    assert!(
        last.contains("more messages") && last.contains("plugins.limits.log_bytes"),
        "{last}"
    );
}

#[test]
fn what_a_runner_leaves_running_is_ended_and_said() {
    let (sandbox, ran) = hostile(r#"{"kind": "orphan", "uri": "x"}"#, &[], 0);
    assert_eq!(sandbox.job().status("x"), "PASS");
    assert!(ran.stdout.contains("processes left behind"), "{ran}");
}

#[test]
fn a_runner_writes_only_into_its_own_directory() {
    let (sandbox, _) = hostile(r#"{"kind": "escape", "uri": "x"}"#, &[], 0);
    let job = sandbox.job();
    assert_eq!(job.status("x"), "CANCEL", "{:#}", job.test("x"));
}

/// The job of one absurd outcome.
fn rubbish(which: &str, code: i32) -> (Sandbox, Ran) {
    hostile(
        &format!(r#"{{"kind": "rubbish", "uri": "{which}"}}"#),
        &[],
        code,
    )
}

#[test]
fn absurd_outcomes_are_kept_in_bounds() {
    let (sandbox, _) = rubbish("empty", 1);
    assert_eq!(sandbox.job().status("empty"), "FAIL");

    let (sandbox, ran) = rubbish("huge", 1);
    assert_eq!(sandbox.job().status("huge"), "FAIL");
    assert!(ran.stdout.len() < 4000, "{} bytes", ran.stdout.len());

    let (sandbox, ran) = rubbish("control", 1);
    let job = sandbox.job();
    assert_eq!(job.status("control"), "FAIL");
    assert!(ran.stdout.contains(r"FAIL: \x1b[2J"), "{ran}");
    let log = job.read("job.log");
    assert!(!log.contains(['\u{1b}', '\r', '\u{202e}']), "{log}");
    assert_well_formed(&job.0.join("results.xml"));

    let (sandbox, _) = rubbish("nul", 1);
    assert_well_formed(&sandbox.job().0.join("results.xml"));

    let (sandbox, _) = rubbish("interrupted", 8);
    assert_eq!(sandbox.job().status("interrupted"), "INTERRUPTED");

    let (sandbox, _) = rubbish("other", 0);
    assert_eq!(sandbox.job().status("other"), "WARN");
}

#[test]
fn a_runner_cannot_forge_what_the_host_says_of_its_task() {
    let (sandbox, _) = rubbish("forged", 1);
    let job = sandbox.job();
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

/// A project with the hostile resolver, a good list, and these files that it wants.
fn hostile_resolver(names: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    put(&sandbox, "plugins", &["hostile-resolver", "resolver-list"]);
    sandbox.file("good.list", "$ echo good\n$ true\n");
    for name in names {
        sandbox.file(name, "");
    }
    sandbox
}

#[test]
fn a_resolver_that_traps_costs_its_reference_and_no_other() {
    let sandbox = hostile_resolver(&["trap.bad"]);
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "trap.bad",
        "good.list",
        "/bin/true",
    ];
    sandbox.run(&args).code(1);
    let job = sandbox.job();
    assert_eq!(job.status("trap.bad"), "ERROR");
    let reason = job.reason("trap.bad");
    for part in [
        "resolver `hostile` (plugins/hostile-resolver.wasm)",
        "panicked at",
        "cannot bear trap.bad",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    for name in ["echo good", "true", "/bin/true"] {
        assert_eq!(job.status(name), "PASS");
    }
    assert_eq!(job.results()["total"], 4);
    let ran = sandbox
        .run(&["list", "--plugin-dir", "plugins", "trap.bad", "good.list"])
        .code(2);
    assert!(
        ran.stdout
            .starts_with("ERROR trap.bad\n    resolver `hostile`"),
        "{ran}"
    );
    assert!(ran.stdout.contains("exec-test echo good\n"), "{ran}");
}

#[test]
fn a_resolver_that_loops_is_stopped() {
    let sandbox = hostile_resolver(&["loop.bad"]);
    let limit = "plugins.resolver.timeout=0.5";
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--set",
        limit,
        "loop.bad",
        "good.list",
    ];
    sandbox.run(&args).code(1);
    let job = sandbox.job();
    assert_eq!(job.status("loop.bad"), "ERROR");
    let reason = job.reason("loop.bad");
    assert_eq!(
        reason,
        "resolver `hostile` (plugins/hostile-resolver.wasm) has reached its limit on the time for one answer, 0.5 s: `plugins.resolver.timeout` raises it"
    );
    assert_eq!(job.status("echo good"), "PASS");
    assert_eq!(job.results()["total"], 3);
}

#[test]
fn a_resolver_sees_the_project_and_nothing_else() {
    let sandbox = hostile_resolver(&["peek.bad", "../outside"]);
    std::os::unix::fs::symlink("../outside", sandbox.project().join("link-out")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(sandbox.project().join("pipe"))
        .status();
    assert!(made.unwrap().success());
    let ran = sandbox
        .run(&["list", "--plugin-dir", "plugins", "peek.bad"])
        .code(0);
    assert_eq!(ran.stdout, "noop held\n");
}

#[test]
fn names_from_a_resolver_are_shown_and_stored_safely() {
    let sandbox = hostile_resolver(&["names.bad"]);
    let ran = sandbox
        .run(&["list", "--plugin-dir", "plugins", "names.bad"])
        .code(0);
    assert_printable(&ran);
    assert!(ran.stdout.starts_with("noop a\\x1b[2Jb\\nc\n"), "{ran}");
    assert_eq!(ran.stdout.lines().count(), 4, "{ran}");
    let ran = sandbox
        .run(&["run", "--plugin-dir", "plugins", "names.bad"])
        .code(1);
    assert_printable(&ran);
    let job = sandbox.job();
    assert_eq!(job.results()["total"], 4);
    for entry in std::fs::read_dir(job.0.join("test-results")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains(char::is_control), "{name:?}");
    }
    assert_well_formed(&job.0.join("results.xml"));
    let tap = job.read("results.tap");
    assert_eq!(
        tap.lines()
            .filter(|line| line.starts_with("ok ") || line.starts_with("not ok "))
            .count(),
        4,
        "{tap}"
    );
}

#[test]
fn a_format_that_traps_costs_its_own_report_and_is_named() {
    let sandbox = Sandbox::new();
    put(
        &sandbox,
        "plugins",
        &["hostile-format", "format-csv", "resolver-list"],
    );
    sandbox.file("tests.list", "$ true\n$ echo 2\n$ echo 3\n");
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--max-parallel-tasks",
        "1",
        "tests.list",
    ];
    let ran = sandbox.run(&args).code(2);
    let errors: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(errors.len(), 1, "{ran}");
    assert!(
        errors[0].starts_with("error: the report `halfway` is incomplete: "),
        "{ran}"
    );
    for part in [
        "result-format `halfway` (plugins/hostile-format.wasm)",
        "no more than one",
        "src/lib.rs:",
    ] {
        assert!(errors[0].contains(part), "{ran}");
    }
    let job = sandbox.job();
    assert_eq!(job.results()["pass"], 3);
    assert_eq!(job.read("results.csv").lines().count(), 4);
    assert!(job.read("results.tap").starts_with("1..3\n"));
    assert_well_formed(&job.0.join("results.xml"));
    // With a failing test the exit code has both bits.
    sandbox.file("tests.list", "$ true\n$ false\n");
    sandbox.run(&args).code(3);
}
