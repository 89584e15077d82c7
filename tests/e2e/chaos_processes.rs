//! Owns helpers and Python batches that are killed at random times: each kill fails at most the
//! test that the process runs. Seeds are set as in `chaos`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;

use crate::chaos::{each_seed, faults, random_scripts, verdict};
use crate::support::{Fixture, Ran, finish};

/// Runs a job and at random times kills one of its processes. `is_victim` chooses by the command
/// line and by whether the parent is the host. Returns the number of processes killed.
fn run_and_kill(
    fixture: &Fixture,
    random: &mut Rng,
    args: &[&str],
    is_victim: impl Fn(&str, bool) -> bool,
) -> (Ran, usize) {
    let child = fixture.persea(args).spawn().unwrap();
    let host = child.id();
    let kills = random.usize(1..6);
    let mut killed = 0;
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(random.u64(..250)));
        let processes = fixture.processes();
        let victims = processes.iter().filter(|(pid, line)| {
            let parent = parent(*pid);
            *pid != host && parent.is_some_and(|parent| is_victim(line, parent == host))
        });
        let victims: Vec<u32> = victims.map(|(pid, _)| *pid).collect();
        if victims.is_empty() {
            continue;
        }
        let victim = victims[random.usize(..victims.len())];
        // The victim may have ended meanwhile. Then the signal is not sent, and no test may fail.
        let sent = std::process::Command::new("kill")
            .args(["-KILL", &victim.to_string()])
            .stderr(std::process::Stdio::null())
            .status();
        killed += usize::from(sent.unwrap().success());
    }
    (finish(child), killed)
}

/// The parent of a process; none where the process has ended.
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok()
}

/// The faults of a job whose tests all pass, except for one test per killed process.
fn faults_beyond_kills(fixture: &Fixture, ran: &Ran, count: usize, killed: usize) -> Vec<String> {
    let mut faults = faults(fixture, ran, count);
    let results = fixture.job().results();
    let tests = results["tests"].as_array().unwrap();
    let harmed: Vec<&Value> = tests.iter().filter(|it| it["status"] != "PASS").collect();
    if harmed.len() > killed {
        let names = harmed
            .iter()
            .map(|it| format!("{}: {}", it["id"], it["fail_reason"]));
        let names: Vec<String> = names.collect();
        let names = names.join("\n");
        faults.push(format!("{killed} processes killed, tests harmed:\n{names}"));
    }
    // A kill from outside is an error of the environment, not a failure of the test. A process that
    // has reported its result before only gets a warning.
    let is_told = |it: &&&Value| match it["status"].as_str() {
        Some("ERROR") => it["fail_reason"] != "<unknown>",
        Some("WARN") => {
            let reason = it["fail_reason"].as_str().unwrap();
            reason.starts_with("the test passed, but its process ended by signal 9")
        }
        _ => false,
    };
    let untold = harmed.iter().filter(|it| !is_told(it));
    faults.extend(untold.map(|it| format!("no ERROR with a reason: {it}")));
    faults
}

#[test]
fn killed_helper_fails_only_its_running_test() {
    const TESTS: usize = 80;
    let all_killed = AtomicUsize::new(0);
    each_seed(6, |seed| {
        let mut random = Rng::with_seed(seed);
        let fixture = Fixture::new();
        let scripts = ["true", "echo out", "sleep 0.02", "sleep 0.1"];
        let tasks = random_scripts(&mut random, &scripts, TESTS);
        fixture.recipe("all.json", &tasks);
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
        // With sandboxes, the helper that is a child of the host keeps their layers and runs no
        // test.
        let is_helper = |line: &str, is_child_of_host: bool| {
            line.starts_with("persea-helper") && is_child_of_host == (spawner == "process")
        };
        let (ran, killed) = run_and_kill(&fixture, &mut random, &args, is_helper);
        all_killed.fetch_add(killed, Ordering::Relaxed);
        let faults = faults_beyond_kills(&fixture, &ran, TESTS, killed);
        verdict(&args, &faults, &ran)
    });
    assert!(all_killed.into_inner() > 0, "no process was killed");
}

#[test]
fn killed_python_process_fails_only_its_running_test() {
    const FILES: usize = 4;
    const EACH: usize = 15;
    let all_killed = AtomicUsize::new(0);
    each_seed(6, |seed| {
        let mut random = Rng::with_seed(seed);
        let fixture = Fixture::new();
        for file in 0..FILES {
            let mut text = "import time, unittest\n\nclass T(unittest.TestCase):\n".to_owned();
            for test in 0..EACH {
                let wait = ["0", "0", "0.02", "0.1"][random.usize(..4)];
                text += &format!("    def test_{test:02}(self):\n        time.sleep({wait})\n");
            }
            fixture.file(&format!("tests/test_{file}.py"), text);
        }
        let parallel = ["1", "2", "3"][random.usize(..3)];
        let args = ["run", "--max-parallel-tasks", parallel, "tests"];
        // Either the process that imports a file, or one that it has forked for a test.
        let is_python = |line: &str, _| {
            let program = line.split(' ').next().unwrap_or_default();
            program.contains("python")
        };
        let (ran, killed) = run_and_kill(&fixture, &mut random, &args, is_python);
        all_killed.fetch_add(killed, Ordering::Relaxed);
        let faults = faults_beyond_kills(&fixture, &ran, FILES * EACH, killed);
        verdict(&args, &faults, &ran)
    });
    assert!(all_killed.into_inner() > 0, "no process was killed");
}
