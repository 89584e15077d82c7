//! Owns a job from its references to its reports, a room for each step: input, plan, dispatch,
//! execute, results, undo. Does not know the command line, nor how plugins and processes are run.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod dispatch;
mod execute;
mod input;
mod listing;
mod plan;
mod results;
mod undo;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use dispatch::beginning::CommandPlugins;
pub use dispatch::error::JobError;
pub use execute::control::Signals;
pub use input::job_file::{JobFile, JobFileError};
pub use input::own_spawner::{SpawnerChoice, spawners_of};
pub use input::resolve::{Answer, Resolutions, Resolved, TestLister, TypedBy, resolve};
pub use input::schema::{job_file_schema, recipe_schema};
pub use input::variants::VariantsError;
pub use listing::{ListingPlace, OpenPlace, OpenedPlace, TestListing};
pub use plan::again::FailedTests;
pub use plan::export::GraphExport;
pub use plan::graph::GraphError;
pub use plan::partition::Partition;
pub use plan::records::ChangedPlugin;
pub use plan::selection::{Selection, filter_answers};
pub use plan::stored::{ResumeError, StoredJob};
pub use results::directory::{DirectoryError, JobDirectory, default_results, find, results_root};
pub use results::report::{
    ReportDestination, ReportError, ReportOrder, make as make_report, orders,
};
pub use undo::release::begin;
pub use undo::release::{
    JobRelease, ReleaseResult, UnreleasedRequirement, places_of, project_of, unreleased_of,
};
pub use undo::unreleased::UnreleasedJobs;

use dispatch::beginning::{
    check_selection, record_plan, recorded_settings, same_plan, take_over_data, warning_of_gone,
};
use dispatch::dispatcher::{self, Policy};
use dispatch::slots;
use dispatch::takeover::{self, Remains};
use execute::context::{ExecutionContext, JobContext};
use execute::limit_means;
use execute::{clock, control, supervise};
use input::{own_limits, own_settings};
use persea_config::Config;
use persea_config::settings;
use persea_display as display;
use persea_display::{JobBegin, JobLog, Screen};
use persea_journal::{Event, JobFinished, JobStarted, Journal, Warning, WarningCause};
use persea_model::{JobId, SpawnerKind, Tally};
use persea_plugin::Catalog;
use persea_spawner::{Spawners, descriptor};
use plan::planner::{self, Plan};
use plan::slot_pools::{self, SlotPools};
use plan::{graph, history};
use results::directory;
use results::running_reports::RunningReports;

/// The job of a host that has ended, to be resumed.
pub struct ResumedJob {
    /// The job's directory: an absolute path without links.
    pub directory: PathBuf,
    /// The job's journal, which keeps other hosts out.
    pub journal: Journal,
    /// What the journal says.
    pub stored: StoredJob,
    /// When the former host had ended for certain.
    pub since: Instant,
}

/// A job to be run.
pub struct Job {
    /// The job's id.
    pub id: JobId,
    /// The settings.
    pub config: Arc<Config>,
    /// The plugins.
    pub catalog: Arc<Catalog>,
    /// The spawners of the tests' processes: those of [`spawners_of`].
    pub spawners: Spawners,
    /// The references, as the user gave them.
    pub references: Vec<String>,
    /// The job file that is the only reference, if the job has one.
    pub job_file: Option<String>,
    /// What the references were resolved to.
    pub resolved: Vec<Resolved>,
    /// The job of a host that has ended, which goes on with its own plan; none for a new job.
    pub resumed: Option<ResumedJob>,
    /// The plugins of the command line.
    pub command_plugins: CommandPlugins,
    /// Which of the resolved tests run.
    pub selection: Selection,
    /// Warnings about the references, for the journal and the reports.
    pub warnings: Vec<Warning>,
    /// Where the directories of jobs are made.
    pub results_root: PathBuf,
    /// The list of jobs that may have requirements to release.
    pub unreleased_jobs: UnreleasedJobs,
    /// The signals that end or pause the job, handled since before the first temporary file was
    /// made.
    pub signals: Signals,
}

/// The results of a job that has ended.
#[derive(Debug)]
pub struct Summary {
    /// The number of tasks by status.
    pub tally: Tally,
    /// The job's directory.
    pub directory: PathBuf,
    /// The job's duration, without the time for which it was paused.
    pub elapsed: Duration,
    /// The number of tasks that passed only after a retry.
    pub flaky: usize,
    /// The number of times that a slot's environment was replaced by one in another state.
    pub switches: usize,
    /// The number of tasks that were started.
    pub ran: usize,
    /// The number of warnings while the job ran.
    pub warnings: usize,
    /// Whether a signal, the job's timeout or a lost journal stopped the job.
    pub interrupted: bool,
    /// Whether tests have no result of their own because the job was stopped, so that it can be
    /// resumed.
    pub is_cut_short: bool,
    /// The requirements that could not be released, and why.
    pub unreleased: Vec<(String, String)>,
    /// The reports that could not be made.
    pub failed_reports: Vec<ReportError>,
}

