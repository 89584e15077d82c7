//! Owns the spawner `container`, with a real Podman: images, writes that are discarded, snapshots,
//! mounts, networks, and what is left when host, container or engine are killed.

mod losses;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::engine::{Engine, IMAGE};
use crate::support::recipes::{exec, python, requiring, shell, with};
use crate::support::{Fixture, Ran, assert_stderr, wait_until};

/// A project whose user has the shared engine.
fn project() -> (Arc<Engine>, Fixture) {
    let (engine, project) = (Engine::shared(), Fixture::new());
    engine.configure(&project);
    (engine, project)
}

/// Runs tests in this number of containers at once.
fn run_in_slots(project: &Fixture, tests: &[Value], slots: &str) -> Ran {
    project.recipe("job.json", tests);
    project.run(&["run", "--max-parallel-tasks", slots, "job.json"])
}

/// [`run_in_slots`] without any warning, and with this exit code.
#[track_caller]
fn run(project: &Fixture, tests: &[Value], slots: &str, code: i32) {
    let ran = run_in_slots(project, tests, slots);
    assert_eq!(ran.stderr, "", "{ran}");
    ran.code(code);
}

/// A member of the data of all events of a kind.
fn data_of(project: &Fixture, kind: &str, pointer: &str) -> Vec<Value> {
    let events = project.job().events_of(kind);
    let data = events.iter().map(|event| event["data"].pointer(pointer));
    data.map(|value| value.cloned().unwrap_or_default())
        .collect()
}

/// Waits for a file of a running test, whose directory is in one of its container.
#[track_caller]
fn wait_for_output(project: &Fixture, file: &str) {
    let running = project
        .root()
        .join("home/persea/job-results/latest/.running");
    wait_until(file, || {
        let containers = std::fs::read_dir(&running).map_err(|error| error.to_string())?;
        let mut files = containers.flatten().map(|it| it.path().join(file));
        let found = files.any(|it| it.exists());
        found.then_some(()).ok_or_else(|| "not yet".to_owned())
    });
}

/// A requirement that appends a line to a file of the container.
fn making(name: &str, scope: &str) -> Value {
    let setup = format!("echo made >>/opt/{name}");
    json!({"type": "command", "label": name, "scope": scope, "setup": setup, "teardown": "false"})
}

#[test]
fn container_has_its_image_discards_writes_and_keeps_output_files() {
    let (engine, project) = project();
    project.file("data", "of the project");
    let writes = "test ! -e /etc/debian_version && touch /etc/new && echo out && echo err >&2 &&
                  echo left >$AVOCADO_TEST_OUTPUTDIR/left && touch $AVOCADO_TEST_WORKDIR/x &&
                  touch $AVOCADO_TESTS_COMMON_TMPDIR/common";
    let again = "test -e /etc/new && test -z \"$(ls $AVOCADO_TEST_WORKDIR)\" && cat data &&
                 ! touch mine && ! touch data";
    run(&project, &[shell("a", writes), shell("b", again)], "1", 0);
    let job = project.job();
    assert_eq!(job.artifact("a", "stdout"), "out\n");
    assert_eq!(job.artifact("a", "stderr"), "err\n");
    assert_eq!(job.artifact("a", "left"), "left\n");
    assert_eq!(job.artifact("b", "stdout"), "of the project");
    let spawners = data_of(&project, "task-started", "/environment/spawner");
    assert_eq!(spawners, ["container", "container"]);
    assert!(!project.project().join("mine").exists());
    assert!(!job.0.join(".running").exists());
    engine.assert_no_containers_of(&project);
    let root = std::fs::read_dir(project.root()).unwrap().flatten();
    let left: Vec<_> = root.map(|entry| entry.file_name()).collect();
    assert!(
        left.iter().all(|name| name == "home" || name == "project"),
        "{left:?}"
    );
}

#[test]
fn snapshot_of_a_container_is_shared_by_tests_with_the_same_requirements() {
    let (engine, project) = project();
    let mut tests = Vec::new();
    for n in 0..3 {
        let sees =
            |files: &str| format!("test \"$(cd /opt; echo $(cat a b 2>/dev/null))\" = '{files}'");
        let requires = |names: &[&str], script: &str, name: String| {
            let all: Vec<Value> = names.iter().map(|name| making(name, "job")).collect();
            requiring(shell(&name, script), &json!(all))
        };
        tests.push(requires(&["a"], &sees("made"), format!("a{n}")));
        tests.push(shell(&format!("n{n}"), &sees("")));
        tests.push(requires(&["a", "b"], &sees("made made"), format!("ab{n}")));
    }
    run(&project, &tests, "2", 0);
    let mut fulfilled = data_of(&project, "requirement-finished", "/snapshot");
    fulfilled.sort_by_key(Value::to_string);
    assert_eq!(fulfilled, ["1-command-a", "2-command-b"]);
    assert!(data_of(&project, "requirement-released", "").is_empty());
    engine.assert_no_containers_of(&project);
    let root = project.root().display().to_string();
    let images = engine.run(&["images", "--all", "--format", "{{.Labels}}"]);
    assert!(!images.stdout.contains(&root), "{images}");
}

