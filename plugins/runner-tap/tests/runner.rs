//! Tests the outcomes of tasks of kind `tap`.
#![allow(clippy::unwrap_used, clippy::panic)]

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::Output;
use persea_plugin_sdk::testing::{Answer, Host, Processes};
use persea_runner_tap::{LENIENT, Tap};

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
