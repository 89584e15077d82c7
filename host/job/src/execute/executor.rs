//! One task from its start to its end: the runner's sandbox, the task's environment, its time-out, the end of its processes.
//!
//! Owns one task and nothing else; what happens to it is told to the dispatcher. Whatever a runner or a test does, `execute` ends, and
//! nothing that the task started outlives it.

use std::borrow::Cow;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::execute::clock::Clock;
use crate::execute::control::Control;
use crate::execute::supervise::{TOO_LONG, Times, supervise};
use crate::execute::task_directory::TaskDirectory;
use crate::execute::task_host::{Assignment, Finished, Host, Message};
use crate::input::own_settings::{self, TaskTimes};
use crate::results::directory::Section;
use persea_journal as journal;
use persea_model::{Attributes, JobId, Outcome, Status, Task};
use persea_plugin::{Catalog, LogLevel, Plugin, TaskHost};
use persea_spawner::{QueuedProcess, Spawner};

/// A process that takes less than this may have ended before its start is told: 10 ms.
const QUICK: Duration = Duration::from_millis(10);

/// What all tasks of a job share and none changes.
pub(crate) struct Shared {
    pub(crate) job: JobId,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) spawner: Box<dyn Spawner>,
    /// Whether tasks reach the network, where that can be kept from them.
    pub(crate) network: bool,
    /// Whether runners that can are given many tasks one after the other.
    pub(crate) batches: bool,
    /// Whether each has an environment for itself, where one can be brought back to how it was.
    pub(crate) fresh: bool,
    pub(crate) clock: Arc<Clock>,
    pub(crate) test_results: Arc<Section>,
    /// Where the directories of requirements are.
    pub(crate) dependencies: Arc<Section>,
    pub(crate) temp_dir: PathBuf,
    pub(crate) project_dir: PathBuf,
    /// How long tasks may run.
    pub(crate) times: TaskTimes,
    /// Between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
}

/// Tells the dispatcher that a task has ended, also when the executor ends by a bug of its own.
struct Report {
    messages: mpsc::UnboundedSender<Message>,
    message: Option<Message>,
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            let _ = self.messages.send(message);
        }
    }
}

/// Runs a task to its end, and says how it went.
pub(crate) async fn execute(
    shared: Arc<Shared>,
    assignment: Assignment,
    task: &Task,
    runner: &Plugin,
    settings: &Attributes,
    mut control: watch::Receiver<Control>,
) {
    let task = &*with_variables(task, &assignment.variables);
    let (task_index, slot_index) = (task.index, assignment.slot.index);
    let mut report = Report {
        messages: assignment.messages.clone(),
        message: Some(Message::Finished(Box::new(Finished {
            task: task_index,
            slot: slot_index,
            outcome: bug(),
            started: journal::now(),
            elapsed: Duration::ZERO,
            left_behind: 0,
            whiteboard: None,
            took: None,
            has_directory: false,
        }))),
    };
    let given_at = shared.clock.now();
    let spoils = assignment.spoils;
    let directory = TaskDirectory::of_test(&shared.test_results, &task.directory);
    let host = Arc::new(Host::new(
        Arc::clone(&shared),
        task.index,
        directory,
        assignment,
    ));
    let ran = run(
        &shared,
        &host,
        task,
        runner,
        settings,
        &mut control,
        given_at,
    )
    .await;
    if spoils && let Some(environment) = host.slot.take() {
        environment.close().await;
    }
    let Some((outcome, left_behind)) = ran else {
        host.directory.remove();
        report.message = Some(Message::Returned {
            task: task_index,
            slot: slot_index,
            helper_died: host
                .queued_process()
                .is_some_and(QueuedProcess::helper_died),
        });
        return;
    };
    let finished = finished(&host, task, outcome, given_at, left_behind);
    report.message = Some(Message::Finished(Box::new(finished)));
}

