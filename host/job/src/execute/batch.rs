//! Owns the execution of a batch: many tasks, one after the other, with one instance of their
//! runner and in one environment. Does not know which task is next: it asks the dispatcher for
//! each.
//!
//! Whatever happens to the batch, only the task that runs at that time is affected.

mod host;

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::execute::batch_outputs::Outputs;
use crate::execute::context::JobContext;
use crate::execute::control::Control;
use crate::execute::executor::{
    TaskRun, fetch_files, finished_task, host_failure, in_environment, is_stop, plugin_failure,
    with_variables,
};
use crate::execute::interruption::Interruption;
use crate::execute::messages::{Assignment, ExecutorMessage};
use crate::execute::slot::Slot;
use crate::execute::supervise::{
    CallChange, StopLimits, Stoppable, TIMEOUT_REASON, kill_in, run_to_end, terminate_in,
};
use crate::execute::task_directory::TaskDirectory;
use crate::execute::task_session::{SessionSubject, TaskSession};
use crate::input::own_settings;
use crate::plan::entry::{PlanEntry, TaskFate};
use crate::plan::planner::Plan;
use persea_model::{Outcome, Status, TaskIndex};
use persea_plugin::{BatchHost, BatchTask, Plugin, PluginError, TaskHost};
use persea_spawner::EnvironmentState;

/// A task by its index in the plan, with its assignment.
pub(crate) type Upcoming = (TaskIndex, Assignment);

/// A running batch.
pub(crate) struct Batch {
    context: Arc<JobContext>,
    plan: Arc<Plan>,
    runner: Arc<Plugin>,
    slot: Arc<Slot>,
    state: EnvironmentState,
    messages: mpsc::UnboundedSender<ExecutorMessage>,
    inner: Mutex<BatchState>,
    /// The files into which the batch's processes print, once there are any.
    outputs: tokio::sync::Mutex<Option<Outputs>>,
    /// Notified when another task runs.
    task_changed: Notify,
    interruption: Interruption,
}

#[derive(Default)]
struct BatchState {
    /// The first task, until the runner takes it.
    first: Option<Upcoming>,
    /// The request for the next task, while it is unanswered.
    request: Option<oneshot::Receiver<Upcoming>>,
    current: Option<CurrentTask>,
    /// Why the batch is being ended, if it is.
    stop_reason: Option<&'static str>,
}

struct CurrentTask {
    session: Arc<TaskSession>,
    index: TaskIndex,
    assigned_at: Duration,
    timeout: Option<Duration>,
}

impl Batch {
    /// Creates a batch that starts with the task `first`.
    pub(crate) fn new(
        context: Arc<JobContext>,
        plan: Arc<Plan>,
        runner: Arc<Plugin>,
        first: Upcoming,
    ) -> Self {
        let (_, assignment) = &first;
        Self {
            slot: Arc::clone(&assignment.slot),
            state: assignment.state.clone(),
            messages: assignment.messages.clone(),
            inner: Mutex::new(BatchState {
                first: Some(first),
                ..BatchState::default()
            }),
            outputs: tokio::sync::Mutex::default(),
            task_changed: Notify::new(),
            interruption: Interruption::default(),
            context,
            plan,
            runner,
        }
    }

    /// Runs the batch to its end, and reports that end.
    pub(crate) async fn execute(self, mut control: watch::Receiver<Control>) {
        let batch = Arc::new(self);
        let _end_report = BatchEndReport(Arc::clone(&batch));
        let as_host: Arc<dyn BatchHost> = Arc::clone(&batch) as Arc<dyn BatchHost>;
        let running = batch.runner.run_batch(&batch.context.id, as_host);
        let execution = &batch.context.execution;
        let limits = StopLimits {
            clock: &execution.clock,
            timeout_reason: TIMEOUT_REASON,
            patience: Duration::ZERO,
            grace: execution.grace,
        };
        let ended = run_to_end(&*batch, &limits, &mut control, pin!(running)).await;
        let answer = ended.and_then(|ended| ended.answer);
        // A task that is never taken would be requeued for ever, so the first one fails with the
        // batch.
        let first = batch.inner().first.take();
        if let Some(first) = first {
            batch.keep_output().await;
            batch.begin(first);
        }
        let failure = match answer {
            Some(Err(error)) => error,
            Some(Ok(())) | None => PluginError::Answer {
                plugin: batch.runner.label().to_owned(),
                code: "unsupported".to_owned(),
                message: "the runner ended its batch without a result for this task".to_owned(),
                is_infrastructure: false,
            },
        };
        batch.finish_current(Err(failure)).await;
        if let Some(environment) = batch.slot.environment()
            && kill_in(&batch.slot, &environment).await.is_err()
        {
            batch.slot.give_up(&environment);
        }
        let outputs = batch.outputs.lock().await.take();
        if let Some(outputs) = outputs {
            outputs.end().await;
        }
    }

