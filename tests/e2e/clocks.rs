//! Owns the clock of plugins: how much time a call has left, in every role that may ask.

use serde_json::{Value, json};

use crate::support::Fixture;
use crate::support::plugins::install;
use crate::support::recipes::{requiring, with};

/// A project with the plugin `lab`.
fn project() -> Fixture {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["lab"]);
    fixture
}

/// Checks that an amount of milliseconds, as the plugin wrote it, is what is left of a limit in
/// seconds. The host takes less than a minute to come so far.
#[track_caller]
fn assert_left(written: &str, limit: u64) {
    let left: u64 = written.parse().unwrap_or_else(|_| panic!("{written}"));
    let limit = limit * 1000;
    assert!(
        left <= limit && left > limit - 60_000,
        "{left} ms of {limit}"
    );
}

/// A task that asks the clock, with a timeout of its own in seconds.
fn asks(kind: &str, name: &str, timeout: u64) -> Value {
    let task = json!({"kind": kind, "uri": name, "args": ["clock"]});
    with(task, "config", json!({"task.timeout.running": timeout}))
}

#[test]
fn deadline_of_a_task_is_its_timeout() {
    let fixture = project();
    let without = json!({"kind": "lab", "uri": "without", "args": ["clock"]});
    fixture.recipe("job.json", &[asks("lab", "with", 600), without]);
    fixture.run(&["run", "job.json"]).code(0);
    let job = fixture.job();
    assert_left(&job.artifact("with", "clock"), 600);
    assert_eq!(job.artifact("without", "clock"), "none");
}

#[test]
fn deadline_in_a_batch_is_that_of_the_current_task() {
    let fixture = project();
    let without = json!({"kind": "lab-batch", "uri": "last", "args": ["clock"]});
    let task = |name, timeout| asks("lab-batch", name, timeout);
    fixture.recipe("job.json", &[task("a", 600), task("b", 1200), without]);
    let one = ["run", "--max-parallel-tasks", "1", "job.json"];
    fixture.run(&one).code(0);
    let job = fixture.job();
    assert_left(&job.artifact("a", "clock"), 600);
    assert_left(&job.artifact("b", "clock"), 1200);
    assert_eq!(job.artifact("last", "clock"), "none");
}

#[test]
fn deadline_of_a_lister_is_the_timeout_of_its_runnable() {
    let fixture = project();
    fixture.recipe("job.json", &[asks("lab-list", "many", 600)]);
    fixture.run(&["run", "job.json"]).code(0);
    assert_left(&fixture.job().artifact("listed", "note"), 600);
    fixture.recipe("job.json", &[json!({"kind": "lab-list", "uri": "many"})]);
    let limit = ["run", "--task-timeout", "1200", "job.json"];
    fixture.run(&limit).code(0);
    assert_left(&fixture.job().artifact("listed", "note"), 1200);
}

#[test]
fn deadline_of_a_requirement_is_its_time_limit() {
    let fixture = project();
    let timed = json!([{"type": "timed", "uri": "x"}]);
    let task = json!({"kind": "lab", "uri": "needs"});
    fixture.recipe("job.json", &[requiring(task, &timed)]);
    let limit = ["run", "--set", "requirement.timeout=600", "job.json"];
    fixture.run(&limit).code(0);
    let lines = fixture.lines("lab.log");
    for call in ["check x ", "begin x ", "release x "] {
        let mut found = lines.iter().filter_map(|line| line.strip_prefix(call));
        assert_left(found.next().unwrap_or_default(), 600);
    }
}
