//! Owns the faults of Node: each is a clear error of its own file, and none makes a job green. Node
//! is a script, so that it can do anything.

use serde_json::json;

use crate::support::Fixture;
use crate::support::results::{assert_equal, cases, statuses};

/// A project whose node runs the file that it is given as a script of the shell. `line` writes a
/// line about a test to the report.
fn project() -> (Fixture, String) {
    let fixture = Fixture::new();
    let line = r#"line() { printf '{"type":"%s","name":"%s","nesting":0}\n' "$1" "$2" >&3; }"#;
    fixture.script(
        "bin/node",
        &format!("{line}\nfor file; do :; done\n. \"./$file\""),
    );
    let node = format!(
        "runner.node-test.node={}/bin/node",
        fixture.project().display()
    );
    (fixture, node)
}

/// The faults: a name, what Node does, the status and a part of the reason.
const FAULTS: [(&str, &str, &str, &str); 11] = [
    (
        "silent",
        "exit 0",
        "ERROR",
        "node exited with code 0 before the tests of silent.mjs had ended; is it Node 18.19, or",
    ),
    (
        "prints",
        "echo hello",
        "ERROR",
        "before the tests of prints.mjs had ended; is it Node 18.19, or 20 or later",
    ),
    (
        "old",
        "echo 'node: bad option: --test-reporter=x' >&2; exit 9",
        "ERROR",
        "node exited with code 9: node: bad option: --test-reporter=x; install Node 18.19, or",
    ),
    (
        "crashes",
        "kill -SEGV $$",
        "FAIL",
        "crashes.mjs ended by signal 11 (SIGSEGV) before its first test",
    ),
    (
        "reports",
        "echo hello >&3; line dequeue a; line start a; line pass a; line end x",
        "ERROR",
        "node reported `hello`; is it Node 18.19, or 20 or later?",
    ),
    (
        "breaks",
        "line start a; line pass a; printf '{\"type\":' >&3",
        "ERROR",
        "the process exited with code 0 before all tests had ended",
    ),
    (
        "loses",
        "line dequeue a; line start a; line pass a; line dequeue b",
        "ERROR",
        "1 in error (b), 1 others, the process exited with code 0 before all tests had ended",
    ),
    (
        "dies",
        "line dequeue a; kill -SEGV $$",
        "FAIL",
        "1 failed (a), the process ended by signal 11 (SIGSEGV) before all tests had ended",
    ),
    (
        "repeats",
        "for n in 1 2; do line start a; line pass a; done; line end x",
        "PASS",
        "",
    ),
    (
        "fails",
        "line start a; line pass a; line end x; echo 'Error: no space' >&2; exit 1",
        "FAIL",
        "the process exited with code 1, although no test failed: Error: no space",
    ),
    ("sound", "line start a; line pass a; line end x", "PASS", ""),
];

#[test]
fn fault_of_node_is_an_error_of_its_file() {
    let (fixture, node) = project();
    let mut args = vec!["run".to_owned(), "--set".to_owned(), node];
    for (name, text, _, _) in FAULTS {
        fixture.file(&format!("{name}.mjs"), text);
        args.push(format!("node:{name}.mjs"));
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    fixture.run(&args).code(1);
    let job = fixture.job();
    for (name, _, status, words) in FAULTS {
        let test = format!("{name}.mjs");
        let (found, reason) = (job.status(&test), job.reason(&test));
        assert_eq!(found, status, "{name}: {reason}");
        assert!(reason.contains(words), "{name}: {reason}");
    }
    assert_eq!(job.results()["total"], FAULTS.len());
    fixture.assert_no_strays();
}

#[test]
fn missing_node_says_what_to_install() {
    let (fixture, _) = project();
    fixture.file("t.mjs", "");
    fixture
        .run(&[
            "run",
            "--set",
            "runner.node-test.node=/none/node",
            "node:t.mjs",
        ])
        .code(1);
    let words = [
        "install Node 18.19, or 20 or later, where the tests run",
        "or set runner.node-test.node to the path of `/none/node`",
    ];
    fixture.job().assert_error("t.mjs", &words);
}

#[test]
fn node_that_hangs_is_ended() {
    let (fixture, node) = project();
    fixture.file("t.mjs", "line dequeue a; sleep 1000 & wait");
    fixture
        .run(&["run", "--set", &node, "--task-timeout", "2", "node:t.mjs"])
        .code(8);
    assert_equal(&cases(&fixture), &[("a", "INTERRUPTED")]);
    fixture.assert_no_strays();
}

#[test]
fn reference_that_cannot_run_is_corrupt() {
    let fixture = Fixture::new();
    fixture.file("t/x.mjs", "");
    for (reference, words) in [
        (
            "node:none.mjs",
            "there is no none.mjs; write node: and the path of a test file",
        ),
        ("node:t", "t is not a file"),
        (
            "node:t/x.mjs?colour=red",
            "unknown option `colour`; there are name, only and import",
        ),
    ] {
        let listed = fixture.run(&["list", reference]).code(2);
        assert!(format!("{listed}").contains(words), "{listed}");
    }
}

#[test]
fn recipe_that_makes_no_sense_is_an_error_of_its_task() {
    let (fixture, node) = project();
    fixture.file("t.mjs", "line start a; line pass a; line end x");
    let with = |name: &str, member: &str, value: serde_json::Value| {
        let mut runnable = json!({"kind": "node-test", "uri": "t.mjs", "identifier": name});
        runnable[member] = value;
        runnable
    };
    let recipe = [
        with("reports", "args", json!(["--test-reporter=tap"])),
        with("wrong", "kwargs", json!({"only": "yes"})),
        json!({"kind": "node-test", "identifier": "nothing"}),
        with("sound", "args", json!(["--expose-gc"])),
    ];
    fixture.recipe("job.json", &recipe);
    fixture.run(&["run", "--set", &node, "job.json"]).code(1);
    let expected = [
        ("nothing", "ERROR"),
        ("reports", "ERROR"),
        ("sound", "PASS"),
        ("wrong", "ERROR"),
    ];
    assert_equal(&statuses(&fixture), &expected);
}
