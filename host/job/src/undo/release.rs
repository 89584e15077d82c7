//! Owns the release of requirements that a killed job has left fulfilled, as its journal records
//! them. Does not know how a requirement is fulfilled.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::execute::clock::Clock;
use crate::execute::context::ExecutionContext;
use crate::execute::control::Control;
use crate::execute::messages::Assignment;
use crate::execute::preparer::{self, Undo};
use crate::execute::slot::{Slot, SlotIndex};
use crate::execute::supervise;
use crate::plan::requirements::{RequirementStep, StepIndex};
use crate::results::directory::Section;
use crate::undo::unreleased::UnreleasedJobs;
use persea_config::{Config, settings};
use persea_journal::{
    Event, EventKind, JobStarted, Journal, JournalError, Reader, RequirementReleased,
    RequirementStarted, RequirementState,
};
use persea_model::names::task_directory;
use persea_model::{Attribute, Attributes, Limits, Requirement, Scope, SpawnerKind};
use persea_plugin::Catalog;
use persea_spawner::{EnvironmentState, Spawners, descriptor};

/// A requirement that a job has fulfilled and not released.
#[derive(Debug)]
pub struct UnreleasedRequirement {
    id: String,
    name: String,
    requirement: Requirement,
    /// The spawner in whose environment it was fulfilled.
    spawner: SpawnerKind,
    /// What the release needs; none where the host was killed before the resolver answered.
    fulfilled: Option<Attributes>,
    /// The version of the resolver that fulfilled it.
    fulfilled_by: Option<String>,
    /// `leases` and `variant` of the task, for a requirement of a single task. The resolver gets
    /// them again.
    more: Attributes,
}

/// What the release of a job's requirements needs.
pub struct JobRelease {
    /// The settings.
    pub config: Arc<Config>,
    /// The plugins.
    pub catalog: Arc<Catalog>,
    /// The spawners of the resolvers' processes: those of [`places_of`].
    pub spawners: Spawners,
}

/// The name of a requirement, and the result of its release: an error is the reason, for people.
pub type ReleaseResult = (String, Result<(), String>);

/// The spawner in whose environment a requirement was fulfilled that outlasts its job; none for any
/// other. Environments with snapshots are removed with the job, and scope `keep` is never released.
fn outlasting(started: &RequirementStarted<'_>, of_job: SpawnerKind) -> Option<SpawnerKind> {
    let spawner = match &started.spawner {
        None => of_job,
        Some(name) => SpawnerKind::parse(name)?,
    };
    let is_left = started.scope != Scope::Keep && !descriptor(spawner).has_snapshots;
    is_left.then_some(spawner)
}

/// The events that record what was fulfilled and what was released.
const REQUIREMENT_EVENTS: &[EventKind] = &[
    EventKind::RequirementStarted,
    EventKind::RequirementAbsent,
    EventKind::RequirementRetried,
    EventKind::RequirementFinished,
    EventKind::RequirementReleased,
];

/// Returns the requirements that a job has fulfilled and not released, in the order of their
/// release.
///
/// # Errors
/// The journal cannot be read.
pub fn unreleased_of(job_dir: &Path) -> Result<Vec<UnreleasedRequirement>, JournalError> {
    let mut known: Vec<RequirementStarted<'_>> = Vec::new();
    let mut left: Vec<UnreleasedRequirement> = Vec::new();
    let mut reader = Reader::open(job_dir)?;
    // Earlier versions did not record the spawner of other hosts with each requirement.
    let of_job = remote_of(job_dir).unwrap_or_default();
    while let Some(record) = reader.next_event(REQUIREMENT_EVENTS)? {
        match record.event {
            Event::RequirementStarted(started) => known.push(started.into_owned()),
            Event::RequirementAbsent(absent) => {
                // A host that has taken the job over may give the id to another requirement.
                let step = known.iter().rev().find(|step| step.id == absent.id);
                let spawner = step.and_then(|step| outlasting(step, of_job));
                if let (Some(step), Some(spawner)) = (step, spawner) {
                    left.push(UnreleasedRequirement {
                        id: step.id.to_string(),
                        name: step.name.to_string(),
                        requirement: step.requirement.clone().into_owned(),
                        spawner,
                        fulfilled: None,
                        fulfilled_by: step.resolver_version.as_deref().map(str::to_owned),
                        more: task_data(step),
                    });
                }
            }
            // The resolver has undone what it changed.
            Event::RequirementRetried(retried) => left.retain(|left| left.id != retried.id),
            Event::RequirementFinished(finished) => {
                if let Some(position) = left.iter().position(|left| left.id == finished.id) {
                    // Sorted by the end of `fulfil`, as the job itself would release them.
                    let mut ended = left.remove(position);
                    match finished.state {
                        RequirementState::Failed => {}
                        RequirementState::Present
                        | RequirementState::Fulfilled
                        | RequirementState::Unknown => {
                            ended.fulfilled = finished.into_owned().fulfilled;
                            left.push(ended);
                        }
                    }
                }
            }
            Event::RequirementReleased(released) if released.reason.is_none() => {
                left.retain(|left| left.id != released.id);
            }
            _ => {}
        }
    }
    left.reverse();
    Ok(left)
}

