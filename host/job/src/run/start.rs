//! Owns the start of a job: its directory, the beginning of its journal, and its reports.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dispatch::beginning::{
    record_plan, recorded_settings, revision_of, take_over_data, warning_of_gone,
};
use crate::dispatch::error::JobError;
use crate::dispatch::takeover::{self, Progress};
use crate::execute::limit_means;
use crate::input::own_limits::TaskLimits;
use crate::plan::planner::Plan;
use crate::results::directory::{self, JobDirectory, Section};
use crate::results::running_reports::RunningReports;
use crate::run::{Job, ResumedJob};
use persea_display::JobLog;
use persea_journal::{Event, JobStarted, Journal, Warning};

/// What a job writes to as long as it runs.
pub(super) struct OpenedJob {
    pub(super) directory: JobDirectory,
    pub(super) journal: Journal,
    pub(super) reports: RunningReports,
}

/// What the tasks of a job begin with.
pub(super) struct Beginning {
    /// How far an earlier host has come; none for a new job.
    pub(super) progress: Option<Progress>,
    /// The warnings that the journal has got.
    pub(super) warnings: Vec<Warning>,
    pub(super) limits: TaskLimits,
    /// The section with the directories of requirements.
    pub(super) dependencies: Arc<Section>,
    pub(super) project_dir: PathBuf,
    pub(super) log: JobLog,
}

/// Makes or reopens a job's directory and journal, records the plan, and starts the reports.
///
/// # Errors
/// A limit of a test cannot be kept, or something cannot be written. No report runs then.
pub(super) fn start(job: &mut Job, plan: &Plan) -> Result<(OpenedJob, Beginning), JobError> {
    let limits = TaskLimits::new(&job.config);
    let about_limits = limit_means::check(plan, &limits, &job.spawners)?;
    let mut warnings = std::mem::take(&mut job.warnings);
    warnings.extend(about_limits);
    warnings.extend(warning_of_gone(plan));
    let directory = match &job.resumed {
        None => JobDirectory::create(&job.results_root, &job.id)?,
        Some(resumed) => JobDirectory::reopen(&resumed.directory)?,
    };
    // Without a working directory no process can start. The spawner reports that better.
    let project_dir = std::env::current_dir().unwrap_or_default();
    let dependencies = Section::of_requirements(directory.path());
    protect(job, plan, &directory, &dependencies, &project_dir)?;
    let log = JobLog::new(directory.log()?);
    let (mut journal, progress) = match job.resumed.take() {
        Some(ResumedJob {
            mut journal,
            stored,
            ..
        }) => {
            warnings.retain(|warning| !stored.warnings.contains(warning));
            let progress = takeover::take_over(stored, &directory, &mut journal)?;
            (journal, Some(progress))
        }
        None => (begin_journal(job, plan, &directory, &project_dir)?, None),
    };
    for warning in &warnings {
        journal.record(None, &Event::Warning(Cow::Borrowed(warning)))?;
    }
    let is_taken_over = progress.is_some();
    if !is_taken_over {
        record_plan(&mut journal, plan)?;
    }
    journal.commit()?;
    let (catalog, config) = (&job.catalog, &job.config);
    let reports =
        RunningReports::start(catalog, config, &journal, directory.path(), is_taken_over)?;
    let opened = OpenedJob {
        directory,
        journal,
        reports,
    };
    let beginning = Beginning {
        progress,
        warnings,
        limits,
        dependencies,
        project_dir,
        log,
    };
    Ok((opened, beginning))
}

/// Tells the spawners which parts of the job's directory tests do not see, or only their own.
fn protect(
    job: &mut Job,
    plan: &Plan,
    directory: &JobDirectory,
    dependencies: &Section,
    project_dir: &Path,
) -> Result<(), JobError> {
    let spawners = &mut job.spawners;
    if spawners.any_has_snapshots() {
        let mut made = directory.test_results().restrict_to_owner();
        if !plan.requirements.steps.is_empty() {
            made = made.and_then(|()| dependencies.restrict_to_owner());
        }
        made.map_err(|source| JobError::System {
            what: "make the directories of tests and requirements",
            source,
        })?;
    }
    for path in directory.not_for_tests(project_dir) {
        spawners.hide(&path);
    }
    let running = directory.path().join(directory::RUNNING);
    spawners.set_private_directories(directory.test_results().path(), &running);
    Ok(())
}

/// Makes the journal of a new job, with its first event.
fn begin_journal(
    job: &mut Job,
    plan: &Plan,
    directory: &JobDirectory,
    project_dir: &Path,
) -> Result<Journal, JobError> {
    let mut journal = Journal::create(directory.path())?;
    let (catalog, config) = (&job.catalog, &job.config);
    let command_plugins = std::mem::take(&mut job.command_plugins);
    let take_over = take_over_data(plan, catalog, config, command_plugins);
    let started = JobStarted {
        job_id: job.id.to_string(),
        job_dir: directory.path().to_string_lossy().into_owned(),
        name: directory.name(),
        project_dir: project_dir.to_string_lossy().into_owned(),
        revision: revision_of(project_dir),
        total: plan.entries.len(),
        persea_version: env!("CARGO_PKG_VERSION").to_owned(),
        references: std::mem::take(&mut job.references),
        job_file: job.job_file.take(),
        shuffle_seed: plan.shuffle_seed,
        settings: recorded_settings(catalog, config),
        take_over: Some(Box::new(take_over)),
    };
    journal.record(None, &Event::JobStarted(Cow::Borrowed(&started)))?;
    Ok(journal)
}
