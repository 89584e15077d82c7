//! Tests what readers of JUnit reports rely on.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use persea_format_xunit::Xunit;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::testing::{Artifacts, Host};
use proptest::prelude::*;
use quick_xml::events::{BytesStart, Event as Xml};
use quick_xml::{Reader, XmlVersion};

/// 2026-11-23T00:10:27.215350789Z
const START: u64 = 1_795_392_627_215_350_789;

fn started(total: i64) -> Event {
    Event::new("job-started")
        .time(START)
        .with("name", "job-2026-11-23T00.10-ccb633c")
        .with("job-id", "ccb633cd356d139c3a5a3c89569c1a852c35d1b9")
        .with("job-dir", "/home/user/jr")
        .with("persea-version", "0.1.0")
        .with("total", total)
}

fn finished(name: &str, status: &str) -> Event {
    Event::new("task-finished")
        .time(START + 1)
        .task(format!("1-{name}"))
        .with("name", name)
        .with("uri", name)
        .with("kind", "exec-test")
        .with("status", status)
        .with("started", 1_i64)
        .with("elapsed", 14_483_177_i64)
}

fn ended() -> Event {
    Event::new("job-finished")
}

fn report_with(artifacts: Artifacts, events: &[Event]) -> String {
    report_of(&ReportJob::new(), artifacts, events)
}

fn report_of(job: &ReportJob, artifacts: Artifacts, events: &[Event]) -> String {
    ended_report(job, artifacts, events, Some(&JobEnd::new(true)))
}

/// Returns the report that the events make, with its end if there is one.
fn ended_report(
    job: &ReportJob,
    artifacts: Artifacts,
    events: &[Event],
    end: Option<&JobEnd>,
) -> String {
    let host = Host::new().artifacts(artifacts).install();
    let mut format = Xunit::start_report(job).unwrap();
    for event in events {
        format.handle(event).unwrap();
    }
    if let Some(end) = end {
        format.finish_report(end).unwrap();
    }
    String::from_utf8(host.report().unwrap()).unwrap()
}

fn report(events: &[Event]) -> String {
    report_with(Artifacts::new(), events)
}

#[test]
fn report_says_whether_the_job_came_to_its_end() {
    let events = [started(1), finished("/bin/true", "PASS"), ended()];
    let report = |end: Option<bool>| {
        let end = end.map(JobEnd::new);
        ended_report(&ReportJob::new(), Artifacts::new(), &events, end.as_ref())
    };
    let property = |value: &str| format!("<property name=\"complete\" value={value}/>");
    assert!(report(Some(true)).contains(&property("\"true\" ")));
    assert!(report(Some(false)).contains(&property("\"false\"")));
    // A host that is killed leaves what was written until then.
    assert!(!report(None).contains("\"true\""));
}

/// A parsed element with its children.
#[derive(Debug, Default, PartialEq)]
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn new(start: &BytesStart<'_>) -> Self {
        let attributes = start.attributes().map(|attribute| {
            let attribute = attribute.unwrap();
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).unwrap();
            (attribute.key.as_ref().to_owned(), value.into_owned())
        });
        Self {
            name: start.name().as_ref().to_owned(),
            attributes: attributes.collect(),
            ..Self::default()
        }
    }

    fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("(none)", String::as_str)
    }

    fn child(&self, name: &str) -> &Element {
        self.children
            .iter()
            .find(|child| child.name == name)
            .unwrap()
    }

    fn cases(&self) -> Vec<&Element> {
        self.children
            .iter()
            .filter(|child| child.name == "testcase")
            .collect()
    }
}

fn parse(xml: &str) -> Element {
    let mut reader = Reader::from_str(xml);
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().unwrap() {
            Xml::Start(start) => open.push(Element::new(&start)),
            Xml::Empty(start) => open.last_mut().unwrap().children.push(Element::new(&start)),
            Xml::End(_) => {
                let element = open.pop().unwrap();
                open.last_mut().unwrap().children.push(element);
            }
            Xml::CData(data) => open.last_mut().unwrap().text.push_str(&data),
            Xml::Eof => break,
            _ => {}
        }
    }
    assert_eq!(open.len(), 1, "every element is closed");
    let mut document = open.pop().unwrap();
    assert_eq!(document.children.len(), 1, "there is one root");
    document.children.pop().unwrap()
}

