//! Tests of outcomes: what a program writes, prints and ends with, and what becomes of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::collections::VecDeque;
use std::time::Duration;

use super::*;
use persea_plugin_sdk::testing::{Answer, Artifacts, Host, Installed, Processes};

/// A report of GoogleTest with tests of a suite `A`: their names and results.
fn report(tests: &[(&str, &str)]) -> String {
    let one = |(name, result): &(&str, &str)| {
        let (result, inner) = match *result {
            "failed" => ("completed", "<failure message=\"g.cc:1&#x0A;no\"/>"),
            result => (result, ""),
        };
        format!("<testcase name=\"{name}\" status=\"run\" result=\"{result}\">{inner}</testcase>")
    };
    let tests: String = tests.iter().map(one).collect();
    format!("<testsuites><testsuite name=\"A\">{tests}</testsuite></testsuites>")
}

/// A report of Catch2: names, and what is in their elements.
fn catch(tests: &[(&str, &str)]) -> String {
    let one =
        |(name, inner): &(&str, &str)| format!("<TestCase name=\"{name}\">{inner}</TestCase>");
    let tests: String = tests.iter().map(one).collect();
    format!("<?xml version=\"1.0\"?><Catch name=\"t\">{tests}</Catch>")
}

const PASSED: &str = "<OverallResult success=\"true\"/>";
const FAILED: &str = "<OverallResult success=\"false\"/>";
const SKIPPED: &str = "<Skip>no disk</Skip><OverallResult success=\"true\" skips=\"1\"/>";

fn task(kind: &str) -> Task {
    Task::new("1-t", Runnable::new(kind).uri("b/t"))
}

fn isolated(kind: &str, test: &str) -> Task {
    Task::new("1-t", Runnable::new(kind).uri("b/t").kwarg("test", test))
}

/// A machine whose files are these, and whose processes give these answers in order.
fn host(files: &[(&str, &str)], answers: &[Answer]) -> Installed {
    let artifacts = files
        .iter()
        .fold(Artifacts::new(), |all, (name, text)| all.file(*name, *text));
    let mut answers: VecDeque<Answer> = answers.iter().cloned().collect();
    let next = move |_: &_| answers.pop_front().unwrap_or_else(Answer::missing);
    Host::new()
        .artifacts(artifacts)
        .processes(Processes::new(next))
        .install()
}

/// The status and the reason of a task.
fn outcome(task: &Task) -> (Status, String) {
    let outcome = run(task).unwrap();
    (outcome.status, outcome.reason.unwrap_or_default())
}

#[test]
fn report_and_exit_code_decide_the_outcome() {
    let all_pass = report(&[("a", "completed"), ("b", "completed")]);
    let one_fails = report(&[("a", "completed"), ("b", "failed")]);
    let suite = "[  FAILED  ] A: SetUpTestSuite or TearDownTestSuite\n";
    for (text, answer, status, reason) in [
        (&all_pass, Answer::code(0), Status::Pass, ""),
        (
            &one_fails,
            Answer::code(1),
            Status::Fail,
            "1 failed (A.b), 1 others",
        ),
        // Whatever the program's own `main` makes of the exit code.
        (
            &one_fails,
            Answer::code(0),
            Status::Fail,
            "1 failed (A.b), 1 others",
        ),
        (
            &all_pass,
            Answer::code(23),
            Status::Fail,
            "the process exited with code 23, although no test failed",
        ),
        (
            &all_pass,
            Answer::signal(11),
            Status::Fail,
            "the process ended by signal 11 (SIGSEGV) after the last test",
        ),
        (
            &all_pass,
            Answer::code(1).stdout(suite),
            Status::Fail,
            "failed: A: SetUpTestSuite or TearDownTestSuite",
        ),
        (
            &report(&[("a", "skipped"), ("b", "suppressed")]),
            Answer::code(0),
            Status::Skip,
            "all 2 tests were skipped: skipped",
        ),
        (
            &report(&[]),
            Answer::code(0),
            Status::Error,
            "b/t has run no tests",
        ),
        (
            &report(&[]),
            Answer::code(1),
            Status::Error,
            "b/t has run no tests",
        ),
    ] {
        let _host = host(&[("report.xml", text)], &[answer]);
        let expected = (status, reason.to_owned());
        assert_eq!(outcome(&task("googletest")), expected, "{text}");
    }
}

