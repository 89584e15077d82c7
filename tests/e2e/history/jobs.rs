//! Owns `persea jobs`: the list, one job, and the removal of old ones.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::answer;
use crate::support::recipes::{logged, logged_requirement, logged_test, shell};
use crate::support::{Fixture, Job, assert_stderr, finish, signal, wait_until};

/// Runs a job of one test, and returns the job's directory.
fn run(project: &Fixture, program: &str, code: i32) -> PathBuf {
    project.run(&["run", program]).code(code);
    project.job().0
}

fn name(job: &Path) -> &str {
    job.file_name().unwrap().to_str().unwrap()
}

/// Makes a job as old as this: its journal says that it began then.
fn age(job: &Path, days: u64) {
    let path = job.join("events.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let begun = Job(job.to_path_buf()).events_of("job-started")[0]["time"]
        .as_u64()
        .unwrap();
    let before = begun - days * 24 * 60 * 60 * 1_000_000_000;
    std::fs::write(
        &path,
        text.replacen(&begun.to_string(), &before.to_string(), 1),
    )
    .unwrap();
}

/// The objects of `persea jobs list --json`.
fn listed(project: &Fixture, options: &[&str]) -> Vec<Value> {
    let ran = project
        .run(&[&["jobs", "list", "--json"], options].concat())
        .code(0);
    let lines = ran.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn list_has_the_newest_job_first_with_its_results() {
    let project = Fixture::new();
    let empty = project.run(&["jobs", "list"]).code(0);
    assert_eq!(empty.stdout, "");
    assert_stderr(&empty, &["note: there are no jobs in "]);
    let first = run(&project, "/bin/false", 1);
    let second = run(&project, "/bin/true", 0);
    let ran = project.run(&["jobs", "list"]).code(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!((lines.len(), ran.stderr.as_str()), (2, ""), "{ran}");
    for (line, job, results) in [(lines[0], &second, "PASS 1"), (lines[1], &first, "FAIL 1")] {
        assert!(line.starts_with(name(job)), "{ran}");
        assert!(
            line.contains("  finished  ") && line.ends_with(results),
            "{ran}"
        );
    }
    let newest = project.run(&["jobs", "list", "--limit", "1"]).code(0);
    assert_eq!(newest.stdout.lines().count(), 1);
    assert_stderr(&newest, &["note: 1 older jobs are not shown"]);
    let objects = listed(&project, &[]);
    assert_eq!(objects[1]["directory"], first.to_str().unwrap());
    assert_eq!(objects[1]["tally"]["fail"], 1);
    assert_eq!(objects[0]["state"], "finished");
    let results = project.root().join("results");
    let options = ["--results-dir", results.to_str().unwrap()];
    project
        .run(&[&["run"], &options[..], &["/bin/true"]].concat())
        .code(0);
    assert_eq!(listed(&project, &options).len(), 1);
    assert_eq!(listed(&project, &[]).len(), 2);
}

#[test]
fn job_is_running_until_its_end_and_killed_without_one() {
    let project = Fixture::new();
    let waiting = shell(
        "waits",
        "touch started; until test -e end; do sleep 0.02; done",
    );
    project.recipe("job.json", &[shell("first", "true"), waiting]);
    let args = ["run", "--max-parallel-tasks", "1", "job.json"];
    let host = project.persea(&args).spawn().unwrap();
    project.wait_for_existence("started");
    let state = || {
        let job = listed(&project, &[]).remove(0);
        (
            job["state"].as_str().unwrap().to_owned(),
            job["tally"]["pass"].as_u64().unwrap(),
        )
    };
    wait_until("the end of the first test in the journal", || {
        match state() {
            (state, 1) if state == "running" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let busy = project.run(&["export", "latest"]).code(4);
    assert_stderr(&busy, &["is still running", "help: wait for its end"]);
    project.file("end", "");
    finish(host).code(0);
    assert_eq!(state(), ("finished".to_owned(), 2));
    std::fs::remove_file(project.project().join("started")).unwrap();
    std::fs::remove_file(project.project().join("end")).unwrap();
    let host = project.persea(&args).spawn().unwrap();
    project.wait_for_existence("started");
    signal(host.id(), "KILL");
    finish(host);
    assert_eq!(state().0, "killed");
    let shown = answer(&project, &["jobs", "show", "latest"]);
    assert_eq!(shown["without-result"], json!(["waits"]));
}

#[test]
fn job_is_shown_by_any_of_its_names() {
    let project = Fixture::new();
    let tests = [
        shell("good", "true"),
        shell("bad\u{1b}[2J", "echo no; exit 3"),
    ];
    project.recipe("job.json", &tests);
    project.run(&["run", "job.json"]).code(1);
    let job = project.job().0;
    let id = project.job().read("id");
    let id = id.trim();
    for text in [
        "latest",
        id,
        &id[..6],
        name(&job),
        &name(&job)[..12],
        job.to_str().unwrap(),
    ] {
        let shown = answer(&project, &["jobs", "show", text]);
        assert_eq!(shown["job-id"], id, "{text}");
        assert_eq!(shown["directory"], job.to_str().unwrap(), "{text}");
    }
    let ran = project.run(&["jobs", "show", "latest"]).code(0);
    for line in [
        &format!("JOB ID     : {id}\n"),
        "STATE      : finished\n",
        "REFERENCES : job.json\n",
        "COMMIT     : -\n",
        "RESULTS    : PASS 1, FAIL 1\n",
        " bad\\x1b[2J: FAIL: exited with code 3\n",
    ] {
        assert!(ran.stdout.contains(line), "no {line:?} in {ran}");
    }
    run(&project, "/bin/true", 0);
    let ran = project.run(&["jobs", "show", "job-2"]).code(4);
    assert_stderr(&ran, &["`job-2` is the beginning of the names of 2 jobs"]);
    let ran = project.run(&["jobs", "show", "job-none"]).code(4);
    assert_stderr(&ran, &["no job `job-none`"]);
}

#[test]
fn prune_removes_what_both_rules_let_go_and_says_what_it_frees() {
    let project = Fixture::new();
    let jobs: Vec<PathBuf> = (0..4).map(|_| run(&project, "/bin/true", 0)).collect();
    for (job, days) in jobs.iter().zip([40, 31, 10, 0]) {
        age(job, days);
    }
    let there = || jobs.iter().map(|job| job.exists()).collect::<Vec<_>>();
    let prune = |rules: &[&str]| project.run(&[&["jobs", "prune"], rules].concat()).code(0);
    let none = project.run(&["jobs", "prune"]).code(4);
    assert_stderr(&none, &["--keep <N>|--older-than <TIME>"]);
    let dry = prune(&["--keep", "1", "--older-than", "30d", "--dry-run"]);
    assert!(
        dry.stdout
            .contains(&format!("would remove {} (", name(&jobs[0]))),
        "{dry}"
    );
    assert!(
        dry.stdout.contains(": would remove 2 of 4 jobs, 2 stay\n"),
        "{dry}"
    );
    assert_eq!(there(), [true; 4]);
    let ran = prune(&["--keep", "1", "--older-than", "35d"]);
    assert!(
        ran.stdout.contains(" MiB: removed 1 of 4 jobs, 3 stay\n"),
        "{ran}"
    );
    assert_eq!(there(), [false, true, true, true]);
    prune(&["--keep", "2"]);
    assert_eq!(there(), [false, false, true, true]);
    // The job that `latest` names stays, whatever the rules say.
    let ran = prune(&["--keep", "0"]);
    assert_eq!(there(), [false, false, false, true]);
    assert_stderr(&ran, &["stays: it is the latest job"]);
    assert_eq!(listed(&project, &[]).len(), 1);
}

#[test]
fn prune_leaves_jobs_that_run_or_left_something_and_what_is_no_job() {
    let project = Fixture::new();
    let root = run(&project, "/bin/true", 0)
        .parent()
        .unwrap()
        .to_path_buf();
    // A requirement that could not be released.
    let stuck = logged_requirement("stuck", json!({"teardown": "test -e loose"}));
    project.recipe(
        "job.json",
        &[logged_test("t", &json!([stuck, logged("fine")]))],
    );
    project.run(&["run", "job.json"]).code(2);
    let left = project.job().0;
    let waiting = shell(
        "waits",
        "touch started; until test -e end; do sleep 0.02; done",
    );
    project.recipe("waits.json", &[waiting]);
    let host = project.persea(&["run", "waits.json"]).spawn().unwrap();
    project.wait_for_existence("started");
    let running = project.job().0;
    let damaged = run(&project, "/bin/true", 0);
    let journal = damaged.join("events.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(
        &journal,
        text + "{\"event\":\"requirement-started\",\"time\":1,\"data\":{}}\n",
    )
    .unwrap();
    // Directories and links that only look like jobs.
    let outside = project.root().join("outside");
    std::fs::create_dir(&outside).unwrap();
    for file in ["id", "events.jsonl"] {
        std::fs::copy(left.join(file), outside.join(file)).unwrap();
    }
    let link = root.join("job-link");
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    let mine = root.join("job-notes");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("notes"), "").unwrap();
    let other = root.join("mine");
    std::fs::create_dir(&other).unwrap();
    std::fs::copy(left.join("events.jsonl"), other.join("events.jsonl")).unwrap();
    let last = run(&project, "/bin/true", 0);
    let ran = project.run(&["jobs", "prune", "--keep", "0"]).code(0);
    assert!(
        ran.stdout
            .contains("removed 1 of 5 jobs, 4 stay (4 of them against the rules)"),
        "{ran}"
    );
    for (job, why) in [
        (&left, "it has requirements to release: `persea release "),
        (&running, "it is still running"),
        (
            &damaged,
            "nobody can tell whether it has requirements to release: ",
        ),
        (&last, "it is the latest job"),
    ] {
        assert_stderr(&ran, &[&format!("note: {} stays: {why}", name(job))]);
    }
    for path in [
        &left,
        &running,
        &last,
        &mine.join("notes"),
        &other,
        &outside.join("id"),
    ] {
        assert!(path.exists(), "{}", path.display());
    }
    assert!(link.is_symlink());
    project.file("end", "");
    finish(host).code(0);
    project.file("loose", "");
    project.run(&["release"]).code(0);
    project.run(&["jobs", "prune", "--keep", "0"]).code(0);
    assert!(!left.exists() && !running.exists() && last.exists());
}
