//! Owns grants: a plugin has the powers that a lock or the command line grants it, of those that it
//! asks for, and no others.

use persea_model::SpawnerKind;

use crate::support::plugins::{GREET, components, install, lock, read_lock, with_unlocked};
use crate::support::{Fixture, assert_stderr};

#[test]
fn plugin_add_without_grants_fails_and_suggests_a_working_command() {
    let fixture = with_unlocked(&["runner-greet"]);
    let ran = fixture
        .run(&["plugin", "add", "plugins/runner-greet.wasm"])
        .code(4);
    let line =
        "persea plugin add plugins/runner-greet.wasm --grant process=sandbox,container,process";
    assert_stderr(
        &ran,
        &[
            "process: to start processes where its task runs",
            &format!("`{line}`"),
        ],
    );
    assert!(!fixture.project().join("persea.lock").exists());
    let args: Vec<&str> = line.split(' ').skip(1).collect();
    fixture.run(&args).code(0);
    let lock = read_lock(&fixture);
    let entry = lock["plugin"][0].as_table().unwrap();
    assert_eq!(entry["name"].as_str(), Some("greet"));
    let granted = entry["grants"]["process"].as_array().unwrap().iter();
    assert_eq!(
        granted.filter_map(toml::Value::as_str).collect::<Vec<_>>(),
        ["container", "process", "sandbox"]
    );
    // The suggested grants suffice for the default spawner.
    fixture.file("r.json", GREET);
    fixture.run(&["run", "r.json"]).code(0);
    // A power that the plugin does not ask for cannot be granted.
    let unrequested = ["plugin", "update", "greet", "--grant", "fetch=example.org"];
    let ran = fixture.run(&unrequested).code(4);
    assert_stderr(&ran, &["does not ask for fetch: leave out the grant"]);
    let unknown = ["plugin", "update", "greet", "--grant", "root"];
    assert_stderr(
        &fixture.run(&unknown).code(4),
        &["`root` cannot be granted"],
    );
}

#[test]
fn runner_starts_no_process_with_an_ungranted_spawner() {
    let fixture = with_unlocked(&["runner-greet"]);
    fixture.file(
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
    fixture.run(&add).code(0);
    fixture.run(&["run", "r.json"]).code(1);
    let job = fixture.job();
    assert_eq!(job.status("World"), "ERROR");
    assert_eq!(
        job.reason("World"),
        "runner `greet` (plugins/runner-greet.wasm) may start processes with the spawner \
         `sandbox` only, and the test's is `process`: use `--spawner sandbox`, or `persea plugin \
         update runner.greet --grant process=sandbox,process`"
    );
    assert_eq!(job.status("n"), "PASS");
    fixture
        .run(&["run", "--spawner", "sandbox", "r.json"])
        .code(0);
    assert_eq!(fixture.job().artifact("World", "stdout"), "Hello, World!\n");
    let update = [
        "plugin",
        "update",
        "runner.greet",
        "--grant",
        "process=sandbox,process",
    ];
    let ran = fixture.run(&update).code(0);
    assert!(
        ran.stdout
            .contains("granted  process=sandbox -> process=process,sandbox"),
        "{ran}"
    );
    fixture.run(&["run", "r.json"]).code(0);
}

#[test]
fn unlocked_plugin_starts_processes_only_in_isolating_spawners() {
    let fixture = with_unlocked(&["runner-greet", "resolver-list"]);
    let run = |options: &[&str]| {
        let args = ["run", "--plugin-dir", "plugins"];
        fixture.run(&[&args, options, &["r.json"]].concat())
    };
    let ran = run(&[]).code(3);
    assert_stderr(
        &ran,
        &[
            "plugins/runner-greet.wasm asks to start processes where its task runs, and is not \
             granted that: `persea plugin add plugins/runner-greet.wasm --grant \
             process=sandbox,container,process`",
            "plugins/resolver-list.wasm asks to read files of the project, and is not granted that",
        ],
    );
    let ran = run(&["--grant", "process=process"]).code(4);
    assert_stderr(
        &ran,
        &[
            "`--grant process=process`: a plugin that no lock binds may only use spawners \
             that isolate: sandbox",
            "help: lock the plugin",
        ],
    );
    let grants = ["--grant", "process", "--grant", "workspace"];
    let ran = run(&grants).code(1);
    assert_eq!(ran.stderr, "");
    let reason = fixture.job().reason("World");
    assert!(
        reason.contains(
            "`persea plugin add plugins/runner-greet.wasm --grant process=sandbox,process`"
        ),
        "{reason}"
    );
    let isolated = [grants.as_slice(), &["--spawner", "sandbox"]].concat();
    run(&isolated).code(0);
    assert_eq!(fixture.job().status("World"), "PASS");
}

#[test]
fn inspect_and_add_show_the_spawners_of_produced_tests() {
    let fixture = with_unlocked(&["resolver-list", "runner-greet"]);
    let path = "plugins/resolver-list.wasm";
    let ran = fixture.run(&["plugin", "inspect", path]).code(0);
    let isolated = "tests that come from it run only with the spawner `sandbox` or \
                    `container` (the grant `process` names them)";
    assert!(
        ran.stdout.contains(&format!("spawners  {isolated}\n")),
        "{ran}"
    );
    let add = ["plugin", "add", path, "--grant", "workspace"];
    let ran = fixture.run(&add).code(0);
    assert!(ran.stdout.contains(&format!("  {isolated}\n")), "{ran}");
    let update = ["plugin", "update", "list", "--grant", "process=process"];
    fixture.run(&update).code(0);
    let ran = fixture.run(&["plugin", "inspect", path]).code(0);
    let granted = "tests that come from it run only with the spawner `process` (";
    assert!(ran.stdout.contains(granted), "{ran}");
    // A runner produces no tests, so the row is missing.
    let ran = fixture
        .run(&["plugin", "inspect", "plugins/runner-greet.wasm"])
        .code(0);
    assert!(!ran.stdout.contains("spawners"), "{ran}");
}

#[test]
fn update_with_new_requests_is_refused_until_granted() {
    let fixture = with_unlocked(&["runner-greet"]);
    lock(&fixture, "plugins/runner-greet.wasm", &[]);
    // A further kind is a new request.
    fixture.file("plugins/runner-greet.wasm", &components()["runner-modest"]);
    let update = ["plugin", "update", "greet"];
    let ran = fixture.run(&update).code(4);
    assert_stderr(
        &ran,
        &[
            "would be more than the locked version: a runner for `wave`",
            "`persea plugin update runner.greet --approve`",
        ],
    );
    assert!(
        ran.stdout
            .contains("roles    runner (greet) -> runner (greet, wave)"),
        "the difference is shown: {ran}"
    );
    // An update drops grants of powers that the new version no longer asks for.
    let has_grants = |fixture: &Fixture| read_lock(fixture)["plugin"][0].get("grants").is_some();
    assert!(has_grants(&fixture));
    fixture
        .run(&["plugin", "update", "greet", "--approve"])
        .code(0);
    assert!(!has_grants(&fixture));
    fixture.file("plugins/runner-greet.wasm", &components()["runner-greet"]);
    let ran = fixture.run(&update).code(4);
    assert_stderr(
        &ran,
        &[
            "process: to start processes",
            "`persea plugin update runner.greet --grant process=sandbox,container,process`",
        ],
    );
    assert!(
        ran.stdout.contains("version  0.4.0 -> 0.3.0"),
        "the difference is shown: {ran}"
    );
    assert!(!has_grants(&fixture));
    fixture
        .run(&[
            "plugin",
            "update",
            "runner.greet",
            "--grant",
            "process=sandbox",
        ])
        .code(0);
    assert!(has_grants(&fixture));
}

#[test]
fn runner_can_be_limited_to_programs() {
    let fixture = with_unlocked(&["runner-greet"]);
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
        fixture.run(&args).code(0);
    };
    lock(&fixture, "plugins/runner-greet.wasm", &[]);
    grant("/bin/true,git");
    fixture.run(&["run", "r.json"]).code(1);
    let reason = fixture.job().reason("World");
    assert!(
        reason.contains("may start /bin/true, git only, not \"echo\""),
        "{reason}"
    );
    grant("echo");
    fixture.run(&["run", "r.json"]).code(0);
}

