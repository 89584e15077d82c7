//! Compares what passes with Perl's `prove`, which is run on each stream.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::testing::{Answer, Host, Processes};
use persea_runner_tap::{LENIENT, Tap};

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Code(i32),
    Signal(i32),
}
use End::{Code, Signal};
use Status::{Error as Err, Fail, Pass, Skip, Warn};

/// A stream, the end of the program that prints it, our result with its reason, and Avocado's result.
type Row = (&'static str, End, Status, &'static str, Status);

const NO_PLAN: &str = "Tap format error: no plan found";
const BUT: &str = "although its TAP reports no failure";

/// Streams with which `prove` and we agree.
fn agreed() -> Vec<(&'static str, End, Status, String, Status)> {
    let rows: &[Row] = &[
        ("1..1\nok 1\n", Code(0), Pass, "", Pass),
        ("ok 1\nok 2\n1..2\n", Code(0), Pass, "", Pass),
        ("1..2\nok\nok\n", Code(0), Pass, "", Pass),
        ("TAP version 13\n1..1\nok 1\n", Code(0), Pass, "", Pass),
        ("1..1\nnoise\nok 1\n# note\n", Code(0), Pass, "", Pass),
        ("1..1\nnot ok 1 # TODO x\n", Code(0), Pass, "", Pass),
        (
            "1..1\nok 1 # TODO x\n",
            Code(0),
            Warn,
            "TODO test 1 unexpectedly passed.",
            Warn,
        ),
        ("1..1\nok 1 # SKIP why\n", Code(0), Skip, "why", Skip),
        ("1..0 # SKIP why\n", Code(0), Skip, "why", Skip),
        ("1..0\n", Code(0), Skip, "the test gave no reason", Skip),
        // the program's end
        (
            "1..1\nok 1\n",
            Code(1),
            Fail,
            "exited with code 1, {BUT}",
            Pass,
        ),
        (
            "1..1\nok 1\n",
            Code(3),
            Fail,
            "exited with code 3, {BUT}",
            Pass,
        ),
        (
            "1..1\nok 1\n",
            Code(255),
            Fail,
            "exited with code 255, {BUT}",
            Pass,
        ),
        (
            "1..1\nok 1\n",
            Signal(9),
            Fail,
            "ended by signal 9 (SIGKILL), {BUT}",
            Pass,
        ),
        (
            "1..1\nok 1\n",
            Signal(11),
            Fail,
            "ended by signal 11 (SIGSEGV), {BUT}",
            Pass,
        ),
        (
            "1..0 # SKIP why\n",
            Code(2),
            Fail,
            "exited with code 2, {BUT} (why)",
            Skip,
        ),
        (
            "1..1\nok 1 # TODO x\n",
            Code(1),
            Fail,
            "exited with code 1, {BUT} (TODO test 1 unexpectedly passed.)",
            Warn,
        ),
        (
            "1..2\nok 1\n",
            Signal(6),
            Err,
            "Tap format error: Too few tests run (expected 2, got 1); ended by signal 6 (SIGABRT)",
            Err,
        ),
        // plans
        ("ok 1\n", Code(0), Err, NO_PLAN, Pass),
        ("ok 1\nok 2\nok 3\n", Code(0), Err, NO_PLAN, Pass),
        (
            "ok 1\n",
            Code(2),
            Err,
            "Tap format error: no plan found; exited with code 2",
            Pass,
        ),
        ("ok 1 # SKIP why\n", Code(0), Err, NO_PLAN, Skip),
        (
            "ok 1\nnot ok 2\n",
            Code(0),
            Fail,
            "1 of 2 failed: 2; no plan found",
            Fail,
        ),
        (
            "1..3\nok 1\n",
            Code(0),
            Err,
            "Tap format error: Too few tests run (expected 3, got 1)",
            Err,
        ),
        (
            "1..1\nok 1\nok 2\n",
            Code(0),
            Err,
            "Tap format error: Too many tests run (expected 1, got 2)",
            Err,
        ),
        (
            "1..0 # SKIP a\nok 1\n",
            Code(0),
            Err,
            "Tap format error: Too many tests run (expected 0, got 1)",
            Err,
        ),
        (
            "1..1\n1..1\nok 1\n",
            Code(0),
            Err,
            "Tap format error: more than one plan found (line 2)",
            Err,
        ),
        (
            "ok 1\n1..2\nok 2\n",
            Code(0),
            Err,
            "Tap format error: unexpected test after late plan (line 3)",
            Err,
        ),
        (
            "1..1 # SKIP all\nok 1\n",
            Code(0),
            Err,
            "Tap format error: invalid SKIP directive for plan (line 1)",
            Err,
        ),
        ("", Code(0), Err, "no TAP in the output", Err),
        ("hello\n", Code(0), Err, "no TAP in the output", Err),
        (
            "  ok 1\n  1..1\n",
            Code(0),
            Err,
            "no TAP in the output",
            Err,
        ),
        ("    ok 1\n    1..1\n", Code(0), Err, NO_PLAN, Pass),
        // points
        (
            "1..2\nok 1\nnot ok 2\n",
            Code(0),
            Fail,
            "1 of 2 failed: 2",
            Fail,
        ),
        (
            "1..2\nok 1\nnot ok 2\n",
            Code(1),
            Fail,
            "1 of 2 failed: 2",
            Fail,
        ),
        (
            "1..1\nnot ok 1 # SKIP why\n",
            Code(0),
            Fail,
            "1 of 1 failed: 1 (why)",
            Fail,
        ),
        (
            "1..2\nok 2\nok 1\n",
            Code(0),
            Err,
            "Tap format error: out of order test numbers (line 2: found 2, expected 1)",
            Err,
        ),
        (
            "1..2\nok 1\nok 1\n",
            Code(0),
            Err,
            "Tap format error: out of order test numbers (line 3: found 1, expected 2)",
            Err,
        ),
        (
            "1..1\nok 0\n",
            Code(0),
            Err,
            "Tap format error: out of order test numbers (line 2: found 0, expected 1)",
            Err,
        ),
        // the rest
        (
            "1..2\nok 1\nBail out! x\n",
            Code(0),
            Err,
            "Bail out! x",
            Err,
        ),
        (
            "TAP version 12\n1..1\nok 1\n",
            Code(0),
            Err,
            "Tap format error: version number should be at least 13 (found 12)",
            Err,
        ),
        (
            "TAP version 13\n1..1\nok 1\n  ---\n  a: 1\n",
            Code(0),
            Err,
            "Tap format error: YAML block not terminated (started on line 4)",
            Err,
        ),
    ];
    rows.iter()
        .map(|(stream, end, ours, reason, avocado)| {
            (*stream, *end, *ours, reason.replace("{BUT}", BUT), *avocado)
        })
        .collect()
}

