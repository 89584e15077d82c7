//! `persea plugin`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{Context, Failure, exit, say, say_json};
use persea_config::settings;
use persea_model::names::printable;
use persea_plugin as plugin;
use persea_plugin::{CONTRACT, Catalog, Grants, Manifest, OwnLimits, PluginOrigin, Trust};

mod lock;
mod place;
mod verify;

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
    /// Lock a plugin: load it from now on, and let it do what --grant says
    Add {
        /// A component's file, or its reference in a registry, as ghcr.io/team/plugin:1.0
        #[arg(value_name = "FILE|REFERENCE")]
        source: String,
        #[command(flatten)]
        terms: lock::Terms,
    },
    /// Lock what is now at a plugin's source, or other grants; shows what is different
    Update {
        /// The name in the lock
        name: String,
        /// Let it serve more kinds than it did
        #[arg(long)]
        approve: bool,
        #[command(flatten)]
        terms: lock::Terms,
    },
    /// Take a plugin out of its lock
    Remove {
        /// The name in the lock
        name: String,
        /// From the user's own lock, and not from that of the project
        #[arg(long)]
        user: bool,
    },
    /// Get the locked plugins from their registries that this machine has not
    Install,
    /// Check every locked plugin: its bytes, its signature, what it asks for
    Verify,
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
                        say_json(&as_json(&catalog, plugin));
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
            Self::Add { source, terms } => lock::add(context, &source, &terms).await,
            Self::Update {
                name,
                approve,
                terms,
            } => lock::update(context, &name, approve, &terms).await,
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
        PluginOrigin::BuiltIn => "built in".into(),
        PluginOrigin::File(path) => path.display().to_string(),
    }
}

async fn inspect(context: &Context, wanted: &str, as_object: bool) -> Result<u8, Failure> {
    let path = std::path::Path::new(wanted);
    let (catalog, loaded);
    let plugin: &plugin::Plugin = if path.is_file() {
        // Nothing else has to be loaded to look at a stranger's file.
        catalog = std::sync::Arc::new(context.bare()?);
        let own = OwnLimits::none();
        let bytes = catalog.loader().read(path, &own).map_err(Failure::of)?;
        let examined = catalog.loader().examine(path, &bytes, &own).await;
        loaded = examined.map_err(Failure::of)?;
        &loaded
    } else {
        catalog = context.catalog().await?;
        catalog.load_requirement_resolvers().await;
        let named: Vec<_> = catalog
            .plugins()
            .filter(|plugin| plugin.name == wanted || plugin.id() == wanted)
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
    let place = place::place(context, plugin).await?;
    if as_object {
        let mut all = as_json(&catalog, plugin);
        let replaces = place.iter().filter(|(word, _)| *word == "replaces");
        if let Some(object) = all.as_object_mut() {
            let lines = replaces.map(|(_, line)| line.as_str()).collect();
            object.insert("replaces".to_owned(), lines);
        }
        say_json(&all);
        return Ok(exit::OK);
    }
    let powers = plugin.manifest.powers.iter();
    let powers: Vec<String> = powers
        .map(|power| format!("{}: {}", power.name, power.words))
        .collect();
    let powers = match powers.is_empty() {
        true => "none".to_owned(),
        false => powers.join("\n"),
    };
    let sources = context.sources()?;
    let bound = sources.locks.bound_to(&plugin.digest);
    let trust = match (plugin.trust, bound) {
        (Trust::BuiltIn, _) => "built in".to_owned(),
        (_, Some((lock, entry))) => {
            format!("locked in {} as {}", lock.path().display(), entry.id())
        }
        _ => "no lock binds it".to_owned(),
    };
    let granted = match (plugin.trust, bound) {
        // What it asks for.
        (Trust::BuiltIn, _) => String::new(),
        (_, Some((_, entry))) => entry.grants.to_string(),
        _ => "nothing".to_owned(),
    };
    let none = Grants::default();
    let grants = match (plugin.trust, bound) {
        (Trust::BuiltIn, _) => plugin.grants(),
        (_, Some((_, entry))) => &entry.grants,
        _ => &none,
    };
    let wasi = if plugin.manifest.imports_wasi {
        "imported; it gets one in which there is nothing but what is granted"
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
        ("granted", granted),
        ("its word", at_its_word(plugin, grants).unwrap_or_default()),
        ("trust", trust),
        ("wasi", wasi.to_owned()),
        ("origin", origin(plugin)),
        ("size", format!("{} bytes", plugin.size)),
        ("sha256", plugin.digest.clone()),
    ];
    for (name, value) in rows.into_iter().chain(place) {
        for (line, text) in value.lines().enumerate() {
            let name = if line == 0 { name } else { "" };
            say(format_args!("{name:<9} {}", printable(text)));
        }
    }
    Ok(exit::OK)
}

/// What may run because a plugin says so: by a resolver's runnable, a varianter's parameter, a requirement resolver's variable.
fn at_its_word(plugin: &plugin::Plugin, grants: &Grants) -> Option<String> {
    if plugin.is_built_in() || !plugin.world.shapes_tasks() {
        return None;
    }
    let spawners = grants.spawners();
    let named: Vec<String> = spawners.iter().map(|name| format!("`{name}`")).collect();
    Some(format!(
        "has tests run with the spawner {} only (`process` grants which)",
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
    if wasmparser::Parser::is_component(&bytes) {
        return Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = "only core modules, of the target wasm32-unknown-unknown, are packed",
                "{} is a component already: use it as it is",
                module.display()
            ),
        ));
    }
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
