//! Owns the WASI of plugins built for wasm32-wasip2: it has no files and no variables except
//! granted ones.

use std::sync::OnceLock;

use persea_guest_build::Target;
use serde_json::json;

use crate::support::plugins::build;
use crate::support::recipes::{exec, with};
use crate::support::{Sandbox, assert_stderr};

/// A project with the component `p.wasm`, which is not locked, and directories `in` and `out` with
/// a file `secret` each.
fn sandbox() -> Sandbox {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BUILT.get_or_init(|| {
        let mut all = build(Target::Wasip2, &[("runner-wasi", &[])]);
        all.remove("runner-wasi").unwrap()
    });
    let sandbox = Sandbox::new();
    sandbox.file("p.wasm", bytes);
    sandbox.file("in/secret", "of the project");
    sandbox.file("out/secret", "of others");
    std::os::unix::fs::symlink("../out/secret", sandbox.project().join("in/link")).unwrap();
    sandbox
}

/// Has the plugin try these accesses. Each answer is a line `ACCESS: RESULT`, where the result is
/// `no` if it failed.
fn try_accesses(sandbox: &Sandbox, accesses: &[&str]) -> String {
    let task = json!({"kind": "wasi", "uri": "x", "args": accesses});
    sandbox.recipe("r.json", &[task]);
    let variables = [("TOKEN", "hunter2"), ("OTHER", "none of its business")];
    let ran = sandbox.run_with(&["run", "r.json"], |command| command.envs(variables));
    ran.code(0);
    sandbox.job().test("x")["whiteboard"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn wasi_without_grants_offers_nothing() {
    let sandbox = sandbox();
    sandbox.run(&["plugin", "add", "p.wasm"]).code(0);
    let accesses = [
        "read in/secret",
        "read /etc/passwd",
        "write in/new",
        "variable PATH",
        "variable TOKEN",
    ];
    let refused = accesses.iter().map(|access| format!("{access}: no\n"));
    let expected: String = refused.collect();
    assert_eq!(try_accesses(&sandbox, &accesses), expected);
}

#[test]
fn wasi_directory_access_follows_its_grant() {
    let sandbox = sandbox();
    sandbox
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
    assert_eq!(try_accesses(&sandbox, &accesses), expected);
    sandbox.run(&["plugin", "remove", "wasi"]).code(0);
    let add = [
        "plugin",
        "add",
        "--user",
        "p.wasm",
        "--grant",
        "directories=in:write",
    ];
    sandbox.run(&add).code(0);
    assert_eq!(
        try_accesses(&sandbox, &["write in/new", "write out/new"]),
        "write in/new: written\nwrite out/new: no\n"
    );
    assert_eq!(
        std::fs::read_to_string(sandbox.project().join("in/new")).unwrap(),
        "written"
    );
}

/// Whoever checks out a project has agreed to nothing in its lock, so that lock must not open
/// directories of the user.
#[test]
fn project_lock_grants_only_reads_inside_the_project() {
    let sandbox = sandbox();
    let grant = |directory: &str| format!("directories={directory}");
    for directory in ["/etc", "../elsewhere", "in/../../x", "out:write"] {
        let grant = grant(directory);
        let refused = sandbox
            .run(&["plugin", "add", "p.wasm", "--grant", &grant])
            .code(4);
        let error = format!("grants it the directory `{directory}`");
        let help = "persea plugin add --user p.wasm";
        assert_stderr(&refused, &[&error, help]);
    }

    // A grant that somebody wrote into the project's lock by hand.
    sandbox
        .run(&["plugin", "add", "p.wasm", "--grant", "directories=in"])
        .code(0);
    let lock = sandbox.project().join("persea.lock");
    let text = std::fs::read_to_string(&lock).unwrap();
    assert!(text.contains("\"in\""), "{text}");
    let home = sandbox.project().join("out").display().to_string();
    std::fs::write(&lock, text.replace("\"in\"", &format!("\"{home}\""))).unwrap();
    let read = format!("read {home}/secret");
    let task = json!({"kind": "wasi", "uri": "x", "args": [read]});
    sandbox.recipe("r.json", &[task]);
    let refused = sandbox.run(&["run", "r.json"]).code(3);
    assert_stderr(&refused, &["grants it the directory"]);
    let verified = sandbox.run(&["plugin", "verify"]).code(2);
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
    sandbox.run(&own).code(0);
    assert_eq!(
        try_accesses(&sandbox, &[&read, "read in/secret"]),
        format!("{read}: of others\nread in/secret: no\n")
    );
}

#[test]
fn link_to_elsewhere_is_no_directory_of_the_project() {
    let sandbox = sandbox();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("secret"), "of others").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), sandbox.project().join("link")).unwrap();
    sandbox
        .run(&["plugin", "add", "p.wasm", "--grant", "directories=link,in"])
        .code(0);
    assert_eq!(
        try_accesses(&sandbox, &["read link/secret", "read in/secret"]),
        "read link/secret: no\nread in/secret: of the project\n"
    );
}

#[test]
fn wasi_variable_is_visible_only_when_granted() {
    let sandbox = sandbox();
    sandbox
        .run(&["plugin", "add", "p.wasm", "--grant", "environment=TOKEN"])
        .code(0);
    let accesses = ["variable TOKEN", "variable OTHER", "variable PATH"];
    assert_eq!(
        try_accesses(&sandbox, &accesses),
        "variable TOKEN: hunter2\nvariable OTHER: no\nvariable PATH: no\n"
    );
}

#[test]
fn runner_timeout_excludes_the_time_of_its_processes() {
    let sandbox = sandbox();
    sandbox.run(&["plugin", "add", "p.wasm"]).code(0);
    sandbox.file(
        "test_slow.py",
        "import time, unittest\n\
         class Slow(unittest.TestCase):\n    \
             def test(self): time.sleep(1)\n",
    );
    let sleeps = [
        json!({"kind": "wasi", "uri": "x", "args": ["sleep 1000"]}),
        with(exec("slow", "/bin/sleep"), "args", json!(["1"])),
    ];
    sandbox.recipe("r.json", &sleeps);
    let limit = ["--set", "plugins.runner.timeout=0.5"];
    let args = [&["run", "r.json", "test_slow.py"][..], &limit].concat();
    sandbox.run(&args).code(1);
    let job = sandbox.job();
    assert_eq!(job.status("x"), "ERROR");
    assert_eq!(
        job.reason("x"),
        "runner `wasi` (p.wasm) has reached its limit on the time without a process, 0.5 s: \
         `plugins.runner.timeout` raises it, or `plugins.runner.wasi.timeout` alone"
    );
    assert_eq!(job.status("slow"), "PASS");
    assert_eq!(job.status("test_slow.py:Slow.test"), "PASS");
    sandbox.assert_no_strays();
}
