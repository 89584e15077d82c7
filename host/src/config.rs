//! Settings in layers: defaults < system < user < project < environment < command line.
//!
//! Owns which settings the host knows, where they are read from and where each value came from. Knows nothing of what they
//! are used for. A file is TOML; a setting's name is its path in the tables (`run.max_parallel_tasks`), as in Avocado.
//! An environment variable is `PERSEA_` and the name in capitals with `__` for each dot and `_` for each hyphen
//! (`PERSEA_RUN__MAX_PARALLEL_TASKS`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::model::Attributes;
use crate::small_file::{self, SMALL};

mod known;
mod project;
mod shape;
mod user_dirs;
pub use known::{KNOWN, Known, RESOURCES, SHARED_LIMIT, limit, limits, project};
pub use project::{NotTaken, Project};
pub use shape::Shape;
pub use user_dirs::UserDirs;

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named could not be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What the parser said.
        message: String,
    },
    /// A value does not fit its setting.
    #[error("setting `{name}` from {origin}: expected {expected}, found `{found}`")]
    Value {
        /// The setting.
        name: String,
        /// Where the value came from.
        origin: Origin,
        /// What would fit.
        expected: &'static str,
        /// What was there.
        found: String,
    },
    /// A plugin or a world cannot have it of its own.
    #[error(
        "setting `{name}` from {origin}: `{SHARED_LIMIT}` is one for all plugins: set `plugins.limits.{SHARED_LIMIT}`"
    )]
    Shared {
        /// The setting.
        name: String,
        /// Where it came from.
        origin: Origin,
    },
    /// A variable is no text.
    #[error("the variable {name} is not UTF-8: set it to a value that is, or unset it")]
    Variable {
        /// Its name, as far as that is text.
        name: String,
    },
    /// `--set` without a value.
    #[error("`--set {0}`: write it as `--set NAME=VALUE`, as in `--set run.max_parallel_tasks=4`")]
    Assignment(String),
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Persea itself.
    Default,
    /// A configuration file of the system or the user.
    File(PathBuf),
    /// A file of the project.
    Project(PathBuf),
    /// An environment variable.
    Environment(String),
    /// The command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the defaults"),
            Self::File(path) | Self::Project(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "${name}"),
            Self::CommandLine => f.write_str("the command line"),
        }
    }
}

/// All settings that are set, with where each came from.
#[derive(Clone, Debug, Default)]
pub struct Config {
    values: BTreeMap<String, (Value, Origin)>,
    not_taken: Vec<NotTaken>,
    /// The elements that a project adds to lists.
    added: BTreeMap<String, Vec<Value>>,
}

/// Reads TOML; an error says where it is.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(
    path: &Path,
    text: &str,
) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or(text);
        ConfigError::Syntax {
            path: path.to_path_buf(),
            line: before.matches('\n').count() + 1,
            column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
            message: error.message().to_owned(),
        }
    })
}

