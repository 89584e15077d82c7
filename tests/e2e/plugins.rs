//! Owns plugins of third parties that behave: where they are found, what they do in a job, which of
//! two is preferred, and what `inspect` shows.

use std::collections::BTreeMap;

use persea_guest_build::Target;
use sha2::{Digest as _, Sha256};

use crate::support::plugins::{build, components, install, lock};
use crate::support::{Fixture, Ran};

/// A list for the resolver of `resolver-list`.
const LIST: &str = "\
# Who is to be greeted

greet: World
greet: nobody
$ echo from the shell; exit 3
$ true
";

/// Runs a job with the resolver, runner and result format of [`GOOD`], and checks all that they do.
fn assert_plugins_work(fixture: &Fixture, options: &[&str]) {
    fixture.file("tests.list", LIST);
    let ran = fixture.run(&[&["run"], options, &["tests.list"]].concat());
    let ran = ran.code(1);
    assert_eq!(ran.stderr, "", "{ran}");
    assert!(
        ran.stdout.contains("(1/4) World: about to greet World"),
        "{ran}"
    );

    let job = fixture.job();
    assert_eq!(job.status("World"), "PASS");
    assert_eq!(job.status("nobody"), "FAIL");
    assert_eq!(job.reason("nobody"), "nobody is there to be greeted");
    assert_eq!(job.status("echo from the shell; exit 3"), "FAIL");
    assert_eq!(job.status("true"), "PASS");
    assert_eq!(job.test("World")["whiteboard"], "Hello, World!");
    assert_eq!(job.test("World")["returncode"], 0);
    assert_eq!(job.artifact("World", "stdout"), "Hello, World!\n");
    assert_eq!(job.artifact("World", "greeting.txt"), "Hello, World!");
    // The order of the rows is that in which the tests ended.
    let csv = job.read("results.csv");
    let mut lines: Vec<&str> = csv.lines().collect();
    lines[1..].sort_unstable();
    assert_eq!(
        lines,
        [
            r#""id","status","reason","printed""#,
            r#""1-World","PASS","","""#,
            r#""2-nobody","FAIL","nobody is there to be greeted","Hello, nobody!""#,
            r#""3-echo from the shell; exit 3","FAIL","exited with code 3","from the shell""#,
            r#""4-true","PASS","","""#,
        ]
    );
}

const GOOD: [&str; 3] = ["runner-greet", "resolver-list", "format-csv"];

#[test]
fn plugins_of_a_directory_work() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &GOOD);
    assert_plugins_work(&fixture, &["--plugin-dir", "plugins"]);
}

#[test]
fn plugins_of_the_users_directory_need_no_option() {
    let fixture = Fixture::new();
    install(&fixture, "../home/.local/share/persea/plugins", &GOOD);
    assert_plugins_work(&fixture, &[]);
}

#[test]
fn users_plugin_directory_follows_xdg_data_home() {
    let fixture = Fixture::new();
    install(&fixture, "../data/persea/plugins", &GOOD);
    let data = fixture.root().join("data");
    let ran = fixture.run_with(&["plugin", "list"], |command| {
        command.env("XDG_DATA_HOME", data)
    });
    let ran = ran.code(0);
    assert!(
        ran.stdout.contains("data/persea/plugins/runner-greet.wasm"),
        "{ran}"
    );
}

#[test]
fn plugin_directory_can_be_configured() {
    let fixture = Fixture::new();
    install(&fixture, "tools/persea", &GOOD);
    fixture.file("persea.toml", "plugins.dirs = ['tools/persea']\n");
    assert_plugins_work(&fixture, &[]);
}

#[test]
fn plugins_built_for_wasi_work() {
    let own: &[&str] = &[];
    let crates = GOOD.map(|name| (name, own));
    let fixture = Fixture::new();
    for (name, component) in build(Target::Wasip2, &crates) {
        let path = format!("plugins/{name}.wasm");
        fixture.file(&path, component);
        lock(&fixture, &path, &[]);
    }
    assert_plugins_work(&fixture, &["--plugin-dir", "plugins"]);
    let ran = fixture
        .run(&["plugin", "inspect", "plugins/runner-greet.wasm", "--json"])
        .code(0);
    let inspected: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(inspected["wasi"], true, "{ran}");
}

