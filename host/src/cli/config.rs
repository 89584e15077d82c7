//! Owns `persea config`.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::output::{print_json, print_line, print_pretty_json};
use super::{Context, Failure, exit};
use persea_config::{Project, SETTINGS, is_member_of, project, settings_document};
use persea_job::{job_file_schema, recipe_schema};
use persea_model::Attribute;
use persea_plugin::Setting;

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
        let mut rows: BTreeMap<String, Row> = SETTINGS
            .iter()
            .map(|setting| (setting.name.to_owned(), Row::about(setting.about())))
            .collect();
        let catalog = context.catalog().await?;
        catalog.load_requirement_resolvers().await;
        for plugin in catalog.plugins() {
            for setting in &plugin.settings {
                let row = rows.entry(setting.key.clone()).or_default();
                if !SETTINGS.iter().any(|own| own.name == setting.key) {
                    row.add(plugin.label(), setting);
                }
            }
        }
        let (declared, tables) = (catalog.settings(), catalog.table_settings());
        let secret = catalog.secret_settings();
        for (name, ..) in config.iter() {
            // A variable's name has `_` for each hyphen; such a setting is listed already. So is
            // the table of a member.
            let mut of_plugins = declared.iter();
            if !of_plugins.any(|setting| setting.replace('-', "_") == name)
                && !tables.iter().any(|table| is_member_of(name, table))
            {
                rows.entry(name.to_owned()).or_default();
            }
        }
        for (name, mut row) in rows {
            row.is_secret = secret.has(&name);
            let set = match tables.contains(&name) {
                true => config.declared_table(&name),
                false => config
                    .declared(&name)
                    .map(|(value, origin)| (value.clone(), origin)),
            };
            let about = row.text();
            let of_project = project(&name);
            if self.json {
                let value = set.as_ref().map(|(value, _)| row.shown(value));
                let origin = set.map_or_else(|| DEFAULTS.to_owned(), |it| it.1.to_string());
                print_json(&json!({
                    "name": name,
                    "value": value,
                    "origin": origin,
                    "project": of_project.words(),
                    "about": about,
                    "shape": row.shape,
                    "default": row.default,
                    "secret": row.is_secret,
                }));
            } else {
                let (value, origin) = set.map_or_else(
                    || match &row.default {
                        Some(default) => (default.to_string(), DEFAULTS.to_owned()),
                        None => ("(not set)".to_owned(), DEFAULTS.to_owned()),
                    },
                    |(value, origin)| (row.shown(&value).to_string(), origin.to_string()),
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

/// What is known of a setting.
#[derive(Default)]
struct Row {
    about: String,
    /// The plugins that declare the setting.
    plugins: Vec<String>,
    /// The shape that a plugin declares.
    shape: Option<String>,
    /// The default that a plugin declares.
    default: Option<Attribute>,
    is_secret: bool,
}

impl Row {
    fn about(about: &str) -> Self {
        Self {
            about: about.to_owned(),
            ..Self::default()
        }
    }

    /// Adds what a plugin declares. If several plugins declare one setting, the first declaration
    /// is shown.
    fn add(&mut self, plugin: &str, setting: &Setting) {
        if self.plugins.is_empty() {
            let (summary, expected) = (&setting.summary, setting.expected());
            self.about = match summary.is_empty() {
                true => expected,
                false => format!("{summary} ({expected})"),
            };
            self.shape = Some(setting.shape.clone());
            self.default =
                (!setting.default_value.is_null()).then(|| setting.default_value.clone());
        }
        self.plugins.push(plugin.to_owned());
    }

    fn text(&self) -> String {
        match self.plugins.is_empty() {
            true => self.about.clone(),
            false => format!("{}, for {}", self.about, self.plugins.join(", ")),
        }
    }

    fn shown(&self, value: &Value) -> Value {
        match self.is_secret {
            true => Value::from("(secret)"),
            false => value.clone(),
        }
    }
}
