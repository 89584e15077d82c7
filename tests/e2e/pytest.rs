//! Owns the kinds `pytest` and `pytest-files`, with a real pytest: the same tests with the same
//! results, what a broken project looks like, and that nothing is lost, run twice or left behind.

mod faults;
mod found;
mod plugins;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::tools::pytests;
use crate::support::{Fixture, Ran};

/// The interpreter with the newest pytest.
const NEW: &str = "pytest/bin/python";

/// The interpreter with the oldest pytest.
const OLD: &str = "old-pytest/bin/python";

/// The path of an interpreter.
fn python(name: &str) -> String {
    pytests().join(name).to_str().unwrap().to_owned()
}

/// A project with these files.
fn project(files: &[(&str, &str)]) -> Fixture {
    let fixture = Fixture::new();
    for (name, text) in files {
        fixture.file(name, text);
    }
    fixture
}

/// Runs tests with an interpreter.
fn run_with(fixture: &Fixture, interpreter: &str, args: &[&str]) -> Ran {
    let set = format!("runner.pytest.interpreter={interpreter:?}");
    fixture.run(&[&["run", "--set", &set], args].concat())
}

/// Runs tests with the newest pytest.
fn run(fixture: &Fixture, args: &[&str]) -> Ran {
    run_with(fixture, &python(NEW), args)
}

/// The statuses of all cases, by their task and their names.
fn cases(fixture: &Fixture) -> BTreeMap<String, String> {
    let events = fixture.job().events_of("case-finished");
    let case = |event: &Value| {
        let task = event["task"].as_str().unwrap().split_once('-').unwrap().1;
        let path = event["data"]["path"].as_array().unwrap().iter();
        let names: Vec<&str> = path.map(|name| name.as_str().unwrap()).collect();
        let status = event["data"]["status"].as_str().unwrap().to_owned();
        (format!("{task}::{}", names.join("::")), status)
    };
    let all: BTreeMap<String, String> = events.iter().map(case).collect();
    assert_eq!(all.len(), events.len(), "each test has one result");
    all
}

#[track_caller]
fn assert_cases(fixture: &Fixture, expected: &[(&str, &str)]) {
    let owned = |(name, status): &(&str, &str)| ((*name).to_owned(), (*status).to_owned());
    let expected: BTreeMap<String, String> = expected.iter().map(owned).collect();
    assert_eq!(cases(fixture), expected);
}

/// One test of every way in which pytest ends a test.
const ALL: &str = r#"
import pytest, sys

@pytest.fixture(scope="session")
def shared(): return []

@pytest.fixture
def broken(): raise ValueError("no fixture")

@pytest.fixture
def late():
    yield
    raise OSError("too late")

@pytest.fixture
def skipping(): pytest.skip("from a fixture")

def test_pass(shared): pass

@pytest.mark.slow
@pytest.mark.parametrize("x", ["a::b", 2])
def test_param(x):
    print("printed", x)
    assert x != 2

class TestC:
    def test_setup(self, broken): pass
    def test_teardown(self, late): pass
    def test_both(self, late): assert False, "first"

def test_missing(nowhere): pass
def test_skipping(skipping): pass

@pytest.mark.skip(reason="why")
def test_skip(): pass

@pytest.mark.xfail(reason="known")
def test_xfail(): assert False

@pytest.mark.xfail(reason="known")
def test_xpass(): pass

@pytest.mark.xfail(strict=True, reason="known")
def test_strict(): pass

@pytest.mark.xfail(run=False, reason="known")
def test_not_run(): pass
"#;

const ALL_RESULTS: [(&str, &str); 13] = [
    ("test_all.py::test_pass", "PASS"),
    ("test_all.py::test_param[a::b]", "PASS"),
    ("test_all.py::test_param[2]", "FAIL"),
    ("test_all.py::TestC::test_setup", "ERROR"),
    ("test_all.py::TestC::test_teardown", "ERROR"),
    ("test_all.py::TestC::test_both", "FAIL"),
    ("test_all.py::test_missing", "ERROR"),
    ("test_all.py::test_skipping", "SKIP"),
    ("test_all.py::test_skip", "SKIP"),
    ("test_all.py::test_xfail", "PASS"),
    ("test_all.py::test_xpass", "WARN"),
    ("test_all.py::test_strict", "FAIL"),
    ("test_all.py::test_not_run", "PASS"),
];

const INI: (&str, &str) = ("pytest.ini", "[pytest]\nmarkers = slow\n");

#[test]
fn every_result_of_pytest_is_that_of_a_case_in_old_and_new_versions() {
    for interpreter in [NEW, OLD] {
        for batches in ["true", "false"] {
            let fixture = project(&[INI, ("test_all.py", ALL)]);
            let set = format!("run.batches={batches}");
            let args = ["--set", &set, "test_all.py"];
            run_with(&fixture, &python(interpreter), &args).code(1);
            assert_cases(&fixture, &ALL_RESULTS);
            let reason = fixture.job().reason("test_all.py");
            let expected = "3 failed (test_param[2], TestC::test_both, test_strict), 3 in error \
                            (TestC::test_setup, TestC::test_teardown, test_missing), 7 others";
            assert_eq!(reason, expected);
        }
    }
}