/// The most plugin instances that a job needs at once, as configured: one for each running or
/// queued task, one for each requirement slot, and a reserve for resolvers and result formats.
/// Which tests there are is not known yet, so all hosts that are configured count.
pub fn instances(config: &Config) -> u32 {
    let own = config.get(settings::RUN_SPAWNER);
    let is_remote = |kind: &SpawnerKind| {
        let descriptor = descriptor(*kind);
        let has_hosts = || (descriptor.slots)(config).is_some_and(|slots| slots > 0);
        *kind != own && descriptor.is_remote && has_hosts()
    };
    let remote = SpawnerKind::ALL.into_iter().filter(is_remote);
    let slots: usize = remote.chain([own]).map(|it| parallel(it, config)).sum();
    let all = slots.saturating_mul(slots::MAX_TASKS_IN_SLOT + 1) + 64;
    u32::try_from(all).unwrap_or(u32::MAX).min(MOST_INSTANCES)
}

/// Loads the requirement resolvers if any runnable has requirements.
pub async fn load_requirement_resolvers(catalog: &Catalog, resolved: &[Resolved]) {
    let some = resolved.iter().any(|resolved| match &resolved.answer {
        Answer::Found { runnables, .. } => runnables.iter().any(|it| !it.requirements.is_empty()),
        _ => false,
    });
    if some {
        catalog.load_requirement_resolvers().await;
    }
}

/// The most plugin instances at once: each reserves address space, which is limited.
const MOST_INSTANCES: u32 = 9_000;

/// The number of tasks with a spawner that a job runs at once, as configured.
pub fn parallel(spawner: SpawnerKind, config: &Config) -> usize {
    slot_pools::slots_of(spawner, config)
}

