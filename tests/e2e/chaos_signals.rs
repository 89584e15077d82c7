//! Owns random signals to the host at random times. A host that handles the signal ends its job
//! with one result for each test; one that is killed leaves a journal from which reports can be
//! made. Neither leaves a process. Seeds are set as in `chaos`.

use std::collections::HashMap;
use std::process::Child;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;

use crate::chaos::{counts, each_seed, faults, random_scripts, verdict};
use crate::support::{Fixture, finish};

/// The scripts of tests. All end by themselves, so a lost signal does not hang the job.
const SCRIPTS: [&str; 7] = [
    "true",
    "true",
    "echo out",
    "sleep 0.02",
    "sleep 0.3",
    "trap 'echo cleaned' TERM; sleep 0.5",
    "setsid sleep 3600 </dev/null >/dev/null 2>&1 &",
];

const TESTS: usize = 60;

/// Signals on which the host ends its tests and reports them.
const GRACEFUL: [&str; 3] = ["INT", "TERM", "HUP"];

/// Signals that end the host at once.
const FATAL: [&str; 2] = ["KILL", "QUIT"];

/// The signals that a host gets, each with the milliseconds to wait before.
fn random_signals(random: &mut Rng) -> Vec<(u64, &'static str)> {
    let mut signals = Vec::new();
    for _ in 0..random.usize(1..5) {
        let wait = random.u64(..150);
        match random.u8(..10) {
            0..4 => signals.push((wait, GRACEFUL[random.usize(..GRACEFUL.len())])),
            4..8 => signals.extend([(wait, "TSTP"), (random.u64(..60), "CONT")]),
            8 => signals.push((wait, FATAL[random.usize(..FATAL.len())])),
            _ => signals.push((wait, "WINCH")),
        }
    }
    // TSTP and CONT that come together may leave the host stopped, which would hang the test.
    signals.push((50, "CONT"));
    signals
}

fn send(child: &Child, signals: &[(u64, &str)]) {
    for (wait, signal) in signals {
        std::thread::sleep(Duration::from_millis(*wait));
        // The child is not reaped yet, so the process id is still its own.
        let sent = std::process::Command::new("kill")
            .args([format!("-{signal}"), child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }
}

/// The faults in what a host that died of a signal has left: its journal and its processes.
fn faults_of_a_killed_host(fixture: &Fixture, got_fatal_signal: bool) -> Vec<String> {
    fixture.assert_no_strays();
    let results = fixture.root().join("home/persea/job-results/latest");
    let Ok(journal) = std::fs::read_to_string(results.join("events.jsonl")) else {
        // The host died before it made a job.
        return Vec::new();
    };
    // The last line may be incomplete.
    let lines = journal.split_inclusive('\n');
    let events: Vec<Value> = lines
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let started = counts(&events, "task-started");
    let finished = counts(&events, "task-finished");
    let mut faults = Vec::new();
    // A signal that precedes the first task may find the host without its handlers.
    if !got_fatal_signal && !started.is_empty() {
        faults.push("the host died of a signal that it handles".to_owned());
    }
    if let Some(repeated) = finished.iter().find(|(_, times)| **times != 1) {
        faults.push(format!("{repeated:?} has more than one result"));
    }
    if events.is_empty() {
        return faults;
    }
    let again = fixture.run(&["report", results.to_str().unwrap(), "--format", "json"]);
    let Ok(report) = serde_json::from_str::<Value>(&again.stdout) else {
        faults.push(format!("no report can be made: {again}"));
        return faults;
    };
    let mut tests: HashMap<&str, &Value> = HashMap::new();
    for test in report["tests"].as_array().unwrap() {
        if tests
            .insert(test["id"].as_str().unwrap(), &test["status"])
            .is_some()
        {
            faults.push(format!("reported twice: {test}"));
        }
    }
    for event in events.iter().filter(|it| it["event"] == "task-finished") {
        let reported = tests.get(event["task"].as_str().unwrap());
        if reported != Some(&&event["data"]["status"]) {
            faults.push(format!("reported as {reported:?}: {event}"));
        }
    }
    faults
}

#[test]
fn random_signals_leave_one_result_for_each_test() {
    each_seed(12, |seed| {
        let mut random = Rng::with_seed(seed);
        let fixture = Fixture::new();
        let tasks = random_scripts(&mut random, &SCRIPTS, TESTS);
        fixture.recipe("all.json", &tasks);
        let parallel = ["1", "2", "4"][random.usize(..3)];
        let spawner = ["process", "process", "sandbox"][random.usize(..3)];
        let args = [
            "run",
            "--max-parallel-tasks",
            parallel,
            "--spawner",
            spawner,
            "all.json",
        ];
        let signals = random_signals(&mut random);
        let child = fixture.persea(&args).spawn().unwrap();
        send(&child, &signals);
        let ran = finish(child);
        let latest = fixture.root().join("home/persea/job-results/latest");
        let faults = match ran.code {
            // The signal came before the host made its job.
            Some(8) if !latest.exists() => {
                fixture.assert_no_strays();
                Vec::new()
            }
            Some(_) => faults(&fixture, &ran, TESTS),
            None => {
                let got_fatal = signals.iter().any(|(_, signal)| FATAL.contains(signal));
                faults_of_a_killed_host(&fixture, got_fatal)
            }
        };
        verdict(&args, &faults, &ran).map_err(|faults| format!("{signals:?} {faults}"))
    });
}
