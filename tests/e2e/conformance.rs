//! Owns the promise that a test has the same result in every environment: one job, on each spawner,
//! with the same events and files but for times, ids and the environment's name.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::plugins::components;
use crate::support::recipes::{exec, noop, requiring, shell, with};
use crate::support::slurm::Cluster;
use crate::support::ssh::Hosts;
use crate::support::{Fixture, Ran};

const SPAWNERS: [&str; 5] = ["process", "sandbox", "container", "ssh", "slurm"];

/// A host that shares no files with this machine.
const APART: &str = "ssh, apart";

/// What people can know about a job when it has ended.
#[derive(Debug, PartialEq)]
struct Account {
    code: Option<i32>,
    /// For each test, its events, without those of its requirements.
    events: BTreeMap<String, Vec<Value>>,
    /// For each file of each test, its bytes.
    files: BTreeMap<String, Vec<u8>>,
}

/// Removes from an event what may differ: times, and the name of the environment.
fn without_differences(event: &mut Value) {
    if let Some(object) = event.as_object_mut() {
        let measured = ["cpu-user", "cpu-system", "peak-memory"];
        let others = ["time", "started", "elapsed", "spawner", "environment"];
        for name in measured.into_iter().chain(others) {
            object.remove(name);
        }
        object.values_mut().for_each(without_differences);
    }
}

fn account(project: &Fixture, ran: Ran) -> Account {
    let job = project.job();
    let mut events: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for mut event in job.events() {
        without_differences(&mut event);
        // Requirements are undone on the machine, and left out of the next environment elsewhere.
        let is_of_requirement = event["event"].as_str().unwrap().starts_with("requirement-");
        if let Some(task) = event["task"].as_str().map(str::to_owned)
            && !is_of_requirement
        {
            events.entry(task).or_default().push(event);
        }
    }
    let results = job.0.join("test-results");
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(&results).sort_by_file_name() {
        let entry = entry.unwrap();
        let name = entry
            .path()
            .strip_prefix(&results)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        // The log has times.
        if entry.file_type().is_file() && !name.ends_with("debug.log") {
            files.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    Account {
        code: ran.code,
        events,
        files,
    }
}

/// Runs a recipe of these tests on each spawner, in this order: each has an account. `prepare` adds
/// what the project needs beside the file `data`.
fn accounts(
    tests: &[Value],
    options: &[&str],
    prepare: fn(&Fixture),
) -> Vec<(&'static str, Account)> {
    let (engine, cluster) = (Engine::shared(), Cluster::shared());
    let run = |spawner| {
        let project = Fixture::new();
        let hosts = match spawner {
            "ssh" => Some(Hosts::start(&project, &["one"])),
            APART => Some(Hosts::start_apart(&project, &["one"])),
            "slurm" => {
                cluster.configure(&project, 1, 2);
                None
            }
            _ => {
                engine.configure(&project);
                None
            }
        };
        project.file("data", "of the project\n");
        prepare(&project);
        project.recipe("job.json", tests);
        let name = if spawner == APART { "ssh" } else { spawner };
        let args = [&["run", "--spawner", name], options, &["job.json"]].concat();
        let ran = cluster.run(&project, &args);
        project.assert_no_strays();
        cluster.assert_nothing_left(&project);
        engine.assert_no_containers_of(&project);
        if let Some(hosts) = hosts {
            hosts.assert_nothing_left(&project);
        }
        (spawner, account(&project, ran))
    };
    let all = SPAWNERS.into_iter().chain([APART]);
    all.map(run).collect()
}

/// All spawners give the same account of these tests, which is returned.
#[track_caller]
fn assert_same(tests: &[Value], options: &[&str]) -> Account {
    assert_same_in(tests, options, |_| {})
}

/// [`assert_same`] in projects that `prepare` has prepared.
#[track_caller]
fn assert_same_in(tests: &[Value], options: &[&str], prepare: fn(&Fixture)) -> Account {
    let mut all = accounts(tests, options, prepare).into_iter();
    let (_, first) = all.next().unwrap();
    for (spawner, other) in all {
        assert_eq!(first.code, other.code, "{spawner}");
        for (task, events) in &first.events {
            assert_eq!(Some(events), other.events.get(task), "{spawner}: {task}");
        }
        assert_eq!(first.events.len(), other.events.len(), "{spawner}");
        for (name, bytes) in &first.files {
            let same = other.files.get(name) == Some(bytes);
            assert!(
                same,
                "{spawner}: {name} is {:?}",
                other.files.get(name).map(Vec::len)
            );
        }
        assert_eq!(first.files.len(), other.files.len(), "{spawner}");
    }
    first
}

/// What the account has of a task that is the same whichever tests run beside it.
fn of_task(account: &Account, task: &str) -> (Vec<Value>, BTreeMap<String, Vec<u8>>) {
    let mut events = account.events[task].clone();
    for event in &mut events {
        event.as_object_mut().unwrap().remove("task");
        for name in ["index", "title", "directory", "runnable"] {
            event["data"].as_object_mut().unwrap().remove(name);
        }
    }
    let start = format!("{task}/");
    let own = account.files.iter().filter_map(|(name, bytes)| {
        let name = name.strip_prefix(&start)?;
        Some((name.to_owned(), bytes.clone()))
    });
    (events, own.collect())
}

#[test]
fn one_job_with_all_spawners_gives_the_results_of_each_alone() {
    // The cluster is this machine too, and its tests have the same TMPDIR.
    let needed = json!({
        "type": "command",
        "setup": "echo x >${TMPDIR:-/tmp}/needed$SLURMD_NODENAME",
        "teardown": "rm ${TMPDIR:-/tmp}/needed$SLURMD_NODENAME",
        "scope": "task",
    });
    let tests = [
        shell(
            "passes",
            "cat data && echo left >$AVOCADO_TEST_OUTPUTDIR/left",
        ),
        shell("fails", "echo why >&2; exit 1"),
        shell("signal", "kill -SEGV $$"),
        exec("missing", "/no/such/program"),
        shell("strays", "sleep 100 & setsid sleep 100 & true"),
        requiring(
            shell("needs", "cat ${TMPDIR:-/tmp}/needed$SLURMD_NODENAME"),
            &json!([needed]),
        ),
        noop("nothing"),
    ];
    let alone = accounts(&tests, &[], |_| {});
    let (engine, cluster, project) = (Engine::shared(), Cluster::shared(), Fixture::new());
    let hosts = Hosts::start(&project, &["one"]);
    let settings = [engine.settings(), hosts.settings(), cluster.settings(1, 2)];
    project.user_config(&settings.concat());
    project.file("data", "of the project\n");
    let on = |spawner: &str| {
        let tests = tests.clone().into_iter();
        tests
            .map(|test| with(test, "spawner", json!(spawner)))
            .collect::<Vec<Value>>()
    };
    project.recipe("job.json", &SPAWNERS.map(on).concat());
    let ran = cluster.run(&project, &["run", "job.json"]);
    project.assert_no_strays();
    cluster.assert_nothing_left(&project);
    engine.assert_no_containers_of(&project);
    hosts.assert_nothing_left(&project);
    let planned = project.job().events_of("task-planned");
    let together = account(&project, ran);
    assert_eq!(together.code, Some(1));
    // By the numbers of the recipe. Tests of one environment follow each other in the plan.
    let mut planned: Vec<&str> = planned
        .iter()
        .map(|event| event["task"].as_str().unwrap())
        .collect();
    planned.sort_unstable();
    let mut planned = planned.into_iter();
    for (spawner, alone) in &alone {
        let mut tasks: Vec<&String> = alone.events.keys().collect();
        tasks.sort();
        for (task, beside) in tasks.into_iter().zip(&mut planned) {
            let (left, right) = (of_task(alone, task), of_task(&together, beside));
            assert_eq!(left, right, "{spawner}: {task} {beside}");
        }
    }
    assert_eq!(planned.next(), None);
}

/// The status of a test.
fn status<'a>(account: &'a Account, task: &str) -> &'a str {
    let ended = account.events[task].last().unwrap();
    ended["data"]["status"].as_str().unwrap()
}

