//! Owns the limits of tests: memory, processes, processors and what is written, in each spawner;
//! the reasons of tests that reach one; which limit wins; and what is left afterwards.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::recipes::{exec, python, shell, with};
use crate::support::users::User;
use crate::support::{Fixture, Ran, assert_stderr, finish, signal, skip, wait_until};

/// A command that needs 200 MiB of memory for a moment.
const LARGE: &str = "dd if=/dev/zero of=/dev/null bs=200M count=1";

const MIB: u64 = 1 << 20;

/// A project in which tests run by this spawner.
fn project(spawner: &str) -> Fixture {
    let project = Fixture::new();
    match spawner {
        "container" => Engine::shared().configure(&project),
        other => drop(project.user_config(&format!("run.spawner = \"{other}\"\n"))),
    }
    project
}

/// The spawners whose tests can be limited.
const SPAWNERS: [&str; 3] = ["process", "sandbox", "container"];

fn limited(test: Value, limits: &Value) -> Value {
    with(test, "limits", limits.clone())
}

/// Runs tests one after the other, in one environment.
fn run(project: &Fixture, tests: &[Value], more: &[&str]) -> Ran {
    project.recipe("job.json", tests);
    let args = [&["run", "--max-parallel-tasks", "1"], more, &["job.json"]].concat();
    project.run(&args)
}

fn number(project: &Fixture, name: &str, key: &str) -> u64 {
    let events = project.job().events_of("task-finished");
    let found = events.iter().find(|it| it["data"]["name"] == name).unwrap();
    let number = found["data"][key].as_u64();
    number.unwrap_or_else(|| panic!("no {key}: {found}"))
}

#[test]
fn test_over_its_memory_is_an_error_with_the_limit_in_every_spawner() {
    let _engine = Engine::shared();
    for spawner in SPAWNERS {
        let project = project(spawner);
        let limits = json!({"memory": "64 MiB"});
        let below = format!("sh -c '{LARGE}; exit 3'; exit 4");
        let tests = [
            limited(shell("itself", &format!("exec {LARGE}")), &limits),
            limited(shell("grandchild", &below), &limits),
            limited(shell("in-spite", &format!("{LARGE}; true")), &limits),
            limited(shell("small", "exit 0"), &limits),
            shell("unlimited", LARGE),
            limited(shell("fails", "exit 1"), &limits),
        ];
        let ran = run(&project, &tests, &[]);
        assert_eq!(ran.stderr, "", "{spawner}: {ran}");
        let job = project.job();
        let words = "out of memory (limit 64 MiB)";
        for name in ["itself", "grandchild"] {
            assert_eq!(job.status(name), "ERROR", "{spawner} {name}");
            assert_eq!(job.reason(name), words, "{spawner} {name}");
            let peak = number(&project, name, "peak-memory");
            assert!((32 * MIB..=64 * MIB).contains(&peak), "{spawner}: {peak}");
        }
        assert_eq!(job.status("in-spite"), "WARN");
        let reason = job.reason("in-spite");
        assert_eq!(reason, format!("passed, but reached a limit: {words}"));
        // None of them inherits the peak, or the end, of one before.
        assert_eq!(job.status("small"), "PASS", "{spawner}");
        let peak = number(&project, "small", "peak-memory");
        assert!(peak < 16 * MIB, "{spawner}: {peak}");
        assert_eq!(job.test("small")["peak_memory_of"], "tree");
        assert_eq!(job.status("unlimited"), "PASS", "{spawner}");
        assert_eq!(job.test("unlimited")["peak_memory_of"], "largest-process");
        assert_eq!(job.status("fails"), "FAIL", "{spawner}");
        project.assert_no_strays();
    }
}

#[test]
fn test_over_its_processes_is_an_error_and_leaves_nothing_behind() {
    let _engine = Engine::shared();
    for spawner in SPAWNERS {
        let project = project(spawner);
        // Sixty at most, so that a missing limit does no harm.
        let bomb = "for i in $(seq 60); do sleep 600 & done; wait";
        let fits = "for i in $(seq 15); do sleep 0.1 & done; wait";
        let limits = json!({"processes": 20});
        let tests = [
            limited(shell("bomb", bomb), &limits),
            limited(shell("fits", fits), &limits),
        ];
        run(&project, &tests, &[]);
        let job = project.job();
        job.assert_error("bomb", &["too many processes (limit 20)"]);
        assert_eq!(job.status("fits"), "PASS", "{spawner}");
        let left = number(&project, "bomb", "left-behind");
        assert!((1..=20).contains(&left), "{spawner}: {left}");
        project.assert_no_strays();
    }
}

