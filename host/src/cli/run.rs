//! `persea run`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::Value;

use super::references::{refuse_unresolved, refuse_warnings, show_warnings};
use super::release::release_line;
use super::{Context, Failure, Place, again, exit, listen, warn};
use persea_config::{Config, Flag, Key, Kind, Verdict, of_result_format, settings};
use persea_display::{Display, Live, Plain, Screen, Shown, Silent, totals};
use persea_job as job;
use persea_job::{
    Job, JobError, JobFile, Partition, Summary, TypedBy, UnreleasedJobs, results_root,
};
use persea_journal as journal;
use persea_model::JobId;
use persea_system::temporary;

#[derive(Debug, Args)]
pub(super) struct Run {
    /// What to run: files, directories, `file.py:Class.test`, recipes
    #[arg(value_name = "REF", required_unless_present_any = ["recipe", "job"])]
    references: Vec<String>,
    /// Run the suites of this job file (TOML)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["references", "recipe"])]
    job: Option<PathBuf>,
    /// Run the runnables of this JSON recipe (repeatable)
    #[arg(long, value_name = "FILE")]
    recipe: Vec<String>,
    /// How many tasks run at once (default: the number of processors)
    #[arg(long, value_name = "N")]
    max_parallel_tasks: Option<u64>,
    /// Start nothing more after the first task that ends FAIL, ERROR or INTERRUPTED, or after N of them; 0 is never
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1")]
    failfast: Option<u64>,
    /// Try a task that ends FAIL, ERROR or INTERRUPTED again, up to N times
    #[arg(long, value_name = "N")]
    retries: Option<u64>,
    /// Run only this part of the tasks: `2/5` is the second of five, `hash:2/5` goes by their names
    #[arg(long, value_name = "PART")]
    partition: Option<String>,
    /// Where tests run: `process` is this machine, `sandbox` namespaces and files of their own on it
    #[arg(long, value_name = "NAME")]
    spawner: Option<String>,
    /// Run the tasks in a random order, and print its seed
    #[arg(long)]
    shuffle: bool,
    /// Run the tasks in the order of this seed
    #[arg(long, value_name = "SEED")]
    shuffle_seed: Option<u64>,
    /// The longest that a task may run, as `90` (seconds) or `5m`
    #[arg(long, value_name = "TIME")]
    task_timeout: Option<String>,
    /// The longest that the job may run
    #[arg(long, value_name = "TIME")]
    job_timeout: Option<String>,
    /// Make the job's directory in this one
    #[arg(long, visible_alias = "job-results-dir", value_name = "DIR")]
    results_dir: Option<PathBuf>,
    /// Run the rest when a reference cannot be resolved
    #[arg(long)]
    ignore_missing_references: bool,
    /// Of all these, run only the tests that did not pass in this job: its directory, `latest`, or the beginning of its id
    #[arg(long, value_name = "JOB")]
    failed: Option<String>,
    /// Show only failing tests and the totals
    #[arg(short, long)]
    quiet: bool,
    /// Run nothing when there are warnings about references, as of files that may hold tests that were not found
    #[arg(long)]
    strict: bool,
    /// Plan the job, but cancel every task instead of running it
    #[arg(long)]
    dry_run: bool,
    /// Use this id: 40 hexadecimal digits
    #[arg(long, value_name = "ID")]
    force_job_id: Option<String>,
    /// Write results.json to this file too, or to the standard output (`-`)
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// Write results.xml to this file too, or to the standard output (`-`)
    #[arg(long, value_name = "FILE")]
    xunit: Option<String>,
    /// Write results.tap to this file too, or to the standard output (`-`)
    #[arg(long, value_name = "FILE")]
    tap: Option<String>,
}

/// Sets a value that an option gives.
fn set<K: Kind>(config: &mut Config, key: Key<K>, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        config.set_option(key, value);
    }
}

/// Sets a flag that an option turns on.
fn set_flag(config: &mut Config, key: Key<Flag>, is_on: bool) {
    set(config, key, is_on.then_some(true));
}

