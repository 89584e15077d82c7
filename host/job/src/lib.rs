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
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use execute::control::Signals;
pub use input::job_file::{JobFile, JobFileError};
pub use input::resolve::{Answer, Resolutions, Resolved, TestLister, TypedBy, resolve};
pub use input::schema::{job_file_schema, recipe_schema};
pub use input::variants::VariantsError;
pub use listing::{ListingPlace, OpenPlace, OpenedPlace, TestListing};
pub use plan::again::failed_in;
pub use plan::export::GraphExport;
pub use plan::graph::GraphError;
pub use plan::partition::Partition;
pub use results::directory::{DirectoryError, JobDirectory, default_results, find, results_root};
pub use results::report::{
    ReportDestination, ReportError, ReportOrder, make as make_report, orders,
};
pub use undo::release::{
    JobRelease, ReleaseResult, UnreleasedRequirement, project_of, remote_of, unreleased_of,
};
pub use undo::unreleased::UnreleasedJobs;

use dispatch::dispatcher::{self, Policy};
use dispatch::slots;
use execute::context::{ExecutionContext, JobContext};
use execute::limit_means::{self, LimitError};
use execute::{clock, control, supervise};
use input::{own_limits, own_settings};
use persea_config::Config;
use persea_config::settings;
use persea_display as display;
use persea_display::{JobBegin, JobLog, Screen};
use persea_journal::{
    Event, JobFinished, JobStarted, Journal, JournalError, Reader, TaskPlanned, Warning,
    WarningCause,
};
use persea_model::{Attributes, JobId, Tally};
use persea_plugin::{Catalog, PluginError};
use persea_spawner::{SpawnError, Spawner, descriptor};
use persea_system::threads::{self, NoThread};
use plan::planner::{self, Plan};
use plan::{graph, history};
use results::directory;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Why a job could not be run or reported.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The job's directory cannot be made.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The job's journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The system refuses something that every job needs.
    #[error("cannot {what}: {source}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// A report's file cannot be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The tasks cannot be ordered.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The configured scheduler does not exist.
    #[error("no scheduler is named `{name}` (`run.scheduler`): {known}")]
    NoScheduler {
        /// The configured name.
        name: String,
        /// The existing schedulers, or how to add one.
        known: String,
    },
    /// No test is both resolved and among the failed tests of the earlier job.
    #[error("no test to run again: the references have no test that failed in the earlier job")]
    NoneAgain,
    /// A signal arrived before the first task could start.
    #[error("interrupted before the first test")]
    Interrupted,
    /// A limit of a test cannot be kept.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The spawner cannot be used.
    #[error(transparent)]
    Spawner(#[from] SpawnError),
    /// The scheduler plugin failed at its start.
    #[error("the scheduler failed at its start: {0}")]
    Scheduler(PluginError),
}

/// A job to be run.
pub struct Job {
    /// The job's id.
    pub id: JobId,
    /// The settings.
    pub config: Arc<Config>,
    /// The plugins.
    pub catalog: Arc<Catalog>,
    /// The spawner of the tests' processes.
    pub spawner: Box<dyn Spawner>,
    /// The references, as the user gave them.
    pub references: Vec<String>,
    /// What the references were resolved to.
    pub resolved: Vec<Resolved>,
    /// The titles of the tasks to run, if not all are run.
    pub only: Option<HashSet<String>>,
    /// Warnings about the references, for the journal and the reports.
    pub warnings: Vec<Warning>,
    /// Where the directories of jobs are made.
    pub results_root: PathBuf,
    /// A directory for files that are removed after the job.
    pub temp_dir: PathBuf,
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
    /// The requirements that could not be released, and why.
    pub unreleased: Vec<(String, String)>,
    /// The reports that could not be made.
    pub failed_reports: Vec<ReportError>,
}