/// Streams that pass with `prove` and not here.
const STRICTER: &[Row] = &[
    // Every TAP from 13 on has its version on the first line.
    (
        "# a\nTAP version 13\n1..1\nok 1\n",
        Code(0),
        Err,
        "Tap format error: version number must be on the first line (found on line 2)",
        Err,
    ),
    // A plan of no tests has SKIP, or nothing.
    (
        "1..0 # TODO x\n",
        Code(0),
        Err,
        "Tap format error: invalid directive for plan (line 1)",
        Err,
    ),
    // TAP 14: the words are case insensitive.
    (
        "1..1\nbail out! x\nok 1\n",
        Code(0),
        Err,
        "Bail out! x",
        Pass,
    ),
    // `prove` does not read what is indented; the point that stands for it hides a failure.
    (
        "1..1\n    not ok 1 - a\n    1..1\nok 1 - x\n",
        Code(0),
        Fail,
        "1 of 1 failed: 1 - x (1 of 1 failed: 1 - a)",
        Fail,
    ),
];

fn judge(stream: &str, end: End, lenient: bool) -> Outcome {
    let answer = match end {
        Code(code) => Answer::code(code),
        Signal(number) => Answer::signal(number),
    };
    let host = Host::new()
        .processes(Processes::always(answer.stdout(stream)))
        .install();
    let task = Task::new("1-t", Runnable::new("tap").uri("./t")).setting(LENIENT, lenient);
    host.run_program::<Tap>(&task).unwrap()
}

#[track_caller]
fn check(stream: &str, end: End, status: Status, reason: &str) {
    let outcome = judge(stream, end, false);
    let found = (outcome.status, outcome.reason.unwrap_or_default());
    assert_eq!(found, (status, reason.to_owned()), "{stream:?} {end:?}");
}

/// Whether `prove` passes each of these streams, in their order.
fn prove(rows: &[(&str, End)]) -> Vec<bool> {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    // Tests run at once in this process, each with a directory of its own.
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let name = format!("persea-prove-{}-{call}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir(&directory).unwrap();
    let passes = rows.iter().enumerate().map(|(index, (stream, end))| {
        let file = directory.join(format!("{index}.t"));
        let end = match end {
            Code(code) => format!("exit {code}"),
            Signal(number) => format!("kill -{number} $$"),
        };
        std::fs::write(&file, format!("cat <<'END'\n{stream}END\n{end}\n")).unwrap();
        let run = Command::new("prove")
            .args(["--norc", "-Q", "--exec", "sh"])
            .arg(&file)
            .env_remove("PERL5OPT")
            .env_remove("HARNESS_OPTIONS")
            .output();
        let output = run.unwrap_or_else(|error| panic!("prove (Debian's `perl`): {error}"));
        output.status.success()
    });
    let passes = passes.collect();
    std::fs::remove_dir_all(&directory).unwrap();
    passes
}

#[test]
fn a_stream_passes_where_prove_passes_it() {
    let rows = agreed();
    let streams: Vec<_> = rows.iter().map(|row| (row.0, row.1)).collect();
    for ((stream, end, status, reason, _), passes) in rows.iter().zip(prove(&streams)) {
        check(stream, *end, *status, reason);
        let is_success = matches!(status, Pass | Skip | Warn);
        assert_eq!(passes, is_success, "prove, of {stream:?} {end:?}");
    }
}

#[test]
fn nothing_that_prove_fails_passes() {
    let streams: Vec<_> = STRICTER.iter().map(|row| (row.0, row.1)).collect();
    for ((stream, end, status, reason, _), passes) in STRICTER.iter().zip(prove(&streams)) {
        check(stream, *end, *status, reason);
        assert!(passes, "{stream:?} is no deviation");
    }
}

#[test]
fn lenient_is_as_in_avocado() {
    let agreed = agreed().into_iter().map(|row| (row.0, row.1, row.4));
    for (stream, end, avocado) in agreed.chain(STRICTER.iter().map(|row| (row.0, row.1, row.4))) {
        // What Avocado does not read: `tests/decisions.rs` has the reason.
        if stream.contains("bail out!") {
            continue;
        }
        let outcome = judge(stream, end, true);
        assert_eq!(outcome.status, avocado, "{stream:?} {end:?}");
    }
}

/// `prove` knows no TAP 14 before 3.45; its specification asks for a plan in each document.
#[test]
fn a_subtest_of_tap_14_needs_its_plan() {
    let subtest = "1..1\n    ok 1 - a\nok 1 - x\n";
    check(subtest, Code(0), Pass, "");
    check(
        &format!("TAP version 14\n{subtest}"),
        Code(0),
        Fail,
        "1 of 1 failed: 1 - x (no plan found)",
    );
}
