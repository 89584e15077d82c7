//! Tests the outcomes of tasks of kind `tap`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::log::Level;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::Output;
use persea_plugin_sdk::testing::{Answer, Host, Processes};
use persea_runner_tap::{LENIENT, Tap};
use std::time::Duration;

fn task() -> Task {
    Task::new("1-t.sh", Runnable::new("tap").uri("t.sh").args(["-v"]))
}

fn run(answer: Answer) -> Outcome {
    let host = Host::new().processes(Processes::always(answer)).install();
    host.run_program::<Tap>(&task()).unwrap()
}

#[test]
fn tap_decides_the_result() {
    let outcome = run(Answer::code(5)
        .stdout("1..3\nok 1\nnot ok 2 - broken thing\nok 3 # SKIP\n")
        .stderr("1..9\n"));
    assert_eq!(outcome.status, Status::Fail);
    assert_eq!(
        outcome.reason.as_deref(),
        Some("1 of 3 failed: 2 - broken thing; exited with code 5")
    );
    let count = |name| outcome.more.integer(name).unwrap();
    assert_eq!(
        (
            count("tap-passed"),
            count("tap-failed"),
            count("tap-skipped")
        ),
        (1, 1, 1)
    );
    assert_eq!(count("returncode"), 5);
}

#[test]
fn reason_names_only_an_informative_exit() {
    let reason = |answer: Answer| {
        let stdout = "1..3\nok 1\nnot ok 2\nnot ok 3\n";
        run(answer.stdout(stdout)).reason.unwrap()
    };
    let points = "2 of 3 failed: 2, 3";
    for code in 0..3 {
        assert_eq!(reason(Answer::code(code)), points, "{code}");
    }
    assert_eq!(
        reason(Answer::code(255)),
        format!("{points}; exited with code 255")
    );
    assert_eq!(
        reason(Answer::signal(11)),
        format!("{points}; ended by signal 11 (SIGSEGV)")
    );
}

#[test]
fn invalid_setting_is_reported_before_the_program_runs() {
    let host = Host::new()
        .processes(Processes::always(Answer::code(0).stdout("1..1\nok 1\n")))
        .install();
    let error = host
        .run_program::<Tap>(&task().setting(LENIENT.key(), "yes"))
        .unwrap_err();
    assert_eq!(error.message, "runner.tap.lenient must be true or false");
    assert_eq!(host.commands().len(), 0);
}

#[test]
fn reason_of_an_incomplete_stream_names_the_exit() {
    let reason = |answer| run(answer).reason.unwrap();
    assert_eq!(
        reason(Answer::code(127)),
        "no TAP in the output; exited with code 127"
    );
    assert_eq!(
        reason(Answer::code(0).stdout("hello\n")),
        "no TAP in the output"
    );
    let outcome = run(Answer::signal(11).stdout("1..2\nok 1\n"));
    assert_eq!(
        outcome.reason.unwrap(),
        "Tap format error: Too few tests run (expected 2, got 1); ended by signal 11 (SIGSEGV)"
    );
    assert_eq!(outcome.more.integer("returncode"), Some(-11));
}

#[test]
fn output_goes_into_the_tasks_files() {
    let host = Host::new()
        .processes(Processes::always(Answer::code(0).stdout("ok 1\n")))
        .install();
    host.run_program::<Tap>(&task()).unwrap();
    let commands = host.commands();
    let command = commands.first().unwrap();
    assert_eq!(
        (command.args.as_slice(), &command.stdout),
        (&["-v".to_owned()][..], &Output::file("stdout"))
    );
    assert_eq!(command.stderr, Output::file("stderr"));
}

#[test]
fn output_of_many_chunks_is_read_to_its_end() {
    let mut stdout = "some noise of a usual length\n".repeat(40_000);
    stdout.push_str("ok 1\nnot ok 2 - last\n1..2\n");
    assert_eq!(
        run(Answer::code(0).stdout(stdout)).reason.unwrap(),
        "1 of 2 failed: 2 - last"
    );
}

