//! Owns `persea plugin`: its subcommands, and what `list` and `inspect` show. Does not know how a
//! plugin is loaded.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::output::{print_json, print_line};
use super::{Context, Failure, exit};
use persea_config::settings;
use persea_model::names::printable;
use persea_plugin as plugin;
use persea_plugin::{Catalog, Grants, Manifest, OwnLimits, PluginOrigin};

mod component;
mod lock;
mod overlap;
mod rows;
mod verify;

#[derive(Debug, Subcommand)]
pub(super) enum Plugin {
    /// Show every plugin, the most preferred first
    List {
        /// Print one JSON object for each plugin, each on its own line
        #[arg(long)]
        json: bool,
    },
    /// Show what is known of a plugin: its roles, its settings, its versions, the powers that it
    /// asks for, its digest
    Inspect {
        /// A component's file, or a plugin's name in `persea plugin list`
        #[arg(value_name = "FILE|NAME")]
        plugin: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Lock a plugin: from now on it is loaded, and has the powers of --grant
    Add {
        /// A component's file, or its reference in a registry, such as ghcr.io/team/plugin:1.0
        #[arg(value_name = "FILE|REFERENCE")]
        source: String,
        #[command(flatten)]
        options: lock::LockOptions,
    },
    /// Lock the present version of a plugin, or other grants, and show the differences
    Update {
        /// The plugin's name in the lock
        name: String,
        /// Approve that the plugin serves more kinds than the locked version
        #[arg(long)]
        approve: bool,
        #[command(flatten)]
        options: lock::LockOptions,
    },
    /// Remove a plugin from its lock
    Remove {
        /// The plugin's name in the lock
        name: String,
        /// Change the user's lock instead of the project's
        #[arg(long)]
        user: bool,
    },
    /// Download the locked plugins of registries that are not on this machine
    Install,
    /// Check the bytes, the signature and the powers of every locked plugin
    Verify,
    /// Turn a core module, built with the SDK for wasm32-unknown-unknown, into a component
    Pack {
        /// The core module
        module: PathBuf,
        /// Write the component to this file
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
                        print_json(&as_json(&catalog, plugin));
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
            Self::Add { source, options } => lock::add(context, &source, &options).await,
            Self::Update {
                name,
                approve,
                options,
            } => lock::update(context, &name, approve, &options).await,
            Self::Remove { name, user } => lock::remove(context, &name, user),
            Self::Install => verify::install(context).await,
            Self::Verify => verify::verify(context).await,
            Self::Pack { module, output } => pack(context, &module, &output),
        }
    }
}

