//! Owns the settings: which ones the host has, the layers that they are read from, and the origin
//! of each value. Does not know what a setting is used for.
//!
//! The layers, from the lowest: defaults, system, user, project, environment, command line. A file
//! is TOML; a setting's name is its path in the tables (`run.max_parallel_tasks`), as in Avocado.
//! An environment variable is `PERSEA_` and the name in capitals, with `__` for each dot and `_`
//! for each hyphen (`PERSEA_RUN__MAX_PARALLEL_TASKS`).

#![deny(missing_docs)]
#![deny(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use persea_model::Attributes;
use persea_system::bounded_read::{self, MAX_SMALL_FILE};

mod error;
mod key;
mod lookup;
mod project;
mod recorded;
mod safe;
mod schema;
pub mod settings;
mod shape;
mod user_dirs;
pub use error::{ConfigError, Origin};
pub use key::{
    Choice, Choices, Delay, Failures, Flag, IdFormat, Key, Kind, Maybe, Number, Order, Processors,
    RetryCause, Several, Sharing, Size, Tables, Text, Texts, Time, Verdict,
};
pub use lookup::{
    RESOURCES, SHARED_LIMIT, is_known, is_member_of, limit, limits, of_result_format, project,
};
pub use project::{Project, RefusedSetting};
pub use recorded::ChangedSetting;
pub use safe::{Foreign, OpenError, SafeDirectories};
pub use schema::{duration_schema, setting_schema, settings_document, settings_schema};
pub use settings::{SETTINGS, Setting};
pub use shape::Shape;
pub use user_dirs::UserDirs;

/// All settings that have a value, with the origin of each.
#[derive(Clone, Debug)]
pub struct Config {
    values: BTreeMap<String, (Value, Origin)>,
    /// The project's values that were refused.
    refused: Vec<RefusedSetting>,
    /// The elements that a project adds to lists.
    added: BTreeMap<String, Vec<Value>>,
    /// The project's file, if it belongs to another user.
    foreign: Option<Box<Foreign>>,
}

/// Settings by name, as a file has them: an object for each table.
pub type Settings = serde_json::Map<String, Value>;

/// The most values, lists and tables of a TOML file of at most 1 MiB, and of a larger one. Each
/// takes up to 900 bytes of memory.
const MOST_VALUES: [usize; 2] = [100_000, 500_000];

/// Refuses TOML that would take too much memory. Counts the characters that begin values, also
/// those in texts and comments.
fn check_amount(path: &Path, text: &str) -> Result<(), ConfigError> {
    let [small, large] = MOST_VALUES;
    let most = match text.len() as u64 <= MAX_SMALL_FILE {
        true => small,
        false => large,
    };
    let begins = |byte: &u8| matches!(byte, b'=' | b'[' | b'{' | b',');
    match text.as_bytes().iter().filter(|byte| begins(byte)).count() > most {
        true => Err(ConfigError::TooMuch {
            path: path.to_path_buf(),
            most,
        }),
        false => Ok(()),
    }
}

/// Parses TOML. An error has its line and column.
pub fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    check_amount(path, text)?;
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

impl Default for Config {
    /// The defaults of all settings.
    fn default() -> Self {
        let mut config = Self::empty();
        for setting in SETTINGS {
            let default = setting.default();
            if !default.is_null() {
                let name = setting.name.to_owned();
                config.values.insert(name, (default, Origin::Default));
            }
        }
        config
    }
}

impl Config {
    const fn empty() -> Self {
        Self {
            values: BTreeMap::new(),
            refused: Vec::new(),
            added: BTreeMap::new(),
            foreign: None,
        }
    }

    /// Reads every layer. `files` and `assignments` are those of the command line; its files must
    /// exist.
    pub fn load(
        dirs: &UserDirs,
        files: &[PathBuf],
        assignments: &[String],
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let standard = [
            PathBuf::from("/etc/persea/config.toml"),
            dirs.config.join("config.toml"),
        ];
        for path in standard {
            config.file(&path, bounded_read::open(&path), false, Origin::File)?;
        }
        // First the layers above the project: they decide whether the project's file is used.
        let mut nearer = Self::empty();
        nearer.load_nearer(files, assignments)?;
        let lists = match nearer.set_by(settings::PROJECT_SAFE_DIRECTORIES.name()) {
            Some(_) => &nearer,
            None => &config,
        };
        let safe = SafeDirectories::new(lists, dirs);
        config.project_file(Path::new("persea.toml"), &safe)?;
        for (name, (value, origin)) in nearer.values {
            config.set(&name, value, origin);
        }
        config.check()?;
        Ok(config)
    }

