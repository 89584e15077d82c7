//! The script in a real Python: what tests do there, and what is reported of them. The environment variable PYTHON
//! names another one than python3.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const SCRIPT: &str = include_str!("../src/persea_unittest.py");

/// How one run of the script ended.
struct Ran {
    lines: Vec<BTreeMap<String, String>>,
    output: Output,
}

impl Ran {
    fn get(&self, name: &str) -> &str {
        self.lines
            .first()
            .and_then(|line| line.get(name))
            .map_or("", String::as_str)
    }

    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

/// Runs tests of a directory with the report in a file, which shows what a pipe does not: who else writes to it.
fn run(directory: &Path, tests: &[&str]) -> Ran {
    let report = tempfile::NamedTempFile::new().unwrap();
    let descriptor: OwnedFd = report.reopen().unwrap().into();
    // Standard input is the one descriptor that std hands over; the shell moves it to where the script looks.
    let output = Command::new("sh")
        .args([
            "-c",
            "exec \"${PYTHON:-python3}\" \"$@\" 3<&0 0</dev/null",
            "sh",
            "-c",
            SCRIPT,
        ])
        .args(tests)
        .current_dir(directory)
        .env("PERSEA_REPORT_FD", "3")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::from(descriptor))
        .output()
        .unwrap();
    let text = std::fs::read_to_string(report.path()).unwrap();
    let parse =
        |line: &str| -> BTreeMap<String, String> { serde_json::from_str(line).expect(line) };
    Ran {
        lines: text.lines().map(parse).collect(),
        output,
    }
}

/// Runs `t.py:T.test` with these lines in the class T.
fn test(body: &str) -> Ran {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    module(&format!(
        "import os, sys, unittest\nclass T(unittest.TestCase):\n{body}"
    ))
}

/// Runs `t.py:T.test` of this text.
fn module(text: &str) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("t.py"), text).unwrap();
    run(directory.path(), &["t.py:T.test"])
}

#[track_caller]
fn check(ran: &Ran, status: &str, reason: &str) {
    assert_eq!(
        (ran.get("status"), ran.get("reason")),
        (status, reason),
        "{}",
        ran.stderr()
    );
    assert_eq!(ran.lines.len(), 1);
    assert_eq!(ran.output.status.code(), Some(0));
}

