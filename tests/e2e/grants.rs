//! What a plugin may do: what it asks for, and what a lock or the command line grants. Nothing else can be done.

use crate::support::plugins::{GREET, components, install, lock, read_lock, with_unlocked};
use crate::support::{Sandbox, assert_stderr};

#[test]
fn plugin_add_without_grants_fails_and_suggests_a_working_command() {
    let sandbox = with_unlocked(&["runner-greet"]);
    let ran = sandbox
        .run(&["plugin", "add", "plugins/runner-greet.wasm"])
        .code(4);
    let line = "persea plugin add plugins/runner-greet.wasm --grant process=sandbox,process";
    assert_stderr(
        &ran,
        &[
            "process: to start processes where its task runs",
            &format!("`{line}`"),
        ],
    );
    assert!(!sandbox.project().join("persea.lock").exists());
    let args: Vec<&str> = line.split(' ').skip(1).collect();
    sandbox.run(&args).code(0);
    let lock = read_lock(&sandbox);
    let entry = lock["plugin"][0].as_table().unwrap();
    assert_eq!(entry["name"].as_str(), Some("greet"));
    let granted = entry["grants"]["process"].as_array().unwrap().iter();
    assert_eq!(
        granted.filter_map(toml::Value::as_str).collect::<Vec<_>>(),
        ["process", "sandbox"]
    );
    // As it stands, with the default spawner.
    sandbox.file("r.json", GREET);
    sandbox.run(&["run", "r.json"]).code(0);
    // More than it asks for is not granted either.
    let more = ["plugin", "update", "greet", "--grant", "fetch=example.org"];
    let ran = sandbox.run(&more).code(4);
    assert_stderr(&ran, &["does not ask for fetch"]);
    let nothing = ["plugin", "update", "greet", "--grant", "root"];
    assert_stderr(
        &sandbox.run(&nothing).code(4),
        &["`root` cannot be granted"],
    );
}

#[test]
fn runner_starts_no_process_with_an_ungranted_spawner() {
    let sandbox = with_unlocked(&["runner-greet"]);
    sandbox.file(
        "r.json",
        format!("[{GREET}, {{\"kind\": \"noop\", \"uri\": \"n\"}}]"),
    );
    let add = [
        "plugin",
        "add",
        "plugins/runner-greet.wasm",
        "--grant",
        "process=sandbox",
    ];
    sandbox.run(&add).code(0);
    sandbox.run(&["run", "r.json"]).code(1);
    let job = sandbox.job();
    assert_eq!(job.status("World"), "ERROR");
    assert_eq!(
        job.reason("World"),
        "runner `greet` (plugins/runner-greet.wasm) may start processes with the spawner `sandbox` only, and this job's is `process`: use `--spawner sandbox`, or `persea plugin update runner.greet --grant process=sandbox,process`"
    );
    assert_eq!(job.status("n"), "PASS");
    sandbox
        .run(&["run", "--spawner", "sandbox", "r.json"])
        .code(0);
    assert_eq!(sandbox.job().artifact("World", "stdout"), "Hello, World!\n");
    let update = [
        "plugin",
        "update",
        "runner.greet",
        "--grant",
        "process=sandbox,process",
    ];
    let ran = sandbox.run(&update).code(0);
    assert!(
        ran.stdout
            .contains("granted  process=sandbox -> process=process,sandbox"),
        "{ran}"
    );
    sandbox.run(&["run", "r.json"]).code(0);
}

