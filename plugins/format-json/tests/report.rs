//! Tests what readers of Avocado's `results.json` rely on.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use persea_format_json::Json;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::testing::{Host, Reports};
use proptest::prelude::*;
use serde_json::json;

/// 2026-11-23T00:10:27.215350789Z
const START: u64 = 1_795_392_627_215_350_789;
const SECOND: u64 = 1_000_000_000;

fn started(total: i64) -> Event {
    Event::new("job-started")
        .time(START)
        .with("job-id", "ccb633cd356d139c3a5a3c89569c1a852c35d1b9")
        .with("job-dir", "/home/user/jr/job-1")
        .with("total", total)
}

fn finished(id: &str, name: &str, status: &str) -> Event {
    Event::new("task-finished")
        .time(START + 3 * SECOND)
        .task(id)
        .with("name", name)
        .with("kind", "exec-test")
        .with("status", status)
        .with("started", i64::try_from(START + SECOND).unwrap())
        .with("elapsed", 1_250_000_001_i64)
        .with("directory", "test-results/1-a")
}

fn ended() -> Event {
    [
        "pass",
        "fail",
        "error",
        "skip",
        "warn",
        "cancel",
        "interrupted",
        "total",
    ]
    .into_iter()
    .zip(1_i64..)
    .fold(
        Event::new("job-finished").time(START + 4 * SECOND),
        |event, (name, count)| event.with(name, count),
    )
}

/// Returns the report that the events make. The host's report is a stream, in which nothing that
/// is written can be changed later.
fn report(events: &[Event]) -> String {
    report_of(events, &JobEnd::new(true))
}

fn report_of(events: &[Event], end: &JobEnd) -> String {
    let host = Host::new().reports(Reports::stream()).install();
    let mut format = Json::start_report(&ReportJob::new()).unwrap();
    for event in events {
        format.handle(event).unwrap();
    }
    format.finish_report(end).unwrap();
    String::from_utf8(host.report().unwrap()).unwrap()
}

fn parse(events: &[Event]) -> serde_json::Value {
    serde_json::from_str(&report(events)).unwrap()
}

fn warning(reference: &str) -> Event {
    Event::new("warning")
        .with("cause", "incomplete")
        .with("reference", reference)
        .with("plugin", "resolver `p`")
        .with("message", "\"load_tests\" is not read")
}

#[test]
fn usage_of_a_test_has_keys_of_its_own() {
    let event = finished("1-a", "a", "PASS")
        .with("cpu-user", 1_500_000_000_i64)
        .with("cpu-system", 2_000_000_i64)
        .with("peak-memory", 4096_i64)
        .with("peak-memory-of", "largest-process");
    let without = finished("2-b", "b", "PASS");
    let report = parse(&[started(2), event, without, ended()]);
    let [test, other] = [&report["tests"][0], &report["tests"][1]];
    assert_eq!(test["cpu_user"], json!(1.5));
    assert_eq!(test["cpu_system"], json!(0.002));
    assert_eq!(test["peak_memory"], json!(4096));
    assert_eq!(test["peak_memory_of"], json!("largest-process"));
    for key in ["cpu_user", "cpu_system", "peak_memory", "peak_memory_of"] {
        assert_eq!(other.get(key), None);
    }
}

