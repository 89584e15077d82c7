//! Owns the runs of the corpus: every component that was built for a released version does on
//! today's host what it did when it was released.
//!
//! With `PERSEA_CORPUS=update` in the environment, the expectations are written anew. That is for
//! new components, and for words of the host that are no promise: what a plugin sees stays.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::plugins::lock;
use crate::support::recipes::{noop, requiring, shell, with};
use crate::support::{Fixture, Ran, assert_stderr};

const PLUGIN: &str = "plugins/corpus.wasm";

fn corpus(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/contract/{version}"))
}

/// A role, and the job that shows what a plugin does in it: it returns what happened, as text.
type Scenario = (&'static str, fn(&Fixture) -> String);

const SCENARIOS: [Scenario; 9] = [
    ("resolver", resolver),
    ("varianter", varianter),
    ("runner", runner),
    ("program-runner", program_runner),
    ("batch-runner", batch_runner),
    ("lister", lister),
    ("requirement-resolver", requirement_resolver),
    ("scheduler", scheduler),
    ("result-format", result_format),
];

/// A role, the name of an expectation, and the job that shows what a plugin does in that role
/// beside its own scenario: with these, a component calls every function of the contract.
type MoreScenario = (&'static str, &'static str, fn(&Fixture) -> String);

const MORE: [MoreScenario; 5] = [
    ("resolver", "resolver-directory", directory_resolver),
    ("varianter", "varianter-additions", adding_varianter),
    ("runner", "runner-streams", streaming_runner),
    ("scheduler", "scheduler-instances", choosing_scheduler),
    ("result-format", "result-format-files", listing_format),
];

fn run(fixture: &Fixture, args: &[&str]) -> Ran {
    let fixed = ["run", "--max-parallel-tasks", "1"];
    fixture.run(&[&fixed, args].concat())
}

/// What the results of the latest job say about its tests.
fn results(fixture: &Fixture, ran: &Ran) -> String {
    let mut text = format!("exit code {:?}\n", ran.code);
    let results = fixture.job().results();
    for test in results["tests"].as_array().unwrap() {
        // Avocado's word for what a test does not have.
        let field = |name: &str| test[name].as_str().filter(|text| *text != "<unknown>");
        let field = |name: &str| field(name).unwrap_or_default();
        let (id, status) = (field("id"), field("status"));
        writeln!(text, "{id}: {status} {}", field("fail_reason")).unwrap();
        for line in field("whiteboard").lines() {
            writeln!(text, "    {line}").unwrap();
        }
    }
    text.replace(" \n", "\n")
}

fn resolver(fixture: &Fixture) -> String {
    fixture.file("words.corpus", "alpha beta\ngamma\n");
    fixture.file("broken.corpus", "corrupt\n");
    let found = run(fixture, &["words.corpus"]);
    let found = results(fixture, &found);
    let broken = fixture.run(&["list", "broken.corpus"]);
    let (code, said) = (broken.code, broken.stdout + &broken.stderr);
    format!("{found}broken: exit code {code:?}\n{said}")
}

fn directory_resolver(fixture: &Fixture) -> String {
    fixture.file("tree/b", "");
    fixture.file("tree/a/inner", "");
    fixture.file("tree.corpus", "directory tree\n");
    let ran = run(fixture, &["tree.corpus"]);
    results(fixture, &ran)
}

fn varianter(fixture: &Fixture) -> String {
    fixture.file(
        "job.toml",
        "[[suite]]\nname = \"all\"\n[[suite.task]]\nkind = \"noop\"\nuri = \"x\"\n\
         [suite.variants]\nplugin = \"corpus\"\ncount = 3\n",
    );
    let ran = run(fixture, &["--job", "job.toml"]);
    results(fixture, &ran)
}

fn adding_varianter(fixture: &Fixture) -> String {
    let suite = "[[suite]]\nname = \"all\"\n[[suite.task]]\nkind = \"exec-test\"\n\
                 uri = \"/bin/sh\"\n\
                 args = [\"-c\", \"test -z \\\"$PERSEA_RESOURCE_BOARD\\\" || cat met\"]\n\
                 [suite.variants]\nplugin = \"corpus\"\ncount = 2\nadditions = true\n";
    fixture.file("job.toml", suite);
    let boards = ["--set", "run.resources.board=[\"b1\"]", "--job", "job.toml"];
    let ran = run(fixture, &boards);
    let mut text = results(fixture, &ran);
    let job = fixture.job();
    for planned in job.events_of("task-planned") {
        writeln!(text, "{}", planned["data"]["runnable"]).unwrap();
    }
    for task in job.results()["tests"].as_array().unwrap() {
        let file = PathBuf::from(task["logdir"].as_str().unwrap()).join("stdout");
        let printed = std::fs::read_to_string(file).unwrap_or_default();
        writeln!(text, "stdout: {printed:?}").unwrap();
    }
    text
}

/// Runs a recipe of runnables of one kind.
fn run_kind(fixture: &Fixture, kind: &str, uris: &[&str], options: &[&str]) -> Ran {
    let runnable = |uri: &&str| json!({"kind": kind, "uri": uri});
    let runnables: Vec<Value> = uris.iter().map(runnable).collect();
    fixture.recipe("recipe.json", &runnables);
    run(fixture, &[options, &["recipe.json"]].concat())
}

fn runner(fixture: &Fixture) -> String {
    let uris = ["powers", "pass", "fail", "error"];
    let limits = ["--set", "task.timeout.running=600"];
    let settings = ["--set", "corpus.word=good day", "--set", "corpus.pause=2s"];
    let ran = run_kind(
        fixture,
        "corpus",
        &uris,
        &[&limits[..], &settings[..]].concat(),
    );
    let mut text = results(fixture, &ran);
    let job = fixture.job();
    for file in ["stdout", "taken", "note.txt"] {
        writeln!(text, "{file}: {:?}", job.artifact("powers", file)).unwrap();
    }
    for event in job.events_of("case-finished") {
        let data = &event["data"];
        let (path, status, reason) = (&data["path"], &data["status"], &data["reason"]);
        writeln!(text, "case {path} {status} {reason}").unwrap();
    }
    text
}

fn streaming_runner(fixture: &Fixture) -> String {
    fixture.file("source.txt", "content");
    let ran = run_kind(fixture, "corpus", &["streams"], &[]);
    let text = results(fixture, &ran);
    let job = fixture.job();
    let input = job.artifact("streams", "input");
    let log = job.artifact("streams", "debug.log");
    let logged = log
        .lines()
        .any(|line| line.ends_with("WARN  logged by the corpus"));
    format!("{text}input: {input:?}\nlogged: {logged}\n")
}

fn program_runner(fixture: &Fixture) -> String {
    let ran = run_kind(fixture, "corpus-program", &["0", "3"], &[]);
    results(fixture, &ran)
}

fn batch_runner(fixture: &Fixture) -> String {
    let ran = run_kind(fixture, "corpus-batch", &["one", "bad", "two"], &[]);
    results(fixture, &ran)
}

fn lister(fixture: &Fixture) -> String {
    fixture.file("list.txt", "alpha beta\ngamma\n");
    let ran = run_kind(fixture, "corpus-list", &["list.txt"], &[]);
    results(fixture, &ran)
}

fn requirement_resolver(fixture: &Fixture) -> String {
    fixture.file("source.txt", "content");
    let script = "test \"$CORPUS_THING\" = content && cat thing.txt";
    let thing = json!([{"type": "corpus-thing", "uri": "thing.txt"}]);
    fixture.recipe("recipe.json", &[requiring(shell("needs", script), &thing)]);
    let ran = run(fixture, &["recipe.json"]);
    let text = results(fixture, &ran);
    let printed = fixture.job().artifact("needs", "stdout");
    let is_left = fixture.project().join("thing.txt").exists();
    format!("{text}stdout: {printed:?}\nthe file is left: {is_left}\n")
}

fn scheduler(fixture: &Fixture) -> String {
    let names = ["a", "b", "unwanted", "c"];
    fixture.recipe("recipe.json", &names.map(noop));
    let ran = run(fixture, &["--set", "run.scheduler=corpus", "recipe.json"]);
    let text = results(fixture, &ran);
    format!("{text}started: {:?}\n", fixture.job().started())
}

fn choosing_scheduler(fixture: &Fixture) -> String {
    let task = with(noop("x"), "resources", json!({"board": 1}));
    fixture.recipe("recipe.json", &[task]);
    let boards = ["--set", "run.resources.board=[\"b1\", \"b2\", \"b3\"]"];
    let word = [
        "--set",
        "corpus.word=board b2",
        "--set",
        "run.scheduler=corpus",
    ];
    let ran = run(fixture, &[&boards[..], &word, &["recipe.json"]].concat());
    let text = results(fixture, &ran);
    let started = fixture.job().events_of("task-started");
    format!("{text}leases: {}\n", started[0]["data"]["leases"])
}

/// A test that prints, and one that fails after it.
fn recipe_of_two(fixture: &Fixture) {
    let fails = with(shell("second", "exit 1"), "after", json!(["first"]));
    fixture.recipe("recipe.json", &[shell("first", "echo printed"), fails]);
}

fn result_format(fixture: &Fixture) -> String {
    recipe_of_two(fixture);
    run(fixture, &["recipe.json"]);
    fixture.job().read("results.corpus")
}

fn listing_format(fixture: &Fixture) -> String {
    recipe_of_two(fixture);
    run(fixture, &["--set", "corpus.word=files", "recipe.json"]);
    fixture.job().read("results.corpus")
}

/// Compares with the stored expectation, or stores it.
fn compare(file: &Path, found: &str) -> Option<String> {
    if std::env::var("PERSEA_CORPUS").is_ok_and(|value| value == "update") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, found).unwrap();
        return None;
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    let name = file.file_name().unwrap().to_string_lossy();
    (expected != found).then(|| format!("-- {name}\n{expected}++ now\n{found}"))
}

