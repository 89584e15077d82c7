//! Owns the time from a job's first line on the screen to the last event of its journal. Does not
//! know which task runs when: the dispatcher decides that.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::dispatch::dispatcher::{Dispatcher, Totals};
use crate::dispatch::error::JobError;
use crate::execute::clock::Clock;
use crate::execute::context::{ExecutionContext, JobContext};
use crate::execute::control::Signals;
use crate::execute::supervise;
use crate::input::own_settings::TaskTimes;
use crate::plan::planner::Plan;
use crate::results::directory::PlanView;
use crate::run::Job;
use crate::run::prepare::PreparedJob;
use crate::run::start::{Beginning, OpenedJob};
use crate::undo::release::{release_all, unreleased_of};
use persea_config::settings;
use persea_display as display;
use persea_display::{JobBegin, Screen};
use persea_journal::{Event, JobFinished, Journal, Warning, WarningCause};
use persea_spawner::Spawners;

/// Runs the tasks of a job, and closes its journal.
///
/// # Errors
/// The journal cannot be read or written, or a signal arrived before the first task.
pub(super) async fn run(
    job: Job,
    prepared: PreparedJob,
    beginning: Beginning,
    opened: &mut OpenedJob,
    screen: &mut Screen,
) -> Result<Totals, JobError> {
    let Job {
        id,
        config,
        catalog,
        spawners,
        unreleased_jobs,
        mut signals,
        ..
    } = job;
    let PreparedJob {
        plan,
        graph,
        pools,
        policy,
    } = prepared;
    let Beginning {
        progress,
        warnings,
        limits,
        dependencies,
        project_dir,
        log,
    } = beginning;
    let OpenedJob {
        directory, journal, ..
    } = opened;
    let total = plan.entries.len();
    screen.begin(JobBegin {
        id: id.clone(),
        directory: directory.path().to_path_buf(),
        total,
        shuffle_seed: plan.shuffle_seed,
        view: Arc::new(PlanView {
            plan: Arc::clone(&plan),
            test_results: Arc::clone(directory.test_results()),
        }),
        log,
    });
    screen.log(format!(
        "persea {} runs {total} tasks; job {id}",
        env!("CARGO_PKG_VERSION")
    ));
    let taken_over = progress.as_ref().map(|progress| progress.notice.clone());
    let notices = taken_over.into_iter().chain(notices(&spawners, &plan));
    for line in notices {
        screen.notice(&line);
        screen.log(line);
    }
    show_warnings(&warnings, screen);

    let execution = Arc::new(ExecutionContext {
        spawners,
        clock: Arc::new(Clock::new()),
        dependencies,
        project_dir,
        grace: supervise::grace(&config),
    });
    let clock = Arc::clone(&execution.clock);
    let mut not_released = Vec::new();
    if progress.is_some() {
        let left = unreleased_of(directory.path())?;
        let plugins = (&*catalog, &*config);
        let released = release_all(&execution, plugins, journal, left);
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
        times: TaskTimes::new(&config),
        limits,
    };
    let timeout = config.get(settings::JOB_RUN_TIMEOUT);
    let mut dispatcher = Dispatcher {
        context: Arc::new(context),
        plan,
        config: &config,
        directory,
        journal,
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
    finish_journal(journal, &totals, total)?;
    Ok(totals)
}

/// The lines about the job as a whole, before its first task.
fn notices(spawners: &Spawners, plan: &Plan) -> Vec<String> {
    let mut lines: Vec<String> = spawners.notices().into_iter().collect();
    if let Some(unfiltered) = plan.unfiltered {
        let total = plan.entries.len();
        lines.push(format!("The filters leave {total} of {unfiltered} tests."));
    }
    for (reason, tasks) in plan.refusals() {
        let tests = if tasks == 1 { "test" } else { "tests" };
        lines.push(format!("{tasks} {tests} cannot run: {reason}"));
    }
    lines
}

/// Logs the warnings, and shows those that the user has not seen yet.
fn show_warnings(warnings: &[Warning], screen: &mut Screen) {
    for warning in warnings {
        let line = format!("warning: {warning}");
        match warning.cause {
            WarningCause::Limit | WarningCause::FailedTestGone => screen.notice(&line),
            // They were shown when the references were resolved.
            WarningCause::Incomplete | WarningCause::ResolverError | WarningCause::Unreadable => {}
            // They come later.
            WarningCause::Scheduler | WarningCause::Host => {}
        }
        screen.log(line);
    }
}

/// Writes the last event of a job.
fn finish_journal(journal: &mut Journal, totals: &Totals, total: usize) -> Result<(), JobError> {
    let finished = JobFinished {
        tally: totals.tally,
        total,
        elapsed: u64::try_from(totals.elapsed.as_nanos()).unwrap_or(u64::MAX),
        interrupted_by: totals.stopped.map(str::to_owned),
        switches: totals.switches,
    };
    journal.record(None, &Event::JobFinished(Cow::Borrowed(&finished)))?;
    journal.finish()?;
    Ok(())
}

/// Stops waiting for slow readers of reports and of the display at a signal or at the job's
/// timeout.
async fn until_hurried(mut signals: Signals, clock: Arc<Clock>, timeout: Option<Duration>) {
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
