//! Tests of outcomes: what a test binary prints and ends with, and what becomes of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::collections::VecDeque;

use super::*;
use crate::subject;
use persea_plugin_sdk::testing::{Answer, Host, Installed, Processes};

fn task() -> Task {
    of(Runnable::new(crate::KIND))
}

fn isolated(test: &str) -> Task {
    of(Runnable::new(crate::KIND).kwarg(subject::TEST, test))
}

fn of(runnable: Runnable) -> Task {
    let runnable = runnable
        .uri("go:a")
        .kwarg(subject::PACKAGE, "m/a")
        .kwarg(subject::DIRECTORY, "a")
        .kwarg(subject::VERSION, "go1.19.8");
    Task::new("1-t", runnable)
        .with("project-dir", "/w")
        .with("job-temp-dir", "/c")
}

/// A machine whose processes give these answers in order.
fn host(answers: &[Answer]) -> Installed {
    let mut answers: VecDeque<Answer> = answers.iter().cloned().collect();
    let next = move |_: &_| answers.pop_front().unwrap_or_else(Answer::missing);
    Host::new().processes(Processes::new(next)).install()
}

fn passed(name: &str) -> String {
    format!("=== RUN   {name}\n--- PASS: {name} (0.00s)\n")
}

fn skipped(name: &str) -> String {
    format!("=== RUN   {name}\n    a_test.go:3: no disk\n--- SKIP: {name} (0.00s)\n")
}

fn failed(name: &str) -> String {
    format!("=== RUN   {name}\n    a_test.go:3: no\n--- FAIL: {name} (0.00s)\n")
}

const PANIC: &str = "panic: boom\n\ngoroutine 1 [running]:\n\t/w/a/a_test.go:7 +0x1\n";

/// The status and the reason of a task.
fn outcome(task: &Task) -> (Status, String) {
    let outcome = run(task).unwrap();
    (outcome.status, outcome.reason.unwrap_or_default())
}

/// The cases with their statuses.
fn cases(host: &Installed) -> Vec<(String, Status)> {
    let all = host.cases().into_iter();
    all.map(|case| (case.path.join(">"), case.status)).collect()
}

#[test]
fn results_and_exit_code_decide_the_outcome() {
    for (text, answer, status, reason) in [
        (
            format!("{}PASS\n", passed("TestA")),
            Answer::code(0),
            Status::Pass,
            "",
        ),
        (
            format!("{}{}FAIL\n", failed("TestA"), passed("TestB")),
            Answer::code(1),
            Status::Fail,
            "1 failed (TestA), 1 others",
        ),
        // A `TestMain` that does not pass on the exit code.
        (
            format!("{}FAIL\n", failed("TestA")),
            Answer::code(0),
            Status::Fail,
            "1 failed (TestA)",
        ),
        (
            format!("{}PASS\n", passed("TestA")),
            Answer::code(3),
            Status::Fail,
            "the process exited with code 3, although no test failed",
        ),
        (
            format!("{}PASS\n{PANIC}", passed("TestA")),
            Answer::code(2),
            Status::Fail,
            "the process exited with code 2, although no test failed: panic: boom",
        ),
        (
            format!("{}PASS\n", passed("TestA")),
            Answer::signal(9),
            Status::Fail,
            "the process ended by signal 9 (SIGKILL) after the last test",
        ),
        (
            format!("{}PASS\n", skipped("TestA")),
            Answer::code(0),
            Status::Skip,
            "no disk",
        ),
        (
            "testing: warning: no tests to run\nPASS\n".to_owned(),
            Answer::code(0),
            Status::Skip,
            "no tests to run",
        ),
        (
            "=== RUN   TestA\nPASS\n".to_owned(),
            Answer::code(0),
            Status::Error,
            "1 in error (TestA)",
        ),
        (
            "setting up\n".to_owned(),
            Answer::code(0),
            Status::Error,
            "the tests of m/a exited with code 0 before the first one: setting up; does its \
             TestMain call m.Run?",
        ),
        (
            "no database\n".to_owned(),
            Answer::code(1),
            Status::Fail,
            "the tests of m/a exited with code 1 before the first one: no database",
        ),
        (
            PANIC.to_owned(),
            Answer::code(2),
            Status::Fail,
            "the tests of m/a exited with code 2 before the first one: panic: boom",
        ),
    ] {
        let _host = host(&[answer.stdout(text.clone())]);
        assert_eq!(outcome(&task()), (status, reason.to_owned()), "{text}");
    }
}

#[test]
fn crash_costs_one_test() {
    let first = format!("{}=== RUN   TestB\n{PANIC}", passed("TestA"));
    let host = host(&[
        Answer::code(2).stdout(first),
        Answer::code(0).stdout("TestA\nTestB\nTestC\n"),
        Answer::code(0).stdout(format!("{}PASS\n", passed("TestC"))),
    ]);
    assert_eq!(
        outcome(&task()),
        (Status::Fail, "1 failed (TestB), 2 others".to_owned())
    );
    let expected = [
        ("TestA", Status::Pass),
        ("TestB", Status::Fail),
        ("TestC", Status::Pass),
    ];
    assert_eq!(
        cases(&host),
        expected.map(|(name, status)| (name.to_owned(), status))
    );
    assert_eq!(
        host.cases()[1].reason.as_deref(),
        Some("panic: boom (a_test.go:7)")
    );
    let commands = host.commands();
    assert_eq!(commands[1].args, ["-test.paniconexit0", "-test.list=."]);
    assert_eq!(commands[2].args.last().unwrap(), "-test.run=^TestC$");
}

