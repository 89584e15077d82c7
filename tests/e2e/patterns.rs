//! Owns kinds by pattern: which files a project says are tests, how they run, and what is left out.

use serde_json::json;

use crate::support::Fixture;
use crate::support::recipes::{python, shell, with};

/// The lines that `persea list` prints with these arguments.
fn listed(project: &Fixture, args: &[&str]) -> Vec<String> {
    let ran = project.run(&[&["list"], args].concat()).code(0);
    ran.stdout.lines().map(str::to_owned).collect()
}

/// A project with files that only its `persea.toml` makes tests.
fn project(settings: &str) -> Fixture {
    let project = Fixture::new();
    project.file("persea.toml", settings);
    project.file("t/a.t", "print \"1..1\\nok 1 - $Shared::VALUE\\n\";\n");
    project.file("t/deep/b.t", "print \"1..1\\nnot ok 1\\n\";\n");
    project.file("t/README", "no test");
    project
}

const PERL: &str = r#"
    [[kind]]
    match = "t/**/*.t"
    kind = "tap"
    program = ["perl", "{path}"]
"#;

#[test]
fn program_of_a_pattern_runs_files_that_are_not_executable() {
    let project = project(PERL);
    assert_eq!(
        listed(&project, &["."]),
        ["tap ./t/a.t", "tap ./t/deep/b.t"]
    );
    project.run(&["run", "t"]).code(1);
    let job = project.job();
    assert_eq!(job.status("t/a.t"), "PASS");
    assert_eq!(job.status("t/deep/b.t"), "FAIL");
    project.run(&["run", "t", "--failed", "latest"]).code(1);
    assert_eq!(project.job().started(), ["t/deep/b.t"]);
    // A typed file is of the kind too.
    project.run(&["run", "./t/a.t"]).code(0);
}

#[test]
fn files_of_the_patterns_run_where_no_reference_is_typed() {
    let project = project(PERL);
    assert_eq!(listed(&project, &[]), ["tap t/a.t", "tap t/deep/b.t"]);
    project.run(&["run"]).code(1);
    let job = project.job();
    let mut names = job.started();
    names.sort();
    assert_eq!(names, ["t/a.t", "t/deep/b.t"]);
    let without = Fixture::new();
    for command in ["run", "list"] {
        let ran = without.run(&[command]).code(4);
        assert!(
            ran.stderr.contains("no references, and no `[[kind]]`"),
            "{ran}"
        );
        assert!(ran.stderr.contains("help: name files"), "{ran}");
    }
}

#[test]
fn file_of_several_patterns_runs_once_and_pattern_without_files_is_noted() {
    let project = Fixture::new();
    project.file(
        "persea.toml",
        r#"
            kind = [
                { match = "t/a.t", kind = "tap", program = ["perl"], tags.first = [] },
                { match = ["*.t", "t/{a,b}.t", "t/?.t"], kind = "tap", program = ["perl"] },
                { match = "*.none", kind = "tap", program = ["perl"] },
            ]
        "#,
    );
    for name in ["t/a.t", "t/b.t"] {
        project.file(name, "print \"1..1\\nok 1\\n\";\n");
    }
    let ran = project.run(&["list"]).code(0);
    assert_eq!(ran.stdout, "tap t/a.t (first)\ntap ./t/b.t\n");
    let note = "note: no file matches `**/*.none` of a `[[kind]]`\n";
    assert!(ran.stderr.contains(note), "{ran}");
    project.run(&["run"]).code(0);
    assert_eq!(project.job().results()["total"], 2);
    let wrong = project.run(&["list", "t/*[a.t"]).code(2);
    let expected = "the glob `t/*[a.t` is not valid: ";
    assert!(wrong.stdout.contains(expected), "{wrong}");
}

