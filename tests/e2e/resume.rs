//! Owns `persea run --resume`: a job whose host was killed or interrupted is finished, with exactly
//! one result for each test, and nothing of the former host is left. What the resumed job looks
//! like is in `faults`, of random jobs.

use std::process::Child;

use serde_json::{Value, json};

use crate::chaos::faults;
use crate::support::engine::Engine;
use crate::support::plugins::{GREET, with_unlocked};
use crate::support::recipes::{logged, logged_test, shell, with};
use crate::support::ssh::Hosts;
use crate::support::{Fixture, Ran, assert_stderr, finish, signal, wait_until};

/// A test that appends a line to a file when it runs, and ends when there is another file.
fn waiting(name: &str) -> Value {
    let script = format!("echo $$ >>{name}.runs; until test -e {name}.end; do sleep 0.02; done");
    shell(name, &script)
}

/// A test that appends a line to a file and ends with this exit code.
fn counted(name: &str, code: i32) -> Value {
    shell(name, &format!("echo x >>{name}.runs; exit {code}"))
}

/// Starts a job.
fn start(project: &Fixture, args: &[&str]) -> Child {
    project.persea(args).spawn().unwrap()
}

/// Kills a host with SIGKILL.
fn kill(host: Child) {
    signal(host.id(), "KILL");
    finish(host);
}

/// Waits until the journal has the start of a test.
#[track_caller]
fn wait_for_start(project: &Fixture, name: &str) {
    wait_until("the start in the journal", || {
        let started = project.job().tasks_with("task-started");
        let is_there = started.iter().any(|id| id.contains(&format!("-{name}")));
        is_there.then_some(()).ok_or_else(|| format!("{started:?}"))
    });
}

/// Resumes the latest job to its end.
fn resume(project: &Fixture) -> Ran {
    project.run(&["run", "--resume", "latest"])
}

/// The job of this number of tests has ended whole, with these results by name.
#[track_caller]
fn assert_whole(project: &Fixture, ran: &Ran, expected: &[(&str, &str)]) {
    let faults = faults(project, ran, expected.len());
    assert!(faults.is_empty(), "{}\n{ran}", faults.join("\n"));
    for (name, status) in expected {
        assert_eq!(project.job().status(name), *status, "{name}\n{ran}");
    }
}

/// The end of a task in the journal.
fn end_of(project: &Fixture, name: &str) -> Value {
    let ends = project.job().events_of("task-finished");
    let found = ends.into_iter().rev();
    let mut found = found.filter(|event| event["data"]["name"] == name);
    found.next().unwrap()["data"].clone()
}

/// The causes of a task's earlier attempts, and the names of their directories.
fn attempts(project: &Fixture, name: &str) -> Vec<(String, String)> {
    let retried = project.job().events_of("task-retried");
    let of_task = retried.iter().filter(|event| event["data"]["name"] == name);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    of_task
        .map(|event| {
            (
                text(&event["data"]["cause"]),
                text(&event["data"]["directory"]),
            )
        })
        .collect()
}

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
fn interrupted_job_goes_on_with_one_result_for_each_test() {
    for number in ["INT", "TERM"] {
        let project = Fixture::new();
        let needs = with(counted("needs", 0), "needs", json!(["a"]));
        let tests = [
            counted("ended", 0),
            waiting("a"),
            counted("later", 0),
            needs,
        ];
        project.recipe("job.json", &tests);
        let host = start(&project, &["run", "--max-parallel-tasks", "1", "job.json"]);
        project.wait_for("a.runs");
        wait_for_start(&project, "a");
        signal(host.id(), number);
        let ran = finish(host).code(8);
        assert!(
            ran.stdout.contains("GO ON WITH : persea run --resume "),
            "{ran}"
        );
        assert_eq!(project.job().status("a"), "INTERRUPTED");
        assert_eq!(project.job().status("later"), "SKIP");
        assert_eq!(project.job().status("needs"), "SKIP");
        project.file("a.end", "");
        let ran = resume(&project).code(0);
        let job = project.job();
        let results = job.results();
        assert_eq!(
            (&results["total"], &results["pass"]),
            (&json!(4), &json!(4)),
            "{ran}"
        );
        assert_eq!(results["tests"].as_array().unwrap().len(), 4);
        for (format, file) in [("json", "results.json"), ("tap", "results.tap")] {
            let again = project
                .run(&["report", "latest", "--format", format])
                .code(0);
            assert_eq!(again.stdout, job.read(file));
        }
        assert_eq!(project.lines("ended.runs").len(), 1);
        assert_eq!(project.lines("a.runs").len(), 2);
        assert_eq!(end_of(&project, "a")["attempts"], 2);
        assert_eq!(end_of(&project, "later").get("attempts"), None);
        let ran = resume(&project).code(2);
        assert_stderr(&ran, &["nothing to resume", "(4 in all)", "--failed"]);
    }
}