#[test]
fn case_has_reason_output_place_and_marks() {
    let fixture = project(&[INI, ("test_all.py", ALL)]);
    run(&fixture, &["pytest:test_all.py::test_param"]).code(1);
    let events = fixture.job().events_of("case-finished");
    let failed = events
        .iter()
        .find(|event| event["data"]["status"] == "FAIL")
        .unwrap();
    let data = &failed["data"];
    let reason = data["reason"].as_str().unwrap();
    assert_eq!(reason, "assert 2 != 2 [captured stdout call: printed 2]");
    assert_eq!(
        data["output"],
        "---- Captured stdout call ----\nprinted 2\n"
    );
    assert_eq!(
        (&data["file"], &data["failure-type"]),
        (&json!("test_all.py"), &json!("AssertionError"))
    );
    assert_eq!(
        (&data["class-name"], &data["tags"]),
        (&json!("test_all"), &json!(["slow"]))
    );
    assert!(data["line"].is_u64() && data["elapsed"].is_u64(), "{data}");
    assert!(
        data["traceback"]
            .as_str()
            .unwrap()
            .contains("assert x != 2"),
        "{data}"
    );
}

/// A project with a configuration, in which pytest does not look at all files.
fn configured() -> Fixture {
    project(&[
        (
            "pyproject.toml",
            "[tool.pytest.ini_options]\ntestpaths = ['tests']\n",
        ),
        (
            "tests/conftest.py",
            "collect_ignore = ['test_ignored.py']\n",
        ),
        (
            "tests/test_a.py",
            "import pytest\n@pytest.mark.slow\ndef test_one(): pass\n",
        ),
        (
            "tests/sub/test_b.py",
            "def test_two(pytestconfig):\n    \
             assert pytestconfig.rootpath == pytestconfig.invocation_params.dir\n",
        ),
        ("tests/test_ignored.py", "def test_three(): assert False\n"),
        ("other/test_c.py", "def test_four(): assert False\n"),
        (
            "tests/node_modules/test_d.py",
            "def test_five(): assert False\n",
        ),
    ])
}

#[test]
fn directory_has_the_files_that_pytest_itself_names() {
    let fixture = configured();
    let expected = [
        ("tests/sub/test_b.py::test_two", "PASS"),
        ("tests/test_a.py::test_one", "PASS"),
    ];
    for interpreter in [NEW, OLD] {
        let interpreter = python(interpreter);
        run_with(&fixture, &interpreter, &["pytest:."]).code(0);
        assert_cases(&fixture, &expected);
        run_with(&fixture, &interpreter, &["pytest:tests/sub"]).code(0);
        assert_cases(&fixture, &expected[..1]);
        run_with(&fixture, &interpreter, &["pytest:other"]).code(1);
        assert_cases(&fixture, &[("other/test_c.py::test_four", "FAIL")]);
    }
    let listed = fixture.run(&["list", "pytest:."]).code(0);
    assert!(listed.stderr.contains("--run-listers"), "{listed}");
}

#[test]
fn nothing_is_written_into_the_project() {
    let fixture = configured();
    fixture.file(
        "tests/test_w.py",
        "def test(cache, tmp_path):\n    cache.set('a/b', 1)\n    assert 0\n",
    );
    let before = tree(&fixture.project());
    let set = format!("runner.pytest.interpreter={:?}", python(NEW));
    let ran = fixture.run_with(
        &[
            "run",
            "--set",
            &set,
            "--results-dir",
            "../results",
            "pytest:.",
        ],
        |persea| persea.env("PYTHONDONTWRITEBYTECODE", "1"),
    );
    ran.code(1);
    assert_eq!(tree(&fixture.project()), before);
}

/// All paths below a directory, sorted.
fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[test]
fn options_come_from_the_setting_the_arguments_and_the_keyword_arguments() {
    let text = "import pytest\n@pytest.mark.slow\ndef test_a(): pass\n\
                def test_b(): pass\ndef test_c(): pass\n";
    let fixture = project(&[
        INI,
        ("test_a.py", text),
        ("test_b.py", "def test_z(): pass\n"),
    ]);
    run(
        &fixture,
        &[
            "--set",
            "runner.pytest.args=[\"-k\", \"test_b\"]",
            "pytest:test_a.py",
        ],
    )
    .code(0);
    assert_cases(&fixture, &[("test_a.py::test_b", "PASS")]);
    let recipe = json!({
        "kind": "pytest",
        "uri": "test_a.py",
        "args": ["-k", "not test_c"],
        "kwargs": {"m": "not slow"},
    });
    fixture.recipe("r.json", &[recipe]);
    run(&fixture, &["r.json"]).code(0);
    assert_cases(&fixture, &[("test_a.py::test_b", "PASS")]);
    // Of a directory only the files that have a chosen test run.
    run(
        &fixture,
        &[
            "--set",
            "runner.pytest.args=[\"-k\", \"test_z\"]",
            "pytest:.",
        ],
    )
    .code(0);
    assert_cases(&fixture, &[("test_b.py::test_z", "PASS")]);
    let ran = run(
        &fixture,
        &["--set", "runner.pytest.args=[\"-k\", \"typo\"]", "pytest:."],
    )
    .code(1);
    assert!(
        ran.to_string().contains("all 4 tests of . are deselected"),
        "{ran}"
    );
}

