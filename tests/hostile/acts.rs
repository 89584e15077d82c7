//! Owns provenance: what runs because a plugin produced it is bound by the grants of that plugin. A
//! plugin that may start no process cannot have another start it.

use serde_json::{Value, json};

use crate::support::plugins::{install, with_unlocked};
use crate::support::recipes::{noop, requiring, shell, with};
use crate::support::{Fixture, Ran, assert_stderr, signal};

/// Runs a job with the plugins of the directory.
fn run(fixture: &Fixture, options: &[&str]) -> Ran {
    let fixed = ["run", "--plugin-dir", "plugins"];
    fixture.run(&[&fixed, options].concat())
}

/// The project has this file, which a hostile plugin creates if it gets a process started.
fn exists(fixture: &Fixture, name: &str) -> bool {
    fixture.project().join(name).exists()
}

/// Runs the last command of the program that a message suggests.
#[track_caller]
fn run_suggestion(fixture: &Fixture, text: &str) {
    let quoted = text.split('`').skip(1).step_by(2);
    let command = quoted.filter(|quoted| quoted.starts_with("persea ")).last();
    let command = command.unwrap_or_else(|| panic!("no command in {text}"));
    let args: Vec<&str> = command.split(' ').skip(1).collect();
    fixture.run(&args).code(0);
}

/// A test that runs bash, which expands the variable `BASH_ENV` before it reads its script.
fn bash(name: &str, requirements: &Value) -> Value {
    let bash = with(shell(name, "true"), "uri", json!("/bin/bash"));
    requiring(bash, requirements)
}

#[test]
fn runnable_of_a_resolver_runs_only_with_its_granted_spawners() {
    let fixture = with_unlocked(&["hostile-resolver"]);
    fixture.file("hands.bad", "");
    let all = ["--grant", "workspace", "hands.bad", "/bin/true"];
    run(&fixture, &all).code(1);
    let job = fixture.job();
    assert_eq!(job.status("hands"), "ERROR");
    let reason = job.reason("hands");
    assert_eq!(
        reason,
        "resolver `hostile` (plugins/hostile-resolver.wasm) may have processes started with the \
         spawner `sandbox` or `container` only, and the test's is `process`: use `--spawner \
         sandbox`, or `persea plugin add plugins/hostile-resolver.wasm --grant \
         process=sandbox,container,process --grant workspace=.`"
    );
    assert!(!exists(&fixture, "by-hand"));
    // The resolver's test that starts no process runs, and so does a test of another resolver.
    assert_eq!(job.status("harmless"), "PASS");
    assert_eq!(job.status("/bin/true"), "PASS");
    // In a sandbox the test may run, and its file does not reach the project.
    run(&fixture, &[&all[..], &["--spawner", "sandbox"]].concat()).code(0);
    assert_eq!(fixture.job().status("hands"), "PASS");
    assert!(!exists(&fixture, "by-hand"));
    run_suggestion(&fixture, &reason);
    run(&fixture, &all).code(0);
    assert!(exists(&fixture, "by-hand"));
}

#[test]
fn runnable_of_a_resolver_shares_no_sandbox_with_other_tests() {
    let fixture = with_unlocked(&["hostile-resolver"]);
    fixture.file("hands.bad", "");
    // The user's own tests share a sandbox with each other.
    let tests = [
        shell("alone", "test ! -e by-hand && touch own"),
        shell("beside", "test ! -e by-hand && test -e own"),
    ];
    fixture.recipe("own.json", &tests);
    let options = [
        "--grant",
        "workspace",
        "--spawner",
        "sandbox",
        "--max-parallel-tasks",
        "1",
    ];
    run(
        &fixture,
        &[&options[..], &["hands.bad", "own.json"]].concat(),
    )
    .code(0);
    let job = fixture.job();
    let names = ["hands", "harmless", "alone", "beside"];
    assert_eq!(names.map(|name| job.status(name)), ["PASS"; 4]);
}

