//! A job: resolve → plan → dispatch and execute → report, a file each.
//!
//! Owns the order of these steps and what a job comes to. Knows nothing of the command line, and WebAssembly and processes
//! only by the names that `plugin` and `spawner` give them.

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod dispatch;
mod execute;
mod input;
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
pub use input::resolve::{Answer, Resolutions, Resolved, TypedBy, resolve};
pub use input::variants::VariantsError;
pub use plan::again::failed_in;
pub use plan::export::Picture;
pub use plan::graph::GraphError;
pub use plan::partition::Partition;
pub use results::directory::{DirectoryError, JobDirectory, default_results, find, results_root};
pub use results::report::{Destination, Order, ReportError, make as make_report, orders};
pub use undo::release::{Left, Released, Undo, left_by, project_of};
pub use undo::unreleased::Pending;

use dispatch::dispatcher::{self, Policy};
use dispatch::slots;
use execute::{clock, control, executor, supervise};
use input::own_settings;
use persea_config::Config;
use persea_config::settings;
use persea_display as display;
use persea_display::{JobBegin, JobLog, Screen};
use persea_journal::{
    Event, JobFinished, JobStarted, Journal, JournalError, Reader, TaskPlanned, Warning,
};
use persea_model::{Attributes, JobId, Tally};
use persea_plugin::{Catalog, PluginError};
use persea_spawner::{Spawner, descriptor};
use persea_system::threads::{self, NoThread};
use plan::planner::{self, Plan};
use plan::{graph, history};
use results::directory;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// What keeps a job from running, or from being told of.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Its directory cannot be made.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The system refuses something that every job needs.
    #[error("cannot {what}: {source}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A report's file cannot be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Its tasks cannot be put into an order.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Nobody has the name of its scheduler.
    #[error("no scheduler is named `{name}` (`run.scheduler`): {known}")]
    NoScheduler {
        /// What is configured.
        name: String,
        /// Those there are, or the way out.
        known: String,
    },
    /// Of the tests that are to be run again none is there.
    #[error(
        "none of these tests has failed in the job whose failures are to be run again: its references were others"
    )]
    NoneAgain,
    /// A signal came before the first task could start.
    #[error("interrupted before the first test")]
    Interrupted,
    /// Its scheduler cannot begin.
    #[error("the scheduler cannot begin: {0}")]
    Scheduler(PluginError),
}

/// What is to be run, and with what.
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// The settings.
    pub config: Arc<Config>,
    /// The plugins.
    pub catalog: Arc<Catalog>,
    /// What starts processes.
    pub spawner: Box<dyn Spawner>,
    /// The references, as the user gave them.
    pub references: Vec<String>,
    /// What became of them.
    pub resolved: Vec<Resolved>,
    /// The titles of the tasks that are run, where not all are.
    pub only: Option<HashSet<String>>,
    /// What was wrong with them, for the journal and the reports.
    pub warnings: Vec<Warning>,
    /// Where the directories of jobs are made.
    pub results_root: PathBuf,
    /// A directory for what lives only as long as the job.
    pub temp_dir: PathBuf,
    /// Where it says that it has something to release.
    pub pending: Pending,
    /// What ends it. Listened to since before the first temporary file was made.
    pub signals: Signals,
}

/// What a job came to.
#[derive(Debug)]
pub struct Summary {
    /// How many tasks ended with which status.
    pub tally: Tally,
    /// Its directory.
    pub directory: PathBuf,
    /// How long it took, without the time for which it was stopped.
    pub elapsed: Duration,
    /// How many tasks passed, but not the first time.
    pub flaky: usize,
    /// How often an environment was brought to another state.
    pub switches: usize,
    /// The number of tasks that were started.
    pub ran: usize,
    /// The number of warnings while the job ran.
    pub warnings: usize,
    /// Whether it was cut short from outside.
    pub interrupted: bool,
    /// The requirements that could not be released, and why.
    pub unreleased: Vec<(String, String)>,
    /// The reports that could not be made.
    pub failed_reports: Vec<ReportError>,
}

/// How many plugins a job calls at once at most, as configured: for tasks, queued ones too, and for as many
/// requirements; and some to spare for resolvers and result formats.
pub fn instances(config: &Config) -> u32 {
    let all = parallel(config).saturating_mul(slots::MOST_IN_A_SLOT + 1) + 64;
    u32::try_from(all).unwrap_or(u32::MAX).min(MOST_INSTANCES)
}

/// Loads what sees to requirements, where there are any.
pub async fn load_requirement_resolvers(catalog: &Catalog, resolved: &[Resolved]) {
    let some = resolved.iter().any(|resolved| match &resolved.answer {
        Answer::Found { runnables, .. } => runnables.iter().any(|it| !it.requirements.is_empty()),
        _ => false,
    });
    if some {
        catalog.load_requirement_resolvers().await;
    }
}

/// The most plugin instances at once. Each has address space reserved, of which there is an end.
const MOST_INSTANCES: u32 = 9_000;

/// How many tasks a job runs at once, as configured.
pub fn parallel(config: &Config) -> usize {
    match config.get(settings::RUN_MAX_PARALLEL_TASKS) {
        0 => threads::processors(),
        number => usize::try_from(number)
            .unwrap_or(usize::MAX)
            .min(MOST_PARALLEL),
    }
}

