//! Calls of the host that break the rules of the component model, or have no end.

use crate::hostile::abi::fails_in_its_task;
use crate::hostile::wat::{ROOM, Runner, words};

/// A task that does this with these functions of the host ends ERROR, with these words.
#[track_caller]
fn calls(imports: &'static str, run: String, more: String, says: &str) {
    let runner = Runner {
        imports,
        run: run.leak(),
        more,
        ..Runner::default()
    };
    fails_in_its_task(&runner, &[], &[says]);
}

/// The host's function for messages.
const LOG: &str = r#"(import "persea:plugin/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#;

#[test]
fn host_call_with_an_invalid_text_fails_its_task() {
    for (call, says) in [
        (
            "(call $log (i32.const 2) (i32.const 64) (i32.const 0x7fffffff))",
            "failed: ",
        ),
        (
            "(call $log (i32.const 2) (i32.const -1) (i32.const 10))",
            "failed: ",
        ),
        (
            "(call $log (i32.const 99) (i32.const 64) (i32.const 3))",
            "failed: ",
        ),
    ] {
        calls(LOG, format!("{call} (i32.const 256)"), String::new(), says);
    }
    let more = "(data (i32.const 1024) \"\\c3\\28\")".to_owned();
    let run = "(call $log (i32.const 2) (i32.const 1024) (i32.const 2)) (i32.const 256)";
    calls(LOG, run.to_owned(), more, "utf-8");
}

#[test]
fn endless_host_calls_are_stopped_at_the_cpu_limit() {
    let run = "(loop $again (call $log (i32.const 1) (i32.const 64) (i32.const 3)) (br $again)) unreachable";
    let cpu = ["--set", "plugins.limits.cpu=0.5"];
    fails_in_its_task(
        &Runner {
            imports: LOG,
            run,
            ..Runner::default()
        },
        &cpu,
        &["its limit on processor time, 0.5 s"],
    );
}

/// The host's functions for processes.
const PROCESS: &str = r#"
  (import "persea:plugin/process@0.1.0" "start" (func $start (param i32 i32)))
  (import "persea:plugin/process@0.1.0" "[method]child.id" (func $id (param i32) (result i32)))
  (import "persea:plugin/process@0.1.0" "[resource-drop]child" (func $drop (param i32)))
"#;

/// A command `sleep 1000` at `ROOM`, and room for what starting it answers behind it.
fn sleep() -> String {
    let program = words(&[1200, 5, 1216, 1, 0, 0]);
    let argument = words(&[1208, 4]);
    format!(
        "(data (i32.const {ROOM}) \"{program}\") (data (i32.const 1200) \"sleep\") (data (i32.const 1208) \"1000\") (data (i32.const 1216) \"{argument}\")"
    )
}

#[test]
fn invalid_handle_fails_its_task() {
    let start = "(call $start (i32.const 1024) (i32.const 1300))";
    let handle = "(i32.load (i32.const 1304))";
    for (run, says) in [
        (
            format!("{start} (call $drop {handle}) (drop (call $id {handle})) (i32.const 256)"),
            "handle",
        ),
        (
            format!("{start} (call $drop {handle}) (call $drop {handle}) (i32.const 256)"),
            "handle",
        ),
        (
            "(drop (call $id (i32.const 12345))) (i32.const 256)".to_owned(),
            "handle",
        ),
        (
            "(call $drop (i32.const -1)) (i32.const 256)".to_owned(),
            "handle",
        ),
    ] {
        calls(PROCESS, run, sleep(), says);
    }
}

#[test]
fn handles_are_refused_over_their_limit() {
    // It starts processes and forgets them, as long as it's let: what is over the limit is answered with an error, and it goes on asking.
    let run = "(loop $again (call $start (i32.const 1024) (i32.const 1300)) (br_if $again (i32.eqz (i32.load8_u (i32.const 1300))))) unreachable";
    let limit = ["--set", "plugins.limits.handles=50"];
    fails_in_its_task(
        &Runner {
            imports: PROCESS,
            run,
            more: sleep(),
            ..Runner::default()
        },
        &limit,
        &["unreachable"],
    );
}