/// Unpacks a component of the corpus.
fn unpack(version: &str, name: &str) -> Vec<u8> {
    let path = corpus(version).join(format!("components/{name}.wasm.zst"));
    let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed.as_slice()).unwrap();
    let mut component = Vec::new();
    decoder.read_to_end(&mut component).unwrap();
    component
}

/// Runs the scenarios of some roles with a component.
fn check(name: &str, roles: &[&str]) {
    let version = "0.2.0";
    let expected = corpus(version).join("expected");
    let fixture = Fixture::new();
    fixture.file(PLUGIN, unpack(version, name));
    lock(&fixture, PLUGIN, &[]);
    let inspected = fixture.run(&["plugin", "inspect", PLUGIN]).code(0).stdout;
    // Only these two rows change whenever the component is made again.
    let inspected: String = inspected
        .lines()
        .filter(|line| !line.starts_with("size ") && !line.starts_with("sha256 "))
        .flat_map(|line| [line, "\n"])
        .collect();
    let inspected = compare(&expected.join(format!("{name}.inspect.txt")), &inspected);
    let mut differences: Vec<String> = inspected.into_iter().collect();
    for (role, scenario) in SCENARIOS {
        if roles.contains(&role) {
            let found = scenario(&fixture);
            let file = expected.join(format!("{role}.txt"));
            differences.extend(compare(&file, &found));
        }
    }
    for (role, file, scenario) in MORE {
        if roles.contains(&role) {
            let file = expected.join(format!("{file}.txt"));
            differences.extend(compare(&file, &scenario(&fixture)));
        }
    }
    assert!(differences.is_empty(), "{name}\n{}", differences.join("\n"));
}

