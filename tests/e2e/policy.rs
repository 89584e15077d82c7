//! Which tasks are run, how often, and until when.

use serde_json::{Value, json};

use crate::support::Sandbox;

fn recipe(sandbox: &Sandbox, uris: &[&str]) {
    let runnables: Vec<Value> = uris
        .iter()
        .map(|uri| json!({"kind": "exec-test", "uri": uri}))
        .collect();
    sandbox.file("all.json", Value::from(runnables).to_string());
}

/// A test that passes the third time.
const THIRD: &str = "echo again >> tries; echo try $(wc -l < tries); [ $(wc -l < tries) -ge 3 ]";

#[test]
fn failed_test_is_retried_and_marked_flaky() {
    let sandbox = Sandbox::new();
    sandbox.script("third.sh", THIRD);
    recipe(&sandbox, &["./third.sh", "/bin/false", "/bin/true"]);
    let ran = sandbox
        .run(&[
            "run",
            "--retries",
            "2",
            "--max-parallel-tasks",
            "1",
            "all.json",
        ])
        .code(1);
    let job = sandbox.job();
    assert_eq!(job.status("./third.sh"), "PASS");
    assert_eq!(job.status("/bin/false"), "FAIL");
    let events = job.events();
    let of = |kind: &str, name: &str| -> Vec<Value> {
        let is = |event: &&Value| event["event"] == kind && event["data"]["name"] == name;
        events
            .iter()
            .filter(is)
            .map(|event| event["data"].clone())
            .collect()
    };
    let retried = of("task-retried", "./third.sh");
    let attempts: Vec<&Value> = retried.iter().map(|data| &data["attempts"]).collect();
    assert_eq!(attempts, [&json!(1), &json!(2)]);
    let finished = of("task-finished", "./third.sh");
    assert_eq!(finished[0]["attempts"], 3);
    assert_eq!(finished[0]["flaky"], true);
    assert_eq!(of("task-finished", "/bin/false")[0]["attempts"], 3);
    assert_eq!(of("task-finished", "/bin/false")[0]["flaky"], Value::Null);
    assert_eq!(of("task-finished", "/bin/true")[0]["attempts"], Value::Null);
    assert_eq!(job.test("./third.sh")["attempts"], 3);
    assert_eq!(job.test("./third.sh")["flaky"], true);
    // What each attempt has left is there.
    for (data, expected) in [
        (&retried[0], "try 1\n"),
        (&retried[1], "try 2\n"),
        (&finished[0], "try 3\n"),
    ] {
        let directory = job.0.join(data["directory"].as_str().unwrap());
        assert_eq!(
            std::fs::read_to_string(directory.join("stdout")).unwrap(),
            expected
        );
    }
    assert!(
        ran.stdout.contains("FAIL: exited with code 1"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains(", is tried again"), "{}", ran.stdout);
    assert!(ran.stdout.contains("[flaky: attempt 3]"), "{}", ran.stdout);
    assert!(
        ran.stdout
            .contains("FLAKY      : 1 passed only when tried again"),
        "{}",
        ran.stdout
    );
    assert_eq!(job.results()["total"], 3);
}

#[test]
fn job_timeout_prevents_retries() {
    let sandbox = Sandbox::new();
    sandbox.script("hangs.sh", "echo again >> tries; sleep 3600");
    recipe(&sandbox, &["./hangs.sh"]);
    sandbox
        .run(&["run", "--retries", "5", "--job-timeout", "1", "all.json"])
        .code(8);
    assert_eq!(sandbox.job().status("./hangs.sh"), "INTERRUPTED");
    let tries = std::fs::read_to_string(sandbox.project().join("tries")).unwrap();
    assert_eq!(tries.lines().count(), 1);
}

#[test]
fn retry_cut_off_by_the_job_timeout_keeps_the_first_result() {
    let sandbox = Sandbox::new();
    sandbox.script("hangs.sh", "sleep 3600");
    // By then the one that hangs waits only for what this one has, and comes before it.
    let journal = "$AVOCADO_TEST_OUTPUTDIR/../../events.jsonl";
    let fails =
        format!("until grep -q task-finished \"{journal}\"; do sleep 0.05; done; echo why; exit 3");
    sandbox.script("fails.sh", &fails);
    let task = |uri: &str, more: &Value| {
        let mut task = json!({"kind": "exec-test", "uri": uri, "identifier": uri});
        let members = task.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        task
    };
    let all = [
        task(
            "./hangs.sh",
            &json!({"needs": ["/bin/echo"], "mutexes": ["one"]}),
        ),
        task("./fails.sh", &json!({"mutexes": ["one"]})),
        task("/bin/echo", &json!({})),
    ];
    sandbox.file("all.json", json!(all).to_string());
    let options = ["--retries", "1", "--max-parallel-tasks", "2"];
    let run = ["run", "--job-timeout", "2", "all.json"];
    sandbox.run(&[&run[..], &options].concat()).code(9);
    let job = sandbox.job();
    assert_eq!(job.status("./fails.sh"), "FAIL");
    assert_eq!(job.reason("./fails.sh"), "exited with code 3");
    assert_eq!(job.test("./fails.sh")["attempts"], Value::Null);
    let directory = job.test("./fails.sh")["logdir"]
        .as_str()
        .unwrap()
        .to_owned();
    let said = std::fs::read_to_string(format!("{directory}/stdout")).unwrap();
    assert_eq!(said, "why\n");
    assert_eq!(job.status("./hangs.sh"), "INTERRUPTED");
    assert_eq!(job.results()["total"], 3);
}

#[test]
fn task_that_needs_a_flaky_task_runs_after_its_retry() {
    let sandbox = Sandbox::new();
    sandbox.script("third.sh", THIRD);
    sandbox.file(
        "all.json",
        r#"[{"kind": "exec-test", "uri": "./third.sh"}, {"kind": "exec-test", "uri": "/bin/true", "needs": ["./third.sh"]}]"#,
    );
    sandbox.run(&["run", "--retries", "2", "all.json"]).code(0);
    assert_eq!(sandbox.job().results()["pass"], 2);
}

#[test]
fn failfast_stops_after_a_number_of_failures() {
    let sandbox = Sandbox::new();
    recipe(
        &sandbox,
        &[
            "/bin/false",
            "/bin/true",
            "/bin/false",
            "/bin/true",
            "/bin/true",
        ],
    );
    for (option, passed, skipped) in [
        ("--failfast", 0, 4),
        ("--failfast=2", 1, 2),
        ("--failfast=3", 3, 0),
        ("--failfast=0", 3, 0),
    ] {
        sandbox
            .run(&["run", option, "--max-parallel-tasks", "1", "all.json"])
            .code(1);
        let results = sandbox.job().results();
        assert_eq!(results["pass"], passed, "{option}");
        assert_eq!(results["skip"], skipped, "{option}");
    }
    let ran = sandbox.run(&["run", "--failfast=-1", "all.json"]).code(4);
    assert!(ran.stderr.contains("--failfast"), "{}", ran.stderr);
}

#[test]
fn partitions_cover_every_task_once() {
    let sandbox = Sandbox::new();
    let uris: Vec<String> = (1..=7).map(|n| format!("./t{n}.sh")).collect();
    for uri in &uris {
        sandbox.script(uri, "true");
    }
    recipe(
        &sandbox,
        &uris.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    for kind in ["", "hash:"] {
        let mut ids: Vec<String> = Vec::new();
        for part in 1..=3 {
            let part = format!("{kind}{part}/3");
            sandbox
                .run(&["run", "--partition", &part, "--shuffle", "all.json"])
                .code(0);
            let events = sandbox.job().events();
            let planned = events
                .iter()
                .filter(|event| event["event"] == "task-planned");
            ids.extend(planned.map(|event| event["task"].as_str().unwrap().to_owned()));
        }
        ids.sort();
        let expected: Vec<String> = uris
            .iter()
            .enumerate()
            .map(|(n, uri)| format!("{}-{uri}", n + 1))
            .collect();
        assert_eq!(ids, expected, "{kind}");
    }
    let ran = sandbox
        .run(&["run", "--partition", "4/3", "all.json"])
        .code(4);
    assert!(
        ran.stderr.contains("partition `4/3`: write `2/5`"),
        "{}",
        ran.stderr
    );
}

/// The names of the tasks in the order in which they started.
fn starts(sandbox: &Sandbox) -> Vec<String> {
    let events = sandbox.job().events();
    let started = events
        .iter()
        .filter(|event| event["event"] == "task-started");
    let name = |event: &serde_json::Value| {
        let id = event["task"].as_str().unwrap();
        id.split_once('-').unwrap().1.to_owned()
    };
    started.map(name).collect()
}

#[test]
fn run_order_uses_results_of_earlier_jobs() {
    let sandbox = Sandbox::new();
    let test = |name: &str, line: &str| serde_json::json!({"kind": "exec-test", "uri": "/bin/sh", "args": ["-c", line], "identifier": name});
    let tests = [
        test("quick", "true"),
        test("fails", "false"),
        test("long", "sleep 0.6"),
        test("longer", "sleep 1.2"),
    ];
    sandbox.file(
        "tests.json",
        serde_json::Value::from(&tests[..]).to_string(),
    );
    let run = |order: &str| {
        let order = format!("run.order={order}");
        let ran = sandbox.run(&[
            "run",
            "--max-parallel-tasks",
            "1",
            "--set",
            &order,
            "tests.json",
        ]);
        ran.code(1);
        starts(&sandbox)
    };
    let given = ["quick", "fails", "long", "longer"];
    assert_eq!(run("given"), given);
    assert_eq!(run("failed-first"), ["fails", "quick", "long", "longer"]);
    assert_eq!(run("longest-first")[..2], ["longer", "long"]);
    // Their numbers are those of the plan, whatever the order.
    assert_eq!(sandbox.job().test("longer")["id"], "4-longer");
    let ran = sandbox
        .run(&["run", "--set", "run.order=alphabetical", "tests.json"])
        .code(4);
    assert!(
        ran.stderr
            .contains("`given`, `failed-first` or `longest-first`"),
        "{ran}"
    );
}