#[test]
fn report_says_that_the_job_did_not_come_to_its_end() {
    let events = [started(1), finished("1-a", "a", "PASS"), ended()];
    assert_eq!(parse(&events).get("complete"), None);
    for events in [&events[..], &events[..2]] {
        let text = report_of(events, &JobEnd::new(false));
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["complete"], false);
        assert_eq!(read["tests"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn warnings_follow_the_tests() {
    let read = parse(&[
        started(1),
        warning("t.py"),
        finished("1-a", "a", "PASS"),
        ended(),
    ]);
    let expected = json!([{
        "cause": "incomplete",
        "message": "\"load_tests\" is not read",
        "plugin": "resolver `p`",
        "reference": "t.py",
    }]);
    assert_eq!(read["warnings"], expected);
    assert_eq!(read["tests"].as_array().unwrap().len(), 1);
}

#[test]
fn warnings_after_the_first_thousand_are_counted() {
    let mut events = vec![started(0)];
    events.extend((0..1002).map(|number| warning(&number.to_string())));
    events.push(ended());
    let read = parse(&events);
    let warnings = read["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1001);
    assert_eq!(warnings[999]["reference"], "999");
    assert_eq!(
        warnings[1000],
        json!({"message": "2 more warnings: the journal has them"})
    );
}

fn case(task: &str, name: &str, status: &str) -> Event {
    Event::new("case-finished")
        .task(task)
        .with("path", Value::list(["suite", name]))
        .with("status", status)
}

#[test]
fn test_has_its_cases() {
    let read = parse(&[
        started(2),
        case("1-a", "x", "PASS").with("elapsed", 1_500_000_000_i64),
        case("2-b", "y", "FAIL").with("reason", "1 \"!=\" 2"),
        case("1-a", "z", "SKIP"),
        finished("1-a", "a", "PASS"),
        finished("2-b", "b", "FAIL"),
        finished("3-c", "c", "PASS"),
        ended(),
    ]);
    let expected = json!([
        {"path": ["suite", "x"], "status": "PASS", "time": 1.5},
        {"path": ["suite", "z"], "status": "SKIP"},
    ]);
    assert_eq!(read["tests"][0]["cases"], expected);
    let expected = json!([{"path": ["suite", "y"], "reason": "1 \"!=\" 2", "status": "FAIL"}]);
    assert_eq!(read["tests"][1]["cases"], expected);
    assert_eq!(read["tests"][2].get("cases"), None);
}

#[test]
fn cases_over_the_limit_are_counted() {
    let mut events = vec![started(1)];
    events.extend((0..10_002).map(|_| case("1-a", "x", "PASS")));
    events.extend([finished("1-a", "a", "PASS"), ended()]);
    let read = parse(&events);
    assert_eq!(read["tests"][0]["cases"].as_array().unwrap().len(), 10_000);
    assert_eq!(read["tests"][0]["cases_left_out"], 2);
}

#[test]
fn report_has_every_key_of_avocado() {
    let full = finished("2-a.py:T.b", "a.py:T.b", "FAIL")
        .with("reason", "1 != \"2\"\n")
        .with("whiteboard", "wb")
        .with("uri", "a.py:T.b")
        .with("returncode", 1_i64)
        .with("tags", Value::json(r#"{"slow": null, "arch": ["x86_64"]}"#));
    let read = parse(&[started(2), finished("1-a", "a", "PASS"), full, ended()]);
    let plain = json!({
        "actual_time_end": 1_795_392_630.215_350_8,
        "actual_time_start": 1_795_392_628.215_350_8,
        "fail_reason": "<unknown>",
        "id": "1-a",
        "kind": "exec-test",
        "logdir": "/home/user/jr/job-1/test-results/1-a",
        "logfile": "/home/user/jr/job-1/test-results/1-a/debug.log",
        "name": "a",
        "status": "PASS",
        "tags": {},
        "time_elapsed": 1.250_000_001,
        "time_end": 3.0,
        "time_start": 1.0,
        "whiteboard": "<unknown>",
    });
    let mut failed = plain.clone();
    for (key, value) in [
        ("fail_reason", json!("1 != \"2\"\n")),
        ("id", json!("2-a.py:T.b")),
        ("name", json!("a.py:T.b")),
        ("returncode", json!(1)),
        ("status", json!("FAIL")),
        ("tags", json!({"slow": null, "arch": ["x86_64"]})),
        ("uri", json!("a.py:T.b")),
        ("whiteboard", json!("wb")),
    ] {
        failed[key] = value;
    }
    let expected = json!({
        "cancel": 6, "errors": 3, "failures": 2, "interrupt": 7, "pass": 1, "skip": 4,
        "warn": 5, "total": 8,
        "debuglog": "/home/user/jr/job-1/job.log",
        "job_id": "ccb633cd356d139c3a5a3c89569c1a852c35d1b9",
        "start": "2026-11-23 00:10:27.215350",
        "tests": [plain, failed],
        "time": 2.500_000_002,
    });
    assert_eq!(read, expected);
}

#[test]
fn test_that_never_started_has_an_entry() {
    let event = Event::new("task-finished")
        .time(START + 2 * SECOND)
        .task("1-a")
        .with("name", "a")
        .with("status", "SKIP");
    let read = parse(&[started(1), event, ended()]);
    let test = &read["tests"][0];
    assert_eq!(test["time_elapsed"], 0.0);
    assert_eq!(
        (&test["time_start"], &test["time_end"]),
        (&json!(2.0), &json!(2.0))
    );
    assert_eq!(test["actual_time_start"], test["actual_time_end"]);
}

#[test]
fn report_is_laid_out_as_avocados() {
    let text = report(&[started(1), finished("1-a", "a", "PASS"), ended()]);
    assert!(text.starts_with("{\n    \"debuglog\": "), "{text}");
    assert!(
        text.contains("\n    \"tests\": [\n        {\n            \"actual_time_end\": "),
        "{text}"
    );
    assert!(
        text.contains("\n        }\n    ],\n    \"cancel\": 6,\n"),
        "{text}"
    );
    assert!(text.ends_with("\n}\n"), "{text}");
}

#[test]
fn job_without_tests_makes_a_valid_report() {
    assert_eq!(parse(&[started(0), ended()])["tests"], json!([]));
}

#[test]
fn unknown_events_and_malformed_tags_are_ignored() {
    let wrong = finished("1-a", "a", "PASS").with("tags", Value::json("{no json"));
    let read = parse(&[
        Event::new("weather"),
        started(1),
        Event::new("weather"),
        wrong,
        ended(),
        ended(),
    ]);
    assert_eq!(read["tests"][0]["tags"], json!({}));
}

proptest! {
    /// A reader of the JSON gets back every text unchanged.
    #[test]
    fn texts_are_escaped(text in "\\PC*|[\0-\x7f]*") {
        let event = finished("1-a", &text, "FAIL").with("reason", text.as_str());
        let read = parse(&[started(1), event, ended()]);
        prop_assert_eq!(read["tests"][0]["name"].as_str().unwrap(), &text);
        prop_assert_eq!(read["tests"][0]["fail_reason"].as_str().unwrap(), &text);
    }

    /// Every time is a number, even where a clock was set back during the job.
    #[test]
    fn times_are_numbers(end in any::<u64>(), start in any::<i64>(), elapsed in any::<i64>()) {
        let event = finished("1-a", "a", "PASS")
            .time(end)
            .with("started", start)
            .with("elapsed", elapsed);
        let read = parse(&[started(1), event, ended()]);
        prop_assert!(read["tests"][0]["time_start"].is_f64());
        let expected = elapsed as f64 / 1e9;
        let actual = read["time"].as_f64().unwrap();
        prop_assert!(
            (actual - expected).abs() <= expected.abs() * 1e-9,
            "{} is not {}",
            actual,
            expected
        );
    }
}

#[test]
fn test_without_a_directory_names_none() {
    let event = finished("1-a", "a", "PASS").with("has-directory", false);
    let read = parse(&[started(1), event, ended()]);
    let test = &read["tests"][0];
    assert_eq!(test["logdir"], "<unknown>");
    assert_eq!(test["logfile"], "<unknown>");
}
