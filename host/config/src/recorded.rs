//! Owns the settings of a job as its journal records them, and how they become the settings of
//! another host again. Does not know the journal.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::{Config, Origin, SETTINGS, settings};

/// The settings that may be other ones when a job is resumed, because neither the plan nor the
/// place of a test depends on them.
const CHANGEABLE: [&str; 10] = [
    settings::HUMAN_OUTPUT_LINES.name(),
    settings::HUMAN_OUTPUT_QUIET.name(),
    settings::HUMAN_OUTPUT_STARTED.name(),
    settings::JOB_RUN_TIMEOUT.name(),
    settings::RUN_FAILFAST.name(),
    settings::RUN_LOST_ENVIRONMENTS.name(),
    settings::RUN_MAX_PARALLEL_TASKS.name(),
    settings::RUN_RESULTS_DIR.name(),
    settings::RUN_RETRIES.name(),
    settings::SPAWNER_SSH_HOSTS.name(),
];

impl Origin {
    /// The origin in a journal; none for a default.
    pub fn record(&self) -> Option<String> {
        match self {
            Self::Default => None,
            Self::File(path) => Some(format!("file {}", path.display())),
            Self::Project(path) => Some(format!("project {}", path.display())),
            Self::Environment(name) => Some(format!("variable {name}")),
            Self::CommandLine => Some("command-line".to_owned()),
        }
    }

    /// The origin of [`Origin::record`]. One of another form counts as that of a project, which may
    /// do least.
    fn of_record(record: &str) -> Self {
        match record.split_once(' ') {
            None if record == "command-line" => Self::CommandLine,
            Some(("file", path)) => Self::File(PathBuf::from(path)),
            Some(("variable", name)) => Self::Environment(name.to_owned()),
            Some((_, path)) => Self::Project(PathBuf::from(path)),
            None => Self::Project(PathBuf::from(record)),
        }
    }
}

/// A setting that the command line changes although the job does not allow it.
#[derive(Debug, thiserror::Error)]
#[error(
    "the setting `{name}` is `{wanted}` now, and the job began with `{recorded}`: a job that is \
     resumed keeps its settings"
)]
pub struct ChangedSetting {
    /// The setting.
    pub name: String,
    /// The value of the command line.
    pub wanted: String,
    /// The value with which the job began.
    pub recorded: String,
}

/// The recorded values of settings with their origins, by name.
type Recorded = BTreeMap<String, (Value, Origin)>;

impl Config {
    /// The settings of a job: its recorded values with their origins, except for `secret` ones,
    /// which are not recorded. What the command line of this host sets wins where it may be
    /// changed.
    ///
    /// # Errors
    /// The command line changes a setting that may not be changed.
    pub fn resumed(
        &self,
        recorded: impl Iterator<Item = (String, Value)>,
        origins: &BTreeMap<String, String>,
        secret: &[String],
    ) -> Result<Self, ChangedSetting> {
        self.with_recorded(recorded, origins, secret, is_changed)
    }

    /// The settings of an earlier job, for a new one: as [`Self::resumed`], but the command line of
    /// this host may change every setting.
    pub fn again(
        &self,
        recorded: impl Iterator<Item = (String, Value)>,
        origins: &BTreeMap<String, String>,
        secret: &[String],
    ) -> Self {
        let wins = |_: &Recorded, _: &str, _: &Value, origin: &Origin| {
            Ok::<bool, std::convert::Infallible>(*origin == Origin::CommandLine)
        };
        let Ok(config) = self.with_recorded(recorded, origins, secret, wins);
        config
    }

    fn with_recorded<E>(
        &self,
        recorded: impl Iterator<Item = (String, Value)>,
        origins: &BTreeMap<String, String>,
        secret: &[String],
        wins: impl Fn(&Recorded, &str, &Value, &Origin) -> Result<bool, E>,
    ) -> Result<Self, E> {
        let mut values: Recorded = recorded
            .map(|(name, value)| {
                let origin = origins.get(&name).map(String::as_str);
                let origin = origin.map_or(Origin::Default, Origin::of_record);
                (name, (value, origin))
            })
            .collect();
        for (name, value, origin) in self.iter() {
            let is_secret = secret.iter().any(|secret| secret == name);
            if is_secret || wins(&values, name, value, origin)? {
                values.insert(name.to_owned(), (value.clone(), origin.clone()));
            }
        }
        Ok(Self {
            values,
            ..Self::empty()
        })
    }
}