/// All roles.
fn every_role() -> [&'static str; 9] {
    SCENARIOS.map(|(role, _)| role)
}

/// The roles of the components that have several: a plugin is a runner or a program runner.
fn roles_of_one() -> Vec<&'static str> {
    let mut roles = every_role().to_vec();
    roles.retain(|role| *role != "program-runner");
    roles
}

#[test]
fn components_of_the_sdk_do_what_they_did() {
    for role in every_role() {
        check(&format!("sdk-{role}"), &[role]);
    }
}

#[test]
fn components_in_c_do_what_they_did() {
    for role in every_role() {
        check(&format!("c-{role}"), &[role]);
    }
}

#[test]
fn component_in_python_does_what_it_did() {
    check("python", &roles_of_one());
}

/// The component in Python has mistakes that its ordinary tasks do not show: it takes the first
/// word of an empty file, half of a character, and any output for text.
#[test]
fn exception_in_python_is_the_reason_with_its_file_and_line() {
    let fixture = Fixture::new();
    fixture.file(PLUGIN, unpack("0.2.0", "python"));
    lock(&fixture, PLUGIN, &[]);
    fixture.file("empty.corpus", "");
    run(&fixture, &["empty.corpus"]).code(1);
    let line = "app.py\", line 180, in resolve; IndexError: list index out of range";
    fixture
        .job()
        .assert_error("empty.corpus", &["resolver `corpus`", line]);

    let long = format!("corpus.word=a{}", "é".repeat(60));
    run_kind(&fixture, "corpus", &["powers", "pass"], &["--set", &long]).code(1);
    let job = fixture.job();
    let line = "app.py\", line 267, in run; UnicodeDecodeError: 'utf-8' codec can't decode";
    job.assert_error("powers", &["runner `corpus`", line]);
    assert_eq!(job.status("pass"), "PASS");

    // The report reads what the task has printed, as text.
    let bytes = shell("bytes", "printf '\\377'");
    fixture.recipe("recipe.json", &[bytes]);
    let ran = run(&fixture, &["recipe.json"]).code(2);
    let line = "app.py\", line 419, in handle; UnicodeDecodeError: 'utf-8' codec can't decode";
    assert_stderr(&ran, &["error: the report `corpus` is incomplete: ", line]);
    assert_eq!(fixture.job().status("bytes"), "PASS");
}