#[test]
fn job_that_ran_out_of_time_goes_on() {
    let project = Fixture::new();
    project.recipe("job.json", &[waiting("a"), counted("b", 0)]);
    let ran = project.run(&[
        "run",
        "--max-parallel-tasks",
        "1",
        "--job-timeout",
        "1",
        "job.json",
    ]);
    assert_eq!(ran.code, Some(8), "{ran}");
    project.file("a.end", "");
    let ran = resume(&project).code(0);
    assert!(ran.stdout.contains("PASS 2 |"), "{ran}");
    project.assert_no_strays();
}

#[test]
fn job_that_has_ended_has_nothing_to_resume() {
    let project = Fixture::new();
    project.recipe("job.json", &[counted("a", 1)]);
    project.run(&["run", "job.json"]).code(1);
    let before = project.job().read("events.jsonl");
    let ran = resume(&project).code(2);
    assert_stderr(&ran, &["nothing to resume", "(1 in all)", "help: "]);
    assert_eq!(project.job().read("events.jsonl"), before);
    assert_eq!(project.lines("a.runs").len(), 1);
    let ran = project.run(&["run", "--resume", "abcdef"]).code(4);
    assert_stderr(&ran, &["no job `abcdef`"]);
}

#[test]
fn two_hosts_never_work_on_one_job() {
    let project = Fixture::new();
    project.recipe("job.json", &[waiting("a")]);
    let first = start(&project, &["run", "job.json"]);
    project.wait_for("a.runs");
    let ran = resume(&project).code(4);
    assert_stderr(&ran, &["is still running", "two hosts never"]);
    kill(first);
    let second = start(&project, &["run", "--resume", "latest"]);
    wait_until("the second attempt", || {
        match project.lines("a.runs").len() {
            2 => Ok(()),
            lines => Err(lines.to_string()),
        }
    });
    let ran = resume(&project).code(4);
    assert_stderr(&ran, &["is still running"]);
    let ran = project.run(&["release", "latest"]);
    assert!(!ran.stderr.contains("panicked"), "{ran}");
    project.file("a.end", "");
    let ran = finish(second).code(0);
    assert_whole(&project, &ran, &[("a", "PASS")]);
    assert_eq!(project.lines("a.runs").len(), 2);
}

#[test]
fn retries_are_those_that_were_left() {
    let project = Fixture::new();
    let script = "echo x >>a.runs; test $(wc -l <a.runs) = 2 && touch second && sleep 1000; false";
    project.recipe("job.json", &[shell("a", script)]);
    let host = start(&project, &["run", "--retries", "2", "job.json"]);
    project.wait_for_existence("second");
    wait_until("the second start in the journal", || {
        match project.job().tasks_with("task-started").len() {
            2 => Ok(()),
            starts => Err(starts.to_string()),
        }
    });
    kill(host);
    let ran = resume(&project).code(1);
    assert_whole(&project, &ran, &[("a", "FAIL")]);
    // The first attempt, the one that ended with its host, and two retries.
    assert_eq!(project.lines("a.runs").len(), 4);
    assert_eq!(end_of(&project, "a")["attempts"], 4);
    let causes: Vec<String> = attempts(&project, "a").into_iter().map(|it| it.0).collect();
    assert_eq!(causes, ["", "job-taken-over", ""]);
}

