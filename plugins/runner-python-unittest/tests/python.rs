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

fn run(directory: &Path, tests: &[&str]) -> Ran {
    run_with(directory, tests, &[])
}

/// Runs tests of a directory with the report in a file, which shows what a pipe does not: who else writes to it.
fn run_with(directory: &Path, tests: &[&str], env: &[(&str, &str)]) -> Ran {
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
        .envs(env.iter().copied())
        .stdin(Stdio::from(descriptor))
        .output()
        .unwrap();
    let text = std::fs::read_to_string(report.path()).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some(""),
        "an interpreter that has started says so"
    );
    let parse =
        |line: &str| -> BTreeMap<String, String> { serde_json::from_str(line).expect(line) };
    Ran {
        lines: lines.map(parse).collect(),
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
fn an_expected_failure_passes_and_an_unexpected_success_fails() {
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
    let late = "@unittest.expectedFailure\ndef test(self): pass\n@classmethod\ndef tearDownClass(cls): raise OSError('late')";
    check(&test(late), "error", "OSError: late");
}

/// What goes wrong around a test, and the status that it gives.
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
        "@classmethod\ndef tearDownClass(cls): raise unittest.SkipTest('late')\ndef test(self): pass",
        "skip",
    ),
    (
        "@classmethod\ndef setUpClass(cls): getattr(cls, 'addClassCleanup', lambda f: f())(lambda: 1 / 0)\ndef test(self): pass",
        "error",
    ),
    (
        "def test(self):\n    with self.subTest(): self.skipTest('one')\n    self.fail('two')",
        "fail",
    ),
    (
        "def run(self, result=None):\n    super().run(result)\n    result.addError(self, sys.exc_info()) if sys.exc_info()[0] else 1 / 0\ndef test(self): pass",
        "error",
    ),
    (
        "def test(self): warnings.warn('x', DeprecationWarning)",
        "pass",
    ),
];

#[test]
fn a_test_that_unittest_counts_as_failed_does_not_pass() {
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
        // An exit with code 0 ends unittest before it can count.
        let says_ok = String::from_utf8_lossy(&unittest.stderr)
            .lines()
            .any(|line| line.starts_with("OK"));
        assert_eq!(unittest.status.success() && says_ok, is_good, "{body}");
    }
}

#[test]
fn fixtures_of_a_module_end_a_test_as_they_do_in_unittest() {
    let module = |fixture: &str, body: &str| {
        module(&format!(
            "import sys, unittest\ndef {fixture}(): {body}\nclass T(unittest.TestCase):\n    def test(self): pass\n"
        ))
    };
    check(
        &module("tearDownModule", "raise OSError('late')"),
        "error",
        "OSError: late",
    );
    check(
        &module("setUpModule", "raise unittest.SkipTest('no net')"),
        "skip",
        "no net",
    );
    for fixture in ["setUpModule", "tearDownModule"] {
        let ran = module(fixture, "sys.exit(0)");
        assert_eq!(
            (ran.get("status"), ran.get("reason")),
            ("error", "SystemExit: 0"),
            "{fixture}"
        );
        assert!(ran.lines.len() == 1);
    }
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
    write("loose/t.py", "from .base import X\n");
    let ran = run(directory.path(), &["loose/t.py:T.test"]);
    assert!(
        ran.get("reason").contains("attempted relative import"),
        "{}",
        ran.get("reason")
    );
}

/// A directory with these files.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

#[test]
fn a_file_of_a_package_is_imported_from_the_projects_top_level() {
    let test = "import os, sys, unittest\nfrom ..base import X\nimport string\nclass T(unittest.TestCase):\n    def test(self):\n\
                \x20       self.assertEqual(__name__, 'pkg.tests.t')\n        self.assertEqual(sys.path[0], os.path.realpath(TOP))\n\
                \x20       self.assertNotIn(os.path.dirname(__file__), sys.path)\n        self.assertTrue(string.digits)\n\
                \x20       import pkg.tests.t as again\n        self.assertIs(again.T, type(self))\n";
    let files = |top: &'static str| {
        let test = test.replace("TOP", &format!("'{top}'"));
        tree(&[
            ("src/pkg/__init__.py", ""),
            ("src/pkg/base.py", "X = 1\n"),
            ("src/pkg/tests/__init__.py", ""),
            (
                "src/pkg/tests/string.py",
                "raise Exception('not this one')\n",
            ),
            ("src/pkg/tests/t.py", &test),
        ])
    };
    let directory = files("src");
    check(
        &run(directory.path(), &["src/pkg/tests/t.py:T.test"]),
        "pass",
        "",
    );
    let directory = files(".");
    let ran = run(&directory.path().join("src"), &["pkg/tests/t.py:T.test"]);
    check(&ran, "pass", "");
    assert_eq!(ran.get("class-name"), "pkg.tests.t.T");
    // Python itself looks there first for what it imports.
    let directory = files("../..");
    let tests = directory.path().join("src/pkg/tests");
    std::fs::remove_file(tests.join("string.py")).unwrap();
    let text = std::fs::read_to_string(tests.join("t.py")).unwrap();
    let text = text.replace("assertNotIn", "assertIn");
    std::fs::write(tests.join("t.py"), text).unwrap();
    check(&run(&tests, &["t.py:T.test"]), "pass", "");
}

