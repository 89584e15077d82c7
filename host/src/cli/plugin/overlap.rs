//! Owns what a plugin replaces or shares: kinds, names and reports that other plugins have too.
//! Does not know how a job chooses between plugins.

use super::super::{Context, Failure};
use persea_plugin::{LockEntry, Plugin, Sources, Trust, World};

/// Lists what a plugin has in common with built-in and locked plugins: a word for the effect, and a
/// line of text.
pub(super) async fn overlaps(
    context: &Context,
    plugin: &Plugin,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut lines = Vec::new();
    if plugin.trust == Trust::BuiltIn {
        return Ok(lines);
    }
    let world = plugin.world.name();
    let mut built_in = context.empty_catalog_from(Sources {
        built_in: super::super::BUILTINS,
        cache: context.cache.clone(),
        ..Sources::default()
    })?;
    built_in.load().await.map_err(Failure::of)?;
    built_in.load_requirement_resolvers().await;
    for other in built_in
        .plugins()
        .filter(|other| other.world == plugin.world)
    {
        let name = format!("{world}.{}", other.name);
        let kinds = shared(&plugin.kinds, &other.kinds);
        let file = plugin.more.get("file").and_then(|file| file.as_str());
        if !kinds.is_empty() {
            lines.push(("replaces", format!("{name}, built in, for {kinds}")));
        } else if plugin.world == World::ResultFormat && plugin.name == other.name {
            lines.push(("replaces", format!("{name}, built in")));
        } else if let Some(file) = file
            && other.more.get("file").is_some_and(|other| other == file)
        {
            let line = format!(
                "{file} is the report of {name}, built in, so this plugin does not write it"
            );
            lines.push(("file", line));
        }
    }
    for lock in [context.lock(false)?, context.lock(true)?] {
        let same = |entry: &&LockEntry| {
            entry.roles.contains_key(&plugin.world) && entry.name != plugin.name
        };
        for entry in lock.entries().iter().filter(same) {
            let kinds = shared(&plugin.kinds, entry.kinds(plugin.world));
            if !kinds.is_empty() {
                let (name, path) = (&entry.name, lock.path().display());
                lines.push((
                    "beside",
                    format!(
                        "{world}.{name} in {path}, for {kinds}: `plugins.{world}.order` sets \
                         which is preferred"
                    ),
                ));
            }
        }
    }
    Ok(lines)
}

/// The kinds that both plugins serve.
fn shared(own: &[String], others: &[String]) -> String {
    let both = own.iter().filter(|kind| others.contains(kind));
    both.map(String::as_str).collect::<Vec<_>>().join(", ")
}