/// What a resolver gets to know of the only task that has a requirement.
fn task_data(step: &RequirementStarted<'_>) -> Attributes {
    let mut more = Attributes::new();
    if !step.leases.is_empty() {
        let leases = step.leases.iter().map(|(resource, instances)| {
            let instances = instances.iter().map(|it| Attribute::from(it.as_ref()));
            let instances: Vec<Attribute> = instances.collect();
            (resource.to_string(), instances.into())
        });
        let leases: BTreeMap<String, Attribute> = leases.collect();
        more.insert("leases".to_owned(), leases.into());
    }
    let variant = step.variant.as_deref().cloned();
    more.extend(variant.map(|variant| ("variant".to_owned(), variant)));
    more
}

/// The project in which a job was run. None where its journal does not record one, or the directory
/// is gone.
pub fn project_of(job_dir: &Path) -> Option<PathBuf> {
    let started = begin(job_dir)?;
    let project = PathBuf::from(&started.project_dir);
    project.is_dir().then_some(project)
}

/// The settings that say which hosts a spawner uses.
const HOST_SETTINGS: [&str; 4] = [
    settings::SPAWNER_SLURM_ACCOUNT.name(),
    settings::SPAWNER_SLURM_NODES.name(),
    settings::SPAWNER_SLURM_PARTITION.name(),
    settings::SPAWNER_SSH_HOSTS.name(),
];

