//! Owns the kind `rust-libtest`: the tests of a Rust workspace have the results that cargo gives
//! them, and every fault of cargo or of a test binary is an error of its own reference or test.

use serde_json::json;

use crate::support::{Fixture, Ran};

const LIBRARY: &str = r#"
//! ```
//! assert_eq!(a::two(), 2);
//! ```
//! ```ignore
//! left out
//! ```
pub fn two() -> u32 { 2 }
#[test] fn passes() { assert_eq!(std::fs::read_to_string("src/lib.rs").unwrap().len() > 1, true) }
#[test] fn fails() { assert_eq!(1, 2, "numbers") }
#[test] fn returns_an_error() -> Result<(), String> { Err("bad".into()) }
#[test] #[ignore = "too slow"] fn is_ignored() { println!("it ran") }
#[test] #[should_panic] fn panics() { panic!("as it should") }
#[test] #[should_panic] fn does_not_panic() {}
#[test] fn aborts() { std::process::abort() }
#[test] fn ends_itself() { std::process::exit(0) }
#[test] fn environment() {
    for (name, value) in std::env::vars() {
        let is_cargos = name.starts_with("CARGO") || name == "LD_LIBRARY_PATH" || name == "FROM";
        if is_cargos { println!("{name}={value}") }
    }
    println!("OUT_DIR={}", std::env::var("OUT_DIR").unwrap());
    println!("in {}", std::env::current_dir().unwrap().display());
}
"#;

const BUILD_SCRIPT: &str = r#"
fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    println!("cargo::rustc-env=FROM=build script");
    println!("cargo::rustc-link-search=native={out}/libs");
}
"#;

/// A workspace of a package with every kind of target, and one with a procedural macro.
fn workspace() -> Fixture {
    let fixture = Fixture::new();
    fixture.file(
        "Cargo.toml",
        "[workspace]\nmembers = ['a', 'm']\nresolver = '3'\n",
    );
    let manifest = "[package]\nname = 'a'\nversion = '1.2.3-rc.1'\nedition = '2024'\n\
                    authors = ['x', 'y']\n\
                    [[test]]\nname = 'own'\nharness = false\n\
                    [[example]]\nname = 'shown'\ntest = true\n";
    fixture.file("a/Cargo.toml", manifest);
    fixture.file("a/build.rs", BUILD_SCRIPT);
    fixture.file("a/src/lib.rs", LIBRARY);
    fixture.file(
        "a/src/main.rs",
        "fn main() {}\n#[test] fn of_the_program() {}\n",
    );
    fixture.file(
        "a/examples/shown.rs",
        "fn main() {}\n#[test] fn of_the_example() {}\n",
    );
    let other = "#[test] fn starts_the_program() {\n    \
                     let program = env!(\"CARGO_BIN_EXE_a\");\n    \
                     let ended = std::process::Command::new(program).status().unwrap();\n    \
                     assert!(ended.success());\n}\n";
    fixture.file("a/tests/other.rs", other);
    fixture.file(
        "a/tests/own.rs",
        "fn main() { assert!(std::env::args().count() == 1) }\n",
    );
    let manifest = "[package]\nname = 'm'\nversion = '1.0.0'\nedition = '2024'\n\
                    [lib]\nproc-macro = true\n";
    fixture.file("m/Cargo.toml", manifest);
    let source = "extern crate proc_macro;\n#[test] fn of_the_macro() {}\n";
    fixture.file("m/src/lib.rs", source);
    fixture
}

fn assert_statuses(fixture: &Fixture, expected: &[(&str, &str)]) {
    let expected = expected
        .iter()
        .map(|(name, status)| (name.to_string(), status.to_string()));
    assert_eq!(fixture.job().statuses(), expected.collect());
}

