//! Between the host's data and the contract's: the same things in two languages, nothing more.

use serde_json::Value as Json;

use crate::contract::bindings::types;
use persea_model as model;
use persea_model::weight;

/// The host's memory that one answer of a plugin may still become, in bytes.
#[derive(Debug)]
pub(crate) struct Room {
    most: u64,
    left: u64,
}

/// An answer would become more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Room {
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            most: bytes,
            left: bytes,
        }
    }

    /// What was taken.
    pub(crate) fn used(&self) -> u64 {
        self.most - self.left
    }

    fn take(&mut self, bytes: u64) -> Result<(), Full> {
        self.left = self.left.checked_sub(bytes).ok_or(Full)?;
        Ok(())
    }
}

impl From<&Json> for types::Value {
    fn from(json: &Json) -> Self {
        match json {
            Json::Null => Self::None,
            Json::Bool(value) => Self::Boolean(*value),
            Json::Number(number) => number
                .as_i64()
                .map(Self::Integer)
                .or_else(|| number.as_f64().map(Self::Number))
                .unwrap_or_else(|| Self::Text(number.to_string())),
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(_) | Json::Object(_) => Self::Json(json.to_string()),
        }
    }
}

/// As JSON; bytes become text with what is no UTF-8 replaced, and a JSON text that is none, or is nested too deeply, stays a text.
/// What there is no room for is not built.
fn json(value: types::Value, room: &Room) -> Result<Json, Full> {
    Ok(match value {
        types::Value::None => Json::Null,
        types::Value::Boolean(value) => Json::Bool(value),
        types::Value::Integer(value) => value.into(),
        types::Value::Number(value) => {
            serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number)
        }
        types::Value::Text(text) => Json::String(text),
        types::Value::Binary(bytes) => Json::String(String::from_utf8_lossy(&bytes).into_owned()),
        types::Value::Json(text) => match weight::of_json(text.as_bytes(), room.left) {
            Ok(None) => return Err(Full),
            Err(_) => Json::String(text),
            Ok(Some(_)) => match serde_json::from_str(&text) {
                Ok(value) if is_within(&value, model::DEEPEST) => value,
                _ => Json::String(text),
            },
        },
    })
}

/// Whether lists and objects are nested no deeper.
fn is_within(value: &Json, levels: usize) -> bool {
    let inner = |value| is_within(value, levels.saturating_sub(1));
    match value {
        Json::Array(items) => levels > 0 && items.iter().all(inner),
        Json::Object(members) => levels > 0 && members.values().all(inner),
        _ => true,
    }
}

pub(crate) fn attributes(
    attributes: types::Attributes,
    room: &mut Room,
) -> Result<model::Attributes, Full> {
    let mut converted = model::Attributes::new();
    for (name, value) in attributes {
        let value = json(value, room)?;
        room.take(weight::of_member(converted.is_empty(), &name, &value))?;
        converted.insert(name, value);
    }
    Ok(converted)
}

pub(crate) fn to_attributes(attributes: &model::Attributes) -> types::Attributes {
    attributes
        .iter()
        .map(|(name, value)| (name.clone(), value.into()))
        .collect()
}

pub(crate) fn runnable(
    runnable: types::Runnable,
    room: &mut Room,
) -> Result<model::Runnable, Full> {
    let requirement = |requirement: types::Requirement, room: &mut Room| {
        Ok(model::Requirement {
            kind: requirement.kind,
            uri: requirement.uri,
            args: requirement.args,
            kwargs: attributes(requirement.kwargs, room)?,
        })
    };
    let requirements = runnable.requirements.into_iter();
    let requirements = requirements
        .map(|it| requirement(it, room))
        .collect::<Result<_, Full>>();
    let runnable = model::Runnable {
        kind: runnable.kind,
        uri: runnable.uri,
        args: runnable.args,
        kwargs: attributes(runnable.kwargs, room)?,
        env: runnable.env,
        tags: runnable.tags,
        requirements: requirements?,
        identifier: runnable.identifier,
        more: attributes(runnable.more, room)?,
    };
    room.take(weight::of_bare_runnable(&runnable))?;
    Ok(runnable)
}

pub(crate) fn to_runnable(runnable: &model::Runnable) -> types::Runnable {
    types::Runnable {
        kind: runnable.kind.clone(),
        uri: runnable.uri.clone(),
        args: runnable.args.clone(),
        kwargs: to_attributes(&runnable.kwargs),
        env: runnable.env.clone(),
        tags: runnable.tags.clone(),
        requirements: runnable.requirements.iter().map(to_requirement).collect(),
        identifier: runnable.identifier.clone(),
        more: to_attributes(&runnable.more),
    }
}

pub(crate) fn to_requirement(requirement: &model::Requirement) -> types::Requirement {
    types::Requirement {
        kind: requirement.kind.clone(),
        uri: requirement.uri.clone(),
        args: requirement.args.clone(),
        kwargs: to_attributes(&requirement.kwargs),
    }
}

