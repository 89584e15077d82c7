//! Warnings about files that may contain tests which only an import shows.

use super::*;

/// The warnings of the plugin about a file `t.py` with this text.
fn warnings(text: &str, reference: &str) -> Vec<String> {
    let host = Host::new().files(Files::new().file("t.py", text)).install();
    LIBRARY.take();
    PythonUnittest::resolve(&ResolveRequest::new(reference)).unwrap();
    let logs = host.log().into_iter();
    logs.filter(|(level, _)| *level == Level::Warn)
        .map(|(_, message)| message)
        .collect()
}

#[test]
fn construct_that_adds_tests_gives_a_warning() {
    let case = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n";
    for (more, why) in [
        (
            "def load_tests(loader, tests, pattern): return tests\n",
            "load_tests() in line 4",
        ),
        (
            "for n in '12': setattr(T, 'test_' + n, f)\n",
            "setattr in line 4",
        ),
        (
            "def add():\n    for n in '12':\n        setattr(T, n, f)\nadd()\n",
            "setattr in add() in line 7",
        ),
        (
            "globals()['U'] = f()\n",
            "an assignment to a namespace in line 4",
        ),
        (
            "TestMade = make(T)\n",
            "TestMade, created by a call in line 4",
        ),
        (
            "TestMade = type('TestMade', (T,), {})\n",
            "a class created by type() in line 4",
        ),
        (
            "class M(T, metaclass=Meta): pass\n",
            "a metaclass in line 4",
        ),
        (
            "class M(six.with_metaclass(Meta, T)): pass\n",
            "a metaclass in line 4",
        ),
        (
            "class M(T):\n    @parameterized.expand([1])\n    def test_x(self, n): pass\n",
            "methods generated from test_x by @expand in line 5",
        ),
        (
            "class M(T):\n    test_x = make()\n",
            "the method test_x, created by a call in line 5",
        ),
        ("suite = doctest.DocTestSuite()\n", "doctests"),
    ] {
        let expected = [format!("t.py may hold tests that were not found: {why}")];
        assert_eq!(
            warnings(&format!("{case}{more}"), "t.py"),
            expected,
            "{more}"
        );
    }
    for none in [
        "",
        "if __name__ == '__main__': setattr(T, 'x', 1)\n",
        "def helper(o):\n    setattr(o, 'x', 1)\n",
        "T = skip('x')(T)\n",
        "class A(T, metaclass=abc.ABCMeta): pass\n",
    ] {
        assert_eq!(
            warnings(&format!("{case}{none}"), "t.py"),
            [] as [&str; 0],
            "{none}"
        );
    }
    let loads = format!("{case}def load_tests(loader, tests, pattern): return tests\n");
    assert_eq!(
        warnings(&loads, "t.py:T.test_a"),
        [] as [&str; 0],
        "a filter that matches a test gives no warning"
    );
}

#[test]
fn unittest_file_without_tests_gives_a_warning() {
    for (text, why) in [
        (
            "import unittest\n",
            "it imports unittest but has no test class",
        ),
        (
            "from unittest import TestCase\nclass A(TestCase): pass\n",
            "its test classes have no test method",
        ),
        (
            "from lib import Base\nclass A(Base):\n    def test_a(self): pass\n",
            "A derives from Base, which is not in the project",
        ),
    ] {
        let expected = [format!("t.py may hold tests that were not found: {why}")];
        assert_eq!(warnings(text, "t.py"), expected, "{text}");
    }
    for none in [
        "from unittest import mock\n",
        "import unittest.mock\n",
        "class A: pass\nsetattr(A, 'x', 1)\n",
        "from lib import Base\nclass A(Base): pass\n",
    ] {
        assert_eq!(warnings(none, "t.py"), [] as [&str; 0], "{none}");
    }
}