    /// Reads the project's file, if it may be used.
    fn project_file(&mut self, path: &Path, safe: &SafeDirectories) -> Result<(), ConfigError> {
        let opened = match safe.open(path) {
            Err(OpenError::Foreign(foreign)) => {
                self.foreign = Some(foreign);
                return Ok(());
            }
            Err(OpenError::Io(error)) => Err(error),
            Ok(file) => Ok(file),
        };
        let mut project = Self::empty();
        project.file(path, opened, false, Origin::Project)?;
        self.adopt(project);
        Ok(())
    }

    /// Reads the layers above the project: the environment and the command line.
    fn load_nearer(
        &mut self,
        files: &[PathBuf],
        assignments: &[String],
    ) -> Result<(), ConfigError> {
        for (name, value) in std::env::vars_os() {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
                let name = name.to_string_lossy();
                if name.starts_with("PERSEA_") && name.contains("__") {
                    let name = persea_model::names::printable(&name).into_owned();
                    return Err(ConfigError::Variable { name });
                }
                continue;
            };
            if let Some(setting) = name.strip_prefix("PERSEA_")
                && setting.contains("__")
            {
                let setting = setting.replace("__", ".").to_ascii_lowercase();
                let mut names = SETTINGS.iter().map(|row| row.name);
                let name_of = names.find(|name| is_variable_of(&setting, name));
                self.set(
                    name_of.unwrap_or(&setting),
                    parse_value(value),
                    Origin::Environment(name.to_owned()),
                );
            }
        }
        for path in files {
            self.file(path, bounded_read::open(path), true, Origin::File)?;
        }
        for assignment in assignments {
            let (name, value) = assignment
                .split_once('=')
                .ok_or_else(|| ConfigError::Assignment(assignment.clone()))?;
            self.set(name.trim(), parse_value(value), Origin::CommandLine);
        }
        Ok(())
    }

    /// The project's file, if it is not used because it belongs to another user.
    pub fn foreign(&self) -> Option<&Foreign> {
        self.foreign.as_deref()
    }

    /// Sets a value from an option of the command line.
    pub fn set_option<K: Kind>(&mut self, key: Key<K>, value: impl Into<Value>) {
        self.set(key.name(), value.into(), Origin::CommandLine);
    }

    /// Sets a value from the command line under a name that holds the name of a plugin or a world.
    pub fn set_raw(&mut self, name: &str, value: impl Into<Value>) {
        self.set(name, value.into(), Origin::CommandLine);
    }

    /// Sets a value. One that means "not set" restores the default. Elements that a project has
    /// added to a list stay in it.
    fn set(&mut self, name: &str, value: Value, origin: Origin) {
        let mut value = match lookup::is_off(name, &value) {
            true => lookup::default(name),
            false => value,
        };
        if let (Value::Array(all), Some(added)) = (&mut value, self.added.get(name)) {
            let new = added.iter().filter(|it| !all.contains(it));
            let new: Vec<Value> = new.cloned().collect();
            all.extend(new);
        }
        self.values.insert(name.to_owned(), (value, origin));
    }

    /// Reads the settings of a file, given the result of opening it.
    fn file(
        &mut self,
        path: &Path,
        opened: std::io::Result<std::fs::File>,
        must_exist: bool,
        origin: fn(PathBuf) -> Origin,
    ) -> Result<(), ConfigError> {
        let text = match opened.and_then(|file| bounded_read::text_of(file, MAX_SMALL_FILE)) {
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
    fn merge(&mut self, prefix: &str, object: Settings, origin: &Origin) {
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

    /// Checks that every value fits its setting.
    ///
    /// # Errors
    /// A value does not have its setting's shape, or sets a shared limit for one plugin.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (name, (value, origin)) in &self.values {
            if lookup::is_shared(name) {
                return Err(ConfigError::Shared {
                    name: name.clone(),
                    origin: origin.clone(),
                });
            }
            if let Some(shape) = lookup::shape(name)
                && !value.is_null()
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

    /// The settings with a value that neither the host nor a plugin has, with their origins.
    /// `declared` are the settings of the plugins, and `tables` those among them that are tables.
    pub fn unknown<'a>(
        &'a self,
        declared: &'a [String],
        tables: &'a [String],
    ) -> impl Iterator<Item = (&'a str, &'a Origin)> {
        self.values
            .iter()
            .filter(|(name, (_, origin))| {
                let declares = |declared: &String| {
                    let by_variable = matches!(origin, Origin::Environment(_));
                    declared == *name || by_variable && is_variable_of(name, declared)
                };
                let is_member = tables.iter().any(|table| lookup::is_member_of(name, table));
                !lookup::is_known(name) && !declared.iter().any(declares) && !is_member
            })
            .map(|(name, (_, origin))| (name.as_str(), origin))
    }

    /// Every setting that has a value, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value, &Origin)> {
        let set = self
            .values
            .iter()
            .filter(|(_, (value, _))| !value.is_null());
        set.map(|(name, (value, origin))| (name.as_str(), value, origin))
    }

    /// The value of a setting.
    pub fn get<K: Kind>(&self, key: Key<K>) -> K::Value<'_> {
        let value = self.raw(key.name()).and_then(K::read);
        value.unwrap_or_else(|| key.default())
    }

    /// The value of a setting that a plugin declares, or whose name holds the name of a plugin;
    /// none if it is not set.
    pub fn raw(&self, name: &str) -> Option<&Value> {
        self.set_by(name).map(|(value, _)| value)
    }

    /// A list of texts under a name that holds the name of a plugin or a world; empty if it is not
    /// set.
    pub fn raw_texts(&self, name: &str) -> Vec<String> {
        self.raw(name).and_then(Texts::read).unwrap_or_default()
    }

    /// A value with its origin.
    pub fn set_by(&self, name: &str) -> Option<&(Value, Origin)> {
        self.values.get(name).filter(|(value, _)| !value.is_null())
    }

    /// The values of the settings that a plugin declares.
    pub fn subset(&self, names: &[String]) -> Attributes {
        names
            .iter()
            .filter_map(|name| Some((name.clone(), self.declared(name)?.0.clone().into())))
            .collect()
    }

    /// The value of a setting that a plugin declares, and its origin. A variable's name has `_` for
    /// each hyphen of the setting.
    pub fn declared(&self, name: &str) -> Option<&(Value, Origin)> {
        let own = self.values.get(name);
        let by_variable = || {
            let variable = self.values.get(&name.replace('-', "_"));
            variable.filter(|(_, origin)| matches!(origin, Origin::Environment(_)))
        };
        let nearest = match own {
            Some((_, Origin::CommandLine)) => own,
            _ if name.contains('-') => by_variable().or(own),
            _ => own,
        };
        nearest.filter(|(value, _)| !value.is_null())
    }

    /// The value of a setting of a plugin that is a table, and its origin. In a file,
    /// each member of a table is a setting of its own; the origin is then that of the first one.
    pub fn declared_table(&self, name: &str) -> Option<(Value, &Origin)> {
        if let Some((value, origin)) = self.declared(name) {
            return Some((value.clone(), origin));
        }
        let members = self
            .iter()
            .filter(|(member, ..)| lookup::is_member_of(member, name));
        let mut table = Settings::new();
        let mut first = None;
        for (member, value, origin) in members {
            let path = member.get(name.len() + 1..).unwrap_or_default();
            insert(&mut table, path, value.clone());
            first.get_or_insert(origin);
        }
        Some((Value::Object(table), first?))
    }
}

