//! Owns batches: one instance of a runner gets many tasks. Their results are those of tasks alone,
//! and a fault in a batch fails one task.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::plugins::install;
use crate::support::recipes::noop;
use crate::support::{Fixture, Ran};

/// Runs tasks of the kind `batch`. The plugin `hostile-batch` does with each what its uri says.
fn run(uris: &[&str], options: &[&str], code: i32) -> (Fixture, Ran) {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-batch", "hostile-idle"]);
    let task = |(number, uri): (usize, &&str)| {
        let kind = if *uri == "idle" { "idle" } else { "batch" };
        json!({"kind": kind, "uri": uri, "identifier": format!("{number}-{uri}")})
    };
    let tasks: Vec<Value> = uris.iter().enumerate().map(task).collect();
    fixture.recipe("job.json", &tasks);
    let args = ["run", "--plugin-dir", "plugins", "--max-parallel-tasks"];
    let args = [&args, &["1"][..], options, &["job.json"]].concat();
    let ran = fixture.run(&args).code(code);
    assert_eq!(fixture.job().results()["total"], uris.len());
    fixture.assert_no_strays();
    (fixture, ran)
}

/// The counts that tasks report: how many tasks their instance has had, themselves included. A
/// count of 1 begins a new batch.
fn counts(fixture: &Fixture) -> Vec<u64> {
    let finished = fixture.job().events_of("task-finished");
    let counts = finished.iter().map(|event| event["data"]["count"].as_u64());
    counts.flatten().collect()
}

#[test]
fn batch_gives_each_task_its_own_result() {
    let (fixture, _) = run(&["a", "says", "b", "bad", "c", "says"], &[], 1);
    assert_eq!(counts(&fixture), [1, 3, 5]);
    let job = fixture.job();
    assert!(
        job.reason("3-bad").contains("this one went wrong"),
        "{}",
        job.reason("3-bad")
    );
    for (name, id) in [("1-says", "2-1-says"), ("5-says", "6-5-says")] {
        assert_eq!(job.artifact(name, "stdout"), format!("{id}\n"));
        assert_eq!(job.test(name)["whiteboard"], id);
    }
}

#[test]
fn batches_can_be_switched_off() {
    let (fixture, _) = run(&["a", "b"], &["--set", "run.batches=false"], 0);
    assert_eq!(fixture.job().reason("1-b"), "alone");
}

#[test]
fn crash_in_a_batch_fails_only_the_current_task() {
    let (fixture, _) = run(
        &["a", "panic", "b", "error", "c", "leave", "d", "idle", "e"],
        &[],
        1,
    );
    assert_eq!(counts(&fixture), [1, 1, 1, 1, 1]);
    let job = fixture.job();
    for (name, why) in [
        ("1-panic", "the deep end"),
        ("3-error", "it wants no more"),
        ("5-leave", "without a result for this task"),
        ("7-idle", "without a result for this task"),
    ] {
        assert_eq!(job.status(name), "ERROR");
        assert!(job.reason(name).contains(why), "{}", job.reason(name));
    }
    let started = job.tasks_with("task-started");
    assert_eq!(started.len(), 9, "each task starts once: {started:?}");
}

#[test]
fn batch_must_finish_a_task_before_it_takes_the_next() {
    let (fixture, _) = run(&["greedy", "twice", "a"], &[], 0);
    let job = fixture.job();
    assert_eq!(
        job.reason("0-greedy"),
        "the previous task is not finished: call `finish-task` before `take-task`"
    );
    assert_eq!(job.status("1-twice"), "PASS");
    assert_eq!(counts(&fixture), [3]);
}

#[test]
fn timeout_applies_to_each_task_of_a_batch() {
    let (fixture, _) = run(
        &["a", "sleep", "b", "loop", "c"],
        &["--task-timeout", "0.5"],
        8,
    );
    assert_eq!(counts(&fixture), [1, 1, 1]);
    let job = fixture.job();
    for name in ["1-sleep", "3-loop"] {
        assert_eq!(job.status(name), "INTERRUPTED");
        assert!(job.reason(name).contains("Timeout"), "{}", job.reason(name));
    }
}

#[test]
fn leftover_processes_are_killed_when_the_batch_ends() {
    let (fixture, ran) = run(&["stray", "a"], &[], 0);
    assert_eq!(counts(&fixture), [2]);
    assert!(ran.stdout.contains(" [2 processes left behind]\n"), "{ran}");
}

#[test]
fn failfast_ends_a_batch_after_the_first_failure() {
    let (fixture, _) = run(&["a", "bad", "b", "c"], &["--failfast"], 1);
    let job = fixture.job();
    assert_eq!(job.status("2-b"), "SKIP");
    assert_eq!(counts(&fixture), [1]);
}

#[test]
fn failed_task_is_retried_in_a_batch() {
    let (fixture, _) = run(&["a", "bad", "b"], &["--retries", "2"], 1);
    assert_eq!(fixture.job().tasks_with("task-retried").len(), 2);
}

