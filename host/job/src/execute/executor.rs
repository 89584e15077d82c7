//! Owns one task from its start to its end: the runner's sandbox, the environment, the timeout, and
//! the end of the task's processes. `execute` always ends, and no process of the task outlives it.
//! Results go to the dispatcher as messages.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::execute::cases::CaseSummary;
use crate::execute::context::JobContext;
use crate::execute::control::Control;
use crate::execute::messages::{Assignment, ExecutorMessage, FinishedTask};
use crate::execute::supervise::{StopLimits, TIMEOUT_REASON, TimeLimits, supervise};
use crate::execute::task_directory::TaskDirectory;
use crate::execute::task_session::{SessionSubject, TaskSession};
use crate::input::own_settings;
use persea_journal as journal;
use persea_model::{Attributes, Outcome, Status, Task};
use persea_plugin::{LogLevel, Plugin, PluginError, TaskHost};
use persea_spawner::{Environment, QueuedProcess, ReachedLimit, Usage};

/// A process that runs shorter than this may have ended before its start is reported: 10 ms.
const QUICK: Duration = Duration::from_millis(10);

/// Reports the end of a task to the dispatcher when dropped, so also after a panic.
struct TaskEndReport {
    messages: mpsc::UnboundedSender<ExecutorMessage>,
    message: Option<ExecutorMessage>,
}

impl Drop for TaskEndReport {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            let _ = self.messages.send(message);
        }
    }
}

/// Runs a task to its end, and reports its result.
pub(crate) async fn execute(
    context: Arc<JobContext>,
    assignment: Assignment,
    task: &Task,
    runner: &Plugin,
    settings: &Attributes,
    mut control: watch::Receiver<Control>,
) {
    let task = &*with_variables(task, &assignment.variables);
    let (task_index, slot_index) = (task.index, assignment.slot.index);
    let mut report = TaskEndReport {
        messages: assignment.messages.clone(),
        message: Some(ExecutorMessage::Finished(Box::new(FinishedTask {
            task: task_index,
            slot: slot_index,
            outcome: host_failure(),
            is_lost: false,
            is_stopped: false,
            started: journal::now(),
            elapsed: Duration::ZERO,
            left_behind: 0,
            usage: None,
            whiteboard: None,
            took: None,
            has_directory: false,
            cases: CaseSummary::default(),
        }))),
    };
    let assigned_at = context.execution.clock.now();
    let leaves_dirty = assignment.leaves_dirty;
    let directory = TaskDirectory::of_test(&context.test_results, &task.directory);
    let session = TaskSession::new(
        Arc::clone(&context.execution),
        SessionSubject::Task(task_index),
        directory,
        assignment,
    );
    let session = Arc::new(session.with_cases(&task.id, context.shows_cases));
    let ran = run(
        &context,
        &session,
        task,
        runner,
        settings,
        &mut control,
        assigned_at,
    )
    .await;
    if leaves_dirty && let Some(environment) = session.slot.take() {
        environment.close().await;
    }
    let Some(ran) = ran else {
        session.directory.remove();
        report.message = Some(ExecutorMessage::Returned {
            task: task_index,
            slot: slot_index,
            helper_died: session
                .queued_process()
                .is_some_and(QueuedProcess::helper_died),
        });
        return;
    };
    let finished = finished_task(&session, task, ran, assigned_at);
    report.message = Some(ExecutorMessage::Finished(Box::new(finished)));
}

/// The result of a task whose executor failed.
pub(crate) fn host_failure() -> Outcome {
    Outcome::new(
        Status::Error,
        "the host failed while it ran this task; this is a bug of Persea",
    )
}

/// The result of a task whose runner has failed.
pub(crate) fn plugin_failure(error: &PluginError) -> Outcome {
    let outcome = Outcome::new(Status::Error, error.to_string());
    match error {
        PluginError::Answer {
            is_infrastructure: true,
            ..
        } => outcome.with_infrastructure(),
        _ => outcome,
    }
}

