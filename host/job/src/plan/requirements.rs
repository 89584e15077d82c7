//! Owns the requirements of a plan's tasks: which of them are shared, by whom, and how long each
//! lasts. They are checked before anything runs. Does not know how a requirement is fulfilled.

mod needed;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::input::own_spawner;
use crate::plan::entry::{PlanEntry, TaskFate};
pub(crate) use needed::key;
use needed::{
    NeededRequirement, RequirementKey, conflict, holds_instances, may_be_met, name, plain, scopes,
};
use persea_config::Config;
use persea_model::names::task_directory;
use persea_model::{Attributes, Outcome, Requirement, Scope, SpawnerKind, Status, TaskIndex};
use persea_plugin::{Catalog, Plugin};

/// The index of a step in [`Requirements::steps`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StepIndex(pub(crate) usize);

/// A requirement that is fulfilled once, for one task or for all that share it.
pub(crate) struct RequirementStep {
    /// Unique in its job: `2-package-jq`.
    pub(crate) id: String,
    /// The name for people: `package jq`.
    pub(crate) name: String,
    /// The name of its directory below `dependencies/`.
    pub(crate) directory: String,
    pub(crate) requirement: Requirement,
    pub(crate) scope: Scope,
    /// The task or suite that owns it; none where the whole job does.
    pub(crate) owner: Option<usize>,
    /// The requirement resolver, and the settings that it receives.
    pub(crate) resolver: Arc<Plugin>,
    pub(crate) settings: Arc<Attributes>,
    /// A mutex that is held while the requirement is fulfilled or released, for resolvers that run
    /// one at a time.
    pub(crate) resolver_mutex: Option<String>,
    /// The mutex that the owner holds from before the requirement is fulfilled until it is
    /// released.
    pub(crate) exclusion_key: String,
    /// Whether it is fulfilled in an environment of its own, which is kept as a snapshot. Such a
    /// requirement affects nothing else and is never released.
    pub(crate) stacked: bool,
    /// The step whose snapshot that environment starts from.
    pub(crate) base: Option<StepIndex>,
    /// The spawner in whose environment the requirement is fulfilled: that of its tasks.
    pub(crate) spawner: SpawnerKind,
    /// The image in whose container the requirement is fulfilled, as its tasks name it.
    pub(crate) image: Option<String>,
}

impl RequirementStep {
    /// Whether the resolver's processes need the network.
    pub(crate) fn wants_network(&self) -> bool {
        self.resolver.processes_want_network()
    }
}

/// A task or a suite that owns requirements until all its tasks have ended.
#[derive(Default)]
pub(crate) struct RequirementOwner {
    /// Whether the owner is a task.
    pub(crate) is_task: bool,
    pub(crate) tasks: Vec<TaskIndex>,
    pub(crate) steps: Vec<StepIndex>,
}

/// The requirements of a job, and the tasks that need them.
#[derive(Default)]
pub(crate) struct Requirements {
    pub(crate) steps: Vec<RequirementStep>,
    pub(crate) owners: Vec<RequirementOwner>,
    /// By task with requirements: its steps, in the order in which it names them.
    of_task: BTreeMap<TaskIndex, Vec<StepIndex>>,
    /// The tasks that leave their environment dirty.
    dirty_tasks: BTreeSet<TaskIndex>,
}

/// The steps whose environments are kept, by the spawner and the image of their environments, the
/// step before and the requirement's key.
type StackedSteps<'a> =
    HashMap<(SpawnerKind, Option<String>, Option<StepIndex>, &'a str), StepIndex>;

/// The owner of a step: a task, a suite, or neither for the whole job.
type OwnerKey<'a> = (Option<TaskIndex>, Option<&'a str>);

