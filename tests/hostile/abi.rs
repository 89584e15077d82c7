//! Owns components that break the rules of the component model or exhaust a resource, in ways that
//! no compiler would emit.

use serde_json::json;

use crate::hostile::assert_printable;
use crate::hostile::wat::{DESCRIPTION, Runner, component, words};
use crate::support::plugins::lock;
use crate::support::recipes::{noop, shell};
use crate::support::{Fixture, Ran, assert_stderr, finish, signal, wait_until};

/// A project with a component, and a recipe of one test for it between two others.
fn with_component(bytes: &[u8]) -> Fixture {
    let fixture = Fixture::new();
    fixture.file("plugins/wat.wasm", bytes);
    let test = json!({"kind": "wat", "uri": "x", "args": ["an argument"]});
    let tests = [noop("before"), test, shell("after", "echo after")];
    fixture.recipe("job.json", &tests);
    fixture
}

/// The two other tests are unharmed, and no process is left.
#[track_caller]
fn assert_unharmed(fixture: &Fixture, ran: &Ran) {
    let job = fixture.job();
    for name in ["before", "after"] {
        assert_eq!(job.status(name), "PASS", "{ran}");
    }
    assert_eq!(job.artifact("after", "stdout"), "after\n");
    assert_eq!(job.results()["total"], 3);
    assert_printable(ran);
    fixture.assert_no_strays();
}

/// The component is loaded, and its task ends in ERROR with a reason that contains these parts.
#[track_caller]
pub fn assert_task_fails(runner: &Runner, options: &[&str], parts: &[&str]) {
    let fixture = with_component(&runner.component());
    lock(&fixture, "plugins/wat.wasm", &[]);
    let args = [&["run"], options, &["job.json"]].concat();
    let ran = fixture.run(&args).code(1);
    assert_unharmed(&fixture, &ran);
    let job = fixture.job();
    job.assert_error("x", parts);
    job.assert_error("x", &["runner `wat` (plugins/wat.wasm)"]);
    assert!(job.reason("x").len() < 1000, "{}", job.reason("x"));
}

/// The component is not loaded, with a warning that contains these parts, and cannot be locked.
#[track_caller]
fn assert_not_loaded(bytes: &[u8], options: &[&str], parts: &[&str]) {
    let fixture = with_component(bytes);
    let args = ["run", "--plugin-dir", "plugins"];
    let ran = fixture.run(&[&args, options, &["job.json"]].concat());
    let ran = ran.code(3);
    assert_unharmed(&fixture, &ran);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran}");
    assert_stderr(&ran, parts);
    assert_stderr(&ran, &["warning: plugin not loaded: plugins/wat.wasm "]);
    assert!(ran.stderr.len() < 1500, "{ran}");
    assert!(
        fixture
            .job()
            .reason("x")
            .starts_with("no runner for kind `wat`")
    );
    let add = [&["plugin", "add", "plugins/wat.wasm"], options].concat();
    fixture.run(&add).code(4);
}

/// A component with one word of its description replaced. Words 0 and 1 are the address and length
/// of the name, 6 and 7 those of the list of roles.
fn describing(index: u32, value: u32) -> Vec<u8> {
    let address = DESCRIPTION + 4 * index;
    let more = format!("(data (i32.const {address}) \"{}\")", words(&[value]));
    Runner::with(more).component()
}

#[test]
fn unmodified_runner_passes() {
    for more in ["", "(memory 1) (table 10 funcref) (table 10 funcref)"] {
        let runner = Runner::with(more);
        let fixture = with_component(&runner.component());
        let ran = fixture
            .run(&["run", "--plugin-dir", "plugins", "job.json"])
            .code(0);
        assert_unharmed(&fixture, &ran);
        assert_eq!(fixture.job().status("x"), "PASS");
    }
}

#[test]
fn list_with_a_false_length_is_refused() {
    assert_not_loaded(&describing(7, 0x1fff_ffff), &[], &["failed: "]);
}

#[test]
fn string_of_one_gibibyte_is_refused() {
    assert_not_loaded(&describing(1, 1 << 30), &[], &["failed: "]);
}

#[test]
fn string_over_the_call_limit_is_refused() {
    let name = words(&[0, 100 << 20]);
    let more = format!("(data (i32.const {DESCRIPTION}) \"{name}\")");
    let runner = Runner {
        memory: "1700",
        more,
        ..Runner::default()
    };
    assert_not_loaded(
        &runner.component(),
        &[],
        &[
            "its limit on what one call hands to the host, 32 MiB: `plugins.limits.call_mb` raises \
             it",
        ],
    );
}

#[test]
fn address_outside_of_memory_is_refused() {
    assert_not_loaded(&describing(0, 0xffff_fff0), &[], &["failed: "]);
    let runner = Runner {
        describe: "(i32.const -4)",
        ..Runner::default()
    };
    assert_not_loaded(&runner.component(), &[], &["failed: "]);
}

#[test]
fn unaligned_address_is_refused() {
    let runner = Runner {
        describe: "(i32.const 129)",
        ..Runner::default()
    };
    assert_not_loaded(&runner.component(), &[], &["failed: ", "align"]);
}