/// How a task ran.
pub(crate) struct TaskRun {
    pub(crate) outcome: Outcome,
    /// The number of processes that it left behind.
    pub(crate) left_behind: usize,
    /// What its processes have used; none if it had none of its own.
    pub(crate) usage: Option<Usage>,
    /// Whether it was interrupted because the job was stopped.
    pub(crate) is_stopped: bool,
}

impl TaskRun {
    /// A task without processes.
    fn without_processes(outcome: Outcome) -> Self {
        Self {
            outcome,
            left_behind: 0,
            usage: None,
            is_stopped: false,
        }
    }
}

/// The report of a task that has ended.
pub(crate) fn finished_task(
    session: &TaskSession,
    task: &Task,
    ran: TaskRun,
    assigned_at: Duration,
) -> FinishedTask {
    let TaskRun {
        mut outcome,
        left_behind,
        usage,
        is_stopped,
    } = ran;
    let was_interrupted = outcome.status == Status::Interrupted;
    if let Some(cases) = session.end_cases(was_interrupted)
        && was_interrupted
    {
        let reason = outcome.reason.as_deref().unwrap_or("interrupted");
        outcome.reason = Some(format!("{reason} {cases}"));
    }
    if outcome.status != Status::Pass {
        let reason = outcome.reason.as_deref().unwrap_or("no reason given");
        session.log(LogLevel::Info, &format!("{}: {reason}", outcome.status));
    }
    outcome.reason = outcome.reason.filter(|reason| !reason.is_empty());
    session.report_early();
    let start = session.start.get();
    let begun = start.map_or(assigned_at, |(_, begun)| begun);
    let elapsed = session.execution.clock.now().saturating_sub(begun);
    let took = session
        .queued_process()
        .and_then(QueuedProcess::running_time);
    // The start and the end of a quick task may be reported together; then the helper's measurement
    // is the true one.
    let measured = took.filter(|took| *took < QUICK).unwrap_or_default();
    // A test on a lost host runs until the lease is over, and may reach its time limit meanwhile.
    let may_be_lost = matches!(outcome.status, Status::Error | Status::Interrupted);
    FinishedTask {
        task: task.index,
        slot: session.slot.index,
        is_lost: may_be_lost && session.is_lost(),
        is_stopped,
        outcome,
        started: start.map_or_else(journal::now, |(at, _)| at),
        elapsed: elapsed.max(measured),
        left_behind,
        usage,
        whiteboard: session.take_whiteboard(),
        took,
        has_directory: session.directory.settle(),
        cases: session.take_cases(),
    }
}

/// Runs a task. None if the helper has returned the task's process unstarted.
async fn run(
    context: &JobContext,
    session: &Arc<TaskSession>,
    task: &Task,
    runner: &Plugin,
    settings: &Attributes,
    control: &mut watch::Receiver<Control>,
    assigned_at: Duration,
) -> Option<TaskRun> {
    let own = &task.runnable.more;
    let timeout = context.times.of(own);
    let settings = own_settings::settings(own, settings, runner);
    // A runner that can start processes receives the environment's work directory; other runners
    // need no environment.
    if runner.starts_processes()
        && let Err(error) = session.environment().await
    {
        let outcome = Outcome::new(Status::Error, error.to_string());
        return Some(TaskRun::without_processes(outcome.with_infrastructure()));
    }
    let task = &*in_environment(Cow::Borrowed(task), session.opened());
    let mut more = session.surroundings();
    if let Some(timeout) = timeout {
        more.insert("timeout".into(), own_settings::nanoseconds(timeout));
    }
    let limits = TimeLimits {
        begun: assigned_at,
        timeout,
        stop: StopLimits {
            clock: &context.execution.clock,
            timeout_reason: TIMEOUT_REASON,
            patience: Duration::ZERO,
            grace: context.execution.grace,
        },
    };
    let as_host: Arc<dyn TaskHost> = Arc::clone(session) as Arc<dyn TaskHost>;
    // Pinned where it is created: the future is large and would otherwise be copied.
    let running = pin!(runner.run(&context.id, task, &settings, more, as_host));
    let supervised = supervise(session, &limits, control, running).await?;
    let mut outcome = match supervised.answer {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => plugin_failure(&error),
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
            outcome = outcome.with_infrastructure();
        }
        (None, None) => {}
    }
    apply_limits(&mut outcome, &supervised.reached);
    fetch_files(session, &mut outcome).await;
    Some(TaskRun {
        outcome,
        left_behind: supervised.left_behind,
        usage: supervised.usage,
        is_stopped: supervised.interrupted.is_some_and(is_stop),
    })
}

