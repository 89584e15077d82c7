//! The process of a test: its streams, its descriptors, its locale and its end.

use crate::support::{check, run_with, test, tree};

#[test]
fn locale_without_utf_8_does_not_change_the_result() {
    let directory = tree(&[(
        "d\u{e9}/t\u{e9}.py",
        "import unittest\nclass T\u{e9}(unittest.TestCase):\n\
         \x20   def test_\u{e9}(self): self.fail('\u{e9}')\n",
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
fn runner_is_invisible_to_a_test() {
    let body = "def test(self):\n    self.assertEqual(sys.argv, ['t.py'])\n\
                \x20   self.assertNotIn('PERSEA_REPORT_FD', os.environ)\n\
                \x20   self.assertFalse(os.get_inheritable(3))\n\
                \x20   self.assertEqual(sys.stdin.read(), '')\n    os.chdir('/')";
    check(&test(body), "pass", "");
}

#[test]
fn child_process_of_a_test_has_no_report_descriptor() {
    let body = "def test(self):\n    pid = os.fork()\n    if pid == 0:\n        try: os.fstat(3)\n\
                \x20       except OSError: os._exit(7)\n\
                \x20       os._exit(0)\n    self.assertEqual(os.waitpid(pid, 0)[1] >> 8, 7)";
    check(&test(body), "pass", "");
    // A child that returns into unittest reports nothing: only the parent's result counts.
    let body = "def test(self):\n    pid = os.fork()\n    if pid: os.waitpid(pid, 0)\n\
                \x20   else: self.fail('in the child')";
    check(&test(body), "pass", "");
}

#[test]
fn process_that_ends_during_a_test_leaves_output_and_no_report_line() {
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
fn process_that_ends_in_a_class_fixture_leaves_no_report_line() {
    let body = |end: &str| {
        format!("@classmethod\ndef tearDownClass(cls): {end}\ndef test(self): print('done')")
    };
    for code in [0, 3] {
        let ran = test(&body(&format!("os._exit({code})")));
        assert!(ran.lines.is_empty());
        assert_eq!(ran.output.status.code(), Some(code));
        assert_eq!(ran.stdout(), "done\n");
    }
    let ran = test(&body("os.abort()"));
    assert!(ran.lines.is_empty());
    let signal = std::os::unix::process::ExitStatusExt::signal(&ran.output.status);
    assert_eq!(signal, Some(6));
}

#[test]
fn keyboard_interrupt_is_reported_before_the_process_ends() {
    let ran = test("def test(self): raise KeyboardInterrupt()");
    assert_eq!(
        (ran.get("status"), ran.get("reason")),
        ("error", "KeyboardInterrupt")
    );
    assert!(!ran.output.status.success());
}

#[test]
fn test_may_close_or_replace_its_output_streams() {
    let ran =
        test("def test(self):\n    print('x')\n    sys.stdout.close()\n    sys.stderr = None");
    assert_eq!(ran.get("status"), "pass");
    assert!(ran.stdout().starts_with("x\n---"), "{}", ran.stdout());
    let ran = test("def test(self):\n    sys.stdout = open(os.devnull, 'w')\n    print('gone')");
    assert_eq!(ran.get("status"), "pass");
    assert!(ran.stdout().starts_with("---"), "{}", ran.stdout());
}
