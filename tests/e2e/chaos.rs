//! Random jobs: tests of every kind of misbehaviour beside such that do nothing wrong, with random options. Whatever they do, each task is
//! told once, and only who has done something pays for it.
//!
//! `PERSEA_CHAOS_JOBS` says how many jobs (4), `PERSEA_CHAOS_SEED` with which seed the first begins; a failure names the seed of its job.

use std::collections::HashMap;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::{Job, Ran, Sandbox};

/// What a test does: its script, what that does, and how it ends where nothing cuts it short.
const ACTS: [(&str, &str, &str); 12] = [
    ("passes", "true", "PASS"),
    ("fails", "exit 1", "FAIL"),
    ("prints", "echo out; echo err >&2", "PASS"),
    ("dies", "kill -9 $$", "FAIL"),
    (
        "leaves",
        "setsid sleep 3600 </dev/null >/dev/null 2>&1 &",
        "PASS",
    ),
    (
        "defies",
        r#"setsid sh -c 'trap "" TERM; sleep 3600' </dev/null >/dev/null 2>&1 &"#,
        "PASS",
    ),
    (
        "marks",
        r#": > "$AVOCADO_TEST_OUTPUTDIR/mark"; : > "$AVOCADO_TEST_WORKDIR/mark""#,
        "PASS",
    ),
    ("closes", r#"chmod 0 "$AVOCADO_TEST_OUTPUTDIR""#, "PASS"),
    (
        "removes",
        r#"rm -rf "$AVOCADO_TEST_OUTPUTDIR" "$AVOCADO_TEST_WORKDIR""#,
        "PASS",
    ),
    (
        "moves",
        r#"mv "$AVOCADO_TEST_OUTPUTDIR" "$AVOCADO_TEST_OUTPUTDIR.moved""#,
        "PASS",
    ),
    // These two take long.
    ("stops", "kill -STOP $$", "INTERRUPTED"),
    ("ends-its-helper", "kill -9 $PPID; sleep 3600", "ERROR"),
];

/// How many of those there are, and how many of them a job has at most.
const SLOW: usize = 2;

/// The acts of a job's tests, by their places above.
fn acts(random: &mut Rng) -> Vec<usize> {
    let quick = ACTS.len() - SLOW;
    let count = [20, 100, 300][random.usize(..3)];
    let mut acts: Vec<usize> = (0..count)
        .map(|_| match random.bool() {
            true => 0,
            false => random.usize(..quick),
        })
        .collect();
    for _ in 0..SLOW {
        acts[random.usize(..count)] = random.usize(..ACTS.len());
    }
    acts
}

fn options(random: &mut Rng) -> Vec<&'static str> {
    let mut options = vec!["--task-timeout", "5", "--max-parallel-tasks"];
    options.push(["1", "2", "3", "4"][random.usize(..4)]);
    let mut sometimes = |tenths, more: &[&'static str]| {
        if random.u8(..10) < tenths {
            options.extend(more);
        }
    };
    sometimes(2, &["--failfast"]);
    sometimes(2, &["--retries", "1"]);
    sometimes(2, &["--job-timeout", "1"]);
    sometimes(3, &["--shuffle"]);
    sometimes(3, &["--spawner", "sandbox"]);
    options
}

/// How often each task has an event of a kind.
fn counts<'a>(events: &'a [Value], kind: &str) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    for event in events.iter().filter(|event| event["event"] == kind) {
        *counts.entry(event["task"].as_str().unwrap()).or_default() += 1;
    }
    counts
}

/// What is wrong with the end of a task.
fn wrong(
    job: &Job,
    id: &str,
    data: &Value,
    times: (usize, usize),
    options: &[&str],
) -> Option<String> {
    let has = |option: &str| options.contains(&option);
    let (started, retried) = times;
    let status = data["status"].as_str().unwrap();
    let uri = data["uri"].as_str().unwrap();
    let mut acts = ACTS.iter();
    let act = acts.find(|(name, ..)| uri == format!("./{name}"));
    let (name, _, expected) = act.unwrap();
    let is_cut = has("--job-timeout") && status == "INTERRUPTED";
    let directory = job.0.join(data["directory"].as_str().unwrap());
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).ok();
    let is_right = match (status, *name) {
        ("SKIP", _) => started == 0 && (has("--failfast") || has("--job-timeout")),
        _ if started != retried + 1 && !has("--job-timeout") && !has("--failfast") => false,
        _ if is_cut => true,
        _ if status != *expected => false,
        (_, "prints") => {
            let printed = (read("stdout"), read("stderr"));
            printed == (Some("out\n".to_owned()), Some("err\n".to_owned()))
        }
        (_, "marks") => read("mark").is_some(),
        (_, "passes") => !directory.exists(),
        _ => true,
    };
    let times = format!("started {started} times, {retried} times to be tried again");
    (!is_right).then(|| format!("{id}: {data}, {times}"))
}

fn check(job: &Job, ran: &Ran, count: usize, options: &[&str]) -> Vec<String> {
    let events = job.events();
    let started = counts(&events, "task-started");
    let retried = counts(&events, "task-retried");
    let finished = counts(&events, "task-finished");
    let mut faults = Vec::new();
    let mut all_pass = true;
    for event in events.iter().filter(|it| it["event"] == "task-finished") {
        let id = event["task"].as_str().unwrap();
        let of = |all: &HashMap<&str, usize>| all.get(id).copied().unwrap_or_default();
        let times = (of(&started), of(&retried));
        all_pass &= event["data"]["status"] == "PASS";
        faults.extend(wrong(job, id, &event["data"], times, options));
    }
    if finished.len() != count || finished.values().any(|times| *times != 1) {
        faults.push(format!(
            "{} of {count} tasks are told, or one twice",
            finished.len()
        ));
    }
    let results = job.results();
    if results["total"] != count || results["tests"].as_array().unwrap().len() != count {
        faults.push(format!("results.json has {}", results["total"]));
    }
    if all_pass != (ran.code == Some(0)) {
        faults.push(format!("the exit code is {:?}", ran.code));
    }
    faults
}

#[test]
fn whatever_tests_do_each_is_told_once_and_the_others_pass() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = number("PERSEA_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let jobs = number("PERSEA_CHAOS_JOBS").unwrap_or(4);
    for seed in first..first + jobs {
        let mut random = Rng::with_seed(seed);
        let acts = acts(&mut random);
        let options = options(&mut random);
        let sandbox = Sandbox::new();
        for (name, body, _) in ACTS {
            sandbox.script(name, body);
        }
        let task = |act: &usize| json!({"kind": "exec-test", "uri": format!("./{}", ACTS[*act].0)});
        let tasks: Vec<Value> = acts.iter().map(task).collect();
        sandbox.file("all.json", Value::from(tasks).to_string());
        let ran = sandbox.run(&[&["run"], &options[..], &["all.json"]].concat());
        let faults = check(&sandbox.job(), &ran, acts.len(), &options);
        let faults = faults.join("\n");
        assert!(
            faults.is_empty(),
            "PERSEA_CHAOS_SEED={seed}, {options:?}:\n{faults}\n{ran}"
        );
        sandbox.assert_no_strays();
    }
}
