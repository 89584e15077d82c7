//! Owns listers that misbehave: each costs its own runnable, and the tests of the others run.

use serde_json::json;

use crate::support::plugins::install;
use crate::support::{Fixture, Job};

/// The name of the reference that stands for a runnable whose tests are not listed.
fn reference(uri: &str) -> String {
    format!("job.json: {uri}")
}

/// Runs a job of a hostile runnable between an honest one of the same lister and a plain test.
fn list(uri: &str, options: &[&str], code: i32) -> (Fixture, Job) {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-lister"]);
    let runnables = [
        json!({"kind": "hostile-list", "uri": "honest"}),
        json!({"kind": "hostile-list", "uri": uri}),
        json!({"kind": "noop", "identifier": "beside"}),
    ];
    fixture.recipe("job.json", &runnables);
    let args = ["run", "--plugin-dir", "plugins"];
    let ran = fixture.run(&[&args, options, &["job.json"]].concat());
    crate::hostile::assert_printable(&ran.code(code));
    fixture.assert_no_strays();
    let job = fixture.job();
    assert_eq!(job.status("beside"), "PASS");
    (fixture, job)
}

/// The lister fails with this runnable, and nothing of its answer runs.
#[track_caller]
fn assert_refused(uri: &str, options: &[&str], parts: &[&str]) {
    let (_sandbox, job) = list(uri, options, 1);
    job.assert_error(&reference(uri), parts);
    assert_eq!(job.status("one"), "PASS", "{uri}");
    assert_eq!(job.status("two"), "PASS", "{uri}");
    assert_eq!(job.results()["total"], 4, "{uri}");
}

#[test]
fn trap_of_a_lister_drops_its_pages() {
    assert_refused("traps", &[], &["between two pages"]);
}

#[test]
fn flood_of_listed_tests_fails_even_if_the_refusal_is_ignored() {
    let limit = ["--set", "plugins.limits.answers_mb=64"];
    assert_refused("floods", &limit, &["plugins.limits.answers_mb"]);
}

#[test]
fn endless_loop_of_a_lister_is_stopped_at_the_cpu_limit() {
    let limit = ["--set", "plugins.limits.cpu=0.5"];
    assert_refused("loops", &limit, &["plugins.limits.cpu"]);
}

#[test]
fn lister_that_only_sleeps_is_stopped_when_it_is_idle() {
    let limit = ["--set", "plugins.lister.timeout=0.5"];
    assert_refused("sleeps", &limit, &["the time without a process, 0.5 s"]);
}

#[test]
fn process_of_a_lister_is_ended_at_the_task_timeout() {
    let limit = ["--task-timeout", "0.5"];
    assert_refused("hangs", &limit, &["task.timeout.running"]);
}

#[test]
fn test_that_is_listed_twice_is_refused_by_name() {
    assert_refused("twice", &[], &["has listed `again` twice"]);
}

#[test]
fn test_of_an_undeclared_kind_is_refused_by_name() {
    let words = "has listed a test of the undeclared kind `exec-test`";
    assert_refused("undeclared", &[], &[words]);
}

#[test]
fn files_elsewhere_keep_no_answer_and_cost_nothing() {
    for uri in ["elsewhere", "unclear"] {
        let fixture = Fixture::new();
        install(&fixture, "plugins", &["hostile-lister"]);
        fixture.recipe("job.json", &[json!({"kind": "hostile-list", "uri": uri})]);
        let args = ["run", "--plugin-dir", "plugins", "job.json"];
        for _ in 0..2 {
            fixture.run(&args).code(0);
            assert_eq!(fixture.job().status("one"), "PASS", "{uri}");
        }
        let list = ["list", "--plugin-dir", "plugins", "job.json"];
        let unlisted = fixture.run(&list).code(0);
        let note = format!("the tests of {uri} are not listed");
        assert!(unlisted.stderr.contains(&note), "{unlisted}");
    }
}
