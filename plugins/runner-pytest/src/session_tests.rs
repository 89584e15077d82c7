//! Tests of outcomes: what a report and the end of a process mean.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::testing::{Answer, Host, Installed, Processes};

use super::*;
use crate::{KIND, Pytest};

/// Lines of a session whose two tests, `a` and `b`, end with these statuses.
fn two(a: &str, b: &str) -> String {
    let case = |name: &str, status: &str| {
        format!(
            "{{\"is\": \"start\", \"path\": [\"{name}\"]}}\n\
             {{\"is\": \"case\", \"path\": [\"{name}\"], \"status\": \"{status}\", \
               \"reason\": \"why\"}}\n"
        )
    };
    format!("{}{}{}", begin(2, 0), case("a", a), case("b", b))
}

/// The first lines of a session.
fn begin(selected: u64, deselected: u64) -> String {
    format!(
        "{{\"is\": \"ready\"}}\n\
         {{\"is\": \"collected\", \"selected\": {selected}, \"deselected\": {deselected}}}\n"
    )
}

fn end(code: i32) -> String {
    format!("{{\"is\": \"end\", \"code\": {code}}}\n")
}

fn start(name: &str) -> String {
    format!("{{\"is\": \"start\", \"path\": [\"{name}\"]}}\n")
}

fn stopped(reason: &str) -> String {
    format!("{{\"is\": \"stopped\", \"kind\": \"x\", \"reason\": \"{reason}\"}}\n")
}

fn host(answer: Answer) -> Installed {
    Host::new().processes(Processes::always(answer)).install()
}

/// The status and the reason of a runnable whose process gives this answer.
fn run(runnable: Runnable, answer: Answer) -> (Status, String) {
    let _host = host(answer);
    let outcome = Pytest::run(Task::new("1-t", runnable)).unwrap();
    (outcome.status, outcome.reason.unwrap_or_default())
}

fn file() -> Runnable {
    Runnable::new(KIND).uri("t.py")
}

/// The outcome of a file whose process writes this report and exits with a code.
fn judged(report: &str, code: i32) -> (Status, String) {
    run(file(), Answer::code(code).report(report))
}

#[test]
fn exit_code_and_cases_decide_the_outcome() {
    for (report, code, status, reason) in [
        (two("pass", "pass"), 0, Status::Pass, ""),
        (two("pass", "skip"), 0, Status::Pass, ""),
        (two("pass", "xfail"), 0, Status::Pass, ""),
        (two("xfail", "skip"), 0, Status::Pass, ""),
        (
            two("skip", "skip"),
            0,
            Status::Skip,
            "all 2 tests were skipped: why",
        ),
        (
            two("pass", "xpass"),
            0,
            Status::Warn,
            "1 passed that was expected to fail: b",
        ),
        (
            two("fail", "pass"),
            1,
            Status::Fail,
            "1 failed (a), 1 other",
        ),
        (two("fail", "fail"), 1, Status::Fail, "2 failed (a, b)"),
        (
            two("pass", "error"),
            1,
            Status::Error,
            "1 in error (b), 1 other",
        ),
        (
            two("error", "fail"),
            1,
            Status::Fail,
            "1 failed (b), 1 in error (a)",
        ),
        // Whatever a plugin of the project makes of the exit code.
        (
            two("fail", "pass"),
            0,
            Status::Fail,
            "1 failed (a), 1 other",
        ),
        (
            two("pass", "pass"),
            1,
            Status::Fail,
            "pytest exited with code 1, although no test failed; its output says why",
        ),
        (begin(0, 0), 5, Status::Error, "pytest collected no tests"),
        (begin(0, 1), 5, Status::Skip, "its only test was deselected"),
        (begin(0, 7), 5, Status::Skip, "all 7 tests were deselected"),
    ] {
        let found = judged(&(report.clone() + &end(code)), code);
        assert_eq!(found, (status, reason.to_owned()), "{report}");
    }
}

#[test]
fn session_that_ran_less_than_it_collected_is_never_green() {
    let one = begin(3, 0)
        + &start("a")
        + "{\"is\": \"case\", \"path\": [\"a\"], \
               \"status\": \"pass\"}\n";
    for (stop, reason) in [
        (
            String::new(),
            "pytest exited with code 0, but ran 1 of 3 tests",
        ),
        (
            stopped("pytest.exit: enough"),
            "2 of 3 tests were not run: pytest.exit: enough",
        ),
    ] {
        let report = format!("{one}{stop}{}", end(0));
        assert_eq!(judged(&report, 0), (Status::Error, reason.to_owned()));
    }
    let nothing = format!("{{\"is\": \"ready\"}}\n{}", end(0));
    let reason = "pytest exited with code 0 without running tests";
    assert_eq!(judged(&nothing, 0), (Status::Error, reason.to_owned()));
}

