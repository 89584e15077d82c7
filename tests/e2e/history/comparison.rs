//! Owns `persea diff`: what differs between two jobs, and the exit code.

use serde_json::{Value, json};

use super::seconds;
use crate::support::recipes::{shell, with};
use crate::support::{Fixture, assert_stderr, finish, signal};

/// Runs tests, each a name and a script, and returns the name of the job's directory.
fn run(project: &Fixture, tests: &[(&str, &str)]) -> String {
    let tests: Vec<Value> = tests
        .iter()
        .map(|(name, script)| shell(name, script))
        .collect();
    run_recipe(project, &tests)
}

fn run_recipe(project: &Fixture, tests: &[Value]) -> String {
    project.recipe("job.json", tests);
    let ran = project.run(&["run", "job.json"]);
    assert!(matches!(ran.code, Some(0 | 1)), "{ran}");
    let job = project.job().0;
    job.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn differences_are_named_and_a_new_failure_is_exit_code_1() {
    let project = Fixture::new();
    let before = run(
        &project,
        &[
            ("breaks", "true"),
            ("mends", "exit 3"),
            ("stays-broken", "exit 4"),
            ("goes", "true"),
            ("slows", "true"),
            ("same", "true"),
        ],
    );
    let after = run(
        &project,
        &[
            ("breaks", "exit 5"),
            ("mends", "true"),
            ("stays-broken", "exit 6"),
            ("comes", "true"),
            ("comes-broken", "exit 7"),
            ("slows", "sleep 2"),
            ("same", "true"),
        ],
    );
    let ran = project.run(&["diff", &before, &after]).code(1);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let slower = lines[4];
    let times = slower.strip_prefix("SLOWER: slows: ").unwrap();
    let (fast, slow) = times.split_once(" -> ").unwrap();
    let (fast, slow) = (seconds(fast), seconds(slow));
    // Both are rounded to milliseconds.
    assert!(slow >= 1.999 && slow - fast > 0.499, "{ran}");
    let expected = [
        "NEWLY FAILING: breaks: PASS -> FAIL: exited with code 5",
        "NEWLY FAILING: comes-broken: - -> FAIL: exited with code 7",
        "STILL FAILING: stays-broken: FAIL -> FAIL: exited with code 6",
        "FIXED: mends: FAIL -> PASS",
        slower,
        "NEW: comes: - -> PASS",
        "GONE: goes: PASS -> -",
        "TESTS: 2 newly failing, 1 still failing, 1 fixed, 1 slower, 1 new, 1 gone, 1 unchanged",
    ];
    assert_eq!(lines, expected, "{ran}");
    let json = project.run(&["diff", "--json", &before, &after]).code(1);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["regressions"], true);
    assert_eq!(json["newly-failing"][0]["test"], "breaks");
    assert_eq!(json["newly-failing"][0]["after"]["status"], "FAIL");
    assert_eq!(
        (&json["not-run"], &json["unchanged"]),
        (&json!([]), &json!(1))
    );
    // What is only slower or still fails is no regression.
    let same = project.run(&["diff", &after, &after]).code(0);
    assert!(
        same.stdout.contains("TESTS: 3 still failing, 4 unchanged"),
        "{same}"
    );
    let better = project.run(&["diff", &before, &before]).code(0);
    assert_eq!(better.stderr, "");
}

#[test]
fn case_that_newly_fails_in_a_test_that_still_fails_is_a_regression() {
    let project = Fixture::new();
    let tap = |second: &str| {
        let script = format!("echo 1..2; echo 'not ok 1 - one'; echo '{second} 2 - two'");
        let test = with(shell("points", &script), "kind", json!("tap"));
        run_recipe(&project, &[test])
    };
    let (before, after) = (tap("ok"), tap("not ok"));
    let ran = project.run(&["diff", &before, &after]).code(1);
    assert!(
        ran.stdout
            .starts_with("NEWLY FAILING: points: FAIL -> FAIL"),
        "{ran}"
    );
    assert!(
        ran.stdout.contains("\n    newly failing case: two\n"),
        "{ran}"
    );
    let ran = project.run(&["diff", &after, &before]).code(0);
    assert!(ran.stdout.starts_with("STILL FAILING: points"), "{ran}");
}

#[test]
fn test_without_a_result_fails_once_the_host_is_killed() {
    let project = Fixture::new();
    let before = run(&project, &[("a", "true")]);
    project.recipe("job.json", &[shell("a", "touch started; sleep 100")]);
    let host = project.persea(&["run", "job.json"]).spawn().unwrap();
    project.wait_for_existence("started");
    let running = project.run(&["diff", &before, "latest"]).code(0);
    assert_eq!(running.stdout, "TESTS: 0 unchanged\n");
    assert_stderr(&running, &["note: 1 test has no result", "still running"]);
    signal(host.id(), "KILL");
    finish(host);
    let killed = project.run(&["diff", &before, "latest"]).code(1);
    let line = "NEWLY FAILING: a: PASS -> ERROR: the host ended before it\n";
    assert!(killed.stdout.starts_with(line), "{killed}");
    assert_stderr(&killed, &["its host was killed"]);
    project.assert_no_strays();
    // A journal that cannot be read whole is no basis for a comparison.
    let journal = project.job().0.join("events.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, text + "garbage\n").unwrap();
    let damaged = project.run(&["diff", &before, "latest"]).code(4);
    assert_stderr(&damaged, &["not an event of a journal"]);
}
