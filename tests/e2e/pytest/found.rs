//! Owns what `persea run DIR` finds of a project that uses pytest by reading its files, and that
//! what reading does not show is a warning.

use super::{assert_cases, project, run};
use crate::support::Fixture;

/// A project whose tests are not all written as functions.
fn unusual() -> Fixture {
    project(&[
        ("pytest.ini", "[pytest]\naddopts = --doctest-modules\n"),
        ("shared.py", "def test_shared(): assert 0\n"),
        ("test_imported.py", "from shared import test_shared\n"),
        ("test_lambda.py", "test_lam = lambda: 1 / 0\n"),
        (
            "test_examples.py",
            "def f():\n    \"\"\"\n    >>> 1 + 1\n    3\n    \"\"\"\n",
        ),
        (
            "lib.py",
            "def f():\n    \"\"\"\n    >>> 1 + 1\n    2\n    \"\"\"\n",
        ),
        ("test_page.txt", "A page.\n\n>>> 1 + 1\n3\n"),
        ("test_data.py", "test_data = [1]\n"),
    ])
}

#[test]
fn tests_that_are_imported_assigned_or_examples_run() {
    let fixture = unusual();
    run(&fixture, &["--strict", "."]).code(1);
    assert_cases(
        &fixture,
        &[
            ("./test_imported.py::test_shared", "FAIL"),
            ("./test_lambda.py::test_lam", "FAIL"),
            ("./test_examples.py::test_examples.f", "FAIL"),
            ("./lib.py::lib.f", "PASS"),
            ("./test_page.txt::test_page.txt", "FAIL"),
        ],
    );
}

#[test]
fn tests_that_only_an_import_shows_are_warned_of() {
    for (name, text, why) in [
        (
            "test_a.py",
            "globals()['test_g'] = lambda: 1 / 0\n",
            "globals() in line 1",
        ),
        (
            "test_a.py",
            "exec('def test_e(): pass')\n",
            "exec() in line 1",
        ),
        (
            "test_a.py",
            "from lib import make\ntest_made = make()\n",
            "test_made in line 2",
        ),
        (
            "conftest.py",
            "def pytest_collect_file(parent): return None\n",
            "pytest_collect_file()",
        ),
    ] {
        let fixture = project(&[
            ("pytest.ini", "[pytest]\n"),
            ("lib.py", "def make(): return lambda: None\n"),
            ("test_ok.py", "def test_ok(): pass\n"),
            (name, text),
        ]);
        let ran = run(&fixture, &["-v", "."]).code(0);
        let expected = format!("{name} may hold tests that were not found: {why}");
        assert!(ran.stderr.contains(&expected), "{ran}");
        let ran = run(&fixture, &["--strict", "."]).code(2);
        let counted = "1 warning about references, an error with `--strict`";
        assert!(ran.stderr.contains(counted), "{ran}");
    }
}
