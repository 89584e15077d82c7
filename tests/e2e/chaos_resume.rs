//! Owns random jobs whose host is killed or interrupted at random moments, several times, and
//! resumed each time. In the end they have the results of an undisturbed job, each exactly once.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::chaos::{each_seed, faults, verdict};
use crate::support::recipes::{logged_requirement, requiring, shell, with};
use crate::support::{Fixture, Ran, finish, signal};

/// The scripts of tests: name and body. Each ends in the same way whenever it runs undisturbed.
const SCRIPTS: [(&str, &str); 8] = [
    ("passes", "true"),
    ("fails", "exit 1"),
    ("prints", "echo out; echo err >&2"),
    ("dies", "kill -9 $$"),
    ("leaves", "setsid sleep 3600 </dev/null >/dev/null 2>&1 &"),
    ("short", "sleep 0.02"),
    ("long", "sleep 0.3; echo done"),
    (
        "writes",
        "echo x >$AVOCADO_TEST_OUTPUTDIR/x; sleep 0.05; exit 2",
    ),
];

/// A random test.
fn test(random: &mut Rng, number: usize, with_requirements: bool) -> Value {
    let (name, script) = SCRIPTS[random.usize(..SCRIPTS.len())];
    let mut test = shell(&format!("{name}-{number}"), script);
    if with_requirements && random.u8(..3) == 0 {
        let scope = ["task", "job"][random.usize(..2)];
        let label = format!("{scope}-{}", random.usize(..2));
        let requirement = logged_requirement(&label, json!({"scope": scope}));
        test = requiring(test, &json!([requirement]));
    }
    if number > 0 && random.u8(..6) == 0 {
        let other = format!("*-{}", random.usize(..number));
        // A name that no test has would be an error: the plan has the whole name.
        test = with(test, "after", json!([other]));
    }
    test
}

/// Replaces `*-N` in lists of tests by the name of test N.
fn name_others(tests: &mut [Value]) {
    let names: Vec<String> = tests
        .iter()
        .map(|test| test["identifier"].as_str().unwrap().to_owned())
        .collect();
    for test in tests {
        if let Some(other) = test["after"][0].as_str() {
            let number: usize = other[2..].parse().unwrap();
            test["after"] = json!([names[number]]);
        }
    }
}

/// The results of the latest job, by the names of its tests.
fn results(fixture: &Fixture) -> BTreeMap<String, String> {
    let results = fixture.job().results();
    let tests = results["tests"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    tests
        .map(|test| (text(&test["name"]), text(&test["status"])))
        .collect()
}

/// Runs a job with disturbances until it has ended by itself. Returns its end, and none where the
/// last host was killed after the end of the job, before it had ended itself.
fn disturbed(fixture: &Fixture, random: &mut Rng, run: &[&str]) -> Option<Ran> {
    let mut args = run.to_vec();
    let mut disturbances = random.usize(1..6);
    loop {
        let host = fixture.persea(&args).spawn().unwrap();
        if disturbances > 0 {
            disturbances -= 1;
            std::thread::sleep(Duration::from_millis(random.u64(..700)));
            let name = ["KILL", "KILL", "KILL", "TERM"][random.usize(..4)];
            signal(host.id(), name);
        }
        let ran = finish(host);
        let has = |text: &str| ran.stderr.contains(text);
        if has("nothing to resume") {
            return None;
        }
        // Nothing has run where the plan was not written yet, or the signal came before.
        let never_began = has("no job `latest`") || has("has not begun");
        let was_disturbed = ran.code.is_none() || ran.code.is_some_and(|code| code & 8 != 0);
        if !never_began && !was_disturbed {
            return Some(ran);
        }
        args = match never_began {
            true => run.to_vec(),
            false => vec!["run", "--resume", "latest"],
        };
    }
}

#[test]
fn killed_and_resumed_jobs_end_like_undisturbed_ones() {
    each_seed(9, |seed| {
        let mut random = Rng::with_seed(seed);
        let is_sandboxed = random.u8(..3) == 0;
        let count = random.usize(5..25);
        let mut tests: Vec<Value> = (0..count)
            .map(|number| test(&mut random, number, !is_sandboxed))
            .collect();
        name_others(&mut tests);
        let slots = random.usize(1..4).to_string();
        let mut args = vec!["run", "--max-parallel-tasks", &slots, "job.json"];
        if is_sandboxed {
            args.extend(["--spawner", "sandbox"]);
        }
        if random.bool() {
            args.extend(["--retries", "1"]);
        }
        let (calm, fixture) = (Fixture::new(), Fixture::new());
        calm.recipe("job.json", &tests);
        fixture.recipe("job.json", &tests);
        calm.run(&args);
        let expected = results(&calm);
        let ended = disturbed(&fixture, &mut random, &args);
        let mut found = Vec::new();
        if let Some(ran) = &ended {
            let interrupted = fixture.job().events();
            let cut = interrupted
                .iter()
                .any(|event| event["data"]["cut-short"] == true);
            // Ends that were cut short stay in the journal, and count no longer.
            if !cut {
                found.extend(faults(&fixture, ran, count));
            }
            if results(&fixture) != expected {
                found.push(format!("{:?} and not {expected:?}", results(&fixture)));
            }
            let results = fixture.job().results();
            if results["total"] != count || results["tests"].as_array().unwrap().len() != count {
                found.push(format!("not {count} tests: {}", results["total"]));
            }
        }
        fixture.assert_no_strays();
        let released = fixture.run(&["release"]);
        if released.code != Some(0) || !released.stdout.is_empty() {
            found.push(format!("something was left to release: {released}"));
        }
        let mut last: BTreeMap<String, String> = BTreeMap::new();
        for line in fixture.lines("log") {
            let (act, name) = line.split_once(' ').unwrap();
            last.insert(name.to_owned(), act.to_owned());
        }
        if last.values().any(|act| act != "down") {
            found.push(format!("a requirement is still met: {last:?}"));
        }
        let ran = ended.unwrap_or(released);
        verdict(&args, &found, &ran)
    });
}