impl Config {
    /// Reads every layer. `files` and `assignments` are those of the command line; a file that is named there must exist.
    pub fn load(
        dirs: &UserDirs,
        files: &[PathBuf],
        assignments: &[String],
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for known in KNOWN {
            if let Ok(value) = serde_json::from_str::<Value>(known.default)
                && !value.is_null()
            {
                config.set(known.name, value, Origin::Default);
            }
        }
        let standard = [
            PathBuf::from("/etc/persea/config.toml"),
            dirs.config.join("config.toml"),
        ];
        for path in standard {
            config.file(&path, false, Origin::File)?;
        }
        let mut project = Self::default();
        project.file(Path::new("persea.toml"), false, Origin::Project)?;
        config.adopt(project);
        for (name, value) in std::env::vars_os() {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
                let name = name.to_string_lossy();
                if name.starts_with("PERSEA_") && name.contains("__") {
                    let name = crate::names::printable(&name).into_owned();
                    return Err(ConfigError::Variable { name });
                }
                continue;
            };
            if let Some(setting) = name.strip_prefix("PERSEA_")
                && setting.contains("__")
            {
                let setting = setting.replace("__", ".").to_ascii_lowercase();
                let mut known = KNOWN.iter().map(|known| known.name);
                let name_of = known.find(|known| is_variable_of(&setting, known));
                config.set(
                    name_of.unwrap_or(&setting),
                    parse_value(value),
                    Origin::Environment(name.to_owned()),
                );
            }
        }
        for path in files {
            config.file(path, true, Origin::File)?;
        }
        for assignment in assignments {
            let (name, value) = assignment
                .split_once('=')
                .ok_or_else(|| ConfigError::Assignment(assignment.clone()))?;
            config.set(name.trim(), parse_value(value), Origin::CommandLine);
        }
        config.check()?;
        Ok(config)
    }

    /// Sets a value from an option of the command line.
    pub fn set_option(&mut self, name: &str, value: impl Into<Value>) {
        self.set(name, value.into(), Origin::CommandLine);
    }

    fn set(&mut self, name: &str, mut value: Value, origin: Origin) {
        if let (Value::Array(all), Some(added)) = (&mut value, self.added.get(name)) {
            let new = added.iter().filter(|it| !all.contains(it));
            let new: Vec<Value> = new.cloned().collect();
            all.extend(new);
        }
        self.values.insert(name.to_owned(), (value, origin));
    }

    fn file(
        &mut self,
        path: &Path,
        must_exist: bool,
        origin: fn(PathBuf) -> Origin,
    ) -> Result<(), ConfigError> {
        let text = match small_file::text(path, SMALL) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {
                return Ok(());
            }
            Err(source) => {
                return Err(ConfigError::Read {
                    path: path.to_path_buf(),
                    source,
                });
            }
        };
        let table: toml::Table = parse(path, &text)?;
        let origin = origin(path.to_path_buf());
        if let Ok(Value::Object(object)) = serde_json::to_value(table) {
            self.merge("", object, &origin);
        }
        Ok(())
    }

    /// Tables are paths, everything else is a value.
    fn merge(&mut self, prefix: &str, object: Attributes, origin: &Origin) {
        for (key, value) in object {
            let name = if prefix.is_empty() {
                key
            } else {
                format!("{prefix}.{key}")
            };
            match value {
                Value::Object(inner) => self.merge(&name, inner, origin),
                value => self.set(&name, value, origin.clone()),
            }
        }
    }

    /// Whether every value fits its setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (name, (value, origin)) in &self.values {
            if known::is_shared(name) {
                return Err(ConfigError::Shared {
                    name: name.clone(),
                    origin: origin.clone(),
                });
            }
            if let Some(shape) = known::shape(name)
                && !shape.fits(value)
            {
                return Err(ConfigError::Value {
                    name: name.clone(),
                    origin: origin.clone(),
                    expected: shape.expected(),
                    found: value.to_string(),
                });
            }
        }
        Ok(())
    }

    /// The settings that neither the host nor one of `plugins`' declared settings knows, with where they came from.
    pub fn unknown<'a>(
        &'a self,
        declared: &'a [String],
    ) -> impl Iterator<Item = (&'a str, &'a Origin)> {
        self.values
            .iter()
            .filter(|(name, (_, origin))| {
                let declares = |declared: &String| {
                    let by_variable = matches!(origin, Origin::Environment(_));
                    declared == *name || by_variable && is_variable_of(name, declared)
                };
                known::shape(name).is_none() && !declared.iter().any(declares)
            })
            .map(|(name, (_, origin))| (name.as_str(), origin))
    }

    /// Every setting that is set, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value, &Origin)> {
        self.values
            .iter()
            .map(|(name, (value, origin))| (name.as_str(), value, origin))
    }

    /// A value as it is.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).map(|(value, _)| value)
    }

    /// A value with where it came from.
    pub fn set_by(&self, name: &str) -> Option<&(Value, Origin)> {
        self.values.get(name)
    }

    /// The values of the settings that a plugin declared.
    pub fn subset(&self, names: &[String]) -> Attributes {
        names
            .iter()
            .filter_map(|name| Some((name.clone(), self.declared(name)?.0.clone())))
            .collect()
    }

    /// The value of a setting that a plugin declared, and where it is from.
    pub fn declared(&self, name: &str) -> Option<&(Value, Origin)> {
        let own = self.values.get(name);
        if !name.contains('-') || matches!(own, Some((_, Origin::CommandLine))) {
            return own;
        }
        let variable = self.values.get(&name.replace('-', "_"));
        let variable = variable.filter(|(_, origin)| matches!(origin, Origin::Environment(_)));
        variable.or(own)
    }

    /// A setting that is true or false; false where it is not set.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A setting that is a whole number.
    pub fn integer(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(Value::as_u64)
    }

    /// A setting that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// A setting that is a list of texts; empty where it is not set.
    pub fn texts(&self, name: &str) -> Vec<String> {
        match self.get(name) {
            Some(Value::Array(items)) => items
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        }
    }

    /// A setting that is a time: seconds, or a text such as `5m`. None where it is not set or 0, which means no limit.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.get(name)
            .and_then(duration)
            .filter(|duration| !duration.is_zero())
    }
}

