#![allow(clippy::unwrap_used)]
use super::*;

/// What is left according to a journal with these events about requirements, as ids with what it takes to undo them.
fn left(lines: &[(&str, serde_json::Value)]) -> Vec<(String, Attributes)> {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for (event, data) in lines {
        let line = serde_json::json!({"event": event, "time": 1, "data": data});
        text.push_str(&format!("{line}\n"));
    }
    text.push_str("{\"event\":\"requirement-rel");
    std::fs::write(dir.path().join(persea_journal::FILE_NAME), text).unwrap();
    let left = left_by(dir.path()).unwrap();
    left.into_iter()
        .map(|left| (left.id, left.fulfilled))
        .collect()
}

fn started(id: &str, scope: &str) -> (&'static str, serde_json::Value) {
    let requirement = serde_json::json!({"kind": "file", "kwargs": {"path": id}});
    let data = serde_json::json!({"id": id, "name": id, "requirement": requirement, "scope": scope, "resolver": "file"});
    (EventKind::RequirementStarted.name(), data)
}

fn absent(id: &str) -> (&'static str, serde_json::Value) {
    (
        EventKind::RequirementAbsent.name(),
        serde_json::json!({"id": id}),
    )
}

fn finished(id: &str, state: &str) -> (&'static str, serde_json::Value) {
    let fulfilled = serde_json::json!({"path": id});
    let data = serde_json::json!({"id": id, "state": state, "elapsed": 1, "fulfilled": fulfilled});
    (EventKind::RequirementFinished.name(), data)
}

#[test]
fn the_last_that_was_brought_about_is_the_first_to_be_undone() {
    let (a, b) = (started("a", "job"), started("b", "task"));
    let left = left(&[
        a,
        b,
        absent("a"),
        absent("b"),
        finished("b", "fulfilled"),
        finished("a", "fulfilled"),
    ]);
    let ids: Vec<&str> = left.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    let path = left.first().unwrap().1.get("path").unwrap();
    assert_eq!(path, "a");
}

#[test]
fn what_was_there_or_failed_or_is_to_be_kept_or_was_released_is_not() {
    let events = [
        started("there", "job"),
        finished("there", "present"),
        started("failed", "job"),
        absent("failed"),
        finished("failed", "failed"),
        started("kept", "keep"),
        absent("kept"),
        finished("kept", "fulfilled"),
        started("released", "job"),
        absent("released"),
        finished("released", "fulfilled"),
        (
            EventKind::RequirementReleased.name(),
            serde_json::json!({"id": "released", "elapsed": 1}),
        ),
    ];
    assert!(left(&events).is_empty());
}

#[test]
fn what_nobody_heard_the_end_of_or_could_not_be_released_is() {
    let failure = serde_json::json!({"id": "stuck", "reason": "no", "elapsed": 1});
    let left = left(&[
        started("stuck", "job"),
        absent("stuck"),
        finished("stuck", "fulfilled"),
        (EventKind::RequirementReleased.name(), failure),
        started("cut", "job"),
        absent("cut"),
    ]);
    let ids: Vec<(&str, bool)> = left
        .iter()
        .map(|(id, fulfilled)| (id.as_str(), fulfilled.is_empty()))
        .collect();
    assert_eq!(ids, [("cut", true), ("stuck", false)]);
}
