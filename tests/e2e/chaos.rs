//! Owns random jobs: tests that misbehave beside tests that do not, with random options. Each task
//! has exactly one result, and only a test that misbehaves is harmed. [`each_seed`] and [`faults`],
//! the invariants of every job, serve `chaos_signals` and `chaos_processes` too.
//!
//! `PERSEA_CHAOS_JOBS` sets the number of jobs, `PERSEA_CHAOS_SEED` the seed of the first. A
//! failure names the seed of its job.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::recipes::programs;
use crate::support::{Fixture, Job, Ran};

/// The number of jobs at the same time; more than processors, as jobs mostly wait for timeouts.
const PARALLEL_JOBS: usize = 3;

/// Runs `jobs` jobs, each with a seed of its own, and fails with the seed and fault of each one
/// that has any.
pub fn each_seed(jobs: u64, run: impl Fn(u64) -> Result<(), String> + Sync) {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = number("PERSEA_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let end = first + number("PERSEA_CHAOS_JOBS").unwrap_or(jobs);
    let next = AtomicU64::new(first);
    let worker = || -> Vec<String> {
        let seeds = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let seeds = seeds.take_while(|seed| *seed < end);
        let failures = seeds.filter_map(|seed| {
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| run(seed)));
            let fault = outcome
                .unwrap_or_else(|_| Err("it panicked: see above".to_owned()))
                .err()?;
            Some(format!(
                "PERSEA_CHAOS_SEED={seed} PERSEA_CHAOS_JOBS=1\n{fault}"
            ))
        });
        failures.collect()
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..PARALLEL_JOBS).map(|_| scope.spawn(worker)).collect();
        let failures = workers.into_iter().map(|worker| worker.join().unwrap());
        failures.flatten().collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// An error of all faults of a job, with its arguments and output; none where it has no fault.
pub fn verdict(args: &[&str], faults: &[String], ran: &Ran) -> Result<(), String> {
    match faults.is_empty() {
        true => Ok(()),
        false => Err(format!("{args:?}\n{}\n{ran}", faults.join("\n"))),
    }
}

/// Scripts for the shell, each drawn from these.
pub fn random_scripts(random: &mut Rng, scripts: &[&str], count: usize) -> Vec<Value> {
    let mut task = || {
        let script = scripts[random.usize(..scripts.len())];
        json!({"kind": "exec-test", "uri": "/bin/sh", "args": ["-c", script]})
    };
    std::iter::repeat_with(&mut task).take(count).collect()
}

/// The broken invariants of a finished job of `count` tasks: each task has one result, the same in
/// the journal, in each report and in a report made afterwards; the exit code follows from these
/// results; no process is left.
pub fn faults(fixture: &Fixture, ran: &Ran, count: usize) -> Vec<String> {
    let job = fixture.job();
    let events = job.events();
    let mut faults = Vec::new();
    for kind in ["task-planned", "task-finished"] {
        let each = counts(&events, kind);
        if each.len() != count || each.values().any(|times| *times != 1) {
            faults.push(format!(
                "not each of {count} tasks has {kind} once: {each:?}"
            ));
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
    let finished = events.iter().filter(|it| it["event"] == "task-finished");
    let status: HashMap<&str, &Value> = finished
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
        let again = fixture.run(&["report", job.0.to_str().unwrap(), "--format", format]);
        if again.stdout != job.read(file) {
            faults.push(format!("{file} is another when made again: {again}"));
        }
    }
    fixture.assert_no_strays();
    faults
}

/// The exit code that follows from the journal's last event.
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

/// The scripts of tests: name, body, and status unless a timeout or fail-fast ends it earlier.
const SCRIPTS: [(&str, &str, &str); 12] = [
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
    // The last [`SLOW`] take as long as the timeout.
    ("stops", "kill -STOP $$", "INTERRUPTED"),
    ("ends-its-helper", "kill -9 $PPID; sleep 3600", "ERROR"),
];

/// The number of slow scripts, and the most of them that a job has.
const SLOW: usize = 2;

/// The scripts of a job's tests, by their indices.
fn random_tests(random: &mut Rng) -> Vec<usize> {
    let quick = SCRIPTS.len() - SLOW;
    let count = [20, 100, 200][random.usize(..3)];
    let mut scripts: Vec<usize> = (0..count)
        .map(|_| match random.bool() {
            true => 0,
            false => random.usize(..quick),
        })
        .collect();
    for _ in 0..SLOW {
        scripts[random.usize(..count)] = random.usize(..SCRIPTS.len());
    }
    scripts
}

fn random_options(random: &mut Rng) -> Vec<&'static str> {
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

/// The number of events of a kind that each task has.
pub fn counts<'a>(events: &'a [Value], kind: &str) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    for event in events.iter().filter(|event| event["event"] == kind) {
        *counts.entry(event["task"].as_str().unwrap()).or_default() += 1;
    }
    counts
}

