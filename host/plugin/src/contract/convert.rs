//! Owns the conversion between the host's data and the contract's, and how much of the host's
//! memory an answer may take. Does not know about calls.

use crate::contract::bindings::types;
use persea_model as model;
use persea_model::{Attribute, weight};

/// The host's memory that one answer of a plugin may take, in bytes, and what is left of it.
#[derive(Debug)]
pub(crate) struct AnswerBudget {
    most: u64,
    left: u64,
}

/// An answer would take more memory than its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverBudget;

impl AnswerBudget {
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            most: bytes,
            left: bytes,
        }
    }

    /// Returns the bytes that the answer has taken.
    pub(crate) fn used(&self) -> u64 {
        self.most - self.left
    }

    fn take(&mut self, bytes: u64) -> Result<(), OverBudget> {
        self.left = self.left.checked_sub(bytes).ok_or(OverBudget)?;
        Ok(())
    }
}

impl From<&Attribute> for types::Value {
    fn from(value: &Attribute) -> Self {
        match value {
            Attribute::Null => Self::None,
            Attribute::Boolean(value) => Self::Boolean(*value),
            Attribute::Number(number) => number
                .as_i64()
                .map(Self::Integer)
                .or_else(|| number.as_f64().map(Self::Number))
                .unwrap_or_else(|| Self::Text(number.to_string())),
            Attribute::Text(text) => Self::Text(text.clone()),
            Attribute::Json(json) => Self::Json(json.as_str().to_owned()),
        }
    }
}

/// Takes a plugin's value, and its weight from the budget. Bytes become text in which what is no
/// UTF-8 is replaced. A JSON text that is no JSON, or is nested too deeply, becomes a string.
fn attribute(value: types::Value, budget: &mut AnswerBudget) -> Result<Attribute, OverBudget> {
    let text = match value {
        types::Value::None => return Ok(Attribute::Null),
        types::Value::Boolean(value) => return Ok(value.into()),
        types::Value::Integer(value) => return Ok(value.into()),
        types::Value::Number(value) => return Ok(value.into()),
        types::Value::Text(text) => text,
        types::Value::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        types::Value::Json(text) => match weight::of_json(text.as_bytes(), budget.left) {
            Ok(None) => return Err(OverBudget),
            Err(_) => text,
            Ok(Some(weight)) => match Attribute::from_json(&text, model::DEEPEST) {
                Some(value) => {
                    budget.take(weight)?;
                    return Ok(value);
                }
                None => text,
            },
        },
    };
    let text = Attribute::Text(text);
    budget.take(weight::of_attribute(&text))?;
    Ok(text)
}

pub(crate) fn attributes(
    attributes: types::Attributes,
    budget: &mut AnswerBudget,
) -> Result<model::Attributes, OverBudget> {
    let mut converted = model::Attributes::new();
    for (name, value) in attributes {
        budget.take(weight::of_member(converted.is_empty(), &name))?;
        let value = attribute(value, budget)?;
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
    budget: &mut AnswerBudget,
) -> Result<model::Runnable, OverBudget> {
    let requirement = |requirement: types::Requirement, budget: &mut AnswerBudget| {
        Ok(model::Requirement {
            kind: requirement.kind,
            uri: requirement.uri,
            args: requirement.args,
            kwargs: attributes(requirement.kwargs, budget)?,
        })
    };
    let requirements = runnable.requirements.into_iter();
    let requirements = requirements
        .map(|it| requirement(it, budget))
        .collect::<Result<_, OverBudget>>();
    let runnable = model::Runnable {
        kind: runnable.kind,
        uri: runnable.uri,
        args: runnable.args,
        kwargs: attributes(runnable.kwargs, budget)?,
        env: runnable.env,
        tags: runnable.tags,
        requirements: requirements?,
        identifier: runnable.identifier,
        more: attributes(runnable.more, budget)?,
    };
    budget.take(weight::of_bare_runnable(&runnable))?;
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

pub(crate) fn outcome(
    outcome: types::Outcome,
    budget: &mut AnswerBudget,
) -> Result<model::Outcome, OverBudget> {
    Ok(model::Outcome {
        status: status(outcome.status),
        reason: outcome.reason,
        more: attributes(outcome.more, budget)?,
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
    fn open_data_survives_conversion_both_ways() {
        let data = serde_json::json!({
            "none": null, "yes": true, "count": -3, "big": 1.5, "text": "ü\n",
            "list": [1, "a", {"b": null}],
        });
        let object = Attribute::from(data).members().unwrap();
        let mut budget = AnswerBudget::new(10_000);
        let there_and_back = attributes(to_attributes(&object), &mut budget);
        assert_eq!(there_and_back.as_ref(), Ok(&object));
        assert_eq!(budget.used(), weight::of_attributes(&object));
        let back = attributes(
            to_attributes(&object),
            &mut AnswerBudget::new(budget.used() - 1),
        );
        assert_eq!(back, Err(OverBudget));
    }

    #[test]
    fn runnable_takes_its_weight_from_the_budget() {
        let json = serde_json::json!({
            "kind": "k", "uri": "u", "args": ["a", "b"], "kwargs": {"a": [{"": 0}], "b": "text"},
            "env": [["A", null], ["B", "b"]], "tags": [["t", ["x"]]], "identifier": "i",
            "more": {"m": {}},
            "requirements": [{"kind": "r", "uri": "v", "args": ["c"], "kwargs": {"d": [1]}}],
        });
        let own: model::Runnable = serde_json::from_value(json).unwrap();
        let mut budget = AnswerBudget::new(100_000);
        assert_eq!(runnable(to_runnable(&own), &mut budget), Ok(own.clone()));
        assert_eq!(budget.used(), weight::of_runnable(&own));
        let mut small = AnswerBudget::new(budget.used() - 1);
        assert_eq!(runnable(to_runnable(&own), &mut small), Err(OverBudget));
    }

    #[test]
    fn json_over_the_budget_is_refused() {
        let text = format!("[{}0]", r#"{"":0},"#.repeat(100_000));
        let mut budget = AnswerBudget::new(8 * text.len() as u64);
        let json = types::Value::Json(text.clone());
        assert_eq!(attribute(json.clone(), &mut budget), Err(OverBudget));
        let mut budget = AnswerBudget::new(200 * text.len() as u64);
        let taken = attribute(json, &mut budget).unwrap();
        assert!(matches!(&taken, Attribute::Json(json) if json.as_str() == text));
        assert_eq!(budget.used(), weight::of_attribute(&taken));
    }

    #[test]
    fn json_nested_too_deeply_for_the_journal_stays_text() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let mut budget = AnswerBudget::new(100_000_000);
        let mut taken =
            |levels| attribute(types::Value::Json(nested(levels)), &mut budget).unwrap();
        assert!(taken(model::DEEPEST).items().is_some());
        for levels in [model::DEEPEST + 1, 126, 100_000] {
            assert_eq!(taken(levels), Attribute::Text(nested(levels)));
        }
    }
}
