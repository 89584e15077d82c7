//! `persea config`.

use clap::Args;
use serde_json::json;

use super::{Context, Failure, exit, say};
use crate::config::KNOWN;

#[derive(Debug, Args)]
pub(super) struct Show {
    /// A JSON object a line
    #[arg(long)]
    json: bool,
}

impl Show {
    // Async and fallible as every subcommand is.
    #[allow(clippy::unused_async)]
    pub(super) async fn run(self, context: &Context) -> Result<u8, Failure> {
        let mut rows: Vec<(String, String, String, &str)> = context
            .config
            .iter()
            .map(|(name, value, origin)| {
                (name.to_owned(), value.to_string(), origin.to_string(), "")
            })
            .collect();
        for known in KNOWN {
            match rows.iter_mut().find(|row| row.0 == known.name) {
                Some(row) => row.3 = known.about,
                None => rows.push((
                    known.name.to_owned(),
                    "(not set)".into(),
                    "the defaults".into(),
                    known.about,
                )),
            }
        }
        rows.sort();
        for (name, value, origin, about) in rows {
            if self.json {
                let value = context.config.get(&name);
                say(format_args!(
                    "{}",
                    json!({ "name": name, "value": value, "origin": origin, "about": about })
                ));
            } else {
                say(format_args!(
                    "{name} = {value}  # from {origin}{}{about}",
                    if about.is_empty() { "" } else { ": " }
                ));
            }
        }
        Ok(exit::OK)
    }
}
