//! Owns the promise that the tests of one job run in several environments: where each runs, who
//! decides, and that nothing weakens the isolation that a user has chosen.

mod examples;
mod killed;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::engine::{Engine, IMAGE};
use crate::support::plugins::with_unlocked;
use crate::support::recipes::{exec, python, requiring, shell, with};
use crate::support::slurm::Cluster;
use crate::support::ssh::Hosts;
use crate::support::{Fixture, assert_stderr, finish};

/// A test with a spawner of its own.
fn on(spawner: &str, test: Value) -> Value {
    with(test, "spawner", json!(spawner))
}

/// A test in a container of an image.
fn in_image(image: &str, test: Value) -> Value {
    with(on("container", test), "image", json!(image))
}

/// A project whose user has the shared engine and these hosts, and has chosen no spawner.
fn project(names: &[&str]) -> (Arc<Engine>, Hosts, Fixture) {
    let (engine, project) = (Engine::shared(), Fixture::new());
    let hosts = Hosts::start(&project, names);
    project.user_config(&format!("{}{}", engine.settings(), hosts.settings()));
    (engine, hosts, project)
}

/// By test: where it ran, as `results.json` says.
fn places(project: &Fixture) -> BTreeMap<String, String> {
    let results = project.job().results();
    let place = |test: &Value| {
        let environment = &test["environment"];
        let parts = ["spawner", "image", "host"].map(|key| environment[key].as_str());
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        match parts.is_empty() {
            true => "process".to_owned(),
            false => parts.join(" "),
        }
    };
    let tests = results["tests"].as_array().unwrap().iter();
    let tests = tests.map(|test| (test["name"].as_str().unwrap().to_owned(), place(test)));
    tests.collect()
}

/// A job file's task that runs a line of shell.
fn task(name: &str, more: &str, script: &str) -> String {
    format!(
        "[[suite.task]]\nkind = 'exec-test'\nuri = '/bin/sh'\nidentifier = '{name}'\n{more}\n\
         args = ['-c', '''{script}''']\n"
    )
}

#[test]
fn one_job_runs_on_this_machine_in_three_images_and_on_two_hosts() {
    let (engine, hosts, project) = project(&["one", "two"]);
    for name in ["debian", "fedora", "arch"] {
        engine.import(&format!("localhost/{name}"), &[name], "");
    }
    let in_container = |name: &str| {
        let script = format!("test -e /{name} && test \"$(cat built)\" = made && ! touch new");
        let more = format!("image = 'localhost/{name}'\nneeds = ['compile']");
        task(name, &more, &script)
    };
    let on_host = |name: &str| {
        // Each of the two is on its host at the same time as the other one.
        let script = "test \"$(cat built)\" = made && touch on-$HOST_NAME && \
                      while ! test -e on-one || ! test -e on-two; do sleep 0.05; done";
        task(name, "needs = ['compile']", script)
    };
    let mut job = "[[suite]]\nname = 'build'\n".to_owned();
    job += &task("compile", "", "test -z \"$HOST_NAME\" && echo made >built");
    job += "[[suite]]\nname = 'images'\nspawner = 'container'\n";
    job += &["debian", "fedora", "arch"].map(in_container).concat();
    job += "[[suite]]\nname = 'hosts'\nspawner = 'ssh'\n";
    job += &["first", "second"].map(on_host).concat();
    job += "[[suite]]\nname = 'boxes'\nspawner = 'sandbox'\n";
    let script = "test \"$(cat built)\" = made && touch built-in-a-box";
    job += &task("box", "needs = ['compile']", script);
    project.file("job.toml", &job);
    let properties = "job.run.result.xunit.test_properties=true";
    let args = ["run", "--max-parallel-tasks", "4", "--set", properties];
    let ran = project.run(&[&args[..], &["--job", "job.toml"]].concat());
    assert_eq!(ran.stderr, "", "{ran}");
    ran.code(0);
    let xml = project.job().read("results.xml");
    assert!(
        xml.contains("<property name=\"image\" value=\"localhost/fedora\"/>"),
        "{xml}"
    );
    assert!(
        xml.contains("<property name=\"host\" value=\"two\"/>"),
        "{xml}"
    );
    assert!(!project.project().join("built-in-a-box").exists());
    let mut found = places(&project);
    let mut on_hosts = ["first", "second"].map(|name| found.remove(name).unwrap());
    on_hosts.sort();
    assert_eq!(on_hosts, ["ssh one", "ssh two"]);
    let expected = [
        ("arch", "container localhost/arch"),
        ("box", "sandbox"),
        ("compile", "process"),
        ("debian", "container localhost/debian"),
        ("fedora", "container localhost/fedora"),
    ];
    let expected = expected.map(|(name, place)| (name.to_owned(), place.to_owned()));
    assert_eq!(found, expected.into());
    hosts.assert_nothing_left(&project);
    engine.assert_no_containers_of(&project);
    assert!(!project.job().0.join(".running").exists());
}