#[test]
fn tests_get_no_more_than_their_part_of_the_processors() {
    let _engine = Engine::shared();
    for spawner in SPAWNERS {
        let project = project(spawner);
        // Two loops at once, so that one processor alone would be more than the part.
        let burn = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        let both = format!("({burn}) & {burn}; wait");
        let tests = [limited(shell("burns", &both), &json!({"cpus": 0.25}))];
        run(&project, &tests, &[]).code(0);
        let used = number(&project, "burns", "cpu-user") + number(&project, "burns", "cpu-system");
        let elapsed = number(&project, "burns", "elapsed");
        // A quarter, and what rounding and the first period add.
        assert!(used < elapsed * 2 / 5, "{spawner}: {used} of {elapsed}");
        assert!(used > 10_000_000, "{spawner}: {used}");
    }
}

#[test]
fn test_that_writes_too_much_is_an_error_with_the_limit() {
    let _engine = Engine::shared();
    for spawner in SPAWNERS {
        let project = project(spawner);
        let limits = json!({"disk": "1 MiB"});
        let file = "head -c 20000000 /dev/zero >$AVOCADO_TEST_WORKDIR/large";
        let many = "for i in $(seq 40); do head -c 100000 /dev/zero \
                    >$AVOCADO_TEST_OUTPUTDIR/part-$i; done; sleep 600";
        let prints = "head -c 20000000 /dev/zero; exit 0";
        let fits = "head -c 500000 /dev/zero >$AVOCADO_TEST_OUTPUTDIR/fits";
        let tests = [
            limited(shell("one-file", file), &limits),
            limited(shell("many-files", many), &limits),
            limited(shell("prints", prints), &limits),
            limited(shell("fits", fits), &limits),
        ];
        run(&project, &tests, &[]);
        let job = project.job();
        let words = "too much written (limit 1 MiB)";
        job.assert_error("one-file", &[words]);
        job.assert_error("many-files", &[words]);
        assert_eq!(job.status("prints"), "WARN", "{spawner}");
        assert!(job.reason("prints").contains(words));
        let printed = std::fs::metadata(job.directory("prints").join("stdout"));
        assert!(printed.unwrap().len() < 2 * MIB);
        assert_eq!(job.status("fits"), "PASS", "{spawner}");
    }
}

#[test]
fn own_limit_wins_over_the_suites_and_the_users_is_the_most() {
    let project = Fixture::new();
    project.file(
        "job.toml",
        format!(
            r#"
            [settings]
            run.limits.memory = "40 MiB"

            [[suite]]
            name = "plain"
            [[suite.task]]
            kind = "exec-test"
            uri = "/bin/sh"
            args = ["-c", "{LARGE}"]
            identifier = "job"

            [[suite]]
            name = "own"
            references = ["recipe.json"]
            limits.memory = "48 MiB"
            [[suite.task]]
            kind = "exec-test"
            uri = "/bin/sh"
            args = ["-c", "{LARGE}"]
            identifier = "suite"
            [[suite.task]]
            kind = "exec-test"
            uri = "/bin/sh"
            args = ["-c", "{LARGE}"]
            identifier = "task"
            limits.memory = "56 MiB"
            [[suite.task]]
            kind = "exec-test"
            uri = "/bin/sh"
            args = ["-c", "{LARGE}"]
            identifier = "config"
            config = {{"run.limits.memory" = "60 MiB"}}
            "#
        ),
    );
    let recipe = limited(shell("recipe", LARGE), &json!({"memory": "52 MiB"}));
    project.recipe("recipe.json", &[recipe]);
    let check = |more: &[&str], expected: [(&str, u64); 5]| {
        let args = [&["run", "--job", "job.toml"], more].concat();
        project.run(&args).code(1);
        for (name, limit) in expected {
            let words = format!("out of memory (limit {limit} MiB)");
            assert_eq!(project.job().reason(name), words, "{name} {more:?}");
        }
    };
    let all = ["job", "suite", "task", "config", "recipe"];
    let of = |limits: [u64; 5]| std::array::from_fn(|at| (all[at], limits[at]));
    check(&[], of([40, 48, 56, 60, 52]));
    let typed = ["--set", "run.limits.memory=50 MiB"];
    check(&typed, of([50, 48, 50, 50, 50]));
    project.file("more.toml", "run.limits.memory = '54 MiB'");
    check(&["--config", "more.toml"], of([54, 48, 54, 54, 52]));
    project.user_config("run.limits.memory = '44 MiB'");
    let ran = project.run(&["run", "--job", "job.toml"]);
    assert_stderr(&ran, &["`run.limits.memory` from job.toml is ignored"]);
    assert_eq!(project.job().reason("task"), "out of memory (limit 44 MiB)");
}