/// Inserts a value into a table at a path of names.
fn insert(table: &mut Settings, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| Settings::new().into());
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
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

/// Reads a size: a number of bytes, or a text with a unit (`k`, `M`, `G`, `T`, each also followed
/// by `B` or `iB`), all in powers of 1024.
pub fn size(value: &Value) -> Option<u64> {
    let text = match value {
        Value::Number(bytes) => return bytes.as_u64(),
        Value::String(text) => text.trim(),
        _ => return None,
    };
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let unit = text.get(digits.len()..)?.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let factor: u64 = match unit.strip_suffix('i').unwrap_or(unit) {
        "" if !unit.ends_with('i') => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// The least number of processors that a limit can have, in thousandths: the kernel divides time
/// into periods, and a smaller part of one is too short.
const LEAST_PROCESSORS: f64 = 10.0;

/// The largest number of processors that a limit can have, in thousandths.
const MOST_PROCESSORS: f64 = 8_192_000.0;

/// Reads a number of processors, in thousandths of one: 0, or from 0.01.
pub fn processors(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    let thousandths = (number * 1000.0).round();
    let is_limit = (LEAST_PROCESSORS..=MOST_PROCESSORS).contains(&thousandths);
    // Cannot lose anything: the number is whole, not negative and small.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = thousandths as u64;
    (is_limit || number.abs() < f64::EPSILON).then_some(whole)
}

/// A value from a variable or an option: JSON if it parses as JSON, otherwise text.
fn parse_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Whether a name from a variable means this setting. A variable's name has `_` for each hyphen.
fn is_variable_of(variable: &str, setting: &str) -> bool {
    setting.contains('-') && setting.replace('-', "_") == variable
}

#[cfg(test)]
mod tests;