#[test]
fn truncated_line_is_reported() {
    let stdout = format!("{}\n", "x".repeat(2 << 20));
    let host = Host::new()
        .processes(Processes::always(Answer::code(0).stdout(stdout)))
        .install();
    let outcome = host.run_program::<Tap>(&task()).unwrap();
    let note = "line 1 is longer than 1048576 bytes; the rest was not read";
    assert_eq!(
        outcome.reason.unwrap(),
        format!("no TAP in the output; {note}")
    );
    assert!(
        host.log().iter().any(|(_, message)| message.contains(note)),
        "{:?}",
        host.log()
    );
}

#[test]
fn missing_program_is_an_error() {
    let missing = Processes::always(Answer::missing());
    let host = Host::new().processes(missing).install();
    let expected = Outcome::error("[Errno 2] No such file or directory: 't.sh'");
    assert_eq!(host.run_program::<Tap>(&task()), Ok(expected));
    assert_eq!(
        host.commands().len(),
        2,
        "in PATH and in the working directory"
    );
}

/// Runs a program that prints this, and returns the cases of its task.
fn cases(stdout: impl Into<Vec<u8>>) -> Vec<Case> {
    let answer = Answer::code(0).stdout(stdout);
    let host = Host::new().processes(Processes::always(answer)).install();
    host.run_program::<Tap>(&task()).unwrap();
    host.cases()
}

#[test]
fn test_points_are_cases() {
    let stdout = "1..7\nok 1 - works\nnot ok 2 - breaks # because\nok 3 # SKIP no disk\n\
                  not ok 4 - later # TODO soon\nok 5 - early # TODO soon\nnot ok 6\n  ---\n  \
                  message: 'too slow'\n  duration_ms: 1.5\n  ...\nok 7\n";
    let expected = [
        Case::new(["works"], Status::Pass),
        Case::new(["breaks # because"], Status::Fail),
        Case::new(["3"], Status::Skip).reason("no disk"),
        Case::new(["later"], Status::Pass).reason("soon"),
        Case::new(["early"], Status::Warn).reason("a TODO test passed"),
        Case::new(["6"], Status::Fail)
            .reason("too slow")
            .duration(Duration::from_micros(1500)),
        Case::new(["7"], Status::Pass),
    ];
    assert_eq!(cases(stdout), expected);
}

#[test]
fn cases_of_subtests_have_their_path() {
    let stdout = "TAP version 14\n1..1\n# Subtest: outer\n    # Subtest: inner\n        \
                  ok 1 - a\n        not ok 2 - b\n        1..2\n    not ok 1 - inner\n    \
                  1..1\nnot ok 1 - outer\n";
    let found = cases(stdout);
    let paths: Vec<String> = found.iter().map(|case| case.path.join("/")).collect();
    assert_eq!(
        paths,
        ["outer/inner/a", "outer/inner/b", "outer/inner", "outer"]
    );
    assert_eq!(
        found[3].reason.as_deref(),
        Some("1 of 1 failed: 1 - inner (1 of 2 failed: 2 - b)")
    );
}

#[test]
fn long_paths_stay_within_the_limit_of_the_contract() {
    let name = "\u{1f600}".repeat(250);
    let mut stdout = String::new();
    for depth in 0..32 {
        let blanks = "    ".repeat(depth);
        stdout.push_str(&format!("{blanks}# Subtest: {name}\n{blanks}    # x\n"));
    }
    stdout.push_str(&format!("{}ok 1 - {name}\n", "    ".repeat(32)));
    assert_eq!(cases(stdout).len(), 1, "the host refuses a longer path");
}

#[test]
fn refused_cases_do_not_change_the_result() {
    let answer = Answer::code(0).stdout("1..2\nok 1\nok 2\n");
    let host = Host::new()
        .processes(Processes::always(answer))
        .fault("cases.finish", Error::new("limit", "too many"))
        .install();
    let outcome = host.run_program::<Tap>(&task()).unwrap();
    assert_eq!(outcome.status, Status::Pass);
    let expected = "test points after the first 0 are not cases: too many";
    assert_eq!(host.log(), [(Level::Warn, expected.to_owned())]);
}

#[test]
fn stream_without_points_has_no_cases() {
    assert_eq!(cases("1..0 # SKIP nothing\n"), []);
}
