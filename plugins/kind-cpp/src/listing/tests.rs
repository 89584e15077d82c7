//! Tests of listing, with programs that answer from texts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use persea_plugin_sdk::testing::{Answer, Artifacts, Host, Processes};

const GOOGLETEST: &str = "<testsuites><testsuite name=\"A\"><testcase name=\"b\"/>\
                          <testcase name=\"c\"/></testsuite></testsuites>";
const CATCH2: &str = "<MatchingTests><TestCase><Name>b</Name><Tags>[fast]</Tags></TestCase>\
                      </MatchingTests>";

fn task(kind: &str) -> Task {
    let runnable = Runnable::new(kind).uri("b/t").kwarg(ISOLATE, true);
    Task::new("1-t", runnable)
}

/// Lists with a program that writes a file and gives an answer.
fn listed(task: &Task, file: &str, answer: Answer) -> Result<Vec<Runnable>, Error> {
    let _host = Host::new()
        .artifacts(Artifacts::new().file("list.xml", file))
        .processes(Processes::always(answer))
        .install();
    list(task)
}

#[test]
fn tests_become_runnables_with_what_their_program_has() {
    let mut task = task("googletest");
    task.runnable = task
        .runnable
        .kwarg(FILTER, "A.*")
        .args(["--x"])
        .env("V", "1")
        .tag("net", [""; 0])
        .timeout(Duration::from_secs(5));
    let tests = listed(&task, GOOGLETEST, Answer::code(0)).unwrap();
    let expected = |name: &str| {
        Runnable::new("googletest")
            .uri("b/t")
            .args(["--x"])
            .env("V", "1")
            .tag("net", [""; 0])
            .timeout(Duration::from_secs(5))
            .kwarg(TEST, name)
            .identifier(format!("b/t:{name}"))
    };
    assert_eq!(tests, [expected("A.b"), expected("A.c")]);
    let of_catch2 = listed(&self::task("catch2"), CATCH2, Answer::code(0)).unwrap();
    assert_eq!(of_catch2[0].tags, [("fast".to_owned(), Vec::new())]);
}

#[test]
fn old_catch2_is_asked_for_names() {
    let answer = |command: &Command| match command.args.iter().any(|arg| arg == "--list-tests") {
        true => Answer::code(2).stdout("Matching test cases:\n  a\n  b\n2 matching\n"),
        false => Answer::code(2).stdout("a\nb\n"),
    };
    let host = Host::new().processes(Processes::new(answer)).install();
    let tests = list(&task("catch2")).unwrap();
    let names: Vec<Option<&str>> = tests.iter().map(|test| test.kwargs.text(TEST)).collect();
    assert_eq!(names, [Some("a"), Some("b")]);
    assert_eq!(host.commands()[1].args, ["--list-test-names-only"]);
}

#[test]
fn session_and_test_are_not_listed() {
    let _host = Host::new().install();
    let mut session = task("googletest");
    session.runnable = session.runnable.kwarg(ISOLATE, false);
    assert_eq!(
        list(&session).unwrap(),
        std::slice::from_ref(&session.runnable)
    );
    let mut test = task("googletest");
    test.runnable = test.runnable.kwarg(TEST, "A.b");
    assert_eq!(list(&test).unwrap(), std::slice::from_ref(&test.runnable));
}

#[test]
fn setting_isolates_where_the_runnable_does_not_say() {
    let mut task = task("catch2").setting("runner.catch2.isolate", true);
    task.runnable = Runnable::new("catch2").uri("b/t");
    assert_eq!(
        listed(&task, CATCH2, Answer::code(0)).unwrap()[0]
            .identifier
            .as_deref(),
        Some("b/t:b")
    );
    task.runnable = task.runnable.kwarg(ISOLATE, "yes");
    let error = listed(&task, CATCH2, Answer::code(0)).unwrap_err();
    assert_eq!(error.message, "`isolate` must be true or false");
}

#[test]
fn program_without_a_list_says_why() {
    let twice = "<testsuites><testsuite name=\"A\"><testcase name=\"b\"/><testcase name=\"b\"/>\
                 </testsuite></testsuites>";
    let slow = Answer::code(0).duration(Duration::from_secs(31));
    let old = "All available test cases:\n  a\n1 test case\n";
    for (kind, file, answer, words) in [
        (
            "googletest",
            "",
            Answer::signal(11),
            "`--gtest_list_tests` it ended by signal 11",
        ),
        (
            "googletest",
            GOOGLETEST,
            Answer::code(3).stderr("oh\n\n"),
            "`--gtest_list_tests` it exited with code 3: oh",
        ),
        (
            "googletest",
            "",
            Answer::code(0).stdout("hi\n"),
            "it printed `hi` in place of a list",
        ),
        (
            "googletest",
            "",
            Answer::code(0),
            "it wrote no list; is it a test program with Google",
        ),
        (
            "googletest",
            "<testsuites>",
            Answer::code(0),
            "its list of tests is broken off",
        ),
        (
            "googletest",
            "<testsuites/>",
            Answer::code(0),
            "b/t lists no tests",
        ),
        (
            "googletest",
            twice,
            Answer::code(0),
            "b/t lists `A.b` twice",
        ),
        (
            "googletest",
            GOOGLETEST,
            slow.clone(),
            "within 30 s (`runner.googletest.list_timeout`)",
        ),
        (
            "googletest",
            "",
            Answer::missing(),
            "there is no such program",
        ),
        (
            "catch2",
            "",
            Answer::signal(11),
            "`--list-tests` it ended by signal 11",
        ),
        (
            "catch2",
            CATCH2,
            Answer::code(3),
            "`--list-tests` it exited with code 3",
        ),
        (
            "catch2",
            "",
            Answer::code(0).stdout("hi\n"),
            "it printed `hi` in place of a list",
        ),
        (
            "catch2",
            "<MatchingTests>",
            Answer::code(0),
            "its list of tests is broken off",
        ),
        (
            "catch2",
            "<MatchingTests/>",
            Answer::code(0),
            "b/t lists no tests",
        ),
        (
            "catch2",
            CATCH2,
            slow,
            "within 30 s (`runner.catch2.list_timeout`)",
        ),
        // The names that are printed are as many as the exit code says.
        (
            "catch2",
            "",
            Answer::code(7).stdout(old),
            "with `--list-test-names-only` it exited with code 7",
        ),
    ] {
        let error = listed(&task(kind), file, answer).unwrap_err();
        assert!(error.message.contains(words), "{kind} {file}: {error}");
    }
}

#[test]
fn filter_without_tests_is_named() {
    let mut task = task("catch2");
    task.runnable = task.runnable.kwarg(FILTER, "[none]");
    let error = listed(&task, "<MatchingTests/>", Answer::code(0)).unwrap_err();
    assert_eq!(error.message, "no test of b/t matches `[none]`");
}

#[test]
fn list_timeout_of_0_is_no_limit() {
    let slow = Answer::code(0).duration(Duration::from_secs(3600));
    let task = task("catch2").setting("runner.catch2.list_timeout", Value::Integer(0));
    assert_eq!(listed(&task, CATCH2, slow).unwrap().len(), 1);
}

#[test]
fn lost_environment_is_an_error_of_the_listing() {
    let lost = Answer::error(Error::new("closed", "the environment is lost"));
    let error = listed(&task("googletest"), "", lost).unwrap_err();
    assert_eq!(error.code, "closed");
}
