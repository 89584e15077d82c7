//! Tests of what the reporter writes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use serde_json::{Value, json};

use super::*;

/// The report of these lines.
fn read<S: AsRef<str>>(lines: &[S]) -> (Stream, Vec<Reported>) {
    let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    let mut stream = Stream::default();
    let mut results = Vec::new();
    // Parts need not end where lines do.
    for part in format!("{}\n", lines.join("\n")).as_bytes().chunks(7) {
        results.extend(stream.take(part));
    }
    (stream, results)
}

/// A line about a test, with further members.
fn line(kind: &str, name: &str, nesting: usize, more: Value) -> String {
    let mut line = json!({"type": kind, "name": name, "nesting": nesting});
    for (member, value) in more.as_object().unwrap() {
        line[member] = value.clone();
    }
    line.to_string()
}

fn failed(name: &str, nesting: usize, kind: &str, message: &str) -> String {
    let error = json!({"error": {"kind": kind, "message": message}});
    line("fail", name, nesting, error)
}

fn lines() -> Vec<String> {
    let none = || json!({});
    let stack = "AssertionError: numbers\n    at node:internal:1:1\n    \
                 at TestContext.<anonymous> (file:///w/a.test.mjs:4:34)";
    let kind = "testCodeFailure";
    let deep = json!({
        "file": "file:///w/a.test.mjs",
        "line": 3,
        "milliseconds": 2.5,
        "error": {"kind": kind, "message": "numbers\n\n1 !== 2\n", "stack": stack},
    });
    let later = json!({"todo": "soon", "error": {"kind": kind, "message": "no"}});
    vec![
        line("dequeue", "parent", 0, none()),
        line("start", "parent", 0, none()),
        line("start", "child", 1, none()),
        line("start", "deep", 2, none()),
        line("fail", "deep", 2, deep),
        failed("child", 1, "subtestsFailed", "1 subtest failed"),
        line("start", "child2", 1, none()),
        line("pass", "child2", 1, json!({"skip": "no disk"})),
        failed("parent", 0, "subtestsFailed", "1 subtest failed"),
        line("start", "suite", 0, none()),
        line("start", "later", 1, none()),
        line("fail", "later", 1, later),
        line("start", "four", 1, none()),
        line("pass", "four", 1, json!({"todo": true})),
        line("pass", "suite", 0, json!({"suite": true})),
        failed("x", 0, "cancelledByParent", "it did not finish"),
        json!({"type": "end"}).to_string(),
    ]
}

#[test]
fn results_have_their_paths_and_reasons() {
    use Verdict::{Failed, FailedAsExpected, Passed, Skipped};
    let (stream, results) = read(&lines());
    let found: Vec<_> = results
        .iter()
        .map(|it| {
            (
                it.result.name.as_str(),
                it.result.verdict,
                it.result.reason.as_deref(),
                it.is_counted,
            )
        })
        .collect();
    let expected = [
        (
            "parent > child > deep",
            Failed,
            Some("a.test.mjs:4: numbers; 1 !== 2"),
            true,
        ),
        ("parent > child", Failed, Some("1 subtest failed"), false),
        ("parent > child2", Skipped, Some("no disk"), true),
        ("parent", Failed, Some("1 subtest failed"), false),
        ("suite > later", FailedAsExpected, Some("no"), true),
        ("suite > four", Skipped, Some("todo"), true),
        ("suite", Passed, None, false),
        ("x", Failed, Some("cancelled: it did not finish"), true),
    ];
    assert_eq!(found, expected);
    let deep = &results.first().unwrap().result;
    assert_eq!(
        (deep.file.as_deref(), deep.line),
        (Some("/w/a.test.mjs"), Some(4))
    );
    assert_eq!(deep.duration, Some(Duration::from_micros(2_500)));
    assert!(stream.is_whole() && stream.has_begun() && !stream.is_idle());
    assert_eq!(stream.mistake(), None);
}

#[test]
fn running_test_is_known_where_one_runs() {
    let dequeue = |name: &str, nesting: usize| line("dequeue", name, nesting, json!({}));
    let (one, two) = (dequeue("a", 0), dequeue("b", 1));
    let (stream, _) = read(&[&one, &two]);
    assert_eq!(stream.running().unwrap(), ["a", "b"]);
    let beside = dequeue("c", 0);
    assert_eq!(read(&[&one, &two, &beside]).0.running(), None);
    let complete = line("complete", "c", 0, json!({}));
    assert_eq!(
        read(&[&one, &two, &beside, &complete]).0.running().unwrap(),
        ["a", "b"]
    );
    assert_eq!(read(&["{}"]).0.running(), None);
}

#[test]
fn line_that_is_no_report_is_a_mistake() {
    let (stream, results) = read(&["hello", r#"{"type":"idle"}"#, "again"]);
    assert_eq!((stream.mistake(), stream.is_idle()), (Some("hello"), true));
    assert_eq!(results, []);
}