#[test]
fn task_wins_over_its_suite_the_job_and_the_settings() {
    let (engine, _hosts, project) = project(&["one"]);
    engine.import("localhost/debian", &["debian"], "");
    let task = |name: &str, more: &str| task(name, more, "true");
    let mut job = "spawner = 'sandbox'\n[settings]\nrun.spawner = 'ssh'\n".to_owned();
    job += "[[suite]]\nname = 'a'\n";
    job += &task("of-job", "");
    job += "[[suite]]\nname = 'b'\nspawner = 'container'\nimage = 'localhost/debian'\n";
    job += &task("of-suite", "");
    job += &task("own-spawner", "spawner = 'process'");
    job += &task("own-image", &format!("image = '{IMAGE}'"));
    project.file("job.toml", &job);
    project.run(&["run", "--job", "job.toml"]).code(0);
    let found = places(&project);
    assert_eq!(found["of-job"], "sandbox");
    assert_eq!(found["of-suite"], "container localhost/debian");
    assert_eq!(found["own-spawner"], "process");
    assert_eq!(found["own-image"], format!("container {IMAGE}"));
    project.file("job.toml", job.replace("spawner = 'sandbox'\n", ""));
    project.run(&["run", "--job", "job.toml"]).code(0);
    assert_eq!(places(&project)["of-job"], "ssh one");
    // The project's settings have the last word, and a test of a recipe is asked first.
    project.file("persea.toml", "run.spawner = 'container'\n");
    let tests = [
        on("sandbox", shell("own", "true")),
        shell("of-project", "true"),
    ];
    project.recipe("recipe.json", &tests);
    project.run(&["run", "recipe.json"]).code(0);
    let found = places(&project);
    assert_eq!(found["own"], "sandbox");
    assert_eq!(found["of-project"], format!("container {IMAGE}"));
}

#[test]
fn spawner_of_the_command_line_runs_all_tests_there() {
    let (engine, _hosts, project) = project(&["one"]);
    engine.import("localhost/debian", &["debian"], "");
    project.recipe(
        "job.json",
        &[
            on("process", shell("process", "true")),
            on("ssh", shell("ssh", "true")),
            in_image("localhost/debian", shell("container", "true")),
            shell("none", "true"),
        ],
    );
    for spawner in ["sandbox", "process"] {
        let ran = project.run(&["run", "--spawner", spawner, "job.json"]);
        ran.code(0);
        let found = places(&project);
        assert!(found.values().all(|place| place == spawner), "{found:?}");
    }
    let mut by_variable = project.persea(&["run", "job.json"]);
    by_variable.env("PERSEA_RUN__SPAWNER", "sandbox");
    finish(by_variable.spawn().unwrap()).code(0);
    let found = places(&project);
    assert!(found.values().all(|place| place == "sandbox"), "{found:?}");
}

