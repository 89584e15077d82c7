//! Tests of what test binaries of several versions of Go print.
#![allow(clippy::unwrap_used)]
use super::*;

/// The output of Go 1.19.
const PLAIN: &str = "=== RUN   TestPass
    a_test.go:3: hello
--- PASS: TestPass (0.00s)
=== RUN   TestFail
    a_test.go:4: info
    a_test.go:4: got 1
        want 2
--- FAIL: TestFail (0.25s)
=== RUN   TestSub
=== RUN   TestSub/one
=== RUN   TestSub/one/deep
    a_test.go:6: deep fail
=== RUN   TestSub/two
=== RUN   TestSub/skips
    a_test.go:6: sub skip
--- FAIL: TestSub (0.00s)
    --- FAIL: TestSub/one (0.00s)
        --- FAIL: TestSub/one/deep (0.00s)
    --- PASS: TestSub/two (0.00s)
    --- SKIP: TestSub/skips (0.00s)
=== RUN   TestPar1
=== PAUSE TestPar1
=== RUN   TestHalf
half a line--- PASS: TestHalf (0.00s)
=== CONT  TestPar1
    a_test.go:7: p1
--- PASS: TestPar1 (0.01s)
=== RUN   ExampleBad
--- FAIL: ExampleBad (0.00s)
got:
y
want:
z
FAIL
";

/// The same of Go 1.27.
const MARKED: &str = "^=== RUN   TestPass
    a_test.go:3: hello
^--- PASS: TestPass (0.00s)
^=== NAME  
^=== RUN   TestFail
    a_test.go:4: info
<    a_test.go:4: got 1
        want 2>
^--- FAIL: TestFail (0.25s)
^=== NAME  
^=== RUN   TestSub
^=== RUN   TestSub/one
^=== RUN   TestSub/one/deep
<    a_test.go:6: deep fail>
^--- FAIL: TestSub/one/deep (0.00s)
^=== NAME  TestSub/one
^--- FAIL: TestSub/one (0.00s)
^=== NAME  TestSub
^=== RUN   TestSub/two
^--- PASS: TestSub/two (0.00s)
^=== NAME  TestSub
^=== RUN   TestSub/skips
    a_test.go:6: sub skip
^--- SKIP: TestSub/skips (0.00s)
^=== NAME  TestSub
^--- FAIL: TestSub (0.00s)
^=== NAME  
^=== RUN   TestPar1
^=== PAUSE TestPar1
^=== NAME  
^=== RUN   TestHalf
half a line^--- PASS: TestHalf (0.00s)
^=== NAME  
^=== CONT  TestPar1
^=== NAME  TestPar1
    a_test.go:7: p1
^--- PASS: TestPar1 (0.01s)
^=== NAME  
^=== RUN   ExampleBad
^--- FAIL: ExampleBad (0.00s)
got:
y
want:
z
^=== NAME  
^FAIL
";

fn marked(text: &str) -> String {
    text.replace('^', "\u{16}")
        .replace('<', "\u{f}")
        .replace('>', "\u{e}")
}

fn stream() -> Stream {
    Stream::new(Package {
        import_path: "m/a".to_owned(),
        directory: "/w/a".to_owned(),
    })
}

fn all_of(result: &TestResult, into: &mut Vec<(String, Verdict, Option<String>)>) {
    into.push((result.path.join(">"), result.verdict, result.reason.clone()));
    for section in &result.sections {
        all_of(section, into);
    }
}

/// The tests of an output with their reasons.
fn tests(results: &[TestResult]) -> Vec<(String, Verdict, Option<String>)> {
    let mut all = Vec::new();
    for result in results {
        all_of(result, &mut all);
    }
    all
}