    fn inner(&self) -> MutexGuard<'_, BatchState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<Arc<TaskSession>> {
        let inner = self.inner();
        inner.current.as_ref().map(|it| Arc::clone(&it.session))
    }

    /// Copies what the batch's processes have printed since the task started to that task's
    /// directory. Returns the batch's own directory if that holds more.
    async fn copy_output(&self, session: &TaskSession) -> Option<String> {
        let mut outputs = self.outputs.lock().await;
        let outputs = outputs.as_mut()?;
        if let Err(error) = outputs.pass_on(&session.directory).await {
            cannot_read(&error);
        }
        outputs.rest().map(str::to_owned)
    }

    /// Leaves what the batch's processes have printed while no task ran with the batch.
    async fn keep_output(&self) {
        if let Some(outputs) = self.outputs.lock().await.as_mut()
            && let Err(error) = outputs.keep().await
        {
            cannot_read(&error);
        }
    }

    fn running_task(&self) -> io::Result<Arc<TaskSession>> {
        let none = || io::Error::other("no task of the batch is running that could own the file");
        self.current().ok_or_else(none)
    }

    /// Makes a task the current one.
    fn begin(&self, (index, assignment): Upcoming) -> Option<Arc<TaskSession>> {
        let PlanEntry { task, .. } = self.plan.entry(index)?;
        let context = &self.context;
        let directory = TaskDirectory::of_test(&context.test_results, &task.directory);
        let assigned_at = context.execution.clock.now();
        let session = TaskSession::new(
            Arc::clone(&context.execution),
            SessionSubject::Task(index),
            directory,
            assignment,
        );
        let session = Arc::new(session.with_cases(&task.id, context.shows_cases));
        let mut inner = self.inner();
        let timeout = context.times.of(&task.runnable.more);
        if let Some(timeout) = timeout {
            session.set_timeout(assigned_at, timeout);
        }
        inner.current = Some(CurrentTask {
            session: Arc::clone(&session),
            index,
            assigned_at,
            timeout,
        });
        drop(inner);
        self.task_changed.notify_one();
        Some(session)
    }

    async fn take_next(&self) -> Option<BatchTask> {
        let first = {
            let mut inner = self.inner();
            if inner.stop_reason.is_some() {
                return None;
            }
            inner.first.take()
        };
        let upcoming = match first {
            Some(first) => first,
            None => self.request_task().await?,
        };
        let (index, variables) = (upcoming.0, upcoming.1.variables.clone());
        let PlanEntry {
            task,
            fate: TaskFate::Run(runner, settings),
            ..
        } = self.plan.entry(index)?
        else {
            return None;
        };
        self.keep_output().await;
        let session = self.begin(upcoming)?;
        if runner.starts_processes()
            && let Err(error) = session.environment().await
        {
            let outcome = Outcome::new(Status::Error, error.to_string());
            self.finish_current(Ok(outcome.with_infrastructure())).await;
            return None;
        }
        let task = in_environment(with_variables(task, &variables), session.opened());
        let task = task.into_owned();
        let mut more = session.surroundings();
        let own = &task.runnable.more;
        if let Some(timeout) = self.context.times.of(own) {
            more.insert("timeout".into(), own_settings::nanoseconds(timeout));
        }
        Some(BatchTask {
            settings: own_settings::settings(own, settings, runner).into_owned(),
            task: Arc::new(task),
            more,
        })
    }

    /// Ends the current task. If the future is dropped, the task is still the current one.
    async fn finish_current(&self, outcome: Result<Outcome, PluginError>) {
        let Some(session) = self.current() else {
            return;
        };
        let mut outcome = outcome.unwrap_or_else(|error| plugin_failure(&error));
        let rest = self.copy_output(&session).await;
        fetch_files(&session, &mut outcome).await;
        self.report(outcome, rest);
    }

    /// Reports the end of the current task. `rest` is the batch's own directory, if that holds
    /// output.
    fn report(&self, mut outcome: Outcome, rest: Option<String>) {
        let (current, stop_reason) = {
            let mut inner = self.inner();
            (inner.current.take(), inner.stop_reason)
        };
        let Some(current) = current else {
            return;
        };
        let Some(PlanEntry { task, .. }) = self.plan.entry(current.index) else {
            return;
        };
        if let Some(rest) = rest {
            outcome.more.insert("batch-directory".into(), rest.into());
        }
        let left = outcome.more.remove("left-behind");
        let left = left.and_then(|left| left.as_u64()).unwrap_or_default();
        if let Some(reason) = stop_reason {
            outcome.status = Status::Interrupted;
            outcome.reason = Some(reason.to_owned());
        } else if !outcome.status.has_passed() && current.session.is_lost() {
            // The runner may have taken the end of its process for a failure of the test.
            outcome.status = Status::Error;
            outcome = outcome.with_infrastructure();
        }
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        current.session.log_left_behind(left);
        let ran = TaskRun {
            outcome,
            left_behind: left,
            // The processes are those of all tasks of the batch.
            usage: None,
            is_stopped: stop_reason.is_some_and(is_stop),
        };
        let mut finished = finished_task(&current.session, task, ran, current.assigned_at);
        // Processes that know the directory's path write there themselves.
        finished.has_directory |= current.session.directory.exists();
        let _ = self
            .messages
            .send(ExecutorMessage::Finished(Box::new(finished)));
        self.task_changed.notify_one();
    }

    /// Asks the dispatcher for the next task. None when there is none.
    async fn request_task(&self) -> Option<Upcoming> {
        let (give, asked) = oneshot::channel();
        let slot = self.slot.index;
        self.inner().request = Some(asked);
        self.messages
            .send(ExecutorMessage::BatchReady { slot, give })
            .ok()?;
        std::future::poll_fn(|context| {
            // The receiver stays in `inner`, so that a task is not lost when this future is
            // dropped.
            let mut inner = self.inner();
            let Some(asked) = &mut inner.request else {
                return std::task::Poll::Ready(None);
            };
            let answer = Pin::new(asked).poll(context);
            if answer.is_ready() {
                inner.request = None;
            }
            answer.map(Result::ok)
        })
        .await
    }
}

