//! Owns the task graph: dependencies between tasks, mutexes, resources and their leases, and the
//! exports of the graph.

use serde_json::{Value, json};

use crate::support::recipes::{exec, requiring, shell, with};
use crate::support::{Fixture, assert_stderr, finish, wait_until};

/// The starts and ends of tasks in the journal, as `ID started` and `ID ended`.
fn starts_and_ends(fixture: &Fixture) -> Vec<String> {
    let events = fixture.job().events();
    let line = |event: &Value| {
        let what = match event["event"].as_str()? {
            "task-started" => "started",
            "task-finished" => "ended",
            _ => return None,
        };
        Some(format!("{} {what}", event["task"].as_str()?))
    };
    events.iter().filter_map(line).collect()
}

#[test]
fn task_starts_after_its_dependencies_without_delaying_others() {
    let fixture = Fixture::new();
    // It ends only after the independent test has run, so that test must not wait for anything.
    fixture.script("slow.sh", "until [ -e free ]; do sleep 0.02; done");
    fixture.script("free.sh", "touch free");
    fixture.recipe(
        "graph.json",
        &[
            with(exec("last", "/bin/true"), "needs", json!(["slow"])),
            with(exec("after", "/bin/true"), "after", json!(["1-last"])),
            exec("slow", "./slow.sh"),
            exec("free", "./free.sh"),
        ],
    );
    fixture
        .run(&["run", "--max-parallel-tasks", "2", "graph.json"])
        .code(0);
    let order = starts_and_ends(&fixture);
    let position = |what: &str| order.iter().position(|event| event == what).unwrap();
    for (first, second) in [
        ("4-free started", "3-slow ended"),
        ("3-slow ended", "1-last started"),
        ("1-last ended", "2-after started"),
    ] {
        assert!(position(first) < position(second), "{order:?}");
    }
}

#[test]
fn task_that_needs_a_failed_task_is_cancelled() {
    let fixture = Fixture::new();
    fixture.recipe(
        "graph.json",
        &[
            exec("fails", "/bin/false"),
            with(exec("needs", "/bin/true"), "needs", json!(["fails"])),
            with(exec("too", "/bin/true"), "needs", json!(["needs"])),
            with(exec("cleans-up", "/bin/true"), "after", json!(["too"])),
        ],
    );
    fixture.run(&["run", "graph.json"]).code(1);
    let job = fixture.job();
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
    let fixture = Fixture::new();
    let waits = "echo here >>started; until [ -e go ]; do sleep 0.02; done";
    let alone = with(shell("alone", waits), "mutexes", json!(["lock"]));
    let two = with(shell("two", waits), "resources", json!({"gpu": 1}));
    let mut all: Vec<Value> = (0..5).flat_map(|_| [alone.clone(), two.clone()]).collect();
    // The task that could start last: when it has ended, the host has looked at all others.
    all.push(shell("last", "echo here >last"));
    fixture.recipe("graph.json", &all);
    let args = [
        "run",
        "--max-parallel-tasks",
        "6",
        "--set",
        "run.resources.gpu=2",
        "graph.json",
    ];
    let child = fixture.persea(&args).spawn().unwrap();
    // The journal has an event at the latest when its task's line is there, or a moment later.
    let mut started = wait_until("three tasks and the last one", || {
        let lines = (fixture.lines("started").len(), fixture.lines("last").len());
        let started = match lines {
            (3.., 1) => fixture.job().started(),
            _ => Vec::new(),
        };
        match started.len() {
            4.. => Ok(started),
            _ => Err(format!("{lines:?}, {started:?}")),
        }
    });
    // Two slots are free, and nothing else may start.
    started.sort();
    assert_eq!(started, ["alone", "last", "two", "two"]);
    fixture.file("go", "");
    finish(child).code(0);
    let job = fixture.job();
    assert_eq!(job.results()["pass"], 11);
    // At no time did more run than may.
    let mut running = (0, 0);
    for event in job.events() {
        let change = match event["event"].as_str().unwrap() {
            "task-started" => 1,
            "task-finished" => -1,
            _ => continue,
        };
        let id = event["task"].as_str().unwrap();
        running.0 += if id.ends_with("-alone") { change } else { 0 };
        running.1 += if id.ends_with("-two") { change } else { 0 };
        assert!(running.0 <= 1 && running.1 <= 2, "{running:?} at {id}");
    }
    assert_eq!(running, (0, 0));
}

#[test]
fn impossible_dependencies_are_refused_before_any_task_starts() {
    let fixture = Fixture::new();
    fixture.script("mark.sh", "touch ran");
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
            "claims 1 of the resource `gpu`, and there is none; say how much there is with `--set \
             run.resources.gpu=1`",
        ),
    ] {
        fixture.recipe("graph.json", &[exec("a", "./mark.sh"), second]);
        let ran = fixture.run(&["run", "graph.json"]).code(2);
        assert_stderr(&ran, &[expected]);
        assert!(!fixture.project().join("ran").exists());
    }
    let wrong_type = with(exec("a", "/bin/true"), "needs", json!("b"));
    fixture.recipe("graph.json", &[wrong_type]);
    let ran = fixture.run(&["run", "graph.json"]).code(2);
    assert_stderr(&ran, &["[0].needs: expected a list, found a string"]);
}

