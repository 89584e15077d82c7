//! Random jobs: tests of every kind of misbehaviour beside such that do nothing wrong, with random options. Whatever they do, each task is
//! told once, and only who has done something pays for it.
//!
//! `PERSEA_CHAOS_JOBS` says how many jobs (10), `PERSEA_CHAOS_SEED` with which seed the first begins; a failure names the seed of its job.
//!
//! What must be true of every job, whatever befalls it, is in [`faults`] for `chaos_signals` and `chaos_processes` too.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::{Job, Ran, Sandbox};

/// How many jobs run beside each other: much of their time is that of time-outs.
const AT_ONCE: usize = 3;

/// Runs a number of jobs, each with a seed of its own, which is part of every failure.
pub fn each_seed(jobs: u64, run: impl Fn(u64) -> Result<(), String> + Sync) {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = number("PERSEA_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let end = first + number("PERSEA_CHAOS_JOBS").unwrap_or(jobs);
    let next = AtomicU64::new(first);
    let worker = || -> Vec<String> {
        let seeds = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let seeds = seeds.take_while(|seed| *seed < end);
        let failed = seeds.filter_map(|seed| {
            let done = std::panic::catch_unwind(AssertUnwindSafe(|| run(seed)));
            let why = done
                .unwrap_or_else(|_| Err("it panicked: see above".to_owned()))
                .err()?;
            Some(format!(
                "PERSEA_CHAOS_SEED={seed} PERSEA_CHAOS_JOBS=1\n{why}"
            ))
        });
        failed.collect()
    };
    let failed: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        let done = workers.into_iter().map(|worker| worker.join().unwrap());
        done.flatten().collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// What is wrong with a job of so many tasks that went to its end: each task has one result, the same in the journal, in each
/// report and in a report that is made again; the exit code is that of these results; no process lives on.
pub fn faults(sandbox: &Sandbox, ran: &Ran, count: usize) -> Vec<String> {
    let job = sandbox.job();
    let events = job.events();
    let mut faults = Vec::new();
    for kind in ["task-planned", "task-finished"] {
        let each = counts(&events, kind);
        if each.len() != count || each.values().any(|times| *times != 1) {
            faults.push(format!("{} of {count} tasks have {kind} once", each.len()));
        }
    }
    let results = job.results();
    let tests = results["tests"].as_array().unwrap();
    if results["total"] != count || tests.len() != count {
        let (total, tests) = (&results["total"], tests.len());
        faults.push(format!(
            "results.json has {total} and {tests} of {count} tests"
        ));
    }
    let ends = events.iter().filter(|it| it["event"] == "task-finished");
    let status: HashMap<&str, &Value> = ends
        .map(|event| (event["task"].as_str().unwrap(), &event["data"]["status"]))
        .collect();
    for test in tests {
        let journal = status.get(test["id"].as_str().unwrap());
        if journal != Some(&&test["status"]) {
            faults.push(format!("the journal has {journal:?} for {test}"));
        }
    }
    let last = events.last().unwrap();
    let expected = exit_code(&last["data"]);
    if last["event"] != "job-finished" || ran.code != Some(expected) {
        faults.push(format!(
            "exit code {:?} and not {expected} for {last}",
            ran.code
        ));
    }
    for (format, file) in [
        ("json", "results.json"),
        ("tap", "results.tap"),
        ("xunit", "results.xml"),
    ] {
        let again = sandbox.run(&["report", job.0.to_str().unwrap(), "--format", format]);
        if again.stdout != job.read(file) {
            faults.push(format!("{file} is another when made again: {again}"));
        }
    }
    sandbox.assert_no_strays();
    faults
}

/// The exit code that follows from the journal's last line.
fn exit_code(finished: &Value) -> i32 {
    let number = |name: &str| finished[name].as_u64().unwrap();
    let mut code = 0;
    if number("fail") + number("error") > 0 {
        code |= 1;
    }
    let why = finished["interrupted-by"].as_str();
    if number("interrupted") > 0 || why.is_some_and(|why| !why.contains("--failfast")) {
        code |= 8;
    }
    code
}

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
    let count = [20, 100, 200][random.usize(..3)];
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
pub fn counts<'a>(events: &'a [Value], kind: &str) -> HashMap<&'a str, usize> {
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
    let expected = match (*name, has("sandbox")) {
        // There the helper is process 1, which nothing from inside can kill.
        ("ends-its-helper", true) => "INTERRUPTED",
        _ => *expected,
    };
    let is_cut = has("--job-timeout") && status == "INTERRUPTED";
    let directory = job.0.join(data["directory"].as_str().unwrap());
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).ok();
    let is_right = match (status, *name) {
        ("SKIP", _) => started == 0 && (has("--failfast") || has("--job-timeout")),
        _ if started != retried + 1 && !has("--job-timeout") && !has("--failfast") => false,
        _ if is_cut => true,
        _ if status != expected => false,
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

/// What is wrong with the results of single tests.
fn wrong_results(job: &Job, options: &[&str]) -> Vec<String> {
    let events = job.events();
    let started = counts(&events, "task-started");
    let retried = counts(&events, "task-retried");
    let mut faults = Vec::new();
    for event in events.iter().filter(|it| it["event"] == "task-finished") {
        let id = event["task"].as_str().unwrap();
        let of = |all: &HashMap<&str, usize>| all.get(id).copied().unwrap_or_default();
        let times = (of(&started), of(&retried));
        faults.extend(wrong(job, id, &event["data"], times, options));
    }
    faults
}

#[test]
fn misbehaving_tests_get_one_result_and_harm_no_others() {
    each_seed(10, |seed| {
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
        let mut found = faults(&sandbox, &ran, acts.len());
        found.extend(wrong_results(&sandbox.job(), &options));
        match found.is_empty() {
            true => Ok(()),
            false => Err(format!("{options:?}\n{}\n{ran}", found.join("\n"))),
        }
    });
}
