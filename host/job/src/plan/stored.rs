//! Owns what the journal of a job says about its plan and how far it has come, and makes the same
//! plan of it again. Does not know how the job goes on.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::input::own_spawner;
use crate::input::provenance::Provenance;
use crate::plan::entry::{PlanEntry, owner};
use crate::plan::fate::Fates;
use crate::plan::planner::{Plan, complete};
use crate::plan::records::ChangedPlugin;
use persea_config::Config;
use persea_journal::{
    AttemptCause, CaseFinished, EnvironmentChanged, Event, EventKind, HostRecord, JobFinished,
    JobStarted, JournalError, Reader, Record, TaskEnvironment, TaskFinished, TaskPlanned, Warning,
    WarningCause,
};
use persea_model::names::{TEST_RESULTS, task_directory};
use persea_model::{Attributes, Outcome, SpawnerKind, Status, Task, TaskIndex};
use persea_plugin::Catalog;

/// The reason of an attempt that ended with its host.
pub(crate) const HOST_ENDED: &str = "the host ended before it";

/// Why a job cannot be resumed.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The journal cannot be read, written or locked.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The host ended before the whole plan was written.
    #[error(
        "the job has not begun: its host ended before the journal had the whole plan, and no test \
         has run"
    )]
    NotBegun,
    /// The journal is that of an older host, and does not have what is needed.
    #[error("the journal is that of an older Persea, {version}, and does not have what it takes")]
    OldJournal {
        /// The version.
        version: String,
    },
    /// Every task has its result.
    #[error("nothing to resume: the job has ended with a result for every test ({total} in all)")]
    Whole {
        /// The number of tests.
        total: usize,
    },
    /// The job was run by another version of Persea.
    #[error("the job was run by Persea {before}, and this is Persea {now}")]
    Version {
        /// The version that has run the job.
        before: String,
        /// The version of this host.
        now: &'static str,
    },
    /// A plugin has changed.
    #[error(transparent)]
    Plugin(#[from] ChangedPlugin),
}

/// A task as the journal has it.
#[derive(Debug)]
pub(crate) struct StoredTask {
    pub(crate) id: String,
    pub(crate) planned: TaskPlanned<'static>,
    /// The result.
    pub(crate) end: Option<TaskFinished>,
    /// The end that is no result, because the job was stopped.
    pub(crate) cut_short: Option<TaskFinished>,
    /// The earlier attempts.
    pub(crate) attempts: Vec<TaskFinished>,
    /// When the present attempt was started, in nanoseconds of Unix time.
    pub(crate) started: Option<u64>,
    /// The environment of the present attempt; none for this machine itself.
    pub(crate) environment: Option<TaskEnvironment<'static>>,
    /// The paths of the cases that run.
    pub(crate) open_cases: Vec<Vec<String>>,
}

impl StoredTask {
    /// The number of attempts that have ended.
    pub(crate) fn attempts_before(&self) -> usize {
        self.attempts.last().map_or(0, |last| last.attempts)
    }

    /// The attempt that has no result because its host ended or was stopped. None if no attempt
    /// was under way.
    pub(crate) fn open_attempt(&self) -> Option<TaskFinished> {
        let before = self.attempts_before();
        let mut attempt = match (&self.end, &self.cut_short, self.started) {
            (Some(_), ..) => return None,
            (None, Some(end), _) if end.started.is_some() => end.clone(),
            (None, Some(_), _) | (None, None, None) => return None,
            (None, None, started @ Some(_)) => TaskFinished {
                environment: self.environment.clone(),
                ..missing_end(&self.id, &self.planned, started, HOST_ENDED)
            },
        };
        let number = attempt.attempts.max(before + 1);
        // A task that waited for another attempt has ended with the last one.
        if self.cut_short.is_some() && attempt.attempts.max(1) == before {
            return None;
        }
        attempt.attempts = number;
        attempt.cause = Some(AttemptCause::JobTakenOver);
        attempt.cut_short = false;
        attempt.flaky = false;
        Some(attempt)
    }
}

/// A job as its journal has it.
#[derive(Debug)]
pub struct StoredJob {
    pub(crate) started: JobStarted,
    pub(crate) tasks: Vec<StoredTask>,
    /// The host that has run the job last.
    pub(crate) host: HostRecord,
    /// By number: the environments that have not ended.
    pub(crate) environments: BTreeMap<usize, EnvironmentChanged<'static>>,
    /// The largest number of an environment.
    pub(crate) last_environment: usize,
    pub(crate) warnings: Vec<Warning>,
    /// The end of the job, if it has one.
    pub(crate) finished: Option<JobFinished>,
    /// How long the job has taken so far.
    pub(crate) elapsed: Duration,
    /// How often environments were switched to another state by hosts that have ended.
    pub(crate) switches: usize,
}

/// The time that the hosts of a job have worked on it.
#[derive(Default)]
struct WorkTime {
    begun: u64,
    last: u64,
    paused_at: Option<u64>,
    paused: u64,
    before: u64,
}

impl WorkTime {
    fn see(&mut self, time: u64) {
        self.last = self.last.max(time);
    }