#[test]
fn requirement_of_the_killed_host_is_released_and_met_again() {
    let project = Fixture::new();
    let both = json!([logged("one"), logged("two")]);
    let script = "echo run a >>log; until test -e a.end; do sleep 0.02; done";
    let mut waits = shell("a", script);
    waits["kwargs"]["dependencies"] = both.clone();
    let unneeded = logged_test("ended", &json!([logged("three")]));
    project.recipe("job.json", &[unneeded, waits]);
    let host = start(&project, &["run", "--max-parallel-tasks", "1", "job.json"]);
    wait_until("the test", || {
        let log = project.lines("log");
        let runs = log.iter().any(|line| line == "run a");
        runs.then_some(()).ok_or_else(|| format!("{log:?}"))
    });
    kill(host);
    project.assert_no_strays();
    let before = project.lines("log").len();
    project.file("a.end", "");
    let ran = resume(&project).code(0);
    assert_whole(&project, &ran, &[("ended", "PASS"), ("a", "PASS")]);
    let log = project.lines("log");
    let mut downs = log[before..before + 3].to_vec();
    downs.sort();
    assert_eq!(downs, ["down one", "down three", "down two"], "{log:?}");
    // That of the test that has ended is not met again.
    let rest: Vec<&str> = log[before + 3..].iter().map(String::as_str).collect();
    assert_eq!(rest.len(), 5, "{log:?}");
    assert_eq!(rest[2..], ["run a", "down two", "down one"], "{log:?}");
    let left = project.run(&["release"]).code(0);
    assert_eq!(left.stdout, "", "{left}");
}

#[test]
fn torn_last_line_is_cut_off() {
    for end in [
        &b"{\"event\":\"task-finished\",\"time\":17"[..],
        b"\0\0\0\0\0\0\0\0",
        b"{\"event\":\"task-fin\0\0\0\n",
    ] {
        let project = Fixture::new();
        project.recipe("job.json", &[counted("ended", 0), waiting("a")]);
        let host = start(&project, &["run", "--max-parallel-tasks", "1", "job.json"]);
        project.wait_for("a.runs");
        wait_for_start(&project, "a");
        kill(host);
        let path = project.job().0.join("events.jsonl");
        let mut journal = std::fs::read(&path).unwrap();
        journal.extend_from_slice(end);
        std::fs::write(&path, journal).unwrap();
        project.file("a.end", "");
        let ran = resume(&project).code(0);
        assert_whole(&project, &ran, &[("ended", "PASS"), ("a", "PASS")]);
        assert_eq!(project.lines("ended.runs").len(), 1);
    }
}

#[test]
fn plan_and_settings_are_those_with_which_the_job_began() {
    let project = Fixture::new();
    project.file("persea.toml", "run.retries = 1\n");
    project.script("a.sh", "echo x >>a.runs; sleep 1000");
    project.script("b.sh", "echo x >>b.runs; exit 1");
    let host = start(
        &project,
        &["run", "--max-parallel-tasks", "1", "a.sh", "b.sh"],
    );
    project.wait_for("a.runs");
    wait_for_start(&project, "a");
    kill(host);
    // Neither the settings nor the references of now count; what the tests do, does.
    project.file("persea.toml", "run.retries = 5\n");
    project.script("a.sh", "echo x >>a.runs");
    project.file("c.sh", "");
    let ran = resume(&project).code(1);
    assert_whole(&project, &ran, &[("a.sh", "PASS"), ("b.sh", "FAIL")]);
    assert_eq!(project.lines("b.runs").len(), 2);
    assert_eq!(end_of(&project, "b.sh")["attempts"], 2);
}