/// A time: a number of seconds, or a text such as `90`, `1.5s`, `5m` or `1h 30m`.
pub fn duration(value: &Value) -> Option<Duration> {
    match value {
        Value::Number(number) => Duration::try_from_secs_f64(number.as_f64()?).ok(),
        Value::String(text) => {
            let text = text.trim();
            if let Ok(seconds) = text.parse::<f64>() {
                return Duration::try_from_secs_f64(seconds).ok();
            }
            text.parse::<jiff::SignedDuration>().ok()?.try_into().ok()
        }
        _ => None,
    }
}

/// A value from a variable or an option: JSON where it is, else text.
fn parse_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Whether a setting as a variable names it is this one: a variable's name has no hyphen.
fn is_variable_of(variable: &str, setting: &str) -> bool {
    setting.contains('-') && setting.replace('-', "_") == variable
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn dirs(root: &Path) -> UserDirs {
        UserDirs {
            config: root.join("config"),
            data: root.join("data"),
            cache: root.join("cache"),
            state: root.join("state"),
            home: root.to_path_buf(),
        }
    }

    #[test]
    fn a_later_layer_wins_and_says_where_it_came_from() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        std::fs::create_dir_all(&dirs.config).unwrap();
        std::fs::write(
            dirs.config.join("config.toml"),
            "[task.timeout]\nrunning = 4\n[run]\nfailfast = true\n",
        )
        .unwrap();
        let file = root.path().join("more.toml");
        std::fs::write(&file, "task.timeout.running = '2m'\n").unwrap();

        let config = Config::load(
            &dirs,
            std::slice::from_ref(&file),
            &["run.failfast=false".into()],
        )
        .unwrap();
        assert_eq!(
            config.duration("task.timeout.running"),
            Some(Duration::from_secs(120))
        );
        assert!(!config.flag("run.failfast"));
        let origins: BTreeMap<_, _> = config
            .iter()
            .map(|(name, _, origin)| (name, origin.clone()))
            .collect();
        assert_eq!(origins["task.timeout.running"], Origin::File(file));
        assert_eq!(origins["run.failfast"], Origin::CommandLine);
        assert_eq!(origins["runner.identifier_format"], Origin::Default);
    }

    #[test]
    fn a_file_that_is_no_toml_is_named_with_line_and_column() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("bad.toml");
        std::fs::write(&file, "[run]\nfailfast = yes\n").unwrap();
        let error = Config::load(&dirs(root.path()), std::slice::from_ref(&file), &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains("bad.toml:2:12:"), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_shape_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let error = Config::load(
            &dirs(root.path()),
            &[],
            &["run.max_parallel_tasks=many".into()],
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "setting `run.max_parallel_tasks` from the command line: expected a whole number, found `\"many\"`"
        );
    }

    #[test]
    fn every_default_fits_its_shape() {
        for known in KNOWN {
            let value: Value = serde_json::from_str(known.default).unwrap();
            assert!(
                value.is_null() || known.shape.fits(&value),
                "{}",
                known.name
            );
        }
    }

    #[test]
    fn durations_are_numbers_or_words() {
        assert_eq!(duration(&Value::from(4)), Some(Duration::from_secs(4)));
        assert_eq!(
            duration(&Value::from("1h 30m")),
            Some(Duration::from_secs(5400))
        );
        assert_eq!(
            duration(&Value::from("0.5")),
            Some(Duration::from_millis(500))
        );
        assert_eq!(duration(&Value::from("soon")), None);
        assert_eq!(duration(&Value::from(-1)), None);
    }
}