#[test]
fn task_scoped_requirement_gets_a_container_for_each_test() {
    let (_engine, project) = project();
    let script = "test \"$(cat /opt/own)\" = made && test ! -e /opt/dirty && touch /opt/dirty";
    let own = json!([making("own", "task")]);
    let tests = ["one", "two"].map(|name| requiring(shell(name, script), &own));
    run(&project, &tests, "1", 0);
    assert_eq!(data_of(&project, "requirement-finished", "/state").len(), 1);
}

#[test]
fn fresh_setting_gives_each_test_its_own_container() {
    let (_engine, project) = project();
    let tests = ["one", "two"].map(|name| shell(name, "test ! -e /mark && touch /mark"));
    project.recipe("job.json", &tests);
    let fresh = "spawner.container.fresh=true";
    project.run(&["run", "--set", fresh, "job.json"]).code(0);
}

#[test]
fn suite_and_test_choose_their_image_and_meet_requirements_in_it() {
    let (engine, project) = project();
    engine.import("localhost/one", &["one"], "");
    engine.import("localhost/two", &["two"], "");
    project.file(
        "job.toml",
        "[[suite]]\nname = 'first'\nimage = 'localhost/one'\n\
         requirements = [{ type = 'command', label = 'a', setup = 'ls / >/opt/seen' }]\n\
         [[suite.task]]\nkind = 'exec-test'\nuri = '/bin/sh'\nidentifier = 'suite'\n\
         args = ['-c', 'test -e /one && grep -x one /opt/seen']\n\
         [[suite.task]]\nkind = 'exec-test'\nuri = '/bin/sh'\nidentifier = 'task'\n\
         image = 'localhost/two'\nargs = ['-c', 'test -e /two && grep -x two /opt/seen']\n\
         [[suite]]\nname = 'second'\n\
         [[suite.task]]\nkind = 'exec-test'\nuri = '/bin/sh'\nidentifier = 'setting'\n\
         args = ['-c', 'test ! -e /one && test ! -e /two']\n",
    );
    let two = with(
        shell("recipe", "test -e /two"),
        "image",
        json!("localhost/two"),
    );
    project.recipe("recipe.json", &[two]);
    let ran = project.run(&["run", "--job", "job.toml"]).code(0);
    assert_eq!(ran.stderr, "", "{ran}");
    let images = data_of(&project, "task-started", "/environment/image");
    let mut images: Vec<String> = images.iter().map(Value::to_string).collect();
    images.sort();
    let expected = [IMAGE, "localhost/one", "localhost/two"];
    assert_eq!(images, expected.map(|image| format!("\"{image}\"")));
    assert_eq!(data_of(&project, "requirement-finished", "/state").len(), 2);
    let ran = project.run(&["run", "recipe.json"]).code(0);
    assert_eq!(ran.stderr, "", "{ran}");
    // The option is for tests that name no image.
    project
        .run(&["run", "--image", "localhost/one", "recipe.json"])
        .code(0);
    project.recipe("plain.json", &[shell("plain", "test -e /one")]);
    project
        .run(&["run", "--image", "localhost/one", "plain.json"])
        .code(0);
}

#[test]
fn test_with_an_image_is_an_error_where_no_container_is_made() {
    let project = Fixture::new();
    let test = with(shell("inside", "true"), "image", json!("localhost/one"));
    project.recipe("job.json", &[test, shell("other", "true")]);
    project.run(&["run", "job.json"]).code(1);
    let words = [
        "container of the image `localhost/one`",
        "use `--spawner container`",
    ];
    project.job().assert_error("inside", &words);
    assert_eq!(project.job().status("other"), "PASS");
    let ran = project.run(&["run", "--image", "localhost/one", "/bin/true"]);
    assert_stderr(
        &ran,
        &["would run without the image", "add `--spawner container`"],
    );
    ran.code(4);
}