    /// Another host begins.
    fn begin(&mut self, time: u64) {
        self.before = self.total();
        (self.begun, self.last) = (time, time);
        (self.paused_at, self.paused) = (None, 0);
    }

    fn resume(&mut self, time: u64) {
        if let Some(at) = self.paused_at.take() {
            self.paused += time.saturating_sub(at);
        }
    }

    fn total(&self) -> u64 {
        let end = self.paused_at.unwrap_or(self.last);
        let worked = end.saturating_sub(self.begun).saturating_sub(self.paused);
        self.before + worked
    }
}

/// The events that say how far a job has come.
const EVENTS: &[EventKind] = &[
    EventKind::TaskPlanned,
    EventKind::TaskStarted,
    EventKind::CaseStarted,
    EventKind::CaseFinished,
    EventKind::TaskRetried,
    EventKind::TaskFinished,
    EventKind::RequirementFinished,
    EventKind::EnvironmentChanged,
    EventKind::Warning,
    EventKind::JobPaused,
    EventKind::JobResumed,
    EventKind::JobTakenOver,
    EventKind::JobFinished,
];

impl StoredJob {
    /// Reads the journal in a job's directory.
    ///
    /// # Errors
    /// The journal cannot be read, or it does not have the whole plan.
    pub fn read(job_dir: &Path) -> Result<Self, ResumeError> {
        // With ends that count no longer: a host that was killed while it took the job over has
        // perhaps not recorded the attempts that belong to them.
        let mut reader = Reader::open_whole(job_dir)?;
        let begin = reader.next_event(&[EventKind::JobStarted])?;
        let Some(Record {
            time,
            event: Event::JobStarted(started),
            ..
        }) = begin
        else {
            return Err(ResumeError::NotBegun);
        };
        let started = started.into_owned();
        let Some(take_over) = &started.take_over else {
            return Err(ResumeError::OldJournal {
                version: started.persea_version,
            });
        };
        let mut job = Self {
            host: take_over.host.clone(),
            started,
            tasks: Vec::new(),
            environments: BTreeMap::new(),
            last_environment: 0,
            warnings: Vec::new(),
            finished: None,
            elapsed: Duration::ZERO,
            switches: 0,
        };
        let mut work = WorkTime::default();
        work.begin(time);
        let mut places: HashMap<String, usize> = HashMap::new();
        while let Some(record) = reader.next_event(EVENTS)? {
            // The time without a host does not count.
            if !matches!(record.event, Event::JobTakenOver(_)) {
                work.see(record.time);
            }
            job.add(record, &mut places, &mut work);
        }
        job.elapsed = Duration::from_nanos(work.total());
        let is_planned = (1..).zip(&job.tasks).all(|(n, it)| it.planned.index == n);
        if job.tasks.len() != job.started.total || !is_planned {
            return Err(ResumeError::NotBegun);
        }
        Ok(job)
    }

    fn add(&mut self, record: Record, places: &mut HashMap<String, usize>, work: &mut WorkTime) {
        let Record { time, task, event } = record;
        let place = task.as_ref().and_then(|task| places.get(task)).copied();
        match (event, task) {
            (Event::TaskPlanned(planned), Some(id)) => {
                places.insert(id.clone(), self.tasks.len());
                self.tasks.push(StoredTask {
                    id,
                    planned: planned.into_owned(),
                    end: None,
                    cut_short: None,
                    attempts: Vec::new(),
                    started: None,
                    environment: None,
                    open_cases: Vec::new(),
                });
            }
            (Event::EnvironmentChanged(changed), _) => {
                let number = changed.environment;
                self.last_environment = self.last_environment.max(number);
                if changed.state.is_last() {
                    self.environments.remove(&number);
                } else {
                    self.environments.insert(number, changed.into_owned());
                }
            }
            (Event::Warning(warning), _) => self.warnings.push(warning.into_owned()),
            (Event::JobPaused(_), _) => work.paused_at = Some(time),
            (Event::JobResumed(_), _) => work.resume(time),
            (Event::JobTakenOver(taken), _) => {
                self.host = taken.into_owned().host;
                self.finished = None;
                work.begin(time);
            }
            (Event::JobFinished(finished), _) => {
                self.switches = finished.switches;
                self.finished = Some(finished.into_owned());
            }
            (event, _) => {
                if let Some(task) = place.and_then(|place| self.tasks.get_mut(place)) {
                    task.add(time, event);
                }
            }
        }
    }

    /// The number of tasks without a result.
    pub(crate) fn open(&self) -> usize {
        self.tasks.iter().filter(|task| task.end.is_none()).count()
    }

    /// Whether a task has no result.
    pub(crate) fn is_open(&self, task: TaskIndex) -> bool {
        self.tasks
            .get(task.0)
            .is_some_and(|task| task.end.is_none())
    }

    /// The spawners of all tests, at least one: those without a result will run again, and
    /// requirements of the others may be left to release.
    pub fn spawners(&self, config: &Config) -> Vec<SpawnerKind> {
        let runnables = self.tasks.iter().map(|task| &*task.planned.runnable);
        own_spawner::spawners_of_runnables(runnables, config)
    }