impl Stoppable for Batch {
    /// When the current task reaches its timeout.
    fn deadline(&self) -> Option<Duration> {
        let inner = self.inner();
        let current = inner.current.as_ref()?;
        let begun = current.session.start.get();
        let begun = begun.map_or(current.assigned_at, |(_, begun)| begun);
        Some(begun + current.timeout?)
    }

    async fn changed(&self) -> CallChange {
        self.task_changed.notified().await;
        CallChange::Deadline
    }

    fn stopping(&self, reason: &'static str) {
        self.inner().stop_reason.get_or_insert(reason);
        self.interruption.interrupt();
    }

    async fn terminate(&self) {
        if let Some(environment) = self.slot.environment() {
            terminate_in(&environment).await;
        }
    }

    async fn kill(&self) -> usize {
        match self.slot.environment() {
            Some(environment) => kill_in(&self.slot, &environment).await.unwrap_or(0),
            None => 0,
        }
    }
}

fn cannot_read(error: &io::Error) {
    tracing::warn!("cannot read the output of a batch's processes: {error}");
}

/// Reports the end of a batch when dropped, so also after a bug of the host.
struct BatchEndReport(Arc<Batch>);

impl Drop for BatchEndReport {
    fn drop(&mut self) {
        let Self(batch) = self;
        let slot = batch.slot.index;
        let first = batch.inner().first.take();
        if let Some(first) = first {
            batch.begin(first);
        }
        batch.report(host_failure(), None);
        // A task may have been assigned after the runner stopped waiting for it.
        let asked = batch.inner().request.take();
        if let Some((task, _)) = asked.and_then(|mut asked| asked.try_recv().ok()) {
            let _ = batch.messages.send(ExecutorMessage::Returned {
                task,
                slot,
                helper_died: false,
            });
        }
        let _ = batch.messages.send(ExecutorMessage::BatchEnded { slot });
    }
}
