//! Compares the verdicts on TAP streams with those of Avocado 113.0.
//!
//! Avocado's results come from running `TAPRunner._get_tap_result` of
//! `avocado/plugins/runners/tap.py`; an empty result there is an ERROR in the job. A comparison of
//! 3,000 generated streams showed no other deviations than those listed below with their reasons.
//!
//! The streams are read by the lenient rules, as in Avocado; `prove.rs` has the comparison with
//! `prove`.
#![allow(clippy::unwrap_used, clippy::panic)]

use persea_plugin_sdk::prelude::Status::{self, Error, Fail, Pass, Skip, Warn};
use persea_runner_tap::{Parser, Verdict};

fn parse(stream: &str) -> Verdict {
    let mut parser = Parser::lenient();
    parser.feed(stream.as_bytes());
    parser.finish()
}

#[track_caller]
fn check(stream: &str, status: Status, reason: &str) {
    let verdict = parse(stream);
    assert_eq!(verdict.status, status, "{stream:?} {:?}", verdict.reason);
    assert_eq!(verdict.reason.unwrap_or_default(), reason, "{stream:?}");
}

const NO_TAP: &str = Verdict::NO_TAP;
const NO_REASON: &str = "the test gave no reason";

/// Streams, Avocado's status, which is also ours, and our reason.
const SAME: &[(&str, Status, &str)] = &[
    // plans
    ("ok 1\n1..1\n", Pass, ""),
    ("1..1\nok 1\n", Pass, ""),
    ("ok 1\n", Pass, ""),
    ("1..0 # SKIP nothing\n", Skip, "nothing"),
    ("1..0 # Skipped: nothing\n", Skip, "nothing"),
    ("1..0 # nothing\n", Skip, "nothing"),
    ("1..0\n", Skip, NO_REASON),
    (
        "1..0 # TODO x\n",
        Error,
        "Tap format error: invalid directive for plan (line 1)",
    ),
    (
        "1..1 # SKIP all\nok 1\n",
        Error,
        "Tap format error: invalid SKIP directive for plan (line 1)",
    ),
    (
        "1..1\n",
        Error,
        "Tap format error: Too few tests run (expected 1, got 0)",
    ),
    (
        "1..3\nok 1\n",
        Error,
        "Tap format error: Too few tests run (expected 3, got 1)",
    ),
    (
        "1..2\nok 1\nok 2\nok 3\n",
        Error,
        "Tap format error: Too many tests run (expected 2, got 3)",
    ),
    (
        "1..0 # SKIP a\nok 1\n",
        Error,
        "Tap format error: Too many tests run (expected 0, got 1)",
    ),
    (
        "1..1\n1..1\nok 1\n",
        Error,
        "Tap format error: more than one plan found (line 2)",
    ),
    (
        "ok 1\n1..1\nok 2\n",
        Error,
        "Tap format error: unexpected test after late plan (line 3)",
    ),
    (
        "ok 1 # SKIP a\n1..1\nnot ok 2\n",
        Error,
        "Tap format error: unexpected test after late plan (line 3)",
    ),
    // points
    ("not ok 1 - a\nok 2\n1..2\n", Fail, "1 of 2 failed: 1 - a"),
    ("not ok\n", Fail, "1 of 1 failed: 1"),
    ("ok\nok\n1..2\n", Pass, ""),
    ("ok 1- foo\n1..1\n", Pass, ""),
    (
        "ok 2\n",
        Error,
        "Tap format error: out of order test numbers (line 1: found 2, expected 1)",
    ),
    (
        "1..1\nok 1\nok 1\n",
        Error,
        "Tap format error: out of order test numbers (line 3: found 1, expected 2)",
    ),
    (
        "1..1\nok 0\n",
        Error,
        "Tap format error: out of order test numbers (line 2: found 0, expected 1)",
    ),
    (
        "1..2\r\nok 1\r\nnot ok 2 - b\r\n",
        Fail,
        "1 of 2 failed: 2 - b",
    ),
    // directives
    (
        "ok 1 # TODO x\n1..1\n",
        Warn,
        "TODO test 1 unexpectedly passed.",
    ),
    (
        "1..1\nok 1 - t # todo: z\n",
        Warn,
        "TODO test 1 - t unexpectedly passed.",
    ),
    ("not ok 1 # TODO x\n1..1\n", Pass, ""),
    ("ok 1 # SKIP\nok 2\n1..2\n", Pass, ""),
    ("1..1\nok 1 # SKIP why\n", Skip, "why"),
    ("1..2\nok 1 # skip\nok 2 # skip why\n", Skip, "why"),
    (
        "1..1\nnot ok 1 # SKIP why\n",
        Fail,
        "1 of 1 failed: 1 (why)",
    ),
    ("1..1\nok 1 - a \\# SKIP no\n", Pass, ""),
    ("1..1\nok 1 - a# SKIP x\n", Skip, "x"),
    ("1..1\nok 1 - a # bogus\n", Pass, ""),
    (
        "1..1\nnot ok 1 - a # TODOs\n",
        Fail,
        "1 of 1 failed: 1 - a # TODOs",
    ),
    ("TAP version 14\n1..1\nok 1 - a \\\\# SKIP b\n", Skip, "b"),
    // bailing out
    ("Bail out! dead\n", Error, "Bail out! dead"),
    ("1..2\nok 1 a\nBail out!\n", Error, "Bail out!"),
    (
        "1..1\nnot ok 1 a\nBail out! x\n",
        Fail,
        "1 of 1 failed: 1 - a; Bail out! x",
    ),
    // no TAP
    ("", Error, NO_TAP),
    ("garbage\n", Error, NO_TAP),
    ("  ok 1\n", Error, NO_TAP),
    ("TAP version 13\n", Error, NO_TAP),
    ("noise\n1..1\nmore\nok 1\n", Pass, ""),
    // versions
    ("TAP version 13\n1..1\nok 1\n", Pass, ""),
    ("TAP version 14\n1..1\nok 1\n", Pass, ""),
    (
        "TAP version 12\n1..1\nok 1\n",
        Error,
        "Tap format error: version number should be at least 13 (found 12)",
    ),
    (
        "# a\nTAP version 13\n1..1\nok 1\n",
        Error,
        "Tap format error: version number must be on the first line (found on line 2)",
    ),
    // YAML blocks
    (
        "TAP version 13\n1..2\nok 1\nnot ok 2 - broken thing\n  ---\n  \
         message: \"no such disk\"\n  severity: fail\n  ...\n",
        Fail,
        "1 of 2 failed: 2 - broken thing (no such disk)",
    ),
    (
        "TAP version 13\n1..1\nok 1\n  ---\n  a: 1\n",
        Error,
        "Tap format error: YAML block not terminated (started on line 4)",
    ),
    ("1..1\nok 1\n  ---\n  a: 1\n", Pass, ""),
    // subtests
    (
        "1..1\n# Subtest: x\n    ok 1 - in\n    1..1\nok 1 - x\n",
        Pass,
        "",
    ),
    (
        "1..1\n    ok 1 - a\n    not ok 2 - b\n    1..2\nnot ok 1 - x\n",
        Fail,
        "1 of 1 failed: 1 - x (1 of 2 failed: 2 - b)",
    ),
    (
        "1..1\n    not ok 1 - a\n    1..1\nok 1 - x\n",
        Fail,
        "1 of 1 failed: 1 - x (1 of 1 failed: 1 - a)",
    ),
    (
        "1..1\n    ok 1 - a\n    1..1\nnot ok 1 - x\n",
        Fail,
        "1 of 1 failed: 1 - x",
    ),
    ("    ok 1 - in\n    1..1\n", Pass, ""),
    (
        "1..1\n    1..0 # SKIP no\nok 1 - sub # SKIP no\n",
        Skip,
        "no",
    ),
];

