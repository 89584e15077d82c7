//! Owns the kind `bats`: the tests of a file have the results that bats gives them, and every fault
//! of bats or of a file is an error of its own.

mod faults;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;

use crate::support::results::{assert_equal, cases, reason_of, statuses};
use crate::support::{Fixture, finish};

const ALL: &str = r##"
setup_file() { echo "# set up" >&3; }
setup() { export READY=yes; }
@test "passes" { [ "$READY" = yes ]; }
@test "fails with \"quotes\"" {
    run echo hello
    echo "it printed $output"
    [ "$output" = bye ]
}
@test 'skips' { skip "no disk"; }
@test "skips silently" { skip; }
@test unquoted { false; }
@test "exits" { exit 0; }
@test "prints results" { echo "ok 9 forged" >&3; echo "not ok 8 forged" >&3; echo "ok 1 passes"; }
@test "has its variables" {
    [ -d "$AVOCADO_TEST_OUTPUTDIR" ]
    [ "${AVOCADO_TEST_BASEDIR##*/}" = t ]
}
# bats test_tags=slow
@test "tagged" { true; }
"##;

/// A project with the file `t/all.bats`.
fn project() -> Fixture {
    let fixture = Fixture::new();
    fixture.file("t/all.bats", ALL);
    fixture
}

/// The results that bats itself prints, by name.
fn of_bats(fixture: &Fixture, file: &str) -> BTreeMap<String, String> {
    let output = fixture.root().join("output");
    std::fs::create_dir_all(&output).unwrap();
    let mut bats = Command::new("bats");
    bats.args(["--tap", file])
        .env("AVOCADO_TEST_OUTPUTDIR", &output);
    bats.env("AVOCADO_TEST_BASEDIR", fixture.project().join("t"));
    let ran = finish(fixture.equip(&mut bats).spawn().unwrap());
    let mut results = BTreeMap::new();
    for line in ran.stdout.lines().filter(|line| !line.contains("forged")) {
        let (status, rest) = match line.strip_prefix("not ok ") {
            Some(rest) => ("FAIL", rest),
            None => match line.strip_prefix("ok ") {
                Some(rest) if rest.contains(" # skip") => ("SKIP", rest),
                Some(rest) => ("PASS", rest),
                None => continue,
            },
        };
        let (_, name) = rest.split_once(' ').unwrap();
        let name = name.split(" # skip").next().unwrap();
        results.insert(name.to_owned(), status.to_owned());
    }
    assert!(results.len() > 5, "{ran}");
    results
}

#[test]
fn file_has_the_results_of_bats() {
    let fixture = project();
    fixture.run(&["run", "t/all.bats"]).code(1);
    assert_eq!(cases(&fixture), of_bats(&fixture, "t/all.bats"));
    let job = fixture.job();
    let reason = job.reason("t/all.bats");
    assert_eq!(
        reason,
        "3 failed (fails with \"quotes\", unquoted, exits), 6 others"
    );
    for (name, reason) in [
        (
            "fails with \"quotes\"",
            "t/all.bats:8: `[ \"$output\" = bye ]' failed; it printed hello",
        ),
        ("skips", "no disk"),
        ("skips silently", "skipped"),
        (
            "unquoted",
            "t/all.bats:12: `@test unquoted { false; }' failed",
        ),
    ] {
        assert_eq!(reason_of(&fixture, name), reason, "{name}");
    }
    let events = job.events_of("case-finished");
    let failed = events
        .iter()
        .find(|it| it["data"]["path"][0] == "unquoted")
        .unwrap();
    assert_eq!(
        (&failed["data"]["file"], &failed["data"]["line"]),
        (&json!("t/all.bats"), &json!(12))
    );
}

#[test]
fn directory_run_takes_executable_files_before_exec_test() {
    let fixture = project();
    let file = fixture.file(
        "t/below/run.bats",
        "#!/usr/bin/env bats\n@test \"a\" { true; }\n",
    );
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    fixture.script("t/plain.sh", "exit 0");
    let listed = fixture.run(&["list", "t"]).code(0);
    let expected = "bats t/all.bats\nbats t/below/run.bats\nexec-test t/plain.sh\n";
    assert_eq!(listed.stdout, expected);
    let listed = fixture.run(&["list", "bats:t"]).code(0);
    assert_eq!(listed.stdout, "bats t/all.bats\n");
    let listed = fixture.run(&["list", "bats:t?recursive"]).code(0);
    assert_eq!(listed.stdout, "bats t/all.bats\nbats t/below/run.bats\n");
    fixture.run(&["run", "t/below"]).code(0);
    assert_equal(&cases(&fixture), &[("a", "PASS")]);
}