#[test]
fn tests_side_by_side_run_again_alone_after_a_crash() {
    let begun = "=== RUN   TestA\n=== PAUSE TestA\n=== RUN   TestB\n=== PAUSE TestB\n\
                 === CONT  TestA\n=== CONT  TestB\n";
    let host = host(&[
        Answer::code(2).stdout(format!("{begun}{PANIC}")),
        Answer::code(0).stdout("TestA\nTestB\n"),
        Answer::code(2).stdout(format!("=== RUN   TestB\n{PANIC}")),
        Answer::code(0).stdout(format!("{}PASS\n", passed("TestA"))),
    ]);
    assert_eq!(
        outcome(&task()),
        (Status::Fail, "1 failed (TestB), 1 others".to_owned())
    );
    assert_eq!(cases(&host).len(), 2);
    assert_eq!(host.commands()[2].args.last().unwrap(), "-test.run=^TestB$");
}

#[test]
fn panic_in_a_finished_test_does_not_fail_the_running_ones() {
    let first = format!(
        "=== RUN   TestB\n=== PAUSE TestB\n=== CONT  TestB\n\
                         === RUN   TestA\n--- FAIL: TestA (0.00s)\n{PANIC}"
    );
    let host = host(&[
        Answer::code(2).stdout(first),
        Answer::code(0).stdout("TestA\nTestB\n"),
        Answer::code(0).stdout(format!("{}PASS\n", passed("TestB"))),
    ]);
    assert_eq!(
        outcome(&task()),
        (Status::Fail, "1 failed (TestA), 1 others".to_owned())
    );
    let expected = [("TestA", Status::Fail), ("TestB", Status::Pass)];
    assert_eq!(
        cases(&host),
        expected.map(|(name, status)| (name.to_owned(), status))
    );
}

#[test]
fn process_that_ends_without_a_word_is_never_green() {
    let begun = format!("{}=== RUN   TestB\n", passed("TestA"));
    for (answer, list, status, words) in [
        (
            Answer::code(0),
            Answer::code(0).stdout("TestA\nTestB\n"),
            Status::Error,
            "1 in error (TestB)",
        ),
        (
            Answer::code(3),
            Answer::code(0).stdout("TestA\nTestB\n"),
            Status::Fail,
            "1 failed (TestB)",
        ),
        (
            Answer::code(0),
            Answer::code(9),
            Status::Error,
            "nobody knows which tests were not run",
        ),
    ] {
        let _host = host(&[answer.stdout(begun.clone()), list]);
        let (found, reason) = outcome(&task());
        assert_eq!(found, status, "{reason}");
        assert!(reason.contains(words), "{reason}");
    }
    let _host = host(&[
        Answer::code(0).stdout(passed("TestA")),
        Answer::code(0).stdout("TestA\n"),
    ]);
    let after = "the process exited with code 0 after the last test";
    assert_eq!(outcome(&task()), (Status::Error, after.to_owned()));
}

#[test]
fn isolated_test_is_the_task() {
    let subtest = "=== RUN   TestA\n=== RUN   TestA/x\n--- PASS: TestA (0.00s)\n    \
                   --- PASS: TestA/x (0.00s)\nPASS\n";
    let host_of_one = host(&[Answer::code(0).stdout(subtest)]);
    assert_eq!(outcome(&isolated("TestA")), (Status::Pass, String::new()));
    assert_eq!(cases(&host_of_one), [("x".to_owned(), Status::Pass)]);
    drop(host_of_one);
    let _host = host(&[Answer::code(0).stdout("testing: warning: no tests to run\nPASS\n")]);
    let (status, reason) = outcome(&isolated("TestA"));
    assert_eq!(status, Status::Error);
    assert!(
        reason.starts_with("the test `TestA` does not exist any more: m/a was"),
        "{reason}"
    );
}

#[test]
fn package_is_built_where_its_binary_is_missing() {
    let host = host(&[
        Answer::missing(),
        Answer::code(0),
        Answer::code(0),
        Answer::code(0).stdout(format!("{}PASS\n", passed("TestA"))),
    ]);
    assert_eq!(outcome(&task()), (Status::Pass, String::new()));
    let built = &host.commands()[1];
    assert_eq!(
        (&*built.program, &built.args[..3]),
        ("go", &["test", "-c", "-o"].map(str::to_owned)[..])
    );
}

#[test]
fn task_without_a_directory_runs_nothing() {
    let host = host(&[Answer::code(0).stdout(format!("{}PASS\n", passed("TestA")))]);
    let mut task = task();
    task.more.0.retain(|(name, _)| name != "job-temp-dir");
    let error = run(&task).unwrap_err();
    assert_eq!(error.message, "the task has no directory for its binary");
    assert!(host.commands().is_empty(), "{:?}", host.commands());
}

#[test]
fn package_that_does_not_build_is_an_error() {
    let broken = Answer::code(2).stdout("# m/a\na_test.go:3:1: undefined: x\n");
    let _host = host(&[Answer::missing(), broken]);
    let expected = "m/a does not build: a_test.go:3:1: undefined: x";
    assert_eq!(outcome(&task()), (Status::Error, expected.to_owned()));
}

#[test]
fn missing_go_is_an_error_with_what_to_do() {
    let _host = host(&[]);
    let (status, reason) = outcome(&task());
    assert_eq!(status, Status::Error);
    assert!(
        reason.contains("install Go where the tests run"),
        "{reason}"
    );
}

#[test]
fn package_without_tests_is_skipped() {
    let task = of(Runnable::new(crate::KIND).kwarg(subject::EMPTY, true));
    assert_eq!(outcome(&task), (Status::Skip, "no test files".to_owned()));
}