#[test]
fn whole_session_runs_as_one_task_with_workers_of_its_own() {
    let fixture = project(&[
        INI,
        ("test_all.py", ALL),
        ("sub/test_b.py", "def test_z(): pass\n"),
    ]);
    fixture.recipe(
        "r.json",
        &[json!({"kind": "pytest", "uri": ".", "kwargs": {"n": 2}})],
    );
    run(&fixture, &["r.json"]).code(1);
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    for (name, status) in ALL_RESULTS {
        expected.insert(format!(".::{name}"), status.to_owned());
    }
    expected.insert(".::sub/test_b.py::test_z".to_owned(), "PASS".to_owned());
    assert_eq!(cases(&fixture), expected);
}

#[test]
fn options_of_the_whole_suite_do_not_fail_its_files() {
    let ini = "[pytest]\naddopts = -n 2 --cov=. --cov-fail-under=100\n";
    let text = "def test(worker_id): assert worker_id == 'master'\n";
    let fixture = project(&[
        ("pytest.ini", ini),
        ("test_a.py", text),
        ("lib.py", "X = 1\n"),
    ]);
    run(&fixture, &["pytest:."]).code(0);
    assert_cases(&fixture, &[("test_a.py::test", "PASS")]);
    assert!(!fixture.project().join(".coverage").exists());
}

#[test]
fn large_file_runs_in_parts_and_each_test_once() {
    let tests: String = (0..40).map(|n| format!("def test_{n}(): pass\n")).collect();
    let class = "class TestC:\n    def test_x(self): type(self).seen = 1\n    \
                 def test_y(self): assert self.seen\n";
    let fixture = project(&[INI, ("test_a.py", &format!("{tests}{class}"))]);
    run(
        &fixture,
        &["--set", "runner.pytest.part_size=10", "pytest:."],
    )
    .code(0);
    let results = fixture.job().results();
    assert_eq!(results["tests"].as_array().unwrap().len(), 5);
    assert_eq!(cases(&fixture).len(), 42);
    assert_eq!(fixture.job().status("test_a.py (part 5 of 5)"), "PASS");
}

#[test]
fn files_of_unittest_and_pytest_in_one_project_run_once_each() {
    let unittest = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n";
    let fixture = project(&[
        INI,
        ("tests/test_p.py", "def test_p(): pass\n"),
        ("tests/test_u.py", unittest),
        ("tests/suite.py", unittest),
        ("tests/test_helper.py", "X = 1\n"),
    ]);
    run(&fixture, &["tests"]).code(0);
    let results = fixture.job().results();
    let tests = results["tests"].as_array().unwrap().iter();
    let mut names: Vec<&str> = tests.map(|test| test["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "tests/suite.py:T.test_a",
            "tests/test_p.py",
            "tests/test_u.py"
        ]
    );
    assert_cases(
        &fixture,
        &[
            ("tests/test_p.py::test_p", "PASS"),
            ("tests/test_u.py::T::test_a", "PASS"),
        ],
    );
}

#[test]
fn file_of_a_package_runs_once_also_where_pytest_takes_it_for_the_package() {
    for interpreter in [NEW, OLD] {
        let fixture = project(&[
            ("pytest.ini", "[pytest]\npython_files = *.py\n"),
            ("pkg/__init__.py", "def test_init(): pass\n"),
            ("pkg/test_a.py", "def test_a(): pass\n"),
        ]);
        run_with(&fixture, &python(interpreter), &["pytest:."]).code(0);
        assert_cases(
            &fixture,
            &[
                ("pkg/__init__.py::test_init", "PASS"),
                ("pkg/test_a.py::test_a", "PASS"),
            ],
        );
    }
}

#[test]
fn conftest_that_starts_threads_is_imported_by_each_session() {
    let conftest = "import threading, time\n\
                    threading.Thread(target=time.sleep, args=(1,), daemon=True).start()\n";
    let fixture = project(&[
        INI,
        ("conftest.py", conftest),
        ("test_a.py", "def test(): pass\n"),
        ("test_b.py", "def test(): pass\n"),
    ]);
    run(&fixture, &["pytest:."]).code(0);
    assert_cases(
        &fixture,
        &[("test_a.py::test", "PASS"), ("test_b.py::test", "PASS")],
    );
}

#[test]
fn tags_of_a_file_are_its_marks() {
    let fixture = configured();
    let listed = fixture.run(&["list", "tests/test_a.py", "tests/sub/test_b.py"]);
    let expected = "pytest tests/test_a.py (slow)\npytest tests/sub/test_b.py\n";
    assert_eq!(listed.code(0).stdout, expected);
}
