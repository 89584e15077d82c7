//! Owns what is left of a killed host in each kind of environment, before its job goes on.

use serde_json::{Value, json};

use super::{assert_whole, attempts, counted, end_of, kill, resume, start, wait_for_start};
use crate::support::engine::Engine;
use crate::support::recipes::shell;
use crate::support::ssh::Hosts;
use crate::support::{Fixture, Ran, finish, wait_until};

/// Kills the host of a job of one test that has ended, one that runs and one that has not started,
/// and resumes the job. Returns its end, and the number of the process of the first attempt.
#[track_caller]
fn kill_and_resume(project: &Fixture) -> (Ran, String) {
    let marks = project.root().join("marks");
    std::fs::create_dir_all(&marks).unwrap();
    let marks = marks.display();
    let running = format!(
        "echo before; echo $$ >>{marks}/a.runs; until test -e {marks}/end; do sleep 0.02; done"
    );
    let count =
        |name: &str, code: i32| shell(name, &format!("echo x >>{marks}/{name}.runs; exit {code}"));
    let tests = [count("ended", 1), shell("a", &running), count("later", 0)];
    project.recipe("job.json", &tests);
    let host = start(project, &["run", "--max-parallel-tasks", "1", "job.json"]);
    let first = project.wait_for("../marks/a.runs");
    wait_for_start(project, "a");
    // The log is written behind the journal.
    let log = project.job().0.join("job.log");
    wait_until("the first line of the log", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        match text.contains("runs 3 tasks") {
            true => Ok(()),
            false => Err(text),
        }
    });
    kill(host);
    project.file("../marks/end", "");
    let ran = resume(project).code(1);
    assert_eq!(ran.stderr, "", "{ran}");
    let notice = "1 of 3 tests keep their results; 1 run again, 1 have not";
    assert!(ran.stdout.contains(notice), "{ran}");
    assert_whole(
        project,
        &ran,
        &[("ended", "FAIL"), ("a", "PASS"), ("later", "PASS")],
    );
    let runs = |name: &str| project.lines(&format!("../marks/{name}.runs")).len();
    assert_eq!([runs("ended"), runs("a"), runs("later")], [1, 2, 1]);
    let end = end_of(project, "a");
    assert_eq!((&end["attempts"], &end["flaky"]), (&json!(2), &Value::Null));
    let before = attempts(project, "a");
    assert_eq!(before.len(), 1, "{before:?}");
    assert_eq!(before[0].0, "job-taken-over");
    let kept = std::fs::read_to_string(project.job().0.join(&before[0].1).join("stdout"));
    assert_eq!(kept.unwrap(), "before\n");
    (ran, first)
}

#[test]
fn killed_job_goes_on_on_this_machine() {
    let project = Fixture::new();
    let (ran, first) = kill_and_resume(&project);
    let process = format!("/proc/{}", first.trim());
    assert!(!std::path::Path::new(&process).exists());
    assert!(ran.stdout.contains("FAILURES   : 1 of 3"), "{ran}");
    assert!(ran.stdout.contains("PASS 2 | ERROR 0 | FAIL 1 |"), "{ran}");
    let taken = project.job().events_of("job-taken-over");
    let [taken] = taken.as_slice() else {
        panic!("{taken:?}");
    };
    let first = &project.job().events_of("job-started")[0]["data"]["take-over"]["host"];
    let host = &taken["data"]["host"];
    assert_eq!(
        (&host["machine"], &host["boot"]),
        (&first["machine"], &first["boot"])
    );
    assert_ne!(host["process"], first["process"]);
    let log = project.job().read("job.log");
    assert_eq!(log.matches("Resuming the job").count(), 1, "{log}");
    assert_eq!(log.matches("runs 3 tasks").count(), 2, "{log}");
}

#[test]
fn killed_job_goes_on_in_sandboxes() {
    let project = Fixture::new();
    let marks = project.root().join("marks").display().to_string();
    project.user_config(&format!(
        "run.spawner = \"sandbox\"\nspawner.sandbox.show = [\"{marks}\"]\n"
    ));
    // What a test writes outside of its directory stays in its sandbox: the marks are pipes' way.
    let host_sees = "echo before >$AVOCADO_TEST_OUTPUTDIR/mark; test -e go && exit 0; sleep 1000";
    project.recipe(
        "job.json",
        &[
            shell("ended", "echo out; exit 1"),
            shell("a", host_sees),
            shell("later", "true"),
        ],
    );
    let host = start(&project, &["run", "--max-parallel-tasks", "1", "job.json"]);
    let running = project
        .root()
        .join("home/persea/job-results/latest/.running");
    wait_until("the test's file", || {
        let environments = std::fs::read_dir(&running).map_err(|error| error.to_string())?;
        let mut marks = environments.flatten().map(|it| it.path().join("2-a/mark"));
        let found = marks.any(|mark| mark.metadata().is_ok_and(|it| it.len() > 0));
        found.then_some(()).ok_or_else(|| "not yet".to_owned())
    });
    kill(host);
    project.file("go", "");
    let ran = resume(&project).code(1);
    assert_whole(
        &project,
        &ran,
        &[("ended", "FAIL"), ("a", "PASS"), ("later", "PASS")],
    );
    let before = attempts(&project, "a");
    assert_eq!(before.len(), 1, "{before:?}");
    // The file of the attempt was in the directory of its sandbox.
    let kept = std::fs::read_to_string(project.job().0.join(&before[0].1).join("mark"));
    assert_eq!(kept.unwrap(), "before\n");
    assert!(!running.exists());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&project.root().display().to_string()));
}