#[test]
fn unlocked_plugin_starts_processes_only_in_isolating_spawners() {
    let sandbox = with_unlocked(&["runner-greet", "resolver-list"]);
    let with = |more: &[&str]| {
        let mut args = vec!["run", "--plugin-dir", "plugins"];
        args.extend(more);
        args.push("r.json");
        sandbox.run(&args)
    };
    let ran = with(&[]).code(3);
    assert_stderr(
        &ran,
        &[
            "plugins/runner-greet.wasm asks to start processes where its task runs, and is not granted that: `persea plugin add plugins/runner-greet.wasm --grant process=sandbox,process`",
            "plugins/resolver-list.wasm asks to read files of the project, and is not granted that",
        ],
    );
    let ran = with(&["--grant", "process=process"]).code(4);
    assert_stderr(
        &ran,
        &["a plugin that no lock binds is only given spawners that isolate: sandbox"],
    );
    let grants = ["--grant", "process", "--grant", "workspace"];
    let ran = with(&grants).code(1);
    assert_eq!(ran.stderr, "");
    let reason = sandbox.job().reason("World");
    assert!(
        reason.contains(
            "`persea plugin add plugins/runner-greet.wasm --grant process=sandbox,process`"
        ),
        "{reason}"
    );
    let isolated = [grants.as_slice(), &["--spawner", "sandbox"]].concat();
    with(&isolated).code(0);
    assert_eq!(sandbox.job().status("World"), "PASS");
}

#[test]
fn inspect_and_add_show_the_spawners_of_produced_tests() {
    let sandbox = with_unlocked(&["resolver-list", "runner-greet"]);
    let path = "plugins/resolver-list.wasm";
    let ran = sandbox.run(&["plugin", "inspect", path]).code(0);
    let apart = "has tests run with the spawner `sandbox` only (`process` grants which)";
    assert!(
        ran.stdout.contains(&format!("its word  {apart}\n")),
        "{ran}"
    );
    let add = ["plugin", "add", path, "--grant", "workspace"];
    let ran = sandbox.run(&add).code(0);
    assert!(ran.stdout.contains(&format!("  {apart}\n")), "{ran}");
    let update = ["plugin", "update", "list", "--grant", "process=process"];
    sandbox.run(&update).code(0);
    let ran = sandbox.run(&["plugin", "inspect", path]).code(0);
    let here = "has tests run with the spawner `process` only";
    assert!(ran.stdout.contains(here), "{ran}");
    // A runner starts its own.
    let ran = sandbox
        .run(&["plugin", "inspect", "plugins/runner-greet.wasm"])
        .code(0);
    assert!(!ran.stdout.contains("its word"), "{ran}");
}

#[test]
fn update_with_new_requests_is_refused_until_granted() {
    let sandbox = with_unlocked(&["runner-greet"]);
    lock(&sandbox, "plugins/runner-greet.wasm", &[]);
    // To serve another kind is more.
    sandbox.file("plugins/runner-greet.wasm", &components()["runner-modest"]);
    let update = ["plugin", "update", "greet"];
    let ran = sandbox.run(&update).code(4);
    assert_stderr(
        &ran,
        &[
            "would serve more kinds than it did: wave",
            "`persea plugin update runner.greet --approve`",
        ],
    );
    assert!(
        ran.stdout.contains("kinds    greet -> greet, wave"),
        "the difference is shown: {ran}"
    );
    // What it does not ask for any more it has no more.
    let granted = |sandbox: &Sandbox| read_lock(sandbox)["plugin"][0].get("grants").is_some();
    assert!(granted(&sandbox));
    sandbox
        .run(&["plugin", "update", "greet", "--approve"])
        .code(0);
    assert!(!granted(&sandbox));
    sandbox.file("plugins/runner-greet.wasm", &components()["runner-greet"]);
    let ran = sandbox.run(&update).code(4);
    assert_stderr(
        &ran,
        &[
            "process: to start processes",
            "`persea plugin update runner.greet --grant process=sandbox,process`",
        ],
    );
    assert!(
        ran.stdout.contains("version  0.4.0 -> 0.3.0"),
        "the difference is shown: {ran}"
    );
    assert!(!granted(&sandbox));
    sandbox
        .run(&[
            "plugin",
            "update",
            "runner.greet",
            "--grant",
            "process=sandbox",
        ])
        .code(0);
    assert!(granted(&sandbox));
}

