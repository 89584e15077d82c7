//! What a plugin may do: what it asks for, and what a lock or the command line grants. Nothing else is loaded, and nothing else can be done.

use crate::plugins::{built, lock, put};
use crate::support::{Ran, Sandbox};

const GREET: &str = r#"{"kind": "greet", "uri": "World"}"#;

/// A sandbox with these plugins in a directory, and nothing that locks them.
fn unlocked(names: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    for name in names {
        sandbox.file(&format!("plugins/{name}.wasm"), &built()[*name]);
    }
    sandbox.file("r.json", GREET);
    sandbox
}

#[track_caller]
fn says(ran: &Ran, parts: &[&str]) {
    for part in parts {
        assert!(ran.stderr.contains(part), "no {part:?} in\n{ran}");
    }
}

fn lock_of(sandbox: &Sandbox) -> toml::Table {
    let text = std::fs::read_to_string(sandbox.project().join("persea.lock")).unwrap();
    text.parse().unwrap()
}

#[test]
fn what_lies_in_a_checkout_is_listed_and_not_loaded_until_it_is_locked() {
    let sandbox = unlocked(&["runner-greet", "format-csv"]);
    sandbox.file("persea.toml", "plugins.dirs = [\"plugins\"]\n");
    let ran = sandbox.run(&["run", "r.json"]).code(3);
    says(
        &ran,
        &[
            "plugins/format-csv.wasm is a result-format that no lock binds, so it is not loaded: `persea plugin add plugins/format-csv.wasm` locks it",
            "plugins/runner-greet.wasm is a runner that no lock binds, so it is not loaded: `persea plugin add plugins/runner-greet.wasm --grant process=sandbox` locks it",
        ],
    );
    assert!(
        sandbox
            .job()
            .reason("World")
            .starts_with("no runner for kind `greet`")
    );
    let ran = sandbox.run(&["plugin", "verify"]).code(0);
    assert!(
        ran.stdout
            .contains("open  plugins/runner-greet.wasm is a runner"),
        "{ran}"
    );

    sandbox
        .run(&["plugin", "add", "plugins/format-csv.wasm"])
        .code(0);
    let add = [
        "plugin",
        "add",
        "plugins/runner-greet.wasm",
        "--grant",
        "process=process",
    ];
    sandbox.run(&add).code(0);
    let ran = sandbox.run(&["run", "r.json"]).code(0);
    assert_eq!(ran.stderr, "");
    assert_eq!(sandbox.job().status("World"), "PASS");
    assert!(sandbox.job().read("results.csv").contains("1-World"));
}

#[test]
fn what_is_locked_needs_no_directory() {
    let sandbox = unlocked(&["runner-greet"]);
    lock(&sandbox, "plugins/runner-greet.wasm", &[]);
    let ran = sandbox.run(&["run", "r.json"]).code(0);
    assert_eq!(ran.stderr, "");
    let ran = sandbox.run(&["plugin", "remove", "greet"]).code(0);
    assert_eq!(ran.stdout, "runner.greet is no longer in persea.lock\n");
    sandbox.run(&["run", "r.json"]).code(1);
}

#[test]
fn what_is_not_granted_cannot_be_added_and_the_line_that_is_told_works() {
    let sandbox = unlocked(&["runner-greet"]);
    let ran = sandbox
        .run(&["plugin", "add", "plugins/runner-greet.wasm"])
        .code(4);
    let line = "persea plugin add plugins/runner-greet.wasm --grant process=sandbox";
    says(
        &ran,
        &[
            "process: to start processes where its task runs",
            &format!("`{line}`"),
        ],
    );
    assert!(!sandbox.project().join("persea.lock").exists());
    let args: Vec<&str> = line.split(' ').skip(1).collect();
    sandbox.run(&args).code(0);
    let lock = lock_of(&sandbox);
    let entry = lock["plugin"][0].as_table().unwrap();
    assert_eq!(entry["name"].as_str(), Some("greet"));
    assert_eq!(entry["grants"]["process"][0].as_str(), Some("sandbox"));
    // More than it asks for is not granted either.
    let more = ["plugin", "update", "greet", "--grant", "fetch=example.org"];
    let ran = sandbox.run(&more).code(4);
    says(&ran, &["does not ask for fetch"]);
    let nothing = ["plugin", "update", "greet", "--grant", "root"];
    says(
        &sandbox.run(&nothing).code(4),
        &["`root` cannot be granted"],
    );
}

