//! Many tasks for one instance of a runner: the same results as one by one, and whatever goes wrong costs one task.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::plugins::install;
use crate::support::{Ran, Sandbox};

/// A job of tasks of the kind `batch`, which a plugin treats as their uris say.
fn run(uris: &[&str], options: &[&str], code: i32) -> (Sandbox, Ran) {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["hostile-batch", "hostile-idle"]);
    let task = |(number, uri): (usize, &&str)| {
        let kind = if *uri == "idle" { "idle" } else { "batch" };
        json!({"kind": kind, "uri": uri, "identifier": format!("{number}-{uri}")})
    };
    let tasks: Vec<Value> = uris.iter().enumerate().map(task).collect();
    sandbox.file("job.json", json!(tasks).to_string());
    let mut args = vec![
        "run",
        "--plugin-dir",
        "plugins",
        "--max-parallel-tasks",
        "1",
    ];
    args.extend(options);
    args.push("job.json");
    let ran = sandbox.run(&args).code(code);
    assert_eq!(sandbox.job().results()["total"], uris.len());
    sandbox.assert_no_strays();
    (sandbox, ran)
}

/// How often a batch began: each task says how many its instance has had.
fn counts(sandbox: &Sandbox) -> Vec<u64> {
    let events = sandbox.job().events();
    let all = events.iter().filter(|it| it["event"] == "task-finished");
    all.filter_map(|it| it["data"]["count"].as_u64()).collect()
}

#[test]
fn batch_gives_each_task_its_own_result() {
    let (sandbox, _) = run(&["a", "says", "b", "bad", "c", "says"], &[], 1);
    assert_eq!(counts(&sandbox), [1, 3, 5]);
    let job = sandbox.job();
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
    let (sandbox, _) = run(&["a", "b"], &["--set", "run.batches=false"], 0);
    assert_eq!(sandbox.job().reason("1-b"), "alone");
}

#[test]
fn crash_in_a_batch_fails_only_the_current_task() {
    let (sandbox, _) = run(
        &["a", "panic", "b", "error", "c", "leave", "d", "idle", "e"],
        &[],
        1,
    );
    assert_eq!(counts(&sandbox), [1, 1, 1, 1, 1]);
    let job = sandbox.job();
    for (name, why) in [
        ("1-panic", "the deep end"),
        ("3-error", "it wants no more"),
        ("5-leave", "without saying how this task went"),
        ("7-idle", "without saying how this task went"),
    ] {
        assert_eq!(job.status(name), "ERROR");
        assert!(job.reason(name).contains(why), "{}", job.reason(name));
    }
    let events = job.events();
    let started = events.iter().filter(|it| it["event"] == "task-started");
    assert_eq!(started.count(), 9, "each is run once");
}

#[test]
fn batch_must_finish_a_task_before_it_takes_the_next() {
    let (sandbox, _) = run(&["greedy", "twice", "a"], &[], 0);
    let job = sandbox.job();
    assert!(
        job.reason("0-greedy").contains("not finished"),
        "{}",
        job.reason("0-greedy")
    );
    assert_eq!(job.status("1-twice"), "PASS");
    assert_eq!(counts(&sandbox), [3]);
}

#[test]
fn timeout_applies_to_each_task_of_a_batch() {
    let (sandbox, _) = run(
        &["a", "sleep", "b", "loop", "c"],
        &["--task-timeout", "0.5"],
        8,
    );
    assert_eq!(counts(&sandbox), [1, 1, 1]);
    let job = sandbox.job();
    for name in ["1-sleep", "3-loop"] {
        assert_eq!(job.status(name), "INTERRUPTED");
        assert!(job.reason(name).contains("Timeout"), "{}", job.reason(name));
    }
}

#[test]
fn leftover_processes_are_killed_when_the_batch_ends() {
    let (sandbox, ran) = run(&["stray", "a"], &[], 0);
    assert_eq!(counts(&sandbox), [2]);
    assert!(ran.stdout.contains("2 processes left behind"), "{ran}");
}

#[test]
fn failfast_ends_a_batch_after_the_first_failure() {
    let (sandbox, _) = run(&["a", "bad", "b", "c"], &["--failfast"], 1);
    let job = sandbox.job();
    assert_eq!(job.status("2-b"), "SKIP");
    assert_eq!(counts(&sandbox), [1]);
}

#[test]
fn failed_task_is_retried_in_a_batch() {
    let (sandbox, _) = run(&["a", "bad", "b"], &["--retries", "2"], 1);
    let events = sandbox.job().events();
    let retried = events.iter().filter(|it| it["event"] == "task-retried");
    assert_eq!(retried.count(), 2);
}

#[test]
fn batch_runs_beside_tasks_of_another_kind() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["hostile-batch"]);
    let tasks: Vec<Value> = (0..10)
        .flat_map(|n| {
            let noop = json!({"kind": "noop", "uri": format!("noop{n}")});
            [json!({"kind": "batch", "uri": format!("t{n}")}), noop]
        })
        .collect();
    sandbox.file("job.json", json!(tasks).to_string());
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--max-parallel-tasks",
        "2",
        "job.json",
    ];
    sandbox.run(&args).code(0);
    assert_eq!(sandbox.job().results()["pass"], 20);
}

/// Tests that do all that tests should not.
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

