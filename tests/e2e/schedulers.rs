//! Owns schedulers, the plugins that choose which ready task starts next: those of the examples,
//! those that choose instances of resources, and those that misbehave.

use serde_json::{Value, json};

use crate::support::plugins::install;
use crate::support::recipes::{exec, noop, python, with};
use crate::support::{Fixture, Ran, assert_stderr};

/// A task: name, program, and the names of the tasks that it needs.
type Task = (&'static str, &'static str, &'static [&'static str]);

/// Writes a recipe of these tasks.
fn recipe(fixture: &Fixture, tasks: &[Task]) {
    let runnable = |(name, uri, needs): &Task| with(exec(name, uri), "needs", json!(needs));
    let runnables: Vec<Value> = tasks.iter().map(runnable).collect();
    fixture.recipe("graph.json", &runnables);
}

/// Runs the recipe in one slot.
fn run(fixture: &Fixture, options: &[&str]) -> Ran {
    let fixed = [
        "run",
        "--max-parallel-tasks",
        "1",
        "--plugin-dir",
        "plugins",
    ];
    fixture.run(&[&fixed, options, &["graph.json"]].concat())
}

/// [`run`] with the scheduler of `hostile-scheduler`, and what it does.
fn run_hostile(fixture: &Fixture, how: &str, options: &[&str]) -> Ran {
    let how = format!("scheduler.hostile.how={how}");
    let hostile = ["--set", "run.scheduler=hostile", "--set", &how];
    run(fixture, &[&hostile, options].concat())
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
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["scheduler-depth-first"]);
    recipe(&fixture, &TWO_BRANCHES);
    run(&fixture, &[]).code(0);
    let started = || fixture.job().started();
    assert_eq!(started(), ["a", "b", "a1", "b1", "a2", "b2"]);
    run(&fixture, &["--set", "run.scheduler=depth-first"]).code(0);
    assert_eq!(started(), ["a", "a1", "a2", "b", "b1", "b2"]);
}

#[test]
fn scheduler_can_cancel_a_branch() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["scheduler-depth-first"]);
    let mut tasks = TWO_BRANCHES.to_vec();
    tasks[2].1 = "/bin/false";
    // The scheduler cancels this task too, although it does not need the failed one.
    tasks.push(("a3", "/bin/true", &["a"]));
    recipe(&fixture, &tasks);
    let drop = "scheduler.depth-first.drop-broken=true";
    run(
        &fixture,
        &["--set", "run.scheduler=depth-first", "--set", drop],
    )
    .code(1);
    let job = fixture.job();
    assert_eq!(job.status("a3"), "CANCEL");
    assert_eq!(job.reason("a3"), "the scheduler cancelled this task");
    assert_eq!(job.started(), ["a", "a1", "b", "b1", "b2"]);
}

#[test]
fn failed_scheduler_is_replaced_by_plan_order() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-scheduler"]);
    recipe(&fixture, &TWO_BRANCHES);
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
        let ran = run_hostile(&fixture, how, &timeout).code(0);
        assert_eq!(fixture.job().results()["pass"], 6, "{ran}");
        let warning = "the scheduler has failed, the remaining tasks run in plan order: ";
        assert_eq!(ran.stdout.contains(warning), !words.is_empty(), "{ran}");
        assert!(ran.stdout.contains(words), "{ran}");
        let warnings = fixture.job().events_of("warning");
        assert_eq!(warnings.len(), usize::from(!words.is_empty()), "{ran}");
    }
    // The warning is an error with `--strict`.
    run_hostile(&fixture, "errs", &["--strict"]).code(2);
    let warnings = fixture.job().results()["warnings"].clone();
    assert_eq!(warnings[0]["cause"], "scheduler", "{warnings}");
}

#[test]
fn scheduler_sees_every_ready_task_of_a_contended_mutex() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-scheduler"]);
    let task = |name| json!({"kind": "noop", "identifier": name, "mutexes": ["m"]});
    fixture.recipe("graph.json", &["a", "b", "c", "d"].map(task));
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
    fixture.run(&args).code(0);
    assert_eq!(fixture.job().started(), ["d", "c", "b", "a"]);
}

#[test]
fn unavailable_scheduler_ends_the_job_before_any_task() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-scheduler"]);
    recipe(&fixture, &TWO_BRANCHES);
    let ran = run(&fixture, &["--set", "run.scheduler=clever"]).code(2);
    let error = "no scheduler is named `clever` (`run.scheduler`): there are hostile";
    assert_stderr(&ran, &[error]);
    let ran = run_hostile(&fixture, "refuses", &[]).code(2);
    assert_stderr(
        &ran,
        &["the scheduler failed at its start: ", "not with me"],
    );
    fixture.assert_no_job();
}

#[test]
fn scheduler_chooses_each_task_only_once() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-scheduler"]);
    fixture.file(
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
    fixture.recipe("graph.json", &tasks);
    let ran = run_hostile(&fixture, "once", &[]).code(0);
    assert!(!ran.stdout.contains("given up"), "{ran}");
    let started = fixture.job().started();
    assert_eq!(started, ["test_a", "p", "test_b", "q"]);
}