#[test]
fn exit_codes_of_catch2_are_understood() {
    for (tests, code, status, reason) in [
        (&[("a", PASSED)][..], 0, Status::Pass, ""),
        (
            &[("a", PASSED), ("b", FAILED)],
            42,
            Status::Fail,
            "1 failed (b), 1 others",
        ),
        (&[("a", SKIPPED)], 4, Status::Skip, "no disk"),
        (
            &[("a", PASSED), ("b", SKIPPED)],
            4,
            Status::Fail,
            "the process exited with code 4, although no test failed",
        ),
        (&[], 2, Status::Error, "b/t has run no tests"),
    ] {
        let _host = host(&[("report.xml", &catch(tests))], &[Answer::code(code)]);
        let expected = (status, reason.to_owned());
        assert_eq!(outcome(&task("catch2")), expected, "{tests:?}");
    }
}

#[test]
fn cases_are_the_tests_and_their_sections() {
    let sections = "<Section name=\"s\"><OverallResults failures=\"0\"/></Section>";
    let tests = catch(&[("a", &format!("{sections}{PASSED}"))]);
    let installed = host(&[("report.xml", &tests)], &[Answer::code(0)]);
    run(&task("catch2")).unwrap();
    let cases = [
        Case::new(["a", "s"], Status::Pass),
        Case::new(["a"], Status::Pass),
    ];
    assert_eq!(installed.cases(), cases);
    drop(installed);
    let installed = host(&[("report.xml", &tests)], &[Answer::code(0)]);
    run(&isolated("catch2", "a")).unwrap();
    assert_eq!(installed.cases(), [Case::new(["s"], Status::Pass)]);
}

#[test]
fn tests_after_a_crash_run_in_a_next_process() {
    let printed = "[==========] Running 4 tests\n[ RUN      ] A.a\n[       OK ] A.a (0 ms)\n\
                   [ RUN      ] A.b\n";
    let list = report(&[("a", ""), ("b", ""), ("c", ""), ("DISABLED_d", "")]);
    let rest = report(&[("c", "completed"), ("DISABLED_d", "suppressed")]);
    for (first, status, reason, why) in [
        (
            Answer::signal(11),
            Status::Fail,
            "1 failed (A.b), 3 others",
            "the process ended by signal 11 (SIGSEGV)",
        ),
        (
            Answer::code(0),
            Status::Error,
            "1 in error (A.b), 3 others",
            "the process exited with code 0",
        ),
        (
            Answer::code(3),
            Status::Fail,
            "1 failed (A.b), 3 others",
            "the process exited with code 3",
        ),
    ] {
        let installed = host(
            &[("list-1.xml", &list), ("report-2.xml", &rest)],
            &[first.stdout(printed), Answer::code(0), Answer::code(0)],
        );
        assert_eq!(outcome(&task("googletest")), (status, reason.to_owned()));
        let commands = installed.commands();
        assert!(commands[1].args.contains(&"--gtest_list_tests".to_owned()));
        assert_eq!(commands[2].args[0], "--gtest_filter=A.c:A.DISABLED_d");
        let cases = installed.cases();
        let crashed = cases.iter().find(|case| case.path == ["A", "b"]).unwrap();
        assert_eq!(
            (crashed.status, crashed.reason.as_deref()),
            (status, Some(why))
        );
        assert_eq!(cases.len(), 4);
    }
}