impl Run {
    /// Puts the options over the configuration.
    fn configure(&self, config: &mut Config) -> Result<(), Failure> {
        let is_shuffled = self.shuffle || self.shuffle_seed.is_some();
        let missing = self.ignore_missing_references;
        set_flag(config, settings::RUN_SHUFFLE, is_shuffled);
        set_flag(config, settings::RUN_IGNORE_MISSING_REFERENCES, missing);
        set_flag(config, settings::RUN_DRY_RUN_ENABLED, self.dry_run);
        set_flag(config, settings::HUMAN_OUTPUT_QUIET, self.quiet);
        set_flag(config, settings::RUN_STRICT, self.strict);
        set(config, settings::RUN_PARTITION, self.partition.clone());
        set(config, settings::RUN_SPAWNER, self.spawner.clone());
        let (task, job) = (self.task_timeout.clone(), self.job_timeout.clone());
        set(config, settings::TASK_TIMEOUT_RUNNING, task);
        set(config, settings::JOB_RUN_TIMEOUT, job);
        for (key, output) in [
            (settings::JOB_RUN_RESULT_JSON_OUTPUT, &self.json),
            (settings::JOB_RUN_RESULT_XUNIT_OUTPUT, &self.xunit),
            (settings::JOB_RUN_RESULT_TAP_OUTPUT, &self.tap),
        ] {
            set(config, key, output.clone());
        }
        let parallel = self.max_parallel_tasks;
        set(config, settings::RUN_MAX_PARALLEL_TASKS, parallel);
        set(config, settings::RUN_SHUFFLE_SEED, self.shuffle_seed);
        set(config, settings::RUN_RETRIES, self.retries);
        match self.failfast {
            Some(0) => config.set_option(settings::RUN_FAILFAST, false),
            Some(failures) => config.set_option(settings::RUN_FAILFAST, failures),
            None => {}
        }
        if let Some(dir) = &self.results_dir {
            let text = dir.to_str().ok_or_else(|| {
                Failure::new(
                    exit::FAIL,
                    miette::miette!(
                        help = "name another directory",
                        "--results-dir {}: the path is not UTF-8, and reports could not name what is in it",
                        dir.display()
                    ),
                )
            })?;
            config.set_option(settings::RUN_RESULTS_DIR, text);
        }
        Ok(())
    }

    pub(super) async fn run(self, mut context: Context) -> Result<u8, Failure> {
        let file = read_job(self.job.as_deref(), &mut context)?;
        self.configure(&mut context.config)?;
        context.tell_not_taken();
        context.config.check().map_err(Failure::of)?;
        if let Some(part) = context.config.get(settings::RUN_PARTITION) {
            Partition::parse(part)
                .map_err(|why| Failure::new(exit::FAIL, miette::miette!("{why}")))?;
        }
        refuse_nameless_directory()?;
        let id = self.job_id(context.config.get(settings::RUN_DRY_RUN_ENABLED))?;
        let results_root = results_root(&context.config, &context.dirs);
        let only = self.failed.as_deref();
        let only = only
            .map(|job| again::failed_in(&results_root, job))
            .transpose()?;
        let catalog = context.catalog().await?;
        let mut references = self.references;
        references.extend(self.recipe);
        references.extend(self.job.map(|path| path.to_string_lossy().into_owned()));
        let resolutions = match &file {
            Some(file) => {
                let resolutions = file.resolve(&catalog, &context.config).await;
                resolutions.map_err(Failure::of)?
            }
            None => job::resolve(&catalog, &context.config, &references, TypedBy::User).await,
        };
        show_warnings(&resolutions, context.is_verbose);
        refuse_unresolved(
            &resolutions.resolved,
            context.config.get(settings::RUN_IGNORE_MISSING_REFERENCES),
        )?;
        refuse_warnings(&resolutions, &context.config)?;

        let signals = listen()?;
        let Place {
            spawner,
            common,
            outer: _outer,
        } = Place::new(context.config.get(settings::RUN_SPAWNER), &context).await?;
        // Beside the job, because there may be much to remove.
        let removal = tokio::task::spawn_blocking(temporary::remove_abandoned);
        let unreleased_jobs = UnreleasedJobs::new(&context.dirs.state);
        remind(&unreleased_jobs);
        let on_stdout: Vec<&str> = catalog
            .formats()
            .map(|plugin| plugin.name.as_str())
            .filter(|name| {
                let [_, output] = of_result_format(name);
                context.config.raw(&output).and_then(Value::as_str) == Some("-")
            })
            .collect();
        if on_stdout.len() > 1 {
            let names = on_stdout.join(" and ");
            return Err(Failure::new(
                exit::FAIL,
                miette::miette!(
                    help = "give a file to all but one",
                    "{names} cannot both go to the standard output"
                ),
            ));
        }
        let stdout_is_taken = !on_stdout.is_empty();
        let quiet = context.config.get(settings::HUMAN_OUTPUT_QUIET);
        let display: Box<dyn Display + Send> = if stdout_is_taken {
            Box::new(Silent)
        } else if quiet {
            Box::new(Plain::new(Shown::Failures))
        } else if std::io::stdout().is_terminal() && std::io::stderr().is_terminal() {
            Box::new(Live::default())
        } else if context.config.get(settings::HUMAN_OUTPUT_STARTED) {
            Box::new(Plain::new(Shown::StartsAndEnds))
        } else {
            Box::new(Plain::new(Shown::Ends))
        };
        let lines = context.config.get(settings::HUMAN_OUTPUT_LINES);
        let lines = usize::try_from(lines).unwrap_or(usize::MAX);
        let mut screen = Screen::start(display, lines, again::command_line()).map_err(|error| {
            let error = miette::miette!("cannot start a thread for what is shown: {error}");
            Failure::new(exit::JOB_FAIL, error)
        })?;
        let unloaded = !catalog.failures().is_empty();
        let config = Arc::new(context.config);
        let job = Job {
            id,
            config: Arc::clone(&config),
            catalog,
            spawner,
            references,
            resolved: resolutions.resolved,
            warnings: resolutions.warnings,
            only,
            results_root,
            temp_dir: common,
            unreleased_jobs,
            signals,
        };
        let done = job.run(&mut screen).await;
        let closing = match &done {
            Ok(summary) if !stdout_is_taken => closing(summary, quiet),
            _ => String::new(),
        };
        screen.end(closing).await;
        let _ = removal.await;
        let summary = done.map_err(|error| match error {
            JobError::Directory(_)
            | JobError::Journal(_)
            | JobError::System { .. }
            | JobError::Report(_)
            | JobError::Graph(_)
            | JobError::NoneAgain
            | JobError::NoScheduler { .. }
            | JobError::Scheduler(_) => Failure::with(exit::JOB_FAIL, error),
            JobError::Interrupted => Failure::with(exit::INTERRUPTED, error),
        })?;
        Ok(code(&summary, &config) | if unloaded { exit::JOB_FAIL } else { exit::OK })
    }

