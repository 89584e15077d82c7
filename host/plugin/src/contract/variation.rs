//! Owns the conversion of a varianter's answer about one variant, with what the variant adds to its
//! test. Does not know how a variant becomes a task.

use serde::Deserialize;

use crate::contract::convert::{AnswerBudget, ConvertError, at_most, member};
use crate::contract::data;
use crate::contract::limits::REQUIREMENTS;
use persea_model::names::cut;
use persea_model::{Attribute, Attributes, Requirement, Variation, weight};

/// The most that a message shows of a value, in bytes.
const SHOWN: usize = 200;

/// A requirement as a variation has it, in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRequirement {
    kind: String,
    #[serde(default)]
    uri: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    kwargs: Attributes,
    #[serde(default)]
    more: Attributes,
}

/// Takes a varianter's variation, and its weight from the budget.
///
/// # Errors
/// The variation exceeds the budget, or a value breaks a rule of the contract.
pub(crate) fn variation(
    variation: data::Variation,
    budget: &mut AnswerBudget,
) -> Result<Variation, ConvertError> {
    budget.take(size_of::<Variation>() as u64)?;
    let parameters = member("parameters", variation.parameters, budget)?;
    let more = member("more", variation.more, budget)?;
    let within = |name: &'static str| move |error: ConvertError| error.within(name).within("more");
    let value = |name: &str| more.get(name).filter(|value| !value.is_null());
    let resources = value("resources").map(resources).transpose();
    let timeout = value("timeout").map(timeout).transpose();
    let requirements = value("requirements").map(|it| requirements(it, budget));
    Ok(Variation {
        parameters,
        requirements: requirements
            .transpose()
            .map_err(within("requirements"))?
            .unwrap_or_default(),
        resources: resources.map_err(within("resources"))?.unwrap_or_default(),
        timeout: timeout.map_err(within("timeout"))?,
    })
}

fn expected(what: &str, found: &Attribute) -> ConvertError {
    let found = found.to_string();
    ConvertError::invalid(format!("expected {what}, found {}", cut(&found, SHOWN)))
}

fn resources(value: &Attribute) -> Result<Attributes, ConvertError> {
    value.members().ok_or_else(|| expected("an object", value))
}

fn timeout(value: &Attribute) -> Result<u64, ConvertError> {
    let nanoseconds = value.as_u64();
    nanoseconds.ok_or_else(|| expected("a whole number of nanoseconds", value))
}

fn requirements(
    value: &Attribute,
    budget: &mut AnswerBudget,
) -> Result<Vec<Requirement>, ConvertError> {
    let Attribute::Json(json) = value else {
        return Err(expected("a list of objects", value));
    };
    let written: Vec<WrittenRequirement> =
        serde_json::from_str(json.as_str()).map_err(|error| {
            ConvertError::invalid(format!("it is no list of requirements: {error}"))
        })?;
    at_most(&REQUIREMENTS, written.len())?;
    let requirements = written.into_iter().map(|written| Requirement {
        kind: written.kind,
        uri: written.uri,
        args: written.args,
        kwargs: written.kwargs,
        more: written.more,
    });
    let requirements: Vec<Requirement> = requirements.collect();
    budget.take(requirements.iter().map(weight::of_requirement).sum())?;
    Ok(requirements)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn taken(more: Vec<(&str, data::Value)>) -> Result<Variation, String> {
        let more = more.into_iter();
        let answer = data::Variation {
            parameters: vec![("a".to_owned(), data::Value::Integer(1))],
            more: more.map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        variation(answer, &mut AnswerBudget::new(1 << 20)).map_err(|error| match error {
            ConvertError::Invalid(invalid) => invalid.to_string(),
            ConvertError::OverBudget => "over budget".to_owned(),
        })
    }

    fn json(text: &str) -> data::Value {
        data::Value::Json(text.to_owned())
    }

    #[test]
    fn variation_has_what_it_adds_to_its_test() {
        let required = r#"[{"kind": "k", "uri": "u", "args": ["a"], "kwargs": {"b": [1]},
            "more": {"scope": "task"}}, {"kind": "l"}]"#;
        let made = taken(vec![
            ("requirements", json(required)),
            ("resources", json(r#"{"board": ["b1"]}"#)),
            ("timeout", data::Value::Integer(5)),
        ]);
        let made = made.unwrap();
        let (first, second) = (&made.requirements[0], &made.requirements[1]);
        assert_eq!(first.uri.as_deref(), Some("u"));
        assert_eq!(first.more.get("scope"), Some(&"task".into()));
        assert_eq!((&*second.kind, &second.uri), ("l", &None));
        let boards = made.resources.get("board").unwrap().items();
        assert_eq!(boards, Some(vec!["b1".into()]));
        assert_eq!(made.timeout, Some(5));
        let nothing = taken(vec![("requirements", data::Value::Null)]).unwrap();
        assert!(nothing.requirements.is_empty() && nothing.timeout.is_none());
    }

    #[test]
    fn value_of_a_wrong_form_is_invalid() {
        for (name, value, words) in [
            (
                "requirements",
                json(r#"{"kind": "k"}"#),
                "it is no list of requirements: ",
            ),
            (
                "requirements",
                json(r#"[{"uri": "u"}]"#),
                "missing field `kind`",
            ),
            (
                "requirements",
                json(r#"[{"kind": "k", "url": ""}]"#),
                "unknown field `url`",
            ),
            (
                "requirements",
                data::Value::Boolean(true),
                "expected a list of objects",
            ),
            ("resources", json("[]"), "expected an object, found []"),
            (
                "timeout",
                data::Value::Integer(-1),
                "expected a whole number of nanoseconds",
            ),
            (
                "timeout",
                data::Value::Text("5m".to_owned()),
                "of nanoseconds, found",
            ),
        ] {
            let why = taken(vec![(name, value)]).unwrap_err();
            let start = format!("the value `more.{name}` is invalid: ");
            assert!(why.starts_with(&start) && why.contains(words), "{why}");
        }
    }

    #[test]
    fn requirements_of_a_variation_are_limited() {
        let many = vec![r#"{"kind": "k"}"#; REQUIREMENTS.most + 1].join(",");
        let why = taken(vec![("requirements", json(&format!("[{many}]")))]).unwrap_err();
        assert!(why.contains("1,025 requirements of a runnable"), "{why}");
    }
}
