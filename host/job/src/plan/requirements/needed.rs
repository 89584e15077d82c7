//! Owns one requirement as a task names it: what identifies it, its scope, its name for people, and
//! whether it may be fulfilled at all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::input::provenance::is_offline;
use persea_config::{Config, RESOURCES, settings};
use persea_model::names::cut;
use persea_model::{Attribute, Attributes, Requirement, Scope, SpawnerKind, TaskIndex};
use persea_plugin::Plugin;
use persea_spawner::descriptor;

/// The keyword arguments that belong to the host: the scope of a requirement, and its name for
/// people.
const SCOPE: &str = "scope";
const LABEL: &str = "label";

/// The longest name of a requirement, in bytes.
const NAME: usize = 100;

/// A task's requirement, with what identifies it.
#[derive(Clone)]
pub(super) struct NeededRequirement<'a> {
    pub(super) requirement: &'a Requirement,
    /// The spawner of the task.
    pub(super) spawner: SpawnerKind,
    pub(super) suite: Option<&'a str>,
    pub(super) key: String,
    /// Requirements with the same exclusion key and different keys exclude each other, if they have
    /// the same spawner.
    pub(super) exclusion_key: String,
    pub(super) scope: Scope,
    /// Whether it is met on the instances of resources that its task holds.
    pub(super) is_on_leases: bool,
    pub(super) resolver: &'a Arc<Plugin>,
}

impl NeededRequirement<'_> {
    /// Whether the requirement is met in an environment of its own.
    pub(super) fn is_stacked(&self) -> bool {
        descriptor(self.spawner).has_snapshots
    }
}

/// What tells the requirements of one machine from those of another: the spawner of their tasks.
pub(super) type RequirementKey<'a> = (SpawnerKind, &'a str);

/// The scope of each requirement, by key: the widest that any task gives it. A requirement that
/// several suites need lasts as long as the job.
pub(super) fn scopes<'a>(
    all: impl Iterator<Item = &'a NeededRequirement<'a>>,
) -> HashMap<RequirementKey<'a>, Scope> {
    let mut scopes: HashMap<RequirementKey<'a>, Scope> = HashMap::new();
    let mut suites: HashMap<RequirementKey<'a>, Option<&str>> = HashMap::new();
    for one in all {
        let mut wanted = one.scope;
        if wanted == Scope::Suite && *suites.entry(one.place()).or_insert(one.suite) != one.suite {
            wanted = Scope::Job;
        }
        let scope = scopes.entry(one.place()).or_insert(wanted);
        *scope = wanted.max(*scope);
    }
    scopes
}

/// Whether the resolver may fulfil the requirement in this job. By provenance the resolver answers
/// for its own processes and for the task's, which receive its variables.
pub(super) fn may_be_met(
    requirement: &Requirement,
    resolver: &Plugin,
    runner: &Plugin,
    spawner: SpawnerKind,
    config: &Config,
) -> Result<(), String> {
    let acts = resolver.starts_processes() || runner.starts_processes();
    let networks = is_offline(config, spawner) && resolver.processes_want_network();
    let mut may = Ok(());
    if acts {
        may = resolver.may_use(spawner.name());
    }
    if networks {
        may = may.and_then(|()| resolver.may_reach_network());
    }
    may.map_err(|why| format!("requirement `{}`: {why}", name(requirement)))
}

