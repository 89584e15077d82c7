//! Tests of commands and outcomes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use persea_plugin_sdk::testing::{Answer, Host, Installed, Processes};

fn task(runnable: Runnable) -> Task {
    Task::new("1-t", runnable.uri("t/a.bats"))
}

fn of_file() -> Task {
    task(Runnable::new(crate::KIND))
}

fn host(answer: Answer) -> Installed {
    Host::new().processes(Processes::always(answer)).install()
}

fn outcome(answer: Answer) -> (Status, String) {
    let _host = host(answer);
    let outcome = run(&of_file()).unwrap();
    (outcome.status, outcome.reason.unwrap_or_default())
}

#[test]
fn command_has_the_options_of_the_runnable() {
    let runnable = Runnable::new(crate::KIND).args(["--jobs", "2"]);
    let runnable = runnable.kwarg(FILTER, "a b").kwarg(TAGS, "slow");
    let expected = [
        "--formatter",
        "cat",
        "--timing",
        "--jobs",
        "2",
        "--filter",
        "a b",
        "--filter-tags",
        "slow",
        "t/a.bats",
    ];
    let built = command(&task(runnable)).unwrap();
    assert_eq!(
        (&*built.program, &built.args[..]),
        ("bats", &expected.map(str::to_owned)[..])
    );
    assert!(
        !built.env.iter().any(|(name, _)| name == FILTER),
        "{:?}",
        built.env
    );
    let dashed = Task::new("1-t", Runnable::new(crate::KIND).uri("-a.bats"));
    assert_eq!(command(&dashed).unwrap().args.last().unwrap(), "./-a.bats");
}

#[test]
fn arguments_that_the_plugin_gives_itself_are_refused() {
    let letters = REFUSED_LETTERS.map(|letter| format!("-{letter}"));
    let others = ["--formatter=junit", "-xf", "-xc", "-j4r"];
    let long = REFUSED.iter().chain(&others).map(|arg| (*arg).to_owned());
    for arg in long.chain(letters) {
        let runnable = Runnable::new(crate::KIND).args([arg.as_str(), "a"]);
        let error = command(&task(runnable)).unwrap_err();
        assert_eq!(error.code, "invalid");
        assert!(error.message.contains(&format!("`{arg}`")), "{error}");
    }
    for arg in ["-x", "-xT", "--trace", "--report-formatter", "-"] {
        let taken = command(&task(Runnable::new(crate::KIND).args([arg]))).unwrap();
        assert!(taken.args.contains(&arg.to_owned()), "{:?}", taken.args);
    }
    let wrong = Runnable::new(crate::KIND).kwarg(FILTER, 3);
    assert_eq!(command(&task(wrong)).unwrap_err().code, "invalid");
}

#[test]
fn results_and_exit_code_decide_the_outcome() {
    let one = "1..1\nbegin 1 a\nok 1 a in 1ms\n";
    for (answer, status, reason) in [
        (Answer::code(0).stdout(one), Status::Pass, ""),
        (
            Answer::code(1).stdout("1..2\nbegin 1 a\nok 1 a\nbegin 2 b\nnot ok 2 b\n# no\n"),
            Status::Fail,
            "1 failed (b), 1 others",
        ),
        (
            Answer::code(0).stdout("1..1\nbegin 1 a\nok 1 a # skip no disk\n"),
            Status::Skip,
            "no disk",
        ),
        (
            Answer::code(1).stdout("1..3\nnot ok 1 setup_file failed\n# no\n"),
            Status::Fail,
            "1 failed (setup_file), 3 of 3 tests were not run",
        ),
        (
            Answer::code(1).stdout(format!("{one}# warning\n")),
            Status::Fail,
            "bats exited with code 1, although no test failed",
        ),
        (
            Answer::code(1).stdout("1..2\nbegin 1 a\nbegin 2 b\nok 2 b in 2ms\n"),
            Status::Fail,
            "1 failed (a), 1 others",
        ),
        (
            Answer::signal(9).stdout("1..3\nbegin 1 a\nok 1 a\nbegin 2 b\n"),
            Status::Error,
            "1 in error (b), 1 others, 1 of 3 tests was not run: bats ended by signal 9 (SIGKILL)",
        ),
        (
            Answer::code(0).stdout("1..2\nbegin 1 a\nok 1 a\n"),
            Status::Error,
            "1 of 2 tests was not run: bats exited with code 0",
        ),
        (
            Answer::code(0).stdout("1..0\n"),
            Status::Skip,
            "no tests to run",
        ),
        (
            Answer::code(1).stderr("Error: Duplicate test name(s)\n"),
            Status::Error,
            "bats exited with code 1 before the first test of t/a.bats: Error: Duplicate test \
             name(s)",
        ),
        (
            Answer::code(0).stdout("hello\n"),
            Status::Error,
            "bats exited with code 0 and printed no plan: hello; is it bats 1.3 or later?",
        ),
        (
            Answer::code(0),
            Status::Error,
            "bats exited with code 0 and printed no plan; is it bats 1.3 or later?",
        ),
    ] {
        assert_eq!(outcome(answer), (status, reason.to_owned()));
    }
}

#[test]
fn missing_bats_is_an_error_with_what_to_do() {
    let (status, reason) = outcome(Answer::missing());
    assert_eq!(status, Status::Error);
    assert!(
        reason.contains("install bats where the tests run"),
        "{reason}"
    );
}

#[test]
fn choice_that_matches_nothing_is_named() {
    for (chosen, reason) in [
        (vec![(FILTER, "none")], "no test matches `none`"),
        (vec![(TAGS, "slow")], "no test has the tags `slow`"),
        (
            vec![(FILTER, "none"), (TAGS, "slow")],
            "no test matches `none` and has the tags `slow`",
        ),
    ] {
        let _host = host(Answer::code(0).stdout("1..0\n"));
        let mut runnable = Runnable::new(crate::KIND);
        for (name, value) in chosen {
            runnable = runnable.kwarg(name, value);
        }
        assert_eq!(run(&task(runnable)).unwrap(), Outcome::skip(reason));
    }
}
