//! Owns the WASI of plugins built for wasm32-wasip2: it has no files and no variables except
//! granted ones.

use std::sync::OnceLock;

use persea_guest_build::Target;
use serde_json::json;

use crate::support::plugins::build;
use crate::support::recipes::{exec, with};
use crate::support::{Fixture, assert_stderr};

/// A project with the component `p.wasm`, which is not locked, and directories `in` and `out` with
/// a file `secret` each.
fn fixture() -> Fixture {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BUILT.get_or_init(|| {
        let mut all = build(Target::Wasip2, &[("runner-wasi", &[])]);
        all.remove("runner-wasi").unwrap()
    });
    let fixture = Fixture::new();
    fixture.file("p.wasm", bytes);
    fixture.file("in/secret", "of the project");
    fixture.file("out/secret", "of others");
    std::os::unix::fs::symlink("../out/secret", fixture.project().join("in/link")).unwrap();
    fixture
}

/// Has the plugin try these accesses. Each answer is a line `ACCESS: RESULT`, where the result is
/// `no` if it failed.
fn try_accesses(fixture: &Fixture, accesses: &[&str]) -> String {
    let task = json!({"kind": "wasi", "uri": "x", "args": accesses});
    fixture.recipe("r.json", &[task]);
    let variables = [("TOKEN", "hunter2"), ("OTHER", "none of its business")];
    let ran = fixture.run_with(&["run", "r.json"], |command| command.envs(variables));
    ran.code(0);
    fixture.job().test("x")["whiteboard"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn wasi_without_grants_offers_nothing() {
    let fixture = fixture();
    fixture.run(&["plugin", "add", "p.wasm"]).code(0);
    let accesses = [
        "read in/secret",
        "read /etc/passwd",
        "write in/new",
        "variable PATH",
        "variable TOKEN",
    ];
    let refused = accesses.iter().map(|access| format!("{access}: no\n"));
    let expected: String = refused.collect();
    assert_eq!(try_accesses(&fixture, &accesses), expected);
}

#[test]
fn wasi_directory_access_follows_its_grant() {
    let fixture = fixture();
    fixture
        .run(&["plugin", "add", "p.wasm", "--grant", "directories=in"])
        .code(0);
    let accesses = [
        "read in/secret",
        "read in/link",
        "read in/../out/secret",
        "read out/secret",
        "write in/new",
    ];
    let expected = "\
read in/secret: of the project
read in/link: no
read in/../out/secret: no
read out/secret: no
write in/new: no
";
    assert_eq!(try_accesses(&fixture, &accesses), expected);
    fixture.run(&["plugin", "remove", "wasi"]).code(0);
    let add = [
        "plugin",
        "add",
        "--user",
        "p.wasm",
        "--grant",
        "directories=in:write",
    ];
    fixture.run(&add).code(0);
    assert_eq!(
        try_accesses(&fixture, &["write in/new", "write out/new"]),
        "write in/new: written\nwrite out/new: no\n"
    );
    assert_eq!(
        std::fs::read_to_string(fixture.project().join("in/new")).unwrap(),
        "written"
    );
}

/// Whoever checks out a project has agreed to nothing in its lock, so that lock must not open
/// directories of the user.
#[test]
fn project_lock_grants_only_reads_inside_the_project() {
    let fixture = fixture();
    let grant = |directory: &str| format!("directories={directory}");
    for directory in ["/etc", "../elsewhere", "in/../../x", "out:write"] {
        let grant = grant(directory);
        let refused = fixture
            .run(&["plugin", "add", "p.wasm", "--grant", &grant])
            .code(4);
        let error = format!("grants it the directory `{directory}`");
        let help = "persea plugin add --user p.wasm";
        assert_stderr(&refused, &[&error, help]);
    }

    // A grant that somebody wrote into the project's lock by hand.
    fixture
        .run(&["plugin", "add", "p.wasm", "--grant", "directories=in"])
        .code(0);
    let lock = fixture.project().join("persea.lock");
    let text = std::fs::read_to_string(&lock).unwrap();
    assert!(text.contains("\"in\""), "{text}");
    let home = fixture.project().join("out").display().to_string();
    std::fs::write(&lock, text.replace("\"in\"", &format!("\"{home}\""))).unwrap();
    let read = format!("read {home}/secret");
    let task = json!({"kind": "wasi", "uri": "x", "args": [read]});
    fixture.recipe("r.json", &[task]);
    let refused = fixture.run(&["run", "r.json"]).code(3);
    assert_stderr(&refused, &["grants it the directory"]);
    let verified = fixture.run(&["plugin", "verify"]).code(2);
    assert!(verified.stdout.contains("WRONG"), "{}", verified.stdout);

    // The user's lock may grant it.
    let own = [
        "plugin",
        "add",
        "--user",
        "p.wasm",
        "--grant",
        &grant(&home),
    ];
    fixture.run(&own).code(0);
    assert_eq!(
        try_accesses(&fixture, &[&read, "read in/secret"]),
        format!("{read}: of others\nread in/secret: no\n")
    );
}

#[test]
fn link_to_elsewhere_is_no_directory_of_the_project() {
    let fixture = fixture();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("secret"), "of others").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), fixture.project().join("link")).unwrap();
    fixture
        .run(&["plugin", "add", "p.wasm", "--grant", "directories=link,in"])
        .code(0);
    assert_eq!(
        try_accesses(&fixture, &["read link/secret", "read in/secret"]),
        "read link/secret: no\nread in/secret: of the project\n"
    );
}

#[test]
fn wasi_variable_is_visible_only_when_granted() {
    let fixture = fixture();
    fixture
        .run(&["plugin", "add", "p.wasm", "--grant", "environment=TOKEN"])
        .code(0);
    let accesses = ["variable TOKEN", "variable OTHER", "variable PATH"];
    assert_eq!(
        try_accesses(&fixture, &accesses),
        "variable TOKEN: hunter2\nvariable OTHER: no\nvariable PATH: no\n"
    );
}

#[test]
fn runner_timeout_excludes_the_time_of_its_processes() {
    let fixture = fixture();
    fixture.run(&["plugin", "add", "p.wasm"]).code(0);
    fixture.file(
        "test_slow.py",
        "import time, unittest\n\
         class Slow(unittest.TestCase):\n    \
             def test(self): time.sleep(1)\n",
    );
    let sleeps = [
        json!({"kind": "wasi", "uri": "x", "args": ["sleep 1000"]}),
        with(exec("slow", "/bin/sleep"), "args", json!(["1"])),
    ];
    fixture.recipe("r.json", &sleeps);
    let limit = ["--set", "plugins.runner.timeout=0.5"];
    let args = [&["run", "r.json", "test_slow.py"][..], &limit].concat();
    fixture.run(&args).code(1);
    let job = fixture.job();
    assert_eq!(job.status("x"), "ERROR");
    assert_eq!(
        job.reason("x"),
        "runner `wasi` (p.wasm) has reached its limit on the time without a process, 0.5 s: \
         `plugins.runner.timeout` raises it, or `plugins.runner.wasi.timeout` alone"
    );
    assert_eq!(job.status("slow"), "PASS");
    assert_eq!(job.status("test_slow.py:Slow.test"), "PASS");
    fixture.assert_no_strays();
}