#[test]
fn statuses_are_avocados() {
    for (stream, status, reason) in SAME {
        check(stream, *status, reason);
    }
}

/// A stream with different results: the stream, Avocado's status, our status, our reason.
type Deviation = (&'static str, Status, Status, &'static str);

#[track_caller]
fn check_deviations(list: &[Deviation]) {
    for (stream, avocado, status, reason) in list {
        assert_ne!(avocado, status, "not a deviation: {stream:?}");
        check(stream, *status, reason);
    }
}

/// Avocado stops at the first TODO that passes, and so hides later failures.
#[test]
fn todo_that_passes_hides_no_failure() {
    check_deviations(&[
        (
            "1..2\nok 1 # TODO a\nnot ok 2 - b\n",
            Warn,
            Fail,
            "1 of 2 failed: 2 - b",
        ),
        (
            "1..2\nok 1 # TODO a\n",
            Warn,
            Error,
            "Tap format error: Too few tests run (expected 2, got 1)",
        ),
        (
            "1..2\nok 1 # TODO a\nBail out! b\n",
            Warn,
            Error,
            "Bail out! b",
        ),
    ]);
}

/// TAP 14: "harnesses must accept additional non-whitespace characters following" SKIP.
#[test]
fn word_skipped_is_a_skip() {
    check_deviations(&[
        ("1..2\nok 1\nok 2 # Skipped: y\n", Error, Pass, ""),
        ("1..1\nok 1 # Skipped: y\n", Error, Skip, "y"),
    ]);
}

