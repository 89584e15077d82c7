//! Owns what `persea plugin inspect` says to people about a component. Does not know how it was
//! loaded.

use std::sync::Arc;

use super::{origin, provenance};
use persea_plugin::{CONTRACT, Grants, Plugin, Setting, Sources, Trust};

/// Returns the rows about a component: a word each, and its lines. `first` is one of the
/// component's plugins, of which it has one for each of its worlds.
pub(super) fn rows(
    first: &Plugin,
    plugins: &[Arc<Plugin>],
    sources: &Sources,
) -> Vec<(&'static str, String)> {
    let bound = sources.locks.bound_to(&first.digest);
    let trust = match (first.trust, bound) {
        (Trust::BuiltIn, _) => "built in".to_owned(),
        (_, Some((lock, entry))) => {
            format!("locked in {} as {}", lock.path().display(), entry.id())
        }
        _ => "not locked".to_owned(),
    };
    let granted = match (first.trust, bound) {
        // A built-in plugin has all the powers that it asks for.
        (Trust::BuiltIn, _) => String::new(),
        (_, Some((_, entry))) => entry.grants.to_string(),
        _ => "nothing".to_owned(),
    };
    let none = Grants::default();
    let grants = match (first.trust, bound) {
        (Trust::BuiltIn, _) => first.grants(),
        (_, Some((_, entry))) => &entry.grants,
        _ => &none,
    };
    let spawners = plugins.iter().find_map(|plugin| provenance(plugin, grants));
    let mut wasi = match first.manifest.imports_wasi {
        true => "imported; only what is granted exists in it".to_owned(),
        false => "not imported".to_owned(),
    };
    for refused in &first.manifest.refused {
        wasi.push_str(&format!("\n{refused} is not offered: its functions trap"));
    }
    vec![
        ("name", first.name.clone()),
        ("summary", first.summary.clone()),
        ("roles", lines(plugins.iter().map(|plugin| role(plugin)))),
        ("version", first.version.clone()),
        ("contract", contract(first)),
        ("settings", lines(first.settings.iter().map(setting))),
        ("remarks", first.remarks.join("\n")),
        ("powers", powers(first)),
        ("granted", granted),
        ("spawners", spawners.unwrap_or_default()),
        ("trust", trust),
        ("wasi", wasi),
        ("origin", origin(first)),
        ("size", format!("{} bytes", first.size)),
        ("sha256", first.digest.clone()),
    ]
}

fn lines(all: impl Iterator<Item = String>) -> String {
    all.collect::<Vec<_>>().join("\n")
}

fn contract(plugin: &Plugin) -> String {
    let (built_for, least) = (&plugin.manifest.contract, &plugin.least_contract);
    format!(
        "built for persea:plugin@{built_for}, needs at least @{least} (this host offers \
         @{CONTRACT})"
    )
}

/// Describes what the component is in one world.
fn role(plugin: &Plugin) -> String {
    let world = plugin.world.name();
    let mut text = match plugin.is_program_runner {
        true => format!("program-{world}"),
        false => world.to_owned(),
    };
    if !plugin.kinds.is_empty() {
        text.push_str(&format!(": {}", plugin.kinds.join(", ")));
    }
    if !plugin.batch_kinds.is_empty() {
        text.push_str(&format!(
            "\nbatch-runner: {}",
            plugin.batch_kinds.join(", ")
        ));
    }
    text
}

fn setting(setting: &Setting) -> String {
    let default = match setting.default_value.is_null() {
        true => String::new(),
        false => format!(", default {}", setting.default_value),
    };
    let (key, expected, summary) = (&setting.key, setting.expected(), &setting.summary);
    format!("{key}: {summary} ({expected}{default})")
}

fn powers(plugin: &Plugin) -> String {
    let powers = plugin.manifest.powers.iter();
    let powers: Vec<String> = powers
        .map(|power| format!("{}: {}", power.name, power.words))
        .collect();
    match powers.is_empty() {
        true => "none".to_owned(),
        false => powers.join("\n"),
    }
}