/// The fault of a task's result, if it has one. `starts` and `retries` are its numbers of those.
fn result_fault(
    job: &Job,
    id: &str,
    data: &Value,
    (starts, retries): (usize, usize),
    options: &[&str],
) -> Option<String> {
    let has = |option: &str| options.contains(&option);
    let status = data["status"].as_str().unwrap();
    let uri = data["uri"].as_str().unwrap();
    let mut scripts = SCRIPTS.iter();
    let script = scripts.find(|(name, ..)| uri == format!("./{name}"));
    let (name, _, expected) = script.unwrap();
    let expected = match (*name, has("sandbox")) {
        // In a sandbox the helper is process 1, which the kernel protects from its namespace.
        ("ends-its-helper", true) => "INTERRUPTED",
        _ => *expected,
    };
    let is_cut_off = has("--job-timeout") && status == "INTERRUPTED";
    let directory = job.0.join(data["directory"].as_str().unwrap());
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).ok();
    let is_right = match (status, *name) {
        ("SKIP", _) => starts == 0 && (has("--failfast") || has("--job-timeout")),
        _ if starts != retries + 1 && !has("--job-timeout") && !has("--failfast") => false,
        _ if is_cut_off => true,
        _ if status != expected => false,
        (_, "prints") => {
            let printed = (read("stdout"), read("stderr"));
            printed == (Some("out\n".to_owned()), Some("err\n".to_owned()))
        }
        (_, "marks") => read("mark").is_some(),
        (_, "passes") => !directory.exists(),
        _ => true,
    };
    (!is_right).then(|| format!("{id}: {data}, {starts} starts, {retries} retries"))
}

/// The faults of the results of single tests.
fn result_faults(job: &Job, options: &[&str]) -> Vec<String> {
    let events = job.events();
    let starts = counts(&events, "task-started");
    let retries = counts(&events, "task-retried");
    let mut faults = Vec::new();
    for event in events.iter().filter(|it| it["event"] == "task-finished") {
        let id = event["task"].as_str().unwrap();
        let count = |all: &HashMap<&str, usize>| all.get(id).copied().unwrap_or_default();
        let attempts = (count(&starts), count(&retries));
        faults.extend(result_fault(job, id, &event["data"], attempts, options));
    }
    faults
}

#[test]
fn misbehaving_tests_get_one_result_and_harm_no_others() {
    each_seed(10, |seed| {
        let mut random = Rng::with_seed(seed);
        let tests = random_tests(&mut random);
        let options = random_options(&mut random);
        let fixture = Fixture::new();
        for (name, body, _) in SCRIPTS {
            fixture.script(name, body);
        }
        let uris = tests.iter().map(|test| format!("./{}", SCRIPTS[*test].0));
        let uris: Vec<String> = uris.collect();
        fixture.recipe("all.json", &programs(&uris));
        let ran = fixture.run(&[&["run"], &options[..], &["all.json"]].concat());
        let mut faults = faults(&fixture, &ran, tests.len());
        faults.extend(result_faults(&fixture.job(), &options));
        verdict(&options, &faults, &ran)
    });
}