#[test]
fn other_option_directory_or_journal_is_refused() {
    let project = Fixture::new();
    project.recipe("job.json", &[waiting("a")]);
    let host = start(&project, &["run", "job.json"]);
    project.wait_for("a.runs");
    wait_for_start(&project, "a");
    kill(host);
    let before = project.job().read("events.jsonl");
    let refused = |args: &[&str], parts: &[&str]| {
        let ran = project.run(args).code(4);
        assert_stderr(&ran, parts);
    };
    let resume = ["run", "--resume", "latest"];
    refused(
        &[&resume[..], &["--spawner", "sandbox"]].concat(),
        &["`run.spawner` is `\"sandbox\"` now", "`\"process\"`"],
    );
    refused(
        &[&resume[..], &["job.json"]].concat(),
        &["cannot be used with"],
    );
    let elsewhere = project.file("elsewhere/file", "");
    let ran = project.run_with(&resume, |command| {
        command.current_dir(elsewhere.parent().unwrap())
    });
    assert_stderr(&ran, &["ran in another project", "cd ", "--resume"]);
    ran.code(4);
    let version = before.replace(
        concat!("\"persea-version\":\"", env!("CARGO_PKG_VERSION"), "\""),
        "\"persea-version\":\"0.0.7\"",
    );
    let path = project.job().0.join("events.jsonl");
    std::fs::write(&path, version).unwrap();
    refused(&resume, &["run by Persea 0.0.7", "help: "]);
    std::fs::write(&path, &before).unwrap();
    let copy = project.file("copy/events.jsonl", &before);
    let copy = copy.parent().unwrap().to_str().unwrap().to_owned();
    refused(
        &["run", "--resume", &copy],
        &["not in your directory of results", "--results-dir"],
    );
    refused(
        &["run", "--results-dir", ".", "--resume", &copy],
        &["has been moved"],
    );
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    refused(&resume, &["others may write to it"]);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(project.job().read("events.jsonl"), before);
    project.file("a.end", "");
    let ran = project.run(&resume).code(0);
    assert_whole(&project, &ran, &[("a", "PASS")]);
}

#[test]
fn plugins_are_those_with_which_the_job_began() {
    let project = with_unlocked(&["runner-greet"]);
    let greet: Value = serde_json::from_str(GREET).unwrap();
    let waits = shell("a", "until test -e a.end; do sleep 0.02; done");
    project.recipe("job.json", &[greet, waits]);
    let args = [
        "run",
        "--plugin-dir",
        "plugins",
        "--grant",
        "process=sandbox",
        "--spawner",
        "sandbox",
        "--max-parallel-tasks",
        "1",
        "job.json",
    ];
    let host = start(&project, &args);
    let results = project.root().join("home/persea/job-results/latest");
    wait_until("the job", || match results.join("events.jsonl").exists() {
        true => Ok(()),
        false => Err("not yet".to_owned()),
    });
    wait_for_start(&project, "a");
    kill(host);
    let plugin = project.project().join("plugins/runner-greet.wasm");
    let component = std::fs::read(&plugin).unwrap();
    std::fs::remove_file(&plugin).unwrap();
    let ran = resume(&project).code(4);
    assert_stderr(
        &ran,
        &["the runner of greet was", "there is none now", "help: "],
    );
    // A custom section at the end: another binary that does the same.
    let changed = [&component[..], &[0, 2, 1, b'x']].concat();
    std::fs::write(&plugin, changed).unwrap();
    let ran = resume(&project).code(4);
    assert_stderr(
        &ran,
        &["the runner of greet was", "SHA-256", "it is runner"],
    );
    std::fs::write(&plugin, component).unwrap();
    project.file("a.end", "");
    // The directory of plugins and the grants are those of the first command line.
    let ran = resume(&project).code(0);
    assert_whole(&project, &ran, &[("World", "PASS"), ("a", "PASS")]);
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