#[test]
fn signal_that_catch2_reports_costs_one_test() {
    let crash = "<FatalErrorCondition>SIGSEGV</FatalErrorCondition>";
    let first = catch(&[("a", PASSED), ("b", &format!("{crash}{FAILED}"))]);
    let list = "<MatchingTests><TestCase><Name>a</Name></TestCase><TestCase><Name>b</Name>\
                </TestCase><TestCase><Name>c</Name></TestCase></MatchingTests>";
    let files = [
        ("report.xml", &*first),
        ("list-1.xml", list),
        ("report-2.xml", &catch(&[("c", PASSED)])),
    ];
    let answers = [Answer::signal(11), Answer::code(0), Answer::code(0)];
    let installed = host(&files, &answers);
    let expected = (Status::Fail, "1 failed (b), 2 others".to_owned());
    assert_eq!(outcome(&task("catch2")), expected);
    assert_eq!(installed.commands()[2].args[0], "\"c\"");
}

#[test]
fn early_end_beside_tests_is_never_green() {
    let passed = "[==========] Running 1 test\n[ RUN      ] A.a\n[       OK ] A.a (0 ms)\n";
    let begun = "[==========] Running 1 test\n";
    let list = report(&[("a", "")]);
    let next = "1 failed (A.a)";
    for (answers, status, reason) in [
        // In the tear-down of the environment.
        (
            vec![Answer::code(0).stdout(passed), Answer::code(0)],
            Status::Error,
            "the process exited with code 0 after the last test",
        ),
        (
            vec![Answer::signal(6).stdout(passed), Answer::code(0)],
            Status::Fail,
            "the process ended by signal 6 (SIGABRT) after the last test",
        ),
        // In the set-up of the first suite.
        (
            vec![Answer::signal(6).stdout(begun), Answer::code(0)],
            Status::Fail,
            next,
        ),
    ] {
        let _host = host(&[("list-1.xml", &list)], &answers);
        assert_eq!(outcome(&task("googletest")), (status, reason.to_owned()));
    }
    // Without a list nobody knows what is missing.
    let answers = [Answer::code(0).stdout(passed), Answer::code(1)];
    let _host = host(&[], &answers);
    let (status, reason) = outcome(&task("googletest"));
    assert_eq!(status, Status::Error);
    assert!(
        reason.contains("nobody knows which tests were not run"),
        "{reason}"
    );
}

#[test]
fn program_that_always_crashes_before_its_tests_ends() {
    let begun = "[==========] Running 3 tests\n";
    let list = report(&[("a", ""), ("b", ""), ("DISABLED_c", "")]);
    let crash = || Answer::signal(6).stdout(begun);
    let answers = [crash(), Answer::code(0), crash(), crash(), crash()];
    let installed = host(&[("list-1.xml", &list)], &answers);
    let (status, reason) = outcome(&task("googletest"));
    assert_eq!(status, Status::Fail);
    assert!(reason.starts_with("2 failed (A.a, A.b)"), "{reason}");
    assert_eq!(
        installed.commands().len(),
        4,
        "one for each test, a list, the disabled one"
    );
}

#[test]
fn program_that_is_no_test_program_says_so() {
    for (kind, files, answer, words) in [
        (
            "googletest",
            &[][..],
            Answer::code(2).stderr("unknown option\n"),
            "exited with code 2 before its first test: unknown option; is it a test program",
        ),
        (
            "googletest",
            &[],
            Answer::code(0).stdout("hi\n"),
            "before its first test: hi; is it",
        ),
        (
            "googletest",
            &[("report.xml", "rubbish")],
            Answer::code(0),
            "before its first test",
        ),
        (
            "catch2",
            &[("report.xml", "rubbish")],
            Answer::code(0),
            "with Catch2 2.10 or later?",
        ),
        (
            "catch2",
            &[],
            Answer::signal(11),
            "ended by signal 11 (SIGSEGV) before its first test",
        ),
        (
            "catch2",
            &[],
            Answer::missing(),
            "b/t does not exist where the tests run",
        ),
    ] {
        for task in [task(kind), isolated(kind, "A.a")] {
            let _host = host(files, std::slice::from_ref(&answer));
            let (status, reason) = outcome(&task);
            assert_eq!(status, Status::Error, "{reason}");
            assert!(reason.contains(words), "{kind}: {reason}");
        }
    }
}

