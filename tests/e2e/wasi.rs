//! What a plugin built for wasm32-wasip2 finds in its WASI: nothing, but what it is granted.

use std::sync::OnceLock;

use persea_guest_build::Target;

use crate::support::Sandbox;
use crate::support::plugins::build;

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

/// What comes of trying these, a line each.
fn tries(sandbox: &Sandbox, what: &[&str]) -> String {
    let task = serde_json::json!({"kind": "wasi", "uri": "x", "args": what});
    sandbox.file("r.json", task.to_string());
    let mut command = sandbox.persea(&["run", "r.json"]);
    command
        .env("TOKEN", "hunter2")
        .env("OTHER", "none of its business");
    crate::support::finish(command.spawn().unwrap()).code(0);
    sandbox.job().test("x")["whiteboard"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn wasi_without_grants_offers_nothing() {
    let sandbox = sandbox();
    sandbox.run(&["plugin", "add", "p.wasm"]).code(0);
    let what = [
        "read in/secret",
        "read /etc/passwd",
        "write in/new",
        "variable PATH",
        "variable TOKEN",
    ];
    let expected: String = what.iter().map(|what| format!("{what}: no\n")).collect();
    assert_eq!(tries(&sandbox, &what), expected);
}

#[test]
fn wasi_directory_access_follows_its_grant() {
    let sandbox = sandbox();
    sandbox
        .run(&["plugin", "add", "p.wasm", "--grant", "directories=in"])
        .code(0);
    let what = [
        "read in/secret",
        "read in/link",
        "read in/../out/secret",
        "read out/secret",
        "write in/new",
    ];
    assert_eq!(
        tries(&sandbox, &what),
        "read in/secret: of the project\nread in/link: no\nread in/../out/secret: no\nread out/secret: no\nwrite in/new: no\n"
    );
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
        tries(&sandbox, &["write in/new", "write out/new"]),
        "write in/new: written\nwrite out/new: no\n"
    );
    assert_eq!(
        std::fs::read_to_string(sandbox.project().join("in/new")).unwrap(),
        "written"
    );
}

/// Who gets a project with its plugins and its lock has agreed to nothing: the lock alone opens none of the user's directories.
#[test]
fn project_lock_grants_only_reads_inside_the_project() {
    let sandbox = sandbox();
    let grant = |directory: &str| format!("directories={directory}");
    for directory in ["/etc", "../elsewhere", "in/../../x", "out:write"] {
        let grant = grant(directory);
        let refused = sandbox
            .run(&["plugin", "add", "p.wasm", "--grant", &grant])
            .code(4);
        let says = format!("grants it the directory `{directory}`");
        assert!(refused.stderr.contains(&says), "{}", refused.stderr);
        assert!(refused.stderr.contains("persea plugin add --user p.wasm"));
    }

    // As a stranger would write it.
    sandbox
        .run(&["plugin", "add", "p.wasm", "--grant", "directories=in"])
        .code(0);
    let lock = sandbox.project().join("persea.lock");
    let text = std::fs::read_to_string(&lock).unwrap();
    assert!(text.contains("\"in\""), "{text}");
    let home = sandbox.project().join("out").display().to_string();
    std::fs::write(&lock, text.replace("\"in\"", &format!("\"{home}\""))).unwrap();
    let read = format!("read {home}/secret");
    let task = serde_json::json!({"kind": "wasi", "uri": "x", "args": [read]});
    sandbox.file("r.json", task.to_string());
    let refused = sandbox.run(&["run", "r.json"]).code(3);
    assert!(
        refused.stderr.contains("grants it the directory"),
        "{}",
        refused.stderr
    );
    let verified = sandbox.run(&["plugin", "verify"]).code(2);
    assert!(verified.stdout.contains("WRONG"), "{}", verified.stdout);

    // The user's own lock can agree to it.
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
        tries(&sandbox, &[&read, "read in/secret"]),
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
        tries(&sandbox, &["read link/secret", "read in/secret"]),
        "read link/secret: no\nread in/secret: of the project\n"
    );
}

#[test]
fn wasi_variable_is_visible_only_when_granted() {
    let sandbox = sandbox();
    sandbox
        .run(&["plugin", "add", "p.wasm", "--grant", "environment=TOKEN"])
        .code(0);
    let what = ["variable TOKEN", "variable OTHER", "variable PATH"];
    assert_eq!(
        tries(&sandbox, &what),
        "variable TOKEN: hunter2\nvariable OTHER: no\nvariable PATH: no\n"
    );
}

#[test]
fn runner_timeout_excludes_the_time_of_its_processes() {
    let sandbox = sandbox();
    sandbox.run(&["plugin", "add", "p.wasm"]).code(0);
    sandbox.file(
        "test_slow.py",
        "import time, unittest\n\nclass Slow(unittest.TestCase):\n    def test(self):\n        time.sleep(1)\n",
    );
    let sleeps = serde_json::json!([
        {"kind": "wasi", "uri": "x", "args": ["sleep 1000"]},
        {"kind": "exec-test", "uri": "/bin/sleep", "args": ["1"], "identifier": "slow"},
    ]);
    sandbox.file("r.json", sleeps.to_string());
    let limit = ["--set", "plugins.runner.timeout=0.5"];
    let args = [&["run", "r.json", "test_slow.py"][..], &limit].concat();
    sandbox.run(&args).code(1);
    let job = sandbox.job();
    assert_eq!(job.status("x"), "ERROR");
    assert_eq!(
        job.reason("x"),
        "runner `wasi` (p.wasm) has reached its limit on the time without a process, 0.5 s: `plugins.runner.timeout` raises it, or `plugins.runner.wasi.timeout` alone"
    );
    assert_eq!(job.status("slow"), "PASS");
    assert_eq!(job.status("test_slow.py:Slow.test"), "PASS");
    sandbox.assert_no_strays();
}
