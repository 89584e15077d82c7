//! One task from its start to its end: the runner's sandbox, the task's environment, its time-out, the end of its processes.
//!
//! Owns one task and nothing else; what happens to it is told to the dispatcher. Whatever a runner or a test does, `execute` ends, and
//! nothing that the task started outlives it.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::clock::Clock;
use super::control::{Control, changed};
use super::task_host::{Assignment, Finished, Host, Message};
use crate::config::duration;
use crate::journal;
use crate::model::{Attributes, JobId, Outcome, Status, Task};
use crate::plugin::{Catalog, Level, Plugin, TaskHost};
use crate::spawner::{SpawnError, Spawner, Turn};

/// How long a runner may take after all processes of its task were killed: 1 s.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// The longest that a helper may take to answer when processes are to be ended: 10 s.
const HELPER: Duration = Duration::from_secs(10);

/// A process that takes less than this may have ended before its start is told: 10 ms.
const QUICK: Duration = Duration::from_millis(10);

/// SIGTERM.
const TERMINATE: i32 = 15;

/// What all tasks of a job share and none changes.
pub(super) struct Shared {
    pub(super) job: JobId,
    pub(super) catalog: Arc<Catalog>,
    pub(super) spawner: Box<dyn Spawner>,
    pub(super) clock: Clock,
    pub(super) test_results: PathBuf,
    pub(super) temp_dir: PathBuf,
    pub(super) project_dir: PathBuf,
    /// For all tasks that set none themselves.
    pub(super) timeout: Option<Duration>,
    /// Between SIGTERM and SIGKILL.
    pub(super) grace: Duration,
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
pub(super) async fn execute(
    shared: Arc<Shared>,
    assignment: Assignment,
    task: &Task,
    runner: &Plugin,
    settings: &Attributes,
    mut control: watch::Receiver<Control>,
) {
    let (task_index, slot_index) = (task.index, assignment.slot.index);
    let finished = |outcome, beginning: Option<(u64, Duration)>| Finished {
        task: task_index,
        slot: slot_index,
        outcome,
        started: beginning.map_or_else(journal::now, |(at, _)| at),
        elapsed: Duration::ZERO,
        left_behind: 0,
        whiteboard: None,
        took: None,
        has_directory: false,
    };
    let bug = Outcome::new(
        Status::Error,
        "the host failed while it ran this task; this is a bug of Persea",
    );
    let mut report = Report {
        messages: assignment.messages.clone(),
        message: Some(Message::Finished(Box::new(finished(bug, None)))),
    };
    let given_at = shared.clock.now();
    let host = Arc::new(Host::new(Arc::clone(&shared), task, assignment));
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
    let Some((mut outcome, left_behind)) = ran else {
        host.undo();
        report.message = Some(Message::NotNow {
            task: task_index,
            slot: slot_index,
            helper_died: host.turn().is_some_and(Turn::helper_died),
        });
        return;
    };
    if outcome.status != Status::Pass {
        let reason = outcome.reason.as_deref().unwrap_or("no reason given");
        host.log(Level::Info, &format!("{}: {reason}", outcome.status));
    }
    outcome.reason = outcome.reason.filter(|reason| !reason.is_empty());
    host.tell_early();
    let beginning = host.beginning.get();
    let begun = beginning.map_or(given_at, |(_, begun)| begun);
    let elapsed = shared.clock.now().saturating_sub(begun);
    let took = host.turn().and_then(Turn::took);
    // The start and the end of a quick one may be told at once; then what was measured beside it is right.
    let measured = took.filter(|took| *took < QUICK).unwrap_or_default();
    report.message = Some(Message::Finished(Box::new(Finished {
        elapsed: elapsed.max(measured),
        took,
        has_directory: host.has_directory(),
        left_behind,
        whiteboard: host.take_whiteboard(),
        ..finished(outcome, beginning)
    })));
}

/// How far a task's end has come.
enum Phase {
    Running,
    /// SIGTERM was sent, for this reason.
    Ending(&'static str),
    /// SIGKILL was sent.
    Killed(&'static str),
}

/// How the task went, and how many processes it has left behind. None when it was not started, because its turn did not come.
async fn run(
    shared: &Shared,
    host: &Arc<Host>,
    task: &Task,
    runner: &Plugin,
    settings: &Attributes,
    control: &mut watch::Receiver<Control>,
    given_at: Duration,
) -> Option<(Outcome, usize)> {
    let timeout = own_timeout(task).or(shared.timeout);
    let settings = own_settings(task, settings, runner);
    // A runner that can start processes is told where they may leave what only this task needs; the others need no environment.
    if runner
        .manifest
        .powers
        .iter()
        .any(|power| power == "process")
        && let Err(error) = host.environment().await
    {
        return Some((Outcome::new(Status::Error, error.to_string()), 0));
    }
    let more = about(shared, host, timeout);
    // Of a task that waits for its turn, the time counts from its start.
    let time_out = || {
        let begun = host.beginning.get().map_or(given_at, |(_, begun)| begun);
        timeout.map(|timeout| begun + timeout)
    };
    let mut deadline = time_out();
    let mut phase = Phase::Running;
    let mut left_behind = 0;

    let answer = {
        let as_host: Arc<dyn TaskHost> = Arc::clone(host) as Arc<dyn TaskHost>;
        let mut running =
            pin!(
                shared
                    .catalog
                    .run(runner, &shared.job, task, &settings, more, as_host)
            );
        loop {
            let time_is_up = async {
                match deadline {
                    Some(deadline) => shared.clock.until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let (reason, kill) = tokio::select! {
                biased;
                answer = &mut running => break Some(answer),
                asked = changed(control) => match asked.stop {
                    Some(stop) => (stop.reason(), asked.kill),
                    None => continue,
                },
                () = not_now(host) => return None,
                () = time_is_up => {
                    if matches!(phase, Phase::Running) && time_out() > deadline {
                        deadline = time_out();
                        continue;
                    }
                    ("Test interrupted: Timeout reached", false)
                }
            };
            phase = match phase {
                Phase::Running if !kill => {
                    terminate(host).await;
                    deadline = Some(shared.clock.now() + shared.grace);
                    Phase::Ending(reason)
                }
                Phase::Running | Phase::Ending(_) => {
                    let reason = if let Phase::Ending(first) = phase {
                        first
                    } else {
                        reason
                    };
                    left_behind += end(host).await.unwrap_or(0);
                    deadline = Some(shared.clock.now() + LAST_GRACE);
                    Phase::Killed(reason)
                }
                // Even without processes the runner does not return: its sandbox is dropped.
                Phase::Killed(reason) => {
                    phase = Phase::Killed(reason);
                    break None;
                }
            };
        }
    };

    let interrupted = match phase {
        Phase::Running => None,
        Phase::Ending(reason) | Phase::Killed(reason) => Some(reason),
    };
    let mut outcome = match answer {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Outcome::new(Status::Error, error.to_string()),
        None => Outcome::bare(Status::Interrupted),
    };
    if let Some(reason) = interrupted {
        outcome.status = Status::Interrupted;
        outcome.reason = Some(reason.to_owned());
    }
    match end(host).await {
        // What is ended because the task was cut short has not been left behind.
        Ok(left) if interrupted.is_none() => left_behind += left,
        Ok(_) => left_behind = 0,
        Err(error) => {
            if let Some(environment) = host.opened() {
                host.slot.give_up(environment);
            }
            if interrupted.is_none() {
                outcome.status = Status::Error;
                outcome.reason = Some(error.to_string());
            }
        }
    }
    if left_behind > 0 {
        host.log(
            Level::Warn,
            &format!("{left_behind} processes were left behind and have been ended"),
        );
    }
    Some((outcome, left_behind))
}

/// Waits until it's clear that the task does not get its turn.
async fn not_now(host: &Host) {
    match host.turn() {
        Some(turn) => turn.not_now().await,
        None => std::future::pending().await,
    }
}

/// Asks all processes of the task to end.
async fn terminate(host: &Host) {
    let _ = match (host.turn(), host.opened()) {
        (Some(turn), _) => tokio::time::timeout(HELPER, turn.signal_all(TERMINATE)).await,
        (None, Some(environment)) => {
            tokio::time::timeout(HELPER, environment.signal_all(TERMINATE)).await
        }
        (None, None) => return,
    };
}

/// Ends all processes of the task, and says how many there were.
async fn end(host: &Host) -> Result<usize, SpawnError> {
    let Some(environment) = host.opened() else {
        return Ok(0);
    };
    let ended = match host.turn() {
        Some(turn) => tokio::time::timeout(HELPER, turn.end()).await,
        None => tokio::time::timeout(HELPER, environment.end_task()).await,
    };
    match ended {
        Ok(ended) => ended,
        Err(_) => {
            // It cannot be relied on any more: without its channel the helper ends everything and itself.
            host.slot.give_up(environment);
            environment.close().await;
            Ok(0)
        }
    }
}

/// The time-out that a recipe or a resolver gave to this very task.
fn own_timeout(task: &Task) -> Option<Duration> {
    let more = &task.runnable.more;
    let configured = || more.get("config")?.get("task.timeout.running");
    more.get("timeout")
        .or_else(configured)
        .and_then(duration)
        .filter(|timeout| !timeout.is_zero())
}

/// The settings for this task: those of the job, and over them those that its recipe has.
fn own_settings<'a>(
    task: &Task,
    settings: &'a Attributes,
    runner: &Plugin,
) -> std::borrow::Cow<'a, Attributes> {
    let Some(own) = task
        .runnable
        .more
        .get("config")
        .and_then(serde_json::Value::as_object)
    else {
        return std::borrow::Cow::Borrowed(settings);
    };
    let mut settings = settings.clone();
    for (name, value) in own {
        if runner.settings.contains(name) {
            settings.insert(name.clone(), value.clone());
        }
    }
    std::borrow::Cow::Owned(settings)
}

/// What a runner is told of the task's surroundings.
fn about(shared: &Shared, host: &Host, timeout: Option<Duration>) -> Attributes {
    let mut more = Attributes::new();
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned().into();
    more.insert("output-dir".into(), text(&host.directory));
    if let Some(environment) = host.opened() {
        more.insert("work-dir".into(), environment.work_dir().into());
    }
    more.insert("job-temp-dir".into(), text(&shared.temp_dir));
    more.insert("project-dir".into(), text(&shared.project_dir));
    if let Some(timeout) = timeout {
        more.insert("timeout".into(), timeout.as_secs_f64().into());
    }
    more
}
