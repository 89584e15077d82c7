//! Owns the spawner `ssh`, with real servers: jobs over several hosts, hosts that cannot be used,
//! hosts that are lost while tests run, and what is left when this host is killed.

mod losses;
mod unusable;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::recipes::{exec, noop, requiring, shell};
use crate::support::ssh::Hosts;
use crate::support::{Fixture, assert_stderr, finish, signal};

/// The hosts on which attempts of the tests were started, in this order.
fn hosts_of(project: &Fixture) -> Vec<String> {
    let events = project.job().events_of("task-started");
    let host = |event: &Value| {
        event["data"]["environment"]["host"]
            .as_str()
            .map(str::to_owned)
    };
    events.iter().filter_map(host).collect()
}

/// A test that writes its process number to a file, and ends when there is another file.
fn waiting(name: &str) -> Value {
    let script = format!("echo $$ >>{name}.pid; until test -e {name}.end; do sleep 0.02; done");
    shell(name, &script)
}

#[test]
fn tests_run_on_all_hosts_and_leave_nothing_there() {
    let project = Fixture::new();
    let hosts = Hosts::start(&project, &["one", "two"]);
    project.file("data", "of the project\n");
    let meet = "echo $HOST_NAME >>met; until test $(sort -u met | wc -l) = 2; do sleep 0.02; done;
                cat data; pwd; echo $PWD
                touch $AVOCADO_TEST_WORKDIR/x $AVOCADO_TESTS_COMMON_TMPDIR/x
                echo left >$AVOCADO_TEST_OUTPUTDIR/left";
    project.recipe("job.json", &[shell("a", meet), shell("b", meet)]);
    let ran = project.run(&["run", "job.json"]).code(0);
    assert_eq!(ran.stderr, "", "{ran}");
    let mut used = hosts_of(&project);
    used.sort();
    assert_eq!(used, ["one", "two"]);
    let here = project.project().canonicalize().unwrap();
    let here = here.display();
    let seen = project.job().artifact("a", "stdout");
    assert_eq!(seen, format!("of the project\n{here}\n{here}\n"));
    assert_eq!(project.job().artifact("b", "left"), "left\n");
    hosts.assert_nothing_left(&project);
    let results = project.root().join("home/persea/job-results");
    let entries = std::fs::read_dir(results).unwrap().flatten();
    let names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), 2, "only the job and the link to it: {names:?}");
}

#[test]
fn variables_are_those_of_the_other_host() {
    let project = Fixture::new();
    let _hosts = Hosts::start(&project, &["one"]);
    let script = "test \"$OF_HERE\" = '' && test $HOST_NAME = one && test -n \"$SSH_CONNECTION\"";
    project.recipe("job.json", &[shell("sees", script)]);
    let ran = project.run_with(&["run", "job.json"], |command| command.env("OF_HERE", "x"));
    ran.code(0);
}

#[test]
fn option_names_the_hosts_and_their_slots() {
    let project = Fixture::new();
    let _hosts = Hosts::start(&project, &["one", "two"]);
    let meet = |n: usize| {
        format!("touch met.$$; until test $(ls met.* | wc -l) -ge {n}; do sleep 0.02; done")
    };
    let tests: Vec<Value> = (0..3).map(|n| shell(&format!("t{n}"), &meet(3))).collect();
    project.recipe("job.json", &tests);
    project
        .run(&["run", "--hosts", "one=3", "job.json"])
        .code(0);
    assert_eq!(hosts_of(&project), ["one", "one", "one"]);
    let ran = project.run(&["run", "--spawner", "process", "--hosts", "one", "job.json"]);
    assert_stderr(&ran, &["`--hosts one`", "add `--spawner ssh`"]);
    ran.code(4);
    let ran = project.run(&["run", "--set", "spawner.ssh.hosts=[]", "job.json"]);
    assert_stderr(&ran, &["needs hosts", "--hosts"]);
    ran.code(2);
}

#[test]
fn more_slots_than_one_connection_serves_are_used() {
    let project = Fixture::new();
    let hosts = Hosts::start(&project, &["one"]);
    let meet = "touch met.$$; until test $(ls met.* | wc -l) -ge 12; do sleep 0.02; done";
    let tests: Vec<Value> = (0..12).map(|n| shell(&format!("t{n}"), meet)).collect();
    project.recipe("job.json", &tests);
    let ran = project
        .run(&["run", "--hosts", "one=12", "job.json"])
        .code(0);
    assert_eq!(ran.stderr, "", "{ran}");
    hosts.assert_nothing_left(&project);
}