impl Requirements {
    /// Collects the requirements of all tasks. A task whose requirements cannot be fulfilled ends
    /// here. With a spawner that has snapshots, each requirement starts in the environment that the
    /// one before has left, and tasks with the same ones in the same order share it.
    pub(crate) fn gather(entries: &mut [PlanEntry], catalog: &Catalog, config: &Config) -> Self {
        let mut wanted: Vec<(TaskIndex, Vec<NeededRequirement<'_>>)> = Vec::new();
        let mut ended: Vec<(TaskIndex, TaskFate)> = Vec::new();
        for PlanEntry {
            task,
            fate,
            spawner,
            ..
        } in &*entries
        {
            let needed = &task.runnable.requirements;
            let TaskFate::Run(runner, _) = fate else {
                continue;
            };
            if needed.is_empty() {
                continue;
            }
            let suite = task.runnable.suite();
            let holder = holds_instances(&task.runnable.more, config).then_some(task.index);
            let all = needed.iter().map(|requirement| {
                let resolver = catalog.requirement_resolver(&requirement.kind);
                if let Some(resolver) = resolver {
                    may_be_met(requirement, resolver, runner, *spawner, config)
                        .map_err(|why| Outcome::new(Status::Error, why))?;
                }
                NeededRequirement::read((requirement, *spawner), suite, holder, resolver, config)
                    .map_err(|why| Outcome::new(Status::Cancel, why))
            });
            match all.collect() {
                Ok(all) => wanted.push((task.index, all)),
                Err(why) => ended.push((task.index, TaskFate::Refused(why.into()))),
            }
        }
        let scopes = scopes(wanted.iter().flat_map(|(_, all)| all));
        let scope_of =
            |one: &NeededRequirement<'_>| scopes.get(&one.place()).copied().unwrap_or(one.scope);
        // By exclusion key: the requirement that holds it for the whole job.
        let mut taken: BTreeMap<RequirementKey<'_>, &NeededRequirement<'_>> = BTreeMap::new();
        for one in wanted.iter().flat_map(|(_, all)| all) {
            if !one.is_stacked() && scope_of(one) >= Scope::Job {
                let key = (one.spawner, &*one.exclusion_key);
                taken.entry(key).or_insert(one);
            }
        }
        let mut gathered = Self::default();
        let mut known: HashMap<(RequirementKey<'_>, OwnerKey<'_>), StepIndex> = HashMap::new();
        let mut owners: HashMap<OwnerKey<'_>, usize> = HashMap::new();
        let mut stacks = HashMap::new();
        for (task, all) in &wanted {
            if let Some(why) = conflict(all, &taken) {
                let outcome = Outcome::new(Status::Cancel, why);
                ended.push((*task, TaskFate::Ended(outcome.into())));
                continue;
            }
            if all.first().is_some_and(NeededRequirement::is_stacked) {
                let image = entries.get(task.0);
                let image = image.and_then(|it| own_spawner::image(&it.task.runnable.more));
                gathered.stack((*task, image), all, (&mut stacks, &mut owners), config);
                continue;
            }
            for one in all {
                let scope = scope_of(one);
                let whose = match scope {
                    Scope::Task => (Some(*task), None),
                    Scope::Suite => (None, one.suite),
                    Scope::Job | Scope::Keep => (None, None),
                };
                let owner = gathered.owner(whose, &mut owners);
                let step = *known
                    .entry((one.place(), whose))
                    .or_insert_with(|| gathered.add(one, scope, owner, config));
                gathered.needs(*task, step);
            }
        }
        for (task, fate) in ended {
            if let Some(entry) = entries.get_mut(task.0) {
                entry.fate = fate;
            }
        }
        gathered
    }

    /// Finds or adds an owner; none for the whole job.
    fn owner<'a>(
        &mut self,
        whose: OwnerKey<'a>,
        owners: &mut HashMap<OwnerKey<'a>, usize>,
    ) -> Option<usize> {
        (whose != (None, None)).then(|| {
            *owners.entry(whose).or_insert_with(|| {
                self.owners.push(RequirementOwner {
                    is_task: whose.0.is_some(),
                    ..RequirementOwner::default()
                });
                self.owners.len() - 1
            })
        })
    }