/// Whether the command line changes a setting.
fn is_changed(
    recorded: &Recorded,
    name: &str,
    value: &Value,
    origin: &Origin,
) -> Result<bool, ChangedSetting> {
    let before = recorded.get(name).map(|(value, _)| value);
    if *origin != Origin::CommandLine || before == Some(value) {
        return Ok(false);
    }
    if CHANGEABLE.contains(&name) {
        return Ok(true);
    }
    let default = SETTINGS.iter().find(|setting| setting.name == name);
    let default = default.map(super::Setting::default).unwrap_or_default();
    Err(ChangedSetting {
        name: name.to_owned(),
        wanted: value.to_string(),
        recorded: before.unwrap_or(&default).to_string(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn resumed(now: &Config, before: &Config) -> Result<Config, ChangedSetting> {
        let recorded = before.iter();
        let recorded = recorded.map(|(name, value, _)| (name.to_owned(), value.clone()));
        let origins = before
            .iter()
            .filter_map(|(name, _, origin)| Some((name.to_owned(), origin.record()?)));
        now.resumed(recorded, &origins.collect(), &["token".to_owned()])
    }

    #[test]
    fn recorded_settings_win_with_their_origins() {
        let mut before = Config::default();
        let (spawner, retries) = (settings::RUN_SPAWNER, settings::RUN_RETRIES);
        before.set_option(spawner, "sandbox");
        let of_project = Origin::Project("persea.toml".into());
        before.set(retries.name(), json!(3), of_project.clone());
        let of_file = Origin::File("/a b".into());
        before.set("x.y", json!("z"), of_file.clone());
        let mut now = Config::default();
        now.set(retries.name(), json!(5), Origin::File("/other".into()));
        now.set("token", json!("secret"), Origin::Environment("T".into()));
        let both = resumed(&now, &before).unwrap();
        assert_eq!(both.raw(spawner.name()), Some(&json!("sandbox")));
        assert_eq!(both.set_by(retries.name()), Some(&(json!(3), of_project)));
        assert_eq!(both.set_by("x.y"), Some(&(json!("z"), of_file)));
        assert_eq!(both.raw("token"), Some(&json!("secret")));
        let variable = Origin::Environment("PERSEA_A__B".into());
        assert_eq!(Origin::of_record(&variable.record().unwrap()), variable);
    }

    #[test]
    fn command_line_of_a_new_job_changes_recorded_settings() {
        let mut before = Config::default();
        before.set_option(settings::RUN_SPAWNER, "sandbox");
        before.set_option(settings::RUN_RETRIES, 3);
        let mut now = Config::default();
        now.set_option(settings::RUN_SPAWNER, "process");
        now.set(
            settings::RUN_RETRIES.name(),
            json!(1),
            Origin::File("/f".into()),
        );
        let recorded = before.iter();
        let recorded = recorded.map(|(name, value, _)| (name.to_owned(), value.clone()));
        let again = now.again(recorded, &BTreeMap::new(), &[]);
        assert_eq!(
            again.raw(settings::RUN_SPAWNER.name()),
            Some(&json!("process"))
        );
        assert_eq!(again.get(settings::RUN_RETRIES), 3);
    }

    #[test]
    fn command_line_changes_only_what_the_plan_does_not_depend_on() {
        let before = Config::default();
        let mut now = Config::default();
        now.set_option(settings::RUN_MAX_PARALLEL_TASKS, 7);
        now.set_option(settings::RUN_SPAWNER, "process");
        let both = resumed(&now, &before).unwrap();
        assert_eq!(both.get(settings::RUN_MAX_PARALLEL_TASKS), 7);
        now.set_option(settings::RUN_SPAWNER, "sandbox");
        let error = resumed(&now, &before).unwrap_err().to_string();
        assert!(error.contains("`run.spawner` is `\"sandbox\"`"), "{error}");
        assert!(error.contains("`\"process\"`"), "{error}");
    }
}
