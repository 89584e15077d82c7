//! Owns the examples of plugins in other languages and of several roles: they are built as the book
//! says, and run a job.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Sandbox;
use crate::support::plugins::{install, lock};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Gets the tools of the three languages. Returns their directory.
fn tools() -> PathBuf {
    let mut tools = Command::new(repository().join(".ci/guest-tools"));
    let ran = tools.args(["bindings", "python", "c", "javascript"]);
    let ran = ran.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    PathBuf::from(String::from_utf8(ran.stdout).unwrap().trim())
}

/// Runs the `build.sh` of an example. `persea` and the tools are in PATH.
fn build(sandbox: &Sandbox, tools: &Path, example: &str) {
    let program = Path::new(env!("CARGO_BIN_EXE_persea")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let tools = tools.join("bin");
    let path = format!("{}:{}:{path}", program.display(), tools.display());
    let output = sandbox.project().join(format!("{example}.wasm"));
    let script = repository().join(format!("docs/examples/{example}/build.sh"));
    let ran = Command::new(script)
        .arg(&output)
        .env("PATH", path)
        .env("CC", "zig-cc")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{example}: {said}");
}

#[test]
fn plugins_in_three_languages_run_one_job() {
    let sandbox = Sandbox::new();
    let tools = tools();
    for example in ["plugins-python", "plugins-c", "plugins-javascript"] {
        build(&sandbox, &tools, example);
        lock(&sandbox, &format!("{example}.wasm"), &[]);
    }
    let commands = repository().join("docs/examples/languages/commands.checks");
    sandbox.file("commands.checks", std::fs::read(commands).unwrap());
    sandbox
        .run(&["run", "--max-parallel-tasks", "1", "commands.checks"])
        .code(1);
    let expected = "\
| Test | Result | Reason |
|---|---|---|
| greeting | PASS |  |
| farewell | FAIL | the output lacks the expected text |
| broken | FAIL | the command failed |
";
    assert_eq!(sandbox.job().read("results.md"), expected);
}

#[test]
fn component_of_four_roles_is_locked_at_once_and_runs_a_job() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["suite-component"]);
    let program = repository().join("docs/examples/suite-component/words.suite");
    let program = sandbox.file("words.suite", std::fs::read(program).unwrap());
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    sandbox
        .run(&["run", "--max-parallel-tasks", "1", "words.suite"])
        .code(0);
    assert_eq!(
        sandbox.job().read("results.suite"),
        "PASS ./words.suite:counts\nPASS ./words.suite:sorts\n"
    );
}
