//! Owns the environment variables of a setup: parses the lines `NAME=value` that the setup writes,
//! and converts the variables to and from JSON for the journal.

use persea_plugin_sdk::Error;
use persea_requirement_tool::arguments::is_variable;
use serde_json::{Map, Value};

/// Environment variables by name.
#[derive(Debug, Default)]
pub(crate) struct Variables(Map<String, Value>);

impl Variables {
    /// Adds the variables in a setup's file, up to the first malformed line. Where a name occurs
    /// more than once, its last value counts.
    ///
    /// # Errors
    /// `invalid` where a line is malformed.
    pub(crate) fn parse(&mut self, written: &str) -> Result<(), Error> {
        for line in written.lines().filter(|line| !line.is_empty()) {
            match line.split_once('=') {
                Some((name, value)) if is_variable(name) => {
                    self.0.insert(name.to_owned(), value.into());
                }
                _ => {
                    let message =
                        format!("its setup wrote {line:?} into $PERSEA_ENV instead of NAME=value");
                    return Err(Error::new("invalid", message));
                }
            }
        }
        Ok(())
    }

    /// Checks that the variables are exactly those that the argument `env` lists.
    ///
    /// # Errors
    /// `invalid` where a variable is missing or not listed.
    pub(crate) fn check_names(&self, names: &[String]) -> Result<(), Error> {
        if let Some(name) = names.iter().find(|name| !self.0.contains_key(*name)) {
            let message = format!(
                "its setup did not set {name}; make it write {name}=VALUE into the file $PERSEA_ENV"
            );
            return Err(Error::new("invalid", message));
        }
        if let Some(name) = self.0.keys().find(|name| !names.contains(name)) {
            let message = format!("its setup set {name}, which is not in the list `env`; add it");
            return Err(Error::new("invalid", message));
        }
        Ok(())
    }

    pub(crate) fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    pub(crate) fn from_json(json: &str) -> Result<Self, Error> {
        let broken = |error| {
            Error::new(
                "invalid",
                format!("cannot read its recorded variables: {error}"),
            )
        };
        serde_json::from_str(json).map(Self).map_err(broken)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.0.iter();
        texts.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }
}
