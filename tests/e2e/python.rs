//! Owns results of Python's unittest: those of `python -m unittest`, with true reasons; and the
//! environment of such tests.

use serde_json::json;

use crate::support::Sandbox;

const PASSING_CLASS: &str = "class T(unittest.TestCase):\n    def test(self): pass\n";

#[test]
fn package_is_imported_from_the_top_level_of_the_project() {
    let sandbox = Sandbox::new();
    sandbox.file("pkg/__init__.py", "");
    let base = "import unittest\n\
                class Base(unittest.TestCase):\n    \
                    def test(self):\n        \
                        self.assertEqual(type(self).__module__, 'pkg.tests.test_a')\n";
    sandbox.file("pkg/base.py", base);
    sandbox.file("pkg/tests/__init__.py", "");
    sandbox.file("pkg/tests/string.py", "raise Exception('not this one')\n");
    let test = "from ..base import Base\nimport pkg.base, string\nclass Base(Base): pass\n";
    sandbox.file("pkg/tests/test_a.py", test);
    sandbox.file(
        "off/__init__.py",
        "import unittest\nraise unittest.SkipTest('no lib')\n",
    );
    sandbox.file("off/test_b.py", format!("import unittest\n{PASSING_CLASS}"));
    for batches in ["true", "false"] {
        let set = format!("run.batches={batches}");
        let args = ["run", "--set", &set, "pkg/tests/test_a.py", "off/test_b.py"];
        sandbox.run(&args).code(0);
        let job = sandbox.job();
        assert_eq!(job.status("pkg/tests/test_a.py:Base.test"), "PASS");
        assert_eq!(job.reason("off/test_b.py:T.test"), "no lib");
    }
}

#[test]
fn unexpected_success_fails() {
    let sandbox = Sandbox::new();
    let test = "import unittest\n\
                class T(unittest.TestCase):\n    \
                    @unittest.expectedFailure\n    \
                    def test(self): pass\n";
    sandbox.file("test_a.py", test);
    sandbox.run(&["run", "test_a.py"]).code(1);
    assert_eq!(
        sandbox.job().reason("test_a.py:T.test"),
        "unexpected success"
    );
}

#[test]
fn end_of_the_process_in_a_class_fixture_is_an_error() {
    let sandbox = Sandbox::new();
    let class = |name: &str, end: &str| {
        format!(
            "class {name}(unittest.TestCase):\n    \
                 @classmethod\n    \
                 def tearDownClass(cls): {end}\n    \
                 def test(self): pass\n"
        )
    };
    let aborts = class("Aborts", "os.abort()");
    let exits = class("Exits", "os._exit(3)");
    let succeeds = class("Succeeds", "os._exit(0)");
    // After the result, when the interpreter ends.
    let later = class("Later", "atexit.register(os._exit, 5)");
    let text = format!("import atexit, os, unittest\n{aborts}{exits}{succeeds}{later}");
    sandbox.file("test_a.py", text);
    for batches in ["true", "false"] {
        let set = format!("run.batches={batches}");
        sandbox.run(&["run", "--set", &set, "test_a.py"]).code(1);
        let job = sandbox.job();
        for (class, status, reason) in [
            (
                "Aborts",
                "ERROR",
                "the test's process ended by signal 6 (SIGABRT) before the test was done",
            ),
            (
                "Exits",
                "ERROR",
                "the test's process exited with code 3 before the test was done",
            ),
            (
                "Succeeds",
                "ERROR",
                "the test's process exited with code 0 before the test was done",
            ),
            (
                "Later",
                "WARN",
                "the test passed, but its process exited with code 5",
            ),
        ] {
            let name = format!("test_a.py:{class}.test");
            let result = (job.status(&name), job.reason(&name));
            assert_eq!(result, (status.to_owned(), reason.to_owned()), "{batches}");
        }
    }
}

#[test]
fn module_imported_relatively_by_several_tests_is_imported_once() {
    let sandbox = Sandbox::new();
    sandbox.file("pkg/__init__.py", "");
    sandbox.file("pkg/tests/__init__.py", "");
    let helper = "import os\nwith open('imports', 'a') as file: print(os.getpid(), file=file)\n";
    sandbox.file("pkg/tests/helper.py", helper);
    let test = "import unittest\nfrom . import helper\nfrom .helper import os\n\
                class T(unittest.TestCase):\n";
    let methods = (0..8).map(|n| {
        format!("    def test_{n}(self):\n        from .helper import os\n        os.getpid()\n")
    });
    let test = test.to_owned() + &methods.collect::<String>();
    sandbox.file("pkg/tests/test_a.py", test);
    let args = ["run", "--max-parallel-tasks", "1", "pkg/tests/test_a.py"];
    for variable in [None, Some("1")] {
        let _ = std::fs::remove_file(sandbox.project().join("imports"));
        let ran = sandbox.run_with(&args, |persea| match variable {
            Some(value) => persea.env("PYTHONDONTWRITEBYTECODE", value),
            None => persea.env_remove("PYTHONDONTWRITEBYTECODE"),
        });
        let ran = ran.code(0);
        assert_eq!(sandbox.job().results()["pass"], 8, "{ran}");
        assert_eq!(sandbox.lines("imports").len(), 1, "{variable:?}");
        let cache = sandbox.project().join("pkg/tests/__pycache__");
        assert_eq!(cache.exists(), variable.is_none());
        let _ = std::fs::remove_dir_all(cache);
    }
}