#[test]
fn session_that_ran_something_else_than_was_asked_is_never_green() {
    let foreign =
        |name: &str| format!("{{\"is\": \"foreign\", \"path\": [\"o.py\", \"{name}\"]}}\n");
    let four: String = ["a", "b", "c", "d"].into_iter().map(foreign).collect();
    for (lines, reason) in [
        (
            foreign("a"),
            "pytest ran o.py::a, which does not belong to t.py",
        ),
        (
            four,
            "pytest ran o.py::a, o.py::b, o.py::c and 1 more, which do not belong to t.py",
        ),
    ] {
        let report = two("pass", "pass") + &lines + &end(0);
        assert_eq!(judged(&report, 0), (Status::Error, reason.to_owned()));
    }
}

#[test]
fn early_end_of_pytest_is_an_error_with_its_reason() {
    for (code, stop, reason) in [
        (
            2,
            "KeyboardInterrupt",
            "pytest was interrupted: KeyboardInterrupt",
        ),
        (3, "INTERNALERROR: x", "pytest failed: INTERNALERROR: x"),
        (
            7,
            "pytest.exit: bye",
            "pytest exited with code 7: pytest.exit: bye",
        ),
    ] {
        let report = begin(1, 0) + &stopped(stop) + &end(code);
        assert_eq!(judged(&report, code), (Status::Error, reason.to_owned()));
    }
}

#[test]
fn failure_that_stops_the_session_names_the_tests_that_were_not_run() {
    let report = begin(5, 0)
        + &start("a")
        + "{\"is\": \"case\", \"path\": [\"a\"], \"status\": \"fail\"}\n"
        + &stopped("stopping after 1 failures")
        + &end(1);
    let reason = "1 failed (a), 4 not run: stopping after 1 failures";
    assert_eq!(judged(&report, 1), (Status::Fail, reason.to_owned()));
}

#[test]
fn usage_error_has_the_message_of_pytest() {
    let answer = Answer::code(4)
        .report("{\"is\": \"ready\"}\n".to_owned() + &end(4))
        .stderr("ERROR: usage: pytest [options]\npytest: error: unrecognized arguments: --nope\n");
    let reason = "pytest does not accept its arguments: unrecognized arguments: --nope";
    assert_eq!(run(file(), answer), (Status::Error, reason.to_owned()));
}

#[test]
fn crash_names_the_test_and_counts_those_that_were_not_run() {
    let report = begin(4, 0) + &start("a");
    let crash = Answer::signal(11).report(report);
    let reason = "the process of pytest ended by signal 11 (SIGSEGV) while a ran; \
                  3 other tests were not run";
    let host = host(crash);
    let outcome = Pytest::run(Task::new("1-t", file())).unwrap();
    assert_eq!(outcome, Outcome::error(reason).with("returncode", -11));
    // The host makes it INTERRUPTED or ERROR, whichever the task becomes.
    assert_eq!(host.cases(), []);
}

#[test]
fn process_that_outlives_its_tests_is_a_case() {
    let end = "{\"is\": \"end\", \"code\": 0, \"waits-for\": [\"thread a\", \"thread b\"]}\n";
    let lasting = |answer: Answer| {
        let answer = answer.report(two("pass", "pass") + end);
        let host = host(answer.duration(Duration::from_secs(60)));
        let outcome = Pytest::run(Task::new("1-t", file())).unwrap();
        let names = |case: Case| (case.path.concat(), case.status);
        let cases: Vec<(String, Status)> = host.cases().into_iter().map(names).collect();
        (host.started_cases(), cases, outcome.status)
    };
    let name = "exit: all 2 tests have ended, but the thread a and 1 more have not";
    let (started, cases, status) = lasting(Answer::code(0));
    assert_eq!(started.last().unwrap(), &[name]);
    assert_eq!(cases.last().unwrap(), &(name.to_owned(), Status::Warn));
    assert_eq!(status, Status::Pass);
    // The host ends the case with the task, and puts its name into the reason.
    let (started, cases, _) = lasting(Answer::signal(15));
    assert_eq!(started.last().unwrap(), &[name]);
    assert_eq!(cases.len(), 2);
    let quick = Answer::code(0).report(two("pass", "pass") + end);
    let host = host(quick);
    Pytest::run(Task::new("1-t", file())).unwrap();
    assert_eq!((host.started_cases().len(), host.cases().len()), (0, 2));
}

