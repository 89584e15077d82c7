//! Owns the conversion of runnables into the tasks of a plan: names, ids, directories, order, and
//! the results that are known before a task runs.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::input::own_spawner;
use crate::input::resolve::{Answer, Resolved};
use crate::plan::again::Chosen;
use crate::plan::entry::{PlanEntry, TaskFate, owner};
use crate::plan::fate::Fates;
use crate::plan::graph::{Graph, GraphError, NodeIndex};
use crate::plan::history::History;
use crate::plan::naming::{NamedRunnable, TaskIds, name_of, set_titles};
use crate::plan::partition::Partition;
use crate::plan::requirements::{Requirements, key};
use crate::plan::selection::{Selection, retain, with_dependencies};
use persea_config::Config;
use persea_config::{Order, settings};
use persea_journal::KnownResult;
use persea_model::names::task_directory;
use persea_model::{Outcome, Runnable, SpawnerKind, Status, Task, TaskIndex};
use persea_plugin::Catalog;
use persea_spawner::descriptor;

/// The plan of a job, its tasks in the order in which they start.
pub(crate) struct Plan {
    pub(crate) entries: Vec<PlanEntry>,
    /// The requirements of the tasks.
    pub(crate) requirements: Requirements,
    /// With spawners that have snapshots: ranges of tasks that use the same environment.
    groups: Vec<Range<TaskIndex>>,
    /// The seed of the order, if the tasks were shuffled.
    pub(crate) shuffle_seed: Option<u64>,
    /// The number of tests before the filters, if there are any.
    pub(crate) unfiltered: Option<usize>,
    /// The titles of tests that failed in the earlier job, and that are not there any more.
    pub(crate) gone: Vec<String>,
}

impl Plan {
    /// The entry of a task, or of the node of a graph if that is a task.
    pub(crate) fn entry(&self, index: impl Into<NodeIndex>) -> Option<&PlanEntry> {
        self.entries.get(index.into().0)
    }

    /// The range of tasks around this one that use the same environment, if tasks are grouped.
    pub(crate) fn group(&self, task: TaskIndex) -> Option<Range<TaskIndex>> {
        let place = self.groups.partition_point(|group| group.end <= task);
        self.groups.get(place).cloned()
    }

    /// The reasons of the configuration for which tasks cannot run, each with the number of its
    /// tasks, in plan order.
    pub(crate) fn refusals(&self) -> Vec<(&str, usize)> {
        let mut refusals: Vec<(&str, usize)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for entry in &self.entries {
            let TaskFate::Refused(outcome) = &entry.fate else {
                continue;
            };
            let Some(reason) = &outcome.reason else {
                continue;
            };
            let place = *places.entry(reason).or_insert(refusals.len());
            match refusals.get_mut(place) {
                Some((_, tasks)) => *tasks += 1,
                None => refusals.push((reason, 1)),
            }
        }
        refusals
    }

    /// Whether a task cannot run because of the configuration.
    pub(crate) fn is_refused(&self, task: TaskIndex) -> bool {
        let entry = self.entry(task);
        entry.is_some_and(|entry| matches!(entry.fate, TaskFate::Refused(_)))
    }

    /// The graph of the plan.
    pub(crate) fn graph(&self, config: &Config) -> Result<Graph, GraphError> {
        let tasks = self.entries.iter().map(|entry| &entry.task);
        Graph::new(tasks, &self.requirements, config)
    }
}

