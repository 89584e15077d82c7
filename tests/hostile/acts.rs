//! What runs because a plugin said so, as its own act: a plugin that may start nothing has nothing started by others either.

use serde_json::{Value, json};

use crate::support::plugins::{components, install};
use crate::support::{Ran, Sandbox};

/// A sandbox with a plugin in a directory that no lock binds.
fn with(name: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file(&format!("plugins/{name}.wasm"), &components()[name]);
    sandbox
}

fn run(sandbox: &Sandbox, options: &[&str]) -> Ran {
    let fixed = ["run", "--plugin-dir", "plugins"];
    sandbox.run(&[&fixed, options].concat())
}

fn is_there(sandbox: &Sandbox, name: &str) -> bool {
    sandbox.project().join(name).exists()
}

/// Types the line of persea's that a text tells, the last of several.
#[track_caller]
fn type_what_it_says(sandbox: &Sandbox, text: &str) {
    let quoted = text.split('`').skip(1).step_by(2);
    let line = quoted.filter(|quoted| quoted.starts_with("persea ")).last();
    let line = line.unwrap_or_else(|| panic!("no line to type in {text}"));
    let args: Vec<&str> = line.split(' ').skip(1).collect();
    sandbox.run(&args).code(0);
}

/// A test that a shell with variables of its own would do something before.
fn bash(name: &str, requirements: &Value) -> Value {
    json!({
        "kind": "exec-test", "uri": "/bin/bash", "args": ["-c", "true"], "identifier": name,
        "kwargs": {"dependencies": requirements},
    })
}

#[test]
fn runnable_of_a_resolver_runs_only_with_its_granted_spawners() {
    let sandbox = with("hostile-resolver");
    sandbox.file("hands.bad", "");
    let all = ["--grant", "workspace", "hands.bad", "/bin/true"];
    run(&sandbox, &all).code(1);
    let job = sandbox.job();
    assert_eq!(job.status("hands"), "ERROR");
    let reason = job.reason("hands");
    assert_eq!(
        reason,
        "resolver `hostile` (plugins/hostile-resolver.wasm) may have processes started with the spawner `sandbox` only, and this job's is `process`: use `--spawner sandbox`, or `persea plugin add plugins/hostile-resolver.wasm --grant process=sandbox,process --grant workspace=.`"
    );
    assert!(!is_there(&sandbox, "by-hand"));
    // What starts nothing, and what others have made, is run.
    assert_eq!(job.status("harmless"), "PASS");
    assert_eq!(job.status("/bin/true"), "PASS");
    // Where it's kept apart it may, and on the machine nothing of it is seen.
    run(&sandbox, &[&all[..], &["--spawner", "sandbox"]].concat()).code(0);
    assert_eq!(sandbox.job().status("hands"), "PASS");
    assert!(!is_there(&sandbox, "by-hand"));
    type_what_it_says(&sandbox, &reason);
    run(&sandbox, &all).code(0);
    assert!(is_there(&sandbox, "by-hand"));
}

#[test]
fn runnable_of_a_resolver_shares_no_sandbox_with_other_tests() {
    let sandbox = with("hostile-resolver");
    sandbox.file("hands.bad", "");
    let test = |name: &str, line: &str| json!({"kind": "exec-test", "uri": "/bin/sh", "args": ["-c", line], "identifier": name});
    let tests = [
        test("alone", "test ! -e by-hand && touch own"),
        test("beside", "test ! -e by-hand && test -e own"),
    ];
    sandbox.file("own.json", Value::from(&tests[..]).to_string());
    let options = [
        "--grant",
        "workspace",
        "--spawner",
        "sandbox",
        "--max-parallel-tasks",
        "1",
    ];
    run(
        &sandbox,
        &[&options[..], &["hands.bad", "own.json"]].concat(),
    )
    .code(0);
    let job = sandbox.job();
    let names = ["hands", "harmless", "alone", "beside"];
    assert_eq!(names.map(|name| job.status(name)), ["PASS"; 4]);
}

