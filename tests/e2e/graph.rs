//! Tasks that wait for each other, and that share what there is little of.

use serde_json::{Value, json};

use crate::support::Sandbox;

/// When tasks have started and ended, as words.
fn order(sandbox: &Sandbox) -> Vec<String> {
    let events = sandbox.job().events();
    let word = |event: &Value| {
        let what = match event["event"].as_str()? {
            "task-started" => "started",
            "task-finished" => "ended",
            _ => return None,
        };
        Some(format!("{} {what}", event["task"].as_str()?))
    };
    events.iter().filter_map(word).collect()
}

fn recipe(sandbox: &Sandbox, runnables: &Value) {
    sandbox.file("graph.json", runnables.to_string());
}

fn exec(name: &str, uri: &str) -> Value {
    json!({"kind": "exec-test", "uri": uri, "identifier": name})
}

fn with(mut runnable: Value, key: &str, value: Value) -> Value {
    runnable[key] = value;
    runnable
}

#[test]
fn task_starts_after_its_dependencies_without_delaying_others() {
    let sandbox = Sandbox::new();
    // It ends only when the independent one has run: nobody else's waiting holds that up.
    sandbox.script("slow.sh", "until [ -e free ]; do sleep 0.02; done");
    sandbox.script("free.sh", "touch free");
    recipe(
        &sandbox,
        &json!([
            with(exec("last", "/bin/true"), "needs", json!(["slow"])),
            with(exec("after", "/bin/true"), "after", json!(["1-last"])),
            exec("slow", "./slow.sh"),
            exec("free", "./free.sh"),
        ]),
    );
    sandbox
        .run(&["run", "--max-parallel-tasks", "2", "graph.json"])
        .code(0);
    let order = order(&sandbox);
    let place = |what: &str| order.iter().position(|event| event == what).unwrap();
    assert!(place("4-free started") < place("3-slow ended"), "{order:?}");
    assert!(place("3-slow ended") < place("1-last started"), "{order:?}");
    assert!(
        place("1-last ended") < place("2-after started"),
        "{order:?}"
    );
}

#[test]
fn task_that_needs_a_failed_task_is_cancelled() {
    let sandbox = Sandbox::new();
    recipe(
        &sandbox,
        &json!([
            exec("fails", "/bin/false"),
            with(exec("needs", "/bin/true"), "needs", json!(["fails"])),
            with(exec("too", "/bin/true"), "needs", json!(["needs"])),
            with(exec("cleans-up", "/bin/true"), "after", json!(["too"])),
        ]),
    );
    sandbox.run(&["run", "graph.json"]).code(1);
    let job = sandbox.job();
    assert_eq!(job.status("needs"), "CANCEL");
    assert_eq!(
        job.reason("needs"),
        "it needs `1-fails`, which has ended FAIL"
    );
    assert_eq!(
        job.reason("too"),
        "it needs `2-needs`, which has ended CANCEL"
    );
    assert_eq!(job.status("cleans-up"), "PASS");
    let results = job.results();
    assert_eq!(results["total"], 4);
    assert_eq!(results["cancel"], 2);
}

#[test]
fn mutexes_and_resources_are_never_overcommitted() {
    let sandbox = Sandbox::new();
    sandbox.script("alone.sh", "mkdir lock || exit 1; sleep 0.03; rmdir lock");
    sandbox.script(
        "two.sh",
        "mkdir one 2>/dev/null && d=one || { mkdir two && d=two; } || exit 1; sleep 0.03; rmdir $d",
    );
    let alone = with(exec("alone", "./alone.sh"), "mutexes", json!(["lock"]));
    let two = with(exec("two", "./two.sh"), "resources", json!({"gpu": 1}));
    let all: Vec<Value> = (0..10).flat_map(|_| [alone.clone(), two.clone()]).collect();
    recipe(&sandbox, &Value::from(all));
    sandbox
        .run(&[
            "run",
            "--max-parallel-tasks",
            "6",
            "--set",
            "run.resources.gpu=2",
            "graph.json",
        ])
        .code(0);
    assert_eq!(sandbox.job().results()["pass"], 20);
}