#[test]
fn requirement_of_a_resolver_needs_its_grants() {
    let fixture = with_unlocked(&["hostile-resolver"]);
    fixture.file("requires.bad", "");
    let all = ["--grant", "workspace", "requires.bad", "/bin/true"];
    run(&fixture, &all).code(1);
    let job = fixture.job();
    let reason = job.reason("requires");
    assert_eq!(job.status("requires"), "ERROR");
    let error = "requirement `command`: resolver `hostile` (plugins/hostile-resolver.wasm) may \
                 have processes started with the spawner `sandbox` or `container` only";
    assert!(reason.starts_with(error), "{reason}");
    assert!(!exists(&fixture, "by-requirement"));
    run_suggestion(&fixture, &reason);
    run(&fixture, &all).code(0);
    assert!(exists(&fixture, "by-requirement"));
}

#[test]
fn requirement_of_a_resolver_reaches_no_ungranted_network() {
    let fixture = with_unlocked(&["hostile-resolver"]);
    fixture.file("fetches.bad", "");
    fixture.file("mirror/abc.txt", "abc");
    let all = [
        "--spawner",
        "sandbox",
        "--grant",
        "workspace",
        "fetches.bad",
        "/bin/true",
    ];
    run(&fixture, &all).code(1);
    let job = fixture.job();
    let reason = job.reason("fetches");
    assert_eq!(job.status("fetches"), "ERROR");
    assert_eq!(
        reason,
        "requirement `asset`: resolver `hostile` (plugins/hostile-resolver.wasm) may not have \
         processes reach the network: `persea plugin add plugins/hostile-resolver.wasm --grant \
         workspace=. --grant fetch=*` lets it"
    );
    assert_eq!(job.status("/bin/true"), "PASS");
    run_suggestion(&fixture, &reason);
    run(&fixture, &all).code(0);
}

#[test]
fn parameter_of_a_varianter_needs_its_grants() {
    let fixture = with_unlocked(&["hostile-varianter"]);
    let job = r#"
        [[suite]]
        name = "all"
        task = [{kind = "exec-test", uri = "/bin/bash", args = ["-c", "true"], identifier = "t"}]
        variants = {plugin = "hostile", how = "taints"}
        [[suite]]
        name = "other"
        references = ["/bin/true"]
    "#;
    fixture.file("job.toml", job);
    let all = ["--grant", "workspace", "--job", "job.toml"];
    run(&fixture, &all).code(1);
    let job = fixture.job();
    let reason = job.reason("t");
    assert_eq!(job.status("t"), "ERROR");
    let error = "varianter `hostile` (plugins/hostile-varianter.wasm) may have processes started \
                 with the spawner `sandbox` or `container` only, and the test's is `process`: use \
                 `--spawner sandbox`, or `persea plugin add ";
    assert!(reason.starts_with(error), "{reason}");
    assert_eq!(job.status("/bin/true"), "PASS");
    assert!(!exists(&fixture, "by-parameter"));
    run(&fixture, &[&all[..], &["--spawner", "sandbox"]].concat()).code(0);
    assert!(!exists(&fixture, "by-parameter"));
    run_suggestion(&fixture, &reason);
    run(&fixture, &all).code(0);
    assert!(exists(&fixture, "by-parameter"));
}

#[test]
fn variable_of_a_requirement_resolver_needs_its_grants() {
    let fixture = with_unlocked(&["hostile-requirement"]);
    let taints = json!([{"type": "taints"}]);
    let tests = [
        bash("t", &taints),
        requiring(noop("n"), &taints),
        bash("other", &json!([])),
    ];
    fixture.recipe("job.json", &tests);
    let all = ["--grant", "fetch=.", "job.json"];
    run(&fixture, &all).code(1);
    let job = fixture.job();
    let reason = job.reason("t");
    assert_eq!(job.status("t"), "ERROR");
    let error = "requirement `taints`: requirement-resolver `hostile` \
                 (plugins/hostile-requirement.wasm) may have processes started with the spawner \
                 `sandbox` or `container` only, and the test's is `process`: use `--spawner \
                 sandbox`, or `persea plugin add ";
    assert!(reason.starts_with(error), "{reason}");
    assert!(!exists(&fixture, "by-variable"));
    for name in ["n", "other"] {
        assert_eq!(job.status(name), "PASS");
    }
    run(&fixture, &[&all[..], &["--spawner", "sandbox"]].concat()).code(0);
    assert!(!exists(&fixture, "by-variable"));
    run_suggestion(&fixture, &reason);
    run(&fixture, &all).code(0);
    assert!(exists(&fixture, "by-variable"));
}

