//! Tests what the script of the page, and somebody who reads it without scripts, rely on. What the
//! script shows is tested in a browser: `browser.sh`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use persea_format_html::Html;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::testing::{Artifacts, Host};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// 2026-11-23T00:10:27.215350789Z
const START: u64 = 1_795_392_627_215_350_789;

const HOSTILE: &str = "</script><!--<script>alert(1)</script>&amp;'\"\u{0}\u{2028}\r\n";

fn started() -> Event {
    Event::new("job-started")
        .time(START)
        .with("name", "job-1<b>")
        .with("job-dir", "/home/user/jr")
        .with("total", 1_i64)
}

fn finished(status: &str) -> Event {
    Event::new("task-finished")
        .time(START + 3_000_000_000)
        .task("1-a")
        .with("name", "a")
        .with("kind", "exec-test")
        .with("status", status)
        .with("started", i64::try_from(START + 500_000_000).unwrap())
        .with("elapsed", 2_000_000_000_i64)
        .with("directory", "test-results/1-a")
}

fn retried(reason: &str) -> Event {
    let mut event = finished("FAIL").with("reason", reason);
    "task-retried".clone_into(&mut event.kind);
    event
}

/// Makes the page of these events between the start and the end of a job.
fn page_of(job: &ReportJob, files: Artifacts, events: &[Event], complete: bool) -> String {
    let host = Host::new().artifacts(files).install();
    let mut format = Html::start_report(job).unwrap();
    format.handle(&started()).unwrap();
    for event in events {
        format.handle(event).unwrap();
    }
    format.flush().unwrap();
    format.finish_report(&JobEnd::new(complete)).unwrap();
    String::from_utf8(host.report().unwrap()).unwrap()
}

fn page(events: &[Event]) -> String {
    page_of(&ReportJob::new(), Artifacts::new(), events, true)
}

/// The text of the element that holds the data.
fn data(page: &str) -> &str {
    let (_, rest) = page.split_once("id=\"records\">\n").unwrap();
    rest.split_once("</script>").unwrap().0
}

/// The records of one kind.
fn records(page: &str, kind: &str) -> Vec<Json> {
    let lines = data(page)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|record: &Json| record["record"] == kind)
        .collect()
}

fn test(page: &str) -> Json {
    let mut tests = records(page, "test");
    assert_eq!(tests.len(), 1, "{page}");
    tests.remove(0)
}

#[test]
fn test_has_its_times_in_seconds() {
    let page = page(&[finished("PASS")
        .with("cpu-user", 1_500_000_i64)
        .with("cpu-system", 500_000_i64)]);
    let test = test(&page);
    let times = [&test["start"], &test["time"], &test["cpu"]].map(|time| time.as_f64().unwrap());
    assert_eq!(times, [0.5, 2.0, 0.002]);
}

#[test]
fn hostile_text_stays_text() {
    let files = Artifacts::new().task_file("1-a", "stdout", HOSTILE);
    let event = finished("FAIL")
        .with("reason", HOSTILE)
        .with("title", HOSTILE);
    let page = page_of(&ReportJob::new(), files, &[event], true);
    assert!(!data(&page).contains('<'));
    let test = test(&page);
    assert_eq!(test["reason"], HOSTILE);
    assert_eq!(test["name"], HOSTILE);
    assert_eq!(
        test["output"][0],
        json!({"name": "stdout", "head": HOSTILE})
    );
    // The data, the script of the page, and what stands for them without scripts.
    assert_eq!(page.matches("<script").count(), 2, "{page}");
    assert_eq!(page.matches("</script").count(), 2);
    assert!(page.contains("<title>job-1&lt;b&gt;</title>"));
}

#[test]
fn output_over_the_limit_loses_its_middle() {
    let job = ReportJob::new().setting("job.run.result.html.max_output_kb", 1_i64);
    let text = format!("{}{}", "a".repeat(2000), "z".repeat(2000));
    let files = Artifacts::new().task_file("1-a", "stderr", &*text);
    let test = test(&page_of(&job, files, &[finished("FAIL")], true));
    assert_eq!(test["files"], json!([{"name": "stderr", "size": 4000}]));
    let output = &test["output"][0];
    assert_eq!(output["head"], "a".repeat(512));
    assert_eq!(output["tail"], "z".repeat(512));
    assert_eq!(output["left_out"], 4000 - 1024);
}

