//! Owns everyday use of `run` and `list`: references, order, parallelism, the job's directory, and
//! the environment of an exec test.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::Fixture;
use crate::support::recipes::noop;

/// The uris of the tests in the order of the plan.
fn planned_uris(fixture: &Fixture) -> Vec<String> {
    let planned = fixture.job().events_of("task-planned");
    let uri = |event: &Value| {
        event["data"]["runnable"]["uri"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    planned.iter().map(uri).collect()
}

const PYTHON_TESTS: &str = "\
import unittest
class T(unittest.TestCase):
    def test_a(self):
        pass
    def test_b(self):
        self.assertEqual(1, 2)
";

/// Fills the directory `tests` with tests of four kinds, files that are no tests, and hidden files.
fn fill_tests(fixture: &Fixture) {
    fixture.script("tests/b.sh", "true");
    fixture.script("tests/a.sh", "true");
    fixture.script("tests/sub/c.sh", "exit 1");
    fixture.script("tests/.hidden.sh", "exit 1");
    fixture.script("tests/.git/hook.sh", "exit 1");
    fixture.file("tests/test_unit.py", PYTHON_TESTS);
    fixture.file(
        "tests/more.json",
        r#"[{"kind": "noop", "uri": "x", "kwargs": {"tags": {"fast": null, "net": null}}}]"#,
    );
    fixture.file("tests/notes.txt", "not a test\n");
    fixture.file(
        "tests/package.json",
        r#"{"name": "left-pad", "version": "1.0.0"}"#,
    );
}

#[test]
fn list_shows_the_kind_of_each_reference() {
    let fixture = Fixture::new();
    fill_tests(&fixture);
    let ran = fixture.run(&["list", "tests"]).code(0);
    let expected = "\
exec-test tests/a.sh
exec-test tests/b.sh
noop x (fast,net)
exec-test tests/sub/c.sh
python-unittest tests/test_unit.py:T.test_a
python-unittest tests/test_unit.py:T.test_b
";
    assert_eq!(ran.stdout, expected);
    let note = "note: no resolver recognizes 2 files in directories; `-v` names them\n";
    assert_eq!(ran.stderr, note);
    fixture.assert_no_job();

    let ran = fixture.run(&["list", "--json", "tests", "nope"]).code(2);
    let lines: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 7, "{ran}");
    assert_eq!(lines[0]["reference"], "tests/a.sh");
    assert_eq!(lines[0]["resolver"], "exec-test");
    assert_eq!(lines[0]["runnable"]["kind"], "exec-test");
    assert_eq!(lines[4]["runnable"]["uri"], "tests/test_unit.py:T.test_a");
    assert_eq!(lines[6]["reference"], "nope");
    assert!(lines[6]["missing"].as_array().unwrap().len() >= 4);
}

#[test]
fn directory_reference_runs_every_test_below_it() {
    let fixture = Fixture::new();
    fill_tests(&fixture);
    fixture.run(&["run", "tests"]).code(1);
    let job = fixture.job();
    assert_eq!(job.results()["total"], 6);
    for (name, status) in [
        ("tests/a.sh", "PASS"),
        ("tests/b.sh", "PASS"),
        ("x", "PASS"),
        ("tests/sub/c.sh", "FAIL"),
        ("tests/test_unit.py:T.test_a", "PASS"),
        ("tests/test_unit.py:T.test_b", "FAIL"),
    ] {
        assert_eq!(job.status(name), status, "{name}");
    }
    assert_eq!(job.test("tests/a.sh")["id"], "1-tests/a.sh");
}

#[test]
fn python_reference_selects_a_file_class_or_test() {
    let fixture = Fixture::new();
    fixture.file("test_unit.py", PYTHON_TESTS);
    fixture.run(&["run", "test_unit.py"]).code(1);
    let job = fixture.job();
    assert_eq!(job.status("test_unit.py:T.test_a"), "PASS");
    assert_eq!(job.status("test_unit.py:T.test_b"), "FAIL");
    assert_eq!(
        job.reason("test_unit.py:T.test_b"),
        "AssertionError: 1 != 2"
    );
    fixture.run(&["run", "test_unit.py:T"]).code(1);
    assert_eq!(fixture.job().results()["total"], 2);
    fixture.run(&["run", "test_unit.py:T.test_a"]).code(0);
    assert_eq!(fixture.job().results()["total"], 1);
}

#[test]
fn dry_run_starts_no_test() {
    let fixture = Fixture::new();
    fixture.script("touch.sh", "touch it-ran");
    let ran = fixture
        .run(&["run", "--dry-run", "./touch.sh", "/bin/false"])
        .code(0);
    assert!(
        ran.stdout
            .contains(&format!("JOB ID     : {}\n", "0".repeat(40))),
        "{ran}"
    );
    let job = fixture.job();
    for name in ["./touch.sh", "/bin/false"] {
        assert_eq!(job.status(name), "CANCEL");
        assert_eq!(job.reason(name), "Test cancelled due to --dry-run");
    }
    assert!(!fixture.project().join("it-ran").exists());
}

#[test]
fn shuffle_seed_repeats_the_order() {
    let fixture = Fixture::new();
    let names = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
    ];
    fixture.recipe("noops.json", &names.map(noop));
    fixture.run(&["run", "noops.json"]).code(0);
    assert_eq!(planned_uris(&fixture), names);
    let ran = fixture.run(&["run", "--shuffle", "noops.json"]).code(0);
    let order = planned_uris(&fixture);
    assert_ne!(order, names, "equal by chance once in 16! = 2·10¹³ runs");
    let seed = ran.stdout.split_once("--shuffle-seed ").unwrap().1;
    let seed = seed.lines().next().unwrap();
    fixture
        .run(&["run", "--shuffle-seed", seed, "noops.json"])
        .code(0);
    assert_eq!(planned_uris(&fixture), order);
    let mut sorted = order;
    sorted.sort();
    assert_eq!(sorted, names);
}

