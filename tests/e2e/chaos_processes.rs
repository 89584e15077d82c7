//! Helpers and batches of Python that are killed at random times: each costs one test, and no other is harmed.
//!
//! Seeds as in `chaos`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::chaos::{each_seed, faults};
use crate::support::{Ran, Sandbox};

/// Runs a job, and now and then kills one of the processes that `is_victim` chooses by command line and parent, given that of the
/// host. How many were killed.
fn kill_now_and_then(
    sandbox: &Sandbox,
    random: &mut Rng,
    args: &[&str],
    is_victim: impl Fn(&str, bool) -> bool,
) -> (Ran, usize) {
    let child = sandbox.persea(args).spawn().unwrap();
    let host = child.id();
    let times = random.usize(1..6);
    let mut killed = 0;
    for _ in 0..times {
        std::thread::sleep(Duration::from_millis(random.u64(..250)));
        let processes = sandbox.processes();
        let victims = processes.iter().filter(|(pid, line)| {
            let parent = parent(*pid);
            *pid != host && parent.is_some_and(|parent| is_victim(line, parent == host))
        });
        let victims: Vec<u32> = victims.map(|(pid, _)| *pid).collect();
        if victims.is_empty() {
            continue;
        }
        let victim = victims[random.usize(..victims.len())];
        // It may have ended meanwhile, and then costs nobody anything.
        let sent = std::process::Command::new("kill")
            .args(["-KILL", &victim.to_string()])
            .stderr(std::process::Stdio::null())
            .status();
        killed += usize::from(sent.unwrap().success());
    }
    (crate::support::finish(child), killed)
}

/// The parent of a process, which may have ended.
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok()
}

/// What is wrong with a job of tests that all pass, but for as many as there were killed processes.
fn harmed(sandbox: &Sandbox, ran: &Ran, count: usize, killed: usize) -> Vec<String> {
    let mut found = faults(sandbox, ran, count);
    let results = sandbox.job().results();
    let tests = results["tests"].as_array().unwrap();
    let others: Vec<&Value> = tests.iter().filter(|it| it["status"] != "PASS").collect();
    if others.len() > killed {
        let names = others
            .iter()
            .map(|it| format!("{}: {}", it["id"], it["fail_reason"]));
        let names: Vec<String> = names.collect();
        found.push(format!(
            "{killed} killed, and harmed were\n{}",
            names.join("\n")
        ));
    }
    // Whoever was killed, it is no failure of the test's own.
    found.extend(
        others
            .iter()
            .filter(|it| it["status"] != "ERROR" || it["fail_reason"] == "<unknown>")
            .map(|it| format!("no ERROR with a reason: {it}")),
    );
    found
}

fn report(args: &[&str], found: &[String], ran: &Ran) -> Result<(), String> {
    match found.is_empty() {
        true => Ok(()),
        false => Err(format!("{args:?}\n{}\n{ran}", found.join("\n"))),
    }
}

#[test]
fn killed_helper_fails_only_its_running_test() {
    const TESTS: usize = 80;
    let all = AtomicUsize::new(0);
    each_seed(6, |seed| {
        let mut random = Rng::with_seed(seed);
        let sandbox = Sandbox::new();
        let acts = ["true", "echo out", "sleep 0.02", "sleep 0.1"];
        let tasks: Vec<Value> = (0..TESTS)
            .map(|_| {
                let act = acts[random.usize(..acts.len())];
                json!({"kind": "exec-test", "uri": "/bin/sh", "args": ["-c", act]})
            })
            .collect();
        sandbox.file("all.json", Value::from(tasks).to_string());
        let parallel = ["1", "2", "3"][random.usize(..3)];
        let spawner = ["process", "sandbox"][random.usize(..2)];
        let args = [
            "run",
            "--max-parallel-tasks",
            parallel,
            "--spawner",
            spawner,
            "all.json",
        ];
        // Beside those of the sandboxes there is one that keeps their layers, as a child of the host.
        let is_helper = |line: &str, of_host: bool| {
            line.starts_with("persea-helper") && of_host == (spawner == "process")
        };
        let (ran, killed) = kill_now_and_then(&sandbox, &mut random, &args, is_helper);
        all.fetch_add(killed, Ordering::Relaxed);
        report(&args, &harmed(&sandbox, &ran, TESTS, killed), &ran)
    });
    assert!(all.into_inner() > 0, "none was found to be killed");
}

#[test]
fn killed_python_process_fails_only_its_running_test() {
    const FILES: usize = 4;
    const EACH: usize = 15;
    let all = AtomicUsize::new(0);
    each_seed(6, |seed| {
        let mut random = Rng::with_seed(seed);
        let sandbox = Sandbox::new();
        for file in 0..FILES {
            let mut text = "import time, unittest\n\nclass T(unittest.TestCase):\n".to_owned();
            for test in 0..EACH {
                let wait = ["0", "0", "0.02", "0.1"][random.usize(..4)];
                text += &format!("    def test_{test:02}(self):\n        time.sleep({wait})\n");
            }
            sandbox.file(&format!("tests/test_{file}.py"), text);
        }
        let parallel = ["1", "2", "3"][random.usize(..3)];
        let args = ["run", "--max-parallel-tasks", parallel, "tests"];
        // The one that imports a file, or one that it has forked for a test.
        let is_python = |line: &str, _| {
            let program = line.split(' ').next().unwrap_or_default();
            program.contains("python")
        };
        let (ran, killed) = kill_now_and_then(&sandbox, &mut random, &args, is_python);
        all.fetch_add(killed, Ordering::Relaxed);
        report(&args, &harmed(&sandbox, &ran, FILES * EACH, killed), &ran)
    });
    assert!(all.into_inner() > 0, "none was found to be killed");
}
