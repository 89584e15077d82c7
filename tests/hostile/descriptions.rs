//! Owns plugins whose descriptions lie: about their roles, their settings, or differently each
//! time.

use serde_json::json;

use crate::hostile::components::assert_not_loaded;
use crate::hostile::odd;
use crate::hostile::wat::{DESCRIPTION, ROOM, Runner, component_of, contract, words};
use crate::support::plugins::{build, lock};
use crate::support::{Fixture, assert_stderr};
use persea_guest_build::Target;

/// A runner that says it has these roles, each for the kind `wat`.
fn with_roles(names: &[&str]) -> Vec<u8> {
    let length = |text: &str| u32::try_from(text.len()).unwrap();
    let mut data = String::new();
    let mut records = Vec::new();
    let mut at = ROOM + 512;
    for name in names {
        data += &format!("(data (i32.const {at}) \"{name}\")");
        // An address and a length each: name, kinds, more.
        records.extend([at, length(name), 208, 1, 0, 0]);
        at += length(name);
    }
    let count = u32::try_from(names.len()).unwrap();
    // The name, the version and the summary come before the roles.
    let roles = (DESCRIPTION + 24, words(&[ROOM, count]));
    for (at, bytes) in [roles, (ROOM, words(&records))] {
        data += &format!("(data (i32.const {at}) \"{bytes}\")");
    }
    Runner::with(data).component()
}

/// Runs a test of a kind with a locked plugin, which the host has loaded.
fn run_locked(component: Vec<u8>, kind: &str, options: &[&str]) -> Fixture {
    let fixture = Fixture::new();
    fixture.file("plugins/odd.wasm", component);
    lock(&fixture, "plugins/odd.wasm", &[]);
    fixture.recipe("r.json", &[json!({"kind": kind, "uri": "x"})]);
    fixture
        .run(&[&["run"], options, &["r.json"]].concat())
        .code(0);
    assert_eq!(fixture.job().status("x"), "PASS");
    fixture
}

#[test]
fn role_of_a_wrong_shape_is_refused_by_name() {
    for (roles, words) in [
        (
            &["runner", "lister"][..],
            "has the role `lister` and does not export `persea:plugin/list-tests`",
        ),
        (
            &["batch-runner"],
            "has the role `batch-runner` and does not export `persea:plugin/run-batch`",
        ),
        (&["runner", "runner"], "names the role `runner` twice"),
        (
            &["teleporter"],
            "names no role that this host knows: teleporter",
        ),
        (&[], "names no role"),
    ] {
        let words = format!("describes itself wrongly: it {words}");
        assert_not_loaded(&with_roles(roles), &[&words]);
    }
}

#[test]
fn role_with_functions_of_other_types_is_refused_by_name() {
    // Every core function takes and returns one word, as the contract's functions do.
    let list_tests = "(func (export \"persea:plugin/list-tests@0.2.0#list-tests\")
        (param i32) (result i32) (i32.const 0))";
    for (function, role) in [("run", "runner"), ("list-tests", "lister")] {
        let wit = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(contract()).unwrap() {
            let file = file.unwrap();
            let mut text = std::fs::read_to_string(file.path()).unwrap();
            if file.file_name() == "worlds.wit" {
                let right = format!("  {function}: func(task: task) -> ");
                assert_eq!(text.matches(&right).count(), 1);
                let (before, after) = text.split_once(&right).unwrap();
                let (_, after) = after.split_once(';').unwrap();
                text = format!(
                    "{before}  {function}: func(number: u32) -> u32;{after}
                    world odd {{ include runner; export list-tests; }}"
                );
            }
            std::fs::write(wit.path().join(file.file_name()), text).unwrap();
        }
        let runner = Runner::with(list_tests);
        let component = component_of(wit.path(), "odd", &runner.text());
        let words = format!("plugins/bad.wasm does not fit its role `{role}`: ");
        let mismatch = "type mismatch with parameters: expected `record` found `u32`";
        assert_not_loaded(&component, &[&words, mismatch]);
    }
}

#[test]
fn role_that_the_host_does_not_know_is_ignored() {
    let fixture = run_locked(with_roles(&["teleporter", "runner"]), "wat", &[]);
    let inspected = fixture.run(&["plugin", "inspect", "wat"]).code(0);
    let remark = "the role `teleporter` is unknown";
    assert!(inspected.stdout.contains(remark), "{inspected}");
}