#[test]
fn killed_job_goes_on_in_containers() {
    let (engine, project) = (Engine::shared(), Fixture::new());
    engine.configure(&project);
    let marks = project.root().join("marks");
    std::fs::create_dir(&marks).unwrap();
    let config = std::fs::read_to_string(project.root().join("home/.config/persea/config.toml"));
    project.user_config(&format!(
        "{}spawner.container.mounts = [\"{}:rw\"]\n",
        config.unwrap(),
        marks.display()
    ));
    kill_and_resume(&project);
    assert!(!project.job().0.join(".running").exists());
    engine.assert_no_containers_of(&project);
    let ready = project.job().events_of("environment-changed");
    let mut ready = ready
        .iter()
        .filter(|event| event["data"]["state"] == "ready");
    assert!(ready.all(|event| event["data"]["container"].is_string()));
}

#[test]
fn killed_job_goes_on_on_other_hosts_after_their_lease() {
    let project = Fixture::new();
    let hosts = Hosts::start(&project, &["one"]);
    let running = "echo $$ >>a.runs; until test -e end; do sleep 0.02; done";
    project.recipe("job.json", &[counted("ended", 1), shell("a", running)]);
    let host = start(&project, &["run", "job.json"]);
    project.wait_for("a.runs");
    wait_for_start(&project, "a");
    kill(host);
    let killed = std::time::Instant::now();
    project.file("end", "");
    let ran = resume(&project).code(1);
    for part in ["Waiting up to ", "lease", "1 of 2 tests keep"] {
        assert!(ran.stdout.contains(part), "no {part:?} in\n{ran}");
    }
    // A lease of 3 s, and the second that a helper may take to end.
    assert!(
        killed.elapsed() >= std::time::Duration::from_secs(4),
        "{ran}"
    );
    assert_whole(&project, &ran, &[("ended", "FAIL"), ("a", "PASS")]);
    assert_eq!(project.lines("ended.runs").len(), 1);
    assert_eq!(project.lines("a.runs").len(), 2);
    hosts.assert_nothing_left(&project);
}

#[test]
fn job_behind_a_cut_network_goes_on_when_its_helper_has_ended() {
    let project = Fixture::new();
    let mut hosts = Hosts::start(&project, &["one", "two"]);
    let running = "echo begin >>log; trap 'echo end >>log' EXIT; \
                   until test -e end; do echo $$ >>alive; sleep 0.05; done";
    project.recipe("job.json", &[shell("a", running)]);
    let host = start(&project, &["run", "--hosts", "one", "job.json"]);
    let first = project.wait_for("alive");
    wait_for_start(&project, "a");
    hosts.cut("one");
    kill(host);
    let ran = {
        let resumed = project.persea(&["run", "--hosts", "two", "--resume", "latest"]);
        let resumed = { resumed }.spawn().unwrap();
        wait_until("the second attempt", || {
            let first = first.lines().next().unwrap().to_owned();
            let lines = project.lines("alive");
            let second = lines.iter().find(|line| **line != first);
            second.map(drop).ok_or_else(|| "not yet".to_owned())
        });
        // The first attempt had ended before.
        let first = first.lines().next().unwrap();
        let lines = project.lines("alive");
        let begin = lines.iter().position(|line| line != first).unwrap();
        assert!(lines[begin..].iter().all(|line| line != first), "{lines:?}");
        assert!(!std::path::Path::new(&format!("/proc/{first}")).exists());
        project.file("end", "");
        finish(resumed).code(0)
    };
    assert_whole(&project, &ran, &[("a", "PASS")]);
}

#[test]
fn environments_are_recorded_once_for_all_their_tests() {
    let project = Fixture::new();
    let tests: Vec<Value> = (0..20).map(|n| shell(&format!("t{n}"), "true")).collect();
    project.recipe("job.json", &tests);
    project
        .run(&["run", "--max-parallel-tasks", "2", "job.json"])
        .code(0);
    let changed = project.job().events_of("environment-changed");
    let mut by_number: std::collections::BTreeMap<u64, Vec<&Value>> = Default::default();
    for event in &changed {
        let number = event["data"]["environment"].as_u64().unwrap();
        by_number.entry(number).or_default().push(&event["data"]);
    }
    assert_eq!(by_number.keys().copied().collect::<Vec<_>>(), [1, 2]);
    for events in by_number.values() {
        let states: Vec<&Value> = events.iter().map(|data| &data["state"]).collect();
        assert_eq!(states, ["starting", "ready", "closed"]);
        assert!(events.iter().all(|data| data["spawner"] == "process"));
        assert!(events[1]["process"].as_u64().unwrap() > 1);
        assert!(events[1]["process-start"].as_u64().unwrap() > 0);
        assert_eq!(events[1]["process"], events[1]["helper"]);
    }
    let log = project.job().read("job.log");
    assert!(log.contains("environment 1 (process, slot "), "{log}");
    let last = project.job().events().pop().unwrap();
    assert_eq!(last["event"], "job-finished");
}
