//! The adversary: plugins, components and tests that misbehave on purpose. Each case shows what the user sees of it, and that its neighbours'
//! results are intact; docs/security.md has them in a table.

mod abi;
mod acts;
mod calls;
mod channel;
mod checkouts;
mod components;
mod formats;
mod processes;
mod programs;
mod resolvers;
mod runners;
mod sandbox;
mod wat;

use crate::support::plugins::install;
use crate::support::{Ran, Sandbox};

/// A job of one hostile runnable between two that are not.
pub fn hostile(runnable: &str, options: &[&str], code: i32) -> (Sandbox, Ran) {
    let sandbox = prepared();
    let ran = run(&sandbox, runnable, options, code);
    (sandbox, ran)
}

/// A project with the hostile runner.
pub fn prepared() -> Sandbox {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["hostile-runner"]);
    sandbox
}

/// Runs such a job there, and looks that the others' results are intact.
pub fn run(sandbox: &Sandbox, runnable: &str, options: &[&str], code: i32) -> Ran {
    let noop = |name: &str| format!(r#"{{"kind": "noop", "uri": "{name}"}}"#);
    let after = r#"{"kind": "exec-test", "uri": "/bin/sh", "args": ["-c", "echo after"], "identifier": "after"}"#;
    sandbox.file(
        "job.json",
        format!("[{},\n{runnable},\n{after}]", noop("before")),
    );
    let mut args = vec!["run", "--plugin-dir", "plugins"];
    args.extend(options);
    args.push("job.json");
    let ran = sandbox.run(&args).code(code);
    let job = sandbox.job();
    assert_eq!(job.status("before"), "PASS", "{ran}");
    assert_eq!(job.status("after"), "PASS", "{ran}");
    assert_eq!(job.results()["total"], 3);
    assert_printable(&ran);
    sandbox.assert_no_strays();
    ran
}

/// A plugin that describes itself in one of the ways that it has.
pub fn odd(way: &str) -> Vec<u8> {
    let way = format!("describe={way}");
    components::patched("hostile-describe", "describe=fine", &way)
}

/// A result format whose report has this name.
pub fn report_named(file: &str) -> Vec<u8> {
    formats::forger("file=results.hostile", &format!("file={file}"))
}

/// Nothing reaches a terminal that would move its cursor or turn its writing around.
#[track_caller]
pub fn assert_printable(ran: &Ran) {
    let mark = |c| matches!(c, '\u{61c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let bad = |c: char| c.is_control() && c != '\n' || mark(c);
    assert!(
        !ran.stdout.contains(bad) && !ran.stderr.contains(bad),
        "{ran}"
    );
}