#[test]
fn options_and_arguments_choose_tests() {
    let fixture = project();
    fixture
        .run(&["run", "bats:t/all.bats?filter=^skips$"])
        .code(0);
    assert_equal(&cases(&fixture), &[("skips", "SKIP")]);
    assert_eq!(fixture.job().status("t/all.bats"), "SKIP");
    fixture.run(&["run", "bats:t/all.bats?tags=slow"]).code(0);
    assert_equal(&cases(&fixture), &[("tagged", "PASS")]);
    let recipe = json!({"kind": "bats", "uri": "t/all.bats", "args": ["--verbose-run"],
                        "kwargs": {"filter": "quotes"}});
    fixture.recipe("job.json", &[recipe]);
    fixture.run(&["run", "job.json"]).code(1);
    let reason = reason_of(&fixture, "fails with \"quotes\"");
    assert!(
        reason.ends_with("failed; hello; it printed hello"),
        "{reason}"
    );
    fixture.run(&["run", "bats:t/all.bats?filter=none"]).code(0);
    assert_eq!(fixture.job().reason("t/all.bats"), "no test matches `none`");
    fixture.run(&["run", "bats:t/all.bats?tags=none"]).code(0);
    assert_eq!(
        fixture.job().reason("t/all.bats"),
        "no test has the tags `none`"
    );
}

#[test]
fn fixtures_that_fail_fail_the_file() {
    let fixture = Fixture::new();
    let tests = "@test \"a\" { true; }\n@test \"b\" { true; }\n";
    fixture.file(
        "up.bats",
        format!("setup_file() {{ echo no database; false; }}\n{tests}"),
    );
    fixture.file(
        "down.bats",
        format!("teardown_file() {{ echo no way; false; }}\n{tests}"),
    );
    fixture.file("broken.bats", "@test \"a\" { true\n");
    fixture
        .run(&["run", "up.bats", "down.bats", "broken.bats"])
        .code(1);
    let found = statuses(&fixture);
    let expected = [
        ("broken.bats", "FAIL"),
        ("down.bats", "FAIL"),
        ("up.bats", "FAIL"),
    ];
    assert_equal(&found, &expected);
    let job = fixture.job();
    let reason = job.reason("up.bats");
    assert_eq!(reason, "1 failed (setup_file), 2 of 2 tests were not run");
    assert_eq!(
        job.reason("down.bats"),
        "1 failed (teardown_file), 2 others"
    );
    let events = job.events_of("case-finished");
    let reason = |path: &str, file: &str| {
        let of_file = |event: &&serde_json::Value| {
            event["task"].as_str().unwrap().contains(file) && event["data"]["path"][0] == path
        };
        let event = events.iter().find(of_file).unwrap();
        event["data"]["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason("setup_file", "up.bats").ends_with("; no database"));
    assert!(reason("teardown_file", "down.bats").ends_with("; no way"));
    assert!(reason("setup_file", "broken.bats").contains("syntax error"));
}

#[test]
fn test_that_kills_its_process_costs_itself() {
    let fixture = Fixture::new();
    let text = "@test \"a\" { true; }\n@test \"b\" { kill -9 $$; }\n@test \"c\" { true; }\n";
    fixture.file("t.bats", text);
    fixture.run(&["run", "t.bats"]).code(1);
    assert_equal(
        &cases(&fixture),
        &[("a", "PASS"), ("b", "FAIL"), ("c", "PASS")],
    );
    assert_eq!(
        reason_of(&fixture, "b"),
        "its process ended without a result"
    );
    assert_eq!(fixture.job().reason("t.bats"), "1 failed (b), 2 others");
}

#[test]
fn hanging_test_is_named() {
    let fixture = Fixture::new();
    fixture.file(
        "t.bats",
        "@test \"first\" { true; }\n@test \"hangs\" { sleep 1000; }\n",
    );
    fixture
        .run(&["run", "--task-timeout", "5", "t.bats"])
        .code(8);
    let reason = fixture.job().reason("t.bats");
    assert!(reason.contains("in case hangs"), "{reason}");
    assert_equal(
        &cases(&fixture),
        &[("first", "PASS"), ("hangs", "INTERRUPTED")],
    );
    fixture.assert_no_strays();
}
