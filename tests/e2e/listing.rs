//! Owns the listing of tests: a runnable that stands for many tests is replaced by them, before the
//! plan is made, by running something in an environment.

use serde_json::json;

use crate::support::plugins::install;
use crate::support::{Fixture, Ran, finish, signal, wait_until};

/// A script with the tests of `names`, which notes in `listed` each time that it names them.
const SUITE: &str = r#"
case $1 in
list) echo listed >>"$PWD/listed"; cat names ;;
run) test "$2" != bad ;;
esac"#;

/// A project with the script `suite.sh` and the recipe `job.json` that names it.
fn project(names: &str) -> Fixture {
    let project = Fixture::new();
    install(&project, "plugins", &["suite-script"]);
    project.script("suite.sh", SUITE);
    project.file("names", names);
    project.recipe(
        "job.json",
        &[json!({"kind": "script-suite", "uri": "./suite.sh"})],
    );
    project
}

fn run(project: &Fixture, code: i32) -> Ran {
    let args = ["run", "--plugin-dir", "plugins", "job.json"];
    project.run(&args).code(code)
}

fn list(project: &Fixture, options: &[&str]) -> Ran {
    let args = ["list", "--plugin-dir", "plugins"];
    project.run(&[&args, options, &["job.json"]].concat())
}

/// The names and statuses of the job's tests.
fn results(project: &Fixture) -> Vec<(String, String)> {
    let finished = project.job().events_of("task-finished");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut results: Vec<(String, String)> = finished
        .iter()
        .map(|event| (text(&event["data"]["name"]), text(&event["data"]["status"])))
        .collect();
    results.sort();
    results
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let all = expected.iter();
    all.map(|(name, status)| ((*name).to_owned(), (*status).to_owned()))
        .collect()
}

#[test]
fn listed_tests_run_one_by_one() {
    let project = project("good\nbad\n");
    run(&project, 1);
    let expected = [("./suite.sh:bad", "FAIL"), ("./suite.sh:good", "PASS")];
    assert_eq!(results(&project), pairs(&expected));
}

#[test]
fn list_is_kept_until_the_program_changes() {
    let project = project("one\ntwo\n");
    // A file that has just been changed may change again unnoticed, so its list is not kept.
    wait_until_settled(&project);
    for _ in 0..3 {
        run(&project, 0);
        assert_eq!(results(&project).len(), 2);
    }
    assert_eq!(project.lines("listed").len(), 1);
    project.script("suite.sh", &format!("{SUITE}\n# changed"));
    run(&project, 0);
    assert_eq!(project.lines("listed").len(), 2);
}

/// Waits until the file system marks a change with a later time than that of the project's files.
fn wait_until_settled(project: &Fixture) {
    let changed = |name: &str| {
        let meta = project.project().join(name).metadata().unwrap();
        meta.modified().unwrap()
    };
    let script = changed("suite.sh");
    wait_until("the clock of the file system goes on", || {
        project.file("clock", "");
        let passed = changed("clock").duration_since(script).unwrap_or_default();
        match passed > std::time::Duration::from_millis(50) {
            true => Ok(()),
            false => Err(format!("{passed:?}")),
        }
    });
}

#[test]
fn list_command_runs_nothing_unless_it_is_told() {
    let project = project("one\ntwo\n");
    wait_until_settled(&project);
    let unlisted = list(&project, &[]).code(0);
    assert_eq!(unlisted.stdout, "script-suite ./suite.sh\n");
    assert_eq!(
        unlisted.stderr,
        "note: the tests of ./suite.sh are not listed, because that runs something of the project; \
         `--run-listers` does\n"
    );
    assert_eq!(project.lines("listed").len(), 0);
    let tests = "script-suite ./suite.sh:one\nscript-suite ./suite.sh:two\n";
    assert_eq!(list(&project, &["--run-listers"]).code(0).stdout, tests);
    assert_eq!(project.lines("listed").len(), 1);
    assert_eq!(list(&project, &[]).code(0).stdout, tests, "it is kept");
    assert_eq!(project.lines("listed").len(), 1);
}

#[test]
fn dry_run_runs_no_lister() {
    let project = project("one\n");
    let args = ["run", "--plugin-dir", "plugins", "--dry-run", "job.json"];
    project.run(&args).code(0);
    assert_eq!(results(&project), pairs(&[("./suite.sh", "CANCEL")]));
    assert_eq!(project.lines("listed").len(), 0);
}

