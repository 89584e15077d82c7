//! Owns the step from a job whose host has ended to the same job with this host: nothing of the
//! former host is left, its attempts are recorded as such, and its files are kept. Does not know
//! how the job goes on.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::execute::batch_outputs;
use crate::plan::stored::{StoredJob, missing_end};
use crate::results::directory::JobDirectory;
use crate::results::leftovers::Leftovers;
use persea_journal::{
    AttemptCause, CaseFinished, EnvironmentChanged, EnvironmentPhase, Event, HostRecord,
    JobTakenOver, Journal, JournalError, RemoteId, TaskFinished, now,
};
use persea_model::names::{TEST_RESULTS, task_directory};
use persea_model::{Attributes, Status, Tally, TaskIndex};
use persea_system::process;

/// How long processes of the former host may take to end: 30 s. Their helpers end them at once,
/// and give up on a process that hangs in the kernel after 10 s.
const END_WITHIN: Duration = Duration::from_secs(30);

/// How often the host looks whether they have ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long a helper may take to end its processes after its lease.
const AFTER_LEASE: Duration = Duration::from_secs(1);

/// Why a host cannot take a job over.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// Something of the former host does not end.
    #[error(
        "a process of the host that was killed still runs: {process}, which holds an environment \
         of the spawner `{spawner}`; end it, and resume the job again"
    )]
    Remains {
        /// The process number.
        process: u32,
        /// The spawner.
        spawner: String,
    },
    /// The files that the former host has left cannot be kept.
    #[error("cannot keep the files that the killed host has left in {directory}: {source}")]
    Files {
        /// The job's directory.
        directory: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// This host, as journals have it.
pub(crate) fn this_host() -> HostRecord {
    HostRecord {
        machine: process::machine_name(),
        boot: process::boot_id(),
        process: process::own_number(),
        user: process::own_user(),
        persea_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// An attempt that was under way when the former host ended.
struct OpenAttempt {
    task: usize,
    record: TaskFinished,
}

/// How far a job has come that this host goes on with.
#[derive(Default)]
pub(crate) struct Progress {
    /// The tasks that have their results.
    pub(crate) ended: Vec<(TaskIndex, TaskFinished)>,
    /// The attempts of the other tasks, in order.
    pub(crate) attempts: Vec<(TaskIndex, Vec<TaskFinished>)>,
    pub(crate) tally: Tally,
    pub(crate) elapsed: Duration,
    pub(crate) warnings: usize,
    pub(crate) switches: usize,
    pub(crate) last_environment: usize,
    /// What the display says of the take-over.
    pub(crate) notice: String,
}

/// The environments of the former host that may still live.
pub(crate) struct Remains<'a> {
    stored: &'a StoredJob,
    /// When the former host had ended for certain.
    since: Instant,
}

impl<'a> Remains<'a> {
    /// The former host has ended by now.
    pub(crate) fn new(stored: &'a StoredJob, since: Instant) -> Self {
        Self { stored, since }
    }

    fn ids(&self) -> impl Iterator<Item = (&EnvironmentChanged<'static>, &RemoteId)> {
        let all = self.stored.environments.values();
        all.map(|environment| (environment, &*environment.remote_id))
    }

    /// Whether this machine has not been started anew since the former host began.
    fn is_same_start(&self) -> bool {
        self.stored.host.boot == process::boot_id()
    }

    /// How long it takes until every lease is over: their helpers may be out of reach, and nothing
    /// else tells that they have ended.
    pub(crate) fn leases(&self) -> Duration {
        let leases = self.ids().filter_map(|(_, id)| id.lease);
        let Some(longest) = leases.max().map(Duration::from_nanos) else {
            return Duration::ZERO;
        };
        let mut gone = self.since.elapsed();
        if self.stored.host.machine == process::machine_name() && !self.is_same_start() {
            // The former host ended at the latest when this machine was started.
            gone = gone.max(process::uptime());
        }
        (longest + AFTER_LEASE).saturating_sub(gone)
    }

    /// Waits until nothing is left of the former host.
    ///
    /// # Errors
    /// A process of it does not end.
    pub(crate) async fn end(&self) -> Result<(), TakeOverError> {
        let deadline = Instant::now() + END_WITHIN;
        if self.is_same_start() {
            for (environment, id) in self.ids() {
                let (Some(number), Some(start)) = (id.process, id.process_start) else {
                    continue;
                };
                while process::start_of(number) == Some(start) {
                    if Instant::now() > deadline {
                        return Err(TakeOverError::Remains {
                            process: number,
                            spawner: environment.spawner.clone().into_owned(),
                        });
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
        tokio::time::sleep(self.leases()).await;
        Ok(())
    }
}

/// Keeps the files of attempts that have no result under other names, and removes what is left of
/// tests that have left nothing.
fn set_aside(directory: &JobDirectory, stored: &StoredJob) -> std::io::Result<Vec<OpenAttempt>> {
    let open = stored.tasks.iter().filter(|task| task.end.is_none());
    let open: HashSet<String> = open.map(|task| task_directory(&task.id)).collect();
    let left = Leftovers::gather(directory, |name| open.contains(name))?;
    batch_outputs::number_after(left.last_batch());
    let mut attempts = Vec::new();
    for (index, task) in stored.tasks.iter().enumerate() {
        let name = task_directory(&task.id);
        let exists = left.has(&name);
        if let Some(end) = &task.end {
            if exists && !end.has_directory {
                left.remove_empty(directory, &name)?;
            }
            continue;
        }
        let was_empty = exists && left.remove_empty(directory, &name)?;
        let has_output = exists && !was_empty;
        let mut record = match task.open_attempt() {
            Some(record) => record,
            // A queued task that has run, while the host ended before its start was recorded.
            None if has_output => {
                let reason = crate::plan::stored::HOST_ENDED;
                let mut record = missing_end(&task.id, &task.planned, None, reason);
                record.attempts = task.attempts_before() + 1;
                record.cause = Some(AttemptCause::JobTakenOver);
                record
            }
            None => continue,
        };
        let aside = format!("{name}.attempt-{}", record.attempts);
        if has_output {
            directory.set_aside(&name, &aside);
        }
        // A host that was killed while it took the job over may have renamed it.
        record.has_directory = has_output || left.has(&aside);
        record.directory = match record.has_directory {
            true => format!("{TEST_RESULTS}/{aside}"),
            false => format!("{TEST_RESULTS}/{name}"),
        };
        attempts.push(OpenAttempt {
            task: index,
            record,
        });
    }
    Ok(attempts)
}

/// Takes a job over from a host of which nothing is left: records that, and the attempts that end
/// with it.
///
/// # Errors
/// The job's files or its journal cannot be changed.
pub(crate) fn take_over(
    stored: StoredJob,
    directory: &JobDirectory,
    journal: &mut Journal,
) -> Result<Progress, TakeOverError> {
    let aside = set_aside(directory, &stored);
    let attempts = aside.map_err(|source| TakeOverError::Files {
        directory: directory.path().display().to_string(),
        source,
    })?;
    let open = stored.open();
    let taken = JobTakenOver {
        host: this_host(),
        kept: stored.tasks.len() - open,
        again: attempts.len(),
        left: open.saturating_sub(attempts.len()),
    };
    let notice = format!(
        "Resuming the job: {} of {} tests keep their results; {} run again, {} have not been \
         started.",
        taken.kept,
        stored.tasks.len(),
        taken.again,
        taken.left
    );
    journal.record(None, &Event::JobTakenOver(Cow::Owned(taken)))?;
    for environment in stored.environments.values() {
        let lost = EnvironmentChanged {
            state: EnvironmentPhase::Lost,
            reason: Some("its host has ended".into()),
            remote_id: Cow::Owned(RemoteId::default()),
            ..environment.clone()
        };
        journal.record(None, &Event::EnvironmentChanged(Cow::Owned(lost)))?;
    }
    let mut progress = Progress {
        ended: Vec::new(),
        attempts: Vec::new(),
        tally: Tally::default(),
        elapsed: stored.elapsed,
        warnings: stored.warnings_while_running(),
        switches: stored.switches,
        last_environment: stored.last_environment,
        notice,
    };
    let mut attempts = attempts.into_iter().peekable();
    for (index, mut task) in stored.tasks.into_iter().enumerate() {
        if let Some(OpenAttempt { record, .. }) = attempts.next_if(|it| it.task == index) {
            for path in std::mem::take(&mut task.open_cases) {
                let case = CaseFinished {
                    path: path.into(),
                    status: Status::Error,
                    elapsed: None,
                    reason: Some(crate::plan::stored::HOST_ENDED.into()),
                    more: Cow::Owned(Attributes::new()),
                };
                let event = Event::CaseFinished(Cow::Owned(case));
                journal.append(now(), Some(&task.id), &event)?;
            }
            let event = Event::TaskRetried(Cow::Borrowed(&record));
            journal.record(Some(&task.id), &event)?;
            task.attempts.push(record);
        }
        let index = TaskIndex(index);
        match task.end {
            Some(end) => {
                progress.tally.add(end.status);
                progress.ended.push((index, end));
            }
            None if !task.attempts.is_empty() => progress.attempts.push((index, task.attempts)),
            None => {}
        }
    }
    journal.commit()?;
    Ok(progress)
}
