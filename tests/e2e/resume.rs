//! Owns `persea run --resume`: a job whose host was killed or interrupted is finished, with exactly
//! one result for each test, and nothing of the former host is left. What the resumed job looks
//! like is in `faults`, of random jobs.

mod environments;
mod same_job;

use std::process::Child;

use serde_json::{Value, json};

use crate::chaos::faults;
use crate::support::recipes::{logged, logged_test, shell, with};
use crate::support::{Fixture, Ran, assert_stderr, finish, signal, wait_until};

/// A test that appends a line to a file when it runs, and ends when there is another file.
fn waiting(name: &str) -> Value {
    let script = format!("echo $$ >>{name}.runs; until test -e {name}.end; do sleep 0.02; done");
    shell(name, &script)
}

/// A test that appends a line to a file and ends with this exit code.
fn counted(name: &str, code: i32) -> Value {
    shell(name, &format!("echo x >>{name}.runs; exit {code}"))
}

/// Starts a job.
fn start(project: &Fixture, args: &[&str]) -> Child {
    project.persea(args).spawn().unwrap()
}

/// Kills a host with SIGKILL.
fn kill(host: Child) {
    signal(host.id(), "KILL");
    finish(host);
}

/// Waits until the journal has the start of a test.
#[track_caller]
fn wait_for_start(project: &Fixture, name: &str) {
    wait_until("the start in the journal", || {
        let started = project.job().tasks_with("task-started");
        let is_there = started.iter().any(|id| id.contains(&format!("-{name}")));
        is_there.then_some(()).ok_or_else(|| format!("{started:?}"))
    });
}

/// Resumes the latest job to its end.
fn resume(project: &Fixture) -> Ran {
    project.run(&["run", "--resume", "latest"])
}

/// The job of this number of tests has ended whole, with these results by name.
#[track_caller]
fn assert_whole(project: &Fixture, ran: &Ran, expected: &[(&str, &str)]) {
    let faults = faults(project, ran, expected.len());
    assert!(faults.is_empty(), "{}\n{ran}", faults.join("\n"));
    for (name, status) in expected {
        assert_eq!(project.job().status(name), *status, "{name}\n{ran}");
    }
}

/// The end of a task in the journal.
fn end_of(project: &Fixture, name: &str) -> Value {
    let ends = project.job().events_of("task-finished");
    let found = ends.into_iter().rev();
    let mut found = found.filter(|event| event["data"]["name"] == name);
    found.next().unwrap()["data"].clone()
}

/// The causes of a task's earlier attempts, and the names of their directories.
fn attempts(project: &Fixture, name: &str) -> Vec<(String, String)> {
    let retried = project.job().events_of("task-retried");
    let of_task = retried.iter().filter(|event| event["data"]["name"] == name);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    of_task
        .map(|event| {
            (
                text(&event["data"]["cause"]),
                text(&event["data"]["directory"]),
            )
        })
        .collect()
}

#[test]
fn interrupted_job_goes_on_with_one_result_for_each_test() {
    for number in ["INT", "TERM"] {
        let project = Fixture::new();
        let needs = with(counted("needs", 0), "needs", json!(["a"]));
        let tests = [
            counted("ended", 0),
            waiting("a"),
            counted("later", 0),
            needs,
        ];
        project.recipe("job.json", &tests);
        let host = start(&project, &["run", "--max-parallel-tasks", "1", "job.json"]);
        project.wait_for("a.runs");
        wait_for_start(&project, "a");
        signal(host.id(), number);
        let ran = finish(host).code(8);
        assert!(
            ran.stdout.contains("GO ON WITH : persea run --resume "),
            "{ran}"
        );
        assert_eq!(project.job().status("a"), "INTERRUPTED");
        assert_eq!(project.job().status("later"), "SKIP");
        assert_eq!(project.job().status("needs"), "SKIP");
        project.file("a.end", "");
        let ran = resume(&project).code(0);
        let job = project.job();
        let results = job.results();
        assert_eq!(
            (&results["total"], &results["pass"]),
            (&json!(4), &json!(4)),
            "{ran}"
        );
        assert_eq!(results["tests"].as_array().unwrap().len(), 4);
        for (format, file) in [("json", "results.json"), ("tap", "results.tap")] {
            let again = project
                .run(&["report", "latest", "--format", format])
                .code(0);
            assert_eq!(again.stdout, job.read(file));
        }
        assert_eq!(project.lines("ended.runs").len(), 1);
        assert_eq!(project.lines("a.runs").len(), 2);
        assert_eq!(end_of(&project, "a")["attempts"], 2);
        assert_eq!(end_of(&project, "later").get("attempts"), None);
        let ran = resume(&project).code(2);
        assert_stderr(&ran, &["nothing to resume", "(4 in all)", "--failed"]);
    }
}

