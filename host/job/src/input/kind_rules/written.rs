//! Owns a kind by pattern as it is written. Does not know whether a file of settings, a job file or
//! Avocado's hints have it.

use std::collections::BTreeMap;

use persea_model::Attributes;
use serde::Deserialize;

use crate::input::conditions::TaskConditions;

/// Stands for the path of the file in the words of a program.
pub(in crate::input) const PATH: &str = "{path}";

/// A rule as a file of settings or a job file has it.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(in crate::input) struct WrittenRule {
    /// Globs of the files.
    #[serde(rename = "match")]
    pub(in crate::input) files: OneOrMore,
    /// Globs of files that the rule leaves to later rules and to the resolvers.
    #[serde(default)]
    pub(in crate::input) exclude: OneOrMore,
    /// The kind of test.
    pub(in crate::input) kind: String,
    /// The program that runs a file, with its arguments.
    #[serde(default)]
    pub(in crate::input) program: Vec<String>,
    /// Whether the file is not appended where no `{path}` names it, as in `.avocado.hint`.
    #[serde(skip)]
    pub(in crate::input) is_exact: bool,
    #[serde(default)]
    pub(in crate::input) kwargs: Attributes,
    #[serde(default)]
    pub(in crate::input) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(in crate::input) tags: BTreeMap<String, Vec<String>>,
    #[serde(flatten)]
    pub(in crate::input) conditions: TaskConditions,
}

/// A text, or a list of texts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(in crate::input) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl OneOrMore {
    pub(in crate::input) fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::More(texts) => texts,
        }
    }
}
