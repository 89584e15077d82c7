//! Tests of what Catch2 writes: texts of Catch2 2.13 and 3.7.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::time::Duration;

use super::*;
use persea_exec_command::results::Verdict;

/// A report of version 3, without its end.
const REPORT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Catch2TestRun name="c3" rng-seed="1" xml-format-version="3" catch2-version="3.7.1">
  <TestCase name="passes" tags="[fast]" filename="c.cpp" line="4">
    <OverallResult success="true" skips="0" durationInSeconds="0.5"/>
  </TestCase>
  <TestCase name="fails, with [odd] name" tags="[fast]" filename="c.cpp" line="5">
    <Info filename="c.cpp" line="5">
      about
    </Info>
    <Expression success="false" type="CHECK" filename="c.cpp" line="5">
      <Original>
        a &lt; 2
      </Original>
      <Expanded>
        3 &lt; 2
      </Expanded>
    </Expression>
    <Expression success="false" type="REQUIRE" filename="c.cpp" line="6">
      <Original>
        f()
      </Original>
      <Expanded>
        f()
      </Expanded>
      <Exception filename="c.cpp" line="6">
        bad
      </Exception>
    </Expression>
    <OverallResult success="false" skips="0">
      <StdOut>
cout
      </StdOut>
    </OverallResult>
  </TestCase>
  <TestCase name="sections" filename="c.cpp" line="6">
    <Section name="outer" filename="c.cpp" line="7">
      <Section name="a" filename="c.cpp" line="8">
        <OverallResults successes="1" failures="0" expectedFailures="0" skipped="false"
          durationInSeconds="0.25"/>
      </Section>
      <OverallResults successes="1" failures="0" expectedFailures="0" skipped="false"/>
    </Section>
    <Section name="outer" filename="c.cpp" line="7">
      <Section name="b" filename="c.cpp" line="9">
        <Failure filename="c.cpp" line="9">
          msg
        </Failure>
        <OverallResults successes="0" failures="1" expectedFailures="0" skipped="false"/>
      </Section>
      <OverallResults successes="0" failures="1" expectedFailures="0" skipped="false"/>
    </Section>
    <Section name="outer" filename="c.cpp" line="7">
      <Section name="a" filename="c.cpp" line="8">
        <OverallResults successes="1" failures="0" expectedFailures="0" skipped="false"
          durationInSeconds="0.25"/>
      </Section>
      <OverallResults successes="1" failures="0" expectedFailures="0" skipped="false"/>
    </Section>
    <OverallResult success="false" skips="0"/>
  </TestCase>
  <TestCase name="may" tags="[!mayfail]" filename="c.cpp" line="10">
    <Exception filename="c.cpp" line="10">
      no
    </Exception>
    <OverallResult success="true" skips="0"/>
  </TestCase>
  <TestCase name="should not" tags="[!shouldfail]" filename="c.cpp" line="11">
    <OverallResult success="false" skips="0"/>
  </TestCase>
  <TestCase name="skipped" filename="c.cpp" line="12">
    <Section name="s" filename="c.cpp" line="13">
      <Skip filename="c.cpp" line="13">
        no disk
      </Skip>
      <OverallResults successes="0" failures="0" expectedFailures="0" skipped="true"/>
    </Section>
    <OverallResult success="true" skips="1"/>
  </TestCase>
"#;

/// The name, the verdict and the reason of each result.
fn short(results: &[TestResult]) -> Vec<(&str, Verdict, &str)> {
    let reason = |it: &TestResult| &*it.reason.clone().unwrap_or_default().leak();
    results
        .iter()
        .map(|it| (&*it.name, it.verdict, reason(it)))
        .collect()
}

const RESULTS: [(&str, Verdict, &str); 6] = [
    ("passes", Verdict::Passed, ""),
    (
        "fails, with [odd] name",
        Verdict::Failed,
        "c.cpp:5: CHECK(a < 2): 3 < 2 (and 1 more failure)",
    ),
    ("sections", Verdict::Failed, "c.cpp:9: msg"),
    ("may", Verdict::FailedAsExpected, "c.cpp:10: threw: no"),
    (
        "should not",
        Verdict::Failed,
        "passed, but was expected to fail",
    ),
    ("skipped", Verdict::Skipped, "no disk"),
];

