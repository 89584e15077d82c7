//! Owns what a job file, a suite or a kind by pattern says about when, where and how long tasks
//! run.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::input::{own_directory, own_limits, own_retries, own_settings, own_spawner};
use persea_config::{Shape, duration};
use persea_model::{Attribute, Attributes, SpawnerKind};
use serde::Deserialize;

/// Dependencies, claims, timeout, environment and limits of a task, or of all tasks of a suite.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct TaskConditions {
    #[serde(default)]
    pub(super) needs: Vec<String>,
    #[serde(default)]
    pub(super) after: Vec<String>,
    #[serde(default)]
    pub(super) mutexes: Vec<String>,
    #[serde(default)]
    pub(super) resources: BTreeMap<String, ResourceClaim>,
    pub(super) timeout: Option<Attribute>,
    /// How often a task is tried again.
    pub(super) retries: Option<Attribute>,
    /// The directory in which the processes of a task start.
    pub(super) cwd: Option<String>,
    /// The spawner in whose environments the tasks run.
    pub(super) spawner: Option<SpawnerKind>,
    /// The image in whose containers the tasks run.
    pub(super) image: Option<String>,
    /// What the processes of a task may use.
    #[serde(default)]
    pub(super) limits: Attributes,
}

/// What a task takes of a resource.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(untagged, expecting = "expected a whole number or a list of instances")]
pub(super) enum ResourceClaim {
    Amount(u64),
    /// The instances of these names.
    Instances(Vec<String>),
}

/// Reads a time as a job file has it: a number of seconds, or a text such as `5m`.
fn written_duration(written: &Attribute) -> Option<Duration> {
    duration(&written.to_scalar()?)
}

impl TaskConditions {
    /// Checks the values that other parts of the host read in another form.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn check(&self) -> Result<(), String> {
        own_limits::check_limits(&self.limits)?;
        if let (Some(spawner), Some(image)) = (self.spawner, &self.image)
            && spawner != SpawnerKind::Container
        {
            return Err(format!(
                "`image`: the spawner `{spawner}` makes no containers of `{image}`; `image` goes \
                 with `spawner = \"{}\"`",
                SpawnerKind::Container
            ));
        }
        let is_wrong = |timeout: &&Attribute| written_duration(timeout).is_none();
        match self.timeout.as_ref().filter(is_wrong) {
            None => Ok(()),
            Some(timeout) => Err(format!(
                "`timeout`: expected {}, found `{timeout}`",
                Shape::Duration.expected()
            )),
        }
    }

    /// Adds the conditions to a task's own; where only one value is possible, the task's wins.
    pub(super) fn add_to(&self, more: &mut Attributes) {
        let lists = [
            ("needs", &self.needs),
            ("after", &self.after),
            ("mutexes", &self.mutexes),
        ];
        for (key, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
            // A value that is not a list is rejected where it is used.
            let own = more.get(key).map_or(Some(Vec::new()), Attribute::items);
            if let Some(mut own) = own {
                own.extend(names.iter().cloned().map(Attribute::from));
                more.insert(key.into(), own.into());
            }
        }
        let own = more.get("resources");
        let own = own.map_or(Some(Attributes::new()), Attribute::members);
        if let Some(mut own) = own.filter(|_| !self.resources.is_empty()) {
            for (name, claim) in &self.resources {
                own.entry(name.clone()).or_insert_with(|| match claim {
                    ResourceClaim::Amount(amount) => (*amount).into(),
                    ResourceClaim::Instances(names) => names.clone().into(),
                });
            }
            more.insert("resources".into(), own.into());
        }
        if let Some(timeout) = &self.timeout
            && !own_settings::has_timeout(more)
        {
            // A value of another form is refused by `check`.
            let timeout =
                written_duration(timeout).map_or(Attribute::Null, own_settings::nanoseconds);
            more.insert("timeout".into(), timeout);
        }
        let single = [
            (own_retries::RETRIES, self.retries.clone()),
            (own_directory::CWD, self.cwd.clone().map(Attribute::from)),
        ];
        for (key, value) in single {
            if let Some(value) = value
                && more.get(key).is_none_or(Attribute::is_null)
            {
                more.insert(key.into(), value);
            }
        }
        own_spawner::add(more, self.spawner, self.image.as_deref());
        own_limits::add_limits(more, &self.limits);
    }
}