/// Where the requirements that a job has left are to be released.
pub struct ReleasePlaces {
    /// The spawners, at least one.
    pub spawners: Vec<SpawnerKind>,
    /// The settings that say which hosts the job had.
    pub hosts: Vec<(&'static str, Value)>,
}

/// Returns where the requirements that a job has left are to be released.
///
/// # Errors
/// The journal cannot be read.
pub fn places_of(job_dir: &Path) -> Result<ReleasePlaces, JournalError> {
    let left = unreleased_of(job_dir)?;
    let mut kinds: BTreeSet<SpawnerKind> = left.iter().map(|left| left.spawner).collect();
    if kinds.is_empty() {
        kinds.insert(SpawnerKind::Process);
    }
    let settings = begin(job_dir).map(|started| started.settings);
    let settings = settings.unwrap_or_default();
    let hosts = HOST_SETTINGS.into_iter().filter_map(|name| {
        let value = serde_json::to_value(settings.get(name)?).ok()?;
        Some((name, value))
    });
    Ok(ReleasePlaces {
        spawners: kinds.into_iter().collect(),
        hosts: hosts.collect(),
    })
}

/// The spawner of other hosts that a job has by its settings.
fn remote_of(job_dir: &Path) -> Option<SpawnerKind> {
    let settings = begin(job_dir)?.settings;
    let name = settings.get(settings::RUN_SPAWNER.name());
    let name = name.and_then(|name| name.clone().into_text())?;
    SpawnerKind::parse(&name).filter(|kind| descriptor(*kind).is_remote)
}

/// The beginning of a job's journal; none where there is none that can be read.
pub fn begin(job_dir: &Path) -> Option<JobStarted> {
    let mut reader = Reader::open(job_dir).ok()?;
    match reader.next_event(&[EventKind::JobStarted]).ok()??.event {
        Event::JobStarted(started) => Some(started.into_owned()),
        _ => None,
    }
}

impl JobRelease {
    /// Releases what a job has left, and records that in its journal.
    ///
    /// # Errors
    /// The journal cannot be read or written, or belongs to a job that still runs.
    pub async fn run(
        self,
        job_dir: &Path,
        unreleased: &UnreleasedJobs,
    ) -> Result<Vec<ReleaseResult>, JournalError> {
        let Self {
            config,
            catalog,
            spawners,
        } = self;
        let mut journal = Journal::reopen(job_dir)?;
        let left = unreleased_of(job_dir)?;
        let execution = Arc::new(ExecutionContext {
            spawners,
            clock: Arc::new(Clock::new()),
            dependencies: Section::of_requirements(job_dir),
            project_dir: std::env::current_dir().unwrap_or_default(),
            grace: supervise::grace(&config),
        });
        let released = release_all(&execution, (&catalog, &config), &mut journal, left).await?;
        if released.iter().all(|(_, done)| done.is_ok()) {
            unreleased.remove(job_dir);
        }
        Ok(released)
    }
}

/// Releases these requirements, and records that in the journal of their job.
///
/// # Errors
/// The journal cannot be written.
pub(crate) async fn release_all(
    execution: &Arc<ExecutionContext>,
    (catalog, config): (&Catalog, &Config),
    journal: &mut Journal,
    left: Vec<UnreleasedRequirement>,
) -> Result<Vec<ReleaseResult>, JournalError> {
    let slot = Arc::new(Slot::new(SlotIndex(0)));
    let mut released = Vec::new();
    for left in left {
        let begun = execution.clock.now();
        let name = left.name.clone();
        let done = release(execution, &slot, (catalog, config), &left).await;
        let elapsed = execution.clock.now().saturating_sub(begun);
        let event = RequirementReleased {
            id: left.id,
            reason: done.as_ref().err().cloned(),
            elapsed: u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
        };
        journal.record(None, &Event::RequirementReleased(Cow::Borrowed(&event)))?;
        journal.commit()?;
        released.push((name, done));
    }
    if let Some(environment) = slot.take() {
        environment.close().await;
    }
    Ok(released)
}

async fn release(
    execution: &Arc<ExecutionContext>,
    slot: &Arc<Slot>,
    (catalog, config): (&Catalog, &Config),
    left: &UnreleasedRequirement,
) -> Result<(), String> {
    let kind = &left.requirement.kind;
    let resolver = catalog.requirement_resolver(kind).ok_or_else(|| {
        format!(
            "no requirement resolver for the kind `{kind}`; add the plugin that the job had with \
             `persea plugin add FILE`"
        )
    })?;
    resolver.may_undo(left.spawner.name())?;
    let step = RequirementStep {
        name: left.name.clone(),
        directory: task_directory(&left.id),
        id: left.id.clone(),
        requirement: left.requirement.clone(),
        scope: Scope::Job,
        owner: None,
        settings: Arc::new(resolver.configured(config)),
        resolver: Arc::clone(resolver),
        resolver_mutex: None,
        stacked: false,
        spawner: left.spawner,
        image: None,
        base: None,
        exclusion_key: String::new(),
    };
    // No dispatcher sends requests or receives messages.
    let (_control, control) = watch::channel(Control::default());
    let (messages, _inbox) = mpsc::unbounded_channel();
    let assignment = Assignment {
        slot: Arc::clone(slot),
        position: None,
        can_requeue: false,
        state: EnvironmentState::new(left.spawner),
        leaves_dirty: false,
        limits: Limits::default(),
        cwd: None,
        variables: Vec::new(),
        more: left.more.clone(),
        messages,
    };
    let index = StepIndex(0);
    preparer::release(
        execution,
        index,
        &step,
        assignment,
        control,
        &Undo {
            data: left.fulfilled.clone(),
            by: left.fulfilled_by.clone(),
        },
    )
    .await
}

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
