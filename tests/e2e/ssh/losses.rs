//! Owns what happens when a host, its helper or this host is lost while tests run on other hosts.

use std::time::{Duration, Instant};

use super::waiting;
use crate::support::recipes::{python, shell};
use crate::support::ssh::Hosts;
use crate::support::{Fixture, finish, signal, wait_until};

#[test]
fn killed_host_leaves_nothing_on_other_hosts() {
    let project = Fixture::new();
    let hosts = Hosts::start(&project, &["one", "two"]);
    let stray = "setsid sh -c 'trap \"\" TERM HUP; echo here >stray; sleep 1000' & wait";
    project.recipe("job.json", &[waiting("a"), shell("b", stray)]);
    let persea = project.persea(&["run", "job.json"]).spawn().unwrap();
    project.wait_for("a.pid");
    project.wait_for("stray");
    signal(persea.id(), "KILL");
    finish(persea);
    hosts.assert_nothing_left(&project);
}

#[test]
fn killed_host_behind_a_cut_network_leaves_nothing_after_the_lease() {
    let project = Fixture::new();
    let mut hosts = Hosts::start(&project, &["one"]);
    project.recipe("job.json", &[waiting("a")]);
    let persea = project.persea(&["run", "job.json"]).spawn().unwrap();
    project.wait_for("a.pid");
    let began = Instant::now();
    hosts.cut("one");
    signal(persea.id(), "KILL");
    finish(persea);
    hosts.assert_nothing_left(&project);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn lost_connection_gives_a_test_another_attempt_that_counts() {
    let project = Fixture::new();
    let mut hosts = Hosts::start(&project, &["one"]);
    project.recipe("job.json", &[waiting("a"), shell("b", "true")]);
    let persea = project.persea(&["run", "job.json"]).spawn().unwrap();
    let first = project.wait_for("a.pid");
    hosts.signal_sessions("one", "KILL");
    let other = || project.lines("a.pid").len();
    let began = Instant::now();
    while other() < 2 {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "no second attempt"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    // The first attempt is gone before the second one starts.
    let of_first = format!("/proc/{}", first.trim());
    assert!(!std::path::Path::new(&of_first).exists());
    project.file("a.end", "");
    finish(persea).code(0);
    let job = project.job();
    assert_eq!(job.status("a"), "PASS");
    let retried = job.events_of("task-retried");
    assert_eq!(retried.len(), 1, "{retried:?}");
    assert_eq!(retried[0]["data"]["cause"], "environment-lost");
    assert_eq!(retried[0]["data"]["status"], "ERROR");
    let ended = job.events_of("task-finished");
    let ended = ended
        .iter()
        .find(|event| event["data"]["name"] == "a")
        .unwrap();
    assert_eq!(ended["data"]["attempts"], 2);
    assert_eq!(ended["data"].get("flaky"), None, "{ended}");
    hosts.assert_nothing_left(&project);
}

#[test]
fn timeout_of_a_test_on_a_lost_host_does_not_end_it() {
    let project = Fixture::new();
    let mut hosts = Hosts::start(&project, &["one"]);
    project.recipe("job.json", &[waiting("a")]);
    // Less than the lease.
    let args = ["run", "--task-timeout", "1.5", "job.json"];
    let persea = project.persea(&args).spawn().unwrap();
    project.wait_for("a.pid");
    hosts.signal_sessions("one", "KILL");
    wait_until("the second attempt starts", || {
        match project.lines("a.pid").len() {
            2.. => Ok(()),
            attempts => Err(format!("{attempts} attempts")),
        }
    });
    project.file("a.end", "");
    finish(persea).code(0);
    let job = project.job();
    assert_eq!(job.status("a"), "PASS");
    let retried = job.events_of("task-retried");
    assert_eq!(retried[0]["data"]["cause"], "environment-lost");
    assert_eq!(retried[0]["data"]["status"], "INTERRUPTED");
}

#[test]
fn killed_helper_leaves_no_process_and_its_test_fails_after_two_more_attempts() {
    let project = Fixture::new();
    let hosts = Hosts::start(&project, &["one"]);
    // A helper that is killed before the host knows of the start does not count as an attempt.
    let kills = r#"echo try >>tries; setsid sleep 1000 &
        journal=${AVOCADO_TEST_OUTPUTDIR%/test-results/*}/events.jsonl
        until [ "$(grep task-started "$journal" | grep -c kills)" -ge "$(wc -l <tries)" ]
        do sleep 0.01; done
        kill -KILL $PPID; sleep 1000"#;
    project.recipe("job.json", &[shell("kills", kills), shell("other", "true")]);
    project.run(&["run", "job.json"]).code(1);
    assert_eq!(project.lines("tries").len(), 3);
    project.job().assert_error("kills", &["has died"]);
    assert_eq!(project.job().status("other"), "PASS");
    hosts.assert_nothing_left(&project);
    std::fs::remove_file(project.project().join("tries")).unwrap();
    let none = "run.lost_environments=0";
    project.run(&["run", "--set", none, "job.json"]).code(1);
    assert_eq!(project.lines("tries").len(), 1);
}

#[test]
fn cut_network_moves_tests_to_another_host() {
    let project = Fixture::new();
    let mut hosts = Hosts::start(&project, &["one", "two"]);
    let script = "echo $HOST_NAME >>hosts; test -e cut || { test $HOST_NAME = two || sleep 1000; }";
    project.recipe(
        "job.json",
        &[
            shell("a", script),
            shell("b", "sleep 1"),
            shell("c", "sleep 1"),
        ],
    );
    let began = Instant::now();
    let persea = project.persea(&["run", "job.json"]).spawn().unwrap();
    let first = project.wait_for("hosts");
    assert_eq!(first, "one\n", "the first slot is on the first host");
    hosts.cut("one");
    project.file("cut", "");
    let ran = finish(persea).code(0);
    assert_eq!(project.lines("hosts"), ["one", "two"]);
    assert_eq!(project.job().status("a"), "PASS");
    assert!(began.elapsed() < Duration::from_secs(30), "{ran}");
    project.assert_no_strays();
}

#[test]
fn host_that_stays_away_is_given_up() {
    let project = Fixture::new();
    let mut hosts = Hosts::start(&project, &["one", "two"]);
    let script =
        "echo $HOST_NAME >>hosts; test -e gone || { test $HOST_NAME = two || sleep 1000; }";
    let long = "until test -e end; do sleep 0.02; done";
    project.recipe("job.json", &[shell("a", script), shell("b", long)]);
    let persea = project.persea(&["run", "job.json"]).spawn().unwrap();
    project.wait_for("hosts");
    hosts.kill("one");
    project.file("gone", "");
    let given_up = || {
        let events = std::fs::read_to_string(
            project
                .root()
                .join("home/persea/job-results/latest/events.jsonl"),
        );
        events.is_ok_and(|events| events.contains("given up"))
    };
    let began = Instant::now();
    while !given_up() {
        assert!(began.elapsed() < Duration::from_secs(50), "not given up");
        std::thread::sleep(Duration::from_millis(50));
    }
    project.file("end", "");
    let ran = finish(persea).code(0);
    for part in [
        "host one: it does not answer",
        "given up, and its slot is closed",
    ] {
        assert!(ran.stdout.contains(part), "{ran}");
    }
    let warning = &project.job().events_of("warning")[0];
    assert_eq!(warning["data"]["cause"], "host");
    assert_eq!(project.lines("hosts"), ["one", "two"]);
    hosts.assert_nothing_left(&project);
}

#[test]
fn job_without_any_host_left_ends_with_errors() {
    let project = Fixture::new();
    let mut hosts = Hosts::start(&project, &["one"]);
    project.recipe(
        "job.json",
        &[waiting("a"), shell("b", "true"), shell("c", "true")],
    );
    let persea = project.persea(&["run", "job.json"]).spawn().unwrap();
    project.wait_for("a.pid");
    hosts.kill("one");
    finish(persea).code(1);
    for name in ["a", "b", "c"] {
        project
            .job()
            .assert_error(name, &["no host is left", "host one"]);
    }
    project.assert_no_strays();
}

#[test]
fn batch_whose_host_is_lost_repeats_only_the_test_that_ran() {
    let project = Fixture::new();
    let mut hosts = Hosts::start(&project, &["one"]);
    project.file(
        "test_it.py",
        "import os, time, unittest\n\
         class T(unittest.TestCase):\n\
         \x20   def test_a(self): open('a', 'a').write('run\\n')\n\
         \x20   def test_b(self):\n\
         \x20       open('b', 'a').write('run\\n')\n\
         \x20       while not os.path.exists('end'): time.sleep(0.02)\n",
    );
    let tests = ["a", "b"].map(|name| python(name, &format!("test_it.py:T.test_{name}")));
    project.recipe("job.json", &tests);
    let persea = project.persea(&["run", "job.json"]).spawn().unwrap();
    project.wait_for("b");
    hosts.signal_sessions("one", "KILL");
    let began = Instant::now();
    while project.lines("b").len() < 2 {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "no second attempt"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    project.file("end", "");
    finish(persea).code(0);
    assert_eq!(project.lines("a").len(), 1);
    assert_eq!(project.job().events_of("task-retried").len(), 1);
    hosts.assert_nothing_left(&project);
}