#[test]
fn batch_runs_beside_tasks_of_another_kind() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-batch"]);
    let tasks: Vec<Value> = (0..10)
        .flat_map(|n| {
            let batch = json!({"kind": "batch", "uri": format!("t{n}")});
            [batch, noop(&format!("noop{n}"))]
        })
        .collect();
    fixture.recipe("job.json", &tasks);
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--max-parallel-tasks",
        "2",
        "job.json",
    ];
    fixture.run(&args).code(0);
    assert_eq!(fixture.job().results()["pass"], 20);
}

#[test]
fn output_of_a_tool_belongs_to_the_test_that_runs_meanwhile() {
    let (fixture, _) = run(&["tool", "tells", "a", "bad", "b"], &[], 1);
    let job = fixture.job();
    let read = |path: &str| std::fs::read_to_string(job.0.join(path)).ok();
    let printed = job.events_of("task-finished").into_iter().map(|event| {
        let directory = event["data"]["directory"].as_str().unwrap();
        read(&format!("{directory}/stderr")).unwrap_or_default()
    });
    let printed: Vec<String> = printed.collect();
    assert_eq!(printed, ["", "during the test\n", "", "", ""]);

    // Each test that ended after the tool had printed by itself names the batch's directory.
    let named = |event: &Value| event["data"].get("batch-directory").cloned();
    let named: Vec<_> = job.events_of("task-finished").iter().map(named).collect();
    let directory = "test-results/batch.1";
    let expected = |number: usize| (number > 1).then(|| Value::from(directory));
    assert_eq!(named, (0..5).map(expected).collect::<Vec<_>>());
    let rest = read(&format!("{directory}/stderr")).unwrap();
    assert_eq!(rest, "between two tests\n");

    let absolute = job.0.join(directory);
    let results = job.results();
    let tests = results["tests"].as_array().unwrap().iter();
    let named: Vec<_> = tests
        .map(|test| test.get("batch_logdir").cloned())
        .collect();
    let expected = |number: usize| (number > 1).then(|| absolute.to_str().unwrap().into());
    assert_eq!(named, (0..5).map(expected).collect::<Vec<_>>());
    let line = format!("output of its batch while no test ran: {directory}\n");
    let xml = job.read("results.xml");
    let named: Vec<bool> = xml
        .split("<testcase ")
        .skip(1)
        .map(|case| case.contains(&line))
        .collect();
    assert_eq!(named, [false, false, true, true, true], "{xml}");
    assert_eq!(
        job.read("results.tap")
            .matches(&format!("# {line}"))
            .count(),
        3
    );
}

/// Python tests that misbehave in as many ways as tests in one interpreter could disturb each
/// other.
const TESTS: &str = r#"
import atexit, os, signal, subprocess, sys, threading, time, unittest
print("imported")
state = []
class T(unittest.TestCase):
    def test_pass(self): print("out"); print("err", file=sys.stderr)
    def test_fail(self): self.assertEqual(1, 2)
    def test_error(self): raise OSError("no")
    def test_skip(self): self.skipTest("not now")
    def test_state_1(self): state.append(1); self.assertEqual(state, [1])
    def test_state_2(self): state.append(1); self.assertEqual(state, [1])
    def test_environ_1(self): self.assertNotIn("X", os.environ); os.environ["X"] = "1"
    def test_environ_2(self): self.assertNotIn("X", os.environ); os.environ["X"] = "1"
    def test_cwd_1(self): self.assertTrue(os.path.exists("test_all.py")); os.chdir("/")
    def test_cwd_2(self): self.assertTrue(os.path.exists("test_all.py")); os.chdir("/")
    def test_exits(self): sys.exit(3)
    def test_leaves(self): os._exit(4)
    def test_crashes(self): os.kill(os.getpid(), signal.SIGSEGV)
    def test_atexit(self): atexit.register(print, "at exit")
    def test_exit_code(self): atexit.register(os._exit, 5)
    def test_thread(self): threading.Thread(target=lambda: (time.sleep(0.2), print("late"))).start()
    def test_stray(self): subprocess.Popen(["sleep", "1000"], start_new_session=True)
    def test_group(self): os.killpg(0, signal.SIGKILL)
    def test_closes(self): os.closerange(0, 100)
    def test_workdir_1(self): self.leave()
    def test_workdir_2(self): self.leave()
    def test_outputdir(self):
        with open(os.environ["AVOCADO_TEST_OUTPUTDIR"] + "/left", "w") as file: file.write("x")
    def test_stdin(self): self.assertEqual(sys.stdin.read(), "")
    def leave(self):
        directory = os.environ["AVOCADO_TEST_WORKDIR"]
        self.assertEqual(os.listdir(directory), [])
        os.makedirs(directory + "/a/b")
"#;

