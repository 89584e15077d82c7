//! Owns the conversion between the host's data and the contract's, and how much of the host's
//! memory an answer may take. Does not know about calls.

use std::fmt;

use crate::contract::data;
pub(crate) use crate::contract::errors::{error, io_error};
use crate::contract::limits::{
    ATTRIBUTE_NAME, ContractLimit, IDENTIFIER, JSON_LEVELS, OUTCOME_REASON, REQUIREMENTS,
    RUNNABLE_ARGUMENTS, RUNNABLE_VARIABLES, TAG_VALUES, TAGS,
};
use persea_model as model;
use persea_model::{Attribute, weight};

/// The host's memory that one answer of a plugin may take, in bytes, and what is left of it.
#[derive(Debug)]
pub(crate) struct AnswerBudget {
    most: u64,
    left: u64,
}

/// Why the host cannot take a plugin's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConvertError {
    /// The data would take more memory than its budget.
    OverBudget,
    /// A value breaks a rule of the contract.
    Invalid(InvalidValue),
}

/// A value that breaks a rule of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidValue {
    /// The attribute, with what it is part of: `kwargs.list`.
    path: String,
    why: String,
}

/// The longest name of an attribute in a message, in bytes.
const SHOWN: usize = 200;

impl ConvertError {
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid(InvalidValue {
            path: String::new(),
            why: why.into(),
        })
    }

    /// Says what the value is part of.
    pub(crate) fn within(self, part: &str) -> Self {
        match self {
            Self::OverBudget => Self::OverBudget,
            Self::Invalid(InvalidValue { path, why }) => {
                let part = model::names::cut(part, SHOWN);
                let path = match path.is_empty() {
                    true => part.to_owned(),
                    false => format!("{part}.{path}"),
                };
                Self::Invalid(InvalidValue { path, why })
            }
        }
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the value `{}` is invalid: {}", self.path, self.why)
    }
}

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

    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), ConvertError> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or(ConvertError::OverBudget)?;
        Ok(())
    }
}

impl From<&Attribute> for data::Value {
    fn from(value: &Attribute) -> Self {
        match value {
            Attribute::Null => Self::Null,
            Attribute::Boolean(value) => Self::Boolean(*value),
            Attribute::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Self::Integer(integer),
                // A float would round it.
                (None, _) if number.is_u64() => Self::Text(number.to_string()),
                (None, Some(float)) => Self::Number(float),
                (None, None) => Self::Text(number.to_string()),
            },
            Attribute::Text(text) => Self::Text(text.clone()),
            Attribute::Json(json) => Self::Json(json.as_str().to_owned()),
        }
    }
}

/// Takes a plugin's value, and its weight from the budget.
pub(crate) fn attribute(
    value: data::Value,
    budget: &mut AnswerBudget,
) -> Result<Attribute, ConvertError> {
    match value {
        data::Value::Null => Ok(Attribute::Null),
        data::Value::Boolean(value) => Ok(value.into()),
        data::Value::Integer(value) => Ok(value.into()),
        data::Value::Number(value) => match value.is_finite() {
            true => Ok(value.into()),
            false => Err(ConvertError::invalid(format!(
                "{value} is no finite number"
            ))),
        },
        data::Value::Text(text) => {
            let text = Attribute::Text(text);
            budget.take(weight::of_attribute(&text))?;
            Ok(text)
        }
        data::Value::Json(text) => json(&text, budget),
    }
}

/// Reads the text of a list or an object.
fn json(text: &str, budget: &mut AnswerBudget) -> Result<Attribute, ConvertError> {
    if !text.trim_ascii_start().starts_with(['[', '{']) {
        let start: String = text.chars().take(20).collect();
        return Err(ConvertError::invalid(format!(
            "its case is `json`, which is for lists and objects, and its text begins with {start:?}"
        )));
    }
    match weight::of_json(text.as_bytes(), budget.left) {
        Ok(None) => Err(ConvertError::OverBudget),
        // The reader itself stops at a depth that is beyond that of the contract.
        Err(error) if error.to_string().starts_with("recursion limit") => Err(too_deep()),
        Err(error) => Err(ConvertError::invalid(format!("it is not JSON: {error}"))),
        Ok(Some(weight)) => {
            let value = Attribute::from_json(text, JSON_LEVELS.most).ok_or_else(too_deep)?;
            budget.take(weight)?;
            Ok(value)
        }
    }
}

fn too_deep() -> ConvertError {
    ConvertError::invalid(format!(
        "lists and objects are nested in more than {JSON_LEVELS} levels"
    ))
}

