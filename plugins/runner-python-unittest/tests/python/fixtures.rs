//! Fixtures of tests, classes and modules.

use crate::support::{check, module, test};

#[test]
fn module_fixture_decides_the_status_as_in_unittest() {
    let module = |fixture: &str, body: &str| {
        module(&format!(
            "import sys, unittest\ndef {fixture}(): {body}\nclass T(unittest.TestCase):\n\
             \x20   def test(self): pass\n"
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
fn class_and_module_fixtures_run() {
    let class = "@classmethod\ndef setUpClass(cls): cls.x = 1\n@classmethod\n\
                 def tearDownClass(cls): print('down')\n\
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
    let text = "import unittest\ndef setUpModule(): raise OSError('module')\n\
                class T(unittest.TestCase):\n    def test(self): pass\n";
    check(&module(text), "error", "OSError: module");
}