pub(crate) fn to_task(
    task: &model::Task,
    job_id: &str,
    settings: &model::Attributes,
    more: &model::Attributes,
) -> types::Task {
    types::Task {
        id: task.id.clone(),
        job_id: job_id.to_owned(),
        runnable: to_runnable(&task.runnable),
        settings: to_attributes(settings),
        more: to_attributes(more),
    }
}

pub(crate) fn outcome(outcome: types::Outcome, room: &mut Room) -> Result<model::Outcome, Full> {
    Ok(model::Outcome {
        status: status(outcome.status),
        reason: outcome.reason,
        more: attributes(outcome.more, room)?,
    })
}

pub(crate) fn status(status: types::Status) -> model::Status {
    match status {
        types::Status::Pass => model::Status::Pass,
        types::Status::Fail => model::Status::Fail,
        types::Status::Error => model::Status::Error,
        types::Status::Skip => model::Status::Skip,
        types::Status::Warn => model::Status::Warn,
        types::Status::Cancel => model::Status::Cancel,
        types::Status::Interrupted => model::Status::Interrupted,
    }
}

pub(crate) fn to_status(status: model::Status) -> types::Status {
    match status {
        model::Status::Pass => types::Status::Pass,
        model::Status::Fail => types::Status::Fail,
        model::Status::Error => types::Status::Error,
        model::Status::Skip => types::Status::Skip,
        model::Status::Warn => types::Status::Warn,
        model::Status::Cancel => types::Status::Cancel,
        model::Status::Interrupted => types::Status::Interrupted,
    }
}

/// An error of the contract.
pub(crate) fn error(code: &str, message: impl Into<String>) -> types::Error {
    types::Error {
        code: code.to_owned(),
        message: message.into(),
        detail: Vec::new(),
    }
}

/// A system's error about a thing, with its errno.
pub(crate) fn io_error(what: &str, error: &std::io::Error) -> types::Error {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => "not-found",
        std::io::ErrorKind::PermissionDenied => "not-permitted",
        _ => "io",
    };
    let detail = error
        .raw_os_error()
        .map(|number| ("os-error".to_owned(), types::Value::Integer(number.into())))
        .into_iter()
        .collect();
    types::Error {
        code: code.to_owned(),
        message: format!("{what}: {error}"),
        detail,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn open_data_survives_the_way_there_and_back() {
        let data = serde_json::json!({
            "none": null, "yes": true, "count": -3, "big": 1.5, "text": "ü\n", "list": [1, "a", {"b": null}],
        });
        let object = data.as_object().unwrap();
        let mut room = Room::new(10_000);
        let there_and_back = attributes(to_attributes(object), &mut room);
        assert_eq!(there_and_back.as_ref(), Ok(object));
        assert_eq!(room.used(), weight::of_attributes(object));
        let back = attributes(to_attributes(object), &mut Room::new(room.used() - 1));
        assert_eq!(back, Err(Full));
    }

    #[test]
    fn runnable_takes_as_much_room_as_it_weighs() {
        let json = serde_json::json!({
            "kind": "k", "uri": "u", "args": ["a", "b"], "kwargs": {"a": [{"": 0}], "b": "text"},
            "env": [["A", null], ["B", "b"]], "tags": [["t", ["x"]]], "identifier": "i", "more": {"m": {}},
            "requirements": [{"kind": "r", "uri": "v", "args": ["c"], "kwargs": {"d": [1]}}],
        });
        let own: model::Runnable = serde_json::from_value(json).unwrap();
        let mut room = Room::new(100_000);
        assert_eq!(runnable(to_runnable(&own), &mut room), Ok(own.clone()));
        assert_eq!(room.used(), weight::of_runnable(&own));
        let mut small = Room::new(room.used() - 1);
        assert_eq!(runnable(to_runnable(&own), &mut small), Err(Full));
    }

    #[test]
    fn json_that_would_become_too_much_is_not_built() {
        let text = format!("[{}0]", r#"{"":0},"#.repeat(100_000));
        let room = Room::new(8 * text.len() as u64);
        assert_eq!(json(types::Value::Json(text.clone()), &room), Err(Full));
        let room = Room::new(200 * text.len() as u64);
        assert!(json(types::Value::Json(text), &room).unwrap().is_array());
    }

    #[test]
    fn what_is_nested_too_deeply_for_the_journal_stays_a_text() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let room = Room::new(100_000_000);
        let json = |levels| json(types::Value::Json(nested(levels)), &room).unwrap();
        assert!(json(model::DEEPEST).is_array());
        for levels in [model::DEEPEST + 1, 126, 100_000] {
            assert_eq!(json(levels), Json::String(nested(levels)));
        }
    }
}