#[test]
fn name_that_is_not_utf8_is_refused() {
    let runner = Runner::with("(data (i32.const 64) \"\\ff\\fe\\80\")");
    assert_not_loaded(&runner.component(), &[], &["failed: ", "utf-8"]);
}

#[test]
fn invalid_name_is_refused() {
    for name in ["\\1b[2", "a\\00b", "../", "A b", "\\e2\\80\\ae"] {
        let more = format!("(data (i32.const 64) \"{name}\")");
        let runner = Runner::with(more);
        assert_not_loaded(
            &runner.component(),
            &[],
            &["describes itself wrongly: its name is "],
        );
    }
}

#[test]
fn trap_in_the_start_function_is_refused() {
    let runner = Runner::with("(func $start unreachable) (start $start)");
    assert_not_loaded(&runner.component(), &[], &["failed: ", "unreachable"]);
}

#[test]
fn endless_start_function_is_stopped() {
    let runner = Runner::with("(func $start (loop $again (br $again))) (start $start)");
    let limit = ["--set", "plugins.limits.describe=0.3"];
    assert_not_loaded(
        &runner.component(),
        &limit,
        &["its limit on the time for one answer, 0.3 s: `plugins.limits.describe` raises it"],
    );
}

#[test]
fn endless_description_is_stopped() {
    let runner = Runner {
        describe: "(loop $again (br $again)) unreachable",
        ..Runner::default()
    };
    let limit = ["--set", "plugins.limits.cpu=0.3"];
    assert_not_loaded(
        &runner.component(),
        &limit,
        &[
            "its limit on processor time, 0.3 s: `plugins.limits.cpu` raises it, or \
             `plugins.runner.limits.cpu` alone",
        ],
    );
}

#[test]
fn initial_memory_over_the_limit_is_refused() {
    let runner = Runner {
        memory: "65536",
        ..Runner::default()
    };
    assert_not_loaded(
        &runner.component(),
        &[],
        &["its limit on memory, 256 MiB: `plugins.limits.memory_mb` raises it"],
    );
}

#[test]
fn memories_over_the_limit_together_are_refused() {
    // Each memory alone is below the limit.
    let runner = Runner {
        memory: "2000",
        more: "(memory 2000) (memory 2000) (memory 2000)".to_owned(),
        ..Runner::default()
    };
    let error = "its limit on memory, 256 MiB: `plugins.limits.memory_mb` raises it";
    assert_not_loaded(&runner.component(), &[], &[error]);
}

#[test]
fn tables_over_the_limit_are_refused() {
    // One table over the limit, and two that are only over it together.
    for more in [
        "(table 10000000 funcref)",
        "(table 60000 funcref) (table 60000 funcref)",
    ] {
        let runner = Runner::with(more);
        assert_not_loaded(
            &runner.component(),
            &[],
            &["its limit on tables, 100000 elements: `plugins.limits.table_elements` raises it"],
        );
    }
}

#[test]
fn growing_table_is_stopped_at_its_limit() {
    let runner = Runner {
        more: "(table $t 1 funcref)".into(),
        run: "(loop $again (br_if $again (i32.ne (i32.const -1)
                  (table.grow $t (ref.null func) (i32.const 1000)))))
              unreachable",
        ..Runner::default()
    };
    assert_task_fails(
        &runner,
        &[],
        &[
            "its limit on tables, 100000 elements",
            "`plugins.runner.wat.limits.table_elements` alone",
        ],
    );
}

#[test]
fn growing_memory_is_stopped_at_its_limit() {
    let runner = Runner {
        run: "(loop $again (br_if $again (i32.ne (i32.const -1) (memory.grow (i32.const 16)))))
              unreachable",
        ..Runner::default()
    };
    assert_task_fails(&runner, &[], &["its limit on memory, 256 MiB"]);
}

#[test]
fn endless_recursion_is_stopped_at_the_stack_limit() {
    let runner = Runner {
        more: "(func $deep (param i64) (result i64)
                   (i64.add (i64.const 1) (call $deep (i64.add (i64.const 1) (local.get 0)))))"
            .into(),
        run: "(drop (call $deep (i64.const 0))) (i32.const 256)",
        ..Runner::default()
    };
    assert_task_fails(
        &runner,
        &[],
        &["its limit on the stack, 512 KiB: `plugins.limits.stack_kb` raises it"],
    );
}

#[test]
fn invalid_result_fails_its_task() {
    // The first byte is the case of the `result`, the fifth the status, the ninth an `option`.
    for (address, value) in [(256, 7), (260, 99), (264, 5)] {
        let more = format!("(data (i32.const {address}) \"\\{value:02x}\")");
        assert_task_fails(&Runner::with(more), &[], &["failed: "]);
    }
}

#[test]
fn reason_with_a_false_length_fails_its_task() {
    let more = format!(
        "(data (i32.const 256) \"{}\")",
        words(&[0, 1, 1, 64, 0xffff_ffff])
    );
    assert_task_fails(&Runner::with(more), &[], &["failed: "]);
}