/// The lines that the test `environment` prints, sorted.
fn variables(output: &str) -> Vec<String> {
    let is_shown = |line: &&str| line.contains("=/") || line.starts_with(['C', 'F', 'L', 'O', 'i']);
    let mut lines: Vec<String> = output.lines().filter(is_shown).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn workspace_has_the_results_and_the_environment_of_cargo() {
    let fixture = workspace();
    fixture.run(&["run", "cargo:."]).code(1);
    assert_statuses(
        &fixture,
        &[
            ("a$aborts", "FAIL"),
            ("a$does_not_panic", "FAIL"),
            ("a$ends_itself", "ERROR"),
            ("a$environment", "PASS"),
            ("a$fails", "FAIL"),
            ("a$is_ignored", "SKIP"),
            ("a$panics", "PASS"),
            ("a$passes", "PASS"),
            ("a$returns_an_error", "FAIL"),
            ("a::bin/a$of_the_program", "PASS"),
            ("a::doc/a", "PASS"),
            ("a::example/shown$of_the_example", "PASS"),
            ("a::other$starts_the_program", "PASS"),
            ("a::own", "PASS"),
            ("m$of_the_macro", "PASS"),
            ("m::doc/m", "SKIP"),
        ],
    );
    let job = fixture.job();
    for (name, reason) in [
        (
            "a$does_not_panic",
            "test did not panic as expected at a/src/lib.rs:",
        ),
        ("a$aborts", "ended by signal 6 (SIGABRT)"),
        (
            "a$ends_itself",
            "ended its process with code 0 before libtest had its result",
        ),
        (
            "a$fails",
            "assertion `left == right` failed: numbers; left: 1; right: 2",
        ),
        ("a$is_ignored", "ignored: too slow"),
        ("a$returns_an_error", "Error: \"bad\""),
        ("m::doc/m", "the package has no documentation tests"),
    ] {
        assert!(
            job.reason(name).contains(reason),
            "{name}: {}",
            job.reason(name)
        );
    }
    let cases = &job.test("a::doc/a")["cases"];
    assert_eq!(cases.as_array().map(Vec::len), Some(2), "{cases}");
    // Cargo itself starts the same test.
    let mut cargo = std::process::Command::new("cargo");
    cargo.args([
        "test",
        "--quiet",
        "-p",
        "a",
        "--lib",
        "environment",
        "--",
        "--nocapture",
    ]);
    let output = fixture.equip(&mut cargo).output().unwrap();
    let cargos = variables(&String::from_utf8_lossy(&output.stdout));
    assert!(cargos.len() > 20, "{output:?}");
    assert_eq!(variables(&job.artifact("a$environment", "stdout")), cargos);
}

#[test]
fn member_and_options_choose_what_runs() {
    let fixture = workspace();
    let list = |reference: &str, options: &[&str]| {
        let args = [&["list", "--run-listers"], options, &[reference]].concat();
        let listed = fixture.run(&args).code(0).stdout;
        let names = listed
            .lines()
            .map(|line| line.trim_start_matches("rust-libtest ").to_owned());
        names.collect::<Vec<String>>()
    };
    assert_eq!(list("cargo:m", &[]), ["m$of_the_macro", "m::doc/m"]);
    assert_eq!(
        list("cargo:.?package=a&bins", &[]),
        ["a::bin/a$of_the_program"]
    );
    assert_eq!(list("cargo:a?tests&filter=prog", &[]).len(), 3);
    let only = ["--set", "runner.rust-libtest.run_ignored=only"];
    assert_eq!(list("cargo:a?lib", &only), ["a$is_ignored"]);
    let too = [
        "run",
        "--set",
        "runner.rust-libtest.run_ignored=too",
        "cargo:a?lib&filter=is_ig",
    ];
    fixture.run(&too).code(0);
    assert_statuses(&fixture, &[("a$is_ignored", "PASS")]);
}

#[test]
fn list_command_builds_nothing_unless_it_is_told() {
    let fixture = workspace();
    let listed = fixture.run(&["list", "cargo:."]).code(0);
    assert_eq!(listed.stdout, "rust-libtest cargo:.\n");
    assert!(listed.stderr.contains("`--run-listers` does"), "{listed}");
    assert!(!fixture.project().join("target").exists());
}

#[test]
fn build_error_is_the_error_of_its_reference() {
    let fixture = workspace();
    fixture.file("a/src/lib.rs", "pub fn f() -> u32 { \"text\" }\n");
    fixture.script("beside", "exit 0");
    fixture.run(&["run", "cargo:.", "./beside"]).code(1);
    let job = fixture.job();
    assert_eq!(job.status("./beside"), "PASS");
    let compilers = "error[E0308]: mismatched types: expected `u32`, found `&str` (a/src/lib.rs:1:";
    job.assert_error("cargo:.", &["its tests cannot be listed", compilers]);
}

/// A project whose cargo is a script, with test binaries that are scripts: by name, the answer to
/// `--list`, the answer to `--list --ignored`, and what runs a test.
fn faked(binaries: &[(&str, &str, &str, &str)]) -> Fixture {
    let fixture = Fixture::new();
    fixture.file("Cargo.toml", "");
    let project = fixture.project();
    let manifest = project.join("Cargo.toml");
    let mut messages = String::new();
    let mut targets = Vec::new();
    for (name, all, ignored, run) in binaries {
        let body = format!(
            "case \"$*\" in\n*--ignored*) {ignored} ;;\n*--list*) {all} ;;\n*) {run} ;;\nesac"
        );
        let target = json!({"kind": ["test"], "name": name, "doctest": false});
        let artifact = json!({
            "reason": "compiler-artifact", "package_id": "p 1", "manifest_path": manifest,
            "target": target, "profile": {"test": true},
            "executable": fixture.script(&format!("target/debug/deps/{name}"), &body),
        });
        targets.push(target);
        messages.push_str(&format!("{artifact}\n"));
    }
    messages.push_str("{\"reason\": \"build-finished\", \"success\": true}\n");
    fixture.file("messages.json", messages);
    let package = json!({
        "id": "p 1", "name": "p", "version": "1.0.0", "manifest_path": manifest,
        "targets": targets,
    });
    fixture.file("metadata.json", json!({"packages": [package]}).to_string());
    fixture.script(
        "cargo",
        "case $1 in test) cat messages.json ;; *) cat metadata.json ;; esac",
    );
    fixture
}

fn run_faked(fixture: &Fixture, options: &[&str]) -> Ran {
    let cargo = ["run", "--set", "runner.rust-libtest.cargo=./cargo"];
    fixture.run(&[&cargo, options, &["cargo:."]].concat())
}

/// The summary of libtest after one test.
fn summary(counts: &str) -> String {
    format!("echo 'test result: ok. {counts}; 0 measured; 1 filtered out; finished in 0.00s'")
}

#[test]
fn fault_of_a_test_binary_is_an_error_of_its_own_task() {
    let passes = summary("1 passed; 0 failed; 0 ignored");
    let loses = summary("0 passed; 0 failed; 0 ignored");
    let lists = "echo 't: test'";
    // By name of the binary: its answers, the test that has the error, and words of the reason.
    let no_list = "has no list of tests: ";
    let faults = [
        (
            "crashes",
            "kill -SEGV $$",
            "",
            "",
            "p::crashes",
            "with `--list` it ended by signal 11",
        ),
        (
            "exits",
            "echo no >&2; exit 3",
            "",
            "",
            "p::exits",
            "`--list` it exited with code 3: no",
        ),
        (
            "prints",
            "echo hello",
            "",
            "",
            "p::prints",
            "it printed `hello` in place of a list",
        ),
        (
            "doubles",
            "echo 't: test'; echo 't: test'",
            "",
            "",
            "p::doubles",
            "it lists `t` twice",
        ),
        (
            "differs",
            "",
            lists,
            "",
            "p::differs",
            "it lists `t` only with --ignored",
        ),
        (
            "hangs",
            "sleep 1000",
            "",
            "",
            "p::hangs",
            "it did not list its tests within 2 s",
        ),
        (
            "loses",
            lists,
            "",
            &loses,
            "p::loses$t",
            "the test `t` does not exist any more",
        ),
        (
            "ends",
            lists,
            "",
            "exit 0",
            "p::ends$t",
            "ended its process with code 0",
        ),
        (
            "removed",
            "echo 't: test'; touch asked",
            "until test -e asked; do sleep 0.01; done; rm target/debug/deps/removed",
            "",
            "p::removed$t",
            "target/debug/deps/removed does not exist; it was removed since its tests were listed",
        ),
        (
            "rebuilt",
            "echo 't: test'; touch old",
            "until test -e old; do sleep 0.01; done; cp target/debug/deps/loses new; \
             mv new target/debug/deps/rebuilt",
            "exit 1",
            "p::rebuilt$t",
            "the test `t` does not exist any more: its binary was built again",
        ),
    ];
    let mut binaries: Vec<_> = faults
        .iter()
        .map(|(name, all, ignored, run, ..)| (*name, *all, *ignored, *run))
        .collect();
    binaries.push(("sound", lists, "", &passes));
    let fixture = faked(&binaries);
    run_faked(&fixture, &["--set", "runner.rust-libtest.list_timeout=2"]).code(1);
    let job = fixture.job();
    assert_eq!(job.status("p::sound$t"), "PASS");
    assert_eq!(job.results()["total"], faults.len() + 1);
    for (_, _, _, _, test, words) in faults {
        job.assert_error(test, &[words]);
        assert_eq!(
            job.reason(test).contains(no_list),
            !test.contains('$'),
            "{test}"
        );
    }
    fixture.assert_no_strays();
}

#[test]
fn fault_of_cargo_is_an_error_of_its_reference() {
    let metadata = "case $1 in metadata) cat metadata.json; exit ;; esac\n";
    for (cargo, words) in [
        ("echo hello", "printed no JSON of the known format"),
        (
            "exit 3",
            "`cargo metadata` exited with code 3 without an error message",
        ),
        (
            &format!("{metadata}echo hello"),
            "printed no JSON messages; is it a cargo?",
        ),
        (
            &format!("{metadata}kill -9 $$"),
            "`cargo test --no-run` ended by signal 9 (SIGKILL)",
        ),
        (
            &format!("{metadata}echo 'error: could not execute process `rustc -vV`' >&2; exit 101"),
            "error: could not execute process `rustc -vV`",
        ),
    ] {
        let fixture = faked(&[]);
        fixture.script("cargo", cargo);
        run_faked(&fixture, &[]).code(1);
        fixture
            .job()
            .assert_error("cargo:.", &["its tests cannot be listed", words]);
    }
    let fixture = faked(&[]);
    fixture.script("cargo", "sleep 1000 & wait");
    run_faked(&fixture, &["--task-timeout", "1"]).code(1);
    fixture
        .job()
        .assert_error("cargo:.", &["task.timeout.running"]);
    fixture.assert_no_strays();
}

#[test]
fn missing_cargo_is_an_error_with_what_to_type() {
    let fixture = faked(&[]);
    let missing = [
        "run",
        "--set",
        "runner.rust-libtest.cargo=cargo-that-is-missing",
        "cargo:.",
    ];
    fixture.run(&missing).code(1);
    let words = [
        "cargo-that-is-missing",
        "install Rust",
        "runner.rust-libtest.cargo",
    ];
    fixture.job().assert_error("cargo:.", &words);
}

#[test]
fn reference_without_a_package_is_corrupt() {
    let fixture = Fixture::new();
    for (reference, words) in [
        ("cargo:none", "there is no none/Cargo.toml"),
        ("cargo:.?colour=red", "unknown option `colour`"),
    ] {
        let listed = fixture.run(&["list", reference]).code(2);
        assert!(format!("{listed}").contains(words), "{listed}");
    }
}

#[test]
fn recipe_can_name_a_test_binary() {
    let passes = summary("1 passed; 0 failed; 0 ignored");
    let fixture = faked(&[("sound", "echo 't: test'", "", &passes)]);
    let whole = json!({"kind": "rust-libtest", "uri": "target/debug/deps/sound"});
    let one = json!({"kind": "rust-libtest", "uri": "target/debug/deps/sound", "args": ["t"],
                     "identifier": "one"});
    fixture.recipe("job.json", &[whole, one]);
    fixture.run(&["run", "job.json"]).code(0);
    assert_statuses(&fixture, &[("one", "PASS"), ("sound$t", "PASS")]);
}
