//! What a plugin built for wasm32-wasip2 finds in its WASI: nothing, but what it is granted.

use std::sync::OnceLock;

use persea_guest_build::Target;

use crate::plugins::build;
use crate::support::Sandbox;

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
fn without_a_grant_there_is_nothing() {
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
fn a_directory_is_read_or_written_as_it_is_granted() {
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
    let update = [
        "plugin",
        "update",
        "wasi",
        "--grant",
        "directories=in:write",
    ];
    sandbox.run(&update).code(0);
    assert_eq!(
        tries(&sandbox, &["write in/new", "write out/new"]),
        "write in/new: written\nwrite out/new: no\n"
    );
    assert_eq!(
        std::fs::read_to_string(sandbox.project().join("in/new")).unwrap(),
        "written"
    );
}

#[test]
fn a_variable_is_seen_when_it_is_granted_by_name() {
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
