//! Owns the faults of sessions of pytest: early ends, broken projects, unusable interpreters. Each
//! is a clear error of its own task, and none makes a job green.

use serde_json::Value;

use super::{INI, NEW, assert_cases, cases, project, python, run, run_with};
use crate::support::Fixture;

#[test]
fn each_way_to_end_early_is_an_error_that_names_the_test() {
    let begin = "import os, sys, signal, pytest\ndef test_first(): pass\ndef test_ends():\n    ";
    let rest = "\ndef test_last(): pass\n";
    for (body, parts) in [
        (
            "os.kill(os.getpid(), signal.SIGSEGV)",
            [
                "(SIGSEGV) while test_ends ran, at ",
                "test_a.py:4; 1 other test was not run",
            ],
        ),
        (
            "os._exit(0)",
            [
                "exited with code 0",
                "while test_ends ran; 1 other test was not run",
            ],
        ),
        (
            "raise KeyboardInterrupt",
            ["1 in error (test_ends)", "1 not run: KeyboardInterrupt"],
        ),
        (
            "pytest.exit('enough', 0)",
            ["not run", "pytest.exit: enough"],
        ),
        (
            "pytest.exit('enough', 7)",
            ["pytest exited with code 7", "pytest.exit: enough"],
        ),
    ] {
        let fixture = project(&[
            INI,
            ("test_a.py", &format!("{begin}{body}{rest}")),
            ("test_b.py", "def test(): pass\n"),
        ]);
        run(&fixture, &["--max-parallel-tasks", "1", "pytest:."]).code(1);
        let job = fixture.job();
        let (status, reason) = (job.status("test_a.py"), job.reason("test_a.py"));
        assert!(
            status == "ERROR" || reason.contains("in error"),
            "{body}: {status} {reason}"
        );
        for part in parts {
            assert!(reason.contains(part), "{body}: {reason}");
        }
        assert_eq!(cases(&fixture)["test_a.py::test_ends"], "ERROR", "{body}");
        assert_eq!(job.status("test_b.py"), "PASS", "the next session: {body}");
        fixture.assert_no_strays();
    }
}

#[test]
fn hanging_test_is_named_and_its_processes_end() {
    let text = "import subprocess, time\ndef test_first(): pass\ndef test_hangs():\n    \
                subprocess.Popen(['sleep', '600'], start_new_session=True)\n    time.sleep(600)\n";
    let fixture = project(&[INI, ("test_a.py", text)]);
    run(&fixture, &["--task-timeout", "4", "pytest:test_a.py"]).code(8);
    let reason = fixture.job().reason("test_a.py");
    assert!(reason.contains("in case test_hangs"), "{reason}");
    assert_eq!(cases(&fixture)["test_a.py::test_hangs"], "INTERRUPTED");
    fixture.assert_no_strays();
}

#[test]
fn thread_that_outlives_all_tests_is_named_when_the_time_is_up() {
    let text = "import threading, time\ndef test_a(): pass\ndef test_b():\n    \
                threading.Thread(target=time.sleep, args=(600,), name='worker').start()\n";
    for batches in ["run.batches=true", "run.batches=false"] {
        let fixture = project(&[INI, ("test_a.py", text)]);
        let args = ["--set", batches, "--task-timeout", "8", "pytest:test_a.py"];
        run(&fixture, &args).code(8);
        let expected = "Test interrupted: Timeout reached in case exit: all 2 tests have ended, \
                        but the thread worker has not";
        assert_eq!(fixture.job().reason("test_a.py"), expected);
        assert_eq!(cases(&fixture)["test_a.py::test_b"], "PASS");
        fixture.assert_no_strays();
    }
}

#[test]
fn what_a_test_leaves_behind_is_ended_and_said() {
    let text = "import subprocess\ndef test_a():\n    \
                subprocess.Popen(['sleep', '600'], start_new_session=True)\n";
    let fixture = project(&[INI, ("test_a.py", text)]);
    run(&fixture, &["pytest:test_a.py"]).code(0);
    fixture.assert_no_strays();
}

#[test]
fn flood_of_output_costs_nothing_but_its_own_text() {
    let text = "def test_a():\n    for n in range(100000): print('x' * 100)\n    assert 0\n\
                def test_b(): pass\n";
    let fixture = project(&[INI, ("test_a.py", text)]);
    run(&fixture, &["pytest:test_a.py"]).code(1);
    assert_cases(
        &fixture,
        &[("test_a.py::test_a", "FAIL"), ("test_a.py::test_b", "PASS")],
    );
    let events = fixture.job().events_of("case-finished");
    assert!(events[0].to_string().len() < 100_000);
}

