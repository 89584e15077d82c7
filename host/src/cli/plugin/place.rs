//! What a plugin takes the place of: kinds, names and reports that others have. It must not know how one is chosen in a job.

use super::super::{Context, Failure};
use persea_plugin::{LockEntry, Plugin, Sources, Trust, World};

/// A line for each thing that it has in common with a built-in plugin or a locked one, with a word for what becomes of that.
pub(super) async fn place(
    context: &Context,
    plugin: &Plugin,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut lines = Vec::new();
    if plugin.trust == Trust::BuiltIn {
        return Ok(lines);
    }
    let world = plugin.world.name();
    let mut built_in = context.bare_of(Sources {
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
        let kinds = common(&plugin.kinds, &other.kinds);
        let file = plugin.more.get("file").and_then(|file| file.as_str());
        if !kinds.is_empty() {
            lines.push(("replaces", format!("{name}, built in, for {kinds}")));
        } else if plugin.world == World::ResultFormat && plugin.name == other.name {
            lines.push(("replaces", format!("{name}, built in")));
        } else if let Some(file) = file
            && other.more.get("file").is_some_and(|other| other == file)
        {
            let line = format!("{file} is the report of {name}, built in, so it is not written");
            lines.push(("file", line));
        }
    }
    for lock in [context.lock(false)?, context.lock(true)?] {
        let same = |entry: &&LockEntry| entry.world == plugin.world && entry.name != plugin.name;
        for entry in lock.entries().iter().filter(same) {
            let kinds = common(&plugin.kinds, &entry.kinds);
            if !kinds.is_empty() {
                let (id, path) = (entry.id(), lock.path().display());
                lines.push((
                    "beside",
                    format!("{id} in {path}, for {kinds}: `plugins.{world}.order` says which is preferred"),
                ));
            }
        }
    }
    Ok(lines)
}

/// The kinds that both serve.
fn common(own: &[String], others: &[String]) -> String {
    let both = own.iter().filter(|kind| others.contains(kind));
    both.map(String::as_str).collect::<Vec<_>>().join(", ")
}
