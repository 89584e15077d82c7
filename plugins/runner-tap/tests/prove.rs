//! Compares results with those of Perl's `prove`, which is run on each stream.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::testing::{Answer, Host, Processes};
use persea_runner_tap::{LENIENT, Tap};

/// Exit of a program.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ProgramExit {
    Code(i32),
    Signal(i32),
}
use ProgramExit::{Code, Signal};
use Status::{Error as Err, Fail, Pass, Skip, Warn};

/// A stream, the exit of the program that prints it, our status, our reason, and Avocado's status.
type Row = (&'static str, ProgramExit, Status, &'static str, Status);

const NO_PLAN: &str = "Tap format error: no plan found";
const ALTHOUGH: &str = "although its TAP reports no failure";

/// Streams on which `prove` and this runner agree.
fn agreed() -> Vec<(&'static str, ProgramExit, Status, String, Status)> {
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
        // exits of the program
        (
            "1..1\nok 1\n",
            Code(1),
            Fail,
            "exited with code 1, {ALTHOUGH}",
            Pass,
        ),
        (
            "1..1\nok 1\n",
            Code(3),
            Fail,
            "exited with code 3, {ALTHOUGH}",
            Pass,
        ),
        (
            "1..1\nok 1\n",
            Code(255),
            Fail,
            "exited with code 255, {ALTHOUGH}",
            Pass,
        ),
        (
            "1..1\nok 1\n",
            Signal(9),
            Fail,
            "ended by signal 9 (SIGKILL), {ALTHOUGH}",
            Pass,
        ),
        (
            "1..1\nok 1\n",
            Signal(11),
            Fail,
            "ended by signal 11 (SIGSEGV), {ALTHOUGH}",
            Pass,
        ),
        (
            "1..0 # SKIP why\n",
            Code(2),
            Fail,
            "exited with code 2, {ALTHOUGH} (why)",
            Skip,
        ),
        (
            "1..1\nok 1 # TODO x\n",
            Code(1),
            Fail,
            "exited with code 1, {ALTHOUGH} (TODO test 1 unexpectedly passed.)",
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
        // others
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
            (
                *stream,
                *end,
                *ours,
                reason.replace("{ALTHOUGH}", ALTHOUGH),
                *avocado,
            )
        })
        .collect()
}

/// Streams that pass with `prove`, but not with this runner.
const STRICTER: &[Row] = &[
    // From TAP 13 on, the version must be on the first line.
    (
        "# a\nTAP version 13\n1..1\nok 1\n",
        Code(0),
        Err,
        "Tap format error: version number must be on the first line (found on line 2)",
        Err,
    ),
    // A plan of no tests may have only SKIP.
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
    // `prove` ignores indented lines, so the point of a subtest hides the subtest's failure.
    (
        "1..1\n    not ok 1 - a\n    1..1\nok 1 - x\n",
        Code(0),
        Fail,
        "1 of 1 failed: 1 - x (1 of 1 failed: 1 - a)",
        Fail,
    ),
];

fn judge(stream: &str, end: ProgramExit, lenient: bool) -> Outcome {
    let answer = match end {
        Code(code) => Answer::code(code),
        Signal(number) => Answer::signal(number),
    };
    let host = Host::new()
        .processes(Processes::always(answer.stdout(stream)))
        .install();
    let task = Task::new("1-t", Runnable::new("tap").uri("./t")).setting(LENIENT.key(), lenient);
    host.run_program::<Tap>(&task).unwrap()
}

#[track_caller]
fn check(stream: &str, end: ProgramExit, status: Status, reason: &str) {
    let outcome = judge(stream, end, false);
    let found = (outcome.status, outcome.reason.unwrap_or_default());
    assert_eq!(found, (status, reason.to_owned()), "{stream:?} {end:?}");
}

/// Runs `prove` on each stream and returns whether it passes.
fn prove(rows: &[(&str, ProgramExit)]) -> Vec<bool> {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    // Tests run concurrently in this process, so each call has its own directory.
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
fn stream_passes_where_it_passes_with_prove() {
    let rows = agreed();
    let streams: Vec<_> = rows.iter().map(|row| (row.0, row.1)).collect();
    for ((stream, end, status, reason, _), passes) in rows.iter().zip(prove(&streams)) {
        check(stream, *end, *status, reason);
        let is_success = matches!(status, Pass | Skip | Warn);
        assert_eq!(passes, is_success, "prove, of {stream:?} {end:?}");
    }
}

#[test]
fn stricter_rules_are_deviations_from_prove() {
    let streams: Vec<_> = STRICTER.iter().map(|row| (row.0, row.1)).collect();
    for ((stream, end, status, reason, _), passes) in STRICTER.iter().zip(prove(&streams)) {
        check(stream, *end, *status, reason);
        assert!(passes, "{stream:?} is not a deviation");
    }
}

#[test]
fn lenient_statuses_are_avocados() {
    let agreed = agreed().into_iter().map(|row| (row.0, row.1, row.4));
    for (stream, end, avocado) in agreed.chain(STRICTER.iter().map(|row| (row.0, row.1, row.4))) {
        // Avocado does not recognise this: `tests/decisions.rs` has the reason.
        if stream.contains("bail out!") {
            continue;
        }
        let outcome = judge(stream, end, true);
        assert_eq!(outcome.status, avocado, "{stream:?} {end:?}");
    }
}

/// The specification of TAP 14 requires a plan in each subtest. `prove` has TAP 14 from 3.45 on, so
/// it is not compared here.
#[test]
fn subtest_of_tap_14_needs_a_plan() {
    let subtest = "1..1\n    ok 1 - a\nok 1 - x\n";
    check(subtest, Code(0), Pass, "");
    check(
        &format!("TAP version 14\n{subtest}"),
        Code(0),
        Fail,
        "1 of 1 failed: 1 - x (no plan found)",
    );
}
