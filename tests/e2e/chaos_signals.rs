//! Random signals to a host at random times. It ends when it is to, with one result for each test, and leaves no process; one that
//! was killed leaves a journal from which reports can be made.
//!
//! Seeds as in `chaos`.

use std::collections::HashMap;
use std::process::Child;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::chaos::{counts, each_seed, faults};
use crate::support::{Sandbox, finish};

/// What a test does. Those that take long end by themselves, too.
const ACTS: [&str; 7] = [
    "true",
    "true",
    "echo out",
    "sleep 0.02",
    "sleep 0.3",
    "trap 'echo cleaned' TERM; sleep 0.5",
    "setsid sleep 3600 </dev/null >/dev/null 2>&1 &",
];

const TESTS: usize = 60;

/// The signals that end a host which takes care of its tests, and those that give it no time for that.
const GRACEFUL: [&str; 3] = ["INT", "TERM", "HUP"];
const DEADLY: [&str; 2] = ["KILL", "QUIT"];

/// What is done to a host: how long is waited before, in milliseconds, and the signal.
fn steps(random: &mut Rng) -> Vec<(u64, &'static str)> {
    let mut steps = Vec::new();
    for _ in 0..random.usize(1..5) {
        let wait = random.u64(..150);
        match random.u8(..10) {
            0..4 => steps.push((wait, GRACEFUL[random.usize(..GRACEFUL.len())])),
            4..8 => steps.extend([(wait, "TSTP"), (random.u64(..60), "CONT")]),
            8 => steps.push((wait, DEADLY[random.usize(..DEADLY.len())])),
            _ => steps.push((wait, "WINCH")),
        }
    }
    // One that was stopped by what came together shall not stand still for ever.
    steps.push((50, "CONT"));
    steps
}

fn send(child: &Child, steps: &[(u64, &str)]) {
    for (wait, signal) in steps {
        std::thread::sleep(Duration::from_millis(*wait));
        // It is not reaped yet, so the number is still its own.
        let sent = std::process::Command::new("kill")
            .args([format!("-{signal}"), child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }
}

/// What is wrong with what a killed host has left.
fn left_by_a_killed_one(sandbox: &Sandbox, was_asked_to_die: bool) -> Vec<String> {
    sandbox.assert_no_strays();
    let results = sandbox.root().join("home/persea/job-results/latest");
    let Ok(journal) = std::fs::read_to_string(results.join("events.jsonl")) else {
        // It had not come to a job.
        return Vec::new();
    };
    // The last line may be cut.
    let lines = journal.split_inclusive('\n');
    let events: Vec<Value> = lines
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let started = counts(&events, "task-started");
    let finished = counts(&events, "task-finished");
    let mut faults = Vec::new();
    if !was_asked_to_die && !started.is_empty() {
        faults.push("the host died of a signal that it takes, in the middle of a job".to_owned());
    }
    if let Some(twice) = finished.iter().find(|(_, times)| **times != 1) {
        faults.push(format!("{twice:?} ended not once"));
    }
    if events.is_empty() {
        return faults;
    }
    let again = sandbox.run(&["report", results.to_str().unwrap(), "--format", "json"]);
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
            faults.push(format!("{test} is there twice"));
        }
    }
    for event in events.iter().filter(|it| it["event"] == "task-finished") {
        let reported = tests.get(event["task"].as_str().unwrap());
        if reported != Some(&&event["data"]["status"]) {
            faults.push(format!("{reported:?} is reported for {event}"));
        }
    }
    faults
}

#[test]
fn random_signals_leave_one_result_for_each_test() {
    each_seed(12, |seed| {
        let mut random = Rng::with_seed(seed);
        let sandbox = Sandbox::new();
        let tasks: Vec<Value> = (0..TESTS)
            .map(|_| {
                let act = ACTS[random.usize(..ACTS.len())];
                json!({"kind": "exec-test", "uri": "/bin/sh", "args": ["-c", act]})
            })
            .collect();
        sandbox.file("all.json", Value::from(tasks).to_string());
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
        let steps = steps(&mut random);
        let child = sandbox.persea(&args).spawn().unwrap();
        send(&child, &steps);
        let ran = finish(child);
        let found = match ran.code {
            Some(_) => faults(&sandbox, &ran, TESTS),
            None => {
                let deadly = steps.iter().any(|(_, signal)| DEADLY.contains(signal));
                left_by_a_killed_one(&sandbox, deadly)
            }
        };
        match found.is_empty() {
            true => Ok(()),
            false => Err(format!("{args:?} {steps:?}\n{}\n{ran}", found.join("\n"))),
        }
    });
}