#[test]
fn requirement_of_a_resolver_needs_its_grants() {
    let sandbox = with("hostile-resolver");
    sandbox.file("requires.bad", "");
    let all = ["--grant", "workspace", "requires.bad", "/bin/true"];
    run(&sandbox, &all).code(1);
    let job = sandbox.job();
    let reason = job.reason("requires");
    assert_eq!(job.status("requires"), "ERROR");
    let words = "requirement `command`: resolver `hostile` (plugins/hostile-resolver.wasm) may have processes started with the spawner `sandbox` only";
    assert!(reason.starts_with(words), "{reason}");
    assert!(!is_there(&sandbox, "by-requirement"));
    type_what_it_says(&sandbox, &reason);
    run(&sandbox, &all).code(0);
    assert!(is_there(&sandbox, "by-requirement"));
}

#[test]
fn requirement_of_a_resolver_reaches_no_ungranted_network() {
    let sandbox = with("hostile-resolver");
    sandbox.file("fetches.bad", "");
    sandbox.file("mirror/abc.txt", "abc");
    let all = [
        "--spawner",
        "sandbox",
        "--grant",
        "workspace",
        "fetches.bad",
        "/bin/true",
    ];
    run(&sandbox, &all).code(1);
    let job = sandbox.job();
    let reason = job.reason("fetches");
    assert_eq!(job.status("fetches"), "ERROR");
    assert_eq!(
        reason,
        "requirement `asset`: resolver `hostile` (plugins/hostile-resolver.wasm) may not have processes reach the network: `persea plugin add plugins/hostile-resolver.wasm --grant workspace=. --grant fetch=*` lets it"
    );
    assert_eq!(job.status("/bin/true"), "PASS");
    type_what_it_says(&sandbox, &reason);
    run(&sandbox, &all).code(0);
}

#[test]
fn parameter_of_a_varianter_needs_its_grants() {
    let sandbox = with("hostile-varianter");
    let job = r#"
        [[suite]]
        name = "all"
        task = [{kind = "exec-test", uri = "/bin/bash", args = ["-c", "true"], identifier = "t"}]
        variants = {plugin = "hostile", how = "taints"}
        [[suite]]
        name = "other"
        references = ["/bin/true"]
    "#;
    sandbox.file("job.toml", job);
    let all = ["--grant", "workspace", "--job", "job.toml"];
    run(&sandbox, &all).code(1);
    let job = sandbox.job();
    let reason = job.reason("t");
    assert_eq!(job.status("t"), "ERROR");
    let words = "varianter `hostile` (plugins/hostile-varianter.wasm) may have processes started with the spawner `sandbox` only, and this job's is `process`: use `--spawner sandbox`, or `persea plugin add ";
    assert!(reason.starts_with(words), "{reason}");
    assert_eq!(job.status("/bin/true"), "PASS");
    assert!(!is_there(&sandbox, "by-parameter"));
    run(&sandbox, &[&all[..], &["--spawner", "sandbox"]].concat()).code(0);
    assert!(!is_there(&sandbox, "by-parameter"));
    type_what_it_says(&sandbox, &reason);
    run(&sandbox, &all).code(0);
    assert!(is_there(&sandbox, "by-parameter"));
}

#[test]
fn variable_of_a_requirement_resolver_needs_its_grants() {
    let sandbox = with("hostile-requirement");
    let taints = json!([{"type": "taints"}]);
    let noop = json!({"kind": "noop", "uri": "n", "kwargs": {"dependencies": taints}});
    let all = [bash("t", &taints), noop, bash("other", &json!([]))];
    sandbox.file("job.json", Value::from(all.to_vec()).to_string());
    let all = ["--grant", "fetch=.", "job.json"];
    run(&sandbox, &all).code(1);
    let job = sandbox.job();
    let reason = job.reason("t");
    assert_eq!(job.status("t"), "ERROR");
    let words = "requirement `taints`: requirement-resolver `hostile` (plugins/hostile-requirement.wasm) may have processes started with the spawner `sandbox` only, and this job's is `process`: use `--spawner sandbox`, or `persea plugin add ";
    assert!(reason.starts_with(words), "{reason}");
    assert!(!is_there(&sandbox, "by-variable"));
    for name in ["n", "other"] {
        assert_eq!(job.status(name), "PASS");
    }
    run(&sandbox, &[&all[..], &["--spawner", "sandbox"]].concat()).code(0);
    assert!(!is_there(&sandbox, "by-variable"));
    type_what_it_says(&sandbox, &reason);
    run(&sandbox, &all).code(0);
    assert!(is_there(&sandbox, "by-variable"));
}