#[test]
fn globs_are_references() {
    let project = project(PERL);
    assert_eq!(listed(&project, &["t/*.t"]), ["tap t/a.t"]);
    assert_eq!(listed(&project, &["**/b.t"]), ["tap ./t/deep/b.t"]);
    let ran = project.run(&["list", "x/*.t"]).code(2);
    assert!(ran.stdout.contains("x/*.t"), "{ran}");
    assert!(ran.stdout.contains("the glob matches no file"), "{ran}");
    // A file of that name is a file.
    project.file("t/[a].t", "print \"1..1\\nok 1\\n\";\n");
    assert_eq!(listed(&project, &["t/[a].t"]), ["tap t/[a].t"]);
}

#[test]
fn excluded_files_are_counted_and_a_typed_one_runs() {
    let project = project(&format!("references.exclude = [\"deep\"]\n{PERL}"));
    let ran = project.run(&["list", "t"]).code(0);
    assert_eq!(ran.stdout, "tap t/a.t\n");
    let note = "note: `references.exclude` leaves out 1 file\n";
    assert!(ran.stderr.contains(note), "{ran}");
    assert_eq!(listed(&project, &["t/deep/b.t"]), ["tap t/deep/b.t"]);
}

#[test]
fn pattern_without_a_program_asks_only_the_resolvers_of_its_kind() {
    let project = Fixture::new();
    project.file(
        "persea.toml",
        "kind = [{ match = \"*.py\", kind = \"python-unittest\", env.COLOUR = \"red\" }]",
    );
    let test = "import os, unittest\n\nclass T(unittest.TestCase):\n    def test(self):\n        \
                self.assertEqual(os.environ['COLOUR'], 'red')\n";
    // Executable: without the pattern, `pytest` or `exec-test` could take it.
    project.script("tests/test_a.py", "");
    project.file("tests/test_a.py", test);
    project.file("tests/helper.py", "import sys\n");
    project.run(&["run", "tests"]).code(1);
    let job = project.job();
    assert_eq!(job.status("tests/test_a.py:T.test"), "PASS");
    // The project says that the other file is one, too.
    assert_eq!(job.status("tests/helper.py"), "ERROR");
    let reason = job.reason("tests/helper.py");
    let expected = "a `[[kind]]` says that the file is of the kind `python-unittest`";
    assert!(reason.starts_with(expected), "{reason}");
}

#[test]
fn patterns_of_a_job_file_are_for_its_references() {
    let project =
        project("kind = [{ match = \"*.t\", kind = \"exec-test\", program = [\"false\"] }]");
    let suite = "[[suite]]\nname = \"s\"\nreferences = [\"t/*.t\"]\n";
    project.file("job.toml", format!("{PERL}\n{suite}"));
    project.run(&["run", "--job", "job.toml"]).code(0);
    assert_eq!(project.job().status("t/a.t"), "PASS");
    let wrong = "[[kind]]\nmatch = \"*.t\"\nkind = \"tap\"\nprogramme = [\"perl\"]\n";
    project.file("job.toml", format!("{wrong}\n{suite}"));
    let ran = project.run(&["run", "--job", "job.toml"]).code(4);
    assert!(ran.stderr.contains("the 1. `[[kind]]`: "), "{ran}");
    assert!(ran.stderr.contains("programme"), "{ran}");
    project.run(&["list", "--job", "job.toml"]).code(4);
}

#[test]
fn hints_of_avocado_are_read() {
    let project = project("");
    project.file(
        ".avocado.hint",
        "[kinds]\ntap = ./t/*.t\n\n[tap]\nuri = perl\nargs = -Mstrict,$testpath\nkwargs = A=1\n",
    );
    assert_eq!(listed(&project, &[]), ["tap ./t/a.t"]);
    project.file("t/a.t", "print \"1..1\\nok $ENV{A}\\n\";\n");
    project.run(&["run", "t"]).code(0);
    assert_eq!(project.job().status("t/a.t"), "PASS");
    project.file(".avocado.hint", "[tap]\nuri = perl\n");
    let ran = project.run(&["run", "t"]).code(4);
    assert!(
        ran.stderr.contains(".avocado.hint: the section [kinds]"),
        "{ran}"
    );
}

