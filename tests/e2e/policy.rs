//! Owns the choice of tasks: retries, fail-fast, partitions, and the order by earlier results.

use serde_json::{Value, json};

use crate::support::Fixture;
use crate::support::recipes::{exec, programs, shell, with};

/// A script that passes in its third attempt.
const THIRD: &str = "echo again >> tries; echo try $(wc -l < tries); [ $(wc -l < tries) -ge 3 ]";

#[test]
fn failed_test_is_retried_and_marked_flaky() {
    let fixture = Fixture::new();
    fixture.script("third.sh", THIRD);
    let tests = programs(&["./third.sh", "/bin/false", "/bin/true"]);
    fixture.recipe("all.json", &tests);
    let ran = fixture
        .run(&[
            "run",
            "--retries",
            "2",
            "--max-parallel-tasks",
            "1",
            "all.json",
        ])
        .code(1);
    let job = fixture.job();
    assert_eq!(job.status("./third.sh"), "PASS");
    assert_eq!(job.status("/bin/false"), "FAIL");
    let data_of = |kind: &str, name: &str| -> Vec<Value> {
        let events = job.events_of(kind).into_iter();
        let data = events.map(|mut event| event["data"].take());
        data.filter(|data| data["name"] == name).collect()
    };
    let retried = data_of("task-retried", "./third.sh");
    let attempts: Vec<&Value> = retried.iter().map(|data| &data["attempts"]).collect();
    assert_eq!(attempts, [&json!(1), &json!(2)]);
    let finished = data_of("task-finished", "./third.sh");
    assert_eq!(finished[0]["attempts"], 3);
    assert_eq!(finished[0]["flaky"], true);
    let fails = &data_of("task-finished", "/bin/false")[0];
    assert_eq!(fails["attempts"], 3);
    assert_eq!(fails["flaky"], Value::Null);
    let passes = &data_of("task-finished", "/bin/true")[0];
    assert_eq!(passes["attempts"], Value::Null);
    assert_eq!(job.test("./third.sh")["attempts"], 3);
    assert_eq!(job.test("./third.sh")["flaky"], true);
    // Each attempt keeps a directory of its own.
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
    assert!(ran.stdout.contains(", retrying"), "{}", ran.stdout);
    assert!(ran.stdout.contains("[flaky: attempt 3]"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("FLAKY      : 1 passed only on a retry"),
        "{}",
        ran.stdout
    );
    assert_eq!(job.results()["total"], 3);
}

#[test]
fn job_timeout_prevents_retries() {
    let fixture = Fixture::new();
    fixture.script("hangs.sh", "echo again >> tries; sleep 3600");
    fixture.recipe("all.json", &programs(&["./hangs.sh"]));
    fixture
        .run(&["run", "--retries", "5", "--job-timeout", "1", "all.json"])
        .code(8);
    assert_eq!(fixture.job().status("./hangs.sh"), "INTERRUPTED");
    assert_eq!(fixture.lines("tries").len(), 1);
}

#[test]
fn retry_cut_off_by_the_job_timeout_keeps_the_first_result() {
    let fixture = Fixture::new();
    fixture.script("hangs.sh", "sleep 3600");
    // It fails after /bin/echo has finished: hangs.sh then waits only for the mutex, and precedes
    // the retry of fails.sh in the queue. So the job times out before that retry can start.
    let journal = "$AVOCADO_TEST_OUTPUTDIR/../../events.jsonl";
    let fails =
        format!("until grep -q task-finished \"{journal}\"; do sleep 0.05; done; echo why; exit 3");
    fixture.script("fails.sh", &fails);
    let with_mutex = |uri: &str| with(exec(uri, uri), "mutexes", json!(["one"]));
    let hangs = with(with_mutex("./hangs.sh"), "needs", json!(["/bin/echo"]));
    let echo = exec("/bin/echo", "/bin/echo");
    fixture.recipe("all.json", &[hangs, with_mutex("./fails.sh"), echo]);
    let options = ["--retries", "1", "--max-parallel-tasks", "2"];
    let run = ["run", "--job-timeout", "2", "all.json"];
    fixture.run(&[&run[..], &options].concat()).code(9);
    let job = fixture.job();
    assert_eq!(job.status("./fails.sh"), "FAIL");
    assert_eq!(job.reason("./fails.sh"), "exited with code 3");
    assert_eq!(job.test("./fails.sh")["attempts"], Value::Null);
    assert_eq!(job.artifact("./fails.sh", "stdout"), "why\n");
    assert_eq!(job.status("./hangs.sh"), "INTERRUPTED");
    assert_eq!(job.results()["total"], 3);
}

#[test]
fn task_that_needs_a_flaky_task_runs_after_its_retry() {
    let fixture = Fixture::new();
    fixture.script("third.sh", THIRD);
    let mut tests = programs(&["./third.sh", "/bin/true"]);
    tests[1]["needs"] = json!(["./third.sh"]);
    fixture.recipe("all.json", &tests);
    fixture.run(&["run", "--retries", "2", "all.json"]).code(0);
    assert_eq!(fixture.job().results()["pass"], 2);
}

#[test]
fn failfast_stops_after_a_number_of_failures() {
    let fixture = Fixture::new();
    let tests = programs(&[
        "/bin/false",
        "/bin/true",
        "/bin/false",
        "/bin/true",
        "/bin/true",
    ]);
    fixture.recipe("all.json", &tests);
    for (option, passed, skipped) in [
        ("--failfast", 0, 4),
        ("--failfast=2", 1, 2),
        ("--failfast=3", 3, 0),
        ("--failfast=0", 3, 0),
    ] {
        fixture
            .run(&["run", option, "--max-parallel-tasks", "1", "all.json"])
            .code(1);
        let results = fixture.job().results();
        assert_eq!(results["pass"], passed, "{option}");
        assert_eq!(results["skip"], skipped, "{option}");
    }
    let ran = fixture.run(&["run", "--failfast=-1", "all.json"]).code(4);
    let error = "error: invalid value '-1' for '--failfast[=<N>]': invalid digit found in string\n";
    assert!(ran.stderr.starts_with(error), "{ran}");
}

#[test]
fn partitions_cover_every_task_once() {
    let fixture = Fixture::new();
    let uris: Vec<String> = (1..=7).map(|n| format!("./t{n}.sh")).collect();
    for uri in &uris {
        fixture.script(uri, "true");
    }
    fixture.recipe("all.json", &programs(&uris));
    for kind in ["", "hash:"] {
        let mut ids: Vec<String> = Vec::new();
        for part in 1..=3 {
            let part = format!("{kind}{part}/3");
            fixture
                .run(&["run", "--partition", &part, "--shuffle", "all.json"])
                .code(0);
            ids.extend(fixture.job().ids());
        }
        ids.sort();
        let expected: Vec<String> = uris
            .iter()
            .enumerate()
            .map(|(n, uri)| format!("{}-{uri}", n + 1))
            .collect();
        assert_eq!(ids, expected, "{kind}");
    }
    let ran = fixture
        .run(&["run", "--partition", "4/3", "all.json"])
        .code(4);
    assert!(
        ran.stderr.contains("partition `4/3`: write `2/5`"),
        "{}",
        ran.stderr
    );
}

#[test]
fn run_order_uses_results_of_earlier_jobs() {
    let fixture = Fixture::new();
    // On a slow machine too, `long` takes longer than `quick` and `fails`, and `longer` than it.
    let times = "now() { date +%s%N; }; start=$(now); took() { echo $(($(now) - start)); }";
    let long = "sleep 0.6; took >long";
    let longer = "until [ $(took) -gt $(($(cat long) + 300000000)) ]; do sleep 0.05; done";
    let tests = [
        shell("quick", "true"),
        shell("fails", "false"),
        shell("long", &format!("{times}; {long}")),
        shell("longer", &format!("{times}; {longer}")),
    ];
    fixture.recipe("tests.json", &tests);
    let started = |order: &str| {
        let order = format!("run.order={order}");
        let ran = fixture.run(&[
            "run",
            "--max-parallel-tasks",
            "1",
            "--set",
            &order,
            "tests.json",
        ]);
        ran.code(1);
        fixture.job().started()
    };
    let given = ["quick", "fails", "long", "longer"];
    assert_eq!(started("given"), given);
    assert_eq!(
        started("failed-first"),
        ["fails", "quick", "long", "longer"]
    );
    assert_eq!(started("longest-first")[..2], ["longer", "long"]);
    // Ids have the numbers of the plan in every order.
    assert_eq!(fixture.job().test("longer")["id"], "4-longer");
    let ran = fixture
        .run(&["run", "--set", "run.order=alphabetical", "tests.json"])
        .code(4);
    assert!(
        ran.stderr
            .contains("`given`, `failed-first` or `longest-first`"),
        "{ran}"
    );
}