    fn job_id(&self, dry_run: bool) -> Result<JobId, Failure> {
        match &self.force_job_id {
            Some(id) => JobId::parse(id).ok_or_else(|| {
                Failure::new(
                    exit::FAIL,
                    miette::miette!("`--force-job-id {id}`: an id has 40 hexadecimal digits"),
                )
            }),
            None if dry_run => Ok(JobId::from_bytes([0; 20])),
            None => {
                let mut bytes = [0; 20];
                fastrand::Rng::new().fill(&mut bytes);
                Ok(JobId::from_bytes(bytes))
            }
        }
    }
}

/// Refuses a working directory that is not UTF-8: tests would be told another one.
fn refuse_nameless_directory() -> Result<(), Failure> {
    match std::env::current_dir() {
        Ok(directory) if directory.to_str().is_none() => Err(Failure::new(
            exit::FAIL,
            miette::miette!(
                help = "run it in a directory whose path is",
                "the path of the working directory is not UTF-8: {}",
                directory.display()
            ),
        )),
        // One that is not there is an error of its own.
        _ => Ok(()),
    }
}

/// Reads a job file; its settings come into the configuration.
pub(super) fn read_job(
    path: Option<&Path>,
    context: &mut Context,
) -> Result<Option<JobFile>, Failure> {
    let Some(path) = path else {
        return Ok(None);
    };
    let file = JobFile::read(path, &context.safe_directories()).map_err(Failure::of)?;
    file.configure(&mut context.config);
    Ok(Some(file))
}

/// Says which jobs have left something behind.
fn remind(unreleased_jobs: &UnreleasedJobs) {
    let jobs = unreleased_jobs.jobs();
    for job in jobs.iter().filter(|job| !journal::is_in_use(job)) {
        warn(format_args!(
            "warning: a job has ended without releasing all that it had brought about for its tests; `{}` does that",
            release_line(job)
        ));
    }
}

/// What is shown below the tests.
fn closing(summary: &Summary, quiet: bool) -> String {
    let mut text = format!("RESULTS    : {}\n", totals(&summary.tally));
    if summary.flaky > 0 {
        text.push_str(&format!(
            "FLAKY      : {} passed only when tried again\n",
            summary.flaky
        ));
    }
    if quiet {
        return text;
    }
    if summary.switches > 0 {
        text.push_str(&format!(
            "SWITCHES   : {} of an environment to another state\n",
            summary.switches
        ));
    }
    let seconds = summary.elapsed.as_secs_f64();
    text.push_str(&format!("JOB TIME   : {seconds:.2} s\n"));
    text
}

/// The exit code of a job, in Avocado's bits.
fn code(summary: &Summary, config: &Config) -> u8 {
    let tally = &summary.tally;
    let mut code = exit::OK;
    let fails = |key| config.get(key) == Verdict::Fail;
    let is_dry = config.get(settings::RUN_DRY_RUN_ENABLED);
    let is_cancelled = tally.cancel > 0 && !is_dry && fails(settings::RUN_EXIT_CANCELLED);
    if tally.fail + tally.error > 0 || is_cancelled {
        code |= exit::TESTS_FAIL;
    }
    if tally.total() == 0 && fails(settings::RUN_EXIT_EMPTY) {
        warn("error: the job has no test (`run.exit.empty`)");
        code |= exit::JOB_FAIL;
    }
    if summary.warnings > 0 && config.get(settings::RUN_STRICT) {
        code |= exit::JOB_FAIL;
    }
    if tally.interrupted > 0 || summary.interrupted {
        code |= exit::INTERRUPTED;
    }
    for (requirement, why) in &summary.unreleased {
        warn(format_args!(
            "error: requirement {requirement} could not be released: {why}"
        ));
        code |= exit::JOB_FAIL;
    }
    for failure in &summary.failed_reports {
        warn(format_args!("error: {failure}"));
        code |= exit::JOB_FAIL;
    }
    if code == exit::OK && summary.ran == 0 && tally.total() > 0 && !is_dry {
        warn(format_args!(
            "error: none of the {} tests was run",
            tally.total()
        ));
        code |= exit::JOB_FAIL;
    }
    code
}
