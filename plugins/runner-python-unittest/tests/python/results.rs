//! What unittest makes of a test: status, reason and traceback in the report.

use std::path::Path;
use std::process::Command;

use crate::support::{check, module, run, test};

#[test]
fn unittests_text_follows_the_output_of_a_passing_test() {
    let ran = test("def test(self):\n    print('hello')");
    check(&ran, "pass", "");
    assert_eq!(
        (ran.get("class-name"), ran.get("test")),
        ("t.T", "t.py:T.test")
    );
    let stdout = ran.stdout();
    assert!(
        stdout.starts_with(&format!("hello\n{}\nRan 1 test in ", "-".repeat(70))),
        "{stdout}"
    );
    assert!(stdout.ends_with("\n\nOK\n"), "{stdout}");
}

#[test]
fn failure_and_error_report_the_exception() {
    let ran = test("def test(self):\n    self.assertEqual(1, 2)");
    check(&ran, "fail", "AssertionError: 1 != 2");
    assert_eq!(ran.get("failure-type"), "AssertionError");
    let traceback = ran.get("traceback");
    assert!(
        traceback.starts_with("Traceback (most recent call last):\n  File "),
        "{traceback}"
    );
    assert!(
        traceback.ends_with("AssertionError: 1 != 2\n"),
        "{traceback}"
    );
    assert!(ran.stdout().contains(traceback));
    let ran = test("def test(self):\n    raise RuntimeError('boom')");
    check(&ran, "error", "RuntimeError: boom");
    check(
        &test("def test(self):\n    sys.exit(0)"),
        "error",
        "SystemExit: 0",
    );
    check(
        &test("def test(self):\n    raise ValueError()"),
        "error",
        "ValueError",
    );
}

#[test]
fn reason_is_the_most_telling_line_of_a_long_message() {
    check(
        &test("def test(self):\n    self.assertEqual([1, 2], [1, 3])"),
        "fail",
        "AssertionError: Lists differ: [1, 2] != [1, 3]",
    );
    check(
        &test("def test(self):\n    raise ValueError('\\nArrays differ\\n 3%')"),
        "error",
        "ValueError: Arrays differ",
    );
    check(
        &test("def test(self):\n    compile('x = =', 'f', 'exec')"),
        "error",
        "SyntaxError: invalid syntax",
    );
    let ran = test("def test(self):\n    self.fail('x' * 1000000 + '\\ud800é')");
    assert_eq!(ran.get("reason").chars().count(), 1000);
    assert!(ran.get("traceback").len() < 60_000);
}

#[test]
fn skip_of_test_fixture_class_or_module_is_reported() {
    check(
        &test("@unittest.skip('no reason')\ndef test(self): pass"),
        "skip",
        "no reason",
    );
    check(
        &test("def test(self): self.skipTest('later')"),
        "skip",
        "later",
    );
    check(
        &test("def test(self): self.skipTest('')"),
        "skip",
        "no reason given",
    );
    check(
        &test("def setUp(self): raise unittest.SkipTest('no net')\ndef test(self): pass"),
        "skip",
        "no net",
    );
    let class = "@classmethod\ndef setUpClass(cls): raise unittest.SkipTest('no disk')\n\
                 def test(self): pass";
    check(&test(class), "skip", "no disk");
    check(
        &test("__unittest_skip__ = True\n__unittest_skip_why__ = 'no class'\ndef test(self): pass"),
        "skip",
        "no class",
    );
    check(
        &module("import unittest\nraise unittest.SkipTest('no lib')\n"),
        "skip",
        "no lib",
    );
}

#[test]
fn expected_failure_passes_and_unexpected_success_fails() {
    check(
        &test("@unittest.expectedFailure\ndef test(self): self.fail()"),
        "pass",
        "",
    );
    check(
        &test("@unittest.expectedFailure\ndef test(self): pass"),
        "fail",
        "unexpected success",
    );
    check(
        &test("__unittest_expecting_failure__ = True\ndef test(self): pass"),
        "fail",
        "unexpected success",
    );
    let late = "@unittest.expectedFailure\ndef test(self): pass\n\
                @classmethod\ndef tearDownClass(cls): raise OSError('late')";
    check(&test(late), "error", "OSError: late");
}

