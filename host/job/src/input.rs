//! Owns what a job is asked to run: job files, references, variants, and the provenance of what
//! plugins return.

pub(crate) mod conditions;
pub(crate) mod globs;
pub(crate) mod hint;
pub(crate) mod identifier;
pub(crate) mod job_file;
pub(crate) mod kind_rules;
pub(crate) mod own_directory;
pub(crate) mod own_limits;
pub(crate) mod own_retries;
pub(crate) mod own_settings;
pub(crate) mod own_spawner;
pub(crate) mod provenance;
pub(crate) mod resolve;
pub(crate) mod schema;
pub(crate) mod variants;
pub(crate) mod walk;

use std::sync::Arc;

use persea_plugin::Plugin;

/// The end of a message about a missing plugin: the names of the existing ones, or how to add one.
pub(crate) fn known_plugins<'a>(plugins: impl Iterator<Item = &'a Arc<Plugin>>) -> String {
    let known: Vec<&str> = plugins.map(|plugin| plugin.name.as_str()).collect();
    match known.is_empty() {
        true => "there is none; add one with `persea plugin add FILE`".to_owned(),
        false => format!("there are {}", known.join(", ")),
    }
}