    /// Finds or adds a task's requirements, each based on the one before.
    fn stack<'a>(
        &mut self,
        (task, image): (TaskIndex, Option<String>),
        all: &'a [NeededRequirement<'a>],
        (stacks, owners): (&mut StackedSteps<'a>, &mut HashMap<OwnerKey<'a>, usize>),
        config: &Config,
    ) {
        let mut base = None;
        let mut seen = BTreeSet::new();
        for one in all.iter().filter(|one| seen.insert(&one.key)) {
            let place = (one.spawner, image.clone(), base, &*one.key);
            let step = match stacks.get(&place) {
                Some(step) => *step,
                None => {
                    let whose = (one.is_on_leases.then_some(task), None);
                    let owner = self.owner(whose, owners);
                    let step = self.add(one, one.scope, owner, config);
                    if let Some(added) = self.steps.get_mut(step.0) {
                        (added.stacked, added.base, added.resolver_mutex) = (true, base, None);
                        added.image.clone_from(&image);
                    }
                    stacks.insert(place, step);
                    step
                }
            };
            self.needs(task, step);
            if one.scope == Scope::Task {
                self.dirty_tasks.insert(task);
            }
            base = Some(step);
        }
    }

    fn add(
        &mut self,
        wanted: &NeededRequirement<'_>,
        scope: Scope,
        owner: Option<usize>,
        config: &Config,
    ) -> StepIndex {
        let index = StepIndex(self.steps.len());
        let resolver = wanted.resolver;
        let name = name(wanted.requirement);
        let requirement = plain(wanted.requirement);
        let id = format!("{}-{}", index.0 + 1, name.replacen(' ', "-", 1));
        let one_at_a_time = resolver.more.get("one-at-a-time") == Some(&true.into());
        self.steps.push(RequirementStep {
            directory: task_directory(&id),
            id,
            name,
            requirement,
            scope,
            owner,
            settings: Arc::new(resolver.configured(config)),
            resolver_mutex: one_at_a_time
                .then(|| format!("requirement resolver {}", resolver.name)),
            exclusion_key: match wanted.spawner {
                SpawnerKind::Process => format!("requirement {}", wanted.exclusion_key),
                // Met elsewhere, so it excludes nothing on this machine.
                spawner => format!("requirement {} with {spawner}", wanted.exclusion_key),
            },
            stacked: false,
            base: None,
            spawner: wanted.spawner,
            image: None,
            resolver: Arc::clone(resolver),
        });
        if let Some(owner) = owner.and_then(|owner| self.owners.get_mut(owner)) {
            owner.steps.push(index);
        }
        index
    }

    fn needs(&mut self, task: TaskIndex, step: StepIndex) {
        let steps = self.of_task.entry(task).or_default();
        if !steps.contains(&step) {
            steps.push(step);
        }
        let owner = self.step(step).and_then(|step| step.owner);
        if let Some(owner) = owner.and_then(|owner| self.owners.get_mut(owner))
            && owner.tasks.last() != Some(&task)
        {
            owner.tasks.push(task);
        }
    }

    /// The step with this index.
    pub(crate) fn step(&self, index: StepIndex) -> Option<&RequirementStep> {
        self.steps.get(index.0)
    }

    /// The steps of a task, in the order in which it names them.
    pub(crate) fn of(&self, task: TaskIndex) -> impl Iterator<Item = StepIndex> + '_ {
        self.of_task.get(&task).into_iter().flatten().copied()
    }

    /// The last step of a task. With stacked requirements the task runs in its environment.
    pub(crate) fn last_of(&self, task: TaskIndex) -> Option<StepIndex> {
        self.of_task.get(&task)?.last().copied()
    }

    /// Whether a task leaves its environment dirty.
    pub(crate) fn leaves_dirty(&self, task: TaskIndex) -> bool {
        self.dirty_tasks.contains(&task)
    }

    /// The tasks with requirements, and their steps.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = (TaskIndex, &[StepIndex])> {
        self.of_task.iter().map(|(task, steps)| (*task, &**steps))
    }

    /// The steps of an owner.
    pub(crate) fn own(&self, owner: usize) -> &[StepIndex] {
        self.owners.get(owner).map_or(&[], |owner| &owner.steps)
    }

    /// The only task that owns a step.
    pub(crate) fn only_task(&self, step: &RequirementStep) -> Option<TaskIndex> {
        let owner = self.owners.get(step.owner?)?;
        (step.scope == Scope::Task).then(|| owner.tasks.first().copied())?
    }
}
