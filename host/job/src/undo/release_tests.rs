#![allow(clippy::unwrap_used)]
use super::*;

/// The unreleased requirements of a journal with these events: their ids with what their release
/// needs.
fn left(lines: &[(&str, serde_json::Value)]) -> Vec<(String, Option<Attributes>)> {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for (event, data) in lines {
        let line = serde_json::json!({"event": event, "time": 1, "data": data});
        text.push_str(&format!("{line}\n"));
    }
    text.push_str("{\"event\":\"requirement-rel");
    std::fs::write(dir.path().join(persea_journal::FILE_NAME), text).unwrap();
    let left = unreleased_of(dir.path()).unwrap();
    left.into_iter()
        .map(|left| (left.id, left.fulfilled))
        .collect()
}

fn started(id: &str, scope: &str) -> (&'static str, serde_json::Value) {
    let requirement = serde_json::json!({"kind": "file", "kwargs": {"path": id}});
    let data = serde_json::json!({
        "id": id, "name": id, "requirement": requirement, "scope": scope, "resolver": "file",
    });
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
fn requirements_are_released_in_reverse_order_of_their_ends() {
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
    let path = left
        .first()
        .unwrap()
        .1
        .as_ref()
        .unwrap()
        .get("path")
        .unwrap();
    assert_eq!(path, "a");
}

#[test]
fn present_failed_kept_and_released_requirements_are_not_left() {
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
fn cut_off_and_unreleasable_requirements_are_left() {
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
        .map(|(id, fulfilled)| (id.as_str(), fulfilled.is_none()))
        .collect();
    assert_eq!(ids, [("cut", true), ("stuck", false)]);
}