/// Makes the plan of resolved references. The caller rejects unresolved references; a reference for
/// which a resolver failed becomes a task in error, so that it is counted.
///
/// Earlier jobs below `results_root` may determine the order and the choice.
pub(crate) fn plan(
    resolved: Vec<Resolved>,
    catalog: &Catalog,
    config: &Config,
    results_root: &Path,
    selection: &Selection,
) -> Plan {
    let format = config.get(settings::RUNNER_IDENTIFIER_FORMAT);
    // Valid: it is checked with the other settings.
    let partition = config
        .get(settings::RUN_PARTITION)
        .and_then(|text| Partition::parse(text).ok());
    let mut fates = Fates::new(catalog, config);
    let mut named: Vec<NamedRunnable> = Vec::new();
    // Each with the number of tests up to its last one.
    let mut references: Vec<(usize, String)> = Vec::new();
    for Resolved { reference, answer } in resolved {
        match answer {
            Answer::Found {
                runnables,
                provenance,
                ..
            } => {
                named.reserve(runnables.len());
                // Of the spawner before: consecutive tests often have the same one.
                let mut restrictions = None;
                let made_by = provenance.record();
                let digests = provenance.digests();
                let mut names = LastText::default();
                for runnable in runnables {
                    let spawner = fates.spawner(&runnable);
                    let (_, held) = match restrictions.take() {
                        Some((last, held)) if last == spawner => restrictions.insert((last, held)),
                        Some(_) | None => {
                            let held = provenance.restrictions(config, spawner);
                            restrictions.insert((spawner, held))
                        }
                    };
                    let name = names.share(&name_of(&runnable, format));
                    named.push(NamedRunnable {
                        restrictions: held.clone(),
                        provenance: digests.clone(),
                        made_by: made_by.clone(),
                        ..NamedRunnable::new(name, &runnable)
                    });
                }
            }
            Answer::Failed { error } => {
                let runnable = Runnable {
                    uri: Some(reference.clone()),
                    ..Runnable::default()
                };
                named.push(NamedRunnable {
                    ended: Some(Outcome::new(Status::Error, error).into()),
                    ..NamedRunnable::new(reference.as_str().into(), &runnable.into())
                });
            }
            Answer::Missing { .. } | Answer::Corrupt { .. } => {}
        }
        if selection.again.is_some() {
            references.push((named.len(), reference));
        }
    }
    // Titles and numbers are given before partitioning, so that the parts of a job have different
    // ids; and partitioning happens before shuffling, so that all machines partition alike.
    set_titles(&mut named);
    let mut ids = TaskIds::new(config);
    let widths = ids.number(&mut named);
    let again = selection.again.as_ref();
    let Chosen { mut wanted, gone } = again
        .map(|failed| failed.choose(&named, &references))
        .unwrap_or_default();
    let unfiltered = selection.has_filters().then_some(named.len());
    if unfiltered.is_some() {
        let made = ids.all(&named, &widths);
        let kept = selection.filtered(&named, &made, results_root);
        retain(&mut named, &kept);
        retain(&mut wanted, &kept);
    }
    if let Some(partition) = partition {
        let made = ids.all(&named, &widths);
        let tasks: Vec<(&str, &str, &Runnable)> = named
            .iter()
            .zip(&made)
            .map(|(named, id)| (&*named.name, id.as_str(), &*named.runnable))
            .collect();
        let kept = partition.select(&tasks);
        retain(&mut named, &kept);
        retain(&mut wanted, &kept);
    }
    if again.is_some() {
        let made = ids.all(&named, &widths);
        let kept = with_dependencies(&named, &made, wanted);
        retain(&mut named, &kept);
    }
    let shuffle_seed = config.get(settings::RUN_SHUFFLE).then(|| {
        config
            .get(settings::RUN_SHUFFLE_SEED)
            .unwrap_or_else(|| u64::from(fastrand::u32(..)))
    });
    if let Some(seed) = shuffle_seed {
        fastrand::Rng::with_seed(seed).shuffle(&mut named);
        if partition.is_none() {
            ids.number(&mut named);
        }
    }
    let mut owners = LastText::default();
    let mut entries: Vec<PlanEntry> = named
        .into_iter()
        .enumerate()
        .map(|(index, named)| {
            let id = ids.unique(&named, &widths);
            let NamedRunnable {
                name,
                title,
                runnable,
                ended,
                restrictions,
                provenance,
                made_by,
                ..
            } = named;
            let directory = match task_directory(&id) {
                directory if *directory == *id => Arc::clone(&id),
                directory => directory.into(),
            };
            let task = Task {
                index: TaskIndex(index),
                id,
                name,
                title,
                directory,
                runnable,
            };
            let known_result = ended.as_ref().map(|outcome| {
                Box::new(KnownResult {
                    status: outcome.status,
                    reason: outcome.reason.clone(),
                })
            });
            let fate = fates.of(&task, ended, restrictions.as_deref());
            PlanEntry {
                spawner: fates.spawner(&task.runnable),
                owner: owner(&fate, provenance).map(|owner| owners.share(&owner)),
                task,
                fate,
                made_by,
                known_result,
            }
        })
        .collect();
    let history = || History::read(results_root);
    reorder(&mut entries, config.get(settings::RUN_ORDER), history);
    if is_grouped(&entries, config, shuffle_seed) {
        sort_by_environment(&mut entries);
    }
    Plan {
        unfiltered,
        gone,
        ..complete(entries, catalog, config, shuffle_seed)
    }
}