#[test]
fn one_parallel_task_runs_tests_in_sequence() {
    let fixture = Fixture::new();
    for name in ["a.sh", "b.sh", "c.sh", "d.sh"] {
        fixture.script(name, "mkdir alone || exit 1; echo $0 >> order; rmdir alone");
    }
    let args = [
        "run",
        "--max-parallel-tasks",
        "1",
        "./c.sh",
        "./a.sh",
        "./d.sh",
        "./b.sh",
    ];
    fixture.run(&args).code(0);
    assert_eq!(
        fixture.wait_for("order"),
        "./c.sh\n./a.sh\n./d.sh\n./b.sh\n"
    );
    let events = fixture.job().events();
    let steps: Vec<&str> = events
        .iter()
        .filter_map(|event| event["event"].as_str())
        .filter(|event| ["task-started", "task-finished"].contains(event))
        .collect();
    assert_eq!(steps, ["task-started", "task-finished"].repeat(4));
}

#[test]
fn four_parallel_tasks_run_at_the_same_time() {
    let fixture = Fixture::new();
    // Each test ends only after all four have started.
    let waits = "touch here-$(basename $0)
                 for n in a b c d; do until [ -e here-$n.sh ]; do sleep 0.01; done; done";
    for name in ["a.sh", "b.sh", "c.sh", "d.sh"] {
        fixture.script(name, waits);
    }
    let args = [
        "run",
        "--max-parallel-tasks",
        "4",
        "./a.sh",
        "./b.sh",
        "./c.sh",
        "./d.sh",
    ];
    fixture.run(&args).code(0);
    assert_eq!(fixture.job().results()["pass"], 4);
}

#[test]
fn help_and_version_are_printed() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["--version"]).code(0);
    assert_eq!(
        ran.stdout,
        format!("persea {}\n", env!("CARGO_PKG_VERSION"))
    );
    let ran = fixture.run(&["--help"]).code(0);
    for word in [
        "run",
        "list",
        "plugin",
        "report",
        "config",
        "Exit codes",
        "--plugin-dir",
    ] {
        assert!(ran.stdout.contains(word), "{word}: {ran}");
    }
    for command in [
        &["run"][..],
        &["list"],
        &["report"],
        &["config"],
        &["plugin"],
        &["plugin", "inspect"],
        &["plugin", "pack"],
    ] {
        let mut args = command.to_vec();
        args.push("--help");
        let ran = fixture.run(&args).code(0);
        assert!(
            ran.stdout.contains("Usage: persea ") && ran.stderr.is_empty(),
            "{ran}"
        );
    }
}