#[test]
fn plugin_gets_its_declared_settings() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &GOOD);
    fixture.file("tests.list", "greet: World\n");
    let set = "runner.greet.words=Good morning";
    let ran = fixture
        .run(&["run", "--plugin-dir", "plugins", "--set", set, "tests.list"])
        .code(0);
    assert_eq!(ran.stderr, "", "no warning about an unknown setting: {ran}");
    assert_eq!(
        fixture.job().artifact("World", "stdout"),
        "Good morning, World!\n"
    );
    // A runnable's own value has precedence.
    let own =
        r#"{"kind": "greet", "uri": "World", "config": {"runner.greet.words": "Good night"}}"#;
    fixture.file("one.json", own);
    fixture
        .run(&["run", "--plugin-dir", "plugins", "--set", set, "one.json"])
        .code(0);
    assert_eq!(
        fixture.job().artifact("World", "stdout"),
        "Good night, World!\n"
    );
}

#[test]
fn resolver_error_names_file_and_line() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &GOOD);
    fixture.file("broken.list", "greet: World\n\nwhat is this\n");
    let ran = fixture
        .run(&["run", "--plugin-dir", "plugins", "broken.list"])
        .code(2);
    let error = "broken.list:3: neither `$ COMMAND` nor `KIND: URI`";
    assert!(ran.stderr.contains(error), "{ran}");
    let ran = fixture
        .run(&["list", "--plugin-dir", "plugins", "broken.list"])
        .code(2);
    assert_eq!(
        ran.stdout,
        format!("CORRUPT broken.list\n    list: {error}\n")
    );
}

/// The runners in the output of `plugin list`, as `NAME: kinds: …`, in its order.
fn runners(ran: &Ran) -> Vec<String> {
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let mut found = Vec::new();
    for pair in lines.windows(2) {
        let words: Vec<&str> = pair[0].split_whitespace().collect();
        if words.first() == Some(&"runner") && pair[1].contains("kinds:") {
            found.push(format!("{}: {}", words[1], pair[1].trim()));
        }
    }
    found
}

