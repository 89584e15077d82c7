//! Runnables to tasks: names, ids, directories, the order, and what can be said of a task before it runs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::graph::{Graph, GraphError};
use super::history::History;
use super::partition::Partition;
use super::requirements::Requirements;
use super::resolve::{Answer, Resolved};
use crate::config::Config;
use crate::model::{Attributes, Outcome, Runnable, Status, Task};
use crate::names::task_directory;
use crate::plugin::{Catalog, Plugin};

/// What is to happen with a task.
pub(super) enum Fate {
    /// This runner runs it, and sees these settings of the job.
    Run(Arc<Plugin>, Arc<Attributes>),
    /// It has ended before it could start.
    Ended(Outcome),
}

/// A task with its fate.
pub(super) struct Entry {
    pub(super) task: Task,
    pub(super) fate: Fate,
}

/// All tasks of a job, in the order in which they are to start.
pub(super) struct Plan {
    pub(super) entries: Vec<Entry>,
    /// What they require.
    pub(super) requirements: Requirements,
    /// The seed of the order, where it was shuffled.
    pub(super) shuffle_seed: Option<u64>,
}

impl Plan {
    /// What waits for what.
    pub(super) fn graph(&self, config: &Config) -> Result<Graph, GraphError> {
        let tasks = self.entries.iter().map(|entry| &entry.task);
        Graph::new(tasks, &self.requirements, config)
    }
}

/// A runnable with the number and name that its task will have.
struct Named {
    /// In its suite, or in the job where it has none.
    number: usize,
    name: String,
    runnable: Runnable,
    ended: Option<Outcome>,
}

impl Named {
    /// `12-name;variant`, with the name of the suite before it if there is one. `width` is how many digits the number has.
    fn id(&self, width: usize) -> String {
        let Self { number, name, .. } = self;
        let mut id = match self.runnable.suite() {
            Some(suite) => format!("{suite}-{number:0width$}-{name}"),
            None => format!("{number:0width$}-{name}"),
        };
        let variant = self.runnable.more.get("variant");
        if let Some(variant) = variant.and_then(|it| it.get("variant_id")?.as_str()) {
            id.push(';');
            id.push_str(variant);
        }
        id
    }
}

/// Numbers the tasks in their order, each suite for itself; how many digits the numbers of each suite have.
fn number(named: &mut [Named]) -> HashMap<Option<String>, usize> {
    let mut counts: HashMap<Option<String>, usize> = HashMap::new();
    for named in named {
        let suite = named.runnable.suite().map(str::to_owned);
        let count = counts.entry(suite).or_default();
        *count += 1;
        named.number = *count;
    }
    let widths = counts.into_iter();
    widths
        .map(|(suite, count)| (suite, count.to_string().len()))
        .collect()
}

/// Makes the plan of what was resolved. References that nobody resolved are the caller's to refuse; those over which a
/// resolver failed become tasks in error, so that they are counted.
/// Earlier jobs below `results_root` may have a say in the order.
pub(super) fn plan(
    resolved: Vec<Resolved>,
    catalog: &Catalog,
    config: &Config,
    results_root: Option<&Path>,
) -> Plan {
    let format = config.text("runner.identifier_format").unwrap_or("{uri}");
    let dry_run = config.flag("run.dry_run.enabled");
    // Whether it can be read is checked with the other settings.
    let partition = config
        .text("run.partition")
        .and_then(|text| Partition::parse(text).ok());
    let mut named: Vec<Named> = Vec::new();
    for Resolved { reference, answer } in resolved {
        match answer {
            Answer::Found { runnables, .. } => {
                named.reserve(runnables.len());
                for runnable in runnables {
                    let name = match &runnable.identifier {
                        Some(identifier) => identifier.clone(),
                        None => identifier(format, &runnable),
                    };
                    named.push(Named {
                        number: 0,
                        name,
                        runnable,
                        ended: None,
                    });
                }
            }
            Answer::Failed { error } => {
                let runnable = Runnable {
                    uri: Some(reference.clone()),
                    ..Runnable::default()
                };
                named.push(Named {
                    number: 0,
                    name: reference,
                    runnable,
                    ended: Some(Outcome::new(Status::Error, error)),
                });
            }
            Answer::Missing { .. } | Answer::Corrupt { .. } => {}
        }
    }
    // Of the whole, so that the parts of a job have different ids; and parted before it's shuffled, so that all machines part alike.
    let widths = number(&mut named);
    let width = |named: &Named| {
        let suite = named.runnable.suite().map(str::to_owned);
        widths.get(&suite).copied().unwrap_or_default()
    };
    if let Some(partition) = partition {
        let ids: Vec<String> = named.iter().map(|named| named.id(width(named))).collect();
        let tasks: Vec<(&str, &str, &Runnable)> = named
            .iter()
            .zip(&ids)
            .map(|(named, id)| (named.name.as_str(), id.as_str(), &named.runnable))
            .collect();
        let mut kept = partition.keeps(&tasks).into_iter();
        named.retain(|_| kept.next().unwrap_or(false));
    }
    let shuffle_seed = config.flag("run.shuffle").then(|| {
        config
            .integer("run.shuffle_seed")
            .unwrap_or_else(|| u64::from(fastrand::u32(..)))
    });
    if let Some(seed) = shuffle_seed {
        fastrand::Rng::with_seed(seed).shuffle(&mut named);
        if partition.is_none() {
            number(&mut named);
        }
    }
    // Once for each runner, not for each task.
    let mut settings: HashMap<String, Arc<Attributes>> = HashMap::new();
    let mut settings = |runner: &Plugin| {
        let own = || Arc::new(config.subset(&runner.settings));
        Arc::clone(settings.entry(runner.digest.clone()).or_insert_with(own))
    };
    let mut entries: Vec<Entry> = named
        .into_iter()
        .enumerate()
        .map(|(index, named)| {
            let id = named.id(width(&named));
            let Named {
                name,
                runnable,
                ended,
                ..
            } = named;
            let fate = match ended {
                Some(outcome) => Fate::Ended(outcome),
                None => fate(&runnable, catalog, dry_run, &mut settings),
            };
            let directory = task_directory(&id);
            Entry {
                task: Task {
                    index,
                    id,
                    name,
                    directory,
                    runnable,
                },
                fate,
            }
        })
        .collect();
    let history = || results_root.map(History::read).unwrap_or_default();
    reorder(
        &mut entries,
        config.text("run.order").unwrap_or_default(),
        history,
    );
    let requirements = Requirements::gather(&mut entries, catalog, config);
    Plan {
        entries,
        requirements,
        shuffle_seed,
    }
}