/// Bodies of a test class in which something goes wrong, each with the status of its test.
const MISHAPS: [(&str, &str); 20] = [
    ("def test(self): pass", "pass"),
    ("@unittest.expectedFailure\ndef test(self): pass", "fail"),
    (
        "@unittest.expectedFailure\ndef test(self): raise OSError()",
        "pass",
    ),
    ("def test(self): sys.exit(0)", "error"),
    ("def test(self): raise KeyboardInterrupt()", "error"),
    (
        "def setUp(self): sys.exit(0)\ndef test(self): pass",
        "error",
    ),
    (
        "def tearDown(self): sys.exit(0)\ndef test(self): pass",
        "error",
    ),
    ("def test(self): self.addCleanup(self.fail, 'late')", "fail"),
    ("def test(self): self.addCleanup(sys.exit, 1)", "error"),
    (
        "def test(self):\n    self.addCleanup(self.fail)\n    self.skipTest('x')",
        "fail",
    ),
    (
        "@classmethod\ndef setUpClass(cls): sys.exit(3)\ndef test(self): pass",
        "error",
    ),
    (
        "@classmethod\ndef setUpClass(cls): raise KeyboardInterrupt()\ndef test(self): pass",
        "error",
    ),
    (
        "@classmethod\ndef tearDownClass(cls): raise OSError('x')\ndef test(self): pass",
        "error",
    ),
    (
        "@classmethod\ndef tearDownClass(cls): sys.exit(3)\ndef test(self): pass",
        "error",
    ),
    (
        "@classmethod\ndef tearDownClass(cls): raise KeyboardInterrupt()\ndef test(self): pass",
        "error",
    ),
    (
        "@classmethod\ndef tearDownClass(cls): raise unittest.SkipTest('late')\n\
         def test(self): pass",
        "skip",
    ),
    (
        "@classmethod\n\
         def setUpClass(cls): getattr(cls, 'addClassCleanup', lambda f: f())(lambda: 1 / 0)\n\
         def test(self): pass",
        "error",
    ),
    (
        "def test(self):\n    with self.subTest(): self.skipTest('one')\n    self.fail('two')",
        "fail",
    ),
    (
        "def run(self, result=None):\n    super().run(result)\n\
         \x20   result.addError(self, sys.exc_info()) if sys.exc_info()[0] else 1 / 0\n\
         def test(self): pass",
        "error",
    ),
    (
        "def test(self): warnings.warn('x', DeprecationWarning)",
        "pass",
    ),
];

#[test]
fn status_agrees_with_unittest_in_every_mishap() {
    for (body, status) in MISHAPS {
        let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
        let text =
            format!("import os, sys, unittest, warnings\nclass T(unittest.TestCase):\n{body}");
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("t.py"), text).unwrap();
        let ran = run(directory.path(), &["t.py:T.test"]);
        assert_eq!(ran.get("status"), status, "{body}{}", ran.stderr());
        let unittest = Command::new(std::env::var("PYTHON").unwrap_or_else(|_| "python3".into()))
            .args(["-m", "unittest", "t.T.test"])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let is_good = ["pass", "skip"].contains(&status);
        // `sys.exit(0)` ends unittest with code 0 before it prints a result.
        let says_ok = String::from_utf8_lossy(&unittest.stderr)
            .lines()
            .any(|line| line.starts_with("OK"));
        assert_eq!(unittest.status.success() && says_ok, is_good, "{body}");
    }
}

#[test]
fn reason_names_the_first_failed_subtest_and_counts_the_others() {
    let body = "def test(self):\n    for i in range(4):\n\
                \x20       with self.subTest(i=i): self.assertEqual(i % 2, 0)";
    check(
        &test(body),
        "fail",
        "AssertionError: 1 != 0 [(i=1), and 1 more]",
    );
    let body = "def test(self):\n    with self.subTest('a', n=1): raise OSError('x')";
    check(&test(body), "error", "OSError: x [[a] (n=1)]");
    let body = "def test(self):\n    with self.subTest(i=1): pass";
    check(&test(body), "pass", "");
}

