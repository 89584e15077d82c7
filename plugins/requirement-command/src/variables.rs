//! The environment variables that a setup gives: as it writes them, a `NAME=value` on each line, and as they travel.

use persea_plugin_sdk::Error;
use persea_requirement_tool::arguments::is_variable;
use serde_json::{Map, Value};

/// Variables by name.
#[derive(Debug, Default)]
pub(crate) struct Variables(Map<String, Value>);

impl Variables {
    /// Takes what a setup has written, up to a line that is no variable. The last of a name counts.
    pub(crate) fn read(&mut self, written: &str) -> Result<(), Error> {
        for line in written.lines().filter(|line| !line.is_empty()) {
            match line.split_once('=') {
                Some((name, value)) if is_variable(name) => {
                    self.0.insert(name.to_owned(), value.into());
                }
                _ => {
                    let message =
                        format!("its setup wrote {line:?} into $PERSEA_ENV, and not NAME=value");
                    return Err(Error::new("invalid", message));
                }
            }
        }
        Ok(())
    }

    /// Holds them against the names that were announced.
    pub(crate) fn must_be(&self, names: &[String]) -> Result<(), Error> {
        if let Some(name) = names.iter().find(|name| !self.0.contains_key(*name)) {
            let message = format!(
                "its setup gave no {name}; it is to write {name}=VALUE into the file $PERSEA_ENV"
            );
            return Err(Error::new("invalid", message));
        }
        if let Some(name) = self.0.keys().find(|name| !names.contains(name)) {
            let message = format!("its setup gave {name}, which is not in the list `env`; add it");
            return Err(Error::new("invalid", message));
        }
        Ok(())
    }

    pub(crate) fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    pub(crate) fn from_json(json: &str) -> Result<Self, Error> {
        let broken = |error| Error::new("invalid", format!("its variables can't be read: {error}"));
        serde_json::from_str(json).map(Self).map_err(broken)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.0.iter();
        texts.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }
}
