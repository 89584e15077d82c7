//! Variants: each task once for every combination of named values that is wanted. It must not know what the values are for.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::model::Runnable;
use crate::names::cut;

/// The most variants of one task: what is more is taken for a mistake.
const MOST: usize = 100_000;

/// The longest readable part of an id, in bytes.
const ID: usize = 60;

/// Axes with their values, and which combinations of them are wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Variants {
    /// By name; of each the values in their order.
    axes: BTreeMap<String, Vec<toml::Value>>,
    /// Only combinations that fit one of these.
    #[serde(default)]
    only: Vec<Filter>,
    /// No combination that fits one of these.
    #[serde(default)]
    no: Vec<Filter>,
}

/// Axes with the values that fit, one or several of each.
type Filter = BTreeMap<String, toml::Value>;

/// Each axis with one of its values.
type Choice<'a> = Vec<(&'a str, &'a toml::Value)>;

impl Variants {
    /// What is wrong with them.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut count: usize = 1;
        for (axis, values) in &self.axes {
            if values.is_empty() || !values.iter().all(is_plain) {
                return Err(format!(
                    "the axis `{axis}` is a list of at least one text, number or truth value"
                ));
            }
            count = count.saturating_mul(values.len());
        }
        if count > MOST {
            return Err(format!(
                "its axes have {count} combinations, more than {MOST}"
            ));
        }
        for (axis, wanted) in self.only.iter().chain(&self.no).flatten() {
            let Some(values) = self.axes.get(axis) else {
                return Err(format!("a filter names the axis `{axis}`, which is none"));
            };
            if let Some(value) = each(wanted).iter().find(|value| !values.contains(value)) {
                return Err(format!(
                    "a filter names {value} of the axis `{axis}`, which has no such value"
                ));
            }
        }
        Ok(())
    }

    /// All variants of a runnable. The values of the last axis change first.
    pub(super) fn of(&self, runnable: &Runnable) -> Vec<Runnable> {
        let mut choices: Vec<Choice<'_>> = vec![Vec::new()];
        for (axis, values) in &self.axes {
            let mut longer = Vec::new();
            for choice in &choices {
                for value in values {
                    let mut choice = choice.clone();
                    choice.push((axis, value));
                    longer.push(choice);
                }
            }
            choices = longer;
        }
        choices.retain(|choice| {
            let fits = |filter: &Filter| {
                choice.iter().all(|(axis, value)| {
                    let wanted = filter.get(*axis);
                    wanted.is_none_or(|wanted| each(wanted).contains(value))
                })
            };
            (self.only.is_empty() || self.only.iter().any(fits)) && !self.no.iter().any(fits)
        });
        let with = |choice: Choice<'_>| {
            let mut runnable = runnable.clone();
            runnable.more.insert("variant".into(), variant(&choice));
            runnable
        };
        choices.into_iter().map(with).collect()
    }
}

fn is_plain(value: &toml::Value) -> bool {
    !(value.is_array() || value.is_table() || value.is_datetime())
}

/// One value, or each of a list.
fn each(value: &toml::Value) -> &[toml::Value] {
    let all = value.as_array().map(Vec::as_slice);
    all.unwrap_or(std::slice::from_ref(value))
}

fn text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A variant as Avocado writes it: a tree of one leaf, whose parameters are the values.
fn variant(choice: &Choice<'_>) -> Value {
    let parameter = |(axis, value): &(&str, &toml::Value)| json!(["/", axis, text(value)]);
    let parameters: Vec<Value> = choice.iter().map(parameter).collect();
    json!({
        "paths": ["/run/*"],
        "variant_id": id(choice, &json!(parameters).to_string()),
        "variant": [["/", parameters]],
    })
}

/// `mem-small-os-linux-3ac1`: readable, and told apart by the checksum at its end.
fn id(choice: &Choice<'_>, parameters: &str) -> String {
    let plain = |c: char| match c.is_ascii_alphanumeric() || c == '.' {
        true => c,
        false => '_',
    };
    let plain = |text: &str| text.chars().map(plain).collect::<String>();
    let word =
        |(axis, value): &(&str, &toml::Value)| format!("{}-{}", plain(axis), plain(&text(value)));
    let words: Vec<String> = choice.iter().map(word).collect();
    let digest = Sha256::digest(parameters);
    let digest: String = digest
        .iter()
        .take(2)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}-{digest}", cut(&words.join("-"), ID))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn all(text: &str) -> Vec<Runnable> {
        let variants: Variants = toml::from_str(text).unwrap();
        variants.check().unwrap();
        variants.of(&Runnable::default())
    }

    /// The readable parts of the ids.
    fn ids(text: &str) -> Vec<String> {
        let id = |runnable: &Runnable| {
            let id = runnable.more["variant"]["variant_id"].as_str().unwrap();
            id.rsplit_once('-').unwrap().0.to_owned()
        };
        all(text).iter().map(id).collect()
    }

    const AXES: &str = "axes.mem = [1, 2]\naxes.os = [\"linux\", \"hurd\"]\n";

    #[test]
    fn every_combination_comes_once() {
        let expected = [
            "mem-1-os-linux",
            "mem-1-os-hurd",
            "mem-2-os-linux",
            "mem-2-os-hurd",
        ];
        assert_eq!(ids(AXES), expected);
    }

    #[test]
    fn filters_choose_among_them() {
        let ids = |filters: &str| ids(&format!("{AXES}{filters}"));
        assert_eq!(
            ids("only = [{os = \"hurd\"}]"),
            ["mem-1-os-hurd", "mem-2-os-hurd"]
        );
        let no = "no = [{os = \"hurd\", mem = [1, 2]}]";
        assert_eq!(ids(no), ["mem-1-os-linux", "mem-2-os-linux"]);
        let both = "only = [{os = \"hurd\"}, {mem = 1}]\nno = [{mem = 2}]";
        assert_eq!(ids(both), ["mem-1-os-linux", "mem-1-os-hurd"]);
    }

    #[test]
    fn the_values_are_parameters_as_avocado_has_them() {
        let variant = &all("axes.os = [\"linux\"]")[0].more["variant"];
        assert_eq!(variant["variant"], json!([["/", [["/", "os", "linux"]]]]));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (text, words) in [
            ("axes.os = []", "the axis `os` is a list of at least one"),
            ("axes.os = [[1]]", "the axis `os` is a list"),
            (
                "axes.os = [1]\nonly = [{cpu = 1}]",
                "names the axis `cpu`, which is none",
            ),
            ("axes.os = [1]\nno = [{os = 2}]", "names 2 of the axis `os`"),
        ] {
            let variants: Variants = toml::from_str(text).unwrap();
            let error = variants.check().unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn ids_differ_where_their_readable_parts_do_not() {
        let all = all("axes.a = [\"x y\", \"x_y\"]");
        let id = |runnable: &Runnable| runnable.more["variant"]["variant_id"].clone();
        assert_ne!(id(&all[0]), id(&all[1]));
    }
}
