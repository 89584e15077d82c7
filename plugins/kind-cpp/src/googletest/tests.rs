//! Tests of what GoogleTest writes: texts of GoogleTest 1.12.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]
use std::time::Duration;

use super::*;

const REPORT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="7" failures="2" disabled="1" errors="0" time="0.002" name="AllTests">
  <testsuite name="A" tests="5" failures="2" disabled="1" skipped="1" errors="0" time="0">
    <testcase name="passes" file="g.cc" line="4" status="run" result="completed"
      time="1.5" classname="A" />
    <testcase name="fails" file="g.cc" line="5" status="run" result="completed"
      time="0" classname="A">
      <failure message="g.cc:5&#x0A;Expected equality of these values:&#x0A;  1&#x0A;  2&#x0A;note"
        type=""><![CDATA[x]]></failure>
      <failure message="g.cc:6&#x0A;Value of: a &lt; b" type=""><![CDATA[y]]></failure>
    </testcase>
    <testcase name="skips" file="g.cc" line="6" status="run" result="skipped"
      time="0" classname="A">
      <skipped message="g.cc:6&#x0A;no disk"><![CDATA[g.cc:6
no disk]]></skipped>
    </testcase>
    <testcase name="DISABLED_off" file="g.cc" line="7" status="notrun" result="suppressed"
      time="0" classname="A" />
    <testcase name="late" status="notrun" result="completed"
      time="0" classname="A" />
  </testsuite>
  <testsuite name="In/P" tests="1" failures="0">
    <testcase name="odd/0" value_param="1" status="run" result="completed"
      time="0" classname="In/P">
      <properties><property name="k" value="v"/></properties>
    </testcase>
    <testcase name="" status="run" result="completed"
      time="0" classname="">
      <failure message="g.cc:9&#x0A;Failed" type=""></failure>
    </testcase>
  </testsuite>
</testsuites>
"#;

/// The name, the verdict and the reason of each result.
fn short(results: &[TestResult]) -> Vec<(&str, Verdict, &str)> {
    results
        .iter()
        .map(|it| {
            (
                &*it.name,
                it.verdict,
                it.reason.as_deref().unwrap_or_default(),
            )
        })
        .collect()
}

#[test]
fn report_has_each_test_with_its_reason() {
    let results = read_report(REPORT).unwrap();
    let failure = "g.cc:5: Expected equality of these values: 1; 2; note (and 1 more failure)";
    let expected = [
        ("A.passes", Verdict::Passed, ""),
        ("A.fails", Verdict::Failed, failure),
        ("A.skips", Verdict::Skipped, "no disk"),
        ("A.DISABLED_off", Verdict::Skipped, "disabled"),
        ("A.late", Verdict::Skipped, "not run"),
        ("In/P.odd/0", Verdict::Passed, ""),
        ("In/P.", Verdict::Failed, "g.cc:9: Failed"),
    ];
    assert_eq!(short(&results), expected);
    let passed = &results[0];
    assert_eq!(passed.duration, Some(Duration::from_millis(1500)));
    assert_eq!(
        (passed.file.as_deref(), passed.line),
        (Some("g.cc"), Some(4))
    );
    assert_eq!(passed.path, ["A", "passes"]);
    assert_eq!(results[6].path, ["In/P", "(set-up or tear-down)"]);
    let failures = results[1].failures.as_deref().unwrap();
    assert!(
        failures.ends_with("note\n\ng.cc:6\nValue of: a < b"),
        "{failures}"
    );
}

#[test]
fn report_that_is_broken_off_is_none() {
    for end in [0, 1, REPORT.len() / 2, REPORT.len() - 20] {
        assert_eq!(read_report(&REPORT[..end]), None, "{end}");
    }
    assert_eq!(read_report("rubbish"), None);
}

#[test]
fn list_has_the_full_names() {
    let names: Vec<String> = read_list(REPORT)
        .unwrap()
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert_eq!(names[..2], ["A.passes", "A.fails"]);
    assert_eq!(names[5], "In/P.odd/0");
    let error = read_list("<testsuites><testsuite name=\"A\">").unwrap_err();
    assert_eq!(error, "its list of tests is broken off");
}

#[test]
fn name_matches_itself_as_a_filter() {
    assert_eq!(escaped("In/P.odd/0"), "In/P.odd/0");
    assert_eq!(escaped("A.std::x-y*"), "A.std??x?y?");
}

#[test]
fn names_show_what_is_disabled() {
    for (name, expected) in [
        ("A.DISABLED_b", true),
        ("DISABLED_A.b", true),
        ("In/DISABLED_A.b/0", true),
        ("A.b_DISABLED_", false),
        ("A.b", false),
    ] {
        assert_eq!(is_disabled(name), expected, "{name}");
    }
}

const PRINTED: &str = "Running main() from gtest_main.cc\n\
    [==========] Running 4 tests from 2 test suites.\n\
    [----------] 4 tests from A\n\
    [ RUN      ] A.passes\nout[       OK ] A.passes (12 ms)\n\
    [ RUN      ] A.fails\nhello\ng.cc:5: Failure\nValue of: a\n  Actual: b\ng.cc:6: Failure\nx\n\
    [  FAILED  ] A.fails, where GetParam() = 3 (0 ms)\n\
    [ RUN      ] A.skips\ng.cc:6: Skipped\nno disk\n[  SKIPPED ] A.skips (0 ms)\n\
    [ RUN      ] A.long\n[       OK ] A.longer (0 ms)\nhalf a li";

#[test]
fn printed_lines_show_what_has_ended_and_what_runs() {
    // The output comes in pieces of any size.
    for size in [1, 7, PRINTED.len()] {
        let mut progress = Progress::default();
        assert!(!progress.has_begun());
        let pieces = PRINTED.as_bytes().chunks(size);
        let results: Vec<TestResult> = pieces.flat_map(|piece| progress.take(piece)).collect();
        let expected = [
            ("A.passes", Verdict::Passed, ""),
            ("A.fails", Verdict::Failed, "g.cc:5: Value of: a; Actual: b"),
            ("A.skips", Verdict::Skipped, "no disk"),
        ];
        assert_eq!(short(&results), expected, "{size}");
        assert_eq!(results[0].duration, Some(Duration::from_millis(12)));
        assert_eq!(progress.running(), Some(test_of("A.long")));
        assert!(progress.has_begun());
    }
}

#[test]
fn line_without_an_end_is_bounded() {
    let mut progress = Progress::default();
    progress.take(b"[ RUN      ] A.a\n");
    for _ in 0..100 {
        progress.take(&[b'x'; 10_000]);
        assert!(progress.rest.len() <= LONGEST_LINE);
    }
    let results = progress.take(b"[       OK ] A.a (0 ms)\n");
    assert_eq!(short(&results), [("A.a", Verdict::Passed, "")]);
}

#[test]
fn suites_that_failed_are_found_at_the_end() {
    let printed = " 1 FAILED TEST\n[  FAILED  ] Bad: SetUpTestSuite or TearDownTestSuite\n\
                   [  FAILED  ] A.fails\n";
    let expected = "Bad: SetUpTestSuite or TearDownTestSuite";
    assert_eq!(failed_suites(printed).as_deref(), Some(expected));
    assert_eq!(failed_suites(PRINTED), None);
}