#[test]
fn output_of_all_tests_has_a_limit() {
    let job = ReportJob::new().setting("job.run.result.html.max_total_output_mb", 0_i64);
    let files = Artifacts::new().task_file("1-a", "stderr", "text");
    let test = test(&page_of(&job, files, &[finished("FAIL")], true));
    assert_eq!(
        test["output"][0],
        json!({"name": "stderr", "head": "", "left_out": 4})
    );
}

#[test]
fn output_of_a_test_that_passed_is_left_out() {
    let files = Artifacts::new().task_file("1-a", "stdout", "text");
    let test = test(&page_of(
        &ReportJob::new(),
        files,
        &[finished("PASS")],
        true,
    ));
    assert_eq!(test.get("output"), None);
    assert_eq!(test["directory"], "test-results/1-a");
}

#[test]
fn earlier_attempts_are_listed() {
    let last = finished("PASS").with("attempts", 2_i64).with("flaky", true);
    let test = test(&page(&[retried("no luck"), last]));
    assert_eq!(test["flaky"], true);
    assert_eq!(test["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(test["attempts"][0]["reason"], "no luck");
}

#[test]
fn attempt_that_was_announced_and_is_the_result_is_listed_once() {
    let test = test(&page(&[retried("no luck"), finished("FAIL")]));
    assert_eq!(test.get("attempts"), None);
}

#[test]
fn cases_are_those_of_the_last_attempt() {
    let case = |name: &str| {
        let event = Event::new("case-finished")
            .task("1-a")
            .with("status", "FAIL");
        event
            .with("path", Value::list(["group", name]))
            .with("elapsed", 1_000_000_000_i64)
    };
    let last = finished("FAIL").with("attempts", 2_i64);
    let test = test(&page(&[case("early"), retried("no"), case("late"), last]));
    let expected = json!([{"path": ["group", "late"], "status": "FAIL", "time": 1.0}]);
    assert_eq!(test["cases"], expected);
}

#[test]
fn task_that_waits_for_others_is_planned_in_the_data() {
    let planned = |id: &str, runnable: Json| {
        let event = Event::new("task-planned").task(id).with("name", id);
        event.with("runnable", Value::json(runnable.to_string()))
    };
    let waits = json!({"kind": "noop", "more": {"needs": ["a"], "after": ["b"]}});
    let page = page(&[
        planned("1-a", json!({"kind": "noop"})),
        planned("2-c", waits),
    ]);
    let expected =
        json!({"record": "planned", "id": "2-c", "name": "2-c", "needs": ["a"], "after": ["b"]});
    assert_eq!(records(&page, "planned"), [expected]);
}

#[test]
fn requirement_has_its_state() {
    let begin = Event::new("requirement-started")
        .time(START)
        .with("id", "1-file");
    let begin = begin
        .with("name", "file x")
        .with("scope", "job")
        .with("resolver", "file");
    let end = Event::new("requirement-finished").with("id", "1-file");
    let end = end.with("state", "failed").with("reason", "no x");
    let page = page(&[begin, end]);
    let requirements = records(&page, "requirement");
    assert_eq!(requirements.len(), 1);
    assert_eq!(requirements[0]["name"], "file x");
    assert_eq!(requirements[0]["state"], "failed");
    assert_eq!(requirements[0]["reason"], "no x");
}

#[test]
fn job_without_an_end_is_incomplete() {
    let page = page_of(&ReportJob::new(), Artifacts::new(), &[], false);
    assert_eq!(records(&page, "end")[0]["complete"], false);
}

#[test]
fn reader_without_scripts_gets_the_tally_and_the_failures() {
    let mut events = vec![finished("PASS"), finished("ERROR").with("reason", "<gone>")];
    events.extend((0..250).map(|_| finished("FAIL")));
    let page = page(&events);
    let (_, summary) = page.split_once("<noscript>").unwrap();
    let (summary, _) = summary.split_once("</noscript>").unwrap();
    for part in [
        "ERROR 1 FAIL 250 PASS 1",
        "<li>ERROR a: &lt;gone&gt;</li>",
        "51 more did not",
    ] {
        assert!(summary.contains(part), "no {part} in {summary}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_back(reason in ".*", name in "\\PC*") {
        let page = page(&[finished("FAIL").with("reason", &*reason).with("title", &*name)]);
        prop_assert!(!data(&page).contains('<'));
        let test = test(&page);
        prop_assert_eq!(&test["reason"], &reason);
        prop_assert_eq!(&test["name"], &name);
    }
}