#[test]
fn runner_order_decides_between_two_runners_of_a_kind() {
    let fixture = Fixture::new();
    install(
        &fixture,
        "plugins",
        &["resolver-list", "runner-greet", "runner-rival"],
    );
    fixture.file("tests.list", "greet: World\n$ true\n");
    // `runner-rival` ends every test with WARN.
    let statuses = |options: &[&str]| {
        let args = ["run", "--plugin-dir", "plugins"];
        let args = [&args, options, &["tests.list"]].concat();
        fixture.run(&args).code(0);
        let job = fixture.job();
        (job.status("World"), job.status("true"))
    };
    let list = |options: &[&str]| {
        let args = ["plugin", "list", "--plugin-dir", "plugins"];
        runners(&fixture.run(&[&args, options].concat()).code(0))
    };
    let (pass, warn) = ("PASS".to_owned(), "WARN".to_owned());

    // The default order: plugins of a directory by their files' names, then the built-in ones.
    assert_eq!(statuses(&[]), (pass.clone(), warn.clone()));
    let listed = list(&[]);
    assert_eq!(listed[0], "greet: kinds: greet");
    assert_eq!(
        listed[1],
        "rival: kinds: exec-test, greet (another is preferred)"
    );
    let built_in = "exec-test: kinds: exec-test (another is preferred)";
    assert!(
        listed[2..].iter().any(|line| line == built_in),
        "{listed:?}"
    );

    let order = ["--set", r#"plugins.runner.order=["rival"]"#];
    assert_eq!(statuses(&order), (warn.clone(), warn));
    let listed = list(&order);
    assert_eq!(listed[0], "rival: kinds: exec-test, greet");
    assert_eq!(listed[1], "greet: kinds: greet (another is preferred)");

    let order = ["--set", r#"plugins.runner.order=["exec-test", "greet"]"#];
    assert_eq!(statuses(&order), (pass.clone(), pass.clone()));
    let listed = list(&order);
    assert_eq!(listed[0], "exec-test: kinds: exec-test");
    assert_eq!(
        listed[2],
        "rival: kinds: exec-test (another is preferred), greet (another is preferred)"
    );

    let disable = ["--set", r#"plugins.disable=["runner.rival"]"#];
    assert_eq!(statuses(&disable), (pass.clone(), pass));
    assert!(!list(&disable).iter().any(|line| line.starts_with("rival")));
}

#[test]
fn duplicate_plugin_is_harmless() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &GOOD);
    install(&fixture, "more", &GOOD);
    fixture.file("plugins/another-name.wasm", &components()["runner-greet"]);
    assert_plugins_work(
        &fixture,
        &["--plugin-dir", "more", "--plugin-dir", "plugins"],
    );
    let ran = fixture
        .run(&[
            "plugin",
            "list",
            "--plugin-dir",
            "more",
            "--plugin-dir",
            "plugins",
        ])
        .code(0);
    let lines: Vec<&str> = ran
        .stdout
        .lines()
        .filter(|line| line.starts_with("runner         greet"))
        .collect();
    let ends = [
        "more/runner-greet.wasm",
        "plugins/another-name.wasm",
        "plugins/runner-greet.wasm",
    ];
    assert_eq!(lines.len(), 3, "{ran}");
    assert!(
        lines
            .iter()
            .zip(ends)
            .all(|(line, end)| line.ends_with(end)),
        "{ran}"
    );
}

#[test]
fn built_in_plugin_can_be_disabled() {
    let fixture = Fixture::new();
    fixture.file("one.json", r#"{"kind": "noop"}"#);
    let disable = r#"plugins.disable=["runner.noop", "result-format.tap"]"#;
    fixture.run(&["run", "--set", disable, "one.json"]).code(1);
    let job = fixture.job();
    assert!(job.reason("noop").starts_with("no runner for kind `noop`"));
    assert!(!job.0.join("results.tap").exists());
    assert!(job.0.join("results.xml").exists());
}

#[test]
fn inspect_shows_identity_powers_and_digest() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &GOOD);
    let rows = |file: &str| -> BTreeMap<String, String> {
        let ran = fixture.run(&["plugin", "inspect", file]).code(0);
        let mut rows: BTreeMap<String, String> = BTreeMap::new();
        let mut last = String::new();
        for line in ran.stdout.lines() {
            let (name, value) = line.split_once(' ').unwrap();
            // A line that begins with a space continues the row above.
            if !name.is_empty() {
                name.clone_into(&mut last);
            }
            let row = rows.entry(last.clone()).or_default();
            if !row.is_empty() {
                row.push('\n');
            }
            row.push_str(value.trim());
        }
        rows
    };
    let runner = rows("plugins/runner-greet.wasm");
    for (name, value) in [
        ("name", "greet"),
        ("summary", "greets whom the uri names"),
        ("roles", "runner: greet"),
        ("version", "0.3.0"),
        (
            "contract",
            "built for persea:plugin@0.2.0, needs at least @0.2.0 (this host offers @0.2.0)",
        ),
        ("wasi", "not imported"),
        ("origin", "plugins/runner-greet.wasm"),
    ] {
        assert_eq!(runner[name], value);
    }
    let powers = |rows: &BTreeMap<String, String>| -> Vec<String> {
        let mut powers: Vec<String> = rows["powers"].lines().map(str::to_owned).collect();
        powers.sort();
        powers
    };
    let log = "log: write messages to the log";
    let artifacts = "artifacts: read and write files in the directory of its task; a format reads \
                     those of all tasks";
    assert_eq!(
        powers(&runner),
        [
            artifacts,
            log,
            "messages: report how its task goes",
            "process: start processes where its task runs",
        ]
    );
    assert_eq!(
        powers(&rows("plugins/resolver-list.wasm")),
        [log, "workspace: read files of the project"]
    );
    assert_eq!(
        powers(&rows("plugins/format-csv.wasm")),
        [artifacts, log, "report-output: write its own report"]
    );

    let bytes = &components()["runner-greet"];
    let digest: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(runner["sha256"], digest);
    assert_eq!(runner["size"], format!("{} bytes", bytes.len()));

    // Also by the plugin's name, and as JSON.
    let by_name = [
        "plugin",
        "inspect",
        "greet",
        "--plugin-dir",
        "plugins",
        "--json",
    ];
    let ran = fixture.run(&by_name).code(0);
    let inspected: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(inspected["sha256"], digest.as_str());
    assert_eq!(inspected["world"], "runner");
}

#[test]
fn inspect_and_add_show_what_a_plugin_replaces() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["runner-greet"]);
    fixture.file("rival.wasm", &components()["runner-rival"]);
    let replaces = "runner.exec-test, built in, for exec-test";
    let beside =
        "runner.greet in persea.lock, for greet: `plugins.runner.order` sets which is preferred";
    let ran = fixture.run(&["plugin", "inspect", "rival.wasm"]).code(0);
    let rows = format!("replaces  {replaces}\nbeside    {beside}\n");
    assert!(ran.stdout.ends_with(&rows), "{ran}");
    let ran = fixture.run(&["plugin", "inspect", "rival.wasm", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(object["replaces"], serde_json::json!([replaces]));
    let ran = fixture.run(&["plugin", "add", "rival.wasm"]).code(0);
    let rows = format!("  replaces {replaces}\n  beside   {beside}\n");
    assert!(ran.stdout.contains(&rows), "{ran}");
    // A plugin that shares no kind with another replaces none.
    let ran = fixture.run(&["plugin", "inspect", "greet"]).code(0);
    assert!(!ran.stdout.contains("replaces"), "{ran}");
}