#[test]
fn ends_of_programs_are_the_same_in_every_environment() {
    let account = assert_same(
        &[
            shell("passes", "exit 0"),
            shell("fails", "exit 1"),
            shell("code", "exit 77"),
            shell("signal", "kill -SEGV $$"),
            exec("missing", "/no/such/program"),
            exec("directory", "/tmp"),
            noop("nothing"),
        ],
        &[],
    );
    assert_eq!(account.code, Some(1));
    assert_eq!(status(&account, "1-passes"), "PASS");
    assert_eq!(status(&account, "2-fails"), "FAIL");
    assert_eq!(status(&account, "4-signal"), "FAIL");
    assert_eq!(status(&account, "5-missing"), "ERROR");
}

#[test]
fn output_and_artifacts_are_the_same_bytes_in_every_environment() {
    let big = "i=0; while test $i -lt 20000; do echo \"line $i of many lines of output\"; \
               i=$((i+1)); done";
    let binary = "printf '\\000\\377\\n\\000'; printf '\\200' >&2";
    let artifacts = "cd $AVOCADO_TEST_OUTPUTDIR && mkdir -p a/b && printf '\\000\\001' >a/b/c && \
                     echo text >d && chmod 600 d";
    let account = assert_same(
        &[
            shell("big", big),
            shell("binary", binary),
            shell("artifacts", artifacts),
            shell("silent", "true"),
        ],
        &[],
    );
    assert_eq!(account.code, Some(0));
    assert!(account.files["1-big/stdout"].len() > 600_000);
    assert_eq!(account.files["2-binary/stdout"], b"\0\xff\n\0");
    assert_eq!(account.files["3-artifacts/a/b/c"], b"\0\x01");
    assert!(!account.files.contains_key("4-silent/stdout"));
}