#[test]
fn project_cannot_weaken_the_isolation_that_its_user_has_configured() {
    let engine = Engine::shared();
    let project = Fixture::new();
    project.user_config(&format!("run.spawner = 'sandbox'\n{}", engine.settings()));
    let marks = |name: &str| shell(name, &format!("touch {name}"));
    project.recipe(
        "job.json",
        &[
            on("process", marks("escaped")),
            on("ssh", marks("elsewhere")),
            on("container", shell("container", "true")),
            shell("box", "true"),
        ],
    );
    project.run(&["run", "job.json"]).code(1);
    let job = project.job();
    let why = [
        "wants the spawner `process`, which does not isolate",
        "`--spawner process`",
    ];
    job.assert_error("escaped", &why);
    job.assert_error("elsewhere", &["wants the spawner `ssh`"]);
    let found = places(&project);
    assert_eq!(found["container"], format!("container {IMAGE}"));
    assert_eq!(found["box"], "sandbox");
    assert!(!project.project().join("escaped").exists());
    // Nor by its other files.
    project.file("persea.toml", "run.spawner = 'process'\n");
    let tasks = task("t", "", "touch escaped");
    let job = format!("spawner = 'process'\n[[suite]]\nname = 's'\n{tasks}");
    project.file("job.toml", job);
    project.run(&["run", "--job", "job.toml"]).code(1);
    project.job().assert_error("t", &why);
    assert!(!project.project().join("escaped").exists());
}

#[test]
fn unlocked_plugin_acts_only_in_the_isolating_environments_of_a_job() {
    let fixture = with_unlocked(&["runner-greet"]);
    let greets = |name: &str| json!({"kind": "greet", "uri": "World", "identifier": name});
    fixture.recipe(
        "job.json",
        &[
            greets("default"),
            on("process", greets("machine")),
            on("sandbox", greets("box")),
            shell("own", "true"),
        ],
    );
    let args = ["run", "--plugin-dir", "plugins", "--grant", "process"];
    fixture.run(&[&args[..], &["job.json"]].concat()).code(1);
    let job = fixture.job();
    let why = ["the spawner `sandbox` only, and the test's is `process`"];
    for name in ["default", "machine"] {
        job.assert_error(name, &why);
    }
    assert_eq!(
        (job.status("box"), job.status("own")),
        ("PASS".into(), "PASS".into())
    );
    assert_eq!(job.artifact("box", "stdout"), "Hello, World!\n");
}

#[test]
fn isolated_test_gets_no_file_that_only_the_host_can_read() {
    let fixture = Fixture::new();
    let secret = fixture.root().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let location = format!("file://{}", secret.display());
    let asset = json!([{"type": "asset", "name": "secret", "locations": [location]}]);
    let reads = |name: &str| requiring(shell(name, "cat $PERSEA_ASSET_SECRET"), &asset);
    fixture.recipe("job.json", &[reads("machine"), on("sandbox", reads("box"))]);
    let args = ["run", "--set", "fetch.unverified=true", "job.json"];
    fixture.run(&args).code(0);
    let job = fixture.job();
    assert_eq!(job.status("machine"), "PASS");
    assert_eq!(job.status("box"), "CANCEL");
    assert!(
        job.reason("box").contains("fetch.files"),
        "{}",
        job.reason("box")
    );
}

#[test]
fn missing_engine_is_an_error_before_the_first_test() {
    let project = Fixture::new();
    // One that is not there, and one that nobody serves.
    let dead = project.root().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    for socket in ["/nowhere.sock", dead.to_str().unwrap()] {
        project.user_config(&format!("spawner.container.engine = '{socket}'\n"));
        let tests = [
            shell("here", "touch ran"),
            in_image("localhost/debian", shell("there", "true")),
        ];
        project.recipe("job.json", &tests);
        let ran = project.run(&["run", "job.json"]).code(2);
        assert_stderr(&ran, &[socket]);
        project.assert_no_job();
        assert!(!project.project().join("ran").exists());
    }
}