#[test]
fn locale_that_is_not_utf8_changes_no_result() {
    let sandbox = Sandbox::new();
    let test = "import unittest\n\
                class T\u{e9}(unittest.TestCase):\n    \
                    def test_\u{e9}(self): self.fail('\u{e9}')\n";
    sandbox.file("test_\u{e9}.py", test);
    let variables = [
        ("LC_ALL", "C"),
        ("PYTHONUTF8", "0"),
        ("PYTHONCOERCECLOCALE", "0"),
    ];
    let ran = sandbox.run_with(&["run", "test_\u{e9}.py"], |persea| persea.envs(variables));
    ran.code(1);
    let reason = sandbox.job().reason("test_\u{e9}.py:T\u{e9}.test_\u{e9}");
    assert_eq!(reason, "AssertionError: \u{e9}");
}

#[test]
fn reason_shows_why_the_interpreter_cannot_start() {
    let sandbox = Sandbox::new();
    sandbox.file("test_a.py", format!("import unittest\n{PASSING_CLASS}"));
    for batches in ["true", "false"] {
        let set = format!("run.batches={batches}");
        let args = ["run", "--set", &set, "test_a.py"];
        let ran = sandbox.run_with(&args, |persea| persea.env("PYTHONHOME", sandbox.project()));
        ran.code(1);
        let job = sandbox.job();
        assert_eq!(job.status("test_a.py:T.test"), "ERROR");
        let reason = job.reason("test_a.py:T.test");
        let begins = "the Python interpreter exited with code 1 before it had run the test: Fatal \
                      Python error: ";
        assert!(reason.starts_with(begins), "{reason}");
    }
}

#[test]
fn log_of_a_test_is_there_while_the_test_runs() {
    let sandbox = Sandbox::new();
    let script = "test -f \"$AVOCADO_TEST_LOGFILE\" && echo own >> \"$AVOCADO_TEST_LOGFILE\"";
    sandbox.script("quiet.sh", "test -f \"$AVOCADO_TEST_LOGFILE\"");
    sandbox.script("logs.sh", script);
    sandbox.file(
        "test_a.py",
        "import os, unittest\n\
         class T(unittest.TestCase):\n    \
         def test(self): self.assertTrue(os.path.isfile(os.environ['AVOCADO_TEST_LOGFILE']))\n",
    );
    for options in [["--set", "run.batches=false"], ["--spawner", "sandbox"]] {
        let args = ["run", "./quiet.sh", "./logs.sh", "test_a.py"];
        sandbox.run(&[&args[..], &options[..]].concat()).code(0);
        assert_eq!(sandbox.job().artifact("./logs.sh", "debug.log"), "own\n");
    }
    sandbox.run(&["run", "test_a.py"]).code(0);
}

#[test]
fn results_name_only_directories_and_files_that_exist() {
    let sandbox = Sandbox::new();
    sandbox.script("quiet.sh", "true");
    sandbox.script("talks.sh", "echo x");
    sandbox.script("fails.sh", "exit 1");
    sandbox.recipe("job.json", &[json!({"kind": "noop", "uri": "noop"})]);
    sandbox.file("test_a.py", format!("import unittest\n{PASSING_CLASS}"));
    let tests = [
        "./quiet.sh",
        "./talks.sh",
        "./fails.sh",
        "job.json",
        "test_a.py",
    ];
    let args = [&["run", "--retries", "1"], &tests[..]].concat();
    sandbox.run(&args).code(1);
    let job = sandbox.job();
    let results = job.results();
    let tests = results["tests"].as_array().unwrap();
    assert_eq!(tests.len(), 5);
    for test in tests {
        for key in ["logdir", "logfile"] {
            let path = test[key].as_str().unwrap();
            let exists = std::path::Path::new(path).exists();
            assert_eq!(exists, path != "<unknown>", "{test}");
        }
    }
    let known = tests.iter().filter(|test| test["logfile"] != "<unknown>");
    assert_eq!(known.count(), 3, "{results}");
    let again = sandbox
        .run(&["report", "--format", "json", "latest"])
        .code(0);
    let again: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["tests"], results["tests"]);
}

#[test]
fn users_common_directory_is_used_and_kept() {
    let sandbox = Sandbox::new();
    let kept = sandbox.file("common/kept", "x");
    let common = kept.parent().unwrap();
    sandbox.script("t.sh", "echo y > \"$AVOCADO_TESTS_COMMON_TMPDIR/made\"");
    let ran = sandbox.run_with(&["run", "./t.sh"], |persea| {
        persea.env("AVOCADO_TESTS_COMMON_TMPDIR", common)
    });
    ran.code(0);
    assert!(kept.exists() && common.join("made").exists());
}

#[test]
fn recipe_sets_its_own_identifier_format() {
    let sandbox = Sandbox::new();
    let config = json!({"runner.identifier_format": "{uri} with {args[0]}"});
    let runnable =
        json!({"kind": "exec-test", "uri": "/bin/true", "args": ["a"], "config": config});
    sandbox.recipe("job.json", &[runnable]);
    sandbox.run(&["run", "job.json"]).code(0);
    assert_eq!(sandbox.job().status("/bin/true with a"), "PASS");
}