#[test]
fn settings_that_would_mean_something_else_are_refused() {
    let (_engine, project) = project();
    project.recipe("job.json", &[shell("a", "true")]);
    for (setting, words) in [
        (
            "spawner.container.network=",
            "`spawner.container.network` is empty",
        ),
        (
            "spawner.container.mounts=[\"/usr:/\"]",
            "can't mount anything at /",
        ),
        (
            "spawner.container.mounts=[\"/usr,dst=/opt\"]",
            "No such file",
        ),
    ] {
        let ran = project.run(&["run", "--set", setting, "job.json"]);
        assert_stderr(&ran, &[words]);
        ran.code(2);
    }
    let runtime = "spawner.container.runtime=runsc";
    project.run(&["run", "--set", runtime, "job.json"]).code(1);
    let words = [
        "Podman lets no client choose",
        "below `[engine]` in containers.conf",
    ];
    project.job().assert_error("a", &words);
    project.run(&["run", "--image", " ", "job.json"]).code(1);
    project.job().assert_error("a", &["needs an image"]);
}

#[test]
fn results_of_other_jobs_and_configured_mounts_are_seen_as_the_settings_say() {
    let (engine, project) = project();
    let outside = project.root().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "shown").unwrap();
    project.user_config(&format!(
        "run.spawner = 'container'\nrun.results_dir = 'results'\n\
         spawner.container.engine = '{}'\nspawner.container.image = '{IMAGE}'\n\
         spawner.container.mounts = ['{outside}', '{outside}:/mnt/writable:rw']\n",
        engine.url(),
        outside = outside.display()
    ));
    let script = format!(
        "test \"$(cat {outside}/file)\" = shown && ! touch {outside}/new && \
         echo changed >/mnt/writable/changed && ls results >$AVOCADO_TEST_OUTPUTDIR/results",
        outside = outside.display()
    );
    for _ in 0..2 {
        project.recipe("job.json", &[shell("a", &script)]);
        project.run(&["run", "job.json"]).code(0);
    }
    assert_eq!(
        std::fs::read_to_string(outside.join("changed")).unwrap(),
        "changed\n"
    );
    let latest = project.project().join("results/latest");
    let seen = std::fs::read_to_string(latest.join("test-results/1-a/results")).unwrap();
    // Only the directory of this job, with the results of its own container.
    assert_eq!(seen.lines().count(), 1, "{seen}");
}

#[test]
fn python_tests_run_in_batches_in_a_container() {
    let (engine, project) = project();
    // The interpreter of this machine, as no image can be downloaded.
    project.user_config(&format!(
        "run.spawner = 'container'\nspawner.container.engine = '{}'\n\
         spawner.container.image = '{IMAGE}'\nspawner.container.mounts = \
         ['/usr', '/lib', '/lib64']\nrunner.python-unittest.interpreter = '/usr/bin/python3'\n",
        engine.url()
    ));
    let text = "import unittest\nclass T(unittest.TestCase):\n    \
                def test_a(self): open('/etc/hostname').close()\n    \
                def test_b(self): self.fail('no')\n";
    project.file("test_it.py", text);
    let tests = ["a", "b"].map(|name| python(name, &format!("test_it.py:T.test_{name}")));
    run(&project, &tests, "1", 1);
    assert_eq!(project.job().status("a"), "PASS");
    assert_eq!(project.job().status("b"), "FAIL");
}

#[test]
fn timeout_and_left_over_processes_end_in_a_container() {
    let (engine, project) = project();
    let script = "setsid sleep 1000 & trap '' TERM; sleep 1000; sleep 1000";
    let leaves = "setsid sleep 1000 >/dev/null 2>&1 & true";
    project.recipe(
        "job.json",
        &[
            shell("long", script),
            shell("leaves", leaves),
            shell("alone", "test -z \"$(grep -l sleep /proc/[0-9]*/comm)\""),
        ],
    );
    let args = [
        "run",
        "--task-timeout",
        "1",
        "--max-parallel-tasks",
        "1",
        "job.json",
    ];
    project.run(&args).code(8);
    let job = project.job();
    assert_eq!(job.status("long"), "INTERRUPTED");
    assert_eq!(
        (job.status("leaves"), job.status("alone")),
        ("PASS".into(), "PASS".into())
    );
    engine.assert_no_containers_of(&project);
    project.assert_no_strays();
}

#[test]
fn network_is_not_there_unless_asked_for() {
    let (_engine, project) = project();
    let devices = "ls /sys/class/net >$AVOCADO_TEST_OUTPUTDIR/devices";
    project.recipe("job.json", &[shell("a", devices)]);
    project.run(&["run", "job.json"]).code(0);
    assert_eq!(project.job().artifact("a", "devices"), "lo\n");
    let own: Vec<String> = std::fs::read_dir("/sys/class/net")
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let host = "spawner.container.network=host";
    project.run(&["run", "--set", host, "job.json"]).code(0);
    let seen = project.job().artifact("a", "devices");
    assert_eq!(seen.lines().count(), own.len(), "{seen}");
}

