//! Owns runners that misbehave with cases and with polling: each fails its own task at most, and
//! the host's memory stays bounded.

use serde_json::{Value, json};

use crate::hostile::run;
use crate::support::Fixture;
use crate::support::plugins::install;

/// Runs a job of a task of this kind between two ordinary ones, and returns the project.
fn hostile(kind: &str, options: &[&str], code: i32) -> Fixture {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-cases"]);
    let runnable = format!(r#"{{"kind": "{kind}", "uri": "x"}}"#);
    run(&fixture, &runnable, options, code);
    fixture
}

/// The cases that the journal has of the task: path, status and reason of each.
fn cases(fixture: &Fixture) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let case = |event: Value| {
        let data = &event["data"];
        let path = data["path"].as_array().unwrap().iter().map(text);
        let path = path.collect::<Vec<String>>().join("/");
        (path, text(&data["status"]), text(&data["reason"]))
    };
    let finished = fixture.job().events_of("case-finished");
    finished.into_iter().map(case).collect()
}

#[test]
fn deep_path_is_refused_and_cases_before_it_are_taken() {
    let fixture = hostile("case-deep", &[], 0);
    assert_eq!(fixture.job().status("x"), "PASS");
    let paths: Vec<String> = cases(&fixture).into_iter().map(|case| case.0).collect();
    assert_eq!(paths, ["good"]);
}

#[test]
fn flood_of_cases_ends_at_the_limit_of_its_task() {
    let limit = ["--set", "plugins.limits.cases_mb=1"];
    for kind in ["case-million", "case-data"] {
        let fixture = hostile(kind, &limit, 1);
        let job = fixture.job();
        job.assert_error("x", &["plugins.limits.cases_mb"]);
        let journal = job.read("events.jsonl");
        assert!(journal.len() < 2_000_000, "{kind}: {} bytes", journal.len());
    }
}

#[test]
fn flood_of_cases_takes_little_memory_of_the_host_at_the_default_limit() {
    for kind in ["case-million", "case-data"] {
        let fixture = Fixture::new();
        install(&fixture, "plugins", &["hostile-cases"]);
        fixture.recipe("job.json", &[json!({"kind": kind, "uri": "x"})]);
        let (peak, ran) = fixture.run_with_peak(&["run", "job.json"]);
        ran.code(1);
        let job = fixture.job();
        job.assert_error("x", &["plugins.limits.cases_mb"]);
        // Each of the three reports holds 32 MiB of cases and, twice, a page of up to 512: 418 MiB
        // in all (measured on 2026-11-29). The journal of 128 MiB is on the disk only.
        assert!(peak < 600, "{kind}: {peak} MiB");
    }
}

#[test]
fn case_that_is_finished_again_is_numbered() {
    let fixture = hostile("case-twice", &[], 0);
    assert_eq!(fixture.job().status("x"), "PASS");
    let cases = cases(&fixture);
    let statuses: Vec<&str> = cases.iter().map(|case| case.1.as_str()).collect();
    assert_eq!(statuses, ["PASS", "FAIL", "PASS"]);
    let mut paths: Vec<&str> = cases.iter().map(|case| case.0.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), 3, "{cases:?}");
}

#[test]
fn case_that_is_never_finished_is_an_error() {
    let fixture = hostile("case-never", &[], 0);
    assert_eq!(fixture.job().status("x"), "PASS");
    let cases = cases(&fixture);
    assert_eq!(
        (cases[0].0.as_str(), cases[0].1.as_str()),
        ("never", "ERROR")
    );
}

#[test]
fn case_of_a_hanging_task_is_interrupted() {
    let fixture = hostile("case-hang", &["--task-timeout", "0.5"], 8);
    assert_eq!(fixture.job().status("x"), "INTERRUPTED");
    let cases = cases(&fixture);
    assert_eq!(
        (cases[0].0.as_str(), cases[0].1.as_str()),
        ("hangs", "INTERRUPTED")
    );
}

#[test]
fn polls_over_too_little_or_too_much_do_what_the_contract_says() {
    for kind in ["poll-dropped", "poll-nothing", "poll-many"] {
        let fixture = hostile(kind, &[], 0);
        let job = fixture.job();
        assert_eq!(job.status("x"), "PASS", "{kind}: {}", job.reason("x"));
    }
}

#[test]
fn poll_without_a_running_child_is_idle() {
    let limit = ["--set", "plugins.runner.timeout=0.5"];
    for kind in ["poll-idle", "poll-ended"] {
        let fixture = hostile(kind, &limit, 1);
        let parts = [
            "the time without a process, 0.5 s",
            "plugins.runner.timeout",
        ];
        fixture.job().assert_error("x", &parts);
    }
}

#[test]
fn poll_of_an_interrupted_task_says_so() {
    let fixture = hostile("poll-interrupted", &["--task-timeout", "0.5"], 8);
    let job = fixture.job();
    assert_eq!(job.status("x"), "INTERRUPTED");
    let finished = job.events_of("task-finished");
    let ours = finished
        .iter()
        .find(|event| event["task"] == "2-x")
        .unwrap();
    assert_eq!(ours["data"]["polled"], "interrupted");
}