#[test]
fn surroundings_of_a_test_are_the_same_in_every_environment() {
    let script = "cat data && test -d $AVOCADO_TEST_OUTPUTDIR && test -d $AVOCADO_TEST_WORKDIR && \
                  test -z \"$(ls $AVOCADO_TEST_WORKDIR)\" && echo $OWN $AVOCADO_TEST_OUTPUTDIR | \
                  sed 's,/.*/test-results,,' && ! read line";
    let test = with(shell("sees", script), "kwargs", json!({"OWN": "own value"}));
    let account = assert_same(&[test], &[]);
    assert_eq!(account.code, Some(0));
    let seen = String::from_utf8_lossy(&account.files["1-sees/stdout"]).into_owned();
    assert_eq!(seen, "of the project\nown value /1-sees\n");
}

#[test]
fn timeouts_and_left_over_processes_are_the_same_in_every_environment() {
    let leaves = "setsid sleep 1000 >/dev/null 2>&1 & sleep 1000 & true";
    let account = assert_same(
        &[
            shell("leaves", leaves),
            shell("hangs", "echo begins; trap '' TERM; sleep 1000; sleep 1000"),
            shell("after", "true"),
        ],
        &["--task-timeout", "1", "--max-parallel-tasks", "1"],
    );
    assert_eq!(account.code, Some(8));
    assert_eq!(status(&account, "2-hangs"), "INTERRUPTED");
    assert_eq!(account.files["2-hangs/stdout"], b"begins\n");
    assert_eq!(status(&account, "3-after"), "PASS");
}

#[test]
fn tests_with_requirements_have_the_same_results_in_every_environment() {
    // The same path is free on the machine, in a sandbox of it, and in the image.
    let directory = tempfile::Builder::new()
        .prefix("persea-met-")
        .tempdir_in("/var/tmp")
        .unwrap();
    let path = directory.path().to_str().unwrap().to_owned();
    directory.close().unwrap();
    let needs = |name: &str, scope: &str| {
        json!({
            "type": "command", "label": name, "scope": scope,
            "setup": format!("mkdir -p {path} && echo {name} >>{path}/{name}"),
            "teardown": format!("rm {path}/{name}"),
        })
    };
    let broken = json!({"type": "command", "label": "broken", "setup": "exit 3"});
    let sees = |files: &str| format!("cat {path}/{files}");
    let account = assert_same(
        &[
            requiring(shell("one", &sees("one")), &json!([needs("one", "job")])),
            requiring(
                shell("two", &sees("two")),
                &json!([needs("one", "job"), needs("two", "task")]),
            ),
            requiring(shell("again", &sees("two")), &json!([needs("two", "task")])),
            requiring(shell("unmet", "true"), &json!([broken])),
        ],
        &["--max-parallel-tasks", "1"],
    );
    for (file, text) in [("1-one", "one\n"), ("2-two", "two\n"), ("3-again", "two\n")] {
        let seen = &account.files[&format!("{file}/stdout")];
        assert_eq!(String::from_utf8_lossy(seen), text, "{file}");
    }
    assert_eq!(status(&account, "4-unmet"), "CANCEL");
    let _ = std::fs::remove_dir(Path::new(&path));
}

/// Adds the plugin `lab`, which may start processes anywhere, and the program `./connect`, which
/// needs no file of an image.
fn with_lab(project: &Fixture) {
    project.file("plugins/lab.wasm", &components()["lab"]);
    let add = ["plugin", "add", "plugins/lab.wasm", "--grant", "process=*"];
    project.run(&add).code(0);
    let source = project.file("connect.c", include_str!("conformance/connect.c"));
    let mut cc = Command::new("cc");
    cc.args(["-static", "-o"])
        .arg(project.project().join("connect"));
    let compiled = cc.arg(source).output().unwrap();
    let said = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{said}");
}

#[test]
fn streams_that_a_plugin_asks_for_are_the_same_in_every_environment() {
    let names = ["socket", "socket-file", "terminal", "input"];
    let task = |name| json!({"kind": "lab", "uri": name, "args": [format!("stream {name}")]});
    let account = assert_same_in(&names.map(task), &[], with_lab);
    let file = |name: &str| String::from_utf8_lossy(&account.files[name]).into_owned();
    assert_eq!(account.code, Some(0), "{:?}", account.events);
    let report = "by descriptor\nby socket\nby socket again\n";
    assert_eq!(file("1-socket/report"), report);
    assert_eq!(file("2-socket-file/report-file"), report);
    assert_eq!(
        file("3-terminal/screen"),
        "30 90\r\nall\r\nready\r\nread typed\r\n"
    );
    assert_eq!(file("4-input/input"), "of the project\n");
    assert_eq!(file("4-input/missing"), "not-found");
    // Nothing of the report is in the output.
    assert_eq!(file("1-socket/stdout"), "");
}