impl<'a> NeededRequirement<'a> {
    /// What identifies the requirement among those of all tasks.
    pub(super) fn place(&self) -> RequirementKey<'_> {
        (self.spawner, &self.key)
    }

    pub(super) fn read(
        (requirement, spawner): (&'a Requirement, SpawnerKind),
        suite: Option<&'a str>,
        holder: Option<TaskIndex>,
        resolver: Option<&'a Arc<Plugin>>,
        config: &Config,
    ) -> Result<Self, String> {
        let kind = &requirement.kind;
        let resolver = resolver.ok_or_else(|| {
            format!(
                "requirement `{}`: no requirement resolver for its kind; add a plugin that fulfils \
                 it with `persea plugin add FILE`; `persea plugin list` shows those there are",
                name(requirement)
            )
        })?;
        let scope = match requirement.more.get(SCOPE) {
            None | Some(Attribute::Null) => Some(config.get(settings::REQUIREMENT_SCOPE)),
            Some(Attribute::Text(scope)) => Scope::parse(scope),
            Some(_) => None,
        };
        let scope = match scope {
            // Tasks without a suite belong to the job.
            Some(Scope::Suite) if suite.is_none() => Scope::Job,
            Some(scope) => scope,
            None => {
                return Err(format!(
                    "requirement `{}`: its scope is `task`, `suite`, `job` or `keep`, not {}",
                    name(requirement),
                    requirement.more.get(SCOPE).unwrap_or(&Attribute::Null)
                ));
            }
        };
        let plain = plain(requirement);
        let key = key(requirement);
        let unique_by = resolver.more.get("unique-by").and_then(Attribute::items);
        let exclusion_key = match unique_by {
            None => key.clone(),
            Some(names) => {
                let named = names.iter().filter_map(Attribute::as_str);
                let value = |name: &str| match plain.kwargs.get(name) {
                    None if name == "uri" => plain.uri.clone().map(Attribute::from),
                    value => value.cloned(),
                };
                let values: Vec<String> = named
                    .filter_map(|name| Some(format!("{name}={}", value(name)?)))
                    .collect();
                format!("{kind} {}", values.join(" "))
            }
        };
        let can_be_on_leases = resolver.more.get("on-leases") == Some(&true.into());
        let holder = holder.filter(|_| scope == Scope::Task && can_be_on_leases);
        // What is met on the instances of one task is nothing to any other.
        let of_holder = |key: String| match holder {
            Some(task) => format!("{key} on the instances of task {}", task.0 + 1),
            None => key,
        };
        Ok(Self {
            requirement,
            spawner,
            suite,
            key: of_holder(key),
            exclusion_key: of_holder(exclusion_key),
            scope,
            is_on_leases: holder.is_some(),
            resolver,
        })
    }
}

/// Why the requirements of a task exclude each other, or exclude one that lasts as long as the job.
pub(super) fn conflict<'a>(
    all: &'a [NeededRequirement<'a>],
    taken: &BTreeMap<RequirementKey<'a>, &'a NeededRequirement<'a>>,
) -> Option<String> {
    let mut own: BTreeMap<&str, &NeededRequirement<'_>> = BTreeMap::new();
    for one in all {
        let others = [
            taken.get(&(one.spawner, &*one.exclusion_key)).copied(),
            own.insert(&one.exclusion_key, one),
        ];
        let other = others
            .into_iter()
            .flatten()
            .find(|other| other.key != one.key);
        if let Some(other) = other {
            return Some(format!(
                "requirement `{}` conflicts with requirement `{}`: {} against {}; give both the \
                 scope `task`, or run the tasks in separate jobs",
                name(one.requirement),
                name(other.requirement),
                one.key,
                other.key
            ));
        }
    }
    None
}

/// A requirement without the host's own arguments.
pub(super) fn plain(requirement: &Requirement) -> Requirement {
    let mut plain = requirement.clone();
    plain.more.remove(SCOPE);
    plain.more.remove(LABEL);
    plain
}

/// The key that identifies a requirement.
pub(crate) fn key(requirement: &Requirement) -> String {
    serde_json::to_string(&plain(requirement)).unwrap_or_default()
}

/// The name of a requirement for people.
pub(super) fn name(requirement: &Requirement) -> String {
    let text = |name: &str| requirement.kwargs.get(name).and_then(Attribute::as_str);
    let label = requirement.more.get(LABEL).and_then(Attribute::as_str);
    let what = label
        .or(requirement.uri.as_deref())
        .or_else(|| text("name"))
        .or_else(|| text("path"));
    let name = match what {
        Some(what) => format!("{} {what}", requirement.kind),
        None => requirement.kind.clone(),
    };
    cut(&name, NAME).to_owned()
}

/// Whether tasks with this open data hold instances of a resource, which have names.
pub(super) fn holds_instances(more: &Attributes, config: &Config) -> bool {
    let claimed = more.get("resources").and_then(Attribute::members);
    let mut claimed = claimed.into_iter().flatten();
    claimed.any(|(name, claimed)| {
        let configured = config.raw(&format!("{RESOURCES}{name}"));
        let is_some = claimed.as_u64() != Some(0)
            && claimed
                .items()
                .is_none_or(|instances| !instances.is_empty());
        is_some && configured.is_some_and(serde_json::Value::is_array)
    })
}
