//! Owns results of Python's unittest: those of `python -m unittest`, with true reasons; and the
//! environment of such tests.

use serde_json::json;

use crate::support::Fixture;

const PASSING_CLASS: &str = "class T(unittest.TestCase):\n    def test(self): pass\n";

#[test]
fn package_is_imported_from_the_top_level_of_the_project() {
    let fixture = Fixture::new();
    fixture.file("pkg/__init__.py", "");
    let base = "import unittest\n\
                class Base(unittest.TestCase):\n    \
                    def test(self):\n        \
                        self.assertEqual(type(self).__module__, 'pkg.tests.test_a')\n";
    fixture.file("pkg/base.py", base);
    fixture.file("pkg/tests/__init__.py", "");
    fixture.file("pkg/tests/string.py", "raise Exception('not this one')\n");
    let test = "from ..base import Base\nimport pkg.base, string\nclass Base(Base): pass\n";
    fixture.file("pkg/tests/test_a.py", test);
    fixture.file(
        "off/__init__.py",
        "import unittest\nraise unittest.SkipTest('no lib')\n",
    );
    fixture.file("off/test_b.py", format!("import unittest\n{PASSING_CLASS}"));
    for batches in ["true", "false"] {
        let set = format!("run.batches={batches}");
        let args = ["run", "--set", &set, "pkg/tests/test_a.py", "off/test_b.py"];
        fixture.run(&args).code(0);
        let job = fixture.job();
        assert_eq!(job.status("pkg/tests/test_a.py:Base.test"), "PASS");
        assert_eq!(job.reason("off/test_b.py:T.test"), "no lib");
    }
}

#[test]
fn unexpected_success_fails() {
    let fixture = Fixture::new();
    let test = "import unittest\n\
                class T(unittest.TestCase):\n    \
                    @unittest.expectedFailure\n    \
                    def test(self): pass\n";
    fixture.file("test_a.py", test);
    fixture.run(&["run", "test_a.py"]).code(1);
    assert_eq!(
        fixture.job().reason("test_a.py:T.test"),
        "unexpected success"
    );
}

