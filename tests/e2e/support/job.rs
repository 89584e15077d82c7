//! Owns the questions that a test asks about a job: its reports, its journal, its tests' files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The directory of a job.
pub struct Job(pub PathBuf);

impl Job {
    pub fn read(&self, name: &str) -> String {
        let path = self.0.join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Avocado's results.json.
    pub fn results(&self) -> Value {
        serde_json::from_str(&self.read("results.json")).unwrap()
    }

    /// The test with this name in results.json.
    #[track_caller]
    pub fn test(&self, name: &str) -> Value {
        let results = self.results();
        let tests = results["tests"].as_array().unwrap();
        let found = tests.iter().find(|test| test["name"] == name);
        found
            .unwrap_or_else(|| panic!("no test {name} in {results:#}"))
            .clone()
    }

    #[track_caller]
    pub fn status(&self, name: &str) -> String {
        self.test(name)["status"].as_str().unwrap().to_owned()
    }

    /// The statuses of all tests in results.json, by name.
    pub fn statuses(&self) -> BTreeMap<String, String> {
        let results = self.results();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let tests = results["tests"].as_array().unwrap().iter();
        tests
            .map(|test| (text(&test["name"]), text(&test["status"])))
            .collect()
    }

    #[track_caller]
    pub fn reason(&self, name: &str) -> String {
        self.test(name)["fail_reason"].as_str().unwrap().to_owned()
    }

    /// The test has ended in ERROR, with a reason that contains each of these parts.
    #[track_caller]
    pub fn assert_error(&self, name: &str, parts: &[&str]) {
        let (status, reason) = (self.status(name), self.reason(name));
        assert_eq!(status, "ERROR", "{name}: {reason}");
        for part in parts {
            assert!(reason.contains(part), "{name}: no {part:?} in: {reason}");
        }
    }

    /// The directory of a test's output.
    #[track_caller]
    pub fn directory(&self, name: &str) -> PathBuf {
        PathBuf::from(self.test(name)["logdir"].as_str().unwrap())
    }

    /// A file in the directory of a test's output.
    #[track_caller]
    pub fn artifact(&self, name: &str, file: &str) -> String {
        let path = self.directory(name).join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The lines of the journal.
    pub fn events(&self) -> Vec<Value> {
        self.read("events.jsonl")
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The events of one kind, in their order.
    pub fn events_of(&self, kind: &str) -> Vec<Value> {
        let mut events = self.events();
        events.retain(|event| event["event"] == kind);
        events
    }

    /// The ids of the tasks that have an event of this kind, in the order of these events.
    pub fn tasks_with(&self, kind: &str) -> Vec<String> {
        let id = |event: &Value| event["task"].as_str().unwrap().to_owned();
        self.events_of(kind).iter().map(id).collect()
    }

    /// The ids of the tasks in the order of the plan.
    pub fn ids(&self) -> Vec<String> {
        self.tasks_with("task-planned")
    }

    /// The names of the tasks, without their numbers, in the order in which they started.
    pub fn started(&self) -> Vec<String> {
        let ids = self.tasks_with("task-started");
        let name = |id: &String| id.split_once('-').unwrap().1.to_owned();
        ids.iter().map(name).collect()
    }
}

/// A parser of XML that is not the host's own reads the file.
#[track_caller]
pub fn assert_well_formed(path: &Path) {
    let check = "import sys, xml.etree.ElementTree as tree; tree.parse(sys.argv[1])";
    let checked = Command::new("python3")
        .args(["-c", check])
        .arg(path)
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}