#[test]
fn process_that_ends_between_tests_says_where() {
    for (report, place) in [
        (begin(1, 0), " between two tests"),
        (begin(0, 0), " after the last test"),
        (
            "{\"is\": \"ready\"}\n".to_owned(),
            " while pytest collected the tests",
        ),
    ] {
        let (status, reason) = judged(&report, 0);
        assert_eq!(status, Status::Error);
        assert_eq!(
            reason,
            format!("the process of pytest exited with code 0{place}")
        );
    }
    let (status, reason) = run(
        file(),
        Answer::code(1).stderr("ModuleNotFoundError: encodings\n"),
    );
    assert_eq!(status, Status::Error);
    assert_eq!(
        reason,
        "the Python interpreter exited with code 1 before it had started pytest: \
         ModuleNotFoundError: encodings"
    );
}

#[test]
fn problem_is_the_reason_whatever_the_process_does() {
    let problem = "{\"is\": \"problem\", \"reason\": \"pytest is too old\"}\n";
    assert_eq!(
        judged(problem, 1),
        (Status::Error, "pytest is too old".to_owned())
    );
}

#[test]
fn rubbish_in_the_report_is_an_error() {
    for rubbish in ["rubbish\n", "{\"is\": \"case\"}\n", "{\"is\": \"new\"}\n"] {
        let (status, reason) = judged(&(two("pass", "pass") + rubbish + &end(0)), 0);
        assert_eq!(status, Status::Error, "{rubbish}");
        assert!(
            reason.starts_with("a test has written to the report"),
            "{reason}"
        );
    }
    let _host = host(Answer::code(0).report("x".repeat(MAX_LINE + 300_000)));
    let error = Pytest::run(Task::new("1-t", file())).unwrap_err();
    assert_eq!(error.code, "too-large");
}

#[test]
fn cases_reach_the_host_with_the_words_of_pytest() {
    let host = host(Answer::code(0).report(two("xfail", "xpass") + &end(0)));
    Pytest::run(Task::new("1-t", file())).unwrap();
    let expected = [
        Case::new(["a"], Status::Pass)
            .reason("failed, as expected: why")
            .with("expected-failure", true),
        Case::new(["b"], Status::Warn)
            .reason("passed, but was expected to fail: why")
            .with("unexpected-success", true),
    ];
    assert_eq!(host.cases(), expected);
}

#[test]
fn full_host_costs_cases_and_no_result() {
    let host = Host::new()
        .processes(Processes::always(
            Answer::code(1).report(two("fail", "pass") + &end(1)),
        ))
        .fault("cases.finish", Error::new("limit", "full"))
        .install();
    let outcome = Pytest::run(Task::new("1-t", file())).unwrap();
    assert_eq!(outcome.status, Status::Fail);
    assert_eq!(outcome.reason.unwrap(), "1 failed (a), 1 other");
    let expected = (Level::Warn, "later tests are not cases: full".to_owned());
    assert_eq!(host.log(), [expected]);
}

#[test]
fn tests_pass_in_a_process_that_fails_at_its_end_is_a_warning() {
    let why = "the tests passed, but their process ended by signal 11 (SIGSEGV)";
    let answer = Answer::signal(11).report(two("pass", "pass") + &end(0));
    assert_eq!(run(file(), answer), (Status::Warn, why.to_owned()));
}

#[test]
fn session_without_tests_is_skipped_where_another_may_have_some() {
    for runnable in [file().kwarg("empty", "skip"), file().kwarg("part", "1/2")] {
        let answer = Answer::code(5).report(begin(0, 0) + &end(5));
        let expected = (Status::Skip, "pytest collected no tests".to_owned());
        assert_eq!(run(runnable, answer), expected);
    }
}

#[test]
fn missing_interpreter_names_the_setting() {
    let (status, reason) = run(file(), Answer::missing());
    assert_eq!(status, Status::Error);
    assert!(reason.contains("set runner.pytest.interpreter"), "{reason}");
}