/// Takes a plugin's open data, and its weight from the budget. Of a name that comes twice, the last
/// value counts.
pub(crate) fn attributes(
    attributes: data::Attributes,
    budget: &mut AnswerBudget,
) -> Result<model::Attributes, ConvertError> {
    let mut converted = model::Attributes::new();
    for (name, value) in attributes {
        at_most(&ATTRIBUTE_NAME, name.len()).map_err(|error| error.within(&name))?;
        budget.take(weight::of_member(converted.is_empty(), &name))?;
        let value = attribute(value, budget).map_err(|error| error.within(&name))?;
        converted.insert(name, value);
    }
    Ok(converted)
}

/// Takes the open data with this name that a record has.
pub(crate) fn member(
    name: &str,
    data: data::Attributes,
    budget: &mut AnswerBudget,
) -> Result<model::Attributes, ConvertError> {
    attributes(data, budget).map_err(|error| error.within(name))
}

pub(crate) fn to_attributes(attributes: &model::Attributes) -> data::Attributes {
    attributes
        .iter()
        .map(|(name, value)| (name.clone(), value.into()))
        .collect()
}

/// Takes a plugin's runnable, and its weight from the budget.
pub(crate) fn runnable(
    runnable: data::Runnable,
    budget: &mut AnswerBudget,
) -> Result<model::Runnable, ConvertError> {
    check_lengths(&runnable)?;
    let requirements = runnable.requirements.into_iter();
    let requirements = requirements
        .map(|it| requirement(it, budget).map_err(|error| error.within("requirements")))
        .collect::<Result<_, ConvertError>>();
    let runnable = model::Runnable {
        kind: runnable.kind,
        uri: runnable.uri,
        args: runnable.args,
        kwargs: member("kwargs", runnable.kwargs, budget)?,
        env: runnable.env,
        tags: runnable.tags,
        requirements: requirements?,
        identifier: runnable.identifier,
        more: member("more", runnable.more, budget)?,
    };
    budget.take(weight::of_bare_runnable(&runnable))?;
    Ok(runnable)
}

/// Checks the lengths of what a runnable consists of.
fn check_lengths(runnable: &data::Runnable) -> Result<(), ConvertError> {
    let identifier = runnable.identifier.as_ref().map_or(0, String::len);
    at_most(&IDENTIFIER, identifier).map_err(|error| error.within("identifier"))?;
    at_most(&RUNNABLE_ARGUMENTS, runnable.args.len()).map_err(|error| error.within("args"))?;
    at_most(&RUNNABLE_VARIABLES, runnable.env.len()).map_err(|error| error.within("env"))?;
    at_most(&TAGS, runnable.tags.len()).map_err(|error| error.within("tags"))?;
    let mut values = runnable.tags.iter().map(|(_, values)| values.len());
    values
        .try_for_each(|values| at_most(&TAG_VALUES, values))
        .map_err(|error| error.within("tags"))?;
    let requirements = runnable.requirements.len();
    at_most(&REQUIREMENTS, requirements).map_err(|error| error.within("requirements"))
}

/// Checks a number against a limit of the contract.
pub(crate) fn at_most(limit: &ContractLimit, found: usize) -> Result<(), ConvertError> {
    match found > limit.most {
        true => Err(ConvertError::invalid(limit.exceeded(found))),
        false => Ok(()),
    }
}

/// Takes a plugin's requirement, and the weight of its open data from the budget.
fn requirement(
    requirement: data::Requirement,
    budget: &mut AnswerBudget,
) -> Result<model::Requirement, ConvertError> {
    Ok(model::Requirement {
        kind: requirement.kind,
        uri: requirement.uri,
        args: requirement.args,
        kwargs: member("kwargs", requirement.kwargs, budget)?,
        more: member("more", requirement.more, budget)?,
    })
}

