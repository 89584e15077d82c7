//! Owns cases, which are results inside a task: their events, their ends, what people see of them,
//! and the attempts of tasks and requirements that blame the infrastructure.

use serde_json::{Value, json};

use crate::support::plugins::install;
use crate::support::{Fixture, Ran};

/// A task of the plugin `lab` with these steps.
fn lab(name: &str, steps: &[&str]) -> Value {
    json!({"kind": "lab", "uri": name, "args": steps})
}

/// Runs tasks of the plugin `lab`.
fn run(tasks: &[Value], options: &[&str], code: i32) -> (Fixture, Ran) {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["lab"]);
    fixture.recipe("job.json", tasks);
    let args = [&["run", "--plugin-dir", "plugins"], options, &["job.json"]].concat();
    let ran = fixture.run(&args).code(code);
    (fixture, ran)
}

/// The events of tasks, each as its kind with the path, the status and the reason or message.
fn story(fixture: &Fixture) -> Vec<String> {
    let of_task = |event: &Value| {
        let kind = event["event"].as_str().unwrap();
        let kind = kind.strip_prefix("case-").or(kind.strip_prefix("task-"))?;
        let data = &event["data"];
        let path = data["path"].as_array().map(|path| {
            let names = path.iter().map(|name| name.as_str().unwrap());
            names.collect::<Vec<_>>().join("/")
        });
        let parts = [
            path.as_deref(),
            data["status"].as_str(),
            data["message"].as_str(),
        ];
        let parts = parts.into_iter().flatten();
        let words: Vec<&str> = std::iter::once(kind).chain(parts).collect();
        (kind != "planned").then(|| words.join(" "))
    };
    fixture.job().events().iter().filter_map(of_task).collect()
}

#[test]
fn cases_are_events_in_the_order_of_their_task() {
    let steps = [
        "start a/b",
        "say half",
        "FAIL a/b wrong",
        "SKIP a/c",
        "FAIL a/b",
        "say end",
    ];
    let (fixture, ran) = run(&[lab("one", &steps)], &[], 0);
    assert_eq!(
        story(&fixture),
        [
            "started",
            "started a/b",
            "progress half",
            "finished a/b FAIL",
            "finished a/c SKIP",
            "finished a/b (2) FAIL",
            "progress end",
            "finished PASS",
        ]
    );
    let job = fixture.job();
    let cases = job.events_of("case-finished");
    assert_eq!(cases[0]["data"]["reason"], "wrong");
    assert_eq!(cases[0]["data"]["file"], "lab.rs");
    assert!(cases[0]["data"]["elapsed"].is_u64(), "{}", cases[0]);
    assert!(cases[1]["data"].get("elapsed").is_none(), "{}", cases[1]);
    let counts = &job.events_of("task-finished")[0]["data"]["cases"];
    assert_eq!((&counts["fail"], &counts["skip"]), (&json!(2), &json!(1)));
    assert!(
        !ran.stdout.contains("case a > b"),
        "the task has passed: {ran}"
    );
    assert_eq!(job.results()["tests"].as_array().unwrap().len(), 1);
}

#[test]
fn failed_task_shows_its_failed_cases() {
    let failing: Vec<String> = (0..42)
        .map(|number| format!("FAIL s/c{number} no {number}"))
        .collect();
    let mut steps: Vec<&str> = failing.iter().map(String::as_str).collect();
    steps.push("PASS s/fine");
    steps.push("end FAIL 42 cases failed");
    let (_, ran) = run(&[lab("one", &steps)], &[], 1);
    assert!(ran.stdout.contains("   case s > c0: FAIL: no 0\n"), "{ran}");
    assert!(
        ran.stdout
            .contains("   case s > c9: FAIL: no 9\n   and 32 more\n"),
        "{ran}"
    );
    assert!(
        !ran.stdout.contains("c10") && !ran.stdout.contains("fine"),
        "{ran}"
    );
    let options = ["--set", "human.output.started=true"];
    let (_, ran) = run(&[lab("one", &steps)], &options, 1);
    assert!(
        ran.stdout
            .contains(" (1/1) one: case s > c41: FAIL: no 41\n"),
        "{ran}"
    );
    assert!(
        ran.stdout.contains(" (1/1) one: case s > fine: PASS\n"),
        "{ran}"
    );
}

#[test]
fn task_that_times_out_names_its_running_case() {
    let steps = ["start a", "start a/b", "sleep"];
    let options = ["--set", "task.timeout.running=1"];
    let (fixture, _) = run(&[lab("hangs", &steps)], &options, 8);
    let reason = fixture.job().reason("hangs");
    assert_eq!(
        reason,
        "Test interrupted: Timeout reached in case a > b and 1 more"
    );
    let ends = [
        "finished a INTERRUPTED",
        "finished a/b INTERRUPTED",
        "finished INTERRUPTED",
    ];
    assert_eq!(story(&fixture)[3..], ends);
    fixture.assert_no_strays();
}

#[test]
fn case_that_runs_when_its_task_returns_is_an_error() {
    let (fixture, _) = run(&[lab("one", &["start a", "end FAIL"])], &[], 1);
    assert_eq!(
        story(&fixture)[1..],
        ["started a", "finished a ERROR", "finished FAIL"]
    );
}

/// The cases that have ended, each as its task with the path and the status.
fn ended(fixture: &Fixture) -> Vec<String> {
    let case = |event: &Value| {
        let (task, data) = (event["task"].as_str().unwrap(), &event["data"]);
        format!(
            "{task} {} {}",
            data["path"],
            data["status"].as_str().unwrap()
        )
    };
    let mut all: Vec<String> = fixture
        .job()
        .events_of("case-finished")
        .iter()
        .map(case)
        .collect();
    all.sort();
    all
}