#[test]
fn resolver_makes_only_its_declared_kinds() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["resolver-list"]);
    sandbox.file("odd.list", "$ true\nnoop: x\n");
    sandbox.file("good.list", "$ echo good\n");
    run(&sandbox, &["odd.list", "good.list"]).code(1);
    let job = sandbox.job();
    assert_eq!(job.status("odd.list"), "ERROR");
    assert_eq!(
        job.reason("odd.list"),
        "resolver `list` (plugins/resolver-list.wasm) has made a runnable of the kind `noop`, and the kinds that it declares are: exec-test, greet"
    );
    assert_eq!(job.status("echo good"), "PASS");
    assert_eq!(job.results()["total"], 2);
}

/// A job whose token is there when its host is killed.
fn killed(sandbox: &Sandbox) {
    let mut slow = bash("slow", &json!([{"type": "token", "uri": "a"}]));
    slow["args"] = json!(["-c", "touch started; sleep 100"]);
    sandbox.file("job.json", json!([slow]).to_string());
    let mut child = sandbox.persea(&["run", "job.json"]).spawn().unwrap();
    crate::support::wait_until("the test runs", || match is_there(sandbox, "started") {
        true => Ok(()),
        false => Err("not yet".to_owned()),
    });
    crate::support::signal(child.id(), "KILL");
    child.wait().unwrap();
    sandbox.assert_no_strays();
    assert!(is_there(sandbox, "a.token"));
}

#[test]
fn release_needs_the_grants_of_the_resolver() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["requirement-token"]);
    killed(&sandbox);
    let update = |grant: &str| {
        let name = "requirement-resolver.token";
        sandbox
            .run(&["plugin", "update", name, "--grant", grant])
            .code(0);
    };
    update("process=sandbox");
    let ran = sandbox.run(&["release"]).code(2);
    let why = "requirement token a could not be released: requirement-resolver `token` (plugins/requirement-token.wasm) may start processes with the spawner `sandbox` only, and what is left was made with `process`: `persea plugin update requirement-resolver.token --grant process=sandbox,process`";
    assert!(ran.stderr.contains(why), "{ran}");
    assert!(is_there(&sandbox, "a.token"));
    type_what_it_says(&sandbox, &ran.stderr);
    let ran = sandbox.run(&["release"]).code(0);
    assert_eq!(ran.stdout, "requirement token a: released\n");
    assert!(!is_there(&sandbox, "a.token"));
}

#[test]
fn journal_of_another_user_is_not_executed() {
    let sandbox = Sandbox::new();
    let event = |event: &str, data: Value| json!({"event": event, "time": 1, "data": data});
    let requirement =
        json!({"kind": "command", "kwargs": {"setup": "true", "teardown": "touch by-journal"}});
    let about = json!({"id": "1", "name": "command", "requirement": requirement, "scope": "job", "resolver": "command"});
    let lines = [
        event("job-started", json!({})),
        event("requirement-started", about),
        event("requirement-absent", json!({"id": "1"})),
    ];
    let lines = lines.map(|line| format!("{line}\n")).concat();
    sandbox.file("job-of-a-stranger/events.jsonl", lines);
    let ran = sandbox.run(&["release", "job-of-a-stranger"]).code(4);
    let why = "is not known as a job of yours that has left something, and what its journal says would be run";
    assert!(ran.stderr.contains(why), "{ran}");
    assert!(!is_there(&sandbox, "by-journal"));
    let trusts = ["release", "--trust-journal", "job-of-a-stranger"];
    let ran = sandbox.run(&trusts).code(0);
    assert_eq!(ran.stdout, "requirement command: released\n");
    assert!(is_there(&sandbox, "by-journal"));
}
