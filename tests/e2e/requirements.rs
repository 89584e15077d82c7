//! Owns requirements of tasks: a shared one is fulfilled once, each is released however the job
//! ends, and none delays or harms another task.

use std::io::{BufRead as _, BufReader};

use serde_json::{Value, json};

use crate::support::recipes::{exec, logged, logged_requirement, logged_test, with};
use crate::support::{Fixture, finish, signal};

/// The journal's events of requirements, as `EVENT ID`, where a finished one has its state.
fn requirement_events(fixture: &Fixture) -> Vec<String> {
    let events = fixture.job().events();
    let word = |event: &Value| {
        let what = event["event"]
            .as_str()?
            .strip_prefix("requirement-")?
            .to_owned();
        let state = event["data"]["state"].as_str();
        let id = event["data"]["id"].as_str()?;
        Some(format!("{} {id}", state.unwrap_or(&what)))
    };
    events.iter().filter_map(word).collect()
}

fn position(log: &[String], line: &str) -> usize {
    let found = log.iter().position(|one| one == line);
    found.unwrap_or_else(|| panic!("no {line:?} in {log:?}"))
}

#[test]
fn shared_requirement_is_fulfilled_once_and_released_in_reverse_order() {
    let fixture = Fixture::new();
    let both = json!([logged("one"), logged("two")]);
    let mut runnables: Vec<Value> = (0..20)
        .map(|n| logged_test(&format!("t{n}"), &both))
        .collect();
    runnables.push(logged_test(
        "kept",
        &json!([logged_requirement("three", json!({"scope": "keep"}))]),
    ));
    fixture.recipe("job.json", &runnables);
    fixture.run(&["run", "job.json"]).code(0);
    let log = fixture.lines("log");
    for line in ["up one", "up two", "up three", "down one", "down two"] {
        assert_eq!(log.iter().filter(|one| *one == line).count(), 1, "{log:?}");
    }
    assert!(
        position(&log, "up one") < position(&log, "up two"),
        "{log:?}"
    );
    assert_eq!(log[log.len() - 2..], ["down two", "down one"]);
    assert!(!log.contains(&"down three".to_owned()), "{log:?}");
}

#[test]
fn unmet_requirement_cancels_its_task_without_delaying_others() {
    let fixture = Fixture::new();
    // The check fails only after the other task has run: in the one slot, that task does not wait.
    let unmet = json!([{
        "type": "command",
        "label": "nothing",
        "check": "until [ -e free ]; do sleep 0.02; done; false",
        "setup": "echo no such thing >&2; false",
    }]);
    let free = with(exec("free", "/bin/touch"), "args", json!(["free"]));
    fixture.recipe("job.json", &[logged_test("needs", &unmet), free]);
    let ran = fixture
        .run(&["run", "--max-parallel-tasks", "1", "job.json"])
        .code(0);
    let job = fixture.job();
    assert_eq!(job.status("free"), "PASS");
    assert_eq!(job.status("needs"), "CANCEL");
    let reason = job.reason("needs");
    assert!(
        reason.starts_with("requirement `command nothing` is not met: "),
        "{reason}"
    );
    assert!(reason.ends_with("no such thing"), "{reason}");
    assert!(
        ran.stdout
            .contains("PASS 1 | ERROR 0 | FAIL 0 | SKIP 0 | WARN 0 | INTERRUPT 0 | CANCEL 1"),
        "{ran}"
    );
}

#[test]
fn task_scoped_requirement_is_never_shared() {
    let fixture = Fixture::new();
    let own = logged_requirement("own", json!({"scope": "task"}));
    let runnables: Vec<Value> = (0..4)
        .map(|n| logged_test(&format!("t{n}"), &json!([own])))
        .collect();
    fixture.recipe("job.json", &runnables);
    fixture
        .run(&["run", "--max-parallel-tasks", "4", "job.json"])
        .code(0);
    let log = fixture.lines("log");
    assert_eq!(log.len(), 12, "{log:?}");
    for three in log.chunks(3) {
        assert_eq!(three[0], "up own", "{log:?}");
        assert!(three[1].starts_with("run t"), "{log:?}");
        assert_eq!(three[2], "down own", "{log:?}");
    }
}