    /// The number of warnings while the tasks ran.
    pub(crate) fn warnings_while_running(&self) -> usize {
        let is_late = |warning: &&Warning| match warning.cause {
            WarningCause::Scheduler | WarningCause::Host => true,
            WarningCause::Incomplete
            | WarningCause::ResolverError
            | WarningCause::Unreadable
            | WarningCause::Limit
            | WarningCause::FailedTestGone => false,
        };
        self.warnings.iter().filter(is_late).count()
    }

    /// The beginning of the journal.
    pub fn started(&self) -> &JobStarted {
        &self.started
    }

    /// The host that has run the job last.
    pub fn host(&self) -> &HostRecord {
        &self.host
    }

    /// Checks that this host can go on with the job, as far as that is known without its plugins.
    ///
    /// # Errors
    /// The job has ended, or another version of Persea has run it.
    pub fn check(&self, version: &'static str) -> Result<(), ResumeError> {
        if self.finished.is_some() && self.open() == 0 {
            let total = self.tasks.len();
            return Err(ResumeError::Whole { total });
        }
        if self.started.persea_version != version {
            return Err(ResumeError::Version {
                before: self.started.persea_version.clone(),
                now: version,
            });
        }
        Ok(())
    }

    /// The plan with which the job began.
    ///
    /// # Errors
    /// A plugin that has made a task is missing now.
    pub(crate) fn plan(&self, catalog: &Catalog, config: &Config) -> Result<Plan, ResumeError> {
        let mut fates = Fates::new(catalog, config);
        let mut entries = Vec::with_capacity(self.tasks.len());
        for (index, stored) in self.tasks.iter().enumerate() {
            let planned = &stored.planned;
            let runnable = Arc::new(planned.runnable.clone().into_owned());
            let made_by = planned.made_by.as_deref();
            let provenance = match made_by {
                None => Provenance::default(),
                Some(record) => Provenance::of_record(record, catalog)
                    .map_err(|id| ChangedPlugin::missing(&id))?,
            };
            let name: Arc<str> = planned.name.as_deref().unwrap_or(&stored.id).into();
            let task = Task {
                index: TaskIndex(index),
                id: stored.id.as_str().into(),
                title: match planned.title.as_deref() {
                    Some(title) => title.into(),
                    None => Arc::clone(&name),
                },
                name,
                directory: task_directory(&stored.id).into(),
                runnable,
            };
            let known_result = planned.known_result.clone().map(Box::new);
            let ended = known_result.as_ref().map(|known| {
                Box::new(Outcome {
                    status: known.status,
                    reason: known.reason.clone(),
                    more: Attributes::new(),
                })
            });
            let spawner = fates.spawner(&task.runnable);
            let restrictions = provenance.restrictions(config, spawner);
            let fate = fates.of(&task, ended, restrictions.as_deref());
            entries.push(PlanEntry {
                spawner,
                owner: owner(&fate, provenance.digests()),
                task,
                fate,
                made_by: made_by.cloned().map(Arc::new),
                known_result,
            });
        }
        Ok(complete(
            entries,
            catalog,
            config,
            self.started.shuffle_seed,
        ))
    }
}

impl StoredTask {
    fn add(&mut self, time: u64, event: Event<'static>) {
        match event {
            Event::TaskStarted(started) => {
                self.started = Some(time);
                self.environment = started.into_owned().environment;
                self.cut_short = None;
                self.open_cases.clear();
            }
            Event::CaseStarted(case) => self.open_cases.push(case.into_owned().path.into_owned()),
            Event::CaseFinished(case) => {
                let CaseFinished { path, .. } = &*case;
                self.open_cases.retain(|open| *open != **path);
            }
            Event::TaskRetried(attempt) => {
                self.attempts.push(attempt.into_owned());
                self.started = None;
                self.cut_short = None;
                self.open_cases.clear();
            }
            Event::TaskFinished(end) => {
                let end = end.into_owned();
                match end.cut_short {
                    true => self.cut_short = Some(end),
                    false => (self.end, self.cut_short) = (Some(end), None),
                }
                self.started = None;
                self.open_cases.clear();
            }
            _ => {}
        }
    }
}

/// The end of a task for which the journal has none.
pub(crate) fn missing_end(
    id: &str,
    planned: &TaskPlanned<'_>,
    started: Option<u64>,
    reason: &str,
) -> TaskFinished {
    let runnable = &planned.runnable;
    let of_runnable = || runnable.identifier.clone().or(runnable.uri.clone());
    let name = planned.name.as_ref().map(|name| name.clone().into_owned());
    // Cases of an attempt that never ended count for nothing.
    TaskFinished {
        title: planned.title.clone().map(Cow::into_owned),
        reason: Some(reason.to_owned()),
        started,
        ..TaskFinished::new(
            planned.index,
            name.or_else(of_runnable).unwrap_or(id.to_owned()),
            runnable,
            Status::Error,
            format!("{TEST_RESULTS}/{}", task_directory(id)),
        )
    }
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
