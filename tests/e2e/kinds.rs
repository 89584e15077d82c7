//! Owns results of single kinds of tests and requirements that no other file covers.

use serde_json::json;

use crate::support::Fixture;
use crate::support::recipes::logged_test;

#[test]
fn tap_test_passes_only_with_exit_code_0_and_a_complete_plan() {
    let fixture = Fixture::new();
    let cases = [
        (
            "exits",
            "echo 1..1; echo ok 1; exit 3",
            "FAIL",
            "exited with code 3, although its TAP reports no failure",
        ),
        (
            "killed",
            "echo 1..1; echo ok 1; kill -9 $$",
            "FAIL",
            "ended by signal 9 (SIGKILL), although its TAP reports no failure",
        ),
        (
            "endless",
            "echo ok 1; echo ok 2",
            "ERROR",
            "Tap format error: no plan found",
        ),
        (
            "short",
            "echo 1..2; echo ok 1",
            "ERROR",
            "Tap format error: Too few tests run (expected 2, got 1)",
        ),
        (
            "long",
            "echo 1..1; echo ok 1; echo ok 2",
            "ERROR",
            "Tap format error: Too many tests run (expected 1, got 2)",
        ),
        (
            "shuffled",
            "printf 'TAP version 14\\n1..2\\nok 2\\nok 1\\n'",
            "PASS",
            "<unknown>",
        ),
    ];
    let runnables = cases.map(|(name, body, _, _)| {
        fixture.script(name, body);
        json!({"kind": "tap", "uri": format!("./{name}")})
    });
    fixture.file("tap.json", json!(runnables).to_string());
    fixture.run(&["run", "tap.json"]).code(1);
    let job = fixture.job();
    for (name, _, status, reason) in cases {
        let name = format!("./{name}");
        let found = (job.status(&name), job.reason(&name));
        assert_eq!(found, (status.to_owned(), reason.to_owned()), "{name}");
    }
    // Avocado ignores exit codes and missing plans.
    let lenient = ["run", "--set", "runner.tap.lenient=true", "tap.json"];
    fixture.run(&lenient).code(1);
    let job = fixture.job();
    for (name, _, _, _) in cases {
        let status = job.status(&format!("./{name}"));
        let passes = !["short", "long"].contains(&name);
        assert_eq!(status == "PASS", passes, "{name} is {status}");
    }
}

#[test]
fn pip_requirement_compares_versions_as_pep_440() {
    let fixture = Fixture::new();
    let metadata = "Metadata-Version: 2.1\nName: pear\nVersion: 1.2.3\n";
    fixture.file("packages/pear-1.2.3.dist-info/METADATA", metadata);
    let packages = fixture.project().join("packages");
    let python = format!("PYTHONPATH='{}' exec python3 \"$@\"", packages.display());
    let python = fixture.script("python", &python);
    let cases = [
        ("at-least", "pear>=1", "PASS"),
        ("compatible", "pear~=1.2", "PASS"),
        ("another", "pear!=3", "PASS"),
        ("for-others", "pear>=2; python_version < '3'", "PASS"),
        ("newer", "pear>=2", "CANCEL"),
    ];
    let tests = cases.map(|(test, name, _)| {
        let requirement = json!({"type": "pip", "name": name, "action": "check", "python": python});
        logged_test(test, &json!([requirement]))
    });
    fixture.recipe("job.json", &tests);
    fixture.run(&["run", "job.json"]).code(0);
    let job = fixture.job();
    for (test, name, status) in cases {
        assert_eq!(job.status(test), status, "{name}");
    }
    let reason = job.reason("newer");
    let found = "pear>=2 is not installed for";
    assert!(
        reason.contains(found) && reason.contains("(pear is 1.2.3)"),
        "{reason}"
    );
}
