//! Owns what a project's own files may set: a checkout does not decide where its user's files go,
//! which plugins the user trusts, or what a sandbox lets through. Does not know what a setting is
//! used for.

use std::fmt;
use std::path::{Component, Path};

use serde_json::Value;

use super::{Config, Origin, lookup};
use persea_model::names::is_artifact_name;

/// What the files of a project, `persea.toml` and the job file, may do with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Project {
    /// Set it to any value.
    Any,
    /// Set it to paths that do not lead out of the project. The host only reads files there.
    Inside,
    /// Add elements to the list. No other layer can take them away.
    Adds,
    /// Set it to the name of a file, which the host then writes in the job's directory.
    InJob,
    /// Set it if neither the system nor the user has.
    Unsaid,
    /// Nothing: the project's value is refused.
    Nothing,
}

impl Project {
    /// The answer to "may a project set it?".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Any => "yes",
            Self::Adds => "adds to the list",
            Self::Inside => "paths inside the project",
            Self::InJob => "a file name in the job's directory",
            Self::Unsaid => "unless you do",
            Self::Nothing => "no",
        }
    }
}

/// A value for a setting that a project may not set in this way.
#[derive(Clone, Debug)]
pub struct RefusedSetting {
    /// The setting.
    pub name: String,
    value: Value,
    file: Origin,
    why: String,
}

impl fmt::Display for RefusedSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, file, why, ..
        } = self;
        write!(f, "setting `{name}` from {file} is ignored: {why}")
    }
}

/// The first path in a value that leads out of the project, which is the working directory.
fn outside_path(value: &Value) -> Option<&str> {
    match value {
        Value::String(path) => (!is_inside(path)).then_some(path),
        Value::Array(all) => all.iter().find_map(outside_path),
        _ => None,
    }
}

/// Whether a path stays in the working directory, also through links. It need not exist.
fn is_inside(path: &str) -> bool {
    let Ok(root) = std::env::current_dir().and_then(|root| root.canonicalize()) else {
        return false;
    };
    let path = root.join(path);
    if path.components().any(|part| part == Component::ParentDir) {
        return false;
    }
    let there = path
        .ancestors()
        .find(|path| path.symlink_metadata().is_ok());
    let real = there.and_then(|there| there.canonicalize().ok());
    real.is_some_and(|real: std::path::PathBuf| real.starts_with(&root))
}

/// A value that is neither a plain file name nor `-`, the standard output.
fn invalid_file_name(value: &Value) -> Option<&str> {
    let name = value.as_str().filter(|name| *name != "-")?;
    (!is_artifact_name(name)).then_some(name)
}

impl Config {
    /// Applies the settings of a project, except those that the environment or the command line
    /// sets, and those that a project may not set.
    pub(super) fn adopt(&mut self, project: Self) {
        for (name, (value, file)) in project.values {
            if lookup::project(&name) == Project::Adds {
                self.add(&name, value, file);
                continue;
            }
            let own = match self.values.get(&name) {
                Some((_, Origin::Environment(_) | Origin::CommandLine)) => continue,
                Some((own, origin @ Origin::File(_))) => Some((own, origin)),
                _ => None,
            };
            let why = match (lookup::project(&name), own) {
                (Project::Any | Project::Adds, _) | (Project::Unsaid, None) => None,
                (Project::InJob, _) if value.as_str() == Some("") => None,
                (Project::InJob, _) => invalid_file_name(&value).map(|path| {
                    format!("`{path}` is not a plain file name, for a file in the job's directory")
                }),
                (Project::Inside, _) => {
                    outside_path(&value).map(|path| format!("`{path}` leads out of the project"))
                }
                (Project::Unsaid, Some((_, origin))) => Some(format!("{origin} sets it already")),
                (Project::Nothing, _) => Some("a project may not set it".to_owned()),
            };
            match why {
                None => self.set(&name, value, file),
                Some(why) => self.refused.push(RefusedSetting {
                    name,
                    value,
                    file,
                    why,
                }),
            }
        }
    }

    /// Adds the elements of a project's list to the present list and to each list that is set
    /// later.
    fn add(&mut self, name: &str, value: Value, file: Origin) {
        match value {
            Value::Array(elements) => {
                let added = self.added.entry(name.to_owned()).or_default();
                added.extend(elements);
                let (value, origin) = self
                    .values
                    .remove(name)
                    .unwrap_or((Value::Array(Vec::new()), Origin::Default));
                let origin = match origin {
                    Origin::Default => file,
                    origin => origin,
                };
                self.set(name, value, origin);
            }
            // Not a list: `Config::check` reports it.
            value => self.set(name, value, file),
        }
    }

    /// The project's values that were refused. Leaves out values that are in force anyway, and
    /// settings that the environment or the command line sets.
    pub fn refused(&self) -> impl Iterator<Item = &RefusedSetting> {
        self.refused
            .iter()
            .filter(|it| match self.values.get(&it.name) {
                Some((_, Origin::Environment(_) | Origin::CommandLine)) => false,
                now => now.is_none_or(|(value, _)| *value != it.value),
            })
    }

    /// Applies the settings of a job file: above all other files, below the environment and the
    /// command line.
    pub fn take(&mut self, path: &Path, settings: crate::Settings) {
        let mut own = Self::empty();
        own.merge("", settings, &Origin::Project(path.to_path_buf()));
        self.adopt(own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_file_changes_only_the_settings_that_it_has() {
        use super::super::settings;
        let user = Origin::File("own".into());
        let mut config = Config::default();
        config.set(settings::RUN_RETRIES.name(), 3.into(), user.clone());
        config.set(settings::RUN_SPAWNER.name(), "sandbox".into(), user);
        let own = crate::Settings::default();
        config.take(Path::new("job.toml"), own);
        assert_eq!(config.get(settings::RUN_RETRIES), 3);
        assert!(config.refused.is_empty(), "{:?}", config.refused);
        let run = serde_json::json!({"shuffle": true});
        let own = crate::Settings::from_iter([("run".to_owned(), run)]);
        config.take(Path::new("job.toml"), own);
        assert!(config.get(settings::RUN_SHUFFLE));
        assert_eq!(config.get(settings::RUN_RETRIES), 3);
    }

    #[test]
    fn project_adds_to_a_list_and_takes_nothing_from_it() {
        let key = super::super::settings::SPAWNER_SANDBOX_HIDE;
        let name = key.name();
        let list = |all: &[&str]| Value::from(all.to_vec());
        let mut config = Config::default();
        config.set(name, list(&["own"]), Origin::File("own".into()));
        let mut project = Config::default();
        project.set(name, list(&["project"]), Origin::Project("project".into()));
        config.adopt(project);
        assert_eq!(config.get(key), ["own", "project"]);
        config.set_option(key, list(&["typed"]));
        assert_eq!(config.get(key), ["typed", "project"]);
    }

    #[test]
    fn path_in_the_working_directory_is_inside() {
        let root = std::env::current_dir().unwrap_or_default();
        for path in ["", ".", "src", "src/none/at/all", "-"] {
            assert!(is_inside(path), "{path}");
            assert!(is_inside(&root.join(path).to_string_lossy()), "{path}");
        }
        for path in ["..", "src/../..", "/", "/etc/none", "src/../../x"] {
            assert!(!is_inside(path), "{path}");
        }
    }
}
