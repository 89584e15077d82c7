//! Owns reports. `contents` checks that each is whole and valid, `journal` that it follows from the
//! journal alone, `destinations` where it is written.

use serde_json::json;

use crate::support::Fixture;
use crate::support::recipes::programs;

mod contents;
mod destinations;
mod journal;

/// A project with a finished job that has a test of each status except WARN and CANCEL, and names
/// and output that need escaping. The job's exit code is 9.
fn job_of_all_sorts() -> Fixture {
    let fixture = Fixture::new();
    let mixed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/mixed");
    for name in ["tap_ok.t.sh", "tap_fail.sh", "skip77.sh", "test_unit.py"] {
        std::fs::copy(mixed.join(name), fixture.project().join(name)).unwrap();
    }
    fixture.script(
        "talk.sh",
        "echo '<b>&\"quoted\"</b> ]]> \u{1b}[31mred'; printf 'bad \\377 byte\\n' >&2; exit 2",
    );
    fixture.script("long.sh", "while :; do sleep 0.1; done");
    let mut tests = programs(&["./talk.sh", "./long.sh", "skip77.sh"]);
    tests[0]["kwargs"]["tags"] = json!({"fast": null, "arch": ["x86_64", "arm"]});
    tests.extend([
        json!({"kind": "tap", "uri": "tap_ok.t.sh"}),
        json!({"kind": "tap", "uri": "tap_fail.sh"}),
        json!({"kind": "robot", "uri": "<arm> & \"leg\""}),
        json!({"kind": "exec-test", "uri": "/does/not/exist"}),
        json!({"kind": "noop", "identifier": "a # b \\ c\n1..0"}),
    ]);
    fixture.recipe("all.json", &tests);
    fixture.file("persea.toml", "runner.exectest.exitcodes.skip = [77]\n");
    fixture
        .run(&[
            "run",
            "--task-timeout",
            "2",
            "all.json",
            "test_unit.py",
            "/bin/true",
        ])
        .code(9);
    fixture
}

/// The number of tests in that job.
const TESTS: usize = 13;

/// The number of cases in the tests of that job: the points of its TAP documents.
const CASES: usize = 5;

/// The test points of a TAP stream: `count` of them, numbered from 1.
#[track_caller]
fn assert_points(tap: &str, count: usize) -> Vec<&str> {
    let is_point = |line: &&str| line.starts_with("ok ") || line.starts_with("not ok ");
    let points: Vec<&str> = tap.lines().filter(is_point).collect();
    assert_eq!(points.len(), count, "{tap}");
    for (index, point) in points.iter().enumerate() {
        let mut words = point.split_whitespace();
        let number = words.find_map(|word| word.parse::<usize>().ok());
        assert_eq!(number, Some(index + 1), "{point}");
    }
    points
}