/// What a broken project says, in the reason of its task or on the standard error.
#[test]
fn broken_project_says_what_is_wrong() {
    let test = ("test_a.py", "def test(): pass\n");
    for (files, reference, parts) in [
        (
            vec![INI, ("test_a.py", "import nowhere\n")],
            "pytest:.",
            ["collection failed", "No module named 'nowhere'"],
        ),
        (
            vec![INI, ("test_a.py", "def test(:\n")],
            "pytest:test_a.py",
            ["in error (test_a.py)", "SyntaxError"],
        ),
        (
            vec![INI, test],
            "pytest:test_a.py::test_gone",
            ["does not accept its arguments", "test_a.py::test_gone"],
        ),
        (
            vec![INI, test, ("conftest.py", "import nowhere\n")],
            "pytest:test_a.py",
            ["conftest.py", "No module named 'nowhere'"],
        ),
        (
            vec![INI, test, ("conftest.py", "import nowhere\n")],
            "pytest:.",
            ["tests cannot be listed", "No module named 'nowhere'"],
        ),
        (
            vec![
                INI,
                ("sub/conftest.py", "import nowhere\n"),
                ("sub/test_a.py", ""),
            ],
            "pytest:.",
            ["sub", "No module named 'nowhere'"],
        ),
        (
            vec![("pytest.ini", "[pytest]\naddopts = --nope\n"), test],
            "pytest:test_a.py",
            ["does not accept its arguments", "--nope"],
        ),
        (
            vec![("pytest.ini", "[pytest]\naddopts = --nope\n"), test],
            "pytest:.",
            ["tests cannot be listed", "--nope"],
        ),
        (
            vec![("pytest.ini", "[pytest\n"), test],
            "pytest:test_a.py",
            ["does not accept its arguments", "pytest.ini"],
        ),
        (
            vec![INI, ("test_a.py", "X = 1\n")],
            "pytest:test_a.py",
            ["pytest collected no tests", ""],
        ),
        (
            vec![INI, ("lib.py", "X = 1\n")],
            "pytest:.",
            ["pytest collected no tests in .", ""],
        ),
        (
            vec![INI, test],
            "pytest:nowhere.py",
            ["no file or directory nowhere.py", ""],
        ),
        (
            vec![INI, ("conftest.py", "import os\nos._exit(0)\n"), test],
            "pytest:.",
            ["pytest exited with code 0 while it listed", ""],
        ),
        (
            vec![INI, ("conftest.py", "import os\nos._exit(0)\n"), test],
            "pytest:test_a.py",
            ["exited with code 0 while pytest collected", ""],
        ),
        (
            vec![
                INI,
                (
                    "test_a.py",
                    "import os\ndef test():\n    for fd in range(3, 20):\n        \
                     try: os.write(fd, b'rubbish\\n')\n        except OSError: pass\n",
                ),
            ],
            "pytest:test_a.py",
            ["has written to the report", ""],
        ),
    ] {
        let fixture = project(&files);
        let ran = run(&fixture, &[reference]);
        let said = format!("{ran}{}", reasons(&fixture));
        for part in parts {
            assert!(said.contains(part), "{reference} {part}: {said}");
        }
        assert!(!said.contains("PASS 1"), "{reference}: {said}");
    }
}

/// The events of the cases of the latest job; empty without a job.
fn reasons(fixture: &Fixture) -> String {
    match fixture
        .root()
        .join("home/persea/job-results/latest")
        .exists()
    {
        true => Value::from(fixture.job().events_of("case-finished")).to_string(),
        false => String::new(),
    }
}

#[test]
fn interpreter_without_a_usable_pytest_says_what_to_type() {
    let fixture = project(&[INI, ("test_a.py", "def test(): pass\n")]);
    let bare = fixture.script("bare", &format!("exec {} -S \"$@\"", python(NEW)));
    let fake = fixture.script(
        "fake",
        &format!("PYTHONPATH=$PWD/lib exec {} \"$@\"", python(NEW)),
    );
    fixture.file("lib/pytest.py", "__version__ = '3.2'\n");
    for (interpreter, parts) in [
        (
            "/nowhere/python",
            ["set runner.pytest.interpreter", "python"],
        ),
        (
            bare.to_str().unwrap(),
            ["pytest cannot be imported", "-m pip install pytest"],
        ),
        (
            fake.to_str().unwrap(),
            ["pytest 3.2", "-m pip install 'pytest>=6.2'"],
        ),
    ] {
        for reference in ["pytest:test_a.py", "pytest:."] {
            let ran = run_with(&fixture, interpreter, &[reference]);
            for part in parts {
                assert!(
                    ran.to_string().contains(part),
                    "{interpreter} {reference}: {ran}"
                );
            }
            assert!(!ran.to_string().contains("PASS 1"), "{ran}");
        }
    }
}