#[test]
fn impossible_dependencies_are_refused_before_any_task_starts() {
    let sandbox = Sandbox::new();
    sandbox.script("mark.sh", "touch ran");
    for (second, expected) in [
        (
            with(exec("b", "/bin/true"), "needs", json!(["b"])),
            "these tasks wait for each other, so none could ever start: 2-b → 2-b",
        ),
        (
            with(exec("b", "/bin/true"), "needs", json!(["c"])),
            "`needs` names `c`, and no task of this job has that name or id",
        ),
        (
            with(exec("b", "/bin/true"), "resources", json!({"gpu": 1})),
            "claims 1 of the resource `gpu`, and there is none; say how much there is with `--set run.resources.gpu=1`",
        ),
    ] {
        recipe(&sandbox, &json!([exec("a", "./mark.sh"), second]));
        let ran = sandbox.run(&["run", "graph.json"]).code(2);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
        assert!(!sandbox.project().join("ran").exists());
    }
    recipe(
        &sandbox,
        &json!([with(exec("a", "/bin/true"), "needs", json!("b"))]),
    );
    let ran = sandbox.run(&["run", "graph.json"]).code(2);
    assert!(
        ran.stderr
            .contains("[0].needs: expected a list, found a string"),
        "{}",
        ran.stderr
    );
}