#[test]
fn resolver_makes_only_its_declared_kinds() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["resolver-list"]);
    fixture.file("odd.list", "$ true\nnoop: x\n");
    fixture.file("good.list", "$ echo good\n");
    run(&fixture, &["odd.list", "good.list"]).code(1);
    let job = fixture.job();
    assert_eq!(job.status("odd.list"), "ERROR");
    assert_eq!(
        job.reason("odd.list"),
        "resolver `list` (plugins/resolver-list.wasm) has made a runnable of the undeclared \
         kind `noop`; it declares: exec-test, greet"
    );
    assert_eq!(job.status("echo good"), "PASS");
    assert_eq!(job.results()["total"], 2);
}

/// Kills the host of a job whose requirement, a token, is fulfilled and not yet released.
fn kill_job_with_token(fixture: &Fixture) {
    let slow = shell("slow", "touch started; sleep 100");
    let slow = requiring(slow, &json!([{"type": "token", "uri": "a"}]));
    fixture.recipe("job.json", &[slow]);
    let mut child = fixture.persea(&["run", "job.json"]).spawn().unwrap();
    fixture.wait_for_existence("started");
    signal(child.id(), "KILL");
    child.wait().unwrap();
    fixture.assert_no_strays();
    assert!(exists(fixture, "a.token"));
}

#[test]
fn release_needs_the_grants_of_the_resolver() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["requirement-token"]);
    kill_job_with_token(&fixture);
    let update = |grant: &str| {
        let name = "requirement-resolver.token";
        fixture
            .run(&["plugin", "update", name, "--grant", grant])
            .code(0);
    };
    update("process=sandbox");
    let ran = fixture.run(&["release"]).code(2);
    let error = "cannot release requirement token a: requirement-resolver `token` \
                 (plugins/requirement-token.wasm) may start processes with the spawner `sandbox` \
                 only, and what is left was made with `process`: `persea plugin update \
                 requirement-resolver.token --grant process=sandbox,process`";
    assert_stderr(&ran, &[error]);
    assert!(exists(&fixture, "a.token"));
    run_suggestion(&fixture, &ran.stderr);
    let ran = fixture.run(&["release"]).code(0);
    assert_eq!(ran.stdout, "requirement token a: released\n");
    assert!(!exists(&fixture, "a.token"));
}

#[test]
fn journal_of_another_user_is_not_executed() {
    let fixture = Fixture::new();
    let event = |event: &str, data: Value| json!({"event": event, "time": 1, "data": data});
    let requirement =
        json!({"kind": "command", "kwargs": {"setup": "true", "teardown": "touch by-journal"}});
    let about = json!({
        "id": "1", "name": "command", "requirement": requirement, "scope": "job",
        "resolver": "command",
    });
    let lines = [
        event("job-started", json!({})),
        event("requirement-started", about),
        event("requirement-absent", json!({"id": "1"})),
    ];
    let lines = lines.map(|line| format!("{line}\n")).concat();
    fixture.file("job-of-a-stranger/events.jsonl", lines);
    let ran = fixture.run(&["release", "job-of-a-stranger"]).code(4);
    let error = "is not known as a job of yours with unreleased requirements, and a release runs \
                 commands from its journal";
    assert_stderr(&ran, &[error]);
    assert!(!exists(&fixture, "by-journal"));
    let trusts = ["release", "--trust-journal", "job-of-a-stranger"];
    let ran = fixture.run(&trusts).code(0);
    assert_eq!(ran.stdout, "requirement command: released\n");
    assert!(exists(&fixture, "by-journal"));
}