#[test]
fn task_scoped_requirements_are_released_in_reverse_order() {
    let fixture = Fixture::new();
    let own = |name: &str| logged_requirement(name, json!({"scope": "task"}));
    let mut unrunnable = logged_test("unrunnable", &json!([own("c")]));
    unrunnable["needs"] = json!(["fails"]);
    fixture.recipe(
        "job.json",
        &[
            logged_test("two", &json!([own("a"), own("b")])),
            exec("fails", "/bin/false"),
            unrunnable,
            logged_test(
                "half",
                &json!([
                    own("d"),
                    logged_requirement("e", json!({"scope": "task", "setup": "false"}))
                ]),
            ),
        ],
    );
    fixture.run(&["run", "job.json"]).code(1);
    let job = fixture.job();
    assert_eq!(
        job.reason("unrunnable"),
        "it needs `2-fails`, which has ended FAIL"
    );
    assert_eq!(job.status("half"), "CANCEL");
    let log = fixture.lines("log");
    let lines_of = |names: &[&str]| -> Vec<&str> {
        let all = log.iter().map(String::as_str);
        all.filter(|line| names.iter().any(|name| line.ends_with(name)))
            .collect()
    };
    assert_eq!(
        lines_of(&[" a", " b", "two"]),
        ["up a", "up b", "run two", "down b", "down a"]
    );
    assert!(lines_of(&[" c"]).is_empty(), "{log:?}");
    // The requirement that was fulfilled before the second one failed is released.
    assert_eq!(lines_of(&[" d", "half"]), ["up d", "down d"]);
}

#[test]
fn requirement_already_present_is_not_released() {
    let fixture = Fixture::new();
    fixture.recipe(
        "job.json",
        &[logged_test(
            "t",
            &json!([logged_requirement("there", json!({"check": "true"}))]),
        )],
    );
    fixture.run(&["run", "job.json"]).code(0);
    assert_eq!(fixture.lines("log"), ["run t"]);
    assert_eq!(
        requirement_events(&fixture),
        ["started 1-command-there", "present 1-command-there"]
    );
}

#[test]
fn requirement_variables_reach_only_its_tasks() {
    let fixture = Fixture::new();
    let setup = json!({"setup": "echo PORT=4711 >> \"$PERSEA_ENV\"", "env": ["PORT"]});
    let mut with = logged_test("with", &json!([logged_requirement("server", setup)]));
    with["args"] = json!(["-c", "echo \"${PORT-none}\""]);
    let mut without = logged_test("without", &json!([]));
    without["args"] = json!(["-c", "echo \"${PORT-none}\""]);
    fixture.recipe("job.json", &[with, without]);
    fixture.run(&["run", "job.json"]).code(0);
    let job = fixture.job();
    assert_eq!(job.artifact("with", "stdout"), "4711\n");
    assert_eq!(job.artifact("without", "stdout"), "none\n");
}

#[test]
fn invalid_requirement_cancels_only_its_task() {
    let fixture = Fixture::new();
    let version =
        |version: &str| json!([{"type": "package", "name": "left-pad", "version": version}]);
    fixture.recipe(
        "job.json",
        &[
            logged_test("unknown", &json!([{"type": "moon-phase", "name": "full"}])),
            logged_test(
                "scope",
                &json!([logged_requirement("x", json!({"scope": "for ever"}))]),
            ),
            logged_test("both", &json!([version("1")[0], version("2")[0]])),
            logged_test("fine", &json!([])),
        ],
    );
    fixture.run(&["run", "job.json"]).code(0);
    let job = fixture.job();
    for (name, words) in [
        (
            "unknown",
            "requirement `moon-phase full`: no requirement resolver for its kind; add a plugin",
        ),
        (
            "scope",
            "its scope is `task`, `suite`, `job` or `keep`, not \"for ever\"",
        ),
        ("both", "conflicts with requirement `package left-pad`"),
    ] {
        assert_eq!(job.status(name), "CANCEL", "{name}");
        let reason = job.reason(name);
        assert!(reason.contains(words), "{name}: {reason}");
    }
    assert_eq!(job.status("fine"), "PASS");
}