#[test]
fn job_directory_has_avocados_layout() {
    let fixture = Fixture::new();
    fixture.run(&["run", "/bin/true", "/bin/false"]).code(1);
    let first = fixture.job().0;
    fixture.run(&["run", "/bin/true"]).code(0);
    let job = fixture.job();
    assert_ne!(job.0, first, "`latest` points to the last job");
    let link = std::fs::read_link(job.0.parent().unwrap().join("latest")).unwrap();
    assert_eq!(
        link.as_os_str(),
        job.0.file_name().unwrap(),
        "the link is relative, so that the results directory can be moved"
    );

    let id = job.read("id");
    assert_eq!(id.trim_end().len(), 40);
    let name = job.0.file_name().unwrap().to_str().unwrap();
    assert!(
        name.starts_with("job-20") && name.ends_with(&id[..7]),
        "{name}"
    );
    for file in [
        "job.log",
        "results.json",
        "results.xml",
        "results.tap",
        "events.jsonl",
    ] {
        assert!(job.0.join(file).is_file(), "{file}");
    }
    let by_status = first.join("test-results/by-status/FAIL/2-_bin_false");
    assert!(
        by_status.join("stdout").is_file(),
        "{}",
        by_status.display()
    );
}

#[test]
fn exec_test_gets_avocados_environment() {
    let fixture = Fixture::new();
    let print = r#"env > env.txt
                   printf '%s\n' "$@" > args.txt
                   pwd > pwd.txt
                   echo x > "$AVOCADO_TEST_WORKDIR/w"
                   echo y > "$AVOCADO_TEST_OUTPUTDIR/left"
                   ls -d "$AVOCADO_TESTS_COMMON_TMPDIR" "$AVOCADO_TEST_LOGDIR"
                   cat
                   ls /proc/self/fd > fds.txt"#;
    fixture.script("sub/print.sh", print);
    let recipe = r#"{"kind": "exec-test", "uri": "sub/print.sh",
        "args": ["-c", "a b", "", "*", "ü"],
        "kwargs": {"COLOUR": "dark red", "COUNT": 3, "DEEP": true}}"#;
    fixture.file("r.json", recipe);
    fixture.run(&["run", "r.json"]).code(0);
    let job = fixture.job();
    let variables: BTreeMap<String, String> = fixture
        .wait_for("env.txt")
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let directory = job.directory("sub/print.sh").display().to_string();
    let project = fixture.project().canonicalize().unwrap();
    for (name, value) in [
        ("COLOUR", "dark red"),
        ("COUNT", "3"),
        ("DEEP", "True"),
        ("AVOCADO_VERSION", "113.0"),
        (
            "AVOCADO_TEST_BASEDIR",
            project.join("sub").to_str().unwrap(),
        ),
        ("AVOCADO_TEST_OUTPUTDIR", &directory),
        ("AVOCADO_TEST_LOGDIR", &directory),
        ("AVOCADO_TEST_LOGFILE", &format!("{directory}/debug.log")),
    ] {
        assert_eq!(
            variables.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    assert_eq!(fixture.wait_for("args.txt"), "-c\na b\n\n*\nü\n");
    assert_eq!(
        fixture.wait_for("pwd.txt").trim_end(),
        project.to_str().unwrap()
    );
    assert_eq!(job.artifact("sub/print.sh", "left"), "y\n");
    assert_eq!(
        job.artifact("sub/print.sh", "stdout").lines().count(),
        2,
        "`cat` prints nothing, because the standard input is empty"
    );
    // The standard streams, and 3 for the directory that `ls` reads: no descriptor of the host
    // leaks into a test.
    assert_eq!(fixture.wait_for("fds.txt"), "0\n1\n2\n3\n");
    // The working directories exist only while the test runs.
    let work = &variables["AVOCADO_TEST_WORKDIR"];
    assert!(!std::path::Path::new(work).exists(), "{work}");
    assert!(!std::path::Path::new(&variables["AVOCADO_TESTS_COMMON_TMPDIR"]).exists());
}

#[test]
fn job_leaves_no_temporary_files() {
    let fixture = Fixture::new();
    fixture.script(
        "leave.sh",
        "echo x > \"$AVOCADO_TEST_WORKDIR/x\"; mkdir -p \"$AVOCADO_TESTS_COMMON_TMPDIR/y/z\"",
    );
    fixture.run(&["run", "./leave.sh", "/bin/false"]).code(1);
    let left: Vec<String> = std::fs::read_dir(fixture.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["home", "project"].contains(&name.as_str()))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