#[test]
fn a_package_that_is_skipped_skips_its_tests() {
    let directory = tree(&[
        (
            "pkg/__init__.py",
            "import unittest\nraise unittest.SkipTest('no lib')\n",
        ),
        ("pkg/sub/__init__.py", ""),
        (
            "pkg/sub/t.py",
            "import unittest\nclass T(unittest.TestCase):\n    def test(self): pass\n",
        ),
    ]);
    check(
        &run(directory.path(), &["pkg/sub/t.py:T.test"]),
        "skip",
        "no lib",
    );
}

#[test]
fn the_tests_of_an_init_file_are_those_of_the_package() {
    let directory = tree(&[(
        "pkg/__init__.py",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(__name__, 'pkg')\n",
    )]);
    check(
        &run(directory.path(), &["pkg/__init__.py:T.test"]),
        "pass",
        "",
    );
}

#[test]
fn a_project_that_has_an_init_file_itself_is_no_package() {
    let test = "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(__name__, 'tests.t')\n";
    let directory = tree(&[
        ("project/__init__.py", ""),
        ("project/pyproject.toml", ""),
        ("project/tests/__init__.py", ""),
        ("project/tests/t.py", test),
    ]);
    check(
        &run(directory.path(), &["project/tests/t.py:T.test"]),
        "pass",
        "",
    );
    let test = test.replace("tests.t", "t");
    let directory = tree(&[("no-name/__init__.py", ""), ("no-name/t.py", &test)]);
    check(&run(directory.path(), &["no-name/t.py:T.test"]), "pass", "");
}

#[test]
fn a_file_is_imported_once_however_many_of_its_tests_are_run() {
    let directory = tree(&[(
        "t.py",
        "import unittest\nwith open('count', 'a') as file: file.write('x')\n1 / 0\n",
    )]);
    run(
        directory.path(),
        &["t.py:T.test_a", "t.py:T.test_b", "t.py:T.test_c"],
    );
    let count = std::fs::read_to_string(directory.path().join("count")).unwrap();
    assert_eq!(count, "x");
}

#[test]
fn a_test_below_a_condition_that_does_not_hold_is_skipped() {
    let text = "import unittest\nif not unittest:\n    class T(unittest.TestCase):\n        def test(self): pass\n";
    let reason = "T.test is not defined here: it depends on a condition that does not hold";
    check(&module(text), "skip", reason);
    check(
        &test(
            "try:\n    import no_such_module\n    def test(self): pass\nexcept ImportError: pass",
        ),
        "skip",
        reason,
    );
    let text = "import unittest\nclass T(unittest.TestCase):\n    if unittest:\n        def other(self): pass\n";
    assert_eq!(module(text).get("status"), "error");
}

#[test]
fn any_callable_by_the_name_of_a_test_is_run() {
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
fn a_locale_that_is_not_utf_8_changes_no_result() {
    let directory = tree(&[(
        "d\u{e9}/t\u{e9}.py",
        "import unittest\nclass T\u{e9}(unittest.TestCase):\n    def test_\u{e9}(self): self.fail('\u{e9}')\n",
    )]);
    let locale = [
        ("LC_ALL", "C"),
        ("PYTHONUTF8", "0"),
        ("PYTHONCOERCECLOCALE", "0"),
    ];
    let ran = run_with(
        directory.path(),
        &["d\u{e9}/t\u{e9}.py:T\u{e9}.test_\u{e9}"],
        &locale,
    );
    check(&ran, "fail", "AssertionError: \u{e9}");
    assert_eq!(ran.get("class-name"), "t\u{e9}.T\u{e9}");
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