#[test]
fn ctrl_c_ends_tests_and_then_releases_requirements() {
    let fixture = Fixture::new();
    let mut slow = logged_test(
        "slow",
        &json!([
            logged("one"),
            logged_requirement("two", json!({"scope": "task"}))
        ]),
    );
    slow["args"] = json!(["-c", "touch started; sleep 100"]);
    let mut never = logged_test("never", &json!([logged("one")]));
    never["after"] = json!(["slow"]);
    fixture.recipe("job.json", &[slow, never]);
    let child = fixture
        .persea(&["run", "--max-parallel-tasks", "1", "job.json"])
        .spawn()
        .unwrap();
    fixture.wait_for_existence("started");
    signal(child.id(), "INT");
    finish(child).code(8);
    let log = fixture.lines("log");
    assert_eq!(log, ["up one", "up two", "down two", "down one"]);
    let job = fixture.job();
    assert_eq!(job.status("slow"), "INTERRUPTED");
    assert_eq!(job.status("never"), "SKIP");
    assert!(fixture.run(&["release"]).code(0).stdout.is_empty());
}

#[test]
fn requirements_of_a_killed_job_are_released_on_demand() {
    let fixture = Fixture::new();
    let mut slow = logged_test("slow", &json!([logged("one"), logged("two")]));
    slow["args"] = json!(["-c", "touch started; sleep 100"]);
    fixture.recipe("job.json", &[slow]);
    let mut child = fixture.persea(&["run", "job.json"]).spawn().unwrap();
    fixture.wait_for_existence("started");
    let busy = fixture.run(&["release", "latest"]).code(2);
    assert!(busy.stderr.contains("is still running"), "{busy}");
    signal(child.id(), "KILL");
    child.wait().unwrap();
    fixture.assert_no_strays();
    let killed = fixture.job().0;

    let ran = fixture.run(&["run", "/bin/true"]).code(0);
    let advice = format!("to release them: `persea release {}`", killed.display());
    assert!(ran.stderr.contains(&advice), "{ran}");
    // In another project the advice begins with a change of directory, quoted for the shell.
    let elsewhere = fixture.root().join("other place's");
    std::fs::create_dir(&elsewhere).unwrap();
    let project = fixture.project().canonicalize().unwrap();
    let advice = format!(
        "cd {} && persea release {}",
        project.display(),
        killed.display()
    );
    let run_elsewhere =
        |args: &[&str]| fixture.run_with(args, |command| command.current_dir(&elsewhere));
    let ran = run_elsewhere(&["run", "/bin/true"]).code(0);
    assert!(
        ran.stderr.contains(&format!("to release them: `{advice}`")),
        "{ran}"
    );
    let ran = run_elsewhere(&["release"]).code(2);
    assert!(ran.stderr.contains(&advice), "{ran}");
    assert_eq!(fixture.lines("log"), ["up one", "up two"]);
    let ran = fixture.run(&["release"]).code(0);
    assert_eq!(
        ran.stdout,
        "requirement command two: released\nrequirement command one: released\n"
    );
    assert_eq!(
        fixture.lines("log"),
        ["up one", "up two", "down two", "down one"]
    );
    assert_eq!(
        fixture
            .run(&["release", killed.to_str().unwrap()])
            .code(0)
            .stdout,
        ""
    );
    assert_eq!(fixture.run(&["run", "/bin/true"]).code(0).stderr, "");
}

