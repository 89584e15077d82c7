//! What a project's own files may set: a checkout is not to say where its user's files go, whose plugins he trusts, or what a sandbox lets
//! through. Knows nothing of what the settings are used for.

use std::fmt;
use std::path::{Component, Path};

use serde_json::Value;

use super::{Config, Origin, lookup};
use persea_model::names::is_artifact_name;

/// What the files of a project may say of a setting: `persea.toml`, and the job file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Project {
    /// What they like.
    Any,
    /// Paths that don't lead out of the project: what is there is read.
    Inside,
    /// Elements of a list, beside those that the others have, who can't take them away.
    Adds,
    /// The name of a file in the job's directory, where the host then writes it.
    InJob,
    /// Something where neither the system nor the user has.
    Unsaid,
    /// Nothing.
    Nothing,
}

impl Project {
    /// In words, after "may a project set it?".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Any => "yes",
            Self::Adds => "more of them",
            Self::Inside => "paths inside of it",
            Self::InJob => "a file's name in the job's directory",
            Self::Unsaid => "unless you do",
            Self::Nothing => "no",
        }
    }
}

/// A value that a project has for a setting and that does not hold.
#[derive(Clone, Debug)]
pub struct NotTaken {
    /// The setting.
    pub name: String,
    value: Value,
    file: Origin,
    why: String,
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, file, why, ..
        } = self;
        write!(f, "`{name}` from {file} is not taken, because {why}")
    }
}

/// What in a value leads out of the project, which is the working directory.
fn way_out(value: &Value) -> Option<&str> {
    match value {
        Value::String(path) => (!is_inside(path)).then_some(path),
        Value::Array(all) => all.iter().find_map(way_out),
        _ => None,
    }
}

/// Whether a path leads to something in the working directory, through no link out of it; it need not be there yet.
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

/// What in a value is neither the name of a file nor `-`, the standard output.
fn no_name(value: &Value) -> Option<&str> {
    let name = value.as_str().filter(|name| *name != "-")?;
    (!is_artifact_name(name)).then_some(name)
}

impl Config {
    /// Takes the settings of a project, but for what is said closer to the run, or is not a project's to say.
    pub(super) fn adopt(&mut self, project: Self) {
        for (name, (value, file)) in project.values {
            if lookup::project(&name) == Project::Adds {
                self.add(&name, value, file);
                continue;
            }
            let mine = match self.values.get(&name) {
                Some((_, Origin::Environment(_) | Origin::CommandLine)) => continue,
                Some((own, origin @ Origin::File(_))) => Some((own, origin)),
                _ => None,
            };
            let why = match (lookup::project(&name), mine) {
                (Project::Any | Project::Adds, _) | (Project::Unsaid, None) => None,
                (Project::InJob, _) if value.as_str() == Some("") => None,
                (Project::InJob, _) => no_name(&value).map(|path| {
                    format!("`{path}` is not the name of a file in the job's directory")
                }),
                (Project::Inside, _) => way_out(&value)
                    .map(|path| format!("`{path}` is not in the project, or leads out of it")),
                (Project::Unsaid, Some((_, origin))) => Some(format!("{origin} sets it")),
                (Project::Nothing, _) => Some("a project cannot set it".to_owned()),
            };
            match why {
                None => self.set(&name, value, file),
                Some(why) => self.not_taken.push(NotTaken {
                    name,
                    value,
                    file,
                    why,
                }),
            }
        }
    }

    /// Adds the elements of a project's list, also to the lists that are set later.
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
            // It fits no list, which the check says.
            value => self.set(name, value, file),
        }
    }

    /// The values that a project has and that are not taken; but for those that hold all the same, and those of which the environment or
    /// the command line says something.
    pub fn not_taken(&self) -> impl Iterator<Item = &NotTaken> {
        self.not_taken
            .iter()
            .filter(|it| match self.values.get(&it.name) {
                Some((_, Origin::Environment(_) | Origin::CommandLine)) => false,
                now => now.is_none_or(|(value, _)| *value != it.value),
            })
    }

    /// Takes the settings of a job file: over all other files, and below environment and command line.
    pub fn take(&mut self, path: &Path, settings: crate::Settings) {
        let mut own = Self::default();
        own.merge("", settings, &Origin::Project(path.to_path_buf()));
        self.adopt(own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_is_in_the_working_directory_is_inside() {
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
