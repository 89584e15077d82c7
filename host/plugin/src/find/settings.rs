//! Owns the check of the configuration against the settings that plugins declare. Does not know the
//! settings of the host.

use std::collections::BTreeSet;

use crate::find::catalog::Catalog;
use crate::worlds::plugin::Plugin;
use persea_config::Config;

/// A configured value that a plugin's setting does not take.
#[derive(Debug, thiserror::Error)]
#[error("setting `{name}` from {origin}: {plugin} expects {expected}, found {found}")]
pub struct WrongSetting {
    /// The setting.
    pub name: String,
    /// The origin of the value.
    pub origin: String,
    /// The plugin.
    pub plugin: String,
    /// The valid values, in words.
    pub expected: String,
    /// The value; that of a secret is not shown.
    pub found: String,
}

impl Catalog {
    /// Checks the configured values of the settings that loaded plugins declare.
    ///
    /// # Errors
    /// The first wrong value.
    pub fn check_settings(&self, config: &Config) -> Result<(), WrongSetting> {
        let mut plugins = self.plugins();
        plugins.try_for_each(|plugin| check(plugin, config))
    }

    /// Returns the names of secret settings: their values are neither shown nor written to the
    /// journal.
    pub fn secret_settings(&self) -> BTreeSet<&str> {
        let all = self.plugins().flat_map(|plugin| &plugin.settings);
        all.filter(|setting| setting.is_secret())
            .map(|setting| setting.key.as_str())
            .collect()
    }
}

fn check(plugin: &Plugin, config: &Config) -> Result<(), WrongSetting> {
    for setting in &plugin.settings {
        if let Some((value, origin)) = config.declared(&setting.key)
            && !setting.accepts(value)
        {
            return Err(WrongSetting {
                name: setting.key.clone(),
                origin: origin.to_string(),
                plugin: plugin.label().to_owned(),
                expected: setting.expected(),
                found: match setting.is_secret() {
                    true => "another value".to_owned(),
                    false => format!("`{value}`"),
                },
            });
        }
    }
    Ok(())
}
