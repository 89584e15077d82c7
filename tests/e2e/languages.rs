//! Owns the examples of plugins in other languages and of several roles: they are built as the book
//! says, and run a job.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::plugins::{install, lock};
use crate::support::recipes::noop;
use crate::support::tools::guest_tools;
use crate::support::{Fixture, assert_stderr};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn example_directory(example: &str) -> PathBuf {
    repository().join("docs/examples").join(example)
}

/// Gets the tools of the three languages. Returns their directory.
fn tools() -> PathBuf {
    guest_tools(&["bindings", "python", "c", "javascript"])
}

/// Runs the `build.sh` of an example in a directory, for the contract of the repository. `persea`
/// and the tools are in PATH.
fn build(fixture: &Fixture, tools: &Path, directory: &Path) {
    let program = Path::new(env!("CARGO_BIN_EXE_persea")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let tools = tools.join("bin");
    let path = format!("{}:{}:{path}", program.display(), tools.display());
    let example = directory.file_name().unwrap().to_str().unwrap();
    let output = fixture.project().join(format!("{example}.wasm"));
    let ran = Command::new(directory.join("build.sh"))
        .arg(&output)
        .env(
            "CONTRACT",
            repository().join("wit/0.2").canonicalize().unwrap(),
        )
        .env("PATH", path)
        .env("CC", "zig-cc")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{example}: {said}");
}

#[test]
fn plugins_in_three_languages_run_one_job() {
    let fixture = Fixture::new();
    let tools = tools();
    for example in ["plugins-python", "plugins-c", "plugins-javascript"] {
        build(&fixture, &tools, &example_directory(example));
        lock(&fixture, &format!("{example}.wasm"), &[]);
    }
    let commands = repository().join("docs/examples/languages/commands.checks");
    fixture.file("commands.checks", std::fs::read(commands).unwrap());
    fixture
        .run(&["run", "--max-parallel-tasks", "1", "commands.checks"])
        .code(1);
    let expected = "\
| Test | Result | Reason |
|---|---|---|
| greeting | PASS |  |
| farewell | FAIL | the output lacks the expected text |
| broken | FAIL | the command failed |
";
    assert_eq!(fixture.job().read("results.md"), expected);
}

/// Copies an example into the project, with one text of a file replaced by another.
fn changed_example(
    fixture: &Fixture,
    example: &str,
    file: &str,
    (from, to): (&str, &str),
) -> PathBuf {
    let copy = fixture.project().join(example);
    let mut copying = Command::new("cp");
    copying.arg("-r").arg(example_directory(example)).arg(&copy);
    assert!(copying.status().unwrap().success());
    let text = std::fs::read_to_string(copy.join(file)).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(copy.join(file), text.replace(from, to)).unwrap();
    copy
}

#[test]
fn exception_in_javascript_is_the_reason_of_its_report() {
    let fixture = Fixture::new();
    let row = "const row = [";
    let mistake = "if (attribute(data, \"name\") === \"raises\") data.nothing.here();\n";
    let change = (row, &*format!("{mistake}{row}"));
    let example = changed_example(&fixture, "plugins-javascript", "markdown.js", change);
    let source = std::fs::read_to_string(example.join("markdown.js")).unwrap();
    let line = line_of(&source, "nothing.here");
    build(&fixture, &tools(), &example);
    lock(&fixture, "plugins-javascript.wasm", &[]);
    fixture.recipe("job.json", &[noop("fine"), noop("raises")]);
    let ran = fixture.run(&["run", "job.json"]).code(2);
    let place = format!("at handle (/markdown.js:{line}:");
    let parts = [
        "error: the report `markdown` is incomplete: ",
        "cannot read property 'here' of undefined",
        &place,
    ];
    assert_stderr(&ran, &parts);
    assert_eq!(fixture.job().status("raises"), "PASS");
}

/// The number of the line of a source that contains a text.
fn line_of(source: &str, text: &str) -> usize {
    let index = source.lines().position(|line| line.contains(text));
    index.unwrap() + 1
}

#[test]
fn exception_in_javascript_is_the_reason_of_its_task_and_of_its_reference() {
    let fixture = Fixture::new();
    let source = include_str!("languages/throws.js");
    fixture.file("throws.js", source);
    fixture.file("wit/world.wit", include_str!("languages/world.wit"));
    std::fs::create_dir(fixture.project().join("wit/deps")).unwrap();
    let mut copying = Command::new("cp");
    copying.arg("-r").arg(repository().join("wit/0.2"));
    copying.arg(fixture.project().join("wit/deps/persea-plugin"));
    assert!(copying.status().unwrap().success());
    let mut building = Command::new(tools().join("bin/componentize-qjs"));
    building.current_dir(fixture.project()).args([
        "--sync",
        "--opt-size",
        "--wit",
        "wit",
        "--world",
        "throws",
        "--js",
        "throws.js",
        "-o",
        "throws.wasm",
    ]);
    let built = building.output().unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    lock(&fixture, "throws.wasm", &[]);
    fixture.file("a.throws", "");
    let task = |uri| json!({"kind": "throws", "uri": uri});
    fixture.recipe("job.json", &[task("throws"), task("fine")]);
    fixture.run(&["run", "a.throws", "job.json"]).code(1);
    let job = fixture.job();
    let place = |function: &str, text: &str| {
        let line = line_of(source, text);
        format!("at {function} (/throws.js:{line}:")
    };
    job.assert_error(
        "a.throws",
        &[
            "resolver `throws` (throws.wasm) failed: ",
            "cannot read property 'groups' of null",
            &place("resolve", "tests.groups"),
        ],
    );
    job.assert_error(
        "throws",
        &[
            "runner `throws` (throws.wasm) failed: ",
            "no board is left",
            &place("pick", "new RangeError"),
            &place("run", "pick([])"),
        ],
    );
    assert_eq!(job.status("fine"), "PASS");
}

/// Makes a component with componentize-js and its default features: with `wasi:http`.
const DEFAULT_BUILD: &str = r#"
import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";
const [sourcePath, witPath, worldName, output] = process.argv.slice(2);
const { component } = await componentize({ sourcePath, witPath, worldName });
await writeFile(output, component);
"#;

#[test]
fn default_javascript_build_runs_until_it_uses_http() {
    let fixture = Fixture::new();
    let row = "const row = [";
    let fetching = "if (attribute(data, \"name\") === \"fetches\") fetch(\"http://[::1]/\");\n";
    let change = (row, &*format!("{fetching}{row}"));
    let example = changed_example(&fixture, "plugins-javascript", "markdown.js", change);
    let modules = tools().join("node_modules");
    std::os::unix::fs::symlink(modules, example.join("node_modules")).unwrap();
    std::fs::write(example.join("build.mjs"), DEFAULT_BUILD).unwrap();
    let contract = example.join("wit/deps/persea-plugin");
    std::fs::create_dir(example.join("wit/deps")).unwrap();
    let mut copying = Command::new("cp");
    copying
        .arg("-r")
        .arg(repository().join("wit/0.2"))
        .arg(contract);
    assert!(copying.status().unwrap().success());
    let output = fixture.project().join("markdown.wasm");
    let mut building = Command::new("node");
    building.current_dir(&example).arg("build.mjs");
    building
        .args(["markdown.js", "wit", "markdown"])
        .arg(&output);
    let built = building.output().unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    let bytes = std::fs::read(&output).unwrap();
    let imports_http = bytes.windows(9).any(|text| text == b"wasi:http");
    assert!(imports_http, "the generator no longer adds `wasi:http`");

    lock(&fixture, "markdown.wasm", &[]);
    fixture.recipe("fine.json", &[noop("fine")]);
    fixture.run(&["run", "fine.json"]).code(0);
    assert!(fixture.job().read("results.md").contains("| fine | PASS |"));
    fixture.recipe("job.json", &[noop("fine"), noop("fetches")]);
    let ran = fixture.run(&["run", "job.json"]).code(2);
    let parts = [
        "error: the report `markdown` is incomplete: ",
        "it called `wasi:http/",
        "`, which no host offers: a plugin made with componentize-js leaves it out with \
         `disableFeatures: [\"http\", \"fetch-event\"]`",
    ];
    assert_stderr(&ran, &parts);
    assert_eq!(fixture.job().status("fetches"), "PASS");
}

#[test]
fn component_of_four_roles_is_locked_at_once_and_runs_a_job() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["suite-component"]);
    let program = repository().join("docs/examples/suite-component/words.suite");
    let program = fixture.file("words.suite", std::fs::read(program).unwrap());
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    fixture
        .run(&["run", "--max-parallel-tasks", "1", "words.suite"])
        .code(0);
    assert_eq!(
        fixture.job().read("results.suite"),
        "PASS ./words.suite:counts\nPASS ./words.suite:sorts\n"
    );
}
