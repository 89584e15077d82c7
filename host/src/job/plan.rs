//! Runnables to tasks: names, ids, directories, the order, and what can be said of a task before it runs.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::graph::{Graph, GraphError};
use super::partition::Partition;
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
    /// The seed of the order, where it was shuffled.
    pub(super) shuffle_seed: Option<u64>,
}

impl Plan {
    /// What waits for what.
    pub(super) fn graph(&self, config: &Config) -> Result<Graph, GraphError> {
        Graph::new(self.entries.iter().map(|entry| &entry.task), config)
    }
}

/// A runnable with the number and name that its task will have.
struct Named {
    number: usize,
    name: String,
    runnable: Runnable,
    ended: Option<Outcome>,
}

/// Makes the plan of what was resolved. References that nobody resolved are the caller's to refuse; those over which a
/// resolver failed become tasks in error, so that they are counted.
pub(super) fn plan(resolved: Vec<Resolved>, catalog: &Catalog, config: &Config) -> Plan {
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
                        number: named.len() + 1,
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
                    number: named.len() + 1,
                    name: reference,
                    runnable,
                    ended: Some(Outcome::new(Status::Error, error)),
                });
            }
            Answer::Missing { .. } | Answer::Corrupt { .. } => {}
        }
    }
    // Of the whole, so that the parts of a job have different ids; and parted before it's shuffled, so that all machines part alike.
    let width = named.len().to_string().len();
    if let Some(partition) = partition {
        let tasks: Vec<(&str, &Runnable)> = named
            .iter()
            .map(|named| (named.name.as_str(), &named.runnable))
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
            for (index, named) in named.iter_mut().enumerate() {
                named.number = index + 1;
            }
        }
    }
    // Once for each runner, not for each task.
    let mut settings: HashMap<String, Arc<Attributes>> = HashMap::new();
    let mut settings = |runner: &Plugin| {
        let own = || Arc::new(config.subset(&runner.settings));
        Arc::clone(settings.entry(runner.digest.clone()).or_insert_with(own))
    };
    let entries = named
        .into_iter()
        .enumerate()
        .map(|(index, named)| {
            let Named {
                number,
                name,
                runnable,
                ended,
            } = named;
            let variant = runnable
                .more
                .get("variant")
                .and_then(|variant| variant.get("variant_id"))
                .and_then(Value::as_str);
            let mut id = format!("{number:0width$}-{name}");
            if let Some(variant) = variant {
                id.push(';');
                id.push_str(variant);
            }
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
    Plan {
        entries,
        shuffle_seed,
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
    // Nothing fulfils requirements yet; to run the task without what it needs would be a lie.
    if let Some(requirement) = runnable.requirements.first() {
        let reason = format!(
            "requirement `{}` cannot be fulfilled: no requirement resolver for its kind",
            requirement.kind
        );
        return Fate::Ended(Outcome::new(Status::Cancel, reason));
    }
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