/// Of each test: its status, its reason, its class, its exit code, what it left behind, and its files.
fn results(options: &[&str]) -> BTreeMap<String, String> {
    let sandbox = Sandbox::new();
    sandbox.file("test_all.py", TESTS);
    let one = "class T(unittest.TestCase):\n    def test(self): pass\n";
    sandbox.file("test_broken.py", "import no_such_module\n".to_owned() + one);
    sandbox.file("test_ends.py", "import os\nos._exit(9)\n".to_owned() + one);
    let skips = "import unittest\nraise unittest.SkipTest('whole file')\n".to_owned() + one;
    sandbox.file("test_skips.py", skips);
    let threads = "import threading, time, unittest\nthreading.Thread(target=time.sleep, args=(0.1,)).start()\n";
    sandbox.file("test_threads.py", threads.to_owned() + one);
    let same = |text: &str| format!("import unittest\nprint('{text}')\n{one}");
    sandbox.file("a/test_same.py", same("a"));
    sandbox.file("b/test_same.py", same("b"));
    let mut references: Vec<String> = TESTS
        .split("def ")
        .filter_map(|part| Some(part.split_once("(self)")?.0))
        .filter(|name| name.starts_with("test"))
        .map(|name| format!("test_all.py:T.{name}"))
        .collect();
    let files = [
        "test_broken.py",
        "test_ends.py",
        "test_skips.py",
        "test_threads.py",
    ];
    let files = files
        .into_iter()
        .chain(["a/test_same.py", "b/test_same.py"]);
    references.extend(files.map(|file| format!("{file}:T.test")));
    let runnables: Vec<Value> = references
        .iter()
        .map(|uri| json!({"kind": "python-unittest", "uri": uri}))
        .collect();
    sandbox.file("job.json", json!(runnables).to_string());
    let mut args = vec!["run", "--max-parallel-tasks", "1"];
    args.extend(options);
    args.push("job.json");
    sandbox.run(&args).code(1);
    sandbox.assert_no_strays();
    let job = sandbox.job();
    let events = job.events();
    let ended = events.iter().filter(|it| it["event"] == "task-finished");
    ended
        .map(|event| {
            let data = &event["data"];
            let mut said = String::new();
            for name in [
                "status",
                "reason",
                "class-name",
                "returncode",
                "left-behind",
            ] {
                said += &format!("{name}: {}\n", data[name]);
            }
            let directory = job.0.join(data["directory"].as_str().unwrap());
            let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().flatten().collect();
            files.sort_by_key(|file| file.file_name());
            for file in files.iter().filter(|file| file.file_name() != "debug.log") {
                let text = std::fs::read_to_string(file.path()).unwrap();
                // What unittest measures differs each time, and a crash says where it was.
                let lines = text.lines().filter(|line| {
                    !line.starts_with("Ran 1 test") && !line.ends_with(" is still running")
                });
                let lines = lines.filter(|line| {
                    !line.starts_with("  File \"") && !line.starts_with("Current thread")
                });
                let lines: Vec<&str> = lines.collect();
                said += &format!("{:?}: {lines:#?}\n", file.file_name());
            }
            (data["name"].as_str().unwrap().to_owned(), said)
        })
        .collect()
}

#[test]
fn python_tests_have_the_same_results_in_batches_as_alone() {
    let (alone, together) = (results(&["--set", "run.batches=false"]), results(&[]));
    assert_eq!(alone.len(), together.len());
    for (name, expected) in &alone {
        assert_eq!(&together[name], expected, "{name}");
    }
}

#[test]
fn python_tests_share_an_interpreter_unless_their_variables_differ() {
    let sandbox = Sandbox::new();
    let text = "import os, unittest\nclass T(unittest.TestCase):\n    def test(self): print(os.getppid(), os.environ.get('PYTHONHASHSEED'), hash('a'))\n";
    sandbox.file("test_a.py", text);
    let seeds = [None, None, Some("1"), Some("1"), Some("2")];
    let tests: Vec<Value> = seeds
        .iter()
        .enumerate()
        .map(|(n, seed)| {
            let env = seed.map_or(json!({}), |seed| json!({"PYTHONHASHSEED": seed}));
            json!({"kind": "python-unittest", "uri": "test_a.py:T.test", "identifier": n.to_string(), "env": env})
        })
        .collect();
    let suite: Vec<String> = tests
        .iter()
        .map(|test| {
            let env = &test["env"];
            let env = env["PYTHONHASHSEED"].as_str().map_or(String::new(), |seed| {
                format!("env = {{ PYTHONHASHSEED = \"{seed}\" }}")
            });
            format!(
                "[[suite.task]]\nkind = \"python-unittest\"\nuri = \"test_a.py:T.test\"\nidentifier = {}\n{env}\n",
                test["identifier"]
            )
        })
        .collect();
    sandbox.file(
        "job.toml",
        format!("[[suite]]\nname = \"s\"\n{}", suite.concat()),
    );
    sandbox
        .run(&["run", "--max-parallel-tasks", "1", "--job", "job.toml"])
        .code(0);
    let said: Vec<String> = (0..5)
        .map(|n| sandbox.job().artifact(&n.to_string(), "stdout"))
        .map(|text| text.lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(said[0], said[1]);
    assert_eq!(said[2], said[3]);
    assert_ne!(said[1], said[2]);
    assert_ne!(said[3], said[4]);
    assert!(said[4].contains(" 2 "), "{said:?}");
}
