//! Owns limits of plugins: global, for a world, for one plugin, in its lock; the nearest applies.
//! And the limit on crashes in one job.

use serde_json::{Value, json};

use crate::support::plugins::{install, with_unlocked};
use crate::support::recipes::noop;
use crate::support::{Fixture, assert_stderr};

#[test]
fn lock_holds_the_limits_of_a_plugin() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-runner"]);
    fixture.file("r.json", r#"{"kind": "hog", "uri": "x"}"#);
    let limit = |limit: &str| {
        let update = ["plugin", "update", "runner.hostile", "--limit", limit];
        fixture.run(&update)
    };
    let ran = limit("memory_mb=48").code(0);
    assert!(ran.stdout.contains("limits    -> memory_mb=48"), "{ran}");
    let reason = |options: &[&str]| {
        let fixed = ["run", "r.json"];
        fixture.run(&[&fixed, options].concat()).code(1);
        fixture.job().reason("x")
    };
    let reached =
        "runner `hostile` (plugins/hostile-runner.wasm) has reached its limit on memory, ";
    let help = "`persea plugin update runner.hostile --limit memory_mb=…` raises it";
    assert_eq!(reason(&[]), format!("{reached}48 MiB: {help}"));
    // Limits of the world and of all plugins have no effect beside the lock's, so the help names
    // the lock's.
    let farther = [
        "--set",
        "plugins.limits.memory_mb=64",
        "--set",
        "plugins.runner.limits.memory_mb=64",
    ];
    assert_eq!(reason(&farther), format!("{reached}48 MiB: {help}"));
    limit("memory_mb=56").code(0);
    assert_eq!(reason(&farther), format!("{reached}56 MiB: {help}"));
    let nearest = ["--set", "plugins.runner.hostile.limits.memory_mb=64"];
    assert_eq!(
        reason(&nearest),
        format!("{reached}64 MiB: `plugins.runner.hostile.limits.memory_mb` raises it")
    );
    assert_stderr(
        &limit("memory=48").code(4),
        &["there is no limit `memory` of a plugin: there are `"],
    );
    assert_stderr(
        &limit("stack_kb=48").code(4),
        &[
            "no plugin has a limit `stack_kb` of its own, because all plugins share one: the \
             setting `plugins.limits.stack_kb`",
        ],
    );
}

#[test]
fn global_limit_is_refused_for_a_single_plugin() {
    let fixture = Fixture::new();
    for scope in ["runner", "runner.greet"] {
        let set = format!("plugins.{scope}.limits.stack_kb=1024");
        let ran = fixture.run(&["run", "--set", &set, "/bin/true"]).code(4);
        let error = format!(
            "setting `plugins.{scope}.limits.stack_kb` from the command line: all plugins share \
             the limit `stack_kb`: set `plugins.limits.stack_kb`"
        );
        assert_stderr(&ran, &[&error]);
    }
}

#[test]
fn component_size_limit_is_set_at_each_level() {
    let fixture = with_unlocked(&["runner-greet", "format-csv"]);
    let list = |options: &[&str]| {
        let fixed = ["plugin", "list", "--plugin-dir", "plugins"];
        let grant = ["--grant", "process"];
        let ran = fixture.run(&[&fixed, &grant[..], options].concat());
        let is_listed = |name: &str| ran.stdout.contains(name);
        (is_listed(" greet "), is_listed(" csv "), ran)
    };
    assert!(matches!(list(&[]), (true, true, _)));
    // The limit of a world leaves other worlds alone, and built-in plugins, which are no files.
    let (greet, csv, ran) = list(&["--set", "plugins.runner.limits.component_mb=0"]);
    assert!(!greet && csv, "{ran}");
    assert!(ran.stdout.contains(" exec-test "), "{ran}");
    assert_stderr(
        &ran,
        &[
            "plugins/runner-greet.wasm has reached its limit on the component's size, 0 bytes: \
             `plugins.runner.limits.component_mb` raises it",
        ],
    );
    let (greet, _, ran) = list(&["--set", "plugins.runner.greet.limits.component_mb=0"]);
    assert!(!greet, "{ran}");
    assert_stderr(
        &ran,
        &["0 bytes: `plugins.runner.greet.limits.component_mb` raises it"],
    );
    // The nearest limit applies, also where it is the larger one.
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
    let ran = fixture.run(&[&add[..], &none].concat()).code(4);
    assert_stderr(
        &ran,
        &["its limit on the component's size, 0 bytes: `plugins.limits.component_mb` raises it"],
    );
    let limit = ["--limit", "component_mb=4"];
    fixture.run(&[&add[..], &none, &limit].concat()).code(0);
    let (_, csv, ran) = list(&none);
    assert!(csv, "{ran}");
    fixture
        .run(&[&["plugin", "verify"][..], &none].concat())
        .code(0);
    let update = ["plugin", "update", "csv", "--limit", "component_mb=0"];
    let ran = fixture.run(&update).code(4);
    let help = "0 bytes: `persea plugin update result-format.csv --limit component_mb=…` raises it";
    assert_stderr(&ran, &[help]);
    // A limit that somebody wrote into the lock by hand.
    let path = fixture.project().join("persea.lock");
    let lock = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, lock.replace("component_mb = 4", "component_mb = 0")).unwrap();
    let (_, csv, ran) = list(&[]);
    assert!(!csv, "{ran}");
    assert_stderr(&ran, &[help]);
    let ran = fixture.run(&["plugin", "verify"]).code(2);
    assert!(ran.stdout.contains("WRONG result-format.csv"), "{ran}");
    assert!(ran.stdout.contains(help), "{ran}");
}