/// Runs a job of a suite whose list has a fault, beside a test that has none.
fn faulty(names: &str) -> (Fixture, String) {
    let project = project(names);
    let recipe = [
        json!({"kind": "script-suite", "uri": "./suite.sh"}),
        json!({"kind": "noop", "identifier": "beside"}),
    ];
    project.recipe("job.json", &recipe);
    run(&project, 1);
    let name = "job.json: ./suite.sh";
    assert_eq!(
        results(&project),
        pairs(&[("beside", "PASS"), (name, "ERROR")])
    );
    let reason = project.job().reason(name);
    (project, reason)
}

#[test]
fn fault_of_a_lister_costs_only_its_own_runnable() {
    let (_, reason) = faulty("panic\n");
    assert!(reason.contains("it was asked to"), "{reason}");
    let (_, reason) = faulty("a\nb\na\n");
    assert!(
        reason.ends_with("has listed `./suite.sh:a` twice"),
        "{reason}"
    );
    let (_, reason) = faulty("kind:other\n");
    let undeclared = "has listed a test of the undeclared kind `other`; it declares: script-suite";
    assert!(reason.ends_with(undeclared), "{reason}");
}

#[test]
fn warning_of_a_lister_is_shown_with_its_plugin() {
    let project = project("warn:odd \u{1b}[31m\ngood\n");
    let warning = "lister `script-suite` (plugins/suite-script.wasm): odd \\x1b[31m";
    let ran = run(&project, 0);
    assert!(ran.stderr.contains(warning), "{}", ran.stderr);
    assert_eq!(results(&project), pairs(&[("./suite.sh:good", "PASS")]));
    project.file("names", "warn:odd \u{1b}[31m\n");
    // The list may have been kept by now.
    project.script("suite.sh", &format!("{SUITE}\n# changed"));
    let listed = list(&project, &["--run-listers"]).code(0);
    assert!(listed.stderr.contains(warning), "{}", listed.stderr);
}

#[test]
fn program_that_does_not_list_is_an_error_with_its_name() {
    let project = project("");
    std::fs::remove_file(project.project().join("names")).unwrap();
    project.script("suite.sh", "exit 3");
    run(&project, 1);
    let reason = project.job().reason("job.json: ./suite.sh");
    let expected = "./suite.sh does not name its tests";
    assert!(reason.contains(expected), "{reason}");
}

#[test]
fn lister_that_never_ends_is_ended_by_the_timeout() {
    let project = project("");
    project.script("suite.sh", "sleep 1000 & wait");
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--task-timeout",
        "0.5",
        "job.json",
    ];
    project.run(&args).code(1);
    let reason = project.job().reason("job.json: ./suite.sh");
    assert!(reason.contains("task.timeout.running"), "{reason}");
    project.assert_no_strays();
}

#[test]
fn interrupted_listing_leaves_nothing() {
    let project = project("");
    project.script("suite.sh", "touch started; sleep 1000 & wait");
    let args = ["run", "--plugin-dir", "plugins", "job.json"];
    let child = project.persea(&args).spawn().unwrap();
    project.wait_for_existence("started");
    signal(child.id(), "INT");
    finish(child).code(8);
    project.assert_no_strays();
    project.assert_no_job();
    let left = std::fs::read_dir(project.root()).unwrap();
    let left: Vec<_> = left
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("persea-"))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn suite_without_tests_is_an_empty_answer() {
    let project = project("");
    run(&project, 0);
    assert_eq!(project.job().results()["total"], 0);
}

#[test]
fn lister_runs_in_a_sandbox_as_its_tests_do() {
    let project = project("good\n");
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--spawner",
        "sandbox",
        "job.json",
    ];
    project.run(&args).code(0);
    assert_eq!(results(&project), pairs(&[("./suite.sh:good", "PASS")]));
    assert_eq!(
        project.lines("listed").len(),
        0,
        "the note stays in the sandbox"
    );
}

