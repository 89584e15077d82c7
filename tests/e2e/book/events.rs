//! Owns the book's description of the journal, which is compared with journals of real jobs.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{blocks, code, read, with_examples};

/// The journal of a job with as many kinds of events as one job without a terminal can have.
fn events() -> Vec<Value> {
    let fixture = with_examples();
    fixture.script(
        "leaves.sh",
        "setsid sleep 1000 </dev/null >/dev/null 2>&1 &\nsleep 0.1; exit 1",
    );
    let args = [
        "run",
        "--shuffle-seed",
        "1",
        "--failfast",
        "docs/examples/first-job",
        "./leaves.sh",
    ];
    fixture.run(&args).code(1);
    fixture.job().events()
}

#[test]
fn book_describes_every_event_and_field() {
    let page = read("docs/journal.md");
    let words: BTreeSet<&str> = code(&page).collect();
    for event in events() {
        let kind = event["event"].as_str().unwrap();
        assert!(
            page.contains(&format!("\n## `{kind}`\n")),
            "docs/journal.md does not describe {kind}"
        );
        for name in event["data"].as_object().unwrap().keys() {
            assert!(
                words.contains(name.as_str()),
                "docs/journal.md does not describe {name} of {kind}"
            );
        }
    }
}

#[test]
fn events_shown_in_the_book_match_a_real_job() {
    let page = read("docs/how-a-job-runs.md");
    let shown: Vec<Value> = blocks(&page)
        .iter()
        .filter(|block| block.language == "jsonl")
        .flat_map(|block| {
            block
                .text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    let fixture = with_examples();
    fixture
        .run(&["run", "docs/examples/first-job/words.test.sh"])
        .code(0);
    let real = fixture.job().events();
    assert_eq!(shape(&Value::Array(shown)), shape(&Value::Array(real)));
}

/// The value with null for each member that differs from run to run: times, ids, directories.
fn shape(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(members) => {
            let varying = [
                "time",
                "started",
                "elapsed",
                "cpu-user",
                "cpu-system",
                "peak-memory",
                "job-id",
                "job-dir",
                "project-dir",
                "name",
                "settings",
                "persea-version",
                "take-over",
                "process",
                "process-start",
                "helper",
            ];
            let shape_of_member = |(name, value): (&String, &Value)| {
                let value = if varying.contains(&name.as_str()) {
                    Value::Null
                } else {
                    shape(value)
                };
                (name.clone(), value)
            };
            Value::Object(members.iter().map(shape_of_member).collect())
        }
        other => other.clone(),
    }
}