#[test]
fn runner_can_be_limited_to_programs() {
    let sandbox = with_unlocked(&["runner-greet"]);
    let grant = |programs: &str| {
        let grant = format!("programs={programs}");
        let args = [
            "plugin",
            "update",
            "greet",
            "--grant",
            "process=process",
            "--grant",
            &grant,
        ];
        sandbox.run(&args).code(0);
    };
    lock(&sandbox, "plugins/runner-greet.wasm", &[]);
    grant("/bin/true,git");
    sandbox.run(&["run", "r.json"]).code(1);
    let reason = sandbox.job().reason("World");
    assert!(
        reason.contains("may start /bin/true, git only, not \"echo\""),
        "{reason}"
    );
    grant("echo");
    sandbox.run(&["run", "r.json"]).code(0);
}

#[test]
fn processes_see_only_granted_variables() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["runner-greet"]);
    sandbox.file("r.json", GREET);
    sandbox.script("bin/echo", "/usr/bin/env");
    let path = format!("{}:/usr/bin:/bin", sandbox.project().join("bin").display());
    let seen = || {
        let mut command = sandbox.persea(&["run", "r.json"]);
        command
            .env("SECRET_TOKEN", "hunter2")
            .env("LC_ALL", "C")
            .env("PATH", &path);
        crate::support::finish(command.spawn().unwrap()).code(0);
        sandbox.job().artifact("World", "stdout")
    };
    let hidden = seen();
    assert!(!hidden.contains("SECRET_TOKEN"), "{hidden}");
    assert!(
        hidden.contains("LC_ALL=C") && hidden.contains("PATH="),
        "{hidden}"
    );
    let grant = [
        "plugin",
        "update",
        "greet",
        "--grant",
        "environment=SECRET_TOKEN",
    ];
    sandbox.run(&grant).code(0);
    assert!(seen().contains("SECRET_TOKEN=hunter2"));
}

#[test]
fn resolver_can_be_limited_to_a_directory() {
    let sandbox = Sandbox::new();
    install(&sandbox, "plugins", &["resolver-list"]);
    sandbox.file("in/good.list", "$ true\n");
    sandbox.file("out/good.list", "$ true\n");
    let part = ["plugin", "update", "list", "--grant", "workspace=in"];
    sandbox.run(&part).code(0);
    let list = |path: &str| sandbox.run(&["list", path]);
    assert_eq!(list("in/good.list").code(0).stdout, "exec-test true\n");
    // What the user names himself can be read; what is found in a directory is not named.
    assert_eq!(list("in").code(0).stdout, "exec-test true\n");
    assert_eq!(list("out/good.list").code(0).stdout, "exec-test true\n");
}

#[test]
fn invalid_grant_is_refused() {
    let sandbox = with_unlocked(&["runner-greet", "resolver-list"]);
    for (plugin, grant, words) in [
        (
            "runner-greet",
            "process=nonsense",
            "`process=nonsense`: there are the spawners `process` and `sandbox`",
        ),
        (
            "resolver-list",
            "workspace=../x",
            "`workspace=../x`: that is no directory of the project",
        ),
        (
            "runner-greet",
            "environment=A=B",
            "`environment=A=B`: that is no variable's name",
        ),
    ] {
        let path = format!("plugins/{plugin}.wasm");
        assert_stderr(
            &sandbox
                .run(&["plugin", "add", &path, "--grant", grant])
                .code(4),
            &[words],
        );
    }
    assert!(!sandbox.project().join("persea.lock").exists());
    // A lock that was written by hand.
    lock(&sandbox, "plugins/resolver-list.wasm", &[]);
    let path = sandbox.project().join("persea.lock");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("workspace = [\".\"]", "workspace = [\"../x\"]"),
    )
    .unwrap();
    assert_stderr(
        &sandbox.run(&["run", "/bin/true"]).code(4),
        &["persea.lock: plugin `list`: `workspace=../x`: that is no directory of the project"],
    );
}