/// The most plugin instances that a job needs at once, as configured: one for each running or
/// queued task, one for each requirement slot, and a reserve for resolvers and result formats.
pub fn instances(config: &Config) -> u32 {
    let all = parallel(config).saturating_mul(slots::MAX_TASKS_IN_SLOT + 1) + 64;
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

/// The number of tasks that a job runs at once, as configured.
pub fn parallel(config: &Config) -> usize {
    match config.get(settings::RUN_MAX_PARALLEL_TASKS) {
        0 => {
            let slots = descriptor(config.get(settings::RUN_SPAWNER)).slots;
            let slots = slots(config).filter(|slots| *slots > 0);
            slots.map_or_else(threads::processors, |slots| slots.min(MOST_PARALLEL))
        }
        number => usize::try_from(number)
            .unwrap_or(usize::MAX)
            .min(MOST_PARALLEL),
    }
}

/// The most tasks at once: more would exhaust the system's process and descriptor tables.
const MOST_PARALLEL: usize = 4096;

impl Job {
    /// Runs the job from its plan to its reports.
    pub async fn run(self, screen: &mut Screen) -> Result<Summary, JobError> {
        let Self {
            id,
            config,
            catalog,
            mut spawner,
            references,
            resolved,
            only,
            mut warnings,
            results_root,
            temp_dir,
            unreleased_jobs,
            mut signals,
        } = self;
        // Compiling plugins may take seconds; Ctrl-C does not wait for it.
        let prepared = async {
            load_requirement_resolvers(&catalog, &resolved).await;
            let root = Some(results_root.as_path());
            let plan = planner::plan(resolved, &catalog, &config, root, only.as_ref());
            if only.is_some() && plan.entries.is_empty() {
                return Err(JobError::NoneAgain);
            }
            let graph = plan.graph(&config)?;
            let slots = parallel(&config).min(plan.entries.len());
            if plan.runs_processes() {
                spawner.prepare(slots).await?;
            }
            let policy = policy(&catalog, &config, (&plan, &graph), &results_root).await?;
            Ok((Arc::new(plan), graph, policy))
        };
        let prepared = tokio::select! {
            biased;
            () = signals.end() => Err(JobError::Interrupted),
            prepared = prepared => prepared,
        };
        let (plan, graph, policy) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                // It may have been prepared already.
                spawner.close().await;
                return Err(error);
            }
        };
        let total = plan.entries.len();
        let limits = own_limits::TaskLimits::new(&config);
        let about_limits = limit_means::check(&plan, &limits, &*spawner)?;
        warnings.extend(about_limits);
        let directory = JobDirectory::create(&results_root, &id)?;
        let dependencies = directory::Section::of_requirements(directory.path());
        if spawner.has_snapshots() {
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
            spawner.hide(&path);
        }
        let running = directory.path().join(directory::RUNNING);
        spawner.set_private_directory(directory.test_results().path(), &running);
        let log = JobLog::new(directory.log()?);
        let mut journal = Journal::create(directory.path())?;
        let started = JobStarted {
            job_id: id.to_string(),
            job_dir: directory.path().to_string_lossy().into_owned(),
            name: directory.name(),
            project_dir: project_dir.to_string_lossy().into_owned(),
            total,
            persea_version: env!("CARGO_PKG_VERSION").to_owned(),
            references,
            shuffle_seed: plan.shuffle_seed,
            settings: recorded_settings(&catalog, &config),
        };
        journal.record(None, &Event::JobStarted(Cow::Borrowed(&started)))?;
        for warning in &warnings {
            journal.record(None, &Event::Warning(Cow::Borrowed(warning)))?;
        }
        for entry in &plan.entries {
            let planned = TaskPlanned {
                index: entry.task.index.number(),
                name: Some(Cow::Borrowed(&entry.task.name)),
                title: (entry.task.title != entry.task.name)
                    .then_some(Cow::Borrowed(&entry.task.title)),
                runnable: Cow::Borrowed(&entry.task.runnable),
            };
            let event = Event::TaskPlanned(Cow::Owned(planned));
            journal.record(Some(&entry.task.id), &event)?;
        }
        journal.commit()?;
        let reports = Reports::start(&catalog, &config, &journal, directory.path())?;
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
        for (reason, tasks) in plan.refusals() {
            let tests = if tasks == 1 { "test" } else { "tests" };
            let line = format!("{tasks} {tests} cannot run: {reason}");
            screen.notice(&line);
            screen.log(line);
        }
        for warning in &warnings {
            let line = format!("warning: {warning}");
            // The others were shown when the references were resolved.
            if warning.cause == WarningCause::Limit {
                screen.notice(&line);
            }
            screen.log(line);
        }

        let spawner_descriptor = descriptor(spawner.kind());
        let execution = Arc::new(ExecutionContext {
            spawner,
            clock: Arc::new(clock::Clock::new()),
            dependencies,
            temp_dir,
            project_dir,
            grace: supervise::grace(&config),
        });
        let clock = Arc::clone(&execution.clock);
        let context = JobContext {
            execution,
            id,
            catalog,
            has_network: (spawner_descriptor.has_network)(&config),
            has_batches: config.get(settings::RUN_BATCHES),
            shows_cases: screen.shows_cases(),
            is_fresh: (spawner_descriptor.is_fresh)(&config),
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
            slot_count: parallel(&config).min(total.max(1)),
            timeout,
        };
        let ran = dispatcher.run(graph, policy, &mut signals).await;
        if ran.as_ref().map_or(true, |totals| totals.interrupted) {
            display::hurry();
        }
        tokio::spawn(until_hurried(signals, clock, timeout));
        let totals = ran?;

        let finished = JobFinished {
            tally: totals.tally,
            total,
            elapsed: u64::try_from(totals.elapsed.as_nanos()).unwrap_or(u64::MAX),
            interrupted_by: totals.stopped.map(str::to_owned),
            switches: totals.switches,
        };
        journal.record(None, &Event::JobFinished(Cow::Borrowed(&finished)))?;
        journal.finish()?;
        // Reports end when the journal's writer is closed.
        drop(journal);
        // Runs beside the reports, because a file system may take long to remove a directory.
        let test_results = Arc::clone(directory.test_results());
        let tidying = tokio::task::spawn_blocking(move || test_results.tidy());
        let failed_reports = reports.end().await;
        let _ = tidying.await;
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

/// Returns the settings for the journal, without those that plugins declare secret.
fn recorded_settings(catalog: &Catalog, config: &Config) -> Attributes {
    let secret = catalog.secret_settings();
    let recorded = config.iter().filter(|(name, ..)| !secret.has(name));
    recorded
        .map(|(name, value, _)| (name.to_owned(), value.clone().into()))
        .collect()
}

/// Instantiates the configured scheduler, if there is one.
async fn policy(
    catalog: &Catalog,
    config: &Config,
    planned: (&Plan, &graph::Graph),
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
    let slots = u32::try_from(parallel(config)).unwrap_or(u32::MAX);
    let begun = Policy::begin(plugin, config, planned, &history, slots).await;
    begun.map_err(JobError::Scheduler)
}

/// The name of a report's format, and the result of its thread.
type RunningReport = (String, oneshot::Receiver<Result<usize, ReportError>>);

/// The reports of a running job.
struct Reports {
    running: Vec<RunningReport>,
    /// The reports for which no thread could be started.
    waiting: Vec<Arc<ReportOrder>>,
    config: Config,
    job_dir: PathBuf,
}

impl Reports {
    fn start(
        catalog: &Catalog,
        config: &Config,
        journal: &Journal,
        job_dir: &Path,
    ) -> Result<Self, JobError> {
        let mut reports = Self {
            running: Vec::new(),
            waiting: Vec::new(),
            config: config.clone(),
            job_dir: job_dir.to_path_buf(),
        };
        for order in orders(catalog, config, job_dir) {
            let order = Arc::new(order);
            let reader = journal.follow()?;
            if reports.make(&order, reader).is_err() {
                reports.waiting.push(order);
            }
        }
        Ok(reports)
    }

    /// Makes a report on a thread of its own: it may wait as long as the job runs.
    fn make(&mut self, order: &Arc<ReportOrder>, reader: Reader) -> Result<(), NoThread> {
        let name = order.plugin.name.clone();
        let made = threads::spawn("persea-report", self.work(Arc::clone(order), reader))?;
        self.running.push((name, made));
        Ok(())
    }

    fn work(
        &self,
        order: Arc<ReportOrder>,
        reader: Reader,
    ) -> impl FnOnce() -> Result<usize, ReportError> + Send + use<> {
        let (config, job_dir) = (self.config.clone(), self.job_dir.clone());
        let runtime = Handle::current();
        move || make_report(&config, &order, reader, &job_dir, &runtime)
    }

    /// Waits for all reports. Those without a thread are made now, one after the other, on a thread
    /// of the runtime.
    async fn end(mut self) -> Vec<ReportError> {
        let mut failed = Vec::new();
        for order in std::mem::take(&mut self.waiting) {
            let name = order.plugin.name.clone();
            let made = match Reader::open(&self.job_dir) {
                Err(error) => Err(error.into()),
                Ok(reader) => {
                    let made = tokio::task::spawn_blocking(self.work(order, reader));
                    made.await.unwrap_or(Err(ReportError::Bug { name }))
                }
            };
            failed.extend(made.err());
        }
        failed.extend(end_reports(self.running).await);
        failed
    }
}

async fn end_reports(running: Vec<RunningReport>) -> Vec<ReportError> {
    let mut failed = Vec::new();
    for (name, made) in running {
        match made.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => failed.push(error),
            Err(_) => failed.push(ReportError::Bug { name }),
        }
    }
    failed
}