#[test]
fn end_of_the_process_in_a_class_fixture_is_an_error() {
    let fixture = Fixture::new();
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
    fixture.file("test_a.py", text);
    for batches in ["true", "false"] {
        let set = format!("run.batches={batches}");
        fixture.run(&["run", "--set", &set, "test_a.py"]).code(1);
        let job = fixture.job();
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
    let fixture = Fixture::new();
    fixture.file("pkg/__init__.py", "");
    fixture.file("pkg/tests/__init__.py", "");
    let helper = "import os\nwith open('imports', 'a') as file: print(os.getpid(), file=file)\n";
    fixture.file("pkg/tests/helper.py", helper);
    let test = "import unittest\nfrom . import helper\nfrom .helper import os\n\
                class T(unittest.TestCase):\n";
    let methods = (0..8).map(|n| {
        format!("    def test_{n}(self):\n        from .helper import os\n        os.getpid()\n")
    });
    let test = test.to_owned() + &methods.collect::<String>();
    fixture.file("pkg/tests/test_a.py", test);
    let args = ["run", "--max-parallel-tasks", "1", "pkg/tests/test_a.py"];
    for variable in [None, Some("1")] {
        let _ = std::fs::remove_file(fixture.project().join("imports"));
        let ran = fixture.run_with(&args, |persea| match variable {
            Some(value) => persea.env("PYTHONDONTWRITEBYTECODE", value),
            None => persea.env_remove("PYTHONDONTWRITEBYTECODE"),
        });
        let ran = ran.code(0);
        assert_eq!(fixture.job().results()["pass"], 8, "{ran}");
        assert_eq!(fixture.lines("imports").len(), 1, "{variable:?}");
        let cache = fixture.project().join("pkg/tests/__pycache__");
        assert_eq!(cache.exists(), variable.is_none());
        let _ = std::fs::remove_dir_all(cache);
    }
}

#[test]
fn locale_that_is_not_utf8_changes_no_result() {
    let fixture = Fixture::new();
    let test = "import unittest\n\
                class T\u{e9}(unittest.TestCase):\n    \
                    def test_\u{e9}(self): self.fail('\u{e9}')\n";
    fixture.file("test_\u{e9}.py", test);
    let variables = [
        ("LC_ALL", "C"),
        ("PYTHONUTF8", "0"),
        ("PYTHONCOERCECLOCALE", "0"),
    ];
    let ran = fixture.run_with(&["run", "test_\u{e9}.py"], |persea| persea.envs(variables));
    ran.code(1);
    let reason = fixture.job().reason("test_\u{e9}.py:T\u{e9}.test_\u{e9}");
    assert_eq!(reason, "AssertionError: \u{e9}");
}

#[test]
fn reason_shows_why_the_interpreter_cannot_start() {
    let fixture = Fixture::new();
    fixture.file("test_a.py", format!("import unittest\n{PASSING_CLASS}"));
    for batches in ["true", "false"] {
        let set = format!("run.batches={batches}");
        let args = ["run", "--set", &set, "test_a.py"];
        let ran = fixture.run_with(&args, |persea| persea.env("PYTHONHOME", fixture.project()));
        ran.code(1);
        let job = fixture.job();
        assert_eq!(job.status("test_a.py:T.test"), "ERROR");
        let reason = job.reason("test_a.py:T.test");
        let begins = "the Python interpreter exited with code 1 before it had run the test: Fatal \
                      Python error: ";
        assert!(reason.starts_with(begins), "{reason}");
    }
}

#[test]
fn log_of_a_test_is_there_while_the_test_runs() {
    let fixture = Fixture::new();
    let script = "test -f \"$AVOCADO_TEST_LOGFILE\" && echo own >> \"$AVOCADO_TEST_LOGFILE\"";
    fixture.script("quiet.sh", "test -f \"$AVOCADO_TEST_LOGFILE\"");
    fixture.script("logs.sh", script);
    fixture.file(
        "test_a.py",
        "import os, unittest\n\
         class T(unittest.TestCase):\n    \
         def test(self): self.assertTrue(os.path.isfile(os.environ['AVOCADO_TEST_LOGFILE']))\n",
    );
    for options in [["--set", "run.batches=false"], ["--spawner", "sandbox"]] {
        let args = ["run", "./quiet.sh", "./logs.sh", "test_a.py"];
        fixture.run(&[&args[..], &options[..]].concat()).code(0);
        assert_eq!(fixture.job().artifact("./logs.sh", "debug.log"), "own\n");
    }
    fixture.run(&["run", "test_a.py"]).code(0);
}

#[test]
fn results_name_only_directories_and_files_that_exist() {
    let fixture = Fixture::new();
    fixture.script("quiet.sh", "true");
    fixture.script("talks.sh", "echo x");
    fixture.script("fails.sh", "exit 1");
    fixture.recipe("job.json", &[json!({"kind": "noop", "uri": "noop"})]);
    fixture.file("test_a.py", format!("import unittest\n{PASSING_CLASS}"));
    let tests = [
        "./quiet.sh",
        "./talks.sh",
        "./fails.sh",
        "job.json",
        "test_a.py",
    ];
    let args = [&["run", "--retries", "1"], &tests[..]].concat();
    fixture.run(&args).code(1);
    let job = fixture.job();
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
    let again = fixture
        .run(&["report", "--format", "json", "latest"])
        .code(0);
    let again: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["tests"], results["tests"]);
}

#[test]
fn users_common_directory_is_used_and_kept() {
    let fixture = Fixture::new();
    let kept = fixture.file("common/kept", "x");
    let common = kept.parent().unwrap();
    fixture.script("t.sh", "echo y > \"$AVOCADO_TESTS_COMMON_TMPDIR/made\"");
    let ran = fixture.run_with(&["run", "./t.sh"], |persea| {
        persea.env("AVOCADO_TESTS_COMMON_TMPDIR", common)
    });
    ran.code(0);
    assert!(kept.exists() && common.join("made").exists());
}

#[test]
fn recipe_sets_its_own_identifier_format() {
    let fixture = Fixture::new();
    let config = json!({"runner.identifier_format": "{uri} with {args[0]}"});
    let runnable =
        json!({"kind": "exec-test", "uri": "/bin/true", "args": ["a"], "config": config});
    fixture.recipe("job.json", &[runnable]);
    fixture.run(&["run", "job.json"]).code(0);
    assert_eq!(fixture.job().status("/bin/true with a"), "PASS");
}