#[test]
fn invalid_realloc_is_refused() {
    // The host already allocates the request of `describe`.
    let realloc = |realloc: &'static str, options: &[&str], parts: &[&str]| {
        let runner = Runner {
            realloc,
            ..Runner::default()
        };
        assert_not_loaded(&runner.component(), options, parts);
    };
    realloc("(i32.const -8)", &[], &["failed: "]);
    realloc("(i32.const 3)", &[], &["failed: "]);
    realloc("unreachable", &[], &["unreachable"]);
    let cpu = ["--set", "plugins.limits.cpu=0.3"];
    realloc(
        "(loop $again (br $again)) unreachable",
        &cpu,
        &["its limit on processor time"],
    );
    let deep = "(call $deep (local.get 0) (local.get 1) (local.get 2) (local.get 3))";
    let more =
        format!("(func $deep (param i32 i32 i32 i32) (result i32) {deep} (i32.add (i32.const 1)))");
    let runner = Runner {
        realloc: deep,
        more,
        ..Runner::default()
    };
    assert_not_loaded(&runner.component(), &[], &["its limit on the stack"]);
}

#[test]
fn import_outside_of_the_world_is_refused() {
    for import in ["fetch", "workspace", "report-output", "cache"] {
        let import = format!("persea:plugin/{import}@0.2.0");
        let bytes = empty_runner(&format!("(import \"{import}\" (instance))"));
        let error = format!("asks for `{import}`, which a runner does not get");
        assert_not_loaded(&bytes, &[], &[&error]);
    }
    let bytes = empty_runner("(import \"host:everything/root@1.0.0\" (instance))");
    assert_not_loaded(&bytes, &[], &["asks for `host:everything/root@1.0.0`"]);
}

#[test]
fn empty_exports_are_refused() {
    assert_not_loaded(&empty_runner(""), &[], &["cannot be loaded: "]);
}

/// A component that exports the instances of a runner without any function.
fn empty_runner(more: &str) -> Vec<u8> {
    let text = format!(
        "(component {more}
            (instance (export \"persea:plugin/plugin@0.2.0\"))
            (instance (export \"persea:plugin/run@0.2.0\")))"
    );
    wat::parse_str(text).unwrap()
}

/// A runner that takes seconds to compile, because its functions have very many blocks and values.
/// Each number gives different bytes, which no cache has.
fn slow_to_compile(number: u32) -> Vec<u8> {
    let mut body = String::from("(local i64)");
    for number in 0..20_000 {
        body.push_str(&format!(
            "(if (i64.eqz (local.get 0))
                (then (local.set 0 (i64.add (local.get 0) (i64.const {number}))))
                (else (local.set 0 (i64.mul (local.get 0) (i64.load (i32.const {number}))))))"
        ));
    }
    let functions: String = (0..4).map(|_| format!("(func {body})")).collect();
    let text = Runner {
        more: format!("{functions}(func (drop (i32.const {number})))"),
        ..Runner::default()
    }
    .text();
    component(&text)
}

#[test]
fn killed_compiler_is_not_reported_as_a_limit() {
    let fixture = with_component(&slow_to_compile(std::process::id()));
    let args = ["run", "--plugin-dir", "plugins", "/bin/true"];
    let child = fixture.persea(&args).spawn().unwrap();
    wait_until("a compiler has been killed", || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
        let children = threads.flatten().map(|thread| {
            std::fs::read_to_string(thread.path().join("children")).unwrap_or_default()
        });
        let children = children.collect::<Vec<_>>().join(" ");
        let is_compiler = |pid: &&str| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            line.is_ok_and(|line| line.contains("compile-component"))
        };
        match children.split_whitespace().find(is_compiler) {
            Some(pid) => {
                signal(pid.parse().unwrap(), "KILL");
                Ok(())
            }
            None => Err(children),
        }
    });
    let ran = finish(child).code(2);
    assert!(
        ran.stderr
            .contains("signal 9 ended the process that compiles it"),
        "{ran}"
    );
    assert!(!ran.stderr.contains("its limit on"), "{ran}");
}

#[test]
fn slow_compilation_is_stopped_at_its_limits() {
    let bytes = slow_to_compile(0);
    let limit = ["--set", "plugins.limits.compile=1"];
    assert_not_loaded(
        &bytes,
        &limit,
        &[
            "its limit on the time to compile it, 1 s: `plugins.limits.compile` raises it, or \
             `plugins.runner.limits.compile` alone",
        ],
    );
    let limit = ["--set", "plugins.limits.compile_memory_mb=60"];
    assert_not_loaded(
        &bytes,
        &limit,
        &[
            "its limit on the memory to compile it, 60 MiB: `plugins.limits.compile_memory_mb` \
             raises it",
        ],
    );
}

#[test]
fn instances_over_the_limit_are_refused() {
    let instances = "(core instance (instantiate $m))".repeat(300);
    assert_not_loaded(
        &empty_runner(&format!("(core module $m) {instances}")),
        &[],
        &["its limit on core instances, 200: `plugins.limits.instances` raises it"],
    );
}
