//! Owns schedulers, the plugins that choose which ready task starts next: those of the examples,
//! and those that misbehave.

use serde_json::{Value, json};

use crate::support::plugins::install;
use crate::support::recipes::{exec, python, with};
use crate::support::{Ran, Sandbox, assert_stderr};

/// A task: name, program, and the names of the tasks that it needs.
type Task = (&'static str, &'static str, &'static [&'static str]);

/// Writes a recipe of these tasks.
fn recipe(sandbox: &Sandbox, tasks: &[Task]) {
    let runnable = |(name, uri, needs): &Task| with(exec(name, uri), "needs", json!(needs));
    let runnables: Vec<Value> = tasks.iter().map(runnable).collect();
    sandbox.recipe("graph.json", &runnables);
}

/// Runs the recipe in one slot.
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

/// [`run`] with the scheduler of `hostile-scheduler`, and what it does.
fn run_hostile(sandbox: &Sandbox, how: &str, options: &[&str]) -> Ran {
    let how = format!("scheduler.hostile.how={how}");
    let hostile = ["--set", "run.scheduler=hostile", "--set", &how];
    run(sandbox, &[&hostile, options].concat())
}

const TWO_BRANCHES: [Task; 6] = [
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
    let started = || sandbox.job().started();
    assert_eq!(started(), ["a", "b", "a1", "b1", "a2", "b2"]);
    run(&sandbox, &["--set", "run.scheduler=depth-first"]).code(0);
    assert_eq!(started(), ["a", "a1", "a2", "b", "b1", "b2"]);
}

#[test]
fn scheduler_can_drop_a_branch() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["scheduler-depth-first"]);
    let mut tasks = TWO_BRANCHES.to_vec();
    tasks[2].1 = "/bin/false";
    // The scheduler drops this task too, although it does not need the failed one.
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
    assert_eq!(job.reason("a3"), "the scheduler cancelled this task");
    assert_eq!(job.started(), ["a", "a1", "b", "b1", "b2"]);
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
            "it cancelled tasks that have started or ended already",
        ),
        ("waits for ever", ""),
    ] {
        let timeout = ["--set", "plugins.scheduler.timeout=3"];
        let ran = run_hostile(&sandbox, how, &timeout).code(0);
        assert_eq!(sandbox.job().results()["pass"], 6, "{ran}");
        let warning = "the scheduler has failed, the remaining tasks run in plan order: ";
        assert_eq!(ran.stdout.contains(warning), !words.is_empty(), "{ran}");
        assert!(ran.stdout.contains(words), "{ran}");
        let warnings = sandbox.job().events_of("warning");
        assert_eq!(warnings.len(), usize::from(!words.is_empty()), "{ran}");
    }
    // The warning is an error with `--strict`.
    run_hostile(&sandbox, "errs", &["--strict"]).code(2);
    let warnings = sandbox.job().results()["warnings"].clone();
    assert_eq!(warnings[0]["cause"], "scheduler", "{warnings}");
}

#[test]
fn scheduler_sees_every_ready_task_of_a_contended_mutex() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["hostile-scheduler"]);
    let task = |name| json!({"kind": "noop", "identifier": name, "mutexes": ["m"]});
    sandbox.recipe("graph.json", &["a", "b", "c", "d"].map(task));
    let args = [
        "run",
        "--max-parallel-tasks",
        "2",
        "--set",
        "run.scheduler=hostile",
        "--set",
        "scheduler.hostile.how=last",
        "graph.json",
    ];
    sandbox.run(&args).code(0);
    assert_eq!(sandbox.job().started(), ["d", "c", "b", "a"]);
}

#[test]
fn unavailable_scheduler_ends_the_job_before_any_task() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["hostile-scheduler"]);
    recipe(&sandbox, &TWO_BRANCHES);
    let ran = run(&sandbox, &["--set", "run.scheduler=clever"]).code(2);
    let error = "no scheduler is named `clever` (`run.scheduler`): there are hostile";
    assert_stderr(&ran, &[error]);
    let ran = run_hostile(&sandbox, "refuses", &[]).code(2);
    assert_stderr(
        &ran,
        &["the scheduler failed at its start: ", "not with me"],
    );
    sandbox.assert_no_job();
}

#[test]
fn scheduler_chooses_each_task_only_once() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["hostile-scheduler"]);
    sandbox.file(
        "test_a.py",
        "import unittest\n\
         class T(unittest.TestCase):\n    \
             def test_a(self): pass\n    \
             def test_b(self): pass\n",
    );
    let python = |method: &str| python(method, &format!("test_a.py:T.{method}"));
    let program = |name: &str| exec(name, "/bin/true");
    // The batch of the first test could take the other Python test. The scheduler, which chooses
    // in the order of the plan, answers with a program, and must not be asked for it again.
    let tasks = [
        python("test_a"),
        program("p"),
        python("test_b"),
        program("q"),
    ];
    sandbox.recipe("graph.json", &tasks);
    let ran = run_hostile(&sandbox, "once", &[]).code(0);
    assert!(!ran.stdout.contains("given up"), "{ran}");
    let started = sandbox.job().started();
    assert_eq!(started, ["test_a", "p", "test_b", "q"]);
}