#[test]
fn variables_of_a_recipe_reach_its_test() {
    let project = Fixture::new();
    let test = shell("env", "test \"$COLOUR\" = red && test -z \"${HOME+x}\"");
    let test = with(test, "env", json!({"COLOUR": "red", "HOME": null}));
    project.recipe("job.json", &[test]);
    let ran = project.run(&["run", "job.json"]).code(0);
    assert_eq!(ran.stderr, "");
}

#[test]
fn directory_of_a_test_is_where_its_paths_begin() {
    let project = Fixture::new();
    project.script(
        "sub/here.sh",
        "test -f mark && pwd > \"$AVOCADO_TEST_OUTPUTDIR/pwd\"",
    );
    project.file("sub/mark", "");
    let test = json!({"kind": "exec-test", "uri": "./here.sh", "cwd": "sub"});
    let plain = json!({"kind": "exec-test", "uri": "sub/here.sh", "identifier": "plain"});
    let missing =
        json!({"kind": "exec-test", "uri": "/bin/true", "cwd": "gone", "identifier": "no"});
    project.recipe("job.json", &[test, plain, missing]);
    for spawner in ["process", "sandbox"] {
        let ran = project.run(&["run", "--spawner", spawner, "job.json"]);
        let ran = ran.code(1);
        let job = project.job();
        assert_eq!(job.status("./here.sh"), "PASS", "{spawner}");
        assert_eq!(job.status("plain"), "FAIL", "{spawner}");
        assert_eq!(job.status("no"), "ERROR", "{spawner}");
        let reason = job.reason("no");
        assert!(reason.contains("there is no directory "), "{reason}");
        assert!(reason.contains("/gone (`cwd`)"), "{reason}");
        assert_eq!(ran.stderr, "", "{ran}");
    }
    let text = "import os, unittest\n\nclass T(unittest.TestCase):\n    def test(self):\n        \
                  self.assertTrue(os.path.exists('mark'))\n";
    project.file("sub/test_a.py", text);
    let of = |name: &str| with(python(name, "test_a.py:T.test"), "cwd", json!("sub"));
    project.recipe("python.json", &[of("one"), of("two")]);
    project.run(&["run", "python.json"]).code(0);
}

#[test]
fn own_retries_of_a_test_win_up_to_those_of_the_command_line() {
    let project = Fixture::new();
    let counting = |name: &str| shell(name, &format!("echo x >> {name}; exit 1"));
    let only_errors = json!({"count": 5, "on": ["error"]});
    let tests = [
        counting("plain"),
        with(counting("three"), "retries", json!(3)),
        with(counting("never"), "retries", json!(0)),
        with(counting("errors"), "retries", only_errors),
    ];
    project.recipe("job.json", &tests);
    let runs = |options: &[&str]| {
        for name in ["plain", "three", "never", "errors"] {
            project.file(name, "");
        }
        project
            .run(&[&["run"], options, &["job.json"]].concat())
            .code(1);
        ["plain", "three", "never", "errors"].map(|name| project.lines(name).len())
    };
    assert_eq!(runs(&[]), [1, 4, 1, 1]);
    assert_eq!(runs(&["--retries", "2"]), [3, 3, 1, 1]);
    project.user_config("run.retries = 1");
    assert_eq!(runs(&[]), [2, 4, 1, 1]);
    for (retries, expected) in [
        (json!("many"), "[0].retries: expected a whole number from 0"),
        (
            json!({"on": ["fial"]}),
            "`retries`: `on`: expected one of fail, ",
        ),
    ] {
        project.recipe("job.json", &[with(counting("plain"), "retries", retries)]);
        let ran = project.run(&["run", "job.json"]);
        assert_ne!(ran.code, Some(0), "{ran}");
        assert!(format!("{ran}").contains(expected), "{ran}");
    }
}