pub(crate) fn to_runnable(runnable: &model::Runnable) -> data::Runnable {
    data::Runnable {
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

pub(crate) fn to_requirement(requirement: &model::Requirement) -> data::Requirement {
    data::Requirement {
        kind: requirement.kind.clone(),
        uri: requirement.uri.clone(),
        args: requirement.args.clone(),
        kwargs: to_attributes(&requirement.kwargs),
        more: to_attributes(&requirement.more),
    }
}

pub(crate) fn to_task(
    task: &model::Task,
    job_id: &str,
    settings: &model::Attributes,
    more: &model::Attributes,
) -> data::Task {
    data::Task {
        id: task.id.to_string(),
        job_id: job_id.to_owned(),
        runnable: to_runnable(&task.runnable),
        settings: to_attributes(settings),
        more: to_attributes(more),
    }
}

/// Takes a runner's outcome, and its weight from the budget. Cuts the reason.
pub(crate) fn outcome(
    outcome: data::Outcome,
    budget: &mut AnswerBudget,
) -> Result<model::Outcome, ConvertError> {
    let reason = outcome.reason;
    let reason = reason.map(|reason| model::names::shortened(reason, OUTCOME_REASON.most));
    budget.take(reason.as_deref().map_or(0, weight::of_text))?;
    Ok(model::Outcome {
        status: outcome.status,
        reason,
        more: member("more", outcome.more, budget)?,
    })
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
        assert_eq!(back, Err(ConvertError::OverBudget));
    }

    #[test]
    fn runnable_takes_its_weight_from_the_budget() {
        let json = serde_json::json!({
            "kind": "k", "uri": "u", "args": ["a", "b"], "kwargs": {"a": [{"": 0}], "b": "text"},
            "env": [["A", null], ["B", "b"]], "tags": [["t", ["x"]]], "identifier": "i",
            "more": {"m": {}},
            "requirements": [{"kind": "r", "uri": "v", "args": ["c"], "kwargs": {"d": [1]},
                              "more": {"scope": "task"}}],
        });
        let own: model::Runnable = serde_json::from_value(json).unwrap();
        let mut budget = AnswerBudget::new(100_000);
        assert_eq!(runnable(to_runnable(&own), &mut budget), Ok(own.clone()));
        assert_eq!(budget.used(), weight::of_runnable(&own));
        let mut small = AnswerBudget::new(budget.used() - 1);
        assert_eq!(
            runnable(to_runnable(&own), &mut small),
            Err(ConvertError::OverBudget)
        );
    }

    #[test]
    fn json_over_the_budget_is_refused() {
        let text = format!("[{}0]", r#"{"":0},"#.repeat(100_000));
        let mut budget = AnswerBudget::new(8 * text.len() as u64);
        let json = data::Value::Json(text.clone());
        assert_eq!(
            attribute(json.clone(), &mut budget),
            Err(ConvertError::OverBudget)
        );
        let mut budget = AnswerBudget::new(200 * text.len() as u64);
        let taken = attribute(json, &mut budget).unwrap();
        assert!(matches!(&taken, Attribute::Json(json) if json.as_str() == text));
        assert_eq!(budget.used(), weight::of_attribute(&taken));
    }

    #[test]
    fn value_that_breaks_a_rule_is_invalid_and_named() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let taken = |value: data::Value| {
            let data = vec![("list".to_owned(), value)];
            match member("kwargs", data, &mut AnswerBudget::new(100_000_000)) {
                Ok(_) => String::new(),
                Err(ConvertError::Invalid(invalid)) => invalid.to_string(),
                Err(ConvertError::OverBudget) => "over budget".to_owned(),
            }
        };
        let json = |text: &str| taken(data::Value::Json(text.to_owned()));
        assert_eq!(json(&nested(model::DEEPEST)), "");
        for levels in [model::DEEPEST + 1, 126, 100_000] {
            assert_eq!(
                json(&nested(levels)),
                "the value `kwargs.list` is invalid: lists and objects are nested in more than 100 \
                 levels"
            );
        }
        assert!(json("[1,").contains("`kwargs.list` is invalid: it is not JSON: EOF"));
        assert!(json("[1] 2").contains("it is not JSON: trailing characters"));
        for scalar in ["1", "null", "\"text\"", "", "no json"] {
            assert!(
                json(scalar).contains("which is for lists and objects"),
                "{scalar}"
            );
        }
        for number in [f64::NAN, f64::INFINITY] {
            assert!(taken(data::Value::Number(number)).contains("is no finite number"));
        }
    }

    #[test]
    fn integer_beyond_64_bits_with_a_sign_is_text() {
        let sent = |number: u64| data::Value::from(&Attribute::from(number));
        assert!(matches!(
            sent(i64::MAX as u64),
            data::Value::Integer(i64::MAX)
        ));
        let text = "18446744073709551615";
        assert!(matches!(sent(u64::MAX), data::Value::Text(sent) if sent == text));
    }

    #[test]
    fn reason_of_an_outcome_is_cut_and_takes_from_the_budget() {
        let long = data::Outcome {
            status: model::Status::Fail,
            reason: Some("x".repeat(10 << 20)),
            more: Vec::new(),
        };
        let mut budget = AnswerBudget::new(100_000);
        let taken = outcome(long, &mut budget).unwrap();
        assert!(taken.reason.unwrap().len() < OUTCOME_REASON.most + 100);
        assert!(budget.used() >= OUTCOME_REASON.most as u64);
    }
}
