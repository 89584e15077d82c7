//! Owns `persea config`.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::output::{print_json, print_line, print_pretty_json};
use super::{Context, Failure, exit};
use persea_config::{Project, SETTINGS, project, settings_document};
use persea_job::{job_file_schema, recipe_schema};

/// The origin of a setting without a value.
const DEFAULTS: &str = "the defaults";

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Print one JSON object for each setting, each on its own line
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of a kind of file instead: of settings (persea.toml), job files or
    /// recipes
    #[arg(
        long,
        value_enum,
        value_name = "FILES",
        num_args = 0..=1,
        default_missing_value = "settings",
        conflicts_with = "json"
    )]
    schema: Option<Described>,
}

/// A kind of file that has a JSON Schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Described {
    Settings,
    Job,
    Recipe,
}

impl Described {
    fn schema(self) -> Value {
        match self {
            Self::Settings => settings_document(),
            Self::Job => job_file_schema(),
            Self::Recipe => recipe_schema(),
        }
    }
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<u8, Failure> {
        if let Some(described) = self.schema {
            print_pretty_json(&described.schema());
            return Ok(exit::OK);
        }
        let config = &context.config;
        let mut rows: BTreeMap<String, String> = SETTINGS
            .iter()
            .map(|setting| (setting.name.to_owned(), setting.about().to_owned()))
            .collect();
        let catalog = context.catalog().await?;
        catalog.load_requirement_resolvers().await;
        for plugin in catalog.plugins() {
            for name in &plugin.settings {
                let about = rows.entry(name.clone()).or_default();
                if !SETTINGS.iter().any(|setting| setting.name == name) {
                    about.push_str(if about.is_empty() { "for " } else { ", " });
                    about.push_str(plugin.label());
                }
            }
        }
        let declared = catalog.settings();
        for (name, ..) in config.iter() {
            // A variable's name has `_` for each hyphen; such a setting is listed already.
            if !declared
                .iter()
                .any(|setting| setting.replace('-', "_") == name)
            {
                rows.entry(name.to_owned()).or_default();
            }
        }
        for (name, about) in rows {
            let set = config.declared(&name);
            let of_project = project(&name);
            if self.json {
                let value = set.map(|(value, _)| value);
                let origin = set.map_or_else(|| DEFAULTS.to_owned(), |it| it.1.to_string());
                print_json(&json!({
                    "name": name,
                    "value": value,
                    "origin": origin,
                    "project": of_project.words(),
                    "about": about,
                }));
            } else {
                let (value, origin) = set.map_or_else(
                    || ("(not set)".to_owned(), DEFAULTS.to_owned()),
                    |(value, origin)| (value.to_string(), origin.to_string()),
                );
                let about = if about.is_empty() {
                    about
                } else {
                    format!(": {about}")
                };
                let who = match of_project {
                    Project::Any => String::new(),
                    other => format!(" (may a project set it? {})", other.words()),
                };
                print_line(format_args!(
                    "{name} = {value}  # from {origin}{about}{who}"
                ));
            }
        }
        Ok(exit::OK)
    }
}