#[test]
fn variants_are_made_of_listed_tests() {
    let project = project("one\ntwo\n");
    project.file(
        "job.toml",
        r#"
        [[suite]]
        name = "s"
        variants = { axes = { size = [1, 2] } }
        [[suite.task]]
        kind = "script-suite"
        uri = "./suite.sh"
        "#,
    );
    let args = ["run", "--plugin-dir", "plugins", "--job", "job.toml"];
    project.run(&args).code(0);
    assert_eq!(project.job().results()["total"], 4);
    assert_eq!(project.lines("listed").len(), 1);
}

#[test]
fn setting_says_which_of_two_listers_of_a_kind_is_preferred() {
    let project = project("good\n");
    install(&project, "plugins", &["hostile-idle"]);
    for (order, name) in [
        ("script-suite", "./suite.sh:good"),
        ("idle", "named by idle"),
    ] {
        let order = format!("plugins.lister.order=[\"{order}\"]");
        let args = [
            "run",
            "--plugin-dir",
            "plugins",
            "--set",
            &order,
            "job.json",
        ];
        let ran = project.run(&args).code(0);
        assert_eq!(results(&project), pairs(&[(name, "PASS")]));
        // `idle` answers with a key that no host knows.
        let unknown = "does not know `colour` in the further data of a listing";
        assert_eq!(
            ran.stderr.contains(unknown),
            name == "named by idle",
            "{ran}"
        );
    }
}

#[test]
fn lister_that_starts_nothing_is_ended_by_its_own_time_limit() {
    let project = project("");
    install(&project, "plugins", &["hostile-idle"]);
    project.recipe(
        "job.json",
        &[json!({"kind": "script-suite", "uri": "loops"})],
    );
    let limits = [
        "--set",
        "plugins.lister.order=[\"idle\"]",
        "--set",
        "plugins.lister.timeout=0.5",
    ];
    let args = ["run", "--plugin-dir", "plugins"];
    project
        .run(&[&args, &limits[..], &["job.json"]].concat())
        .code(1);
    let reason = project.job().reason("job.json: loops");
    let words = "its limit on the time without a process, 0.5 s: `plugins.lister.timeout` raises";
    assert!(reason.contains(words), "{reason}");
}

#[test]
fn listers_of_several_runnables_run_at_the_same_time() {
    let project = project("");
    // Each waits until the other has begun.
    let suite = |own: &str, other: &str| {
        format!(
            "case $1 in\nlist) touch {own}; until test -e {other}; do sleep 0.01; done; \
             echo one ;;\nesac"
        )
    };
    project.script("a.sh", &suite("a", "b"));
    project.script("b.sh", &suite("b", "a"));
    let task = |uri| json!({"kind": "script-suite", "uri": uri});
    project.recipe("job.json", &["./a.sh", "./b.sh"].map(task));
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--max-parallel-tasks",
        "2",
        "--task-timeout",
        "20",
        "job.json",
    ];
    project.run(&args).code(0);
    let expected = [("./a.sh:one", "PASS"), ("./b.sh:one", "PASS")];
    assert_eq!(results(&project), pairs(&expected));
}

#[test]
fn lister_runs_only_with_its_granted_spawners() {
    let project = project("one\n");
    let lister = "lister.script-suite";
    let update = ["plugin", "update", lister, "--grant", "process=sandbox"];
    project.run(&update).code(0);
    let recipe = [
        json!({"kind": "script-suite", "uri": "./suite.sh"}),
        json!({"kind": "noop", "identifier": "beside"}),
    ];
    project.recipe("job.json", &recipe);
    project.run(&["run", "job.json"]).code(1);
    let name = "job.json: ./suite.sh";
    assert_eq!(
        results(&project),
        pairs(&[("beside", "PASS"), (name, "ERROR")])
    );
    let reason = project.job().reason(name);
    let (words, command) = reason
        .rsplit_once(": use `--spawner sandbox`, or ")
        .unwrap();
    assert_eq!(
        words,
        "its tests cannot be listed: lister `script-suite` (plugins/suite-script.wasm) may start \
         processes with the spawner `sandbox` only, and the test's is `process`"
    );
    assert!(project.lines("listed").is_empty(), "something was started");
    // What the message says to type helps.
    let command = command.trim_matches('`').strip_prefix("persea ").unwrap();
    let args: Vec<&str> = command.split(' ').collect();
    project.run(&args).code(0);
    project.run(&["run", "job.json"]).code(0);
    assert_eq!(project.lines("listed").len(), 1);
    assert_eq!(project.job().status("./suite.sh:one"), "PASS");
}