/// Whether tasks that use the same environment follow each other.
fn is_grouped(entries: &[PlanEntry], config: &Config, shuffle_seed: Option<u64>) -> bool {
    let has_snapshots = |entry: &PlanEntry| descriptor(entry.spawner).has_snapshots;
    entries.iter().any(has_snapshots)
        && shuffle_seed.is_none()
        && config.get(settings::RUN_ORDER) == Order::Given
        && config.get(settings::RUN_SCHEDULER).is_none()
}

/// The plan of entries in their final order, with their requirements.
pub(super) fn complete(
    mut entries: Vec<PlanEntry>,
    catalog: &Catalog,
    config: &Config,
    shuffle_seed: Option<u64>,
) -> Plan {
    let requirements = Requirements::gather(&mut entries, catalog, config);
    let groups = match is_grouped(&entries, config, shuffle_seed) {
        true => environment_groups(&entries, &requirements),
        false => Vec::new(),
    };
    Plan {
        entries,
        requirements,
        groups,
        shuffle_seed,
        unfiltered: None,
        gone: Vec::new(),
    }
}

/// Shares a text with the one before where both are equal, as those of consecutive tasks often are.
#[derive(Default)]
struct LastText(Option<Arc<str>>);

impl LastText {
    fn share(&mut self, text: &str) -> Arc<str> {
        match &self.0 {
            Some(last) if **last == *text => Arc::clone(last),
            Some(_) | None => Arc::clone(self.0.insert(text.into())),
        }
    }
}

/// Sorts tasks so that those with the same spawner, image, requirements and provenance follow each
/// other, after tasks whose requirements are a prefix of theirs. The sort is stable.
fn sort_by_environment(entries: &mut [PlanEntry]) {
    let mut environments: Vec<(SpawnerKind, Option<String>)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut owners: Vec<Option<Arc<str>>> = Vec::new();
    entries.sort_by_cached_key(|entry| {
        let own = (entry.spawner, own_spawner::image(&entry.task.runnable.more));
        let environment = environments.iter().position(|it| *it == own);
        let environment = environment.unwrap_or_else(|| {
            environments.push(own);
            environments.len() - 1
        });
        let is_own = |owner: &Option<Arc<str>>| *owner == entry.owner;
        let owner = owners.iter().position(is_own).unwrap_or_else(|| {
            owners.push(entry.owner.clone());
            owners.len() - 1
        });
        let mut stack = String::new();
        let all = entry.task.runnable.requirements.iter();
        let places = all.map(|requirement| {
            stack.push_str(&key(requirement));
            let next = known.len();
            *known.entry(stack.clone()).or_insert(next)
        });
        (environment, places.collect::<Vec<usize>>(), owner)
    });
    for (index, entry) in entries.iter_mut().enumerate() {
        entry.task.index = TaskIndex(index);
    }
}

/// The ranges of consecutive tasks that use the same environment.
fn environment_groups(entries: &[PlanEntry], requirements: &Requirements) -> Vec<Range<TaskIndex>> {
    let state = |entry: &PlanEntry| {
        let image = own_spawner::image(&entry.task.runnable.more);
        (entry.spawner, image, requirements.last_of(entry.task.index))
    };
    let same =
        |one: &PlanEntry, other: &PlanEntry| state(one) == state(other) && one.owner == other.owner;
    let mut begin = 0;
    let groups = entries.chunk_by(same).map(|group| {
        let end = begin + group.len();
        TaskIndex(std::mem::replace(&mut begin, end))..TaskIndex(end)
    });
    groups.collect()
}

/// Sorts the tasks by the results of earlier jobs. The sort is stable.
fn reorder(entries: &mut [PlanEntry], order: Order, history: impl FnOnce() -> History) {
    match order {
        Order::FailedFirst => {
            let history = history();
            entries.sort_by_cached_key(|PlanEntry { task, .. }| {
                history.of(task).is_none_or(|last| last.status.is_ok())
            });
        }
        Order::LongestFirst => {
            let history = history();
            let known = entries.iter().filter_map(|entry| history.of(&entry.task));
            let (count, sum) = known.fold((0_u64, 0_u64), |(count, sum), last| {
                (count + 1, sum.saturating_add(last.elapsed))
            });
            // A task without a known duration counts as an average one.
            let mean = sum.checked_div(count).unwrap_or_default();
            entries.sort_by_cached_key(|PlanEntry { task, .. }| {
                let elapsed = history.of(task).map_or(mean, |last| last.elapsed);
                std::cmp::Reverse(elapsed)
            });
        }
        Order::Given => return,
    }
    for (index, entry) in entries.iter_mut().enumerate() {
        entry.task.index = TaskIndex(index);
    }
}
