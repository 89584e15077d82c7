//! Tests of listing, with test binaries that answer from texts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use persea_plugin_sdk::testing::{Answer, Host, Processes};

/// The runnables of a binary at `/w/t` that gives these answers to both questions.
fn listed(task: &Task, all: &Answer, ignored: &Answer) -> Vec<Runnable> {
    let (all, ignored) = (all.clone(), ignored.clone());
    let answer = move |command: &Command| match command.args.iter().any(|arg| arg == "--ignored") {
        true => ignored.clone(),
        false => all.clone(),
    };
    let _host = Host::new().processes(Processes::new(answer)).install();
    list(task).unwrap()
}

fn task() -> Task {
    Task::new("1-t", Runnable::new(KIND).uri("t")).with("project-dir", "/w")
}

fn prints(text: &str) -> Answer {
    Answer::code(0).stdout(text)
}

#[test]
fn tests_become_runnables() {
    let (all, ignored) = (
        prints("a::b: test\nc: benchmark\n"),
        prints("c: benchmark\n"),
    );
    let tests = listed(&task(), &all, &ignored);
    let expected = |name: &str| {
        let runnable = Runnable::new(KIND).uri("t").args([name, "--exact"]);
        runnable.identifier(format!("t${name}"))
    };
    assert_eq!(tests, [expected("a::b"), expected("c")]);
    let too = task().setting(RUN_IGNORED.key(), "too");
    let tests = listed(&too, &all, &ignored);
    assert_eq!(
        tests,
        [expected("a::b"), expected("c").args(["--include-ignored"])]
    );
    let only = task().setting(RUN_IGNORED.key(), "only");
    assert_eq!(listed(&only, &all, &ignored).len(), 1);
}

#[test]
fn binary_without_a_list_becomes_one_runnable_with_the_reason() {
    let slow = prints("").duration(Duration::from_secs(31));
    for (all, ignored, words) in [
        (
            prints("hello\n"),
            prints(""),
            "it printed `hello` in place of a list of tests",
        ),
        (
            Answer::code(0).stdout(b"\xff: test\n".to_vec()),
            prints(""),
            "not UTF-8",
        ),
        (
            Answer::code(3).stderr("oh\n\n"),
            prints(""),
            "with `--list` it exited with code 3: oh",
        ),
        (
            prints(""),
            Answer::signal(11),
            "with `--list --ignored` it ended by signal 11",
        ),
        (
            prints("a: test\na: test\n"),
            prints(""),
            "it lists `a` twice",
        ),
        (
            prints(""),
            prints("a: test\n"),
            "it lists `a` only with --ignored",
        ),
        (slow, prints(""), "it did not list its tests within 30 s"),
        (Answer::missing(), prints(""), "there is no such program"),
    ] {
        let tests = listed(&task(), &all, &ignored);
        assert_eq!(tests.len(), 1);
        let fault = tests[0].kwargs.text(program::FAULT).unwrap();
        assert!(fault.starts_with("/w/t has no list of tests: "), "{fault}");
        assert!(fault.contains(words), "{fault}");
        assert_eq!(tests[0].identifier.as_deref(), Some("t"));
        // Its task then has that error.
        let error = program::command(&Task::new("1-t", tests[0].clone())).unwrap_err();
        assert_eq!(error.message, fault);
    }
}

#[test]
fn list_timeout_of_0_is_no_limit() {
    let slow = prints("a: test\n").duration(Duration::from_secs(3600));
    let patient = task().setting(LIST_TIMEOUT.key(), Value::Integer(0));
    let tests = listed(&patient, &slow, &prints(""));
    assert_eq!(tests[0].kwargs.text(program::FAULT), None);
}

#[test]
fn lost_environment_is_an_error_of_the_listing() {
    let lost = Answer::error(Error::new("closed", "the environment is lost"));
    let _host = Host::new().processes(Processes::always(lost)).install();
    assert_eq!(list(&task()).unwrap_err().code, "closed");
}

#[test]
fn test_is_not_listed_again() {
    let mut task = task();
    task.runnable = task.runnable.args(["a"]);
    let _host = Host::new().install();
    assert_eq!(list(&task).unwrap(), [task.runnable]);
}

#[test]
fn paths_in_the_project_are_relative() {
    for (path, expected) in [
        ("/w/a/b", "a/b"),
        ("/w", "."),
        ("/wa/b", "/wa/b"),
        ("/x", "/x"),
    ] {
        assert_eq!(relative(&task(), path), expected);
    }
}
