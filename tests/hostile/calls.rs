//! Owns calls of host functions that break the rules of the component model, or have no end.

use crate::hostile::abi::assert_task_fails;
use crate::hostile::wat::{ROOM, Runner, words};

/// A task with this body and these imports ends in ERROR, with a reason that contains `part`.
#[track_caller]
fn assert_call_fails(imports: &'static str, run: String, more: String, part: &str) {
    let runner = Runner {
        imports,
        run: run.leak(),
        more,
        ..Runner::default()
    };
    assert_task_fails(&runner, &[], &[part]);
}

/// The host function for messages.
const LOG: &str = r#"(import "persea:plugin/log@0.2.0" "log" (func $log (param i32 i32 i32)))"#;

#[test]
fn host_call_with_an_invalid_text_fails_its_task() {
    // A length and an address outside of memory, and a level that does not exist.
    for call in [
        "(call $log (i32.const 2) (i32.const 64) (i32.const 0x7fffffff))",
        "(call $log (i32.const 2) (i32.const -1) (i32.const 10))",
        "(call $log (i32.const 99) (i32.const 64) (i32.const 3))",
    ] {
        let run = format!("{call} (i32.const 256)");
        assert_call_fails(LOG, run, String::new(), "failed: ");
    }
    let more = "(data (i32.const 1024) \"\\c3\\28\")".to_owned();
    let run = "(call $log (i32.const 2) (i32.const 1024) (i32.const 2)) (i32.const 256)";
    assert_call_fails(LOG, run.to_owned(), more, "utf-8");
}

#[test]
fn endless_host_calls_are_stopped_at_the_cpu_limit() {
    let run = "(loop $again (call $log (i32.const 1) (i32.const 64) (i32.const 3)) (br $again))
               unreachable";
    let cpu = ["--set", "plugins.limits.cpu=0.5"];
    assert_task_fails(
        &Runner {
            imports: LOG,
            run,
            ..Runner::default()
        },
        &cpu,
        &["its limit on processor time, 0.5 s"],
    );
}

/// The host functions for processes.
const PROCESS: &str = r#"
  (import "persea:plugin/process@0.2.0" "start" (func $start (param i32 i32)))
  (import "persea:plugin/process@0.2.0" "[method]child.id" (func $id (param i32 i32)))
  (import "persea:plugin/process@0.2.0" "[resource-drop]child" (func $drop (param i32)))
"#;

/// The command `sleep 1000` at the address [`ROOM`]. The result of starting it fits at 1300.
fn sleep() -> String {
    let program = words(&[1200, 5, 1216, 1, 0, 0]);
    let argument = words(&[1208, 4]);
    format!(
        "(data (i32.const {ROOM}) \"{program}\")
         (data (i32.const 1200) \"sleep\")
         (data (i32.const 1208) \"1000\")
         (data (i32.const 1216) \"{argument}\")"
    )
}

#[test]
fn invalid_handle_fails_its_task() {
    let start = "(call $start (i32.const 1024) (i32.const 1300))";
    let handle = "(i32.load (i32.const 1304))";
    // A handle is used after it was dropped, dropped twice, and was never given.
    for calls in [
        format!("{start} (call $drop {handle}) (call $id {handle} (i32.const 1400))"),
        format!("{start} (call $drop {handle}) (call $drop {handle})"),
        "(call $id (i32.const 12345) (i32.const 1400))".to_owned(),
        "(call $drop (i32.const -1))".to_owned(),
    ] {
        let run = format!("{calls} (i32.const 256)");
        assert_call_fails(PROCESS, run, sleep(), "handle");
    }
}

#[test]
fn handles_are_refused_over_their_limit() {
    // The runner starts processes until the host refuses one, and then traps.
    let run = "(loop $again (call $start (i32.const 1024) (i32.const 1300))
                   (br_if $again (i32.eqz (i32.load8_u (i32.const 1300)))))
               unreachable";
    let limit = ["--set", "plugins.limits.handles=50"];
    assert_task_fails(
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