/// How a task ended over which the host has failed.
pub(crate) fn bug() -> Outcome {
    Outcome::new(
        Status::Error,
        "the host failed while it ran this task; this is a bug of Persea",
    )
}

/// What is told of a task that has ended.
pub(crate) fn finished(
    host: &Host,
    task: &Task,
    mut outcome: Outcome,
    given_at: Duration,
    left_behind: usize,
) -> Finished {
    if outcome.status != Status::Pass {
        let reason = outcome.reason.as_deref().unwrap_or("no reason given");
        host.log(LogLevel::Info, &format!("{}: {reason}", outcome.status));
    }
    outcome.reason = outcome.reason.filter(|reason| !reason.is_empty());
    host.tell_early();
    let beginning = host.beginning.get();
    let begun = beginning.map_or(given_at, |(_, begun)| begun);
    let elapsed = host.shared.clock.now().saturating_sub(begun);
    let took = host.queued_process().and_then(QueuedProcess::running_time);
    // The start and the end of a quick one may be told at once; then what was measured beside it is right.
    let measured = took.filter(|took| *took < QUICK).unwrap_or_default();
    Finished {
        task: task.index,
        slot: host.slot.index,
        outcome,
        started: beginning.map_or_else(journal::now, |(at, _)| at),
        elapsed: elapsed.max(measured),
        left_behind,
        whiteboard: host.take_whiteboard(),
        took,
        has_directory: host.directory.settle(),
    }
}

/// How the task went, and how many processes it has left behind. None if the helper has returned
/// the task's process unstarted.
async fn run(
    shared: &Shared,
    host: &Arc<Host>,
    task: &Task,
    runner: &Plugin,
    settings: &Attributes,
    control: &mut watch::Receiver<Control>,
    given_at: Duration,
) -> Option<(Outcome, usize)> {
    let own = &task.runnable.more;
    let timeout = shared.times.of(own);
    let settings = own_settings::settings(own, settings, runner);
    // A runner that can start processes is told where they may leave what only this task needs; the others need no environment.
    if runner.manifest.starts_processes()
        && let Err(error) = host.environment().await
    {
        return Some((Outcome::new(Status::Error, error.to_string()), 0));
    }
    let mut more = host.surroundings();
    if let Some(timeout) = timeout {
        more.insert("timeout".into(), timeout.as_secs_f64().into());
    }
    let times = Times {
        clock: &shared.clock,
        begun: given_at,
        timeout,
        too_long: TOO_LONG,
        patience: Duration::ZERO,
        grace: shared.grace,
    };
    let as_host: Arc<dyn TaskHost> = Arc::clone(host) as Arc<dyn TaskHost>;
    // In its place from the beginning: it's the larger part of what a task takes, and would be moved about.
    let running = pin!(runner.run(&shared.job, task, &settings, more, as_host));
    let supervised = supervise(host, &times, control, running).await?;
    let mut outcome = match supervised.answer {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Outcome::new(Status::Error, error.to_string()),
        None => Outcome::bare(Status::Interrupted),
    };
    match (supervised.interrupted, supervised.lost) {
        (Some(reason), _) => {
            outcome.status = Status::Interrupted;
            outcome.reason = Some(reason.to_owned());
        }
        (None, Some(error)) => {
            outcome.status = Status::Error;
            outcome.reason = Some(error.to_string());
        }
        (None, None) => {}
    }
    Some((outcome, supervised.left_behind))
}

/// The task with the variables that its requirements have for it. Its own count for more.
pub(crate) fn with_variables<'a>(task: &'a Task, variables: &[(String, String)]) -> Cow<'a, Task> {
    if variables.is_empty() {
        return Cow::Borrowed(task);
    }
    let mut task = task.clone();
    let own = std::mem::take(&mut task.runnable.env);
    let theirs = variables.iter().cloned();
    let theirs = theirs.map(|(name, value)| (name, Some(value)));
    task.runnable.env = theirs.chain(own).collect();
    Cow::Owned(task)
}
