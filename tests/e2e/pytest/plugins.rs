//! Owns what plugins of pytest change about a session: workers of pytest-xdist, tests that run
//! again, outcomes of their own, and items of other files. None makes a session green that is not.

use serde_json::json;

use super::{INI, assert_cases, project, run};
use crate::support::Fixture;

/// The setting that gives every session two workers of pytest-xdist.
const WORKERS: [&str; 2] = ["--set", "runner.pytest.args=[\"-n2\"]"];

/// A project whose configuration names other tests than those of the references.
fn with_testpaths() -> Fixture {
    project(&[
        ("pytest.ini", "[pytest]\ntestpaths = named\n"),
        ("named/test_named.py", "def test_named(): pass\n"),
        (
            "other/test_bad.py",
            "def test_bad(worker_id): assert not worker_id\n",
        ),
        (
            "other/test_ok.py",
            "def test_ok(worker_id): assert worker_id.startswith('gw')\n\
             def test_no(): assert 0\nclass TestC:\n    def test_c(self): pass\n",
        ),
    ])
}

#[test]
fn workers_of_xdist_run_what_the_reference_names() {
    let bad = ("other/test_bad.py::test_bad", "FAIL");
    for (reference, expected) in [
        ("pytest:other/test_bad.py", vec![bad]),
        (
            "pytest:other/test_ok.py::test_ok",
            vec![("other/test_ok.py::test_ok::test_ok", "PASS")],
        ),
        (
            "pytest:other/test_ok.py::TestC",
            vec![("other/test_ok.py::TestC::TestC::test_c", "PASS")],
        ),
        (
            "pytest:other",
            vec![
                bad,
                ("other/test_ok.py::test_ok", "PASS"),
                ("other/test_ok.py::test_no", "FAIL"),
                ("other/test_ok.py::TestC::test_c", "PASS"),
            ],
        ),
        (
            "pytest:.",
            vec![("named/test_named.py::test_named", "PASS")],
        ),
    ] {
        for batches in ["run.batches=true", "run.batches=false"] {
            let fixture = with_testpaths();
            let args = [&WORKERS[..], &["--set", batches, reference]].concat();
            run(&fixture, &args);
            assert_cases(&fixture, &expected);
        }
    }
}

#[test]
fn directory_in_one_session_with_workers_is_that_of_the_recipe() {
    let fixture = with_testpaths();
    let recipe = json!({"kind": "pytest", "uri": "other", "kwargs": {"n": 2, "k": "bad"}});
    fixture.recipe("r.json", &[recipe]);
    run(&fixture, &["r.json"]).code(1);
    assert_cases(&fixture, &[("other::other/test_bad.py::test_bad", "FAIL")]);
}

#[test]
fn workers_have_the_configuration_of_the_session() {
    let ini = "[pytest]\naddopts = -n 3 --cov=. --cov-fail-under=100\n";
    let text = "def test(pytestconfig): assert pytestconfig.rootpath.name == 'sub'\n";
    let fixture = project(&[
        INI,
        ("sub/pytest.ini", ini),
        ("sub/lib.py", "X = 1\n"),
        ("sub/deep/test_a.py", text),
        ("sub/deep/test_b.py", "def test_b(): assert 0\n"),
    ]);
    run(
        &fixture,
        &[&WORKERS[..], &["pytest:sub/deep/test_a.py"]].concat(),
    )
    .code(0);
    assert_cases(&fixture, &[("sub/deep/test_a.py::test", "PASS")]);
    // Without workers among its own arguments a directory takes those of the configuration.
    let recipe = json!({"kind": "pytest", "uri": "sub/deep", "args": ["--no-cov"],
                        "kwargs": {"session": "sub"}});
    fixture.recipe("r.json", &[recipe]);
    run(&fixture, &["r.json"]).code(1);
    assert_cases(
        &fixture,
        &[
            ("sub/deep::deep/test_a.py::test", "PASS"),
            ("sub/deep::deep/test_b.py::test_b", "FAIL"),
        ],
    );
}

#[test]
fn file_with_workers_is_not_divided_into_parts() {
    let tests: String = (0..40).map(|n| format!("def test_{n}(): pass\n")).collect();
    let fixture = project(&[INI, ("test_a.py", &tests)]);
    let size = ["--set", "runner.pytest.part_size=10"];
    run(&fixture, &[&WORKERS[..], &size, &["pytest:."]].concat()).code(0);
    let results = fixture.job().results();
    assert_eq!(results["tests"].as_array().unwrap().len(), 1);
    assert_eq!(super::cases(&fixture).len(), 40);
    let part = json!({"kind": "pytest", "uri": "test_a.py", "kwargs": {"n": 2, "part": "1/2"}});
    fixture.recipe("r.json", &[part]);
    run(&fixture, &["r.json"]).code(1);
    let reason = fixture.job().reason("test_a.py");
    assert!(reason.contains("cannot be divided into parts"), "{reason}");
}

#[test]
fn items_that_do_not_belong_to_the_reference_are_an_error() {
    let conftest = "import pytest\n@pytest.hookimpl(tryfirst=True)\n\
                    def pytest_collection(session): session.config.args = ['other.py']\n";
    for reference in ["pytest:test_a.py", "pytest:test_a.py::test_a"] {
        let fixture = project(&[
            INI,
            ("conftest.py", conftest),
            ("test_a.py", "def test_a(): assert 0\n"),
            ("other.py", "def test_b(): pass\n"),
        ]);
        run(&fixture, &[reference]).code(1);
        let name = reference.trim_start_matches("pytest:");
        assert_eq!(fixture.job().status(name), "ERROR");
        let expected = format!("pytest ran other.py::test_b, which does not belong to {name}");
        assert_eq!(fixture.job().reason(name), expected);
    }
}