impl Job {
    /// Runs the job from its plan to its reports.
    pub async fn run(self, screen: &mut Screen) -> Result<Summary, JobError> {
        let Self {
            id,
            config,
            catalog,
            mut spawners,
            references,
            job_file,
            resolved,
            resumed,
            command_plugins,
            selection,
            mut warnings,
            results_root,
            unreleased_jobs,
            mut signals,
        } = self;
        let remains = resumed.as_ref();
        let remains = remains.map(|resumed| Remains::new(&resumed.stored, resumed.since));
        let leases = remains.as_ref().map(Remains::leases).unwrap_or_default();
        if !leases.is_zero() {
            screen.notice(&format!(
                "Waiting up to {} s until tests of the killed host have ended on other machines \
                 (the lease of their helpers).",
                leases.as_secs() + 1
            ));
        }
        let mut waits = spawners.waits();
        // Compiling plugins may take seconds; Ctrl-C does not wait for it.
        let prepared = async {
            let plan = match &resumed {
                None => {
                    load_requirement_resolvers(&catalog, &resolved).await;
                    planner::plan(resolved, &catalog, &config, &results_root, &selection)
                }
                Some(resumed) => same_plan(&resumed.stored, &catalog, &config).await?,
            };
            check_selection(&plan, &selection, &config)?;
            let graph = plan.graph(&config)?;
            let open = || {
                let stored = resumed.as_ref().map(|resumed| &resumed.stored);
                plan.entries
                    .iter()
                    .filter(move |it| stored.is_none_or(|job| job.is_open(it.task.index)))
            };
            let pools = SlotPools::new(open(), &config);
            let starting = open().filter(|entry| entry.starts_processes());
            let kinds: BTreeSet<SpawnerKind> = starting.map(|entry| entry.spawner).collect();
            for kind in kinds {
                let slots = pools.slots(kind);
                spawners.set_first_slot(kind, slots.map_or(0, |slots| slots.first));
                let count = slots.map_or(0, |slots| slots.count);
                spawners.prepare(kind, count).await?;
            }
            let planned = (&plan, &graph, pools.at_once);
            let policy = policy(&catalog, &config, planned, &results_root).await?;
            if let Some(remains) = remains {
                remains.end().await?;
            }
            Ok((Arc::new(plan), graph, pools, policy))
        };
        let prepared = {
            let mut preparing = std::pin::pin!(prepared);
            loop {
                tokio::select! {
                    biased;
                    () = signals.end() => break Err(JobError::Interrupted),
                    prepared = &mut preparing => break prepared,
                    line = waits.next() => screen.notice(&line),
                }
            }
        };
        let (plan, graph, pools, policy) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                // It may have been prepared already.
                spawners.close().await;
                return Err(error);
            }
        };
        let total = plan.entries.len();
        let limits = own_limits::TaskLimits::new(&config);
        let about_limits = limit_means::check(&plan, &limits, &spawners)?;
        warnings.extend(about_limits);
        warnings.extend(warning_of_gone(&plan));
        let directory = match &resumed {
            None => JobDirectory::create(&results_root, &id)?,
            Some(resumed) => JobDirectory::reopen(&resumed.directory)?,
        };
        let dependencies = directory::Section::of_requirements(directory.path());
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
        // Without a working directory no process can start. The spawner reports that better.
        let project_dir = std::env::current_dir().unwrap_or_default();
        for path in directory.not_for_tests(&project_dir) {
            spawners.hide(&path);
        }
        let running = directory.path().join(directory::RUNNING);
        spawners.set_private_directories(directory.test_results().path(), &running);
        let log = JobLog::new(directory.log()?);
        let is_taken_over = resumed.is_some();
        let (mut journal, progress) = match resumed {
            Some(ResumedJob {
                mut journal,
                stored,
                ..
            }) => {
                warnings.retain(|warning| !stored.warnings.contains(warning));
                let progress = takeover::take_over(stored, &directory, &mut journal)?;
                (journal, Some(progress))
            }
            None => {
                let mut journal = Journal::create(directory.path())?;
                let started = JobStarted {
                    job_id: id.to_string(),
                    job_dir: directory.path().to_string_lossy().into_owned(),
                    name: directory.name(),
                    project_dir: project_dir.to_string_lossy().into_owned(),
                    total,
                    persea_version: env!("CARGO_PKG_VERSION").to_owned(),
                    references,
                    job_file,
                    shuffle_seed: plan.shuffle_seed,
                    settings: recorded_settings(&catalog, &config),
                    take_over: Some(Box::new(take_over_data(
                        &plan,
                        &catalog,
                        &config,
                        command_plugins,
                    ))),
                };
                journal.record(None, &Event::JobStarted(Cow::Borrowed(&started)))?;
                (journal, None)
            }
        };
        for warning in &warnings {
            journal.record(None, &Event::Warning(Cow::Borrowed(warning)))?;
        }
        if !is_taken_over {
            record_plan(&mut journal, &plan)?;
        }
        journal.commit()?;
        let reports =
            RunningReports::start(&catalog, &config, &journal, directory.path(), is_taken_over)?;
        // Also where the job fails: the threads of the reports use the runtime until they end.
        let ended: Result<_, JobError> = async {
            screen.begin(JobBegin {
                id: id.clone(),
                directory: directory.path().to_path_buf(),
                total,
                shuffle_seed: plan.shuffle_seed,
                view: Arc::new(directory::PlanView {
                    plan: Arc::clone(&plan),
                    test_results: Arc::clone(directory.test_results()),
                }),
                log,
            });
            screen.log(format!(
                "persea {} runs {total} tasks; job {id}",
                env!("CARGO_PKG_VERSION")
            ));
            if let Some(progress) = &progress {
                screen.notice(&progress.notice);
                screen.log(progress.notice.clone());
            }
            for line in spawners.notices() {
                screen.notice(&line);
                screen.log(line);
            }
            if let Some(unfiltered) = plan.unfiltered {
                let line = format!("The filters leave {total} of {unfiltered} tests.");
                screen.notice(&line);
                screen.log(line);
            }
            for (reason, tasks) in plan.refusals() {
                let tests = if tasks == 1 { "test" } else { "tests" };
                let line = format!("{tasks} {tests} cannot run: {reason}");
                screen.notice(&line);
                screen.log(line);
            }
            for warning in &warnings {
                let line = format!("warning: {warning}");
                match warning.cause {
                    WarningCause::Limit | WarningCause::FailedTestGone => screen.notice(&line),
                    // They were shown when the references were resolved.
                    WarningCause::Incomplete
                    | WarningCause::ResolverError
                    | WarningCause::Unreadable => {}
                    // They come later.
                    WarningCause::Scheduler | WarningCause::Host => {}
                }
                screen.log(line);
            }

            let execution = Arc::new(ExecutionContext {
                spawners,
                clock: Arc::new(clock::Clock::new()),
                dependencies,
                project_dir,
                grace: supervise::grace(&config),
            });
            let clock = Arc::clone(&execution.clock);
            let mut not_released = Vec::new();
            if is_taken_over {
                let left = undo::release::unreleased_of(directory.path())?;
                let plugins = (&*catalog, &*config);
                let released = undo::release::release_all(&execution, plugins, &mut journal, left);
                let released = tokio::select! {
                    biased;
                    () = signals.end() => {
                        execution.spawners.close().await;
                        return Err(JobError::Interrupted);
                    }
                    released = released => released?,
                };
                for (name, done) in released {
                    match done {
                        Ok(()) => screen.log(format!("requirement {name}: released")),
                        Err(why) => not_released.push((name, why)),
                    }
                }
            }
            let context = JobContext {
                execution,
                id,
                catalog,
                has_batches: config.get(settings::RUN_BATCHES),
                shows_cases: screen.shows_cases(),
                test_results: Arc::clone(directory.test_results()),
                times: own_settings::TaskTimes::new(&config),
                limits,
            };
            let timeout = config.get(settings::JOB_RUN_TIMEOUT);
            let mut dispatcher = dispatcher::Dispatcher {
                context: Arc::new(context),
                plan,
                config: &config,
                directory: &directory,
                journal: &mut journal,
                screen,
                unreleased_jobs: &unreleased_jobs,
                pools,
                timeout,
                progress,
            };
            let ran = dispatcher.run(graph, policy, &mut signals).await;
            if ran.as_ref().map_or(true, |totals| totals.interrupted) {
                display::hurry();
            }
            tokio::spawn(until_hurried(signals, clock, timeout));
            let mut totals = ran?;
            if !not_released.is_empty() {
                if let Err(error) = unreleased_jobs.add(directory.path()) {
                    tracing::warn!("later runs will not mention what is left to release: {error}");
                }
                totals.unreleased.append(&mut not_released);
            }

            let finished = JobFinished {
                tally: totals.tally,
                total,
                elapsed: u64::try_from(totals.elapsed.as_nanos()).unwrap_or(u64::MAX),
                interrupted_by: totals.stopped.map(str::to_owned),
                switches: totals.switches,
            };
            journal.record(None, &Event::JobFinished(Cow::Borrowed(&finished)))?;
            journal.finish()?;
            Ok(totals)
        }
        .await;
        if ended.is_err() {
            display::hurry();
        }
        // Reports end when the journal's writer is closed.
        drop(journal);
        // Runs beside the reports, because a file system may take long to remove a directory.
        let test_results = Arc::clone(directory.test_results());
        let tidying = tokio::task::spawn_blocking(move || test_results.tidy());
        let failed_reports = reports.end().await;
        let _ = tidying.await;
        let totals = match ended {
            Ok(totals) => totals,
            Err(error) => {
                for report in failed_reports {
                    screen.log(format!("error: {report}"));
                }
                return Err(error);
            }
        };
        screen.log("the job has ended".to_owned());
        Ok(Summary {
            tally: totals.tally,
            directory: directory.path().to_path_buf(),
            elapsed: totals.elapsed,
            flaky: totals.flaky,
            switches: totals.switches,
            ran: totals.ran,
            warnings: totals.warnings,
            interrupted: totals.interrupted,
            is_cut_short: totals.is_cut_short,
            unreleased: totals.unreleased,
            failed_reports,
        })
    }
}

/// Stops waiting for slow readers of reports and of the display at a signal or at the job's
/// timeout.
async fn until_hurried(
    mut signals: control::Signals,
    clock: Arc<clock::Clock>,
    timeout: Option<Duration>,
) {
    let time_is_up = async {
        match timeout {
            Some(timeout) => clock.until(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = time_is_up => {}
        () = signals.end() => {}
    }
    display::hurry();
}

/// Instantiates the configured scheduler, if there is one.
async fn policy(
    catalog: &Catalog,
    config: &Config,
    (plan, graph, slots): (&Plan, &graph::Graph, usize),
    results_root: &Path,
) -> Result<Policy, JobError> {
    let Some(name) = config.get(settings::RUN_SCHEDULER) else {
        return Ok(Policy::none());
    };
    let found = catalog.schedulers().find(|plugin| plugin.name == name);
    let plugin = found.ok_or_else(|| JobError::NoScheduler {
        name: name.to_owned(),
        known: input::known_plugins(catalog.schedulers()),
    })?;
    let history = history::History::read(results_root);
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    let begun = Policy::begin(plugin, config, (plan, graph), &history, slots).await;
    begun.map_err(JobError::Scheduler)
}
