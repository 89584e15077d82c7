//! Components that break the rules of the component model or use up what there is, where no compiler would have let them.

use crate::hostile::assert_printable;
use crate::hostile::wat::{DESCRIPTION, Runner, component, words};
use crate::support::plugins::lock;
use crate::support::{Ran, Sandbox, finish, signal, wait_until};

/// A sandbox with a component and a good list of tests.
fn with(bytes: &[u8]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("plugins/wat.wasm", bytes);
    let after =
        r#"{"kind": "exec-test", "uri": "/bin/echo", "args": ["after"], "identifier": "after"}"#;
    sandbox.file(
        "job.json",
        format!(r#"[{{"kind": "noop", "uri": "before"}}, {{"kind": "wat", "uri": "x", "args": ["an argument"]}}, {after}]"#),
    );
    sandbox
}

fn ends_well(sandbox: &Sandbox, ran: &Ran) {
    let job = sandbox.job();
    for name in ["before", "after"] {
        assert_eq!(job.status(name), "PASS", "{ran}");
    }
    assert_eq!(job.artifact("after", "stdout"), "after\n");
    assert_eq!(job.results()["total"], 3);
    assert_printable(ran);
    sandbox.assert_no_strays();
}

/// It's loaded, and its task ends ERROR with these words.
#[track_caller]
pub fn fails_in_its_task(runner: &Runner, options: &[&str], says: &[&str]) {
    let sandbox = with(&runner.component());
    lock(&sandbox, "plugins/wat.wasm", &[]);
    let mut args = vec!["run"];
    args.extend(options);
    args.push("job.json");
    let ran = sandbox.run(&args).code(1);
    ends_well(&sandbox, &ran);
    let job = sandbox.job();
    assert_eq!(job.status("x"), "ERROR", "{ran}");
    let reason = job.reason("x");
    for part in says.iter().chain([&"runner `wat` (plugins/wat.wasm)"]) {
        assert!(reason.contains(part), "no {part:?} in: {reason}");
    }
    assert!(reason.len() < 1000, "{reason}");
}

/// It's not loaded, with these words; the rest of the job is as without it.
#[track_caller]
fn is_not_loaded(bytes: &[u8], options: &[&str], says: &[&str]) {
    let sandbox = with(bytes);
    let mut args = vec!["run", "--plugin-dir", "plugins"];
    args.extend(options);
    args.push("job.json");
    let ran = sandbox.run(&args).code(3);
    ends_well(&sandbox, &ran);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran}");
    for part in says
        .iter()
        .chain([&"warning: plugin not loaded: plugins/wat.wasm "])
    {
        assert!(ran.stderr.contains(part), "no {part:?} in {ran}");
    }
    assert!(ran.stderr.len() < 1500, "{ran}");
    assert!(
        sandbox
            .job()
            .reason("x")
            .starts_with("no runner for kind `wat`")
    );
    let add = [&["plugin", "add", "plugins/wat.wasm"], options].concat();
    sandbox.run(&add).code(4);
}

/// The description with one of its words replaced: 0 and 1 are the name, 6 and 7 the kinds.
fn describing(place: u32, value: u32) -> Vec<u8> {
    let address = DESCRIPTION + 4 * place;
    let more = format!("(data (i32.const {address}) \"{}\")", words(&[value]));
    Runner::with(more).component()
}

#[test]
fn unmodified_runner_passes() {
    for more in ["", "(memory 1) (table 10 funcref) (table 10 funcref)"] {
        let runner = Runner::with(more);
        let sandbox = with(&runner.component());
        let ran = sandbox
            .run(&["run", "--plugin-dir", "plugins", "job.json"])
            .code(0);
        ends_well(&sandbox, &ran);
        assert_eq!(sandbox.job().status("x"), "PASS");
    }
}

#[test]
fn list_with_a_false_length_is_refused() {
    is_not_loaded(&describing(7, 0x1fff_ffff), &[], &["failed: "]);
}

#[test]
fn string_of_one_gibibyte_is_refused() {
    is_not_loaded(&describing(1, 1 << 30), &[], &["failed: "]);
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
    is_not_loaded(
        &runner.component(),
        &[],
        &[
            "its limit on what one call hands to the host, 32 MiB: `plugins.limits.call_mb` raises it",
        ],
    );
}

