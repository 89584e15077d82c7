//! What tasks require: met once for all that share it, undone on every way out, and never a reason to hold up or lose another task.

use std::io::{BufRead as _, BufReader};

use serde_json::{Value, json};

use crate::support::{Sandbox, finish, signal, wait_until};

/// A program that needs something, and writes its name down when it runs.
pub fn needs(name: &str, requirements: &Value) -> Value {
    json!({
        "kind": "exec-test",
        "uri": "/bin/sh",
        "args": ["-c", format!("echo run {name} >> log")],
        "identifier": name,
        "kwargs": {"dependencies": requirements},
    })
}

/// A requirement whose beginning and end are written down; `more` is added to it.
fn noted(name: &str, more: Value) -> Value {
    let mut requirement = json!({
        "type": "command",
        "label": name,
        "setup": format!("echo up {name} >> log"),
        "teardown": format!("echo down {name} >> log"),
    });
    for (key, value) in more.as_object().unwrap() {
        requirement[key] = value.clone();
    }
    requirement
}

pub fn plain(name: &str) -> Value {
    noted(name, json!({}))
}

pub fn recipe(sandbox: &Sandbox, runnables: &[Value]) {
    sandbox.file("job.json", Value::from(runnables).to_string());
}

pub fn log(sandbox: &Sandbox) -> Vec<String> {
    let text = std::fs::read_to_string(sandbox.project().join("log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// What the journal says of the requirements, as `event id`.
fn events(sandbox: &Sandbox) -> Vec<String> {
    let events = sandbox.job().events();
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

fn place(log: &[String], line: &str) -> usize {
    let found = log.iter().position(|one| one == line);
    found.unwrap_or_else(|| panic!("no {line:?} in {log:?}"))
}

#[test]
fn shared_requirement_is_fulfilled_once_and_released_in_reverse_order() {
    let sandbox = Sandbox::new();
    let both = json!([plain("one"), plain("two")]);
    let mut runnables: Vec<Value> = (0..20).map(|n| needs(&format!("t{n}"), &both)).collect();
    runnables.push(needs(
        "kept",
        &json!([noted("three", json!({"scope": "keep"}))]),
    ));
    recipe(&sandbox, &runnables);
    sandbox.run(&["run", "job.json"]).code(0);
    let log = log(&sandbox);
    for line in ["up one", "up two", "up three", "down one", "down two"] {
        assert_eq!(log.iter().filter(|one| *one == line).count(), 1, "{log:?}");
    }
    assert!(place(&log, "up one") < place(&log, "up two"), "{log:?}");
    assert_eq!(log[log.len() - 2..], ["down two", "down one"]);
    assert!(!log.contains(&"down three".to_owned()), "{log:?}");
}

#[test]
fn unmet_requirement_cancels_its_task_without_delaying_others() {
    let sandbox = Sandbox::new();
    // What is missing is only known to be so when the other task has run.
    let slow = json!([{"type": "command", "label": "nothing", "check": "until [ -e free ]; do sleep 0.02; done; false", "setup": "echo no such thing >&2; false"}]);
    recipe(
        &sandbox,
        &[
            needs("needs", &slow),
            json!({"kind": "exec-test", "uri": "/bin/touch", "args": ["free"], "identifier": "free"}),
        ],
    );
    let ran = sandbox
        .run(&["run", "--max-parallel-tasks", "1", "job.json"])
        .code(0);
    let job = sandbox.job();
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
    let sandbox = Sandbox::new();
    let own = noted("own", json!({"scope": "task"}));
    let runnables: Vec<Value> = (0..4)
        .map(|n| needs(&format!("t{n}"), &json!([own])))
        .collect();
    recipe(&sandbox, &runnables);
    sandbox
        .run(&["run", "--max-parallel-tasks", "4", "job.json"])
        .code(0);
    let log = log(&sandbox);
    assert_eq!(log.len(), 12, "{log:?}");
    for three in log.chunks(3) {
        assert_eq!(three[0], "up own", "{log:?}");
        assert!(three[1].starts_with("run t"), "{log:?}");
        assert_eq!(three[2], "down own", "{log:?}");
    }
}

#[test]
fn task_scoped_requirements_are_released_in_reverse_order() {
    let sandbox = Sandbox::new();
    let own = |name: &str| noted(name, json!({"scope": "task"}));
    let mut forsaken = needs("forsaken", &json!([own("c")]));
    forsaken["needs"] = json!(["fails"]);
    recipe(
        &sandbox,
        &[
            needs("two", &json!([own("a"), own("b")])),
            json!({"kind": "exec-test", "uri": "/bin/false", "identifier": "fails"}),
            forsaken,
            needs(
                "half",
                &json!([
                    own("d"),
                    noted("e", json!({"scope": "task", "setup": "false"}))
                ]),
            ),
        ],
    );
    sandbox.run(&["run", "job.json"]).code(1);
    let job = sandbox.job();
    assert_eq!(
        job.reason("forsaken"),
        "it needs `2-fails`, which has ended FAIL"
    );
    assert_eq!(job.status("half"), "CANCEL");
    let log = log(&sandbox);
    let of = |names: &[&str]| -> Vec<&str> {
        let all = log.iter().map(String::as_str);
        all.filter(|line| names.iter().any(|name| line.ends_with(name)))
            .collect()
    };
    assert_eq!(
        of(&[" a", " b", "two"]),
        ["up a", "up b", "run two", "down b", "down a"]
    );
    assert!(of(&[" c"]).is_empty(), "{log:?}");
    // What was brought about before something failed is undone all the same.
    assert_eq!(of(&[" d", "half"]), ["up d", "down d"]);
}

#[test]
fn requirement_already_present_is_not_released() {
    let sandbox = Sandbox::new();
    recipe(
        &sandbox,
        &[needs(
            "t",
            &json!([noted("there", json!({"check": "true"}))]),
        )],
    );
    sandbox.run(&["run", "job.json"]).code(0);
    assert_eq!(log(&sandbox), ["run t"]);
    assert_eq!(
        events(&sandbox),
        ["started 1-command-there", "present 1-command-there"]
    );
}

#[test]
fn requirement_variables_reach_only_its_tasks() {
    let sandbox = Sandbox::new();
    let setup = json!({"setup": "echo PORT=4711 >> \"$PERSEA_ENV\"", "env": ["PORT"]});
    let mut with = needs("with", &json!([noted("server", setup)]));
    with["args"] = json!(["-c", "echo \"${PORT-none}\""]);
    let mut without = needs("without", &json!([]));
    without["args"] = json!(["-c", "echo \"${PORT-none}\""]);
    recipe(&sandbox, &[with, without]);
    sandbox.run(&["run", "job.json"]).code(0);
    let job = sandbox.job();
    assert_eq!(job.artifact("with", "stdout"), "4711\n");
    assert_eq!(job.artifact("without", "stdout"), "none\n");
}

#[test]
fn invalid_requirement_cancels_only_its_task() {
    let sandbox = Sandbox::new();
    let version =
        |version: &str| json!([{"type": "package", "name": "left-pad", "version": version}]);
    recipe(
        &sandbox,
        &[
            needs("unknown", &json!([{"type": "moon-phase", "name": "full"}])),
            needs("scope", &json!([noted("x", json!({"scope": "for ever"}))])),
            needs("both", &json!([version("1")[0], version("2")[0]])),
            needs("fine", &json!([])),
        ],
    );
    sandbox.run(&["run", "job.json"]).code(0);
    let job = sandbox.job();
    for (name, words) in [
        (
            "unknown",
            "requirement `moon-phase full`: no requirement resolver for its kind; add a plugin",
        ),
        (
            "scope",
            "its scope is `task`, `suite`, `job` or `keep`, and not \"for ever\"",
        ),
        ("both", "cannot be met together with `package left-pad`"),
    ] {
        assert_eq!(job.status(name), "CANCEL", "{name}");
        let reason = job.reason(name);
        assert!(reason.contains(words), "{name}: {reason}");
    }
    assert_eq!(job.status("fine"), "PASS");
}

#[test]
fn ctrl_c_ends_tests_and_then_releases_requirements() {
    let sandbox = Sandbox::new();
    let mut slow = needs(
        "slow",
        &json!([plain("one"), noted("two", json!({"scope": "task"}))]),
    );
    slow["args"] = json!(["-c", "touch started; sleep 100"]);
    let mut never = needs("never", &json!([plain("one")]));
    never["after"] = json!(["slow"]);
    recipe(&sandbox, &[slow, never]);
    let child = sandbox
        .persea(&["run", "--max-parallel-tasks", "1", "job.json"])
        .spawn()
        .unwrap();
    wait_until("the test runs", || {
        match sandbox.project().join("started").exists() {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        }
    });
    signal(child.id(), "INT");
    finish(child).code(8);
    let log = log(&sandbox);
    assert_eq!(log, ["up one", "up two", "down two", "down one"]);
    let job = sandbox.job();
    assert_eq!(job.status("slow"), "INTERRUPTED");
    assert_eq!(job.status("never"), "SKIP");
    assert!(sandbox.run(&["release"]).code(0).stdout.is_empty());
}

#[test]
fn requirements_of_a_killed_job_are_released_on_demand() {
    let sandbox = Sandbox::new();
    let mut slow = needs("slow", &json!([plain("one"), plain("two")]));
    slow["args"] = json!(["-c", "touch started; sleep 100"]);
    recipe(&sandbox, &[slow]);
    let mut child = sandbox.persea(&["run", "job.json"]).spawn().unwrap();
    wait_until("the test runs", || {
        match sandbox.project().join("started").exists() {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        }
    });
    let busy = sandbox.run(&["release", "latest"]).code(2);
    assert!(busy.stderr.contains("is still running"), "{busy}");
    signal(child.id(), "KILL");
    child.wait().unwrap();
    sandbox.assert_no_strays();
    let killed = sandbox.job().0;

    let ran = sandbox.run(&["run", "/bin/true"]).code(0);
    let way_out = format!("`persea release {}` does that", killed.display());
    assert!(ran.stderr.contains(&way_out), "{ran}");
    // The advice works also where another project is.
    let elsewhere = sandbox.root().join("other place's");
    std::fs::create_dir(&elsewhere).unwrap();
    let project = sandbox.project().canonicalize().unwrap();
    let way_out = format!(
        "cd {} && persea release {}",
        project.display(),
        killed.display()
    );
    let mut command = sandbox.persea(&["run", "/bin/true"]);
    let ran = finish(command.current_dir(&elsewhere).spawn().unwrap()).code(0);
    assert!(
        ran.stderr.contains(&format!("`{way_out}` does that")),
        "{ran}"
    );
    let mut command = sandbox.persea(&["release"]);
    let ran = finish(command.current_dir(&elsewhere).spawn().unwrap()).code(2);
    assert!(ran.stderr.contains(&way_out), "{ran}");
    assert_eq!(log(&sandbox), ["up one", "up two"]);
    let ran = sandbox.run(&["release"]).code(0);
    assert_eq!(
        ran.stdout,
        "requirement command two: released\nrequirement command one: released\n"
    );
    assert_eq!(log(&sandbox), ["up one", "up two", "down two", "down one"]);
    assert_eq!(
        sandbox
            .run(&["release", killed.to_str().unwrap()])
            .code(0)
            .stdout,
        ""
    );
    assert_eq!(sandbox.run(&["run", "/bin/true"]).code(0).stderr, "");
}

#[test]
fn failed_release_is_reported_and_can_be_retried() {
    let sandbox = Sandbox::new();
    let stuck = noted(
        "stuck",
        json!({"teardown": "echo it is stuck >&2; test -e loose"}),
    );
    recipe(&sandbox, &[needs("t", &json!([stuck, plain("fine")]))]);
    let ran = sandbox.run(&["run", "job.json"]).code(2);
    let last = ran.stderr.lines().last().unwrap();
    assert!(
        last.starts_with("error: requirement command stuck could not be released: "),
        "{ran}"
    );
    assert!(last.ends_with("it is stuck"), "{ran}");
    assert_eq!(sandbox.job().status("t"), "PASS");
    assert_eq!(log(&sandbox), ["up stuck", "up fine", "run t", "down fine"]);
    sandbox.run(&["release"]).code(2);
    sandbox.file("loose", "");
    assert_eq!(
        sandbox.run(&["release"]).code(0).stdout,
        "requirement command stuck: released\n"
    );
    assert_eq!(sandbox.run(&["release"]).code(0).stdout, "");
}

#[test]
fn requirement_timeout_kills_the_process_tree() {
    let sandbox = Sandbox::new();
    let slow = noted("slow", json!({"setup": "sleep 100 & sleep 100"}));
    recipe(&sandbox, &[needs("t", &json!([slow]))]);
    let ran = sandbox
        .run(&["run", "--set", "requirement.timeout=0.3", "job.json"])
        .code(2);
    let reason = sandbox.job().reason("t");
    assert!(
        reason.ends_with("requirement-resolver `command` has reached its limit on the time to meet or to release a requirement, 0.3 s: `requirement.timeout` raises it, or `plugins.requirement-resolver.command.timeout` alone"),
        "{ran}"
    );
    sandbox.assert_no_strays();
}

#[test]
fn python_docstring_declares_requirements() {
    let sandbox = Sandbox::new();
    sandbox.file(
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
    sandbox.run(&["run", "test_it.py"]).code(0);
    assert_eq!(sandbox.job().results()["pass"], 1);
    assert!(!sandbox.project().join("made.txt").exists());
}

#[test]
fn shuffled_tasks_have_their_requirements() {
    let sandbox = Sandbox::new();
    let both = json!([plain("one"), noted("two", json!({"scope": "task"}))]);
    let runnables: Vec<Value> = (0..8).map(|n| needs(&format!("t{n}"), &both)).collect();
    recipe(&sandbox, &runnables);
    for seed in ["1", "2", "3"] {
        sandbox
            .run(&["run", "--shuffle-seed", seed, "job.json"])
            .code(0);
        assert_eq!(sandbox.job().results()["pass"], 8);
    }
}

#[test]
fn setup_interrupted_by_ctrl_c_is_released() {
    for (seconds, interrupts, expected) in [
        ("1", 1, ["up slow", "down slow"].as_slice()),
        // It never came so far; what there is of it is undone all the same, and rather twice than never.
        ("100", 2, ["down slow"].as_slice()),
    ] {
        let sandbox = Sandbox::new();
        let setup = format!("touch started; sleep {seconds}; echo up slow >> log");
        let slow = noted("slow", json!({"setup": setup}));
        recipe(&sandbox, &[needs("t", &json!([slow]))]);
        let mut child = sandbox.persea(&["run", "job.json"]).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        wait_until("the setup runs", || {
            match sandbox.project().join("started").exists() {
                true => Ok(()),
                false => Err("not yet".to_owned()),
            }
        });
        for heard in ["Interrupt requested:", "Interrupt requested again:"]
            .iter()
            .take(interrupts)
        {
            signal(child.id(), "INT");
            // Two at once would count as one.
            assert!(told.any(|line| line.unwrap().contains(heard)), "{heard}");
        }
        let _ = told.count();
        assert_eq!(child.wait().unwrap().code(), Some(8));
        let mut log = log(&sandbox);
        log.dedup();
        assert_eq!(log, expected);
        assert_eq!(sandbox.job().status("t"), "SKIP");
        sandbox.assert_no_strays();
    }
}