/// Whether a task was interrupted because the job was stopped, and not because of the task's own
/// time limit.
pub(crate) fn is_stop(reason: &str) -> bool {
    reason != TIMEOUT_REASON
}

/// Fetches the files of a task from another host. A task without its files has no result that could
/// be looked into, so it is an error; a task whose host was lost gets another attempt.
pub(crate) async fn fetch_files(session: &TaskSession, outcome: &mut Outcome) {
    let is_known = matches!(outcome.status, Status::Error | Status::Interrupted);
    if is_known && session.opened().is_none_or(Environment::is_lost) {
        return;
    }
    if let Err(error) = session.fetch_files().await {
        let before = outcome.reason.take();
        let before = before.map(|reason| format!("; before that: {reason}"));
        outcome.reason = Some(format!("{error}{}", before.unwrap_or_default()));
        if outcome.status != Status::Interrupted {
            outcome.status = Status::Error;
        }
        outcome
            .more
            .insert(Outcome::INFRASTRUCTURE.into(), true.into());
    }
}

/// Makes a reached limit the reason of a result. A test that has passed in spite of it gets a
/// warning; one that was interrupted stays so.
fn apply_limits(outcome: &mut Outcome, reached: &[ReachedLimit]) {
    if reached.is_empty() {
        return;
    }
    let all: Vec<String> = reached.iter().map(ToString::to_string).collect();
    let all = all.join(", ");
    let (status, reason) = match outcome.status {
        Status::Pass | Status::Warn => {
            let reason = outcome.reason.take();
            let before = reason.map(|it| format!("{it}; ")).unwrap_or_default();
            (
                Status::Warn,
                format!("{before}passed, but reached a limit: {all}"),
            )
        }
        Status::Interrupted => {
            let reason = outcome.reason.take();
            let reason = reason.unwrap_or_else(|| "interrupted".to_owned());
            (Status::Interrupted, format!("{reason}; {all}"))
        }
        Status::Fail | Status::Error | Status::Skip | Status::Cancel => {
            // Also where the kernel has killed the helper with the test's processes.
            outcome.more.remove(Outcome::INFRASTRUCTURE);
            (Status::Error, all)
        }
    };
    outcome.status = status;
    outcome.reason = Some(reason);
}

/// The task with the path of its file as the environment has it.
pub(crate) fn in_environment<'a>(
    mut task: Cow<'a, Task>,
    environment: Option<&Environment>,
) -> Cow<'a, Task> {
    if let Some(files) = environment.and_then(Environment::remote_files)
        && let Some(uri) = &task.runnable.uri
        && uri.starts_with('/')
    {
        let there = files.path(uri);
        Arc::make_mut(&mut task.to_mut().runnable).uri = Some(there);
    }
    task
}

/// The task with the variables that its requirements and leases set. The task's own variables win.
pub(crate) fn with_variables<'a>(task: &'a Task, variables: &[(String, String)]) -> Cow<'a, Task> {
    if variables.is_empty() {
        return Cow::Borrowed(task);
    }
    let mut task = task.clone();
    let runnable = Arc::make_mut(&mut task.runnable);
    let own = std::mem::take(&mut runnable.env);
    let theirs = variables.iter().cloned();
    let theirs = theirs.map(|(name, value)| (name, Some(value)));
    runnable.env = theirs.chain(own).collect();
    Cow::Owned(task)
}