/// The most tasks at once: more would only fill the tables of the system.
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
            warnings,
            results_root,
            temp_dir,
            pending,
            mut signals,
        } = self;
        // Plugins that are compiled may take seconds, for which nobody waits after Ctrl-C.
        let prepared = async {
            load_requirement_resolvers(&catalog, &resolved).await;
            let root = Some(results_root.as_path());
            let plan = planner::plan(resolved, &catalog, &config, root, only.as_ref());
            if only.is_some() && plan.entries.is_empty() {
                return Err(JobError::NoneAgain);
            }
            let graph = plan.graph(&config)?;
            let policy = policy(&catalog, &config, (&plan, &graph), &results_root).await?;
            Ok((Arc::new(plan), graph, policy))
        };
        let (plan, graph, policy) = tokio::select! {
            biased;
            () = signals.end() => return Err(JobError::Interrupted),
            prepared = prepared => prepared?,
        };
        let total = plan.entries.len();
        let directory = JobDirectory::create(&results_root, &id)?;
        let dependencies = directory::Section::of_requirements(directory.path());
        if spawner.has_snapshots() {
            let mut made = directory.test_results().keep_others_out();
            if !plan.requirements.steps.is_empty() {
                made = made.and_then(|()| dependencies.keep_others_out());
            }
            made.map_err(|source| JobError::System {
                what: "make the directories of tests and requirements",
                source,
            })?;
        }
        // Without a directory to work in no process can start either, and that is said better there.
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
            settings: config
                .iter()
                .map(|(name, value, _)| (name.to_owned(), value.clone().into()))
                .collect::<Attributes>(),
        };
        journal.record(None, &Event::JobStarted(Cow::Borrowed(&started)))?;
        for warning in &warnings {
            journal.record(None, &Event::Warning(Cow::Borrowed(warning)))?;
        }
        for entry in &plan.entries {
            let planned = TaskPlanned {
                index: entry.task.index + 1,
                name: Some(Cow::Borrowed(&entry.task.name)),
                title: Some(Cow::Borrowed(entry.task.title.as_str()))
                    .filter(|title| *title != entry.task.name),
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
            view: Arc::new(directory::View {
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
            screen.log(format!("warning: {warning}"));
        }

        let shared = Arc::new(executor::Shared {
            job: id,
            catalog,
            batches: config.get(settings::RUN_BATCHES),
            fresh: (descriptor(spawner.kind()).is_fresh)(&config),
            network: (descriptor(spawner.kind()).has_network)(&config),
            spawner,
            clock: Arc::new(clock::Clock::new()),
            test_results: Arc::clone(directory.test_results()),
            dependencies,
            temp_dir,
            project_dir,
            times: own_settings::TaskTimes::new(&config),
            grace: supervise::grace(&config),
        });
        let timeout = config.get(settings::JOB_RUN_TIMEOUT);
        let mut dispatcher = dispatcher::Dispatcher {
            shared: Arc::clone(&shared),
            plan,
            config: &config,
            directory: &directory,
            journal: &mut journal,
            screen,
            pending: &pending,
            slots: parallel(&config).min(total.max(1)),
            timeout,
        };
        let ran = dispatcher.run(graph, policy, &mut signals).await;
        if ran.as_ref().map_or(true, |totals| totals.interrupted) {
            display::hurry();
        }
        let clock = Arc::clone(&shared.clock);
        drop(shared);
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
        journal.commit()?;
        // Without the journal the reports know that they have seen everything.
        drop(journal);
        // Meanwhile, because a file system may take its time to remove a directory.
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

/// Waits, while reports and what is shown are being read, for what ends that: a signal, or the end of the job's time.
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

/// The scheduler that is configured, if one is.
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
    let begun = Policy::begin(plugin, config, planned, &history).await;
    begun.map_err(JobError::Scheduler)
}

/// A report's format by name, and the answer of its thread.
type Running = (String, oneshot::Receiver<Result<usize, ReportError>>);

/// The reports that are being made.
struct Reports {
    running: Vec<Running>,
    /// Those for which there was no thread.
    waiting: Vec<Arc<Order>>,
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

    /// Makes a report on a thread of its own: it may wait for as long as the job runs.
    fn make(&mut self, order: &Arc<Order>, reader: Reader) -> Result<(), NoThread> {
        let name = order.plugin.name.clone();
        let made = threads::spawn("persea-report", self.work(Arc::clone(order), reader))?;
        self.running.push((name, made));
        Ok(())
    }

    fn work(
        &self,
        order: Arc<Order>,
        reader: Reader,
    ) -> impl FnOnce() -> Result<usize, ReportError> + Send + use<> {
        let (config, job_dir) = (self.config.clone(), self.job_dir.clone());
        let runtime = Handle::current();
        move || make_report(&config, &order, reader, &job_dir, &runtime)
    }

    /// Waits for all reports. Those that had no thread are made now, one after the other, on one that the runtime has anyway.
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

async fn end_reports(running: Vec<Running>) -> Vec<ReportError> {
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
