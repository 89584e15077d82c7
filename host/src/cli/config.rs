//! `persea config`.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;

use super::{Context, Failure, exit, say, say_json};
use persea_config::{Project, SETTINGS, project};

/// Where a value is from that nobody has set.
const DEFAULTS: &str = "the defaults";

#[derive(Debug, Args)]
pub(super) struct Show {
    /// A JSON object a line
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<u8, Failure> {
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
            // What a variable names with underscores is among them already.
            if !declared.iter().any(|it| it.replace('-', "_") == name) {
                rows.entry(name.to_owned()).or_default();
            }
        }
        for (name, about) in rows {
            let set = config.declared(&name);
            let of_project = project(&name);
            if self.json {
                let value = set.map(|(value, _)| value);
                let origin = set.map_or_else(|| DEFAULTS.to_owned(), |it| it.1.to_string());
                say_json(&json!({
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
                say(format_args!(
                    "{name} = {value}  # from {origin}{about}{who}"
                ));
            }
        }
        Ok(exit::OK)
    }
}
