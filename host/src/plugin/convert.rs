//! Between the host's data and the contract's: the same things in two languages, nothing more.

use serde_json::Value as Json;

use super::bindings::types;
use crate::model;

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
pub(super) fn json(value: types::Value) -> Json {
    match value {
        types::Value::None => Json::Null,
        types::Value::Boolean(value) => Json::Bool(value),
        types::Value::Integer(value) => value.into(),
        types::Value::Number(value) => {
            serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number)
        }
        types::Value::Text(text) => Json::String(text),
        types::Value::Binary(bytes) => Json::String(String::from_utf8_lossy(&bytes).into_owned()),
        types::Value::Json(text) => match serde_json::from_str(&text) {
            Ok(value) if is_within(&value, model::DEEPEST) => value,
            _ => Json::String(text),
        },
    }
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

pub(super) fn attributes(attributes: types::Attributes) -> model::Attributes {
    attributes
        .into_iter()
        .map(|(name, value)| (name, json(value)))
        .collect()
}

pub(super) fn to_attributes(attributes: &model::Attributes) -> types::Attributes {
    attributes
        .iter()
        .map(|(name, value)| (name.clone(), value.into()))
        .collect()
}

pub(super) fn runnable(runnable: types::Runnable) -> model::Runnable {
    model::Runnable {
        kind: runnable.kind,
        uri: runnable.uri,
        args: runnable.args,
        kwargs: attributes(runnable.kwargs),
        env: runnable.env,
        tags: runnable.tags,
        requirements: runnable
            .requirements
            .into_iter()
            .map(|requirement| model::Requirement {
                kind: requirement.kind,
                uri: requirement.uri,
                args: requirement.args,
                kwargs: attributes(requirement.kwargs),
            })
            .collect(),
        identifier: runnable.identifier,
        more: attributes(runnable.more),
    }
}

pub(super) fn to_runnable(runnable: &model::Runnable) -> types::Runnable {
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

pub(super) fn to_requirement(requirement: &model::Requirement) -> types::Requirement {
    types::Requirement {
        kind: requirement.kind.clone(),
        uri: requirement.uri.clone(),
        args: requirement.args.clone(),
        kwargs: to_attributes(&requirement.kwargs),
    }
}

pub(super) fn to_task(
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

pub(super) fn outcome(outcome: types::Outcome) -> model::Outcome {
    model::Outcome {
        status: status(outcome.status),
        reason: outcome.reason,
        more: attributes(outcome.more),
    }
}

pub(super) fn status(status: types::Status) -> model::Status {
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

pub(super) fn to_status(status: model::Status) -> types::Status {
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
pub(super) fn error(code: &str, message: impl Into<String>) -> types::Error {
    types::Error {
        code: code.to_owned(),
        message: message.into(),
        detail: Vec::new(),
    }
}

/// A system's error about a thing, with its errno.
pub(super) fn io_error(what: &str, error: &std::io::Error) -> types::Error {
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
        assert_eq!(attributes(to_attributes(object)), *object);
    }

    #[test]
    fn what_is_nested_too_deeply_for_the_journal_stays_a_text() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let json = |levels| json(types::Value::Json(nested(levels)));
        assert!(json(model::DEEPEST).is_array());
        for levels in [model::DEEPEST + 1, 126, 100_000] {
            assert_eq!(json(levels), Json::String(nested(levels)));
        }
    }
}