#[test]
fn isolated_test_has_its_own_result() {
    let printed = "[==========] Running 1 test\n[ RUN      ] A.a\n";
    // The name `A.a?c` in the filter matches other tests as well.
    let others = report(&[("a", "failed"), ("a-c", "completed")]);
    for (test, text, answer, status, words) in [
        (
            "A.a",
            report(&[("a", "completed")]),
            Answer::code(0),
            Status::Pass,
            "",
        ),
        (
            "A.a",
            report(&[("a", "failed")]),
            Answer::code(1),
            Status::Fail,
            "g.cc:1: no",
        ),
        (
            "A.a",
            report(&[("a", "suppressed")]),
            Answer::code(0),
            Status::Skip,
            "disabled",
        ),
        (
            "A.a-c",
            others,
            Answer::code(1),
            Status::Fail,
            "although no test failed",
        ),
        (
            "A.a",
            report(&[]),
            Answer::code(0),
            Status::Error,
            "`A.a` does not exist any more",
        ),
        (
            "A.a",
            report(&[("a", "completed")]),
            Answer::signal(6),
            Status::Fail,
            "SIGABRT) after the last test",
        ),
        (
            "A.a",
            String::new(),
            Answer::signal(11).stdout(printed),
            Status::Fail,
            "(SIGSEGV)",
        ),
        (
            "A.a",
            String::new(),
            Answer::code(0).stdout(printed),
            Status::Error,
            "code 0",
        ),
    ] {
        let installed = host(&[("report.xml", &text)], &[answer]);
        let (found, reason) = outcome(&isolated("googletest", test));
        assert_eq!(found, status, "{test} {text}: {reason}");
        assert!(reason.contains(words), "{test} {text}: {reason}");
        assert_eq!(installed.commands().len(), 1);
        assert_eq!(installed.cases(), []);
    }
}

#[test]
fn running_test_is_named_and_reported_once() {
    let printed = "[==========] Running 2 tests\n[ RUN      ] A.a\n[       OK ] A.a (0 ms)\n\
                   [ RUN      ] A.b\n[       OK ] A.b (0 ms)\n";
    let text = report(&[("a", "completed"), ("b", "completed")]);
    let slow = Answer::code(0)
        .stdout(printed)
        .duration(Duration::from_secs(2));
    let installed = host(&[("report.xml", &text)], &[slow]);
    assert_eq!(outcome(&task("googletest")), (Status::Pass, String::new()));
    assert_eq!(installed.cases().len(), 2, "{:?}", installed.cases());
}

#[test]
fn time_that_is_up_is_no_crash() {
    let artifacts = Artifacts::new().file("report.xml", "<Catch2TestRun><TestCase name=\"a\">");
    let slow = Answer::code(0).duration(Duration::from_secs(60));
    let installed = Host::new()
        .artifacts(artifacts)
        .processes(Processes::always(slow))
        .deadline(Duration::from_secs(5))
        .install();
    let expected = (Status::Error, "the tests were interrupted".to_owned());
    assert_eq!(outcome(&task("catch2")), expected);
    assert_eq!(installed.started_cases(), [["a"]]);
    assert_eq!(installed.cases(), []);
    assert_eq!(installed.commands().len(), 1);
}

#[test]
fn report_of_one_test_without_an_end_is_an_error() {
    let text = format!(
        "<Catch2TestRun><TestCase name=\"a\">{}",
        "x".repeat(LONGEST)
    );
    let _host = host(&[("report.xml", &text)], &[Answer::code(0)]);
    assert_eq!(run(&task("catch2")).unwrap_err().code, "too-large");
}

#[test]
fn full_host_costs_cases_and_no_result() {
    let text = report(&[("a", "completed")]);
    let installed = Host::new()
        .artifacts(Artifacts::new().file("report.xml", text))
        .processes(Processes::always(Answer::code(0)))
        .fault("cases.finish", Error::new("limit", "full"))
        .install();
    assert_eq!(outcome(&task("googletest")).0, Status::Pass);
    assert_eq!(installed.log().len(), 1);
}