/// TAP 13 has `/^(not )?ok\b/`: a program that prints "okay" is not a passed test.
#[test]
fn ok_must_be_a_whole_word() {
    check_deviations(&[
        ("okay, starting\n", Pass, Error, NO_TAP),
        ("ok1\n", Pass, Error, NO_TAP),
    ]);
    check("okay\n1..1\nok 1\n", Pass, "");
}

/// TAP 14: "test points may be output in any order, but any test point ID provided must be within
/// the range described by the plan".
#[test]
fn tap_14_points_may_come_in_any_order() {
    check_deviations(&[
        ("TAP version 14\n1..3\nok 3\nok 1\nok 2\n", Error, Pass, ""),
        ("TAP version 14\nok 2\nok 1\n1..2\n", Error, Pass, ""),
        (
            "TAP version 14\n1..2\nok 2\nnot ok 1 - a\n",
            Error,
            Fail,
            "1 of 2 failed: 1 - a",
        ),
        // A point without a number gets its position as its number.
        (
            "TAP version 14\n1..4\nok 2\nok\nok 1\nok 3\n",
            Error,
            Pass,
            "",
        ),
    ]);
    check(
        "TAP version 14\n1..2\nok 1\nok 3\n",
        Error,
        "Tap format error: test number 3 is beyond the plan 1..2 (line 4)",
    );
    check(
        "TAP version 14\nok 3\nok 1\n1..2\n",
        Error,
        "Tap format error: test number 3 is beyond the plan 1..2 (line 2)",
    );
    check(
        "TAP version 14\n1..3\nok 3\nok 1\nok 3\n",
        Error,
        "Tap format error: a test number from 1 to 3 is missing, and another occurs twice",
    );
    check(
        "TAP version 14\n1..1\nok 0\n",
        Error,
        "Tap format error: out of order test numbers (line 3: found 0, expected 1)",
    );
    check(
        "TAP version 13\n1..2\nok 2\nok 1\n",
        Error,
        "Tap format error: out of order test numbers (line 3: found 2, expected 1)",
    );
}

/// A TODO that passes in a subtest is reported, and a version in a subtest is ignored.
#[test]
fn subtest_reports_its_todo_and_not_its_version() {
    for stream in [
        "1..1\n    ok 1 - a # TODO x\n    1..1\nok 1 - sub\n",
        "    ok 1 - a # TODO x\n    1..1\n",
    ] {
        check(stream, Warn, "TODO test 1 - a unexpectedly passed.");
    }
    check(
        "TAP version 13\n1..1\n    TAP version 14\n    1..2\n    ok 2\n    ok 1\nok 1 - sub\n",
        Fail,
        "1 of 1 failed: 1 - sub (out of order test numbers (line 5: found 2, expected 1))",
    );
}

/// TAP 14: the words are case insensitive, and a bail-out in a subtest ends the whole run.
#[test]
fn every_bail_out_counts() {
    check_deviations(&[
        ("1..1\nbail out! x\nok 1\n", Pass, Error, "Bail out! x"),
        ("1..1\n    Bail out! x\nok 1\n", Pass, Error, "Bail out! x"),
    ]);
}

/// Perl's harness has this pragma; TAP 14 gives it as an example, for documents and subtests.
#[test]
fn strict_streams_may_have_only_tap() {
    check_deviations(&[(
        "pragma +strict\n1..1\nok 1\nrubbish\n",
        Pass,
        Error,
        "Tap format error: line 4 is not TAP, but pragma +strict is on: rubbish",
    )]);
    check(
        "pragma +strict\npragma -strict\n1..1\nok 1\nrubbish\n",
        Pass,
        "",
    );
    check(
        "pragma +strict\n1..1\n# comment\n\nok 1\n  ---\n  a: 1\n  ...\n",
        Pass,
        "",
    );
    // The example of the TAP 14 specification, section "Subtest Pragmas".
    check(
        "TAP version 14\npragma -strict\n# Subtest: child test\n    1..1\n    pragma +strict\n    \
         ok 1\nok 1 - child test\n!!This is not valid TAP content!!\n1..1\n",
        Pass,
        "",
    );
}