/// The Python files beside `test_all.py` that have one test, each with one way of being imported.
fn single_test_files() -> [(&'static str, String); 6] {
    let class = "class T(unittest.TestCase):\n    def test(self): pass\n";
    let prints = |text: &str| format!("import unittest\nprint('{text}')\n{class}");
    let threads = "import threading, time, unittest\n\
                   threading.Thread(target=time.sleep, args=(0.1,)).start()\n";
    let skips = "import unittest\nraise unittest.SkipTest('whole file')\n";
    [
        ("test_broken.py", format!("import no_such_module\n{class}")),
        ("test_ends.py", format!("import os\nos._exit(9)\n{class}")),
        ("test_skips.py", format!("{skips}{class}")),
        ("test_threads.py", format!("{threads}{class}")),
        ("a/test_same.py", prints("a")),
        ("b/test_same.py", prints("b")),
    ]
}

/// The lines of a test's file that do not differ from run to run: without unittest's time, and
/// without where in the interpreter a test crashed.
fn stable_lines(text: &str) -> Vec<&str> {
    let varies = |line: &str| {
        line.starts_with("Ran 1 test")
            || line.ends_with(" is still running")
            || line.starts_with("  File \"")
            || line.starts_with("Current thread")
    };
    text.lines().filter(|line| !varies(line)).collect()
}

/// Runs all these tests. Returns for each its status, reason, class, exit code, number of leftover
/// processes, and files, as text.
fn results(options: &[&str]) -> BTreeMap<String, String> {
    let fixture = Fixture::new();
    fixture.file("test_all.py", TESTS);
    let mut references: Vec<String> = TESTS
        .split("def ")
        .filter_map(|part| Some(part.split_once("(self)")?.0))
        .filter(|name| name.starts_with("test"))
        .map(|name| format!("test_all.py:T.{name}"))
        .collect();
    for (file, text) in single_test_files() {
        fixture.file(file, text);
        references.push(format!("{file}:T.test"));
    }
    let runnables: Vec<Value> = references
        .iter()
        .map(|uri| json!({"kind": "python-unittest", "uri": uri}))
        .collect();
    fixture.recipe("job.json", &runnables);
    let args = ["run", "--max-parallel-tasks", "1"];
    let args = [&args, options, &["job.json"]].concat();
    fixture.run(&args).code(1);
    fixture.assert_no_strays();
    let job = fixture.job();
    let finished = job.events_of("task-finished");
    finished
        .iter()
        .map(|event| {
            let data = &event["data"];
            let mut result = String::new();
            for name in [
                "status",
                "reason",
                "class-name",
                "returncode",
                "left-behind",
            ] {
                result += &format!("{name}: {}\n", data[name]);
            }
            let directory = job.0.join(data["directory"].as_str().unwrap());
            let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().flatten().collect();
            files.sort_by_key(|file| file.file_name());
            for file in files.iter().filter(|file| file.file_name() != "debug.log") {
                let text = std::fs::read_to_string(file.path()).unwrap();
                let lines = stable_lines(&text);
                result += &format!("{:?}: {lines:#?}\n", file.file_name());
            }
            (data["name"].as_str().unwrap().to_owned(), result)
        })
        .collect()
}

#[test]
fn python_tests_have_the_same_results_in_batches_as_alone() {
    let (alone, in_batches) = (results(&["--set", "run.batches=false"]), results(&[]));
    assert_eq!(alone.len(), in_batches.len());
    for (name, expected) in &alone {
        assert_eq!(&in_batches[name], expected, "{name}");
    }
}

#[test]
fn python_tests_share_an_interpreter_unless_their_variables_differ() {
    let fixture = Fixture::new();
    // The parent's process id tells the interpreters apart.
    let text = "import os, unittest\n\
                class T(unittest.TestCase):\n    \
                    def test(self):\n        \
                        print(os.getppid(), os.environ.get('PYTHONHASHSEED'), hash('a'))\n";
    fixture.file("test_a.py", text);
    let seeds = [None, None, Some("1"), Some("1"), Some("2")];
    let tasks = seeds.iter().enumerate().map(|(number, seed)| {
        let env = seed.map_or(String::new(), |seed| {
            format!("env = {{ PYTHONHASHSEED = \"{seed}\" }}")
        });
        format!(
            "[[suite.task]]\nkind = \"python-unittest\"\nuri = \"test_a.py:T.test\"\n\
             identifier = \"{number}\"\n{env}\n"
        )
    });
    let tasks: String = tasks.collect();
    fixture.file("job.toml", format!("[[suite]]\nname = \"s\"\n{tasks}"));
    fixture
        .run(&["run", "--max-parallel-tasks", "1", "--job", "job.toml"])
        .code(0);
    let printed: Vec<String> = (0..5)
        .map(|n| fixture.job().artifact(&n.to_string(), "stdout"))
        .map(|text| text.lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(printed[0], printed[1]);
    assert_eq!(printed[2], printed[3]);
    assert_ne!(printed[1], printed[2]);
    assert_ne!(printed[3], printed[4]);
    assert!(printed[4].contains(" 2 "), "{printed:?}");
}
