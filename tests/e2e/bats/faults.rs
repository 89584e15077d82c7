//! Owns the faults of bats: each is a clear error of its own file, and none makes a job green. Bats
//! is a script, so that it can do anything.

use serde_json::json;

use crate::support::Fixture;
use crate::support::results::{assert_equal, cases, statuses};

/// A project whose bats runs the file that it is given as a script of the shell.
fn project() -> (Fixture, String) {
    let fixture = Fixture::new();
    fixture.script("bin/bats", "for file; do :; done\n. \"./$file\"");
    let bats = format!("runner.bats.bats={}/bin/bats", fixture.project().display());
    (fixture, bats)
}

/// The faults: a name, what bats does, the status and a part of the reason.
const FAULTS: [(&str, &str, &str, &str); 12] = [
    (
        "silent",
        "exit 0",
        "ERROR",
        "bats exited with code 0 and printed no plan; is it bats 1.3 or later?",
    ),
    (
        "prints",
        "echo hello",
        "ERROR",
        "bats exited with code 0 and printed no plan: hello; is it bats 1.3 or later?",
    ),
    (
        "old",
        "echo \"Unknown formatter 'cat', valid options are pretty, tap\" >&2; exit 1",
        "ERROR",
        "before the first test of old.bats: Unknown formatter 'cat'",
    ),
    (
        "crashes",
        "kill -SEGV $$",
        "ERROR",
        "bats ended by signal 11 (SIGSEGV) and printed no plan; is it",
    ),
    (
        "dies",
        "echo 1..2; echo 'begin 1 a'; kill -SEGV $$",
        "ERROR",
        "1 in error (a), 1 of 2 tests was not run: bats ended by signal 11 (SIGSEGV)",
    ),
    (
        "loses",
        "echo 1..2; echo 'begin 1 a'; echo 'ok 1 a'",
        "ERROR",
        "1 of 2 tests was not run: bats exited with code 0",
    ),
    (
        "renames",
        "echo 1..1; echo 'begin 1 a'; echo 'ok 1 b'",
        "FAIL",
        "1 failed (a)",
    ),
    (
        "repeats",
        "echo 1..2; for n in 1 2; do echo \"begin $n a\"; echo \"ok $n a\"; done",
        "PASS",
        "",
    ),
    (
        "forges",
        "echo 1..1; echo 'begin 1 a'; echo 'ok 2 b'; echo 'not ok 1 a'",
        "FAIL",
        "1 failed (a)",
    ),
    (
        "fails",
        "echo 1..1; echo 'begin 1 a'; echo 'ok 1 a'; echo 'no space' >&2; exit 1",
        "FAIL",
        "bats exited with code 1, although no test failed: no space",
    ),
    ("empty", "echo 1..0", "SKIP", "no tests to run"),
    (
        "sound",
        "echo 1..1; echo 'begin 1 a'; echo 'ok 1 a in 5ms'",
        "PASS",
        "",
    ),
];

#[test]
fn fault_of_bats_is_an_error_of_its_file() {
    let (fixture, bats) = project();
    let mut args = vec!["run".to_owned(), "--set".to_owned(), bats];
    for (name, text, _, _) in FAULTS {
        fixture.file(&format!("{name}.bats"), text);
        args.push(format!("{name}.bats"));
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    fixture.run(&args).code(1);
    let job = fixture.job();
    for (name, _, status, words) in FAULTS {
        let test = format!("{name}.bats");
        let (found, reason) = (job.status(&test), job.reason(&test));
        assert_eq!(found, status, "{name}: {reason}");
        assert!(reason.contains(words), "{name}: {reason}");
    }
    assert_eq!(job.results()["total"], FAULTS.len());
    fixture.assert_no_strays();
}

#[test]
fn missing_bats_says_what_to_install() {
    let (fixture, _) = project();
    fixture.file("t.bats", "");
    fixture
        .run(&["run", "--set", "runner.bats.bats=/none/bats", "t.bats"])
        .code(1);
    let words = [
        "install bats where the tests run",
        "or set runner.bats.bats to the path of",
    ];
    fixture.job().assert_error("t.bats", &words);
}

#[test]
fn bats_that_hangs_is_ended() {
    let (fixture, bats) = project();
    fixture.file("t.bats", "echo 1..2; echo 'begin 1 a'; sleep 1000 & wait");
    fixture
        .run(&["run", "--set", &bats, "--task-timeout", "2", "t.bats"])
        .code(8);
    assert_equal(&cases(&fixture), &[("a", "INTERRUPTED")]);
    fixture.assert_no_strays();
}

#[test]
fn name_that_a_file_has_twice_is_an_error() {
    let fixture = Fixture::new();
    fixture.file("t.bats", "@test \"a\" { true; }\n@test \"a\" { true; }\n");
    fixture.run(&["run", "t.bats"]).code(1);
    let words = ["before the first test of t.bats", "Duplicate test name(s)"];
    fixture.job().assert_error("t.bats", &words);
}

#[test]
fn reference_that_cannot_run_is_corrupt() {
    let fixture = Fixture::new();
    fixture.file("t/x", "");
    for (reference, words) in [
        (
            "bats:none",
            "there is no none; write bats: and the path of a file or directory",
        ),
        (
            "bats:t",
            "there is no *.bats in t; `?recursive` looks in the directories below it too",
        ),
        (
            "bats:t?colour=red",
            "unknown option `colour`; there are filter, tags and recursive",
        ),
    ] {
        let listed = fixture.run(&["list", reference]).code(2);
        assert!(format!("{listed}").contains(words), "{listed}");
    }
}

#[test]
fn recipe_that_makes_no_sense_is_an_error_of_its_task() {
    let (fixture, bats) = project();
    fixture.file("t.bats", "echo 1..1; echo 'begin 1 a'; echo 'ok 1 a'");
    let with = |name: &str, member: &str, value: serde_json::Value| {
        let mut runnable = json!({"kind": "bats", "uri": "t.bats", "identifier": name});
        runnable[member] = value;
        runnable
    };
    let recipe = [
        with("reports", "args", json!(["--tap"])),
        with("counts", "args", json!(["--count"])),
        with("wrong", "kwargs", json!({"filter": 3})),
        json!({"kind": "bats", "identifier": "nothing"}),
        with("sound", "args", json!(["--verbose-run"])),
    ];
    fixture.recipe("job.json", &recipe);
    fixture.run(&["run", "--set", &bats, "job.json"]).code(1);
    let expected = [
        ("counts", "ERROR"),
        ("nothing", "ERROR"),
        ("reports", "ERROR"),
        ("sound", "PASS"),
        ("wrong", "ERROR"),
    ];
    assert_equal(&statuses(&fixture), &expected);
}