#[test]
fn lost_hosts_do_not_hold_up_tests_on_this_machine() {
    let (_engine, mut hosts, project) = project(&["one"]);
    let mut tests = vec![
        on("ssh", shell("lost", "touch begun && sleep 60")),
        on("ssh", shell("behind", "true")),
    ];
    let waits = "touch begun-here; while ! test -e cut; do sleep 0.1; done";
    tests.extend((0..4).map(|n| shell(&format!("here{n}"), waits)));
    project.recipe("job.json", &tests);
    let args = [
        "run",
        "--max-parallel-tasks",
        "2",
        "--set",
        "run.lost_environments=0",
        "job.json",
    ];
    let child = project.persea(&args).spawn().unwrap();
    project.wait_for_existence("begun");
    // Neither does a host whose slots are taken.
    project.wait_for_existence("begun-here");
    hosts.kill("one");
    project.file("cut", "");
    let ran = finish(child).code(1);
    let job = project.job();
    assert_eq!(job.status("lost"), "ERROR", "{ran}");
    job.assert_error("behind", &["no host is left"]);
    for n in 0..4 {
        assert_eq!(job.status(&format!("here{n}")), "PASS", "{ran}");
    }
}

#[test]
fn slots_are_shared_by_all_spawners() {
    let (_engine, hosts, project) = project(&["one"]);
    project.user_config(&hosts.settings().replace("\"one\"", "\"one=2\""));
    let script = "mkdir busy && sleep 0.2 && rmdir busy";
    let spawners = ["process", "ssh", "process", "ssh"];
    let numbered = (0..).zip(spawners);
    let tests = numbered.map(|(n, spawner)| on(spawner, shell(&format!("t{n}"), script)));
    project.recipe("job.json", &tests.collect::<Vec<Value>>());
    // Each of them fails beside another one.
    project
        .run(&["run", "--max-parallel-tasks", "1", "job.json"])
        .code(0);
    let meets = |name: &str| {
        let script = format!(
            "touch met.{name}; while ! test -e met.a || ! test -e met.b; do sleep 0.05; done"
        );
        shell(name, &script)
    };
    project.recipe(
        "job.json",
        &[on("process", meets("a")), on("ssh", meets("b"))],
    );
    let args = [
        "run",
        "--max-parallel-tasks",
        "2",
        "--task-timeout",
        "20",
        "job.json",
    ];
    project.run(&args).code(0);
}

#[test]
fn requirement_is_met_once_in_each_environment_that_needs_it() {
    let (engine, hosts, project) = project(&["one"]);
    engine.import("localhost/debian", &["debian"], "");
    let name = project.root().file_name().unwrap();
    let file = format!("/tmp/needed{}", name.display());
    let making = json!([{
        "type": "command",
        "label": "mark",
        // A sandbox shows what was made on the machine.
        "setup": format!("echo made >{file}"),
        "teardown": format!("rm {file}"),
    }]);
    let sees = |name: String| {
        let script = format!("test \"$(cat {file})\" = made");
        requiring(shell(&name, &script), &making)
    };
    let mut tests = Vec::new();
    for n in 0..2 {
        tests.push(sees(format!("process{n}")));
        tests.push(on("sandbox", sees(format!("sandbox{n}"))));
        tests.push(on("container", sees(format!("container{n}"))));
        tests.push(in_image("localhost/debian", sees(format!("image{n}"))));
        tests.push(shell(&format!("without{n}"), "true"));
    }
    project.recipe("job.json", &tests);
    let args = ["run", "--max-parallel-tasks", "1", "job.json"];
    project.run(&args).code(0);
    let started = project.job().events_of("requirement-started");
    let spawners = started
        .iter()
        .map(|event| event["data"]["spawner"].to_string());
    let mut spawners: Vec<String> = spawners.collect();
    spawners.sort();
    let all = ["\"container\"", "\"container\"", "\"sandbox\"", "null"];
    assert_eq!(spawners, all);
    // Only the one on this machine outlasts its environment.
    assert_eq!(project.job().events_of("requirement-released").len(), 1);
    assert!(!Path::new(&file).exists());
    engine.assert_no_containers_of(&project);
    hosts.assert_nothing_left(&project);
}

