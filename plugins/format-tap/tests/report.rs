//! Tests what readers of `results.tap` rely on.
#![allow(clippy::unwrap_used, clippy::panic)]

use persea_format_tap::Tap;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::testing::{Host, Reports};
use persea_runner_tap::Parser;
use proptest::prelude::*;

fn started(total: i64) -> Event {
    Event::new("job-started").with("total", total)
}

fn finished(name: &str, status: &str, reason: Option<&str>) -> Event {
    let event = Event::new("task-finished")
        .task(name)
        .with("name", name)
        .with("status", status);
    match reason {
        Some(reason) => event.with("reason", reason),
        None => event,
    }
}

fn ended() -> Event {
    Event::new("job-finished")
}

/// Returns the report that the events make. The host's report is a stream, in which nothing that
/// is written can be changed later.
fn report(events: &[Event]) -> String {
    report_of(events, &JobEnd::new(true))
}

fn report_of(events: &[Event], end: &JobEnd) -> String {
    let host = Host::new().reports(Reports::stream()).install();
    let mut format = Tap::start_report(&ReportJob::new()).unwrap();
    for event in events {
        format.handle(event).unwrap();
        format.flush().unwrap();
    }
    format.finish_report(end).unwrap();
    String::from_utf8(host.report().unwrap()).unwrap()
}

fn read(report: &str) -> (Status, u64, u64, u64) {
    let mut parser = Parser::new();
    parser.feed(report.as_bytes());
    let verdict = parser.finish();
    (
        verdict.status,
        verdict.passed,
        verdict.failed,
        verdict.skipped,
    )
}

#[test]
fn warning_is_a_comment() {
    let warning = Event::new("warning")
        .with("cause", "incomplete")
        .with("reference", "t.py")
        .with("plugin", "resolver `p`")
        .with("message", "load_tests is not read\nok 1");
    let text = report(&[started(1), warning, finished("a", "PASS", None), ended()]);
    assert_eq!(
        text,
        "1..1\n# WARNING: t.py: resolver `p`: load_tests is not read\n# ok 1\nok 1 a\n"
    );
}

/// The lines are those of Avocado 113.0 for such a job, except for the reasons.
#[test]
fn each_status_has_avocados_line() {
    let text = report(&[
        started(8),
        finished("/bin/true", "PASS", None),
        finished("/bin/false", "FAIL", Some("exit code 1")),
        finished("skip77.sh", "SKIP", Some("exit code 77")),
        finished("instr.py:I.test_cancel", "CANCEL", Some("cancelled by me")),
        finished("warns.sh", "WARN", Some("look at this")),
        finished(
            "sleep_long.sh",
            "INTERRUPTED",
            Some("Test interrupted: Timeout reached"),
        ),
        finished("/does/not/exist", "ERROR", Some("no such file\nat all")),
        finished("bare", "FAIL", None),
        ended(),
    ]);
    let expected = "\
1..8
ok 1 /bin/true
not ok 2 /bin/false
# FAIL: exit code 1
ok 3 skip77.sh  # SKIP exit code 77
ok 4 instr.py:I.test_cancel  # SKIP cancelled by me
ok 5 warns.sh  # Warnings were printed into warn log
# WARN: look at this
not ok 6 sleep_long.sh
# INTERRUPTED: Test interrupted: Timeout reached
not ok 7 /does/not/exist
# ERROR: no such file
# at all
not ok 8 bare
";
    assert_eq!(text, expected);
    assert_eq!(read(&text), (Status::Fail, 2, 4, 2));
}

#[test]
fn each_line_is_written_as_its_test_finishes() {
    let host = Host::new().reports(Reports::stream()).install();
    let mut format = Tap::start_report(&ReportJob::new()).unwrap();
    format.handle(&started(2)).unwrap();
    format.flush().unwrap();
    assert_eq!(host.report().unwrap(), b"1..2\n");
    format.handle(&finished("a", "PASS", None)).unwrap();
    format.flush().unwrap();
    assert_eq!(host.report().unwrap(), b"1..2\nok 1 a\n");
}

#[test]
fn skip_without_a_reason_has_a_bare_directive() {
    let text = report(&[started(1), finished("a", "SKIP", None), ended()]);
    assert_eq!(text, "1..1\nok 1 a  # SKIP\n");
}

#[test]
fn title_names_the_test_point() {
    let event = finished("a", "PASS", None).with("title", "suite:a;v-1 (2)");
    let text = report(&[started(1), event, ended()]);
    assert_eq!(text, "1..1\nok 1 suite:a;v-1 (2)\n");
}