#[test]
fn address_outside_of_memory_is_refused() {
    is_not_loaded(&describing(0, 0xffff_fff0), &[], &["failed: "]);
    let runner = Runner {
        describe: "(i32.const -4)",
        ..Runner::default()
    };
    is_not_loaded(&runner.component(), &[], &["failed: "]);
}

#[test]
fn unaligned_address_is_refused() {
    let runner = Runner {
        describe: "(i32.const 129)",
        ..Runner::default()
    };
    is_not_loaded(&runner.component(), &[], &["failed: ", "align"]);
}

#[test]
fn name_that_is_not_utf8_is_refused() {
    let runner = Runner::with("(data (i32.const 64) \"\\ff\\fe\\80\")");
    is_not_loaded(&runner.component(), &[], &["failed: ", "utf-8"]);
}

#[test]
fn invalid_name_is_refused() {
    for name in ["\\1b[2", "a\\00b", "../", "A b", "\\e2\\80\\ae"] {
        let more = format!("(data (i32.const 64) \"{name}\")");
        let runner = Runner::with(more);
        is_not_loaded(
            &runner.component(),
            &[],
            &["describes itself wrongly: its name is "],
        );
    }
}

#[test]
fn trap_in_the_start_function_is_refused() {
    let runner = Runner::with("(func $start unreachable) (start $start)");
    is_not_loaded(&runner.component(), &[], &["failed: ", "unreachable"]);
}