#[test]
fn batch_has_tests_of_one_environment_only() {
    let project = Fixture::new();
    project.file(
        "test_where.py",
        "import os, unittest\n\
         class T(unittest.TestCase):\n\
         \tdef test_box(self):\n\
         \t\topen('/opt/of-the-box', 'w').close()\n\
         \tdef test_machine(self):\n\
         \t\tself.assertFalse(os.path.exists('/opt/of-the-box'))\n",
    );
    let test = |n: usize, name: &str| {
        let test = python("where", &format!("test_where.py:T.test_{name}"));
        with(test, "identifier", json!(format!("{name}{n}")))
    };
    let both = |n| [on("sandbox", test(n, "box")), test(n, "machine")];
    project.recipe("job.json", &(0..6).flat_map(both).collect::<Vec<Value>>());
    project
        .run(&["run", "--max-parallel-tasks", "1", "job.json"])
        .code(0);
    let found = places(&project);
    for n in 0..6 {
        assert_eq!(found[&format!("box{n}")], "sandbox");
        assert_eq!(found[&format!("machine{n}")], "process");
    }
}

#[test]
fn list_shows_the_environment_of_a_test_that_has_its_own() {
    let project = Fixture::new();
    project.recipe(
        "job.json",
        &[
            exec("plain", "/bin/true"),
            on("process", exec("default", "/bin/true")),
            on("ssh", exec("host", "/bin/true")),
            in_image("localhost/debian", exec("image", "/bin/true")),
        ],
    );
    let ran = project.run(&["list", "job.json"]).code(0);
    let expected = "exec-test plain\nexec-test default\nexec-test host in ssh\n\
                    exec-test image in container localhost/debian\n";
    assert_eq!(ran.stdout, expected);
    project.recipe("job.json", &[on("moon", exec("a", "/bin/true"))]);
    project.run(&["run", "job.json"]).code(1);
    let why = ["`spawner`: expected `process`"];
    project.job().assert_error("a", &why);
}

#[test]
fn options_for_a_spawner_need_a_test_that_has_it() {
    let (engine, _hosts, project) = project(&["one"]);
    engine.import("localhost/debian", &["debian"], "");
    let tests = [
        shell("here", "true"),
        on("container", shell("there", "test -e /debian")),
    ];
    project.recipe("job.json", &tests);
    let args = ["run", "--image", "localhost/debian", "job.json"];
    project.run(&args).code(0);
    let ran = project.run(&["run", "--hosts", "one", "job.json"]).code(4);
    let why = [
        "`process` and `container` use no other hosts",
        "`--spawner ssh`",
    ];
    assert_stderr(&ran, &why);
}

#[test]
fn tests_of_a_cluster_run_beside_those_of_this_machine() {
    let (_engine, hosts, project) = project(&["one"]);
    let cluster = Cluster::shared();
    project.user_config(&format!("{}{}", hosts.settings(), cluster.settings(2, 1)));
    let meets = |name: &str| {
        let files = ["here", "host", "node0", "node1"].map(|name| format!("test -e met-{name}"));
        let all = files.join(" && ");
        shell(
            name,
            &format!("touch met-{name}; until {all}; do sleep 0.05; done"),
        )
    };
    let mut tests = vec![meets("here"), on("ssh", meets("host"))];
    tests.extend(["node0", "node1"].map(|name| on("slurm", meets(name))));
    project.recipe("job.json", &tests);
    let args = ["run", "--task-timeout", "60", "job.json"];
    cluster.run(&project, &args).code(0);
    let mut found = places(&project);
    assert_eq!(found.remove("here").unwrap(), "process");
    assert_eq!(found.remove("host").unwrap(), "ssh one");
    let mut nodes: Vec<String> = found.into_values().collect();
    nodes.sort();
    let expected = [0, 1].map(|node| format!("slurm {}", cluster.node(node)));
    assert_eq!(nodes, expected);
    cluster.assert_nothing_left(&project);
    hosts.assert_nothing_left(&project);
}