#[test]
fn list_exports_the_graph() {
    let sandbox = Sandbox::new();
    let b = with(exec("b \"x\"", "/bin/true"), "needs", json!(["a"]));
    let b = with(b, "mutexes", json!(["lock"]));
    let b = with(b, "resources", json!({"memory-mb": 200}));
    recipe(&sandbox, &json!([exec("a", "/bin/true"), b]));
    let list = |form: &str| {
        let args = [
            "list",
            form,
            "--set",
            "run.resources.memory-mb=1000",
            "graph.json",
        ];
        sandbox.run(&args).code(0).stdout
    };
    assert_eq!(
        list("--graph"),
        "1-a\n2-b \"x\"\n    needs 1-a\n    resource memory-mb 200\n    mutex lock\n"
    );
    assert_eq!(
        list("--graph=mermaid"),
        "flowchart TD\n    t1[\"1-a\"]\n    t2[\"2-b #quot;x#quot;\"]\n    t1 -->|needs| t2\n"
    );
    let dot = list("--graph=dot");
    assert!(dot.starts_with("digraph {"), "{dot}");
    assert!(dot.contains(r#"0 -> 1 [ label = "needs" ]"#), "{dot}");
    assert!(dot.contains(r#"label = "2-b \"x\"""#), "{dot}");
}

#[test]
fn graph_orders_requirements_as_their_tasks_name_them() {
    let sandbox = Sandbox::new();
    let requires = |name: &str, all: Value| {
        with(
            exec(name, "/bin/true"),
            "kwargs",
            json!({"dependencies": all}),
        )
    };
    let file = |path: &str| json!({"type": "file", "path": path});
    let own = |path: &str| json!({"type": "file", "path": path, "scope": "task"});
    let jq = json!({"type": "package", "name": "jq"});
    let b = requires("b", json!([file("one"), jq, file("three")]));
    // Its order of the two is the other one: the first that names both decides.
    let c = requires("c", json!([file("three"), own("two"), jq]));
    let c = with(c, "needs", json!(["a"]));
    recipe(
        &sandbox,
        &json!([requires("a", json!([file("one"), own("two")])), b, c]),
    );
    let dot = sandbox
        .run(&["list", "--graph=dot", "graph.json"])
        .code(0)
        .stdout;
    let lines = || dot.lines().map(str::trim);
    let labels: Vec<(&str, &str)> = lines()
        .filter_map(|line| line.strip_suffix("\" ]")?.split_once(" [ label = \""))
        .filter(|(node, _)| !node.contains("->"))
        .collect();
    let name = |node: &str| labels.iter().find(|(it, _)| *it == node).unwrap().1;
    let mut edges: Vec<String> = lines()
        .filter_map(|line| {
            let (edge, label) = line.strip_suffix("\" ]")?.split_once(" [ label = \"")?;
            let (from, to) = edge.split_once(" -> ")?;
            Some(format!("{} {label} {}", name(to), name(from)))
        })
        .collect();
    edges.sort();
    let expected = [
        "1-a needs requirement file one",
        "1-a needs requirement file two",
        "2-b needs requirement file one",
        "2-b needs requirement file three",
        "2-b needs requirement package jq",
        "3-c needs 1-a",
        "3-c needs requirement file three",
        "3-c needs requirement file two",
        "3-c needs requirement package jq",
        "requirement file three after requirement package jq",
        "requirement package jq after requirement file one",
    ];
    assert_eq!(edges, expected, "{dot}");
    // Each of the two has a file of its own.
    let of = |wanted: &str| labels.iter().filter(|(_, name)| *name == wanted).count();
    assert_eq!(of("requirement file two"), 2, "{dot}");
    assert_eq!(of("requirement file one"), 1, "{dot}");
}

#[test]
fn requirement_of_a_cancelled_task_is_not_fulfilled() {
    let sandbox = Sandbox::new();
    let own = json!([{"type": "file", "path": "own", "content": "x", "scope": "task"}]);
    let b = with(
        exec("b", "/bin/true"),
        "kwargs",
        json!({"dependencies": own}),
    );
    let b = with(b, "needs", json!(["a"]));
    recipe(&sandbox, &json!([exec("a", "/bin/false"), b]));
    sandbox.run(&["run", "graph.json"]).code(1);
    let job = sandbox.job();
    assert_eq!(job.status("a"), "FAIL");
    assert_ne!(job.status("b"), "PASS");
    let events = job.events();
    let prepared = events
        .iter()
        .filter(|it| it["event"] == "requirement-started");
    assert_eq!(prepared.count(), 0);
    assert!(!sandbox.project().join("own").exists());
}

#[test]
fn named_resource_instance_is_leased_to_one_task() {
    let sandbox = Sandbox::new();
    // Each holds its database for as long as it has not seen the other's.
    sandbox.script(
        "use.sh",
        "mkdir in-$PERSEA_RESOURCE_DB || exit 1; until [ $(ls -d in-* | wc -l) = 2 ] || [ -e both ]; do sleep 0.02; done; touch both; echo $PERSEA_RESOURCE_DB; rmdir in-$PERSEA_RESOURCE_DB",
    );
    let one = |name: &str| with(exec(name, "./use.sh"), "resources", json!({"db": 1}));
    let all = with(
        exec("all", "./all.sh"),
        "resources",
        json!({"db": 2, "ram": 5}),
    );
    sandbox.script(
        "all.sh",
        "echo \"$PERSEA_RESOURCE_DB ${PERSEA_RESOURCE_RAM-none}\"",
    );
    recipe(&sandbox, &json!([one("a"), one("b"), one("c"), all]));
    let file = "[run.resources]\ndb = [\"orders-1\", \"orders-2\"]\nram = 10\n";
    sandbox.file("persea.toml", file);
    sandbox
        .run(&["run", "--max-parallel-tasks", "4", "graph.json"])
        .code(0);
    let job = sandbox.job();
    let mut used = ["a", "b"].map(|name| job.artifact(name, "stdout"));
    used.sort();
    assert_eq!(used, ["orders-1\n", "orders-2\n"]);
    // What has no names is only counted.
    assert_eq!(job.artifact("all", "stdout"), "orders-1,orders-2 none\n");
    let events = job.events();
    let started = |event: &&Value| event["event"] == "task-started" && event["task"] == "4-all";
    let leases = &events.iter().find(started).unwrap()["data"]["leases"];
    assert_eq!(*leases, json!({"db": ["orders-1", "orders-2"]}));
}