fn case(name: &str, status: &str, reason: Option<&str>) -> Event {
    let event = finished("a", status, reason).with("path", Value::list(["suite", name]));
    Event {
        kind: "case-finished".to_owned(),
        ..event
    }
}

#[test]
fn cases_are_a_subtest() {
    let text = report(&[
        started(1),
        case("x", "PASS", None),
        case("y # skip", "FAIL", Some("1 != 2")),
        case("z", "SKIP", Some("no disk")),
        finished("a", "FAIL", None),
        ended(),
    ]);
    let expected = "\
1..1
# Subtest: a
    ok 1 suite > x
    not ok 2 suite > y \\# skip
    # FAIL: 1 != 2
    ok 3 suite > z  # SKIP no disk
    1..3
not ok 1 a
";
    assert_eq!(text, expected);
    assert_eq!(read(&text), (Status::Fail, 0, 1, 0));
}

#[test]
fn failed_case_does_not_fail_its_test() {
    let text = report(&[
        started(1),
        case("x", "FAIL", Some("odd")),
        finished("a", "PASS", None),
        ended(),
    ]);
    assert!(
        text.contains("    not ok 1 suite > x  # TODO odd\n"),
        "{text}"
    );
    assert_eq!(read(&text), (Status::Pass, 1, 0, 0));
}

#[test]
fn cases_over_the_limit_are_counted() {
    let mut events = vec![started(1)];
    events.extend((0..10_002).map(|_| case("x", "PASS", None)));
    events.extend([finished("a", "PASS", None), ended()]);
    let text = report(&events);
    assert!(text.contains("    # 2 more cases: the journal has them\n    1..10000\n"));
}

/// A reader must not count a job as passed that did not come to its end.
#[test]
fn incomplete_job_bails_out_once() {
    let passed = [started(1), finished("a", "PASS", None), ended()];
    assert!(!report(&passed).contains("Bail out!"));
    let text = report_of(&passed, &JobEnd::new(false));
    assert!(
        text.ends_with("\nBail out! the job did not come to its end\n"),
        "{text}"
    );
    assert_eq!(read(&text).0, Status::Error);
    let interrupted = ended().with("interrupted-by", "the journal ends before the job does");
    let text = report_of(&[started(0), interrupted], &JobEnd::new(false));
    assert_eq!(text.matches("Bail out!").count(), 1, "{text}");
}

/// A reader must not count an interrupted job as passed.
#[test]
fn interrupted_job_bails_out() {
    let events = [
        started(2),
        finished("a", "PASS", None),
        finished("b", "SKIP", Some("interrupted")),
        ended().with("interrupted-by", "Ctrl-C # twice"),
    ];
    let text = report(&events);
    assert!(text.ends_with("\nBail out! Ctrl-C \\# twice\n"), "{text}");
    assert_eq!(read(&text).0, Status::Error);
}

#[test]
fn missing_tests_are_reported() {
    let text = report(&[started(3), finished("a", "PASS", None), ended()]);
    assert_eq!(text, "1..3\nok 1 a\n# 1 of 3 tests have finished\n");
    assert_eq!(read(&text).0, Status::Error);
}

proptest! {
    /// Whatever its name and its reason hold, each test is one test point with its own result.
    #[test]
    fn names_and_reasons_never_add_or_change_a_test_point(
        tests in prop::collection::vec(
            (
                "\\PC*|[\0-\x7f]*|[#\\\\ ]*(SKIP|TODO|ok)?",
                prop::sample::select(vec![
                    "PASS", "FAIL", "SKIP", "WARN", "ERROR", "CANCEL", "INTERRUPTED",
                ]),
                prop::option::of("\\PC*|[\0-\x7f]*|[#\\\\ ]*(SKIP|TODO|ok|Bail out!)?"),
            ),
            1..9,
        ),
    ) {
        let mut events = vec![started(i64::try_from(tests.len()).unwrap())];
        events.extend(
            tests
                .iter()
                .map(|(name, status, reason)| finished(name, status, reason.as_deref())),
        );
        events.push(ended());
        let text = report(&events);
        let count = |wanted: &[&str]| {
            tests
                .iter()
                .filter(|(_, status, _)| wanted.contains(status))
                .count() as u64
        };
        let (_, passed, failed, skipped) = read(&text);
        prop_assert_eq!(
            (passed, failed, skipped),
            (
                count(&["PASS", "WARN"]),
                count(&["FAIL", "ERROR", "INTERRUPTED"]),
                count(&["SKIP", "CANCEL"]),
            ),
            "{}", text
        );
    }
}