#[test]
fn each_status_has_its_element() {
    let text = report(&[
        started(6),
        finished("/bin/true", "PASS"),
        finished("tests/a.py:T.test", "FAIL")
            .with("reason", "1 != 2")
            .with("failure-type", "AssertionError")
            .with("traceback", "File \"a.py\"\n"),
        finished("a.sh", "FAIL").with("returncode", 3_i64),
        finished("b.sh", "INTERRUPTED").with("reason", "Timeout \"reached\"\n"),
        finished("c.sh", "SKIP").with("reason", "no disk"),
        finished("d.sh", "WARN").with("reason", "odd"),
        ended(),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn start_tag_has_the_totals() {
    let statuses = [
        "PASS",
        "FAIL",
        "ERROR",
        "SKIP",
        "WARN",
        "CANCEL",
        "INTERRUPTED",
        "FAIL",
        "FAIL",
    ];
    let mut events = vec![started(2)];
    events.extend(statuses.iter().map(|status| finished("a", status)));
    events.push(ended());
    let suite = parse(&report(&events));
    assert_eq!(
        suite.get("tests"),
        "9",
        "the total is the number of tests in the report, not of those planned"
    );
    assert_eq!(suite.get("failures"), "3");
    assert_eq!(suite.get("errors"), "2");
    assert_eq!(suite.get("skipped"), "2");
    assert_eq!(suite.get("time"), "0.130");
    assert_eq!(suite.get("timestamp"), "2026-11-23T00:10:27");
    assert_eq!(suite.get("name"), "job-2026-11-23T00.10-ccb633c");
    assert_eq!(suite.cases().len(), 9);
}

#[test]
fn title_names_the_testcase() {
    let event = finished("a", "PASS").with("title", "suite:a;v-1 (2)");
    let suite = parse(&report(&[started(1), event, ended()]));
    assert_eq!(suite.child("testcase").get("name"), "suite:a;v-1 (2)");
}

#[test]
fn skip_reason_is_text() {
    for status in ["SKIP", "CANCEL"] {
        let event = finished("a", status).with("reason", "no <disk>");
        let text = report(&[started(1), event, ended()]);
        assert!(
            text.contains("<skipped>no &lt;disk&gt;</skipped>"),
            "{text}"
        );
    }
}

/// Returns the report of a job in which a test fails twice and then ends with `status`.
fn retried(status: &str, job: &ReportJob) -> Element {
    let retry = |reason: &str| {
        let mut event = finished("a", "FAIL").with("reason", reason);
        event.kind = "task-retried".to_owned();
        event
    };
    let last = finished("a", status)
        .with("attempts", 3_i64)
        .with("flaky", status == "PASS");
    let events = [
        started(2),
        retry("once"),
        retry("twice"),
        last,
        finished("b", "PASS"),
        ended(),
    ];
    parse(&report_of(job, Artifacts::new(), &events))
}

#[test]
fn pass_after_a_retry_is_marked_as_flaky() {
    let suite = retried("PASS", &ReportJob::new());
    let case = suite.child("testcase");
    assert_eq!(
        case.child("system-out").text,
        "flaky: passed in attempt 3\nattempt 1: FAIL: once\nattempt 2: FAIL: twice\n"
    );
    assert_eq!(case.children.len(), 1);
    let properties = &suite.child("properties").children;
    let flaky = properties.iter().find(|it| it.get("name") == "flaky");
    assert_eq!(flaky.unwrap().get("value"), "1");
    assert_eq!(suite.cases().len(), 2);
    assert!(suite.cases()[1].children.is_empty());
}

#[test]
fn failed_attempts_are_elements_with_the_setting() {
    let job = ReportJob::new().setting("job.run.result.xunit.rerun_elements", true);
    for (status, expected) in [
        ("PASS", &["flakyFailure", "flakyFailure"][..]),
        ("FAIL", &["failure", "rerunFailure", "rerunFailure"]),
        ("ERROR", &["error", "rerunFailure", "rerunFailure"]),
    ] {
        let suite = retried(status, &job);
        let children = &suite.child("testcase").children;
        let names: Vec<&str> = children.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, expected, "{status}");
        assert_eq!(children.last().unwrap().get("message"), "twice");
    }
}

#[test]
fn usage_of_a_test_is_in_its_properties_with_the_setting() {
    for status in ["PASS", "SKIP", "FAIL"] {
        let event = finished("a", status)
            .with("cpu-user", 1_500_000_000_i64)
            .with("cpu-system", 2_000_000_i64)
            .with("peak-memory", 4096_i64)
            .with("peak-memory-of", "tree");
        let events = [started(2), event, finished("b", "PASS"), ended()];
        let job = ReportJob::new().setting("job.run.result.xunit.test_properties", true);
        let suite = parse(&report_of(&job, Artifacts::new(), &events));
        let properties = &suite.child("testcase").child("properties").children;
        let found: Vec<_> = properties
            .iter()
            .map(|it| (it.get("name"), it.get("value")))
            .collect();
        assert_eq!(
            found,
            [
                ("cpu_user", "1.500"),
                ("cpu_system", "0.002"),
                ("peak_memory", "4096"),
                ("peak_memory_of", "tree"),
            ],
            "{status}"
        );
        assert!(suite.cases()[1].children.is_empty());
        // Neither schema allows them, so they are not there by default.
        let plain = parse(&report(&events));
        let children = &plain.child("testcase").children;
        assert!(children.iter().all(|it| it.name != "properties"));
    }
}

#[test]
fn large_job_has_its_totals() {
    let mut events = vec![started(100_000)];
    events.extend(
        (0..100_000).map(|number| finished("a", if number % 2 == 0 { "PASS" } else { "SKIP" })),
    );
    events.push(ended());
    let text = report(&events);
    let suite = parse(&text);
    assert_eq!(
        (suite.get("tests"), suite.get("skipped")),
        ("100000", "50000")
    );
}

#[test]
fn output_of_a_failed_test_is_in_the_report() {
    let artifacts = || {
        Artifacts::new()
            .task_file("1-a", "stdout", "out ]]> <b>&amp;\x1b[0m\n")
            .task_file("1-a", "stderr", b"caf\xe9".as_slice())
    };
    for status in ["FAIL", "ERROR", "INTERRUPTED"] {
        let suite = parse(&report_with(
            artifacts(),
            &[started(1), finished("a", status), ended()],
        ));
        let case = suite.child("testcase");
        assert_eq!(case.child("system-out").text, "out ]]> <b>&amp;\\x1b[0m\n");
        assert_eq!(case.child("system-err").text, "caf\u{fffd}");
    }
    for status in ["PASS", "WARN", "SKIP", "CANCEL"] {
        let suite = parse(&report_with(
            artifacts(),
            &[started(1), finished("a", status), ended()],
        ));
        assert!(
            !suite
                .child("testcase")
                .children
                .iter()
                .any(|child| child.name.starts_with("system"))
        );
    }
}

#[test]
fn long_output_keeps_its_beginning_and_its_end() {
    let long = format!("BEGIN{}END", "é".repeat(3_000_000));
    let artifacts = Artifacts::new().task_file("1-a", "stdout", long.as_str());
    let suite = parse(&report_with(
        artifacts,
        &[started(1), finished("a", "FAIL"), ended()],
    ));
    let text = &suite.child("testcase").child("system-out").text;
    assert!(text.starts_with("BEGINé") && text.ends_with("éEND"));
    assert!(!text.contains('\u{fffd}'), "no character is cut in two");
    let (head, rest) = text
        .split_once("\n\n--[ CUT DUE TO XML PER TEST LIMIT: ")
        .unwrap();
    let (left_out, tail) = rest.split_once(" BYTES LEFT OUT ]--\n\n").unwrap();
    assert!(head.len() + tail.len() <= 100_000 && head.len() + tail.len() > 99_990);
    assert_eq!(
        head.len() + tail.len() + left_out.parse::<usize>().unwrap(),
        long.len()
    );
}

#[test]
fn users_settings_apply() {
    let job = ReportJob::new()
        .setting("job.run.result.xunit.job_name", "nightly")
        .setting("job.run.result.xunit.max_test_log_chars", 10);
    let artifacts = Artifacts::new()
        .task_file("1-a", "stdout", "0123456789")
        .task_file("1-a", "stderr", "0123456789a");
    let events = [started(1), finished("a", "FAIL"), ended()];
    let suite = parse(&report_of(&job, artifacts, &events));
    assert_eq!(suite.get("name"), "nightly");
    let case = suite.child("testcase");
    assert_eq!(case.child("system-out").text, "0123456789");
    assert_eq!(
        case.child("system-err").text,
        "01234\n\n--[ CUT DUE TO XML PER TEST LIMIT: 1 BYTES LEFT OUT ]--\n\n6789a"
    );
}

#[test]
fn warnings_are_the_suites_standard_error() {
    let warning = Event::new("warning")
        .with("reference", "t.py")
        .with("plugin", "resolver `p`")
        .with("message", "<load_tests> is not read");
    let mut events = vec![started(1), finished("a", "PASS")];
    events.extend(std::iter::repeat_n(warning, 1001));
    events.push(ended());
    let text = parse(&report(&events)).child("system-err").text.clone();
    let line = "WARNING: t.py: resolver `p`: <load_tests> is not read";
    assert_eq!(text.lines().next(), Some(line));
    assert_eq!(text.lines().count(), 1001);
    assert_eq!(
        text.lines().last(),
        Some("1 more warnings: the journal has them")
    );
}

fn case(name: &str, status: &str) -> Event {
    let event = finished("a", status).with("path", Value::list(["suite", name]));
    Event {
        kind: "case-finished".to_owned(),
        ..event
    }
}

#[test]
fn cases_are_testcases_after_that_of_their_test() {
    let text = report(&[
        started(1),
        case("x", "PASS"),
        case("y", "FAIL").with("reason", "1 <> 2"),
        case("z", "SKIP").with("reason", "no disk"),
        finished("a", "ERROR"),
        finished("b", "PASS"),
        ended(),
    ]);
    assert!(text.contains("<skipped>no disk</skipped>"), "{text}");
    let suite = parse(&text);
    let names: Vec<&str> = suite.cases().iter().map(|case| case.get("name")).collect();
    assert_eq!(names, ["a", "suite > x", "suite > y", "suite > z", "b"]);
    let cases = suite.cases();
    assert_eq!(cases[2].get("classname"), "a");
    assert_eq!(cases[2].child("failure").get("message"), "1 <> 2");
    assert_eq!(cases[1].get("time"), "0.014");
    let totals = ["tests", "errors", "failures", "skipped", "time"].map(|name| suite.get(name));
    assert_eq!(totals, ["5", "1", "1", "1", "0.029"]);
}

#[test]
fn cases_over_the_limit_are_counted() {
    let mut events = vec![started(1)];
    events.extend((0..10_002).map(|_| case("x", "PASS")));
    events.extend([finished("a", "PASS"), ended()]);
    let suite = parse(&report(&events));
    assert_eq!(suite.get("tests"), "10001");
    let text = &suite.child("system-err").text;
    assert_eq!(text, "WARNING: a: 2 more cases: the journal has them\n");
}

proptest! {
    /// A reader of the XML gets back every text, with forbidden characters as `\xNN`.
    #[test]
    fn every_text_makes_a_valid_report(
        text in "\\PC*|[\0-\x7f]*|[\\]>&<\"']*",
        output in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let event = finished(&text, "FAIL")
            .task("1-a")
            .with("reason", text.as_str())
            .with("traceback", text.as_str())
            .with("class-name", text.as_str());
        let artifacts = Artifacts::new().task_file("1-a", "stdout", output);
        let start = started(1).with("name", text.as_str());
        let suite = parse(&report_with(artifacts, &[start, event, ended()]));
        let case = suite.child("testcase");
        prop_assert!(suite.get("name") == case.get("name"));
        if !text.chars().any(|character| character.is_control() || character >= '\u{fffe}') {
            prop_assert_eq!(case.get("name"), &text);
            prop_assert_eq!(case.child("failure").get("message"), &text);
            prop_assert_eq!(&case.child("failure").text, &text);
        }
    }
}