#[test]
fn processes_see_only_granted_variables() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["runner-greet"]);
    fixture.file("r.json", GREET);
    fixture.script("bin/echo", "/usr/bin/env");
    let path = format!("{}:/usr/bin:/bin", fixture.project().join("bin").display());
    let environment = || {
        let variables = [
            ("SECRET_TOKEN", "hunter2"),
            ("LC_ALL", "C"),
            ("PATH", &path),
        ];
        let ran = fixture.run_with(&["run", "r.json"], |command| command.envs(variables));
        ran.code(0);
        fixture.job().artifact("World", "stdout")
    };
    let by_default = environment();
    assert!(!by_default.contains("SECRET_TOKEN"), "{by_default}");
    assert!(
        by_default.contains("LC_ALL=C") && by_default.contains("PATH="),
        "{by_default}"
    );
    let grant = [
        "plugin",
        "update",
        "greet",
        "--grant",
        "environment=SECRET_TOKEN",
    ];
    fixture.run(&grant).code(0);
    assert!(environment().contains("SECRET_TOKEN=hunter2"));
}

#[test]
fn resolver_can_be_limited_to_a_directory() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["resolver-list"]);
    fixture.file("in/good.list", "$ true\n");
    fixture.file("out/good.list", "$ true\n");
    let part = ["plugin", "update", "list", "--grant", "workspace=in"];
    fixture.run(&part).code(0);
    let list = |path: &str| fixture.run(&["list", path]);
    assert_eq!(list("in/good.list").code(0).stdout, "exec-test true\n");
    // A reference on the command line grants reading that file, here outside of `in`.
    assert_eq!(list("in").code(0).stdout, "exec-test true\n");
    assert_eq!(list("out/good.list").code(0).stdout, "exec-test true\n");
}

#[test]
fn invalid_grant_is_refused() {
    let fixture = with_unlocked(&["runner-greet", "resolver-list"]);
    for (plugin, grant, words) in [
        (
            "runner-greet",
            "process=nonsense",
            &*format!(
                "`process=nonsense`: expected `*`, {}\n",
                SpawnerKind::EXPECTED
            ),
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
            &fixture
                .run(&["plugin", "add", &path, "--grant", grant])
                .code(4),
            &[words],
        );
    }
    assert!(!fixture.project().join("persea.lock").exists());
    // A lock is checked as the command line is.
    lock(&fixture, "plugins/resolver-list.wasm", &[]);
    let path = fixture.project().join("persea.lock");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("workspace = [\".\"]", "workspace = [\"../x\"]"),
    )
    .unwrap();
    assert_stderr(
        &fixture.run(&["run", "/bin/true"]).code(4),
        &["persea.lock: plugin `list`: `workspace=../x`: that is no directory of the project"],
    );
}
