//! Owns the variants that a varianter plugin makes: asks the plugin for those of each test of a
//! suite, with what each adds to the test, and rejects invalid answers.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::additions::VariantAdditions;
use super::parameters::Parameters;
use super::{VariantSet, VariantsError};
use crate::input::identifier::identifier;
use crate::input::known_plugins;
use persea_config::Config;
use persea_model::names::cut;
use persea_model::{Attribute, Attributes, Runnable, Variation};
use persea_plugin::{Catalog, Plugin, Varianter};

/// The most variants of one test that the contract lets a varianter answer with.
const MAX_ANSWERED: usize = 1_000_000;

/// The most that is shown of a plugin's answer, in bytes.
const SHOWN: usize = 200;

/// A varianter by name, with its parameters.
#[derive(Debug)]
pub(crate) struct ChosenVarianter {
    name: String,
    parameters: Attributes,
}

/// A live varianter for the tests of one suite.
pub(crate) struct LiveVarianter<'a> {
    pub(super) plugin: Arc<Plugin>,
    varianter: Varianter,
    parameters: &'a Attributes,
    more: Attributes,
}

impl ChosenVarianter {
    pub(super) fn new(name: String, parameters: toml::Table) -> Self {
        let parameters = parameters.into_iter();
        Self {
            name,
            parameters: parameters
                .map(|(name, it)| (name, json(it).into()))
                .collect(),
        }
    }

    /// Creates an instance of the varianter.
    pub(super) async fn begin(
        &self,
        catalog: &Catalog,
        config: &Config,
        suite: &str,
    ) -> Result<LiveVarianter<'_>, VariantsError> {
        let found = catalog.varianters().find(|it| it.name == self.name);
        let plugin = found.ok_or_else(|| VariantsError::NoVarianter {
            name: self.name.clone(),
            known: known_plugins(catalog.varianters()),
        })?;
        let settings = plugin.configured(config);
        let varianter = Varianter::new(plugin, &settings).await;
        let mut more = Attributes::new();
        more.insert("suite".into(), suite.into());
        Ok(LiveVarianter {
            plugin: Arc::clone(plugin),
            varianter: varianter.map_err(VariantsError::Begin)?,
            parameters: &self.parameters,
            more,
        })
    }
}

impl LiveVarianter<'_> {
    /// The variants of a test.
    pub(super) async fn variants(
        &mut self,
        runnable: &Runnable,
    ) -> Result<VariantSet, VariantsError> {
        let test = || {
            let own = runnable.identifier.clone();
            own.unwrap_or_else(|| identifier("{uri}", runnable))
        };
        let asked = self.varianter.vary(runnable, self.parameters, &self.more);
        let answer = asked.await.map_err(|error| VariantsError::Failed {
            test: test(),
            error,
        })?;
        let variant = |it: Variation| {
            let additions = VariantAdditions {
                requirements: it.requirements,
                resources: it.resources,
                timeout: it.timeout,
            };
            (it.parameters, additions)
        };
        let (parameters, additions) = answer.into_iter().map(variant).unzip();
        let parameters = accept(parameters).map_err(|message| VariantsError::Answer {
            test: test(),
            plugin: self.varianter.label().to_owned(),
            message,
        })?;
        Ok(VariantSet {
            parameters,
            additions,
        })
    }
}

/// The parameters as texts.
///
/// # Errors
/// A value is not plain, two variants are equal, or there are too many.
fn accept(answer: Vec<Attributes>) -> Result<Vec<Parameters>, String> {
    if answer.len() > MAX_ANSWERED {
        let count = answer.len();
        return Err(format!("{count} variants, more than {MAX_ANSWERED}"));
    }
    let parameter = |(name, value): (String, Attribute)| match text(&value) {
        Some(text) => Ok((name, text)),
        None => Err(format!(
            "the parameter `{}`, whose value {} is not a text, number or truth value",
            cut(&name, SHOWN),
            cut(&value.to_string(), SHOWN)
        )),
    };
    let variant = |all: Attributes| all.into_iter().map(parameter).collect();
    let all = answer
        .into_iter()
        .map(variant)
        .collect::<Result<Vec<Parameters>, String>>()?;
    let mut seen = HashSet::new();
    match all.iter().find(|variant| !seen.insert(*variant)) {
        Some(twice) => Err(format!("the same variant twice: {}", shown(twice))),
        None => Ok(all),
    }
}

fn shown(parameters: &Parameters) -> String {
    let all = parameters.iter();
    let all: Vec<String> = all.map(|(name, value)| format!("{name}={value}")).collect();
    match all.is_empty() {
        true => "one without parameters".to_owned(),
        false => cut(&all.join(" "), SHOWN).to_string(),
    }
}

/// A plain value as a test receives it.
fn text(value: &Attribute) -> Option<String> {
    match value {
        Attribute::Text(text) => Some(text.clone()),
        Attribute::Boolean(_) | Attribute::Number(_) => Some(value.to_string()),
        Attribute::Null | Attribute::Json(_) => None,
    }
}

/// Converts TOML to JSON. Values without a JSON type become texts.
fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => match serde_json::Number::from_f64(number) {
            Some(number) => number.into(),
            None => number.to_string().into(),
        },
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(table) => {
            let members = table.into_iter();
            Value::Object(members.map(|(name, it)| (name, json(it))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(text: &str) -> Result<Vec<Parameters>, String> {
        accept(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn plain_values_become_texts() {
        let all = answer(r#"[{"a": 1, "b": "x", "c": true, "d": 0.5}, {}]"#).unwrap();
        let expected = [("a", "1"), ("b", "x"), ("c", "true"), ("d", "0.5")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(all, [Parameters::from(expected), Parameters::new()]);
        assert_eq!(answer("[]"), Ok(Vec::new()));
    }

    #[test]
    fn invalid_variants_are_rejected() {
        for (text, words) in [
            (
                r#"[{"a": [1]}]"#,
                "the parameter `a`, whose value [1] is not a text",
            ),
            (r#"[{"a": null}]"#, "the parameter `a`, whose value null"),
            // Values that a test cannot distinguish are equal.
            (
                r#"[{"a": 1, "b": 2}, {"b": "2", "a": "1"}]"#,
                "the same variant twice: a=1 b=2",
            ),
            ("[{}, {}]", "the same variant twice: one without parameters"),
        ] {
            let error = answer(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let many = vec![Attributes::new(); MAX_ANSWERED + 1];
        let error = accept(many).unwrap_err();
        assert_eq!(error, "1000001 variants, more than 1000000");
    }

    #[test]
    fn parameters_of_a_job_file_reach_the_plugin_as_json() {
        let text = "a = [1, 'x']\nb.c = true\nd = 1979-05-27\ne = inf\nf = 1.5\n";
        let chosen = ChosenVarianter::new("p".into(), toml::from_str(text).unwrap());
        let expected = serde_json::json!({
            "a": [1, "x"], "b": {"c": true}, "d": "1979-05-27", "e": "inf", "f": 1.5,
        });
        assert_eq!(
            Attribute::from(chosen.parameters),
            Attribute::from(expected)
        );
    }
}