#[test]
fn subtests_are_cases() {
    let body = "def test(self):\n    for i in range(3):\n\
                \x20       with self.subTest(i=i):\n\
                \x20           if i == 1: self.skipTest('odd')\n\
                \x20           self.assertEqual(i, 0)";
    let ran = test(body);
    let expected = serde_json::json!([
        {"name": "(i=0)", "status": "pass"},
        {"name": "(i=1)", "status": "skip", "reason": "odd"},
        {"name": "(i=2)", "status": "fail", "reason": "AssertionError: 2 != 0"},
    ]);
    assert_eq!(sorted(&ran.lines[0]["cases"]), sorted(&expected));
    assert!(!test("def test(self): self.skipTest('x')").lines[0].contains_key("cases"));
}

/// The cases by name: before Python 3.11, unittest reports passed subtests after the others.
fn sorted(cases: &serde_json::Value) -> Vec<serde_json::Value> {
    let mut cases = cases.as_array().unwrap().clone();
    cases.sort_by_key(|case| case["name"].to_string());
    cases
}

#[test]
fn cases_of_a_test_are_limited() {
    let body = "def test(self):\n    for i in range(1200):\n\
                \x20       with self.subTest(i=i): pass";
    let ran = test(body);
    assert_eq!(ran.lines[0]["cases"].as_array().unwrap().len(), 1000);
    assert_eq!(ran.get("cases-left-out"), "200");
    let body = "def test(self):\n    for i in range(1000):\n\
                \x20       with self.subTest('\\u00e9' * 1000): self.fail('\\u00e9' * 1000)";
    let ran = test(body);
    assert!(ran.lines[0]["cases"].as_array().unwrap().len() < 100);
}

#[test]
fn missing_test_is_an_error() {
    let ran = test("def other(self): pass");
    check(
        &ran,
        "error",
        "AttributeError: type object 'T' has no attribute 'test'",
    );
    assert_eq!(module("").get("status"), "error");
    check(
        &run(Path::new("/"), &["t.py"]),
        "error",
        "t.py does not name a test: expected FILE:CLASS.METHOD",
    );
}

#[test]
fn test_below_an_unmet_condition_is_skipped() {
    let text = "import unittest\nif not unittest:\n    class T(unittest.TestCase):\n\
                \x20       def test(self): pass\n";
    let reason = "T.test is not defined: a condition around its definition does not hold";
    check(&module(text), "skip", reason);
    check(
        &test(
            "try:\n    import no_such_module\n    def test(self): pass\nexcept ImportError: pass",
        ),
        "skip",
        reason,
    );
    let text = "import unittest\nclass T(unittest.TestCase):\n    if unittest:\n\
                \x20       def other(self): pass\n";
    assert_eq!(module(text).get("status"), "error");
}

#[test]
fn callable_attribute_runs_as_a_test() {
    check(
        &test("def check(self): self.assertIsInstance(self, T)\ntest = lambda self: self.check()"),
        "pass",
        "",
    );
    check(
        &test("import functools\ntest = functools.partial(int, 'x')"),
        "error",
        "ValueError: invalid literal for int() with base 10: 'x'",
    );
}

#[test]
fn asynchronous_test_is_awaited() {
    let text = "import unittest\nclass T(unittest.IsolatedAsyncioTestCase):\n\
                \x20   async def test(self): self.fail('async')\n";
    check(&module(text), "fail", "AssertionError: async");
}

#[test]
fn each_test_of_one_process_gets_a_report_line() {
    let directory = tempfile::tempdir().unwrap();
    let class = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n\
                 \x20   def test_b(self): self.fail('b')\n";
    std::fs::write(directory.path().join("one.py"), class).unwrap();
    std::fs::write(directory.path().join("two.py"), class).unwrap();
    let ran = run(
        directory.path(),
        &["one.py:T.test_b", "two.py:T.test_a", "none.py:T.x"],
    );
    let lines: Vec<_> = ran
        .lines
        .iter()
        .map(|line| {
            (
                line["test"].as_str().unwrap(),
                line["status"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("one.py:T.test_b", "fail"),
            ("two.py:T.test_a", "pass"),
            ("none.py:T.x", "error")
        ]
    );
}