fn list(catalog: &Catalog) {
    for plugin in catalog.plugins() {
        let origin = origin(plugin);
        print_line(format_args!(
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
            print_line(format_args!(
                "{:14} kinds: {}",
                "",
                printable(&kinds.join(", "))
            ));
        }
    }
}

fn origin(plugin: &plugin::Plugin) -> String {
    match &plugin.origin {
        PluginOrigin::BuiltIn => "built in".into(),
        PluginOrigin::File(path) => path.display().to_string(),
    }
}

async fn inspect(context: &Context, wanted: &str, as_object: bool) -> Result<u8, Failure> {
    let path = std::path::Path::new(wanted);
    let (catalog, plugins): (_, Vec<std::sync::Arc<plugin::Plugin>>);
    if path.is_file() {
        // No other plugin is loaded just to look at a file.
        catalog = std::sync::Arc::new(context.empty_catalog()?);
        let own = OwnLimits::none();
        let bytes = catalog.loader().read(path, &own).map_err(Failure::of)?;
        let examined = catalog.loader().examine(path, &bytes, &own).await;
        let examined = examined.map_err(Failure::of)?.into_iter();
        plugins = examined.map(std::sync::Arc::new).collect();
    } else {
        catalog = context.catalog().await?;
        catalog.load_requirement_resolvers().await;
        plugins = named(&catalog, wanted)?;
    }
    let Some(first) = plugins.first() else {
        return Ok(exit::OK);
    };
    let mut overlaps = Vec::new();
    for plugin in &plugins {
        overlaps.extend(overlap::overlaps(context, plugin).await?);
    }
    if as_object {
        for plugin in &plugins {
            let mut all = as_json(&catalog, plugin);
            let replaces = overlaps.iter().filter(|(word, _)| *word == "replaces");
            if let Some(object) = all.as_object_mut() {
                let lines = replaces.map(|(_, line)| line.as_str()).collect();
                object.insert("replaces".to_owned(), lines);
            }
            print_json(&all);
        }
        return Ok(exit::OK);
    }
    let sources = context.sources()?;
    let rows = rows::rows(first, &plugins, &sources);
    for (name, value) in rows.into_iter().chain(overlaps) {
        for (line, text) in value.lines().enumerate() {
            let name = if line == 0 { name } else { "" };
            print_line(format_args!("{name:<9} {}", printable(text)));
        }
    }
    Ok(exit::OK)
}

/// Finds the plugins of one component by a name of `persea plugin list`.
///
/// # Errors
/// No component has such a plugin, or several have one.
fn named(catalog: &Catalog, wanted: &str) -> Result<Vec<std::sync::Arc<plugin::Plugin>>, Failure> {
    let is_named =
        |plugin: &&std::sync::Arc<plugin::Plugin>| plugin.name == wanted || plugin.id() == wanted;
    let found: Vec<_> = catalog.plugins().filter(is_named).collect();
    let Some(first) = found.first() else {
        let error = miette::miette!(
            help = "give a file, or a name from `persea plugin list`",
            "no plugin is named `{wanted}`"
        );
        return Err(Failure::new(exit::FAIL, error));
    };
    if found.iter().any(|plugin| plugin.digest != first.digest) {
        let names: Vec<String> = found.iter().map(|plugin| plugin.id()).collect();
        let help = format!("write one of {}", names.join(", "));
        let error = miette::miette!(help = help, "several plugins are named `{wanted}`");
        return Err(Failure::new(exit::FAIL, error));
    }
    let of_component = catalog.plugins().filter(|it| it.digest == first.digest);
    Ok(of_component.cloned().collect())
}

/// Says in which spawners tests may run that come from a plugin: from a resolver's runnable, a
/// varianter's parameter or a requirement resolver's variable. None if the plugin has no such
/// tests.
fn provenance(plugin: &plugin::Plugin, grants: &Grants) -> Option<String> {
    if plugin.is_built_in() || !plugin.world.shapes_tasks() {
        return None;
    }
    let spawners = grants.spawners();
    let named: Vec<String> = spawners.iter().map(|name| format!("`{name}`")).collect();
    Some(format!(
        "tests that come from it run only with the spawner {} (the grant `process` names them)",
        named.join(" or ")
    ))
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
        "batch-kinds": plugin.batch_kinds,
        "least-contract": plugin.least_contract,
        "remarks": plugin.remarks,
        "powers": plugin.manifest.powers.iter().map(|power| power.name).collect::<Vec<_>>(),
        "wasi": plugin.manifest.imports_wasi,
        "origin": origin(plugin),
        "trust": plugin.trust,
        "granted": plugin.grants(),
        "size": plugin.size,
        "sha256": plugin.digest,
    })
}

fn pack(
    context: &Context,
    module: &std::path::Path,
    output: &std::path::Path,
) -> Result<u8, Failure> {
    let most = context.config.get(settings::PLUGINS_LIMITS_COMPONENT_MB);
    let most = most.saturating_mul(1 << 20);
    let bytes = persea_system::bounded_read::bytes(module, most).map_err(|error| {
        Failure::new(
            exit::FAIL,
            miette::miette!("cannot read {}: {error}", module.display()),
        )
    })?;
    let not_packed = |error: String| {
        let help = "build it with persea-plugin-sdk and its `export!` macro, as a cdylib";
        Failure::new(
            exit::FAIL,
            miette::miette!(
                help = help,
                "cannot turn {} into a plugin: {error}",
                module.display()
            ),
        )
    };
    if wasmparser::Parser::is_component(&bytes) {
        return Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = "use the file as it is: only core modules of the target \
                        wasm32-unknown-unknown are packed",
                "{} is already a component",
                module.display()
            ),
        ));
    }
    let component = plugin::componentize(&bytes).map_err(not_packed)?;
    // Any module makes a component, but only a component with a world of Persea is a plugin.
    Manifest::read(&module.display().to_string(), &component)
        .map_err(|error| not_packed(error.to_string()))?;
    std::fs::write(output, &component).map_err(|error| {
        Failure::new(
            exit::FAIL,
            miette::miette!("cannot write {}: {error}", output.display()),
        )
    })?;
    print_line(format_args!(
        "{} bytes, sha256 {}",
        component.len(),
        plugin::digest(&component)
    ));
    Ok(exit::OK)
}