#[test]
fn results_of_all_versions_are_read_whatever_the_parts() {
    use Verdict::{Failed, Passed, Skipped};
    for text in [PLAIN.to_owned(), marked(MARKED)] {
        for size in [1, 7, 4096] {
            let mut stream = stream();
            let mut results = Vec::new();
            for part in text.as_bytes().chunks(size) {
                results.extend(stream.take(part));
            }
            results.extend(stream.finish());
            let found = tests(&results);
            let found: Vec<_> = found
                .iter()
                .map(|(name, verdict, reason)| (name.as_str(), *verdict, reason.as_deref()))
                .collect();
            let expected = [
                ("TestPass", Passed, None),
                ("TestFail", Failed, Some("a_test.go:4: got 1; want 2")),
                (
                    "TestSub",
                    Failed,
                    Some("subtest one: subtest deep: a_test.go:6: deep fail"),
                ),
                (
                    "TestSub>one",
                    Failed,
                    Some("subtest deep: a_test.go:6: deep fail"),
                ),
                ("TestSub>one>deep", Failed, Some("a_test.go:6: deep fail")),
                ("TestSub>two", Passed, None),
                ("TestSub>skips", Skipped, Some("sub skip")),
                ("TestHalf", Passed, None),
                ("TestPar1", Passed, None),
                ("ExampleBad", Failed, Some("got: y; want: z")),
            ];
            assert_eq!(found, expected, "{size}");
            assert_eq!(stream.end(), Some(false));
            let fail = results
                .iter()
                .find(|result| result.name == "TestFail")
                .unwrap();
            assert_eq!(fail.duration, Some(std::time::Duration::from_millis(250)));
            assert_eq!(
                (fail.file.as_deref(), fail.line),
                (Some("a_test.go"), Some(4))
            );
            assert!(fail.output.as_deref().unwrap().contains("info\n"));
        }
    }
}

#[test]
fn printed_lines_are_no_results() {
    let text = marked("^=== RUN   TestA\n--- FAIL: TestA (0.00s)\nPASS\n=== RUN   TestB\n");
    let mut marked_stream = stream();
    assert_eq!(marked_stream.take(text.as_bytes()), []);
    assert_eq!(
        (marked_stream.end(), marked_stream.unfinished().len()),
        (None, 1)
    );
    // Without marks a line about another test is one that the test has printed.
    let mut plain = stream();
    let text = "=== RUN   TestA\n--- FAIL: TestB (0.00s)\n    --- FAIL: TestA (0.00s)\nFAIL: x\n";
    assert_eq!(plain.take(text.as_bytes()), []);
    assert!(plain.output_of("TestA").contains("--- FAIL: TestB"));
}

#[test]
fn half_a_line_costs_no_subtest() {
    let text = "=== RUN   TestA\nhalf=== RUN   TestA/x\nhalf--- FAIL: TestA (0.00s)\n    \
                --- PASS: TestA/x (0.00s)\n    --- SKIP: TestA/y (0.00s)\nFAIL\n";
    let results = stream().take(text.as_bytes());
    let found = tests(&results);
    let found: Vec<_> = found
        .iter()
        .map(|(name, verdict, _)| (name.as_str(), *verdict))
        .collect();
    let expected = [
        ("TestA", Verdict::Failed),
        ("TestA>x", Verdict::Passed),
        ("TestA>y", Verdict::Skipped),
    ];
    assert_eq!(found, expected);
}

#[test]
fn running_tests_are_those_that_wait_for_nothing() {
    let mut stream = stream();
    assert!(!stream.has_begun());
    let text = "=== RUN   TestP\n=== PAUSE TestP\n=== RUN   TestA\n=== RUN   TestA/x/y\n";
    stream.take(text.as_bytes());
    assert!(stream.has_begun());
    assert_eq!(stream.running(), [["TestA", "x/y"]]);
    let names: Vec<String> = stream.unfinished().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["TestA"]);
    stream.take(b"--- PASS: TestA (0.00s)\n    --- PASS: TestA/x/y (0.00s)\n=== CONT  TestP\n");
    assert_eq!(stream.running(), [["TestP"]]);
}

#[test]
fn long_output_keeps_its_beginning_and_its_end() {
    let mut stream = stream();
    stream.take(b"=== RUN   TestA\nfirst\n");
    for _ in 0..100_000 {
        stream.take("é and more of it\n".as_bytes());
    }
    stream.take(b"    a_test.go:9: last\n--- FAIL: TestA (0.00s)\nFAIL\n");
    let result = stream.finish().pop();
    assert_eq!(result, None, "it was returned already");
    let mut whole = super::Stream::new(Package::default());
    let text = format!(
        "=== RUN   TestA\nfirst\n{}    a_test.go:9: last\n",
        "é\n".repeat(100_000)
    );
    let results = whole.take(format!("{text}--- FAIL: TestA (0.00s)\nFAIL\n").as_bytes());
    let output = results.first().unwrap().output.as_deref().unwrap();
    assert!(
        output.len() < 200_000 && output.starts_with("first\n"),
        "{}",
        output.len()
    );
    assert_eq!(
        results.first().unwrap().reason.as_deref(),
        Some("a_test.go:9: last")
    );
}
