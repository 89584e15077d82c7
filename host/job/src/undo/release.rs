//! Releasing what a job has brought about that was killed before it could do so itself; from its journal. It must not know how a
//! requirement is met.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use crate::execute::clock::Clock;
use crate::execute::control::Control;
use crate::execute::executor::Shared;
use crate::execute::preparer;
use crate::execute::supervise;
use crate::execute::task_host::{Assignment, Slot};
use crate::input::own_settings::TaskTimes;
use crate::plan::requirements::Step;
use crate::results::directory::Section;
use crate::undo::unreleased::Pending;
use persea_config::Config;
use persea_journal::{
    Event, JobStarted, Journal, JournalError, Reader, RequirementFinished, RequirementReleased,
};
use persea_model::names::task_directory;
use persea_model::{Attributes, JobId, Requirement, Scope};
use persea_plugin::Catalog;
use persea_spawner::{Spawner, State};

/// Something that a job has left.
#[derive(Debug)]
pub struct Left {
    id: String,
    name: String,
    requirement: Requirement,
    /// What it takes to undo it; empty where the host did not live to hear of it.
    fulfilled: Attributes,
}

/// What releasing needs.
pub struct Undo {
    /// The settings.
    pub config: Arc<Config>,
    /// The plugins.
    pub catalog: Arc<Catalog>,
    /// What starts processes.
    pub spawner: Box<dyn Spawner>,
    /// A directory for what lives only as long as this.
    pub temp_dir: PathBuf,
}

/// What became of a requirement that was left: its name, and why it is still there if it is.
pub type Released = (String, Result<(), String>);

#[derive(Deserialize)]
struct Started {
    id: String,
    name: String,
    requirement: Requirement,
    scope: Scope,
    /// Environments of other spawners are gone with the job, and what was in them too.
    #[serde(default)]
    spawner: Option<String>,
}

impl Started {
    fn stays(&self) -> bool {
        self.scope != Scope::Keep && self.spawner.is_none()
    }
}

#[derive(Deserialize)]
struct Absent {
    id: String,
}

/// What a job has brought about and not released, in the order in which that is to be undone.
///
/// # Errors
/// Its journal cannot be read.
pub fn left_by(job_dir: &Path) -> Result<Vec<Left>, JournalError> {
    let mut known: Vec<Started> = Vec::new();
    let mut left: Vec<Left> = Vec::new();
    let mut reader = Reader::open(job_dir)?;
    let wanted = |kind: &str| kind.starts_with("requirement-");
    while let Some(line) = reader.next::<serde_json::Value>(wanted)? {
        let data = line.data;
        match line.event.as_str() {
            "requirement-started" => known.extend(serde_json::from_value::<Started>(data)),
            "requirement-absent" => {
                let absent = serde_json::from_value::<Absent>(data).ok();
                let step = absent.and_then(|absent| known.iter().find(|step| step.id == absent.id));
                if let Some(step) = step.filter(|step| step.stays()) {
                    left.push(Left {
                        id: step.id.clone(),
                        name: step.name.clone(),
                        requirement: step.requirement.clone(),
                        fulfilled: Attributes::new(),
                    });
                }
            }
            "requirement-finished" => {
                if let Ok(finished) = serde_json::from_value::<RequirementFinished>(data)
                    && let Some(place) = left.iter().position(|left| left.id == finished.id)
                {
                    // In the order of their ends, as the job itself would have it.
                    let mut ended = left.remove(place);
                    if finished.state != "failed" {
                        ended.fulfilled = finished.fulfilled;
                        left.push(ended);
                    }
                }
            }
            "requirement-released" => {
                if let Ok(released) = serde_json::from_value::<RequirementReleased>(data)
                    && released.reason.is_none()
                {
                    left.retain(|left| left.id != released.id);
                }
            }
            _ => {}
        }
    }
    left.reverse();
    Ok(left)
}

/// The project in which a job was run; none where its journal does not say, or the directory is gone.
pub fn project_of(job_dir: &Path) -> Option<PathBuf> {
    let mut reader = Reader::open(job_dir).ok()?;
    let started = reader.next::<JobStarted>(|kind| kind == "job-started");
    let project = PathBuf::from(started.ok()??.data.project_dir);
    project.is_dir().then_some(project)
}

impl Undo {
    /// Releases what a job has left, and writes that into its journal.
    ///
    /// # Errors
    /// Its journal cannot be read or written, or belongs to a job that runs.
    pub async fn job(
        self,
        job_dir: &Path,
        pending: &Pending,
    ) -> Result<Vec<Released>, JournalError> {
        let Self {
            config,
            catalog,
            spawner,
            temp_dir,
        } = self;
        let mut journal = Journal::reopen(job_dir)?;
        let left = left_by(job_dir)?;
        let shared = Arc::new(Shared {
            job: JobId::from_bytes([0; 20]),
            catalog,
            spawner,
            network: true,
            fresh: false,
            batches: false,
            clock: Arc::new(Clock::new()),
            test_results: Section::of_tests(job_dir),
            dependencies: Section::of_requirements(job_dir),
            temp_dir,
            project_dir: std::env::current_dir().unwrap_or_default(),
            times: TaskTimes::default(),
            grace: supervise::grace(&config),
        });
        let slot = Arc::new(Slot::new(0));
        let mut released = Vec::new();
        for left in left {
            let begun = shared.clock.now();
            let name = left.name.clone();
            let done = release(&shared, &slot, &config, &left).await;
            let elapsed = shared.clock.now().saturating_sub(begun);
            let event = RequirementReleased {
                id: left.id,
                reason: done.as_ref().err().cloned(),
                elapsed: u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
            };
            journal.append(
                persea_journal::now(),
                &Event::RequirementReleased(None, &event),
            )?;
            journal.commit()?;
            released.push((name, done));
        }
        if let Some(environment) = slot.take() {
            environment.close().await;
        }
        if released.iter().all(|(_, done)| done.is_ok()) {
            pending.remove(job_dir);
        }
        Ok(released)
    }
}

async fn release(
    shared: &Arc<Shared>,
    slot: &Arc<Slot>,
    config: &Config,
    left: &Left,
) -> Result<(), String> {
    let kind = &left.requirement.kind;
    let resolver = shared.catalog.requirement_resolver(kind).ok_or_else(|| {
        format!("no requirement resolver for the kind `{kind}`; add the plugin that the job had with `persea plugin add FILE`")
    })?;
    resolver.may_undo(shared.spawner.name())?;
    let step = Step {
        name: left.name.clone(),
        directory: task_directory(&left.id),
        id: left.id.clone(),
        requirement: left.requirement.clone(),
        scope: Scope::Job,
        owner: None,
        settings: Arc::new(config.subset(&resolver.settings)),
        resolver: Arc::clone(resolver),
        turn: None,
        stacked: false,
        base: None,
        place: String::new(),
    };
    // Nobody asks for anything, and nobody listens.
    let (_control, control) = watch::channel(Control::default());
    let (messages, _inbox) = mpsc::unbounded_channel();
    let assignment = Assignment {
        slot: Arc::clone(slot),
        in_line: None,
        patient: false,
        state: State::default(),
        spoils: false,
        variables: Vec::new(),
        messages,
    };
    preparer::release(shared, 0, &step, assignment, control, &left.fulfilled).await
}

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