#[test]
fn limited_test_of_a_batch_runs_alone() {
    let project = Fixture::new();
    let body = "import unittest\n\nclass T(unittest.TestCase):\n    def test_small(self):\n        \
                pass\n\n    def test_large(self):\n        bytearray(200 << 20)\n";
    project.file("test_t.py", body);
    let tests = [
        python("before", "test_t.py:T.test_small"),
        limited(
            python("large", "test_t.py:T.test_large"),
            &json!({"memory": "64 MiB"}),
        ),
        python("after", "test_t.py:T.test_large"),
    ];
    run(&project, &tests, &[]);
    let job = project.job();
    job.assert_error("large", &["out of memory (limit 64 MiB)"]);
    assert_eq!(job.test("large")["peak_memory_of"], "tree");
    for name in ["before", "after"] {
        assert_eq!(job.status(name), "PASS", "{name}");
    }
}

#[test]
fn wrong_limit_is_an_error_of_its_test() {
    let project = Fixture::new();
    let test = |name: &str, limits: Value| limited(exec(name, "/bin/true"), &limits);
    let tests = [
        test("unknown", json!({"memry": 1})),
        test("wrong", json!({"memory": "much"})),
        test("small", json!({"memory": 1000})),
        test(
            "right",
            json!({"memory": "1G", "cpus": 2, "processes": 50, "disk": "1G"}),
        ),
    ];
    run(&project, &tests, &[]);
    let job = project.job();
    job.assert_error("unknown", &["unknown limit `memry`", "`disk`"]);
    job.assert_error(
        "wrong",
        &["`memory`: expected a number of bytes", "512 MiB"],
    );
    job.assert_error(
        "small",
        &["limit of memory can't be kept", "less than 1 MiB"],
    );
    assert_eq!(job.status("right"), "PASS");
}

/// Runs the command where no cgroup can be seen.
const WITHOUT_CGROUPS: [&str; 6] = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    "mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"",
    "sh",
];