#[test]
fn a_runner_starts_nothing_where_it_is_not_granted_to() {
    let sandbox = unlocked(&["runner-greet"]);
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
fn for_one_run_a_plugin_without_a_lock_gets_what_is_granted_and_only_isolated_processes() {
    let sandbox = unlocked(&["runner-greet", "resolver-list"]);
    let with = |more: &[&str]| {
        let mut args = vec!["run", "--plugin-dir", "plugins"];
        args.extend(more);
        args.push("r.json");
        sandbox.run(&args)
    };
    let ran = with(&[]).code(3);
    says(
        &ran,
        &[
            "plugins/runner-greet.wasm asks to start processes where its task runs, and is not granted that: `persea plugin add plugins/runner-greet.wasm --grant process=sandbox`",
            "plugins/resolver-list.wasm asks to read files of the project, and is not granted that",
        ],
    );
    let ran = with(&["--grant", "process=process"]).code(4);
    says(
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
fn a_plugin_that_has_changed_is_not_loaded_until_its_change_was_seen() {
    let sandbox = unlocked(&["runner-greet"]);
    lock(&sandbox, "plugins/runner-greet.wasm", &[]);
    let digest = |sandbox: &Sandbox| {
        lock_of(sandbox)["plugin"][0]["sha256"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let before = digest(&sandbox);
    // A custom section changes the bytes and nothing else.
    let mut bytes = built()["runner-greet"].clone();
    bytes.extend(b"\0\x02\x01x");
    sandbox.file("plugins/runner-greet.wasm", &bytes);
    for args in [
        &["run", "r.json"][..],
        &["run", "--plugin-dir", "plugins", "r.json"],
    ] {
        let ran = sandbox.run(args).code(3);
        says(
            &ran,
            &[
                "plugins/runner-greet.wasm has changed since it was locked: `persea plugin update runner.greet` shows",
            ],
        );
    }
    let ran = sandbox.run(&["plugin", "verify"]).code(2);
    assert!(
        ran.stdout
            .contains("WRONG runner.greet 0.3.0: plugins/runner-greet.wasm has the sha256 "),
        "{ran}"
    );
    let ran = sandbox.run(&["plugin", "update", "greet"]).code(0);
    let after = digest(&sandbox);
    assert_ne!(before, after);
    assert!(
        ran.stdout
            .contains(&format!("sha256   {before} -> {after}")),
        "{ran}"
    );
    sandbox.run(&["run", "r.json"]).code(0);
    let ran = sandbox.run(&["plugin", "verify"]).code(0);
    assert!(
        ran.stdout
            .starts_with("ok    runner.greet 0.3.0 plugins/runner-greet.wasm"),
        "{ran}"
    );
    let ran = sandbox.run(&["plugin", "update", "greet"]).code(0);
    assert_eq!(ran.stdout, "runner.greet 0.3.0 is as it was locked\n");
}

#[test]
fn a_plugin_that_says_more_than_its_lock_has_is_not_loaded() {
    let sandbox = unlocked(&["runner-greet"]);
    lock(&sandbox, "plugins/runner-greet.wasm", &[]);
    let path = sandbox.project().join("persea.lock");
    let text = std::fs::read_to_string(&path).unwrap();
    for (there, instead, words) in [
        (
            "kinds = [\"greet\"]",
            "kinds = [\"wave\"]",
            "it names the kind `greet`",
        ),
        ("name = \"greet\"", "name = \"wave\"", "its name is `greet`"),
    ] {
        assert!(text.contains(there), "{text}");
        std::fs::write(&path, text.replace(there, instead)).unwrap();
        let ran = sandbox.run(&["run", "r.json"]).code(3);
        says(
            &ran,
            &[
                "plugins/runner-greet.wasm says of itself what its lock does not have",
                words,
            ],
        );
    }
}

#[test]
fn what_may_run_at_a_plugins_word_is_said_when_it_is_looked_at_and_locked() {
    let sandbox = unlocked(&["resolver-list", "runner-greet"]);
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
fn an_update_that_asks_for_more_is_refused_until_it_is_granted() {
    let sandbox = unlocked(&["runner-greet"]);
    lock(&sandbox, "plugins/runner-greet.wasm", &[]);
    // To serve another kind is more.
    sandbox.file("plugins/runner-greet.wasm", &built()["runner-modest"]);
    let update = ["plugin", "update", "greet"];
    let ran = sandbox.run(&update).code(4);
    says(
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
    let granted = |sandbox: &Sandbox| lock_of(sandbox)["plugin"][0].get("grants").is_some();
    assert!(granted(&sandbox));
    sandbox
        .run(&["plugin", "update", "greet", "--approve"])
        .code(0);
    assert!(!granted(&sandbox));
    sandbox.file("plugins/runner-greet.wasm", &built()["runner-greet"]);
    let ran = sandbox.run(&update).code(4);
    says(
        &ran,
        &[
            "process: to start processes",
            "`persea plugin update runner.greet --grant process=sandbox`",
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
fn a_runner_may_be_held_to_programs() {
    let sandbox = unlocked(&["runner-greet"]);
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
fn processes_see_the_variables_that_are_granted() {
    let sandbox = Sandbox::new();
    put(&sandbox, "plugins", &["runner-greet"]);
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
fn a_resolver_may_be_held_to_a_part_of_the_project() {
    let sandbox = Sandbox::new();
    put(&sandbox, "plugins", &["resolver-list"]);
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
fn a_limit_of_its_own_is_in_the_lock() {
    let sandbox = Sandbox::new();
    put(&sandbox, "plugins", &["hostile-runner"]);
    sandbox.file("r.json", r#"{"kind": "hog", "uri": "x"}"#);
    let limit = |limit: &str| {
        let update = ["plugin", "update", "runner.hostile", "--limit", limit];
        sandbox.run(&update)
    };
    let ran = limit("memory_mb=48").code(0);
    assert!(ran.stdout.contains("limits    -> memory_mb=48"), "{ran}");
    let reason = |options: &[&str]| {
        let fixed = ["run", "r.json"];
        sandbox.run(&[&fixed, options].concat()).code(1);
        sandbox.job().reason("x")
    };
    let reached =
        "runner `hostile` (plugins/hostile-runner.wasm) has reached its limit on memory, ";
    let way_out = "`persea plugin update runner.hostile --limit memory_mb=…` raises it";
    assert_eq!(reason(&[]), format!("{reached}48 MiB: {way_out}"));
    // What is farther away does nothing, so it is not what is told; what is told does.
    let farther = [
        "--set",
        "plugins.limits.memory_mb=64",
        "--set",
        "plugins.runner.limits.memory_mb=64",
    ];
    assert_eq!(reason(&farther), format!("{reached}48 MiB: {way_out}"));
    limit("memory_mb=56").code(0);
    assert_eq!(reason(&farther), format!("{reached}56 MiB: {way_out}"));
    let nearest = ["--set", "plugins.runner.hostile.limits.memory_mb=64"];
    assert_eq!(
        reason(&nearest),
        format!("{reached}64 MiB: `plugins.runner.hostile.limits.memory_mb` raises it")
    );
    says(
        &limit("memory=48").code(4),
        &["there is no limit `memory` of a plugin: there are `"],
    );
    says(
        &limit("stack_kb=48").code(4),
        &[
            "no plugin has a limit `stack_kb` of its own, because it is one for all: the setting `plugins.limits.stack_kb`",
        ],
    );
}

#[test]
fn what_is_one_for_all_plugins_is_refused_for_some() {
    let sandbox = Sandbox::new();
    for scope in ["runner", "runner.greet"] {
        let set = format!("plugins.{scope}.limits.stack_kb=1024");
        let ran = sandbox.run(&["run", "--set", &set, "/bin/true"]).code(4);
        let why = format!(
            "setting `plugins.{scope}.limits.stack_kb` from the command line: `stack_kb` is one for all plugins: set `plugins.limits.stack_kb`"
        );
        says(&ran, &[&why]);
    }
}

#[test]
fn how_large_a_component_may_be_is_set_as_other_limits_are() {
    let sandbox = unlocked(&["runner-greet", "format-csv"]);
    let list = |options: &[&str]| {
        let fixed = ["plugin", "list", "--plugin-dir", "plugins"];
        let grant = ["--grant", "process"];
        let ran = sandbox.run(&[&fixed, &grant[..], options].concat());
        let is_there = |name: &str| ran.stdout.contains(name);
        (is_there(" greet "), is_there(" csv "), ran)
    };
    assert!(matches!(list(&[]), (true, true, _)));
    // Those of one world only; and what is built in is no file.
    let (greet, csv, ran) = list(&["--set", "plugins.runner.limits.component_mb=0"]);
    assert!(!greet && csv, "{ran}");
    assert!(ran.stdout.contains(" exec-test "), "{ran}");
    says(
        &ran,
        &[
            "plugins/runner-greet.wasm has reached its limit on the component's size, 0 bytes: `plugins.runner.limits.component_mb` raises it",
        ],
    );
    let (greet, _, ran) = list(&["--set", "plugins.runner.greet.limits.component_mb=0"]);
    assert!(!greet, "{ran}");
    says(
        &ran,
        &["0 bytes: `plugins.runner.greet.limits.component_mb` raises it"],
    );
    // The nearest wins, also where it is the larger one.
    let world = [
        "--set",
        "plugins.limits.component_mb=0",
        "--set",
        "plugins.runner.limits.component_mb=4",
    ];
    let (greet, csv, ran) = list(&world);
    assert!(greet && !csv, "{ran}");

    let none = ["--set", "plugins.limits.component_mb=0"];
    let add = ["plugin", "add", "plugins/format-csv.wasm"];
    let ran = sandbox.run(&[&add[..], &none].concat()).code(4);
    says(
        &ran,
        &["its limit on the component's size, 0 bytes: `plugins.limits.component_mb` raises it"],
    );
    let limit = ["--limit", "component_mb=4"];
    sandbox.run(&[&add[..], &none, &limit].concat()).code(0);
    let (_, csv, ran) = list(&none);
    assert!(csv, "{ran}");
    sandbox
        .run(&[&["plugin", "verify"][..], &none].concat())
        .code(0);
    let update = ["plugin", "update", "csv", "--limit", "component_mb=0"];
    let ran = sandbox.run(&update).code(4);
    let way_out =
        "0 bytes: `persea plugin update result-format.csv --limit component_mb=…` raises it";
    says(&ran, &[way_out]);
    // A lock that was written by hand.
    let path = sandbox.project().join("persea.lock");
    let lock = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, lock.replace("component_mb = 4", "component_mb = 0")).unwrap();
    let (_, csv, ran) = list(&[]);
    assert!(!csv, "{ran}");
    says(&ran, &[way_out]);
    let ran = sandbox.run(&["plugin", "verify"]).code(2);
    assert!(ran.stdout.contains("WRONG result-format.csv"), "{ran}");
    assert!(ran.stdout.contains(way_out), "{ran}");
}

#[test]
fn limits_with_which_a_plugin_cannot_live_are_not_locked() {
    let sandbox = unlocked(&["format-csv"]);
    let add = ["plugin", "add", "plugins/format-csv.wasm"];
    let ran = sandbox
        .run(&[&add[..], &["--limit", "memory_mb=0"]].concat())
        .code(4);
    says(
        &ran,
        &[
            "plugins/format-csv.wasm has reached its limit on memory, 0 bytes: `--limit memory_mb=…` raises it",
        ],
    );
    assert!(!sandbox.project().join("persea.lock").exists());
    sandbox
        .run(&[&add[..], &["--limit", "memory_mb=8"]].concat())
        .code(0);
    let path = sandbox.project().join("persea.lock");
    let lock = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, lock.replace("memory_mb = 8", "memory_mb = 0")).unwrap();
    let ran = sandbox.run(&["plugin", "verify"]).code(2);
    let way_out = "`persea plugin update result-format.csv --limit memory_mb=…` raises it";
    assert!(ran.stdout.contains("WRONG result-format.csv"), "{ran}");
    assert!(ran.stdout.contains(way_out), "{ran}");
}

#[test]
fn the_time_of_one_plugin_is_set_as_other_limits_are() {
    let sandbox = Sandbox::new();
    put(&sandbox, "plugins", &["hostile-resolver"]);
    sandbox.file("loop.bad", "");
    let reason = |options: &[&str]| {
        let fixed = ["run", "loop.bad"];
        sandbox.run(&[&fixed, options].concat()).code(1);
        sandbox.job().reason("loop.bad")
    };
    let reached = "resolver `hostile` (plugins/hostile-resolver.wasm) has reached its limit on the time for one answer, ";
    let nearest = ["--set", "plugins.resolver.hostile.timeout=0.3"];
    assert_eq!(
        reason(&nearest),
        format!("{reached}0.3 s: `plugins.resolver.hostile.timeout` raises it")
    );
    let update = ["plugin", "update", "hostile", "--limit", "timeout=0.4"];
    sandbox.run(&update).code(0);
    assert_eq!(
        reason(&["--set", "plugins.resolver.timeout=0.2"]),
        format!(
            "{reached}0.4 s: `persea plugin update resolver.hostile --limit timeout=…` raises it"
        )
    );
}

#[test]
fn a_grant_that_grants_nothing_is_refused() {
    let sandbox = unlocked(&["runner-greet", "resolver-list"]);
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
        says(
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
    says(
        &sandbox.run(&["run", "/bin/true"]).code(4),
        &["persea.lock: plugin `list`: `workspace=../x`: that is no directory of the project"],
    );
}

#[test]
fn what_both_locks_have_is_taken_out_of_the_one_that_is_meant() {
    let sandbox = unlocked(&["format-csv"]);
    let add = ["plugin", "add", "plugins/format-csv.wasm"];
    let remove = ["plugin", "remove", "csv"];
    let own = "home/.config/persea/persea.lock";
    let in_locks = || {
        let has = |path: std::path::PathBuf| {
            std::fs::read_to_string(path)
                .unwrap()
                .contains("[[plugin]]")
        };
        (
            has(sandbox.project().join("persea.lock")),
            has(sandbox.root().join(own)),
        )
    };
    for (option, left) in [(&["--user"][..], (true, false)), (&[], (false, true))] {
        sandbox.run(&add).code(0);
        sandbox.run(&[&add[..], &["--user"]].concat()).code(0);
        assert_eq!(in_locks(), (true, true));
        sandbox.run(&[&remove[..], option].concat()).code(0);
        assert_eq!(in_locks(), left);
    }
}

#[test]
fn a_broken_lock_ends_the_command_with_its_line() {
    let sandbox = Sandbox::new();
    sandbox.file("persea.lock", "version = 1\n[[plugin]]\nname = 3\n");
    says(
        &sandbox.run(&["run", "/bin/true"]).code(4),
        &["persea.lock:3:8: "],
    );
    sandbox.file("persea.lock", "version = 7\n");
    says(
        &sandbox.run(&["list", "/bin/true"]).code(4),
        &[
            "persea.lock has version 7 of the format",
            "use a newer persea",
        ],
    );
}

#[test]
fn where_keys_are_set_a_plugin_must_be_signed_with_one() {
    let keys = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let other = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let sandbox = unlocked(&["format-csv"]);
    let bytes = &built()["format-csv"];
    let config = format!("plugins.keys = [\"{}\"]\n", keys.pk.to_base64());
    sandbox.file("persea.toml", config);
    let add = ["plugin", "add", "plugins/format-csv.wasm"];
    says(
        &sandbox.run(&add).code(4),
        &["plugins/format-csv.wasm is not signed", ".minisig"],
    );
    let sign = |keys: &minisign::KeyPair| {
        let signature = minisign::sign(Some(&keys.pk), &keys.sk, &bytes[..], None, None).unwrap();
        sandbox.file("plugins/format-csv.wasm.minisig", signature.into_string());
    };
    sign(&other);
    says(
        &sandbox.run(&add).code(4),
        &["is not signed with any of the keys"],
    );
    sign(&keys);
    sandbox.run(&add).code(0);
    // The lock has it from then on.
    std::fs::remove_file(sandbox.project().join("plugins/format-csv.wasm.minisig")).unwrap();
    let ran = sandbox.run(&["run", "/bin/true"]).code(0);
    assert_eq!(ran.stderr, "");
    assert!(sandbox.job().0.join("results.csv").exists());
    sandbox.run(&["plugin", "verify"]).code(0);
    // Another key does not do for what is locked either.
    sandbox.file(
        "persea.toml",
        format!("plugins.keys = [\"{}\"]\n", other.pk.to_base64()),
    );
    says(
        &sandbox.run(&["run", "/bin/true"]).code(2),
        &["is not signed with any of the keys"],
    );
    sandbox.run(&["plugin", "verify"]).code(2);
    sandbox.file("persea.toml", "plugins.keys = [\"nonsense\"]\n");
    says(
        &sandbox.run(&["run", "/bin/true"]).code(4),
        &["`nonsense` in the setting `plugins.keys` is no minisign public key"],
    );
}

#[test]
fn a_project_cannot_replace_the_keys_of_its_user() {
    let key = || {
        let keys = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        format!("plugins.keys = [\"{}\"]\n", keys.pk.to_base64())
    };
    let sandbox = unlocked(&["format-csv"]);
    sandbox
        .run(&["plugin", "add", "plugins/format-csv.wasm"])
        .code(0);
    let config = sandbox.project().join("../home/.config/persea/config.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&config, key()).unwrap();
    for of_project in ["plugins.keys = []\n".to_owned(), key()] {
        sandbox.file("persea.toml", of_project);
        let refused = sandbox.run(&["run", "/bin/true"]).code(2);
        says(&refused, &["plugins/format-csv.wasm is not signed"]);
    }
    // Where the user has none, those of the project are asked for.
    std::fs::remove_file(&config).unwrap();
    let refused = sandbox.run(&["run", "/bin/true"]).code(2);
    says(&refused, &["plugins/format-csv.wasm is not signed"]);
    sandbox.file("persea.toml", "");
    sandbox.run(&["run", "/bin/true"]).code(0);
}

#[test]
fn a_plugin_that_dies_again_and_again_is_not_asked_any_more() {
    let sandbox = Sandbox::new();
    put(&sandbox, "plugins", &["hostile-runner"]);
    let one = |number: usize| format!(r#"{{"kind": "panic", "uri": "x{number}"}}"#);
    let all: Vec<String> = (0..5).map(one).collect();
    sandbox.file(
        "r.json",
        format!(
            "[{}, {{\"kind\": \"noop\", \"uri\": \"n\"}}]",
            all.join(",")
        ),
    );
    let args = [
        "run",
        "--max-parallel-tasks",
        "1",
        "--set",
        "plugins.limits.deaths=2",
        "r.json",
    ];
    let ran = sandbox.run(&args).code(1);
    let said = "runner `hostile` (plugins/hostile-runner.wasm) is not asked again in this job: it has reached its limit on deaths in one job, 2: `plugins.limits.deaths` raises it, or `plugins.runner.hostile.limits.deaths` alone";
    assert_eq!(ran.stderr.matches(said).count(), 1, "{ran}");
    let job = sandbox.job();
    for name in ["x0", "x1"] {
        assert!(
            job.reason(name).contains("panicked at"),
            "{}",
            job.reason(name)
        );
    }
    for name in ["x2", "x3", "x4"] {
        assert_eq!(job.reason(name), said);
    }
    assert_eq!(job.status("n"), "PASS");
}

#[test]
fn a_resolver_that_dies_again_and_again_is_not_asked_any_more() {
    let sandbox = Sandbox::new();
    put(&sandbox, "plugins", &["hostile-resolver", "resolver-list"]);
    let names: Vec<String> = (0..5).map(|number| format!("{number}/trap.bad")).collect();
    for name in &names {
        sandbox.file(name, "");
    }
    sandbox.file("good.list", "$ true\n");
    let mut args = vec!["run", "--set", "plugins.limits.deaths=3", "good.list"];
    args.extend(names.iter().map(String::as_str));
    let ran = sandbox.run(&args).code(1);
    let said = "resolver `hostile` (plugins/hostile-resolver.wasm) is not asked again in this job: it has reached its limit on deaths in one job, 3: `plugins.limits.deaths` raises it, or `plugins.resolver.hostile.limits.deaths` alone";
    assert_eq!(ran.stderr.matches(said).count(), 1, "{ran}");
    let job = sandbox.job();
    let reasons: Vec<String> = names.iter().map(|name| job.reason(name)).collect();
    let panics = reasons
        .iter()
        .filter(|reason| reason.contains("panicked at"));
    assert_eq!(panics.count(), 3, "{reasons:?}");
    let refusals = reasons.iter().filter(|reason| reason.starts_with(said));
    assert_eq!(refusals.count(), 2, "{reasons:?}");
    assert_eq!(job.status("true"), "PASS");
}
