//! Schedulers: plugins that say which task starts next.

use serde_json::{Value, json};

use crate::support::plugins::install;
use crate::support::{Ran, Sandbox};

fn recipe(sandbox: &Sandbox, tasks: &[(&str, &str, &[&str])]) {
    let runnable = |(name, uri, needs): &(&str, &str, &[&str])| json!({"kind": "exec-test", "uri": uri, "identifier": name, "needs": needs});
    let all: Vec<Value> = tasks.iter().map(runnable).collect();
    sandbox.file("graph.json", Value::from(all).to_string());
}

/// The names of the tasks in the order in which they started.
fn starts(sandbox: &Sandbox) -> Vec<String> {
    let events = sandbox.job().events();
    let started = events
        .iter()
        .filter(|event| event["event"] == "task-started");
    let name = |event: &Value| event["task"].as_str().unwrap()[2..].to_owned();
    started.map(name).collect()
}

fn run(sandbox: &Sandbox, options: &[&str]) -> Ran {
    let fixed = [
        "run",
        "--max-parallel-tasks",
        "1",
        "--plugin-dir",
        "plugins",
    ];
    sandbox.run(&[&fixed, options, &["graph.json"]].concat())
}

const TWO_BRANCHES: [(&str, &str, &[&str]); 6] = [
    ("a", "/bin/true", &[]),
    ("b", "/bin/true", &[]),
    ("a1", "/bin/true", &["a"]),
    ("b1", "/bin/true", &["b"]),
    ("a2", "/bin/true", &["a1"]),
    ("b2", "/bin/true", &["b1"]),
];

#[test]
fn depth_first_example_walks_the_graph_depth_first() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["scheduler-depth-first"]);
    recipe(&sandbox, &TWO_BRANCHES);
    run(&sandbox, &[]).code(0);
    assert_eq!(starts(&sandbox), ["a", "b", "a1", "b1", "a2", "b2"]);
    run(&sandbox, &["--set", "run.scheduler=depth-first"]).code(0);
    assert_eq!(starts(&sandbox), ["a", "a1", "a2", "b", "b1", "b2"]);
}

#[test]
fn scheduler_can_drop_a_branch() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["scheduler-depth-first"]);
    let mut tasks = TWO_BRANCHES.to_vec();
    tasks[2].1 = "/bin/false";
    // Nothing that failed is needed for this one.
    tasks.push(("a3", "/bin/true", &["a"]));
    recipe(&sandbox, &tasks);
    let drop = "scheduler.depth-first.drop-broken=true";
    run(
        &sandbox,
        &["--set", "run.scheduler=depth-first", "--set", drop],
    )
    .code(1);
    let job = sandbox.job();
    assert_eq!(job.status("a3"), "CANCEL");
    assert_eq!(job.reason("a3"), "the scheduler does not want it to be run");
    assert_eq!(starts(&sandbox), ["a", "a1", "b", "b1", "b2"]);
}

#[test]
fn failed_scheduler_is_replaced_by_plan_order() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["hostile-scheduler"]);
    recipe(&sandbox, &TWO_BRANCHES);
    for (how, words) in [
        ("panics", "no idea"),
        (
            "loops",
            "has reached its limit on the time for one answer, 3 s",
        ),
        ("errs", "out of order"),
        ("lies", "it chose the task 4711, which is not ready"),
        (
            "drops-nothing",
            "it dropped tasks that have started or ended already",
        ),
        ("waits for ever", ""),
    ] {
        let how = format!("scheduler.hostile.how={how}");
        let ran = run(
            &sandbox,
            &[
                "--set",
                "run.scheduler=hostile",
                "--set",
                &how,
                "--set",
                "plugins.scheduler.timeout=3",
            ],
        )
        .code(0);
        assert_eq!(sandbox.job().results()["pass"], 6, "{ran}");
        let told = "the scheduler is given up, and the rest runs in the order of the plan: ";
        assert_eq!(ran.stdout.contains(told), !words.is_empty(), "{ran}");
        assert!(ran.stdout.contains(words), "{ran}");
        let events = sandbox.job().events();
        let warned = events.iter().filter(|event| event["event"] == "warning");
        assert_eq!(warned.count(), usize::from(!words.is_empty()), "{ran}");
    }
    let given_up = [
        "--set",
        "run.scheduler=hostile",
        "--set",
        "scheduler.hostile.how=errs",
    ];
    run(&sandbox, &[&given_up[..], &["--strict"]].concat()).code(2);
    let warnings = sandbox.job().results()["warnings"].clone();
    assert_eq!(warnings[0]["cause"], "scheduler", "{warnings}");
}

#[test]
fn scheduler_sees_every_ready_task_of_a_contended_mutex() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["hostile-scheduler"]);
    let all: Vec<Value> = ["a", "b", "c", "d"]
        .map(|name| json!({"kind": "noop", "identifier": name, "mutexes": ["m"]}))
        .to_vec();
    sandbox.file("graph.json", Value::from(all).to_string());
    let two = ["--max-parallel-tasks", "2"];
    let last = [
        "--set",
        "run.scheduler=hostile",
        "--set",
        "scheduler.hostile.how=last",
    ];
    let args = [&["run"], &two[..], &last, &["graph.json"]].concat();
    sandbox.run(&args).code(0);
    assert_eq!(starts(&sandbox), ["d", "c", "b", "a"]);
}

#[test]
fn unavailable_scheduler_ends_the_job_before_any_task() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["hostile-scheduler"]);
    recipe(&sandbox, &TWO_BRANCHES);
    let ran = run(&sandbox, &["--set", "run.scheduler=clever"]).code(2);
    let words = "no scheduler is named `clever` (`run.scheduler`): there are hostile";
    assert!(ran.stderr.contains(words), "{ran}");
    let refuses = [
        "--set",
        "run.scheduler=hostile",
        "--set",
        "scheduler.hostile.how=refuses",
    ];
    let ran = run(&sandbox, &refuses).code(2);
    assert!(ran.stderr.contains("the scheduler cannot begin: "), "{ran}");
    assert!(ran.stderr.contains("not with me"), "{ran}");
    assert!(!sandbox.root().join("home/persea").exists());
}

#[test]
fn scheduler_chooses_each_task_only_once() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["hostile-scheduler"]);
    sandbox.file(
        "test_a.py",
        "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n    def test_b(self): pass\n",
    );
    let python = |method: &str| {
        let uri = format!("test_a.py:T.{method}");
        json!({"kind": "python-unittest", "uri": uri, "identifier": method})
    };
    let program = |name: &str| json!({"kind": "exec-test", "uri": "/bin/true", "identifier": name});
    // The batch of the first has room for another Python test, and is asked about a program.
    let all = [
        python("test_a"),
        program("p"),
        python("test_b"),
        program("q"),
    ];
    sandbox.file("graph.json", Value::from(all.to_vec()).to_string());
    let once = [
        "--set",
        "run.scheduler=hostile",
        "--set",
        "scheduler.hostile.how=once",
    ];
    let ran = run(&sandbox, &once).code(0);
    assert!(!ran.stdout.contains("given up"), "{ran}");
    assert_eq!(starts(&sandbox), ["test_a", "p", "test_b", "q"]);
}