/// Runs tasks of the plugin `lab`, which take instances of `board`, under the scheduler of
/// `hostile-scheduler`, two at once.
fn run_on_boards(tasks: &[Value], how: &str) -> (Fixture, Ran) {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-scheduler", "lab"]);
    fixture.file(
        "persea.toml",
        "[run.resources]\nboard = [\"b1\", \"b2\"]\ngpu = 1\n",
    );
    fixture.file("image", "");
    fixture.recipe("graph.json", tasks);
    let how = format!("scheduler.hostile.how={how}");
    let two = [
        "run",
        "--plugin-dir",
        "plugins",
        "--max-parallel-tasks",
        "2",
    ];
    let hostile = ["--set", "run.scheduler=hostile", "--set", &how];
    let ran = fixture.run(&[&two[..], &hostile, &["graph.json"]].concat());
    let ran = ran.code(0);
    (fixture, ran)
}

fn on_board(name: &str, board: Value) -> Value {
    json!({"kind": "lab", "uri": name, "resources": {"board": board}})
}

/// The text of the only warning of a job.
fn warning(fixture: &Fixture) -> String {
    let warnings = fixture.job().events_of("warning");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    warnings[0]["data"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn scheduler_chooses_the_instance_that_a_task_leases() {
    // A task that names the instance itself gets it, chosen or not.
    for board in [json!(1), json!(["b2"])] {
        let (fixture, ran) = run_on_boards(&[on_board("a", board)], "boards b2");
        let started = fixture.job().events_of("task-started");
        assert_eq!(
            started[0]["data"]["leases"],
            json!({"board": ["b2"]}),
            "{ran}"
        );
        assert!(fixture.job().events_of("warning").is_empty(), "{ran}");
    }
}

#[test]
fn wrong_choice_of_an_instance_is_an_error_of_the_scheduler() {
    let any = || json!(1);
    let gpu = json!({"kind": "lab", "uri": "a", "resources": {"gpu": 1}});
    let flashed = json!({"kind": "lab", "uri": "a", "resources": {"board": 1},
        "kwargs": {"dependencies": [{"type": "image", "uri": "image", "scope": "task"}]}});
    for (tasks, how, words) in [
        (
            vec![on_board("a", any())],
            "boards b3",
            "it chose `b3` of the resource `board` for the task 0, and there is no such instance",
        ),
        (
            vec![on_board("a", any())],
            "boards b1,b2",
            "it chose `b2` of the resource `board` for the task 0, which takes only 1",
        ),
        (
            vec![on_board("a", any()), on_board("b", any())],
            "boards b1",
            "it chose `b1` of the resource `board` for the task 1, and for another task too",
        ),
        (
            vec![on_board("a", json!(["b1"]))],
            "boards b2",
            "it chose `b2` of the resource `board` for the task 0, which takes other instances",
        ),
        (
            vec![gpu],
            "boards b1",
            "it chose `b1` of the resource `board` for the task 0, which does not take this",
        ),
        (
            vec![flashed],
            "boards b2",
            "it chose `b2` of the resource `board` for the task 0, whose requirements are met on \
             other instances",
        ),
    ] {
        let (fixture, ran) = run_on_boards(&tasks, how);
        let warning = warning(&fixture);
        assert!(warning.contains(words), "{warning}");
        assert_eq!(fixture.job().results()["pass"], tasks.len(), "{ran}");
    }
}

#[test]
fn scheduler_sees_what_tasks_take_and_which_instances_are_free() {
    let flashed = json!({"kind": "lab", "uri": "a", "resources": {"board": 1, "gpu": 1},
        "mutexes": ["m"],
        "kwargs": {"dependencies": [{"type": "image", "uri": "image", "scope": "task"}]}});
    let plain = json!({"kind": "noop", "identifier": "b", "needs": ["a"]});
    let (fixture, _) = run_on_boards(&[flashed, plain], "shows");
    let warning = warning(&fixture);
    let expected = "resources={\"board\":1,\"gpu\":1} mutexes=[\"m\"] \
                    requirements=[{\"kind\":\"image\",\"uri\":\"image\"}]; ; \
                    free={\"board\":[\"b2\"]} held={\"0\":{\"board\":[\"b1\"]}} (shown)";
    assert!(warning.ends_with(expected), "{warning}");
}

/// The sizes of the pages of events, as the format of `hostile-report` has written them.
fn event_pages(report: &str) -> Vec<u64> {
    serde_json::from_str(report).unwrap()
}

#[test]
fn ten_thousand_tasks_come_to_a_scheduler_and_to_a_format_in_pages() {
    let fixture = Fixture::new();
    install(
        &fixture,
        "plugins",
        &["hostile-scheduler", "hostile-report"],
    );
    let tasks: Vec<Value> = (0..10_000)
        .map(|number| noop(&number.to_string()))
        .collect();
    fixture.recipe("graph.json", &tasks);
    let counts = "report.hostile.how=counts";
    run_hostile(&fixture, "counts", &["--set", counts]).code(0);
    let job = fixture.job();
    // The scheduler has seen 4,096 ready tasks in each turn, as long as there were so many.
    let counted = "pages of [4096, 4096, 1808], 9999 chosen (counted)";
    let warning = warning(&fixture);
    assert!(warning.ends_with(counted), "{warning}");
    let expected: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    assert_eq!(job.started(), expected);
    assert_eq!(job.results()["pass"], 10_000);
    // One event for each task, the start and the end of the job. While the job runs, pages end
    // where nothing more has happened.
    let pages = event_pages(&job.read("results.hostile"));
    assert_eq!(pages.iter().sum::<u64>(), 10_002);
    assert!(
        pages.iter().all(|page| (1..=256).contains(page)),
        "{pages:?}"
    );
    let again = ["report", "latest", "--format", "report", "--set", counts];
    let again = fixture.run(&again).code(0);
    let full = [256; 39].into_iter().chain([18]);
    assert_eq!(event_pages(&again.stdout), full.collect::<Vec<u64>>());
}