/// Whether this machine lets the test hide its cgroups.
fn can_hide_cgroups() -> bool {
    let mut command = Command::new(WITHOUT_CGROUPS[0]);
    command.args(&WITHOUT_CGROUPS[1..]).arg("true");
    command.stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn limits_without_cgroups_are_approximate_and_said_to_be() {
    if !can_hide_cgroups() {
        return skip("no mount namespaces");
    }
    let project = Fixture::new();
    let limits = json!({"memory": "64 MiB", "disk": "1 MiB"});
    let writes = "head -c 20000000 /dev/zero >$AVOCADO_TEST_WORKDIR/large";
    let tests = [
        limited(shell("large", LARGE), &limits),
        limited(shell("small", "exit 0"), &limits),
        limited(shell("writes", writes), &limits),
    ];
    project.recipe("job.json", &tests);
    let run = |args: &[&str]| {
        let mut command = project.persea_below(&WITHOUT_CGROUPS, args);
        finish(command.spawn().unwrap())
    };
    let ran = run(&["run", "job.json"]);
    let shown = format!("{}{}", ran.stdout, ran.stderr);
    let warning = "warning: the limit of memory is approximate: without a cgroup";
    assert_eq!(shown.matches(warning).count(), 1, "{shown}");
    let job = project.job();
    assert_eq!(job.status("large"), "FAIL");
    assert!(job.artifact("large", "stderr").contains("memory"));
    assert_eq!(job.status("small"), "PASS");
    assert_eq!(job.test("small")["peak_memory_of"], "largest-process");
    job.assert_error("writes", &["too much written (limit 1 MiB)"]);
    let warnings = job.events_of("warning");
    assert_eq!(warnings[0]["data"]["cause"], "limit", "{warnings:?}");

    // Nothing else limits these, so no test starts.
    project.recipe(
        "other.json",
        &[limited(shell("cpu", "exit 0"), &json!({"cpus": 1}))],
    );
    let ran = run(&["run", "other.json"]).code(2);
    assert_stderr(
        &ran,
        &[
            "the limit of cpus",
            "`run.limits.cpus`",
            "1-cpu",
            "can't be kept",
        ],
    );
}

#[test]
fn processes_of_a_user_without_cgroups_are_counted_from_those_that_run() {
    let project = Fixture::new();
    let Some(user) = User::of(&project) else {
        return skip("the tests do not run as root");
    };
    if !can_hide_cgroups() {
        return skip("no mount namespaces");
    }
    let many = "for i in $(seq 60); do sleep 600 & done; wait";
    let limits = json!({"processes": 20});
    let tests = [
        limited(shell("many", many), &limits),
        limited(
            shell("few", "for i in $(seq 10); do sleep 0.1 & done; wait"),
            &limits,
        ),
    ];
    project.recipe("job.json", &tests);
    user.own(&project);
    let command = user.persea(
        &project,
        &[],
        &["run", "--max-parallel-tasks", "1", "job.json"],
    );
    let mut hidden = crate::support::wrapped(&WITHOUT_CGROUPS, &command);
    let ran = finish(hidden.spawn().unwrap());
    let shown = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        shown.contains("the limit of processes is approximate"),
        "{shown}"
    );
    let job = project.job();
    assert_eq!(job.status("many"), "FAIL", "{ran}");
    assert_eq!(job.status("few"), "PASS", "{ran}");
    project.assert_no_strays();
}

/// The directories of a host's cgroup, of which a test has written its `/proc/self/cgroup`.
fn cgroups(text: &str) -> Vec<std::path::PathBuf> {
    let is_hosts = |part: &&str| part.starts_with("persea-");
    let name = text.split(['/', '\n']).find(is_hosts);
    let name = name.unwrap_or_else(|| panic!("no cgroup of a host: {text}"));
    let found = Command::new("find")
        .args(["/sys/fs/cgroup", "-type", "d", "-name", name])
        .output();
    let found = String::from_utf8(found.unwrap().stdout).unwrap();
    found.lines().map(Into::into).collect()
}

#[test]
fn cgroups_are_removed_with_the_host_and_after_its_death() {
    let project = Fixture::new();
    let limits = json!({"memory": "64 MiB", "processes": 20});
    let tell = "cat /proc/self/cgroup >group";
    let tests = [limited(shell("tells", tell), &limits)];
    run(&project, &tests, &[]).code(0);
    let text = project.wait_for("group");
    assert_eq!(cgroups(&text), [""; 0].map(std::path::PathBuf::from));

    std::fs::remove_file(project.project().join("group")).unwrap();
    let waits = [limited(
        shell("waits", &format!("{tell}; sleep 600")),
        &limits,
    )];
    project.recipe("waits.json", &waits);
    let mut host = project.persea(&["run", "waits.json"]).spawn().unwrap();
    let text = project.wait_for("group");
    assert!(!cgroups(&text).is_empty());
    signal(host.id(), "KILL");
    host.wait().unwrap();
    project.assert_no_strays();
    wait_until("the cgroup is removed", || {
        project.run(&["release"]).code(0);
        match cgroups(&text).as_slice() {
            [] => Ok(()),
            left => Err(format!("{left:?}")),
        }
    });
}

#[test]
fn sandbox_cannot_leave_its_cgroup() {
    let project = project("sandbox");
    let leave = "for group in /sys/fs/cgroup /sys/fs/cgroup/*; do
                     echo $$ >$group/cgroup.procs && exit 0
                     mkdir $group/own && exit 0
                     echo -1 >$group/memory.limit_in_bytes && exit 0
                 done
                 exit 9";
    let tests = [limited(
        shell("leaves", leave),
        &json!({"memory": "64 MiB", "processes": 20}),
    )];
    run(&project, &tests, &[]);
    let test = project.job().test("leaves");
    assert_eq!(test["returncode"], 9, "{test}");
}
