//! Owns the adversary: plugins, components and tests that misbehave on purpose. Each case checks
//! what the user sees of it, and that the results of other tests are intact. docs/security.md lists
//! them.

mod abi;
mod acts;
mod calls;
mod cases;
mod channel;
mod checkouts;
mod components;
mod descriptions;
mod formats;
mod listers;
mod locks;
mod pages;
mod processes;
mod programs;
mod resolvers;
mod roles;
mod runners;
mod sandbox;
pub mod wat;
mod workdirs;

use crate::support::plugins::install;
use crate::support::recipes::{noop, shell};
use crate::support::{Fixture, Ran};

/// Runs a job of a hostile runnable between two ordinary ones, in a new project.
pub fn hostile(runnable: &str, options: &[&str], code: i32) -> (Fixture, Ran) {
    let fixture = prepared();
    let ran = run(&fixture, runnable, options, code);
    (fixture, ran)
}

/// A project with the hostile runner.
pub fn prepared() -> Fixture {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-runner"]);
    fixture
}

/// Runs a job of a hostile runnable between two ordinary ones, whose results are intact.
pub fn run(fixture: &Fixture, runnable: &str, options: &[&str], code: i32) -> Ran {
    let hostile = serde_json::from_str(runnable).unwrap();
    let tests = [noop("before"), hostile, shell("after", "echo after")];
    fixture.recipe("job.json", &tests);
    let args = ["run", "--plugin-dir", "plugins"];
    let ran = fixture.run(&[&args, options, &["job.json"]].concat());
    let ran = ran.code(code);
    let job = fixture.job();
    assert_eq!(job.status("before"), "PASS", "{ran}");
    assert_eq!(job.status("after"), "PASS", "{ran}");
    assert_eq!(job.results()["total"], 3);
    assert_printable(&ran);
    fixture.assert_no_strays();
    ran
}

/// A plugin with one of the descriptions that `hostile-describe` can give, such as `kind`.
pub fn odd(way: &str) -> Vec<u8> {
    let way = format!("describe={way}");
    components::patched("hostile-describe", "describe=fine", &way)
}

/// A result format that writes its report to this file of the job.
pub fn report_named(file: &str) -> Vec<u8> {
    formats::forger("file=results.hostile", &format!("file={file}"))
}

/// The output has no character that would control a terminal or the direction of its writing.
#[track_caller]
pub fn assert_printable(ran: &Ran) {
    let is_mark = |c| matches!(c, '\u{61c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_unsafe = |c: char| c.is_control() && c != '\n' || is_mark(c);
    assert!(
        !ran.stdout.contains(is_unsafe) && !ran.stderr.contains(is_unsafe),
        "{ran}"
    );
}
