//! Owns that a resumed job is the same job: its plan, settings and plugins, and one host.

use serde_json::Value;

use super::{assert_whole, end_of, kill, resume, start, wait_for_start, waiting};
use crate::support::plugins::{GREET, with_unlocked};
use crate::support::recipes::shell;
use crate::support::{Fixture, assert_stderr, finish, wait_until};

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