#[test]
fn failed_release_is_reported_and_can_be_retried() {
    let fixture = Fixture::new();
    let stuck = logged_requirement(
        "stuck",
        json!({"teardown": "echo it is stuck >&2; test -e loose"}),
    );
    fixture.recipe(
        "job.json",
        &[logged_test("t", &json!([stuck, logged("fine")]))],
    );
    let ran = fixture.run(&["run", "job.json"]).code(2);
    let last = ran.stderr.lines().last().unwrap();
    assert!(
        last.starts_with("error: cannot release requirement command stuck: "),
        "{ran}"
    );
    assert!(last.ends_with("it is stuck"), "{ran}");
    assert_eq!(fixture.job().status("t"), "PASS");
    assert_eq!(
        fixture.lines("log"),
        ["up stuck", "up fine", "run t", "down fine"]
    );
    fixture.run(&["release"]).code(2);
    fixture.file("loose", "");
    assert_eq!(
        fixture.run(&["release"]).code(0).stdout,
        "requirement command stuck: released\n"
    );
    assert_eq!(fixture.run(&["release"]).code(0).stdout, "");
}

#[test]
fn requirement_timeout_kills_the_process_tree() {
    let fixture = Fixture::new();
    let slow = logged_requirement("slow", json!({"setup": "sleep 100 & sleep 100"}));
    fixture.recipe("job.json", &[logged_test("t", &json!([slow]))]);
    let ran = fixture
        .run(&["run", "--set", "requirement.timeout=0.3", "job.json"])
        .code(2);
    let reason = fixture.job().reason("t");
    assert!(
        reason.ends_with(
            "requirement-resolver `command` has reached its limit on the time to meet or to \
             release a requirement, 0.3 s: `requirement.timeout` raises it, or \
             `plugins.requirement-resolver.command.timeout` alone"
        ),
        "{ran}"
    );
    fixture.assert_no_strays();
}

#[test]
fn python_docstring_declares_requirements() {
    let fixture = Fixture::new();
    fixture.file(
        "test_it.py",
        r#"import unittest


class T(unittest.TestCase):
    def test_it(self):
        """
        :avocado: dependency={"type": "file", "path": "made.txt", "content": "made"}
        """
        with open("made.txt") as made:
            self.assertEqual(made.read(), "made")
"#,
    );
    fixture.run(&["run", "test_it.py"]).code(0);
    assert_eq!(fixture.job().results()["pass"], 1);
    assert!(!fixture.project().join("made.txt").exists());
}

#[test]
fn shuffled_tasks_have_their_requirements() {
    let fixture = Fixture::new();
    let both = json!([
        logged("one"),
        logged_requirement("two", json!({"scope": "task"}))
    ]);
    let runnables: Vec<Value> = (0..8)
        .map(|n| logged_test(&format!("t{n}"), &both))
        .collect();
    fixture.recipe("job.json", &runnables);
    for seed in ["1", "2", "3"] {
        fixture
            .run(&["run", "--shuffle-seed", seed, "job.json"])
            .code(0);
        assert_eq!(fixture.job().results()["pass"], 8);
    }
}

#[test]
fn setup_interrupted_by_ctrl_c_is_released() {
    for (seconds, interrupts, expected) in [
        ("1", 1, ["up slow", "down slow"].as_slice()),
        // The second interrupt kills the setup. Its teardown runs all the same, and may run twice.
        ("100", 2, ["down slow"].as_slice()),
    ] {
        let fixture = Fixture::new();
        let setup = format!("touch started; sleep {seconds}; echo up slow >> log");
        let slow = logged_requirement("slow", json!({"setup": setup}));
        fixture.recipe("job.json", &[logged_test("t", &json!([slow]))]);
        let mut child = fixture.persea(&["run", "job.json"]).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        fixture.wait_for_existence("started");
        let messages = ["Interrupt requested:", "Interrupt requested again:"];
        for message in messages.iter().take(interrupts) {
            signal(child.id(), "INT");
            // Two signals at once would count as one, so the next waits for this message.
            assert!(
                output.any(|line| line.unwrap().contains(message)),
                "{message}"
            );
        }
        let _ = output.count();
        assert_eq!(child.wait().unwrap().code(), Some(8));
        let mut log = fixture.lines("log");
        log.dedup();
        assert_eq!(log, expected);
        assert_eq!(fixture.job().status("t"), "SKIP");
        fixture.assert_no_strays();
    }
}