#[test]
fn endless_start_function_is_stopped() {
    let runner = Runner::with("(func $start (loop $again (br $again))) (start $start)");
    let limit = ["--set", "plugins.limits.describe=0.3"];
    is_not_loaded(
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
    is_not_loaded(
        &runner.component(),
        &limit,
        &[
            "its limit on processor time, 0.3 s: `plugins.limits.cpu` raises it, or `plugins.runner.limits.cpu` alone",
        ],
    );
}

#[test]
fn initial_memory_over_the_limit_is_refused() {
    let runner = Runner {
        memory: "65536",
        ..Runner::default()
    };
    is_not_loaded(
        &runner.component(),
        &[],
        &["its limit on memory, 256 MiB: `plugins.limits.memory_mb` raises it"],
    );
}

#[test]
fn memories_over_the_limit_together_are_refused() {
    // Each would do for itself.
    let one = Runner {
        memory: "2000",
        ..Runner::default()
    };
    let more = "(memory 2000) (memory 2000) (memory 2000)".to_owned();
    let says = "its limit on memory, 256 MiB: `plugins.limits.memory_mb` raises it";
    is_not_loaded(&Runner { more, ..one }.component(), &[], &[says]);
}

#[test]
fn tables_over_the_limit_are_refused() {
    // One, or two of which each would do for itself.
    for more in [
        "(table 10000000 funcref)",
        "(table 60000 funcref) (table 60000 funcref)",
    ] {
        let runner = Runner::with(more);
        is_not_loaded(
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
        run: "(loop $again (br_if $again (i32.ne (i32.const -1) (table.grow $t (ref.null func) (i32.const 1000))))) unreachable",
        ..Runner::default()
    };
    fails_in_its_task(
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
        run: "(loop $again (br_if $again (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) unreachable",
        ..Runner::default()
    };
    fails_in_its_task(&runner, &[], &["its limit on memory, 256 MiB"]);
}

#[test]
fn endless_recursion_is_stopped_at_the_stack_limit() {
    let runner = Runner {
        more: "(func $deep (param i64) (result i64) (i64.add (i64.const 1) (call $deep (i64.add (i64.const 1) (local.get 0)))))".into(),
        run: "(drop (call $deep (i64.const 0))) (i32.const 256)",
        ..Runner::default()
    };
    fails_in_its_task(
        &runner,
        &[],
        &["its limit on the stack, 512 KiB: `plugins.limits.stack_kb` raises it"],
    );
}

#[test]
fn invalid_result_fails_its_task() {
    // The first byte says whether it went well, the fifth how.
    for (address, value) in [(256, 7), (260, 99), (264, 5)] {
        let more = format!("(data (i32.const {address}) \"\\{value:02x}\")");
        fails_in_its_task(&Runner::with(more), &[], &["failed: "]);
    }
}

#[test]
fn reason_with_a_false_length_fails_its_task() {
    let more = format!(
        "(data (i32.const 256) \"{}\")",
        words(&[0, 1, 1, 64, 0xffff_ffff])
    );
    fails_in_its_task(&Runner::with(more), &[], &["failed: "]);
}

#[test]
fn invalid_realloc_fails_its_task() {
    let realloc = |realloc: &'static str, options: &[&str], says: &[&str]| {
        fails_in_its_task(
            &Runner {
                realloc,
                ..Runner::default()
            },
            options,
            says,
        );
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
    fails_in_its_task(&runner, &[], &["its limit on the stack"]);
}

#[test]
fn import_outside_of_the_world_is_refused() {
    for import in ["fetch", "workspace", "output", "cache"] {
        let text = format!(
            "(component (import \"persea:plugin/{import}@0.1.0\" (instance)) (instance (export \"persea:plugin/plugin@0.1.0\")) (instance (export \"persea:plugin/run@0.1.0\")))"
        );
        let says = format!("asks for `persea:plugin/{import}@0.1.0`, which a runner does not get");
        is_not_loaded(&wat::parse_str(text).unwrap(), &[], &[&says]);
    }
    let text = "(component (import \"host:everything/root@1.0.0\" (instance)) (instance (export \"persea:plugin/plugin@0.1.0\")) (instance (export \"persea:plugin/run@0.1.0\")))";
    is_not_loaded(
        &wat::parse_str(text).unwrap(),
        &[],
        &["asks for `host:everything/root@1.0.0`"],
    );
}

#[test]
fn empty_exports_are_refused() {
    let text = "(component (instance (export \"persea:plugin/plugin@0.1.0\")) (instance (export \"persea:plugin/run@0.1.0\")))";
    is_not_loaded(&wat::parse_str(text).unwrap(), &[], &["cannot be loaded: "]);
}

/// A runner that takes seconds to compile: functions with very many blocks and values are what takes a compiler longest for its
/// size. With another number it is another one.
fn slow_to_compile(number: u32) -> Vec<u8> {
    let mut body = String::from("(local i64)");
    for number in 0..20_000 {
        body.push_str(&format!(
            "(if (i64.eqz (local.get 0)) (then (local.set 0 (i64.add (local.get 0) (i64.const {number})))) (else (local.set 0 (i64.mul (local.get 0) (i64.load (i32.const {number}))))))"
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
    let sandbox = with(&slow_to_compile(std::process::id()));
    let args = ["run", "--plugin-dir", "plugins", "/bin/true"];
    let child = sandbox.persea(&args).spawn().unwrap();
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
    assert!(ran.stderr.contains("was ended by signal 9"), "{ran}");
    assert!(!ran.stderr.contains("its limit on"), "{ran}");
}

#[test]
fn slow_compilation_is_stopped_at_its_limits() {
    let bytes = slow_to_compile(0);
    let limit = ["--set", "plugins.limits.compile=1"];
    is_not_loaded(
        &bytes,
        &limit,
        &[
            "its limit on the time to compile it, 1 s: `plugins.limits.compile` raises it, or `plugins.runner.limits.compile` alone",
        ],
    );
    let limit = ["--set", "plugins.limits.compile_memory_mb=60"];
    is_not_loaded(
        &bytes,
        &limit,
        &[
            "its limit on the memory to compile it, 60 MiB: `plugins.limits.compile_memory_mb` raises it",
        ],
    );
}

#[test]
fn instances_over_the_limit_are_refused() {
    let one = "(core instance (instantiate $m))".repeat(300);
    let text = format!(
        "(component (core module $m) {one} (instance (export \"persea:plugin/plugin@0.1.0\")) (instance (export \"persea:plugin/run@0.1.0\")))"
    );
    is_not_loaded(
        &wat::parse_str(text).unwrap(),
        &[],
        &["its limit on core instances, 200: `plugins.limits.instances` raises it"],
    );
}
