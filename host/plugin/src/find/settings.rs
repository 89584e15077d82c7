//! Owns the check of the configuration against the settings that plugins declare. Does not know the
//! settings of the host.

use std::collections::BTreeSet;

use crate::contract::setting::Setting;
use crate::find::catalog::Catalog;
use crate::worlds::plugin::Plugin;
use persea_config::{Config, is_member_of};

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

/// The settings whose values are neither shown nor written to the journal.
#[derive(Debug)]
pub struct SecretSettings(BTreeSet<String>);

impl SecretSettings {
    /// Whether a name of the configuration is that of a secret, or of a member of a secret table. A
    /// variable's name has `_` for each hyphen of the setting.
    pub fn has(&self, name: &str) -> bool {
        let is_same = |name: &str, secret: &str| name == secret || is_member_of(name, secret);
        self.0.iter().any(|secret| {
            is_same(name, secret) || is_same(&name.replace('-', "_"), &secret.replace('-', "_"))
        })
    }
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

    /// Returns the secret settings, of disabled plugins too.
    pub fn secret_settings(&self) -> SecretSettings {
        let secret = self.declared().filter(|setting| setting.is_secret());
        SecretSettings(secret.map(|setting| setting.key.clone()).collect())
    }

    /// Returns the names of the settings that are tables, of disabled plugins too.
    pub fn table_settings(&self) -> Vec<String> {
        let tables = self.declared().filter(|setting| setting.is_table());
        tables.map(|setting| setting.key.clone()).collect()
    }

    /// Returns what all plugins declare, disabled ones too.
    fn declared(&self) -> impl Iterator<Item = &Setting> {
        let own = self.plugins().flat_map(|plugin| &plugin.settings);
        own.chain(&self.disabled_settings)
    }
}

fn check(plugin: &Plugin, config: &Config) -> Result<(), WrongSetting> {
    for setting in &plugin.settings {
        if let Some((value, origin)) = setting.configured(config)
            && !setting.accepts(&value)
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
