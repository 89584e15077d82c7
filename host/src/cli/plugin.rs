//! `persea plugin`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{Context, Failure, exit, say};
use crate::names::printable;
use crate::plugin::{self, CONTRACT, Catalog, Manifest, Origin};

#[derive(Debug, Subcommand)]
pub(super) enum Plugin {
    /// Show every plugin, in the order in which they are preferred
    List {
        /// A JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of a plugin: its world, versions, the powers it asks for, its digest
    Inspect {
        /// A component's file, or the name of a plugin in `persea plugin list`
        #[arg(value_name = "FILE|NAME")]
        plugin: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Make a component of a core module that was built with the SDK for wasm32-unknown-unknown
    Pack {
        /// The core module
        module: PathBuf,
        /// The component to be written
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
}

impl Plugin {
    pub(super) async fn run(self, context: &Context) -> Result<u8, Failure> {
        match self {
            Self::List { json } => {
                let catalog = context.catalog().await?;
                catalog.load_requirement_resolvers().await;
                if json {
                    for plugin in catalog.plugins() {
                        say(format_args!("{}", as_json(&catalog, plugin)));
                    }
                } else {
                    list(&catalog);
                }
                Ok(if catalog.failures().is_empty() {
                    exit::OK
                } else {
                    exit::JOB_FAIL
                })
            }
            Self::Inspect { plugin, json } => inspect(context, &plugin, json).await,
            Self::Pack { module, output } => pack(&module, &output),
        }
    }
}

fn list(catalog: &Catalog) {
    for plugin in catalog.plugins() {
        let origin = origin(plugin);
        say(format_args!(
            "{:<14} {:<18} {:<8} {origin}",
            plugin.world.name(),
            plugin.name,
            plugin.version
        ));
        if !plugin.kinds.is_empty() {
            let shadowed: Vec<&str> = catalog.shadowed(plugin).collect();
            let kinds: Vec<String> = plugin
                .kinds
                .iter()
                .map(|kind| {
                    if shadowed.contains(&kind.as_str()) {
                        format!("{kind} (another is preferred)")
                    } else {
                        kind.clone()
                    }
                })
                .collect();
            say(format_args!(
                "{:14} kinds: {}",
                "",
                printable(&kinds.join(", "))
            ));
        }
    }
}

fn origin(plugin: &plugin::Plugin) -> String {
    match &plugin.origin {
        Origin::BuiltIn => "built in".into(),
        Origin::File(path) => path.display().to_string(),
    }
}

async fn inspect(context: &Context, wanted: &str, as_object: bool) -> Result<u8, Failure> {
    let catalog = context.catalog().await?;
    catalog.load_requirement_resolvers().await;
    let path = std::path::Path::new(wanted);
    let loaded;
    let plugin: &plugin::Plugin = if path.is_file() {
        loaded = catalog.inspect(path).await.map_err(Failure::of)?;
        &loaded
    } else {
        let named: Vec<_> = catalog
            .plugins()
            .filter(|plugin| {
                plugin.name == wanted
                    || format!("{}.{}", plugin.world.name(), plugin.name) == wanted
            })
            .collect();
        match named.as_slice() {
            [one] => one,
            [] => {
                let error = miette::miette!(
                    "no plugin `{wanted}`: give a file, or a name that `persea plugin list` shows"
                );
                return Err(Failure::new(exit::FAIL, error));
            }
            several => {
                let names: Vec<String> = several
                    .iter()
                    .map(|plugin| format!("{}.{wanted}", plugin.world.name()))
                    .collect();
                let error = miette::miette!(
                    "several plugins are named `{wanted}`: write one of {}",
                    names.join(", ")
                );
                return Err(Failure::new(exit::FAIL, error));
            }
        }
    };
    if as_object {
        say(format_args!("{}", as_json(&catalog, plugin)));
        return Ok(exit::OK);
    }
    let powers = if plugin.manifest.powers.is_empty() {
        "none".to_owned()
    } else {
        plugin.manifest.powers.join(", ")
    };
    let wasi = if plugin.manifest.wasi {
        "imported; it gets one in which there is nothing"
    } else {
        "not imported"
    };
    let rows = [
        ("name", plugin.name.clone()),
        ("summary", plugin.summary.clone()),
        ("world", plugin.world.name().to_owned()),
        ("version", plugin.version.clone()),
        (
            "contract",
            format!(
                "persea:plugin@{} (this host offers {CONTRACT})",
                plugin.manifest.contract
            ),
        ),
        ("kinds", plugin.kinds.join(", ")),
        ("settings", plugin.settings.join(", ")),
        ("powers", powers),
        ("wasi", wasi.to_owned()),
        ("origin", origin(plugin)),
        ("size", format!("{} bytes", plugin.size)),
        ("sha256", plugin.digest.clone()),
    ];
    for (name, value) in rows {
        if !value.is_empty() {
            say(format_args!("{name:<9} {}", printable(&value)));
        }
    }
    Ok(exit::OK)
}

fn as_json(catalog: &Catalog, plugin: &plugin::Plugin) -> serde_json::Value {
    json!({
        "name": plugin.name,
        "summary": plugin.summary,
        "world": plugin.world,
        "version": plugin.version,
        "contract": plugin.manifest.contract.to_string(),
        "kinds": plugin.kinds,
        "shadowed": catalog.shadowed(plugin).collect::<Vec<_>>(),
        "settings": plugin.settings,
        "powers": plugin.manifest.powers,
        "wasi": plugin.manifest.wasi,
        "origin": origin(plugin),
        "size": plugin.size,
        "sha256": plugin.digest,
    })
}

fn pack(module: &std::path::Path, output: &std::path::Path) -> Result<u8, Failure> {
    let bytes = std::fs::read(module).map_err(|error| {
        Failure::new(
            exit::FAIL,
            miette::miette!("cannot read {}: {error}", module.display()),
        )
    })?;
    let refused = |error: String| {
        let help = "build it with persea-plugin-sdk and its `export!` macro, as a cdylib";
        Failure::new(
            exit::FAIL,
            miette::miette!(
                help = help,
                "{} cannot be made a plugin: {error}",
                module.display()
            ),
        )
    };
    let component = plugin::componentize(&bytes).map_err(refused)?;
    // A component of nothing is one too, but no plugin.
    Manifest::read(&module.display().to_string(), &component)
        .map_err(|error| refused(error.to_string()))?;
    std::fs::write(output, &component).map_err(|error| {
        Failure::new(
            exit::FAIL,
            miette::miette!("cannot write {}: {error}", output.display()),
        )
    })?;
    say(format_args!(
        "{} bytes, sha256 {}",
        component.len(),
        plugin::digest(&component)
    ));
    Ok(exit::OK)
}