#[test]
fn a_pass_adds_unittests_text_to_what_the_test_printed() {
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
fn a_failure_and_an_error_say_what_was_raised() {
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
fn a_reason_of_many_lines_is_cut_to_the_one_that_says_most() {
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
fn skips_are_skips_wherever_they_are_said() {
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
    let class = "@classmethod\ndef setUpClass(cls): raise unittest.SkipTest('no disk')\ndef test(self): pass";
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
fn expectations_pass_as_they_do_in_avocado() {
    check(
        &test("@unittest.expectedFailure\ndef test(self): self.fail()"),
        "pass",
        "",
    );
    check(
        &test("@unittest.expectedFailure\ndef test(self): pass"),
        "pass",
        "",
    );
}

#[test]
fn fixtures_of_class_and_module_are_run() {
    let class = "@classmethod\ndef setUpClass(cls): cls.x = 1\n@classmethod\ndef tearDownClass(cls): print('down')\n\
                 def test(self): self.assertEqual(self.x, 1)";
    let ran = test(class);
    check(&ran, "pass", "");
    assert!(ran.stdout().starts_with("down\n"));
    check(
        &test("@classmethod\ndef setUpClass(cls): raise OSError('no')\ndef test(self): pass"),
        "error",
        "OSError: no",
    );
    check(
        &test("def test(self): pass\ndef tearDown(self): raise OSError('late')"),
        "error",
        "OSError: late",
    );
    let both =
        "def test(self): raise ValueError('first')\ndef tearDown(self): raise OSError('late')";
    check(&test(both), "error", "ValueError: first [and 1 more]");
    let text = "import unittest\ndef setUpModule(): raise OSError('module')\nclass T(unittest.TestCase):\n    def test(self): pass\n";
    check(&module(text), "error", "OSError: module");
}

#[test]
fn subtests_are_counted_and_the_first_is_named() {
    let body = "def test(self):\n    for i in range(4):\n        with self.subTest(i=i): self.assertEqual(i % 2, 0)";
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
fn a_file_that_cannot_be_imported_says_why() {
    let ran = module("import not_there_at_all\n");
    check(
        &ran,
        "error",
        "ModuleNotFoundError: No module named 'not_there_at_all'",
    );
    assert!(
        !ran.get("traceback").contains("<string>"),
        "our own frames are none of the user's: {}",
        ran.get("traceback")
    );
    assert!(ran.stderr().contains("No module named 'not_there_at_all'"));
    check(&module("x = = 1\n"), "error", "SyntaxError: invalid syntax");
    check(
        &module("1 / 0\n"),
        "error",
        "ZeroDivisionError: division by zero",
    );
    check(
        &module("import sys\nsys.exit(3)\n"),
        "error",
        "SystemExit: 3",
    );
    let nothing = tempfile::tempdir().unwrap();
    check(
        &run(nothing.path(), &["t.py:T.test"]),
        "error",
        "ModuleNotFoundError: No module named 't'",
    );
}

#[test]
fn a_test_that_is_not_there_is_an_error() {
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
fn a_file_whose_name_is_taken_says_by_what() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("os.py"), "import unittest\n").unwrap();
    let ran = run(directory.path(), &["os.py:T.test"]);
    assert!(
        ran.get("reason")
            .starts_with("ImportError: the name os stands for /"),
        "{}",
        ran.get("reason")
    );
    assert!(
        ran.get("reason").ends_with(", not for os.py"),
        "{}",
        ran.get("reason")
    );
}

#[test]
fn imports_are_found_beside_the_test_in_the_working_directory_and_in_the_package() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let class = "class T(unittest.TestCase):\n    def test(self): pass\n";
    write("top.py", "");
    write("sub/sibling.py", "");
    write(
        "sub/t.py",
        &format!("import unittest, sibling, top\n{class}"),
    );
    check(&run(directory.path(), &["sub/t.py:T.test"]), "pass", "");
    write("pkg/__init__.py", "");
    write("pkg/base.py", "X = 1\n");
    write("pkg/tests/__init__.py", "");
    write(
        "pkg/tests/t.py",
        &format!("import unittest\nfrom ..base import X\n{class}"),
    );
    let ran = run(directory.path(), &["pkg/tests/t.py:T.test"]);
    check(&ran, "pass", "");
    assert_eq!(ran.get("class-name"), "pkg.tests.t.T");
    write("loose/t.py", "from .base import X\n");
    let ran = run(directory.path(), &["loose/t.py:T.test"]);
    assert!(
        ran.get("reason").contains("attempted relative import"),
        "{}",
        ran.get("reason")
    );
}

#[test]
fn a_test_sees_nothing_of_the_runner() {
    let body = "def test(self):\n    self.assertEqual(sys.argv, ['t.py'])\n    self.assertNotIn('PERSEA_REPORT_FD', os.environ)\n\
                \x20   self.assertFalse(os.get_inheritable(3))\n    self.assertEqual(sys.stdin.read(), '')\n    os.chdir('/')";
    check(&test(body), "pass", "");
}

#[test]
fn a_child_of_a_test_neither_holds_the_report_nor_writes_to_it() {
    let body = "def test(self):\n    pid = os.fork()\n    if pid == 0:\n        try: os.fstat(3)\n        except OSError: os._exit(7)\n\
                \x20       os._exit(0)\n    self.assertEqual(os.waitpid(pid, 0)[1] >> 8, 7)";
    check(&test(body), "pass", "");
    // A child that runs on into unittest reports nothing, so that its parent's word counts.
    let body = "def test(self):\n    pid = os.fork()\n    if pid: os.waitpid(pid, 0)\n    else: self.fail('in the child')";
    check(&test(body), "pass", "");
}

#[test]
fn a_process_that_ends_in_mid_test_leaves_what_it_printed_and_no_line() {
    let ran = test("def test(self):\n    print('before')\n    os._exit(3)");
    assert!(ran.lines.is_empty());
    assert_eq!(ran.output.status.code(), Some(3));
    assert_eq!(ran.stdout(), "before\n");
    let ran = test("def test(self):\n    print('before')\n    os.abort()");
    assert!(ran.lines.is_empty());
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&ran.output.status),
        Some(6)
    );
    assert_eq!(ran.stdout(), "before\n");
    assert!(
        ran.stderr().contains("t.py\", line 5 in test"),
        "{}",
        ran.stderr()
    );
}

#[test]
fn an_interrupt_is_reported_before_it_ends_the_process() {
    let ran = test("def test(self): raise KeyboardInterrupt()");
    assert_eq!(
        (ran.get("status"), ran.get("reason")),
        ("error", "KeyboardInterrupt")
    );
    assert!(!ran.output.status.success());
}

#[test]
fn a_test_may_do_as_it_likes_with_its_output() {
    let ran =
        test("def test(self):\n    print('x')\n    sys.stdout.close()\n    sys.stderr = None");
    assert_eq!(ran.get("status"), "pass");
    assert!(ran.stdout().starts_with("x\n---"), "{}", ran.stdout());
    let ran = test("def test(self):\n    sys.stdout = open(os.devnull, 'w')\n    print('gone')");
    assert_eq!(ran.get("status"), "pass");
    assert!(ran.stdout().starts_with("---"), "{}", ran.stdout());
}

#[test]
fn asynchronous_tests_are_awaited() {
    let text = "import unittest\nclass T(unittest.IsolatedAsyncioTestCase):\n    async def test(self): self.fail('async')\n";
    check(&module(text), "fail", "AssertionError: async");
}

#[test]
fn many_tests_in_one_process_give_a_line_each() {
    let directory = tempfile::tempdir().unwrap();
    let class = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n    def test_b(self): self.fail('b')\n";
    std::fs::write(directory.path().join("one.py"), class).unwrap();
    std::fs::write(directory.path().join("two.py"), class).unwrap();
    let ran = run(
        directory.path(),
        &["one.py:T.test_b", "two.py:T.test_a", "none.py:T.x"],
    );
    let lines: Vec<_> = ran
        .lines
        .iter()
        .map(|line| (line["test"].as_str(), line["status"].as_str()))
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
