//! Owns what the journal records of a plan's plugins, and the comparison with those of a later
//! host. Does not know the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::plan::entry::TaskFate;
use crate::plan::planner::Plan;
use persea_config::{Config, settings};
use persea_journal::PluginRecord;
use persea_plugin::{Catalog, Plugin};

fn record(plugin: &Plugin) -> PluginRecord {
    let grants = match plugin.is_built_in() {
        true => String::new(),
        false => plugin.grants().to_string(),
    };
    PluginRecord {
        label: plugin.label().to_owned(),
        version: plugin.version.clone(),
        digest: plugin.digest.clone(),
        grants,
    }
}

/// The plugins that take part in the job of a plan, by what they do in it.
pub(crate) fn plugins_of(
    plan: &Plan,
    catalog: &Catalog,
    config: &Config,
) -> BTreeMap<String, PluginRecord> {
    let mut all: BTreeMap<String, PluginRecord> = BTreeMap::new();
    // Most tasks have the kind of the task before them.
    let mut last: Option<&str> = None;
    for entry in &plan.entries {
        let kind = entry.task.runnable.kind.as_str();
        if let TaskFate::Run(runner, _) = &entry.fate
            && last != Some(kind)
        {
            last = Some(kind);
            all.entry(format!("runner of {kind}"))
                .or_insert_with(|| record(runner));
        }
    }
    for step in &plan.requirements.steps {
        all.entry(format!("requirement resolver of {}", step.requirement.kind))
            .or_insert_with(|| record(&step.resolver));
    }
    if let Some(name) = config.get(settings::RUN_SCHEDULER) {
        let mut schedulers = catalog.schedulers();
        let found: Option<&Arc<Plugin>> = schedulers.find(|plugin| plugin.name == name);
        all.extend(found.map(|plugin| ("scheduler".to_owned(), record(plugin))));
    }
    all
}

/// A plugin of a job is missing now, or another one has its place.
#[derive(Debug, thiserror::Error)]
#[error("the {role} was {before} when the job began, and {}", now_is(now.as_deref()))]
pub struct ChangedPlugin {
    /// What the plugin does in the job.
    role: String,
    before: String,
    now: Option<String>,
}

fn now_is(now: Option<&str>) -> String {
    match now {
        Some(now) => format!("it is {now} now"),
        None => "there is none now".to_owned(),
    }
}

impl ChangedPlugin {
    /// A plugin that has made a task and is missing now.
    pub(crate) fn missing(id: &str) -> Self {
        Self {
            role: "plugin that has made a test".to_owned(),
            before: format!("`{id}`"),
            now: None,
        }
    }

    /// The first plugin of `before` that is not the same `now`.
    pub(crate) fn first(
        before: &BTreeMap<String, PluginRecord>,
        now: &BTreeMap<String, PluginRecord>,
    ) -> Option<Self> {
        let mut changed = before.iter().filter(|(role, was)| {
            let same = now.get(*role).is_some_and(|is| {
                is.digest == was.digest && is.version == was.version && is.grants == was.grants
            });
            !same
        });
        let (role, was) = changed.next()?;
        let describe = |it: &PluginRecord| {
            let digest = it.digest.get(..12).unwrap_or(&it.digest);
            let grants = match it.grants.as_str() {
                "" => String::new(),
                grants => format!(", granted {grants}"),
            };
            format!("{} {} (SHA-256 {digest}…{grants})", it.label, it.version)
        };
        Some(Self {
            role: role.clone(),
            before: describe(was),
            now: now.get(role).map(describe),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn plugins(digest: &str, grants: &str) -> BTreeMap<String, PluginRecord> {
        let record = PluginRecord {
            label: "runner `mine`".to_owned(),
            version: "1.0".to_owned(),
            digest: digest.repeat(64),
            grants: grants.to_owned(),
        };
        BTreeMap::from([("runner of mine".to_owned(), record)])
    }

    #[test]
    fn changed_plugin_is_named_with_what_has_changed() {
        let before = plugins("a", "process=sandbox");
        assert!(ChangedPlugin::first(&before, &before).is_none());
        let more = BTreeMap::from([(
            "scheduler".to_owned(),
            before.values().next().unwrap().clone(),
        )]);
        assert!(ChangedPlugin::first(&BTreeMap::new(), &more).is_none());
        for (now, expected) in [
            (
                plugins("b", "process=sandbox"),
                "it is runner `mine` 1.0 (SHA-256 bbbbbbbbbbbb…",
            ),
            (plugins("a", "nothing"), "granted nothing) now"),
            (BTreeMap::new(), "there is none now"),
        ] {
            let text = ChangedPlugin::first(&before, &now).unwrap().to_string();
            assert!(text.contains(expected), "{text}");
            assert!(
                text.starts_with("the runner of mine was runner `mine` 1.0"),
                "{text}"
            );
        }
    }
}