/// A plugin that runs a test again while it fails, with the reports of pytest-rerunfailures.
const RERUNS: &str = "from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    for attempt in (1, 2, 3):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        again = attempt < 3 and any(report.failed for report in reports)
        for report in reports:
            if again and report.failed:
                report.outcome = 'rerun'
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if not again:
            return True
        item._initrequest()
";

#[test]
fn test_that_runs_again_is_one_case_with_its_last_outcome() {
    let text = "import pytest\nN = []\nL = []\ndef test_always(): assert 0\n\
                def test_flaky():\n    N.append(1)\n    assert len(N) > 1\n\
                @pytest.fixture\ndef late():\n    yield\n    L.append(1)\n    assert len(L) > 2\n\
                def test_late(late): pass\ndef test_once(): pass\n";
    for options in [&[][..], &WORKERS] {
        let fixture = project(&[INI, ("conftest.py", RERUNS), ("test_a.py", text)]);
        run(&fixture, &[options, &["pytest:test_a.py"]].concat()).code(1);
        assert_cases(
            &fixture,
            &[
                ("test_a.py::test_always", "FAIL"),
                ("test_a.py::test_flaky", "PASS"),
                ("test_a.py::test_late", "PASS"),
                ("test_a.py::test_once", "PASS"),
            ],
        );
        let events = fixture.job().events_of("case-finished");
        let of = |name: &str| {
            let is_it = |event: &&serde_json::Value| event["data"]["path"] == json!([name]);
            events.iter().find(is_it).unwrap()["data"].clone()
        };
        let reason = of("test_always")["reason"].clone();
        assert_eq!(reason, "failed in each of 3 attempts: assert 0");
        assert_eq!(of("test_flaky")["reason"], "passed on attempt 2");
        assert_eq!(of("test_late")["reason"], "passed on attempt 3");
        assert_eq!(of("test_once")["reason"], json!(null));
    }
}

#[test]
fn attempt_whose_call_a_plugin_keeps_to_itself_is_no_pass() {
    // As the plugin flaky does.
    let silent = RERUNS.replace(
        "            item.ihook.pytest_runtest_logreport(report=report)",
        "            if report.outcome != 'rerun':\n                \
         item.ihook.pytest_runtest_logreport(report=report)",
    );
    let text = "N = []\ndef test_flaky():\n    N.append(1)\n    assert len(N) > 1\n\
                def test_always(): assert 0\n";
    let fixture = project(&[INI, ("conftest.py", &silent), ("test_a.py", text)]);
    run(&fixture, &["pytest:test_a.py"]).code(1);
    assert_cases(
        &fixture,
        &[
            ("test_a.py::test_flaky", "PASS"),
            ("test_a.py::test_always", "FAIL"),
        ],
    );
}

#[test]
fn test_whose_next_attempt_never_comes_is_an_error() {
    let conftest = RERUNS.replace("if not again:", "if True:");
    let text = "def test_a(): assert 0\ndef test_b(): pass\n";
    let fixture = project(&[INI, ("conftest.py", &conftest), ("test_a.py", text)]);
    run(&fixture, &["pytest:test_a.py"]).code(1);
    assert_cases(
        &fixture,
        &[
            ("test_a.py::test_a", "ERROR"),
            ("test_a.py::test_b", "PASS"),
        ],
    );
    let events = fixture.job().events_of("case-finished");
    let reason = events[1]["data"]["reason"].as_str().unwrap();
    let expected = "attempt 1 failed (assert 0) and was the last: \
                    the session ended before the test did";
    assert_eq!(reason, expected);
}

#[test]
fn outcome_that_pytest_does_not_know_is_no_pass() {
    let conftest = "import pytest\n@pytest.hookimpl(hookwrapper=True)\n\
                    def pytest_runtest_makereport(item):\n    outcome = yield\n    \
                    report = outcome.get_result()\n    \
                    if report.when == 'call' and item.name == 'test_odd': report.outcome = 'odd'\n";
    let text = "def test_odd(): pass\ndef test_ok(): pass\n";
    let fixture = project(&[INI, ("conftest.py", conftest), ("test_a.py", text)]);
    run(&fixture, &["pytest:test_a.py"]).code(1);
    assert_cases(
        &fixture,
        &[
            ("test_a.py::test_odd", "ERROR"),
            ("test_a.py::test_ok", "PASS"),
        ],
    );
    let events = fixture.job().events_of("case-finished");
    let expected = "pytest reported the outcome `odd`";
    assert_eq!(events[0]["data"]["reason"], expected);
}

#[test]
fn test_of_which_only_the_fixtures_are_set_up_is_no_pass() {
    let fixture = project(&[INI, ("test_a.py", "def test_a(): assert 0\n")]);
    let set = ["--set", "runner.pytest.args=[\"--setup-only\"]"];
    run(&fixture, &[&set[..], &["pytest:test_a.py"]].concat()).code(0);
    assert_cases(&fixture, &[("test_a.py::test_a", "SKIP")]);
    assert_eq!(fixture.job().status("test_a.py"), "SKIP");
}