#[test]
fn list_exports_the_graph() {
    let fixture = Fixture::new();
    let b = with(exec("b \"x\"", "/bin/true"), "needs", json!(["a"]));
    let b = with(b, "mutexes", json!(["lock"]));
    let b = with(b, "resources", json!({"memory-mb": 200}));
    fixture.recipe("graph.json", &[exec("a", "/bin/true"), b]);
    let list = |form: &str| {
        let args = [
            "list",
            form,
            "--set",
            "run.resources.memory-mb=1000",
            "graph.json",
        ];
        fixture.run(&args).code(0).stdout
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
    let fixture = Fixture::new();
    let requires = |name: &str, all: Value| requiring(exec(name, "/bin/true"), &all);
    let file = |path: &str| json!({"type": "file", "path": path});
    let task_scoped = |path: &str| json!({"type": "file", "path": path, "scope": "task"});
    let jq = json!({"type": "package", "name": "jq"});
    let a = requires("a", json!([file("one"), task_scoped("two")]));
    let b = requires("b", json!([file("one"), jq, file("three")]));
    // `c` names `jq` and `three` the other way round; the first task that names both decides.
    let c = requires("c", json!([file("three"), task_scoped("two"), jq]));
    let c = with(c, "needs", json!(["a"]));
    fixture.recipe("graph.json", &[a, b, c]);
    let dot = fixture
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
    // `a` and `c` share no file `two`, because its scope is the task.
    let count = |wanted: &str| labels.iter().filter(|(_, name)| *name == wanted).count();
    assert_eq!(count("requirement file two"), 2, "{dot}");
    assert_eq!(count("requirement file one"), 1, "{dot}");
}

#[test]
fn requirement_of_a_cancelled_task_is_not_fulfilled() {
    let fixture = Fixture::new();
    let own = json!([{"type": "file", "path": "own", "content": "x", "scope": "task"}]);
    let b = requiring(exec("b", "/bin/true"), &own);
    let b = with(b, "needs", json!(["a"]));
    fixture.recipe("graph.json", &[exec("a", "/bin/false"), b]);
    fixture.run(&["run", "graph.json"]).code(1);
    let job = fixture.job();
    assert_eq!(job.status("a"), "FAIL");
    assert_ne!(job.status("b"), "PASS");
    assert!(job.events_of("requirement-started").is_empty());
    assert!(!fixture.project().join("own").exists());
}

#[test]
fn named_resource_instance_is_leased_to_one_task() {
    let fixture = Fixture::new();
    // Each test holds its database until it has seen another test hold the other one.
    fixture.script(
        "use.sh",
        "mkdir in-$PERSEA_RESOURCE_DB || exit 1
         until [ $(ls -d in-* | wc -l) = 2 ] || [ -e both ]; do sleep 0.02; done
         touch both; echo $PERSEA_RESOURCE_DB; rmdir in-$PERSEA_RESOURCE_DB",
    );
    let one = |name: &str| with(exec(name, "./use.sh"), "resources", json!({"db": 1}));
    let all = with(
        exec("all", "./all.sh"),
        "resources",
        json!({"db": 2, "ram": 5}),
    );
    fixture.script(
        "all.sh",
        "echo \"$PERSEA_RESOURCE_DB ${PERSEA_RESOURCE_RAM-none}\"",
    );
    fixture.recipe("graph.json", &[one("a"), one("b"), one("c"), all]);
    let file = "[run.resources]\ndb = [\"orders-1\", \"orders-2\"]\nram = 10\n";
    fixture.file("persea.toml", file);
    fixture
        .run(&["run", "--max-parallel-tasks", "4", "graph.json"])
        .code(0);
    let job = fixture.job();
    let mut used = ["a", "b"].map(|name| job.artifact(name, "stdout"));
    used.sort();
    assert_eq!(used, ["orders-1\n", "orders-2\n"]);
    // Units of a resource without names are only counted.
    assert_eq!(job.artifact("all", "stdout"), "orders-1,orders-2 none\n");
    let started = job.events_of("task-started");
    let all = started.iter().find(|event| event["task"] == "4-all");
    let leases = &all.unwrap()["data"]["leases"];
    assert_eq!(*leases, json!({"db": ["orders-1", "orders-2"]}));
}

#[test]
fn task_gets_the_instance_that_it_names() {
    let fixture = Fixture::new();
    fixture.script("use.sh", "echo $PERSEA_RESOURCE_DB");
    let named = |name: &str, instances: Value| {
        with(
            exec(name, "./use.sh"),
            "resources",
            json!({"db": instances}),
        )
    };
    let second = json!(["orders-2"]);
    let tasks = [
        named("a", second.clone()),
        named("b", second),
        named("c", json!(1)),
    ];
    fixture.recipe("graph.json", &tasks);
    fixture.file(
        "persea.toml",
        "[run.resources]\ndb = [\"orders-1\", \"orders-2\"]\n",
    );
    fixture
        .run(&["run", "--max-parallel-tasks", "3", "graph.json"])
        .code(0);
    let job = fixture.job();
    for (name, instance) in [
        ("a", "orders-2\n"),
        ("b", "orders-2\n"),
        ("c", "orders-1\n"),
    ] {
        assert_eq!(job.artifact(name, "stdout"), instance, "{name}");
    }
    let listed = fixture.run(&["list", "--graph", "graph.json"]).code(0);
    assert!(
        listed.stdout.starts_with("1-a\n    resource db orders-2\n"),
        "{listed}"
    );
    fixture.recipe("wrong.json", &[named("a", json!(["orders-3"]))]);
    let ran = fixture.run(&["run", "wrong.json"]).code(2);
    let why = "claims `orders-3` of the resource `db`, and there is no such instance; there is \
               orders-1, orders-2";
    let stderr = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(stderr.contains(why), "{ran}");
}