#[test]
fn tasks_of_a_batch_have_their_own_cases_and_limits() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-batch"]);
    let task = |name: &str| json!({"kind": "batch", "uri": "cases", "identifier": name});
    fixture.recipe("job.json", &[task("a"), task("b")]);
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--max-parallel-tasks",
        "1",
    ];
    // One start and two ends: as many as each task reports.
    let limit = ["--set", "plugins.limits.cases=3", "job.json"];
    fixture.run(&[&args[..], &limit].concat()).code(0);
    let expected = ["1-a", "2-b"].map(|task| {
        let cases = [("running", "PASS"), ("unannounced", "FAIL")];
        cases.map(|(name, status)| format!("{task} [\"{name}\"] {status}"))
    });
    assert_eq!(ended(&fixture), expected.concat());
    let finished = fixture.job().events_of("task-finished");
    assert!(
        finished
            .iter()
            .all(|task| task["data"]["cases"]["pass"] == 1),
        "{finished:?}"
    );
}

#[test]
fn program_runner_reports_cases_when_it_judges_and_not_before() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-program"]);
    let task = |way: &str| json!({"kind": "program", "uri": way});
    fixture.recipe(
        "job.json",
        &[task("judge-cases"), task("cases-early"), task("fine")],
    );
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--max-parallel-tasks",
        "1",
        "job.json",
    ];
    fixture.run(&args).code(1);
    let expected = [
        "1-judge-cases [\"left\"] ERROR",
        "1-judge-cases [\"running\"] PASS",
        "1-judge-cases [\"unannounced\"] FAIL",
    ];
    assert_eq!(ended(&fixture), expected);
    let job = fixture.job();
    assert_eq!(
        (&*job.status("judge-cases"), &*job.status("fine")),
        ("PASS", "PASS")
    );
    job.assert_error("cases-early", &["not-permitted"]);
}

#[test]
fn many_cases_are_all_in_the_journal() {
    let (fixture, _) = run(&[lab("one", &["many 20000"])], &[], 0);
    let job = fixture.job();
    assert_eq!(job.events_of("case-started").len(), 20_000);
    let ends = job.events_of("case-finished");
    assert_eq!(ends.len(), 20_000);
    assert_eq!(ends[19_999]["data"]["path"], json!(["many", "19999"]));
    assert_eq!(
        job.events_of("task-finished")[0]["data"]["cases"]["pass"],
        20_000
    );
}

#[test]
fn cases_of_a_task_without_an_end_count_for_nothing() {
    let (fixture, _) = run(&[lab("one", &["PASS a", "PASS b"])], &[], 0);
    let journal = fixture.job().0.join("events.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    let (before, _) = text.split_once("{\"event\":\"task-finished\"").unwrap();
    std::fs::write(&journal, before).unwrap();
    let ran = fixture
        .run(&["report", "latest", "--format", "json"])
        .code(2);
    let results: Value = serde_json::from_str(&ran.stdout).unwrap();
    let test = &results["tests"][0];
    assert_eq!(test["status"], "ERROR", "{results:#}");
    assert_eq!(results["tests"].as_array().unwrap().len(), 1);
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--failed",
        "latest",
        "job.json",
    ];
    fixture.run(&args).code(0);
}

#[test]
fn task_that_blames_the_infrastructure_is_retried() {
    let steps = ["start a", "once board", "PASS a"];
    let retries = |causes: &str| {
        let setting = format!("run.retry_on={causes}");
        let options = ["--retries", "1", "--set", &setting];
        let code = i32::from(causes != r#"["infrastructure"]"#);
        run(&[lab("one", &steps)], &options, code).0
    };
    let fixture = retries(r#"["infrastructure"]"#);
    let events = [
        "started",
        "started a",
        "finished a ERROR",
        "retried ERROR",
        "started",
        "started a",
        "finished a PASS",
        "finished PASS",
    ];
    assert_eq!(story(&fixture), events);
    let job = fixture.job();
    let attempt = &job.events_of("task-retried")[0]["data"];
    assert_eq!(attempt["infrastructure"], true);
    assert_eq!(attempt["cases"]["error"], 1);
    assert_eq!(job.events_of("task-finished")[0]["data"]["flaky"], true);
    assert!(
        retries(r#"["fail"]"#)
            .job()
            .events_of("task-retried")
            .is_empty()
    );
}

#[test]
fn requirement_that_blames_the_infrastructure_is_retried() {
    let requiring = || {
        let mut task = lab("one", &[]);
        task["kwargs"]["dependencies"] = json!([{"type": "power", "uri": "socket"}]);
        task
    };
    let (fixture, ran) = run(&[requiring()], &["--retries", "2"], 0);
    assert!(
        ran.stdout
            .contains("not met: the socket does not answer, retrying"),
        "{ran}"
    );
    let job = fixture.job();
    let kinds: Vec<String> = job
        .events()
        .iter()
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .filter(|kind| kind.starts_with("requirement-"))
        .collect();
    let expected = [
        "started", "absent", "retried", "started", "absent", "finished", "released",
    ];
    assert_eq!(kinds, expected.map(|kind| format!("requirement-{kind}")));
    let retried = &job.events_of("requirement-retried")[0]["data"];
    assert_eq!(
        (&retried["attempts"], &retried["id"]),
        (&json!(1), &json!("1-power-socket"))
    );
    let (fixture, _) = run(&[requiring()], &[], 2);
    assert_eq!(fixture.job().status("one"), "CANCEL");
    assert!(fixture.job().events_of("requirement-retried").is_empty());
}