/// Puts the tasks into an order that earlier jobs suggest. Among equals the one before stays.
fn reorder(entries: &mut [Entry], order: &str, history: impl FnOnce() -> History) {
    match order {
        "failed-first" => {
            let history = history();
            entries.sort_by_cached_key(|Entry { task, .. }| {
                history.of(task).is_none_or(|past| past.status.is_ok())
            });
        }
        "longest-first" => {
            let history = history();
            let known = entries.iter().filter_map(|entry| history.of(&entry.task));
            let (count, sum) = known.fold((0_u64, 0_u64), |(count, sum), past| {
                (count + 1, sum.saturating_add(past.elapsed))
            });
            // What is not known is taken to be like the others.
            let mean = sum.checked_div(count).unwrap_or_default();
            entries.sort_by_cached_key(|Entry { task, .. }| {
                let elapsed = history.of(task).map_or(mean, |past| past.elapsed);
                std::cmp::Reverse(elapsed)
            });
        }
        _ => return,
    }
    for (index, entry) in entries.iter_mut().enumerate() {
        entry.task.index = index;
    }
}

fn fate(
    runnable: &Runnable,
    catalog: &Catalog,
    dry_run: bool,
    settings: &mut dyn FnMut(&Plugin) -> Arc<Attributes>,
) -> Fate {
    if dry_run {
        return Fate::Ended(Outcome::new(
            Status::Cancel,
            "Test cancelled due to --dry-run",
        ));
    }
    let Some(runner) = catalog.runner(&runnable.kind) else {
        let reason = format!(
            "no runner for kind `{}`: add a plugin that runs it with `--plugin-dir DIR`; `persea plugin list` shows those there are",
            runnable.kind
        );
        return Fate::Ended(Outcome::new(Status::Error, reason));
    };
    Fate::Run(Arc::clone(runner), settings(runner))
}

/// A name by a format such as `{uri}` or `{args[0]}`, in Avocado's words. What it names and the runnable lacks is left empty.
fn identifier(format: &str, runnable: &Runnable) -> String {
    let uri = runnable.uri.as_deref().unwrap_or(&runnable.kind);
    if format == "{uri}" {
        return uri.to_owned();
    }
    let mut name = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('{') {
        name.push_str(before);
        let Some((field, after)) = after.split_once('}') else {
            name.push('{');
            rest = after;
            continue;
        };
        rest = after;
        let index = |prefix: &str| {
            field
                .strip_prefix(prefix)?
                .strip_prefix('[')?
                .strip_suffix(']')
        };
        match field {
            "uri" => name.push_str(uri),
            "kind" => name.push_str(&runnable.kind),
            "args" => name.push_str(&runnable.args.join(" ")),
            "kwargs" => {
                let pairs: Vec<String> = runnable
                    .kwargs
                    .iter()
                    .map(|(key, value)| format!("{key}={}", plain(value)))
                    .collect();
                name.push_str(&pairs.join(" "));
            }
            _ => {
                if let Some(argument) =
                    index("args").and_then(|n| runnable.args.get(n.parse::<usize>().ok()?))
                {
                    name.push_str(argument);
                } else if let Some(value) = index("kwargs").and_then(|key| runnable.kwargs.get(key))
                {
                    name.push_str(&plain(value));
                }
            }
        }
    }
    name.push_str(rest);
    name
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn identifiers_follow_the_format() {
        let runnable: Runnable = serde_json::from_value(serde_json::json!({
            "kind": "exec-test", "uri": "/bin/sh", "args": ["-c", "true"], "kwargs": {"FOO": "bar", "N": 3},
        }))
        .unwrap();
        for (format, name) in [
            ("{uri}", "/bin/sh"),
            ("{uri} {args}", "/bin/sh -c true"),
            ("{args[1]}!", "true!"),
            ("{kwargs[N]}-{kwargs[none]}", "3-"),
            ("{kwargs}", "FOO=bar N=3"),
            ("open { end", "open { end"),
        ] {
            assert_eq!(identifier(format, &runnable), name, "{format}");
        }
    }
}