#[test]
fn other_shells_run_the_helper() {
    for shell_of_user in ["/bin/sh", "/bin/bash"] {
        let project = Fixture::new();
        let command = format!("ForceCommand exec {shell_of_user} -c \"$SSH_ORIGINAL_COMMAND\"");
        let hosts = Hosts::start_with(&project, &["one"], &command);
        project.run(&["run", "/bin/true"]).code(0);
        hosts.assert_nothing_left(&project);
    }
}

#[test]
fn requirements_are_met_on_one_host_and_refused_on_several() {
    let project = Fixture::new();
    let _hosts = Hosts::start(&project, &["one", "two"]);
    let needs = json!([{"type": "command", "label": "a", "setup": "echo $HOST_NAME >met",
                        "teardown": "mv met released"}]);
    let test = requiring(shell("needs", "cat met"), &needs);
    project.recipe("job.json", &[test, shell("other", "true")]);
    project.run(&["run", "job.json"]).code(1);
    project
        .job()
        .assert_error("needs", &["several hosts", "name one host"]);
    assert_eq!(project.job().status("other"), "PASS");
    assert!(!project.project().join("met").exists());
    project.run(&["run", "--hosts", "two", "job.json"]).code(0);
    assert_eq!(project.job().artifact("needs", "stdout"), "two\n");
    assert!(project.project().join("released").exists());
}

#[test]
fn requirement_of_a_killed_job_is_released_on_its_host() {
    let project = Fixture::new();
    let hosts = Hosts::start(&project, &["one", "two"]);
    let needs = json!([{"type": "command", "label": "a", "setup": "true",
                        "teardown": "echo $HOST_NAME >released"}]);
    project.recipe("job.json", &[requiring(waiting("a"), &needs)]);
    let args = ["run", "--hosts", "two", "job.json"];
    let persea = project.persea(&args).spawn().unwrap();
    project.wait_for("a.pid");
    signal(persea.id(), "KILL");
    finish(persea);
    hosts.assert_nothing_left(&project);
    project.run(&["release"]).code(0);
    assert_eq!(project.wait_for("released"), "two\n");
}

#[test]
fn job_without_processes_needs_no_host() {
    let project = Fixture::new();
    let mut hosts = Hosts::start(&project, &["one"]);
    hosts.kill("one");
    project.recipe("job.json", &[noop("nothing")]);
    project.run(&["run", "job.json"]).code(0);
}

#[test]
fn timeouts_and_interrupts_end_tests_on_other_hosts() {
    let project = Fixture::new();
    let hosts = Hosts::start(&project, &["one"]);
    let stubborn = "trap '' TERM; echo here >here; setsid sleep 1000 & sleep 1000; sleep 1000";
    project.recipe(
        "job.json",
        &[shell("hangs", stubborn), shell("after", "true")],
    );
    project
        .run(&["run", "--task-timeout", "1", "job.json"])
        .code(8);
    assert_eq!(project.job().status("hangs"), "INTERRUPTED");
    assert_eq!(project.job().status("after"), "PASS");
    hosts.assert_nothing_left(&project);
    std::fs::remove_file(project.project().join("here")).unwrap();
    let persea = project.persea(&["run", "job.json"]).spawn().unwrap();
    project.wait_for("here");
    signal(persea.id(), "INT");
    finish(persea).code(8);
    assert_eq!(project.job().status("hangs"), "INTERRUPTED");
    assert_eq!(project.job().status("after"), "SKIP");
    hosts.assert_nothing_left(&project);
}

#[test]
fn stopped_job_keeps_its_tests_on_other_hosts() {
    let project = Fixture::new();
    let hosts = Hosts::start(&project, &["one"]);
    project.recipe("job.json", &[waiting("a")]);
    let persea = project.persea(&["run", "job.json"]).spawn().unwrap();
    project.wait_for("a.pid");
    signal(persea.id(), "TSTP");
    // Longer than the lease.
    std::thread::sleep(Duration::from_secs(5));
    signal(persea.id(), "CONT");
    project.file("a.end", "");
    finish(persea).code(0);
    assert!(project.job().events_of("task-retried").is_empty());
    assert_eq!(project.job().events_of("job-resumed").len(), 1);
    hosts.assert_nothing_left(&project);
}

#[test]
fn slots_of_a_host_start_programs_that_are_missing_there_as_errors() {
    let project = Fixture::new();
    let _hosts = Hosts::start(&project, &["one"]);
    project.recipe("job.json", &[exec("missing", "/no/such/program")]);
    project.run(&["run", "job.json"]).code(1);
    project.job().assert_error("missing", &["/no/such/program"]);
    assert!(project.job().events_of("task-retried").is_empty());
}