#[test]
fn job_that_ran_out_of_time_goes_on() {
    let project = Fixture::new();
    project.recipe("job.json", &[waiting("a"), counted("b", 0)]);
    let ran = project.run(&[
        "run",
        "--max-parallel-tasks",
        "1",
        "--job-timeout",
        "1",
        "job.json",
    ]);
    assert_eq!(ran.code, Some(8), "{ran}");
    project.file("a.end", "");
    let ran = resume(&project).code(0);
    assert!(ran.stdout.contains("PASS 2 |"), "{ran}");
    project.assert_no_strays();
}

#[test]
fn job_that_has_ended_has_nothing_to_resume() {
    let project = Fixture::new();
    project.recipe("job.json", &[counted("a", 1)]);
    project.run(&["run", "job.json"]).code(1);
    let before = project.job().read("events.jsonl");
    let ran = resume(&project).code(2);
    assert_stderr(&ran, &["nothing to resume", "(1 in all)", "help: "]);
    assert_eq!(project.job().read("events.jsonl"), before);
    assert_eq!(project.lines("a.runs").len(), 1);
    let ran = project.run(&["run", "--resume", "abcdef"]).code(4);
    assert_stderr(&ran, &["no job `abcdef`"]);
}

#[test]
fn retries_are_those_that_were_left() {
    let project = Fixture::new();
    let script = "echo x >>a.runs; test $(wc -l <a.runs) = 2 && touch second && sleep 1000; false";
    project.recipe("job.json", &[shell("a", script)]);
    let host = start(&project, &["run", "--retries", "2", "job.json"]);
    project.wait_for_existence("second");
    wait_until("the second start in the journal", || {
        match project.job().tasks_with("task-started").len() {
            2 => Ok(()),
            starts => Err(starts.to_string()),
        }
    });
    kill(host);
    let ran = resume(&project).code(1);
    assert_whole(&project, &ran, &[("a", "FAIL")]);
    // The first attempt, the one that ended with its host, and two retries.
    assert_eq!(project.lines("a.runs").len(), 4);
    assert_eq!(end_of(&project, "a")["attempts"], 4);
    let causes: Vec<String> = attempts(&project, "a").into_iter().map(|it| it.0).collect();
    assert_eq!(causes, ["", "job-taken-over", ""]);
}

#[test]
fn requirement_of_the_killed_host_is_released_and_met_again() {
    let project = Fixture::new();
    let both = json!([logged("one"), logged("two")]);
    let script = "echo run a >>log; until test -e a.end; do sleep 0.02; done";
    let mut waits = shell("a", script);
    waits["kwargs"]["dependencies"] = both.clone();
    let unneeded = logged_test("ended", &json!([logged("three")]));
    project.recipe("job.json", &[unneeded, waits]);
    let host = start(&project, &["run", "--max-parallel-tasks", "1", "job.json"]);
    wait_until("the test", || {
        let log = project.lines("log");
        let runs = log.iter().any(|line| line == "run a");
        runs.then_some(()).ok_or_else(|| format!("{log:?}"))
    });
    kill(host);
    project.assert_no_strays();
    let before = project.lines("log").len();
    project.file("a.end", "");
    let ran = resume(&project).code(0);
    assert_whole(&project, &ran, &[("ended", "PASS"), ("a", "PASS")]);
    let log = project.lines("log");
    let mut downs = log[before..before + 3].to_vec();
    downs.sort();
    assert_eq!(downs, ["down one", "down three", "down two"], "{log:?}");
    // That of the test that has ended is not met again.
    let rest: Vec<&str> = log[before + 3..].iter().map(String::as_str).collect();
    assert_eq!(rest.len(), 5, "{log:?}");
    assert_eq!(rest[2..], ["run a", "down two", "down one"], "{log:?}");
    let left = project.run(&["release"]).code(0);
    assert_eq!(left.stdout, "", "{left}");
}

#[test]
fn torn_last_line_is_cut_off() {
    for end in [
        &b"{\"event\":\"task-finished\",\"time\":17"[..],
        b"\0\0\0\0\0\0\0\0",
        b"{\"event\":\"task-fin\0\0\0\n",
    ] {
        let project = Fixture::new();
        project.recipe("job.json", &[counted("ended", 0), waiting("a")]);
        let host = start(&project, &["run", "--max-parallel-tasks", "1", "job.json"]);
        project.wait_for("a.runs");
        wait_for_start(&project, "a");
        kill(host);
        let path = project.job().0.join("events.jsonl");
        let mut journal = std::fs::read(&path).unwrap();
        journal.extend_from_slice(end);
        std::fs::write(&path, journal).unwrap();
        project.file("a.end", "");
        let ran = resume(&project).code(0);
        assert_whole(&project, &ran, &[("ended", "PASS"), ("a", "PASS")]);
        assert_eq!(project.lines("ended.runs").len(), 1);
    }
}