#[test]
fn component_of_spidermonkey_does_what_it_did() {
    check("javascript", &roles_of_one());
}

#[test]
fn component_of_quickjs_does_what_it_did() {
    check("qjs", &roles_of_one());
}

/// Guests without a panic of their own can report one in its place.
#[test]
fn reported_panic_is_the_reason_of_its_task() {
    for name in ["c-runner", "python", "javascript", "qjs"] {
        let fixture = Fixture::new();
        fixture.file(PLUGIN, unpack("0.2.0", name));
        lock(&fixture, PLUGIN, &[]);
        run_kind(&fixture, "corpus", &["panic"], &[]).code(1);
        let reason = "it panicked at corpus:1: it is broken";
        fixture
            .job()
            .assert_error("panic", &["runner `corpus`", reason]);
    }
}

/// A C library brings `wasi_snapshot_preview1` with printf.
#[test]
fn module_that_calls_printf_is_packed_and_prints_into_its_log() {
    let module = std::fs::read(corpus("0.2.0").join("modules/c-printf.wasm")).unwrap();
    let fixture = Fixture::new();
    fixture.file("module.wasm", module);
    fixture
        .run(&["plugin", "pack", "module.wasm", "-o", "printf.wasm"])
        .code(0);
    lock(&fixture, "printf.wasm", &[]);
    run_kind(&fixture, "printf", &["me"], &[]).code(0);
    let log = fixture.job().artifact("me", "debug.log");
    assert!(log.contains("printed for me"), "{log}");
}
