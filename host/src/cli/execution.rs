//! Owns the run of a job, new or resumed, from its resolved references to the exit code: the
//! spawners, the display and what is shown at the end. Does not know the options.

use std::io::IsTerminal as _;
use std::sync::Arc;

use serde_json::Value;

use super::output::eprint_line;
use super::release::release_line;
use super::session::SpawnerSession;
use super::{Context, Failure, again, exit, resume};
use persea_config::{Config, Verdict, of_result_format, settings};
use persea_display::{Display, Live, Plain, Screen, Shown, Silent, totals};
use persea_job::{
    Job, JobError, Resolutions, ResumedJob, Selection, Signals, Summary, UnreleasedJobs,
    results_root,
};
use persea_journal as journal;
use persea_model::{JobId, SpawnerKind};
use persea_plugin::Catalog;
use persea_spawner::descriptor;
use persea_system::temporary;

/// What a job begins with.
pub(super) struct JobInput {
    pub(super) id: JobId,
    pub(super) references: Vec<String>,
    /// The job file that is the only reference, if there is one.
    pub(super) job_file: Option<String>,
    pub(super) resolutions: Resolutions,
    /// The spawners of the tests, at least one.
    pub(super) spawners: Vec<SpawnerKind>,
    /// Which of the resolved tests run.
    pub(super) selection: Selection,
    /// The job to be resumed; none for a new one.
    pub(super) resumed: Option<ResumedJob>,
}

/// Runs a job to its end, and returns the exit code.
pub(super) async fn execute(
    context: Context,
    catalog: Arc<Catalog>,
    input: JobInput,
    signals: Signals,
) -> Result<u8, Failure> {
    let JobInput {
        id,
        references,
        job_file,
        resolutions,
        spawners: kinds,
        selection,
        resumed,
    } = input;
    let results_root = results_root(&context.config, &context.dirs);
    let SpawnerSession {
        spawners,
        temporary: _temporary,
    } = SpawnerSession::with(&kinds, &context, &context.config).await?;
    // In parallel with the job, because there may be much to remove.
    let removal = {
        let is_remote = kinds.iter().any(|kind| descriptor(*kind).is_remote);
        let beside_jobs = is_remote.then(|| results_root.clone());
        tokio::task::spawn_blocking(move || {
            temporary::remove_abandoned();
            if let Some(root) = beside_jobs {
                temporary::remove_abandoned_in(&root);
            }
        })
    };
    let unreleased_jobs = UnreleasedJobs::new(&context.dirs.state);
    warn_about_unreleased(&unreleased_jobs);
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
                help = "give a file name to all of them but one",
                "{names}: only one report can go to the standard output"
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
    let again = match &resumed {
        None => again::command_line(),
        Some(_) => again::COMMAND.to_owned(),
    };
    let mut screen = Screen::start(display, lines, again).map_err(|error| {
        let error = miette::miette!("cannot start the thread of the display: {error}");
        Failure::new(exit::JOB_FAIL, error)
    })?;
    let unloaded = !catalog.failures().is_empty();
    let command_plugins = context.command_plugins();
    let config = Arc::new(context.config);
    let job = Job {
        id,
        config: Arc::clone(&config),
        catalog,
        spawners,
        references,
        job_file,
        resolved: resolutions.resolved,
        resumed,
        command_plugins,
        warnings: resolutions.warnings,
        selection,
        results_root,
        unreleased_jobs,
        signals,
    };
    let resumed_job = job
        .resumed
        .as_ref()
        .map(|resumed| resumed.directory.clone());
    // Boxed so that the future of the command stays small.
    let done = Box::pin(job.run(&mut screen)).await;
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
        | JobError::Limit(_)
        | JobError::NoneAgain { .. }
        | JobError::NoneAgainHere
        | JobError::FailedTestGone { .. }
        | JobError::NoneSelected { .. }
        | JobError::NoScheduler { .. }
        | JobError::TakeOver(_)
        | JobError::Spawner(_)
        | JobError::Scheduler(_) => Failure::with(exit::JOB_FAIL, error),
        JobError::Resume(error) => resume::failure(&resumed_job.unwrap_or_default(), error),
        JobError::Interrupted => Failure::with(exit::INTERRUPTED, error),
    })?;
    Ok(code(&summary, &config) | if unloaded { exit::JOB_FAIL } else { exit::OK })
}

/// Warns about earlier jobs with unreleased requirements.
fn warn_about_unreleased(unreleased_jobs: &UnreleasedJobs) {
    let jobs = unreleased_jobs.jobs();
    for job in jobs.iter().filter(|job| !journal::is_in_use(job)) {
        eprint_line(format_args!(
            "warning: an earlier job has left requirements unreleased; to release them: `{}`",
            release_line(job)
        ));
    }
}

/// The lines that the display shows below the tests.
fn closing(summary: &Summary, quiet: bool) -> String {
    let mut text = format!("RESULTS    : {}\n", totals(&summary.tally));
    if summary.flaky > 0 {
        text.push_str(&format!(
            "FLAKY      : {} passed only on a retry\n",
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
    if summary.is_cut_short {
        let line = resume::resume_line(&summary.directory);
        text.push_str(&format!("GO ON WITH : {line}\n"));
    }
    text
}

/// The exit code of a job.
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
        eprint_line("error: the job has no test (`run.exit.empty`)");
        code |= exit::JOB_FAIL;
    }
    if summary.warnings > 0 && config.get(settings::RUN_STRICT) {
        code |= exit::JOB_FAIL;
    }
    if tally.interrupted > 0 || summary.interrupted {
        code |= exit::INTERRUPTED;
    }
    for (requirement, why) in &summary.unreleased {
        eprint_line(format_args!(
            "error: cannot release requirement {requirement}: {why}"
        ));
        code |= exit::JOB_FAIL;
    }
    for failure in &summary.failed_reports {
        eprint_line(format_args!("error: {failure}"));
        code |= exit::JOB_FAIL;
    }
    if code == exit::OK && summary.ran == 0 && tally.total() > 0 && !is_dry {
        let tests = match tally.total() {
            1 => "the only test was not".to_owned(),
            total => format!("none of the {total} tests was"),
        };
        eprint_line(format_args!("error: {tests} run"));
        code |= exit::JOB_FAIL;
    }
    code
}
