//! Owns what a test has used, in the journal and the reports: the processor time and the memory of
//! its whole tree, of each attempt, and of no other test.

use serde_json::Value;

use crate::support::Fixture;
use crate::support::recipes::{exec, noop, python, shell, with};

/// A script that takes some processor time.
const BURN: &str = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";

/// A command that has 100 MiB of memory for a moment.
const HOLD: &str = "dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null";

const MIB: u64 = 1 << 20;

/// The four numbers of a test in the journal: in nanoseconds and bytes.
fn usage(fixture: &Fixture, name: &str) -> Option<(u64, u64, u64, String)> {
    let events = fixture.job().events_of("task-finished");
    let data = events.iter().find(|it| it["data"]["name"] == name);
    let data = &data.unwrap()["data"];
    let number = |key: &str| data[key].as_u64();
    Some((
        number("cpu-user")?,
        number("cpu-system")?,
        number("peak-memory")?,
        data["peak-memory-of"].as_str()?.to_owned(),
    ))
}

fn run_in(fixture: &Fixture, spawner: &str, tests: &[Value]) {
    fixture.recipe("job.json", tests);
    let properties = "job.run.result.xunit.test_properties=true";
    let args = ["--spawner", spawner, "--max-parallel-tasks", "1"];
    let args = [&["run"], &args[..], &["--set", properties, "job.json"]].concat();
    fixture.run(&args).code(0);
}

#[test]
fn processor_time_and_memory_of_a_grandchild_are_in_the_journal_and_the_reports() {
    for spawner in ["process", "sandbox"] {
        let fixture = Fixture::new();
        // Nobody waits for the last grandchild, which the helper adopts.
        let burns = format!("sh -c '{BURN}; {HOLD}; :' & wait; (sh -c '{BURN}' &)");
        let tests = [
            shell("burns", &burns),
            shell("rests", "exit 0"),
            shell("burns-again", &burns),
        ];
        run_in(&fixture, spawner, &tests);
        for name in ["burns", "burns-again"] {
            let (user, system, peak, of) = usage(&fixture, name).unwrap();
            // Some 100 ms at least; a loop of 300,000 rounds takes longer on any machine.
            assert!(user + system > 100_000_000, "{name}: {user} {system}");
            assert!((100 * MIB..200 * MIB).contains(&peak), "{name}: {peak}");
            assert_eq!(of, "largest-process");
        }
        let (user, system, peak, _) = usage(&fixture, "rests").unwrap();
        assert!(user + system < 80_000_000, "{user} {system}");
        assert!((1..50 * MIB).contains(&peak), "{peak}");

        let job = fixture.job();
        let (user, system, peak, _) = usage(&fixture, "burns").unwrap();
        let test = job.test("burns");
        let seconds = |key: &str| test[key].as_f64().unwrap();
        #[allow(clippy::cast_precision_loss)]
        let is =
            |key: &str, nanoseconds: u64| (seconds(key) - nanoseconds as f64 / 1e9).abs() < 1e-6;
        assert!(is("cpu_user", user) && is("cpu_system", system), "{test}");
        assert_eq!(test["peak_memory"], peak);
        assert_eq!(test["peak_memory_of"], "largest-process");
        let xml = job.read("results.xml");
        let property = format!("<property name=\"peak_memory\" value=\"{peak}\"/>");
        assert!(xml.contains(&property), "{xml}");
        assert!(xml.contains("<property name=\"cpu_user\""), "{xml}");
    }
}

#[test]
fn usage_of_an_attempt_is_that_of_this_attempt() {
    let fixture = Fixture::new();
    let script = format!("test -e again && exit 0; touch again; {BURN}; {HOLD}; exit 1");
    fixture.recipe("job.json", &[shell("second", &script)]);
    fixture
        .run(&["run", "--set", "run.retries=1", "job.json"])
        .code(0);
    let retried = &fixture.job().events_of("task-retried")[0]["data"];
    assert!(retried["cpu-user"].as_u64().unwrap() > 50_000_000);
    assert!(retried["peak-memory"].as_u64().unwrap() > 100 * MIB);
    let (_, _, peak, _) = usage(&fixture, "second").unwrap();
    assert!(peak < 50 * MIB, "{peak}");
}

#[test]
fn usage_includes_processes_that_were_killed_at_the_end() {
    let fixture = Fixture::new();
    let endless = "while :; do :; done";
    let tests = [
        shell("leaves", &format!("(sh -c '{endless}' &) ; sleep 0.3")),
        with(shell("stops", endless), "timeout", 0.3.into()),
    ];
    fixture.recipe("job.json", &tests);
    fixture.run(&["run", "job.json"]);
    assert_eq!(fixture.job().status("stops"), "INTERRUPTED");
    for name in ["leaves", "stops"] {
        let (user, system, ..) = usage(&fixture, name).unwrap();
        assert!(user + system > 30_000_000, "{name}: {user} {system}");
    }
}

#[test]
fn quick_tests_that_follow_each_other_have_their_own_usage() {
    let fixture = Fixture::new();
    let mut tests: Vec<Value> = (0..60)
        .map(|number| exec(&format!("quick-{number}"), "/bin/true"))
        .collect();
    tests.insert(30, shell("large", HOLD));
    run_in(&fixture, "process", &tests);
    let (_, _, peak, _) = usage(&fixture, "large").unwrap();
    assert!(peak >= 100 * MIB, "{peak}");
    for number in 0..60 {
        let (_, _, peak, _) = usage(&fixture, &format!("quick-{number}")).unwrap();
        assert!((1..50 * MIB).contains(&peak), "{number}: {peak}");
    }
}

#[test]
fn test_without_processes_of_its_own_has_no_usage() {
    let fixture = Fixture::new();
    let body = "import unittest\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        \
                pass\n\n    def test_b(self):\n        pass\n";
    fixture.file("test_t.py", body);
    let tests = [
        noop("nothing"),
        python("a", "test_t.py:T.test_a"),
        python("b", "test_t.py:T.test_b"),
        exec("last", "/bin/true"),
    ];
    run_in(&fixture, "process", &tests);
    for name in ["nothing", "a", "b"] {
        assert_eq!(usage(&fixture, name), None, "{name}");
        let test = fixture.job().test(name);
        assert_eq!(test.get("peak_memory"), None, "{test}");
    }
    // Not that of the batch before.
    let (_, _, peak, _) = usage(&fixture, "last").unwrap();
    assert!(peak < 8 * MIB, "{peak}");
    fixture
        .run(&["run", "--set", "run.batches=false", "job.json"])
        .code(0);
    let (user, ..) = usage(&fixture, "a").unwrap();
    assert!(user > 0);
}