#[test]
fn setting_that_lies_about_its_shape_is_refused_by_name() {
    for (way, words) in [
        (
            "lies",
            "the default of its setting `odd.number` is \"as much as I want\", and its values are \
             a whole number",
        ),
        (
            "edge",
            "`choices` of its setting `odd.bounds` is {}, and not a list of texts",
        ),
        ("twic", "it declares the setting `odd.twice` twice"),
    ] {
        let words = format!("describes itself wrongly: {words}");
        assert_not_loaded(&odd(way), &[&words]);
    }
}

#[test]
fn setting_of_an_unknown_shape_takes_any_value() {
    for value in ["7", "a text", "true", "[1, \"a\"]"] {
        let set = format!("odd.shape={value}");
        run_locked(odd("shap"), "odd", &["--set", &set]);
    }
}

#[test]
fn least_contract_of_a_description_is_compared_with_that_of_the_host() {
    let words = "plugins/bad.wasm needs a host with persea:plugin@0.2.9, and this one offers \
                 persea:plugin@0.2.0: use a newer persea";
    assert_not_loaded(&odd("late"), &[words]);
    let fixture = run_locked(odd("near"), "odd", &[]);
    let inspected = fixture.run(&["plugin", "inspect", "odd"]).code(0);
    let row = "needs at least @0.2.0 (this host offers @0.2.0)";
    assert!(inspected.stdout.contains(row), "{inspected}");
}

/// The contract of a later version, in which the interface `cases` has one more function.
fn later_contract() -> tempfile::TempDir {
    let wit = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(contract()).unwrap() {
        let file = file.unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let text = text.replace(
            "package persea:plugin@0.2.0;",
            "package persea:plugin@0.2.7;",
        );
        let interface = "interface cases {\n";
        let grown = "interface cases {\n  @since(version = 0.2.7)\n  skip-rest: func();\n";
        std::fs::write(
            wit.path().join(file.file_name()),
            text.replace(interface, grown),
        )
        .unwrap();
    }
    wit
}

#[test]
fn function_of_a_later_contract_is_named() {
    let wit = later_contract();
    let built = |imports| {
        let runner = Runner {
            imports,
            ..Runner::default()
        };
        let text = runner.text().replace("@0.2.0", "@0.2.7");
        component_of(wit.path(), "runner", &text)
    };
    let later = built(r#"(import "persea:plugin/cases@0.2.0" "skip-rest" (func))"#);
    let words = "plugins/bad.wasm needs the function `skip-rest` of `persea:plugin/cases@0.2.7`, \
                 which this host does not have: the plugin was built for persea:plugin@0.2.7, and \
                 this host offers persea:plugin@0.2.0: use a newer persea";
    assert_not_loaded(&later, &[words]);
    // A plugin of the later contract that uses nothing new is at home.
    let old = "(import \"persea:plugin/log@0.2.0\" \"log\" (func (param i32 i32 i32)))";
    run_locked(built(old), "wat", &[]);
}

#[test]
fn description_that_differs_from_the_locked_one_is_refused() {
    let mut built = build(Target::Wasip2, &[("runner-wasi", &[])]);
    let fixture = Fixture::new();
    fixture.file("p.wasm", built.remove("runner-wasi").unwrap());
    let add = ["plugin", "add", "p.wasm", "--grant", "environment=DESCRIBE"];
    fixture.run(&add).code(0);
    fixture.recipe("r.json", &[json!({"kind": "wasi", "uri": "x"})]);
    let run_as = |described: &str| {
        let variable = ("DESCRIBE", described);
        fixture.run_with(&["run", "r.json"], |command| command.envs([variable]))
    };
    // What is locked is there, and so are fewer kinds.
    run_as("").code(0);
    run_as("version 2.0.0").code(0);
    for (described, difference) in [
        ("name exec-test", "its name is `exec-test`"),
        (
            "kind exec-test",
            "it names the kind `exec-test` as a runner",
        ),
    ] {
        let refused = run_as(described).code(3);
        assert_stderr(
            &refused,
            &["p.wasm does not match its lock entry: ", difference],
        );
        fixture
            .job()
            .assert_error("x", &["no runner for kind `wasi`"]);
    }
    run_as("").code(0);
}
