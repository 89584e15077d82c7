//! Owns the spawner `ssh`, with real servers: jobs over several hosts, hosts that cannot be used,
//! hosts that are lost while tests run, and what is left when this host is killed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::recipes::{exec, noop, python, requiring, shell};
use crate::support::ssh::Hosts;
use crate::support::{Fixture, assert_stderr, finish, signal, wait_until};

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
fn project_does_not_name_hosts_or_arguments() {
    let project = Fixture::new();
    let settings = "spawner.ssh.hosts = ['-oProxyCommand=touch run']\n\
                    spawner.ssh.options = ['-oProxyCommand=touch run']\n";
    project.file("persea.toml", settings);
    let ran = project
        .run(&["run", "--spawner", "ssh", "/bin/true"])
        .code(2);
    assert_stderr(
        &ran,
        &[
            "`spawner.ssh.options` from persea.toml is ignored",
            "needs hosts",
        ],
    );
    let ran = project.run(&[
        "run",
        "--spawner",
        "ssh",
        "--hosts",
        "-oProxyCommand=x",
        "/bin/true",
    ]);
    assert_ne!(ran.code, Some(0));
    assert!(!project.project().join("run").exists());
    project.assert_no_job();
}

#[test]
fn noise_of_a_login_shell_is_skipped_and_shown_where_nothing_else_comes() {
    let project = Fixture::new();
    let noisy = "ForceCommand echo Welcome to this host; echo noise >&2; printf persea-; \
                 eval \"$SSH_ORIGINAL_COMMAND\"";
    let hosts = Hosts::start_with(&project, &["one"], noisy);
    project.recipe("job.json", &[shell("a", "echo out")]);
    let ran = project.run(&["run", "job.json"]).code(0);
    assert_eq!(ran.stderr, "", "{ran}");
    assert_eq!(project.job().artifact("a", "stdout"), "out\n");
    hosts.assert_nothing_left(&project);
    let project = Fixture::new();
    let _hosts = Hosts::start_with(&project, &["one"], "ForceCommand echo no shell for you");
    let ran = project.run(&["run", "/bin/true"]);
    assert_stderr(
        &ran,
        &["host one", "no shell for you", "does not run commands"],
    );
    ran.code(2);
    project.assert_no_strays();
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
fn host_that_cannot_be_used_is_an_error_before_anything_runs() {
    let assert_refused = |project: &Fixture, parts: &[&str]| {
        let ran = project.run(&["run", "/bin/true"]);
        assert_stderr(&ran, &[&["host one"], parts].concat());
        ran.code(2);
        assert!(
            !project
                .root()
                .join("home/persea/job-results/latest")
                .exists()
        );
        project.assert_no_strays();
    };
    let project = Fixture::new();
    let hosts = Hosts::start(&project, &["one"]);
    hosts.forget_keys();
    assert_refused(&project, &["host key is not known", "ssh -F"]);
    hosts.change_key("one");
    assert_refused(
        &project,
        &["not the one that it had before", "ssh-keygen -R"],
    );
    let project = Fixture::new();
    let mut hosts = Hosts::start(&project, &["one"]);
    hosts.lock_out();
    assert_refused(&project, &["without a password", "ssh-copy-id"]);
    hosts.kill("one");
    assert_refused(&project, &["does not answer"]);
    project.user_config(
        "run.spawner = \"ssh\"\nspawner.ssh.hosts = [\"one\"]\n\
                         spawner.ssh.options = [\"-F\", \"none\"]\n",
    );
    let ran = project.run(&["run", "--hosts", "no-such-host.invalid", "/bin/true"]);
    assert_stderr(&ran, &["host no-such-host.invalid", "name is not known"]);
    ran.code(2);
    let project = Fixture::new();
    let script = project.script("../bin/uname", "echo sparc");
    let path = script.parent().unwrap().display();
    let command = format!("ForceCommand PATH={path}:$PATH; eval \"$SSH_ORIGINAL_COMMAND\"");
    let _hosts = Hosts::start_with(&project, &["one"], &command);
    assert_refused(&project, &["machine of another kind", "sparc"]);
}

#[test]
fn missing_program_ssh_is_named() {
    let project = Fixture::new();
    let _hosts = Hosts::start(&project, &["one"]);
    let empty = project.root().join("hosts/tmp");
    let ran = project.run_with(&["run", "/bin/true"], |command| command.env("PATH", empty));
    assert_stderr(&ran, &["host one", "`ssh` is missing", "openssh-client"]);
    ran.code(2);
}

#[test]
fn files_that_must_be_shared_and_are_not_are_an_error_before_anything_runs() {
    const ARGS: [&str; 4] = ["run", "--set", "files.sharing=shared", "/bin/true"];
    let project = Fixture::new();
    project.file("../home/keep", "");
    // A host with another home directory, in which the results are.
    let home = project.root().join("home").display().to_string();
    let script = format!("mount -t tmpfs none {home} && exec \"$@\"");
    let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let _hosts = Hosts::start_below(&project, &["one"], "", &wrapper);
    let ran = project.run(&ARGS);
    assert_stderr(
        &ran,
        &[
            "host one",
            "does not share",
            "job-results",
            "is missing there",
        ],
    );
    ran.code(2);
    let project = Fixture::new();
    let of_project = project.project().display().to_string();
    let old = ["-d", "2020-01-01", &of_project];
    let touched = std::process::Command::new("touch").args(old).status();
    assert!(touched.unwrap().success());
    let script = format!("mount -t tmpfs none {of_project} && exec \"$@\"");
    let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let _hosts = Hosts::start_below(&project, &["one"], "", &wrapper);
    let ran = project.run(&ARGS);
    assert_stderr(
        &ran,
        &["host one", "project's directory", "is another one there"],
    );
    ran.code(2);
    project.assert_no_strays();
}

#[test]
fn full_disk_of_a_host_is_named() {
    let project = Fixture::new();
    let tmp = project.root().join("hosts/tmp").display().to_string();
    std::fs::create_dir_all(&tmp).unwrap();
    let script = format!("mount -t tmpfs -o size=64k none {tmp} && exec \"$@\"");
    let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let _hosts = Hosts::start_below(&project, &["one"], "", &wrapper);
    let ran = project.run(&["run", "/bin/true"]);
    assert_stderr(&ran, &["host one", "is the disk full", "No space left"]);
    ran.code(2);
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

#[test]
fn doctor_checks_each_configured_host() {
    let project = Fixture::new();
    let mut hosts = Hosts::start(&project, &["one", "two"]);
    let ran = project.run(&["doctor"]).code(0);
    assert!(ran.stdout.contains("ssh        works"), "{ran}");
    hosts.kill("two");
    let ran = project.run(&["doctor"]).code(2);
    assert!(
        ran.stdout.contains("ssh        does not work: host two"),
        "{ran}"
    );
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
