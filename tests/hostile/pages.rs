//! Owns resolvers that misbehave while they answer in pages: each fails its own reference.

use crate::support::plugins::install;
use crate::support::{Fixture, Job};

/// Runs a job of a reference beside an ordinary one, and returns it with its project.
fn resolve(name: &str, options: &[&str], code: i32) -> (Fixture, Job) {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-pages"]);
    fixture.file(name, "");
    let args = [
        "run",
        "--max-parallel-tasks",
        "1",
        "--plugin-dir",
        "plugins",
    ];
    fixture
        .run(&[&args, options, &[name, "/bin/true"]].concat())
        .code(code);
    let job = fixture.job();
    assert_eq!(job.status("/bin/true"), "PASS");
    (fixture, job)
}

#[test]
fn pages_come_before_what_is_returned() {
    let (_sandbox, job) = resolve("good.pages", &[], 0);
    let tests = job.results()["tests"].as_array().unwrap().clone();
    let names: Vec<&str> = tests
        .iter()
        .map(|test| test["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["first", "second", "third", "/bin/true"]);
}

#[test]
fn flood_of_pages_fails_its_reference_even_if_the_refusal_is_ignored() {
    let limit = ["--set", "plugins.limits.answers_mb=64"];
    let (_sandbox, job) = resolve("flood.pages", &limit, 1);
    job.assert_error("flood.pages", &["plugins.limits.answers_mb"]);
    assert_eq!(job.results()["total"], 2);
}

#[test]
fn pages_of_a_failed_answer_are_dropped() {
    let (_sandbox, job) = resolve("traps.pages", &[], 1);
    job.assert_error("traps.pages", &["between two pages"]);
    assert_eq!(job.results()["total"], 2);
}

#[test]
fn invalid_page_is_refused_and_the_plugin_may_continue() {
    let (_sandbox, job) = resolve("invalid.pages", &[], 0);
    assert_eq!(job.status("mended"), "PASS");
}