#[test]
fn report_is_read_while_it_grows() {
    for size in [1, 100, REPORT.len()] {
        let mut progress = Progress::default();
        let pieces = REPORT.as_bytes().chunks(size);
        let results: Vec<TestResult> = pieces.flat_map(|piece| progress.take(piece)).collect();
        assert_eq!(short(&results), RESULTS, "{size}");
        assert_eq!(progress.running(), None);
        assert!(progress.has_begun() && !progress.is_whole() && !progress.is_fatal());
        let next = "  <TestCase name=\"next\" filename=\"c.cpp\" line=\"20\">\n   <Sec";
        assert_eq!(progress.take(next.as_bytes()), []);
        let running = progress.running().unwrap();
        assert_eq!((&*running.name, running.line), ("next", Some(20)));
        progress.take(b"</TestCase><OverallResults/>\n</Catch2TestRun>\n");
        assert!(progress.is_whole());
    }
}

#[test]
fn sections_are_results_of_their_own() {
    let results = Progress::default().take(REPORT.as_bytes());
    let sections = &results[2].sections;
    let paths: Vec<String> = sections
        .iter()
        .map(|section| section.path.join(">"))
        .collect();
    assert_eq!(
        paths,
        ["sections>outer", "sections>outer>a", "sections>outer>b"]
    );
    let verdicts: Vec<Verdict> = sections.iter().map(|section| section.verdict).collect();
    assert_eq!(
        verdicts,
        [Verdict::Failed, Verdict::Passed, Verdict::Failed]
    );
    assert_eq!(sections[2].reason.as_deref(), Some("c.cpp:9: msg"));
    assert_eq!(
        sections[1].duration,
        Some(Duration::from_millis(500)),
        "it ran twice"
    );
    assert_eq!(results[5].sections[0].verdict, Verdict::Skipped);
    assert_eq!(results[0].duration, Some(Duration::from_millis(500)));
}

#[test]
fn failed_test_has_its_output_and_all_failures() {
    let results = Progress::default().take(REPORT.as_bytes());
    assert_eq!(results[1].output.as_deref().map(str::trim), Some("cout"));
    let expected = "c.cpp:5: CHECK(a < 2): 3 < 2\nc.cpp:6: REQUIRE(f()): bad";
    assert_eq!(results[1].failures.as_deref(), Some(expected));
}

/// Version 2 ends its report after a signal as if all tests had run.
#[test]
fn signal_that_catch2_reports_is_fatal() {
    let report = r#"<Catch name="c"><Group name="c">
        <TestCase name="crash" filename="c.cpp" line="15">
        <Expression success="false" filename="c.cpp" line="15">
        <Original> {Unknown expression after the reported line} </Original>
        <Expanded> {Unknown expression after the reported line} </Expanded>
        <FatalErrorCondition filename="c.cpp" line="15"> SIGSEGV - Segmentation violation signal
        </FatalErrorCondition></Expression><OverallResult success="false"/></TestCase>
        </Group></Catch>"#;
    let mut progress = Progress::default();
    let results = progress.take(report.as_bytes());
    let expected = "c.cpp:15: SIGSEGV - Segmentation violation signal";
    assert_eq!(short(&results), [("crash", Verdict::Failed, expected)]);
    assert!(progress.is_fatal() && progress.is_whole());
}

#[test]
fn name_is_a_test_spec_that_matches_itself() {
    assert_eq!(escaped("a, [b] \"c\" \\d"), "\"a\\, [b] \\\"c\\\" \\\\d\"");
}

#[test]
fn lists_of_both_versions_have_names() {
    let list = "<MatchingTests><TestCase><Name>a &amp; b</Name><ClassName/>\
                <Tags>[fast][.][!mayfail][.net]</Tags></TestCase>\
                <TestCase><Name>c</Name><Tags/></TestCase></MatchingTests>";
    let expected = [
        ListedTest {
            name: "a & b".to_owned(),
            tags: vec!["fast".to_owned()],
        },
        ListedTest {
            name: "c".to_owned(),
            tags: Vec::new(),
        },
    ];
    assert_eq!(read_list(list).unwrap(), expected);
    assert!(read_list("<MatchingTests><TestCase>").is_err());
    assert!(is_old_list("All available test cases:\n  a\n1 test case\n"));
    assert!(!is_old_list("hello\n"));
    let names: Vec<String> = read_names("a b\n\"#c\"\n\n")
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert_eq!(names, ["a b", "#c"]);
}

#[test]
fn exit_code_of_an_old_list_is_a_count() {
    for (code, count, expected) in [
        (0, 0, true),
        (12, 12, true),
        (255, 1_000, true),
        (232, 1_000, true),
        (1, 2, false),
        (-1, 255, false),
    ] {
        assert_eq!(is_count(code, count), expected, "{code} {count}");
    }
}