#[test]
fn limit_too_small_to_load_a_plugin_is_not_locked() {
    let fixture = with_unlocked(&["format-csv"]);
    let add = ["plugin", "add", "plugins/format-csv.wasm"];
    let ran = fixture
        .run(&[&add[..], &["--limit", "memory_mb=0"]].concat())
        .code(4);
    assert_stderr(
        &ran,
        &[
            "plugins/format-csv.wasm has reached its limit on memory, 0 bytes: `--limit \
             memory_mb=…` raises it",
        ],
    );
    assert!(!fixture.project().join("persea.lock").exists());
    fixture
        .run(&[&add[..], &["--limit", "memory_mb=8"]].concat())
        .code(0);
    let path = fixture.project().join("persea.lock");
    let lock = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, lock.replace("memory_mb = 8", "memory_mb = 0")).unwrap();
    let ran = fixture.run(&["plugin", "verify"]).code(2);
    let help = "`persea plugin update result-format.csv --limit memory_mb=…` raises it";
    assert!(ran.stdout.contains("WRONG result-format.csv"), "{ran}");
    assert!(ran.stdout.contains(help), "{ran}");
}

#[test]
fn answer_timeout_is_set_at_each_level() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-resolver"]);
    fixture.file("loop.bad", "");
    let reason = |options: &[&str]| {
        let fixed = ["run", "loop.bad"];
        fixture.run(&[&fixed, options].concat()).code(1);
        fixture.job().reason("loop.bad")
    };
    let reached = "resolver `hostile` (plugins/hostile-resolver.wasm) has reached its limit on \
                   the time for one answer, ";
    let nearest = ["--set", "plugins.resolver.hostile.timeout=0.3"];
    assert_eq!(
        reason(&nearest),
        format!("{reached}0.3 s: `plugins.resolver.hostile.timeout` raises it")
    );
    let update = ["plugin", "update", "hostile", "--limit", "timeout=0.4"];
    fixture.run(&update).code(0);
    assert_eq!(
        reason(&["--set", "plugins.resolver.timeout=0.2"]),
        format!(
            "{reached}0.4 s: `persea plugin update resolver.hostile --limit timeout=…` raises it"
        )
    );
}

#[test]
fn runner_over_its_crash_limit_is_not_called_again() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-runner"]);
    let panics = |number| json!({"kind": "panic", "uri": format!("x{number}")});
    let mut tasks: Vec<Value> = (0..5).map(panics).collect();
    tasks.push(noop("n"));
    fixture.recipe("r.json", &tasks);
    let args = [
        "run",
        "--max-parallel-tasks",
        "1",
        "--set",
        "plugins.limits.deaths=2",
        "r.json",
    ];
    let ran = fixture.run(&args).code(1);
    let disabled = "runner `hostile` (plugins/hostile-runner.wasm) is not asked again in this job: \
                    it has reached its limit on deaths in one job, 2: `plugins.limits.deaths` \
                    raises it, or `plugins.runner.hostile.limits.deaths` alone";
    assert_eq!(ran.stderr.matches(disabled).count(), 1, "{ran}");
    let job = fixture.job();
    for name in ["x0", "x1"] {
        assert!(
            job.reason(name).contains("panicked at"),
            "{}",
            job.reason(name)
        );
    }
    for name in ["x2", "x3", "x4"] {
        assert_eq!(job.reason(name), disabled);
    }
    assert_eq!(job.status("n"), "PASS");
}

#[test]
fn resolver_over_its_crash_limit_is_not_called_again() {
    let fixture = Fixture::new();
    install(&fixture, "plugins", &["hostile-resolver", "resolver-list"]);
    let names: Vec<String> = (0..5).map(|number| format!("{number}/trap.bad")).collect();
    for name in &names {
        fixture.file(name, "");
    }
    fixture.file("good.list", "$ true\n");
    let mut args = vec!["run", "--set", "plugins.limits.deaths=3", "good.list"];
    args.extend(names.iter().map(String::as_str));
    let ran = fixture.run(&args).code(1);
    let disabled = "resolver `hostile` (plugins/hostile-resolver.wasm) is not asked again in this \
                    job: it has reached its limit on deaths in one job, 3: `plugins.limits.deaths` \
                    raises it, or `plugins.resolver.hostile.limits.deaths` alone";
    assert_eq!(ran.stderr.matches(disabled).count(), 1, "{ran}");
    let job = fixture.job();
    let reasons: Vec<String> = names.iter().map(|name| job.reason(name)).collect();
    let panics = reasons
        .iter()
        .filter(|reason| reason.contains("panicked at"));
    assert_eq!(panics.count(), 3, "{reasons:?}");
    let refusals = reasons.iter().filter(|reason| reason.starts_with(disabled));
    assert_eq!(refusals.count(), 2, "{reasons:?}");
    assert_eq!(job.status("true"), "PASS");
}
