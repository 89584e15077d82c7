//! Owns the format of a job file, and how its suites, tasks and requirements become runnables and
//! requirements. Does not know about references.

use std::collections::BTreeMap;

use crate::input::conditions::TaskConditions;
use crate::input::own_settings;
use crate::input::variants::Variants;
use persea_config::Settings;
use persea_model::{Attributes, Requirement, Runnable, SpawnerKind};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct JobFileContent {
    #[serde(default)]
    pub(super) settings: Settings,
    /// Kinds by pattern, in place of those of the settings.
    #[serde(default, rename = "kind")]
    pub(super) kinds: Vec<serde_json::Value>,
    /// The spawner and the image of every task.
    pub(super) spawner: Option<SpawnerKind>,
    pub(super) image: Option<String>,
    /// The requirements of every task.
    #[serde(default)]
    pub(super) requirements: Vec<JobFileRequirement>,
    #[serde(default, rename = "suite")]
    pub(super) suites: Vec<JobFileSuite>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct JobFileSuite {
    pub(super) name: String,
    #[serde(default)]
    pub(super) references: Vec<String>,
    #[serde(default, rename = "task")]
    pub(super) tasks: Vec<JobFileTask>,
    #[serde(default)]
    pub(super) requirements: Vec<JobFileRequirement>,
    pub(super) setup: Option<String>,
    pub(super) teardown: Option<String>,
    /// The names of the variables that the setup sets for the tests.
    #[serde(default)]
    pub(super) exports: Vec<String>,
    #[cfg_attr(test, serde(skip_serializing))]
    pub(super) variants: Option<Variants>,
    #[serde(flatten)]
    pub(super) conditions: TaskConditions,
}

/// A requirement, in the format of Avocado's dependencies.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct JobFileRequirement {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) uri: Option<String>,
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(flatten)]
    pub(super) kwargs: Attributes,
}

/// A runnable in the format of a recipe, but with requirements, tags and variables beside its
/// keyword arguments.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct JobFileTask {
    pub(super) kind: String,
    pub(super) uri: Option<String>,
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(default)]
    pub(super) kwargs: Attributes,
    pub(super) identifier: Option<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) tags: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(super) config: Attributes,
    #[serde(default)]
    pub(super) requirements: Vec<JobFileRequirement>,
    #[serde(flatten)]
    pub(super) conditions: TaskConditions,
}

impl JobFileSuite {
    pub(super) fn check(&self) -> Result<(), String> {
        let wrong = |message: &str| Err(message.to_owned());
        if self.name.is_empty() || self.name.contains(['/', ';', ':']) {
            return wrong("its name is a text without `/`, `;` and `:`");
        }
        if self.references.is_empty() && self.tasks.is_empty() {
            return wrong("it has neither `references` nor a `[[suite.task]]`");
        }
        if self.setup.is_none() && (self.teardown.is_some() || !self.exports.is_empty()) {
            return wrong(
                "`teardown` and `exports` are for what a `setup` has done, and it has none",
            );
        }
        self.conditions.check()?;
        let mut own = Attributes::new();
        self.conditions.add_to(&mut own);
        own_settings::check(&own)?;
        for (number, task) in (1..).zip(&self.tasks) {
            let checked = task.conditions.check();
            let checked = checked.and_then(|()| own_settings::check(&task.more()));
            checked.map_err(|why| format!("its {number}. task (`{}`): {why}", task.label()))?;
        }
        self.variants.as_ref().map_or(Ok(()), Variants::check)
    }

    /// The suite's setup and teardown, as a requirement of all its tasks.
    pub(super) fn setup(&self) -> Option<Requirement> {
        let (mut kwargs, mut more) = (Attributes::new(), Attributes::new());
        let label = format!("setup of suite {}", self.name);
        more.insert("label".into(), label.into());
        kwargs.insert("setup".into(), self.setup.clone()?.into());
        if let Some(teardown) = &self.teardown {
            kwargs.insert("teardown".into(), teardown.clone().into());
        }
        if !self.exports.is_empty() {
            kwargs.insert("env".into(), self.exports.clone().into());
        }
        more.insert("scope".into(), "suite".into());
        Some(Requirement {
            kind: "command".to_owned(),
            kwargs,
            more,
            ..Requirement::default()
        })
    }
}

impl JobFileRequirement {
    pub(super) fn requirement(&self) -> Requirement {
        let mut kwargs = self.kwargs.clone();
        let more = ["scope", "label"].into_iter();
        let more = more.filter_map(|name| kwargs.remove_entry(name)).collect();
        Requirement {
            kind: self.kind.clone(),
            uri: self.uri.clone(),
            args: self.args.clone(),
            kwargs,
            more,
        }
    }
}

impl JobFileTask {
    /// The runnable's `more`.
    pub(super) fn more(&self) -> Attributes {
        let mut more = Attributes::new();
        self.conditions.add_to(&mut more);
        if !self.config.is_empty() {
            more.insert("config".into(), self.config.clone().into());
        }
        more
    }

    /// The task's name for people.
    pub(super) fn label(&self) -> &str {
        let name = self.identifier.as_ref().or(self.uri.as_ref());
        name.unwrap_or(&self.kind)
    }

    pub(super) fn runnable(&self) -> Runnable {
        let more = self.more();
        let env = self.env.iter();
        Runnable {
            kind: self.kind.clone(),
            uri: self.uri.clone(),
            args: self.args.clone(),
            kwargs: self.kwargs.clone(),
            env: env
                .map(|(name, value)| (name.clone(), Some(value.clone())))
                .collect(),
            tags: self.tags.clone().into_iter().collect(),
            requirements: self
                .requirements
                .iter()
                .map(JobFileRequirement::requirement)
                .collect(),
            identifier: self.identifier.clone(),
            more,
        }
    }
}