/// TAP 14: blank lines within a block belong to it.
#[test]
fn yaml_block_may_have_blank_lines() {
    check_deviations(&[(
        "TAP version 13\nok 1\n  ---\n\n  ...\n1..1\n",
        Error,
        Pass,
        "",
    )]);
}

/// TAP 14: a `#` within a word does not begin a directive.
#[test]
fn url_fragment_is_not_a_directive_in_tap_14() {
    check_deviations(&[(
        "TAP version 14\n1..1\nok 1 - https://example.com/page.html#skip is a url\n",
        Skip,
        Pass,
        "",
    )]);
}

/// A subtest counts as the point that reports it; the points inside do not count. A malformed
/// subtest makes that point fail, where Avocado makes the whole test an ERROR.
#[test]
fn subtest_counts_as_its_point() {
    check_deviations(&[
        (
            "1..1\n    ok 1 - in\n    1..2\nok 1 - x\n",
            Error,
            Fail,
            "1 of 1 failed: 1 - x (Too few tests run (expected 2, got 1))",
        ),
        (
            "1..1\n# Subtest: lost\n    ok 1\n    ok 3\n",
            Error,
            Fail,
            "1 of 1 failed: subtest lost (out of order test numbers (line 4: found 3, \
             expected 2)); Too few tests run (expected 1, got 0)",
        ),
        (
            "1..1\n    not ok 1 - in\n    1..1\nnot ok 1 - x # TODO later\n",
            Fail,
            Pass,
            "",
        ),
        (
            "    ok 1\n    1..1\nok 1 - x # SKIP no\n1..1\n",
            Pass,
            Skip,
            "no",
        ),
        // The example of the TAP 14 specification, section "Bare Subtests". Avocado reads both
        // indentations as one subtest.
        (
            "TAP version 14\n        ok 1 - nested twice\n        1..1\n    \
             ok 1 - nested parent\n    1..1\nok 1 - double nest passing\n1..1\n",
            Error,
            Pass,
            "",
        ),
    ]);
}

#[test]
fn failures_are_counted_and_the_first_five_named() {
    let stream: String = (1..=8).map(|n| format!("not ok {n} - t{n}\n")).collect();
    check(
        &stream,
        Fail,
        "8 of 8 failed: 1 - t1, 2 - t2, 3 - t3, 4 - t4, 5 - t5 and 3 more",
    );
}

#[test]
fn points_are_counted_by_result() {
    let verdict = parse(
        "1..5\nok 1\nok 2 # SKIP\nnot ok 3\nnot ok 4 # TODO\n    not ok 1\n    1..1\nnot ok 5\n",
    );
    assert_eq!((verdict.passed, verdict.failed, verdict.skipped), (2, 2, 1));
}

#[test]
fn invalid_utf_8_is_replaced() {
    let mut parser = Parser::new();
    parser.feed(b"\xef\xbb\xbfTAP version 13\n1..1\n\xff\xfe\nnot ok 1 - caf\xe9\n");
    assert_eq!(
        parser.finish().reason.unwrap(),
        "1 of 1 failed: 1 - caf\u{fffd}"
    );
}

#[test]
fn long_line_is_truncated_and_reported() {
    let mut parser = Parser::new();
    parser.feed(b"1..2\nok 1 - ");
    for _ in 0..300 {
        parser.feed(&[b'x'; 10_000]);
    }
    parser.feed(b"\nok 2\n");
    let verdict = parser.finish();
    assert_eq!((verdict.status, verdict.truncated_line), (Pass, Some(2)));
    assert_eq!(parse("ok 1\n1..1\n").truncated_line, None);
}

/// The size of a reason is bounded for any stream.
#[test]
fn reasons_stay_short() {
    let long = "x".repeat(10_000);
    let mut stream = format!("Bail out! {long}\n");
    assert!(parse(&stream).reason.unwrap().len() < 1000);
    stream = (1..=100)
        .map(|n| format!("{}not ok 1 - {long}\n", "    ".repeat(100 - n)))
        .collect();
    let verdict = parse(&stream);
    assert_eq!(verdict.status, Fail);
    assert!(verdict.reason.unwrap().len() < 3000);
}