#[test]
fn image_that_cannot_run_is_an_error_that_names_it() {
    let (engine, project) = project();
    engine.import("localhost/foreign", &[], "arm64");
    let with_image = |name: &str, image: &str| with(shell(name, "true"), "image", json!(image));
    project.recipe(
        "job.json",
        &[
            with_image("foreign", "localhost/foreign"),
            with_image("missing", "localhost/missing"),
            with_image("wrong", "not an image"),
            shell("other", "true"),
            exec("program", "/bin/nothing"),
        ],
    );
    let pull = "spawner.container.pull=false";
    project.run(&["run", "--set", pull, "job.json"]).code(1);
    let job = project.job();
    job.assert_error("foreign", &["`localhost/foreign`", "it is for arm64"]);
    job.assert_error("missing", &["no image `localhost/missing`", "podman pull"]);
    job.assert_error("wrong", &["`not an image`"]);
    job.assert_error("program", &["/bin/nothing"]);
    assert_eq!(job.status("other"), "PASS");
    engine.assert_no_containers_of(&project);
}

#[test]
fn job_without_an_image_or_an_engine_says_what_to_type() {
    let (engine, project) = project();
    project.user_config(&format!(
        "run.spawner = 'container'\nspawner.container.engine = '{}'\n",
        engine.url()
    ));
    project.recipe("job.json", &[shell("a", "true")]);
    project.run(&["run", "job.json"]).code(1);
    project
        .job()
        .assert_error("a", &["needs an image", "`--image`"]);
    project.user_config("spawner.container.engine = 'unix:///nowhere.sock'\n");
    let args = [
        "run",
        "--spawner",
        "container",
        "--image",
        IMAGE,
        "job.json",
    ];
    let ran = project.run(&args);
    assert_stderr(&ran, &["/nowhere.sock", "start that engine"]);
    ran.code(2);
    project.user_config(&format!(
        "spawner.container.engine = '{}'\nspawner.container.mounts = ['relative']\n",
        engine.url()
    ));
    let ran = project.run(&args);
    assert_stderr(
        &ran,
        &["`relative` is not an absolute path", "PATH-IN-CONTAINER"],
    );
    ran.code(2);
}

#[test]
fn doctor_says_which_spawners_work_and_what_the_others_lack() {
    let (engine, project) = project();
    let ran = project.run(&["doctor"]).code(0);
    let works = |ran: &Ran, spawner: &str| {
        let line = ran.stdout.lines().find(|line| line.starts_with(spawner));
        line.unwrap_or_else(|| panic!("no {spawner}: {ran}"))[10..].starts_with(" works: ")
    };
    for spawner in ["process", "sandbox", "container"] {
        assert!(works(&ran, spawner), "{ran}");
    }
    engine.assert_no_containers_of(&project);
    let missing = "spawner.container.image=localhost/none";
    let never = "spawner.container.pull=false";
    let ran = project.run(&["doctor", "--set", missing, "--set", never]);
    assert!(
        ran.stdout.contains("has no image `localhost/none`"),
        "{ran}"
    );
    ran.code(2);
    // Only the chosen spawner decides the exit code.
    let nowhere = "spawner.container.engine=unix:///nowhere.sock";
    let chosen = "run.spawner=sandbox";
    let ran = project
        .run(&["doctor", "--set", nowhere, "--set", chosen])
        .code(0);
    assert!(!works(&ran, "container") && works(&ran, "sandbox"), "{ran}");
    assert!(ran.stdout.contains("start that engine"), "{ran}");
    let ran = project.run_with(&["doctor"], |command| command.env("PATH", "/nowhere"));
    // The container, which is chosen, needs no program of this machine.
    let ran = ran.code(0);
    assert!(!works(&ran, "sandbox"), "{ran}");
    assert!(works(&ran, "process") && works(&ran, "container"), "{ran}");
    assert!(ran.stdout.contains("apt-get install bubblewrap"), "{ran}");
    project.assert_no_strays();
}

#[test]
fn project_cannot_choose_engine_mounts_network_or_runtime() {
    for line in [
        "engine = 'unix:///x'",
        "mounts = ['/']",
        "network = 'host'",
        "runtime = 'x'",
    ] {
        let project = Fixture::new();
        project.file("persea.toml", format!("[spawner.container]\n{line}\n"));
        let ran = project.run(&["run", "/bin/true"]).code(0);
        let name = format!("spawner.container.{}", line.split_once(' ').unwrap().0);
        let config = project.root().join("home/.config/persea/config.toml");
        let warning = format!(
            "warning: setting `{name}` from persea.toml is ignored: a project may not set it; set \
             it by `--set {name}=…` or in {}\n",
            config.display()
        );
        assert_eq!(ran.stderr, warning);
    }
}
