//! Many tasks, one after the other, with one instance of their runner and in one environment. Owns the one that is run now: its
//! time-out, and how it ends when the runner does not say. It must not know which task is next: it asks for each.
//!
//! Whatever becomes of a batch, only the task that was taken last pays for it.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::execute::batch_outputs::Outputs;
use crate::execute::control::{Control, changed};
use crate::execute::executor::{Shared, bug, finished, with_variables};
use crate::execute::supervise::{LAST_GRACE, TOO_LONG, end_in, terminate_in};
use crate::execute::task_directory::TaskDirectory;
use crate::execute::task_host::{Assignment, Host, Message, Slot};
use crate::input::own_settings;
use crate::plan::planner::{Entry, Fate, Plan};
use persea_model::{Outcome, Status};
use persea_plugin::{BatchHost, BatchTask, LogLevel, NextBatchTask, Plugin, PluginError, TaskHost};
use persea_spawner::{Environment, EnvironmentState, QueuedProcess, SpawnError};

/// A task that is to be run, by its place in the plan.
pub(crate) type Upcoming = (usize, Assignment);

/// A batch that is being run.
pub(crate) struct Batch {
    shared: Arc<Shared>,
    plan: Arc<Plan>,
    runner: Arc<Plugin>,
    slot: Arc<Slot>,
    state: EnvironmentState,
    messages: mpsc::UnboundedSender<Message>,
    inner: Mutex<Inner>,
    /// Another task is run now.
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    /// With it the batch begins.
    first: Option<Upcoming>,
    /// What was asked for and has not come yet.
    asked: Option<oneshot::Receiver<Upcoming>>,
    current: Option<Current>,
    /// Why it is ended.
    ending: Option<&'static str>,
    /// Into which its processes print, where one does.
    outputs: Option<Outputs>,
}

struct Current {
    host: Arc<Host>,
    index: usize,
    given_at: Duration,
    timeout: Option<Duration>,
}

enum Phase {
    Running,
    /// SIGTERM was sent.
    Ending(Duration),
    /// SIGKILL was sent.
    Killed(Duration),
}

impl Batch {
    /// A batch that begins with this task; `runner` runs it.
    pub(crate) fn new(
        shared: Arc<Shared>,
        plan: Arc<Plan>,
        runner: Arc<Plugin>,
        first: Upcoming,
    ) -> Self {
        let (_, assignment) = &first;
        Self {
            slot: Arc::clone(&assignment.slot),
            state: assignment.state.clone(),
            messages: assignment.messages.clone(),
            inner: Mutex::new(Inner {
                first: Some(first),
                ..Inner::default()
            }),
            changed: Notify::new(),
            shared,
            plan,
            runner,
        }
    }

    /// Runs it to its end, and says so.
    pub(crate) async fn execute(self, mut control: watch::Receiver<Control>) {
        let batch = Arc::new(self);
        let _over = Over(Arc::clone(&batch));
        let as_host: Arc<dyn BatchHost> = Arc::clone(&batch) as Arc<dyn BatchHost>;
        let running = batch.runner.run_batch(&batch.shared.job, as_host);
        let answer = batch.supervise(running, &mut control).await;
        // What was given and not taken would come round for ever.
        let first = batch.inner().first.take();
        if let Some(first) = first {
            batch.begin(first);
        }
        batch.finish(Err(match answer {
            Some(Err(error)) => error,
            Some(Ok(())) | None => PluginError::Answer {
                plugin: batch.runner.label().to_owned(),
                code: "unsupported".to_owned(),
                message: "it has ended its batch without saying how this task went".to_owned(),
            },
        }));
        if let Some(environment) = batch.slot.environment()
            && end_in(&batch.slot, &environment).await.is_err()
        {
            batch.slot.give_up(&environment);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<Arc<Host>> {
        let inner = self.inner();
        inner.current.as_ref().map(|it| Arc::clone(&it.host))
    }

    /// Gives the task that is run what the batch's processes have printed since it was taken. Returns where the rest is, if there is any.
    fn pass_on(&self, host: &Host) -> Option<String> {
        let mut inner = self.inner();
        let outputs = inner.outputs.as_mut()?;
        if let Err(error) = outputs.pass_on(&host.directory) {
            cannot_read(&error);
        }
        outputs.rest().map(str::to_owned)
    }

    fn taken(&self) -> io::Result<Arc<Host>> {
        let none = || io::Error::other("no task is taken whose file that could be");
        self.current().ok_or_else(none)
    }

    /// The task is run from now on.
    fn begin(&self, (index, assignment): Upcoming) -> Option<Arc<Host>> {
        let Entry { task, .. } = self.plan.entries.get(index)?;
        let shared = &self.shared;
        let directory = TaskDirectory::of_test(&shared.test_results, &task.directory);
        let given_at = shared.clock.now();
        let host = Arc::new(Host::new(Arc::clone(shared), index, directory, assignment));
        let mut inner = self.inner();
        if let Some(outputs) = &mut inner.outputs
            && let Err(error) = outputs.keep()
        {
            cannot_read(&error);
        }
        inner.current = Some(Current {
            host: Arc::clone(&host),
            index,
            given_at,
            timeout: shared.times.of(&task.runnable.more),
        });
        drop(inner);
        self.changed.notify_one();
        Some(host)
    }

    async fn take_next(&self) -> Option<BatchTask> {
        let first = {
            let mut inner = self.inner();
            if inner.ending.is_some() {
                return None;
            }
            inner.first.take()
        };
        let upcoming = match first {
            Some(first) => first,
            None => self.ask().await?,
        };
        let (index, variables) = (upcoming.0, upcoming.1.variables.clone());
        let Entry {
            task,
            fate: Fate::Run(runner, settings),
            ..
        } = self.plan.entries.get(index)?
        else {
            return None;
        };
        let host = self.begin(upcoming)?;
        if runner.manifest.starts_processes()
            && let Err(error) = host.environment().await
        {
            let outcome = Outcome::new(Status::Error, error.to_string());
            self.finish(Ok(outcome));
            return None;
        }
        let task = with_variables(task, &variables).into_owned();
        let mut more = host.surroundings();
        let own = &task.runnable.more;
        if let Some(timeout) = self.shared.times.of(own) {
            more.insert("timeout".into(), timeout.as_secs_f64().into());
        }
        Some(BatchTask {
            settings: own_settings::settings(own, settings, runner).into_owned(),
            task: Arc::new(task),
            more,
        })
    }

    /// Asks for another task, and waits for it.
    async fn ask(&self) -> Option<Upcoming> {
        let (give, asked) = oneshot::channel();
        let slot = self.slot.index;
        self.inner().asked = Some(asked);
        self.messages.send(Message::More { slot, give }).ok()?;
        std::future::poll_fn(|context| {
            // Kept there, so that nothing is lost should nobody wait here any more.
            let mut inner = self.inner();
            let Some(asked) = &mut inner.asked else {
                return std::task::Poll::Ready(None);
            };
            let answer = Pin::new(asked).poll(context);
            if answer.is_ready() {
                inner.asked = None;
            }
            answer.map(Result::ok)
        })
        .await
    }

    /// Waits for the end of `running`, or brings it about. None where it was dropped because it did not come.
    async fn supervise(
        &self,
        running: impl Future<Output = Result<(), PluginError>>,
        control: &mut watch::Receiver<Control>,
    ) -> Option<Result<(), PluginError>> {
        let clock = &self.shared.clock;
        let mut running = pin!(running);
        let mut phase = Phase::Running;
        loop {
            let deadline = match phase {
                Phase::Running => self.deadline(),
                Phase::Ending(until) | Phase::Killed(until) => Some(until),
            };
            let time_is_up = async {
                match deadline {
                    Some(deadline) => clock.until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let (reason, kill) = tokio::select! {
                biased;
                answer = &mut running => return Some(answer),
                asked = changed(control) => match asked.stop {
                    Some(stop) => (stop.reason(), asked.kill),
                    None => continue,
                },
                () = self.changed.notified() => continue,
                () = time_is_up => (TOO_LONG, false),
            };
            self.inner().ending.get_or_insert(reason);
            let environment = self.slot.environment();
            phase = match phase {
                Phase::Running if !kill => {
                    if let Some(environment) = environment {
                        terminate_in(&environment).await;
                    }
                    Phase::Ending(clock.now() + self.shared.grace)
                }
                Phase::Running | Phase::Ending(_) => {
                    if let Some(environment) = environment {
                        let _ = end_in(&self.slot, &environment).await;
                    }
                    Phase::Killed(clock.now() + LAST_GRACE)
                }
                Phase::Killed(_) => return None,
            };
        }
    }

    /// When the time of the task is up that is run now.
    fn deadline(&self) -> Option<Duration> {
        let inner = self.inner();
        let current = inner.current.as_ref()?;
        let begun = current.host.beginning.get();
        let begun = begun.map_or(current.given_at, |(_, begun)| begun);
        Some(begun + current.timeout?)
    }
}

fn cannot_read(error: &io::Error) {
    tracing::warn!("cannot read what the processes of a batch have printed: {error}");
}

/// Says that a batch is over, also when it ends by a bug of the host.
struct Over(Arc<Batch>);

impl Drop for Over {
    fn drop(&mut self) {
        let Self(batch) = self;
        let slot = batch.slot.index;
        let first = batch.inner().first.take();
        if let Some(first) = first {
            batch.begin(first);
        }
        batch.finish(Ok(bug()));
        // It may have come when nobody waited any more.
        let asked = batch.inner().asked.take();
        if let Some((task, _)) = asked.and_then(|mut asked| asked.try_recv().ok()) {
            let _ = batch.messages.send(Message::Returned {
                task,
                slot,
                helper_died: false,
            });
        }
        if let Some(outputs) = batch.inner().outputs.take() {
            outputs.end();
        }
        let _ = batch.messages.send(Message::Over { slot });
    }
}

impl BatchHost for Batch {
    fn task(self: Arc<Self>) -> Arc<dyn TaskHost> {
        self
    }

    fn next(&self) -> NextBatchTask<'_> {
        Box::pin(self.take_next())
    }

    fn finish(&self, outcome: Result<Outcome, PluginError>) {
        let (current, ending) = {
            let mut inner = self.inner();
            (inner.current.take(), inner.ending)
        };
        let Some(current) = current else {
            return;
        };
        let Some(Entry { task, .. }) = self.plan.entries.get(current.index) else {
            return;
        };
        let mut outcome =
            outcome.unwrap_or_else(|error| Outcome::new(Status::Error, error.to_string()));
        if let Some(rest) = self.pass_on(&current.host) {
            outcome.more.insert("batch-directory".into(), rest.into());
        }
        let left = outcome.more.remove("left-behind");
        let left = left.and_then(|left| left.as_u64()).unwrap_or_default();
        if let Some(reason) = ending {
            outcome.status = Status::Interrupted;
            outcome.reason = Some(reason.to_owned());
        }
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        current.host.log_left_behind(left);
        let mut finished = finished(&current.host, task, outcome, current.given_at, left);
        // Processes that were told of it write there themselves.
        finished.has_directory |= current.host.directory.exists();
        let _ = self.messages.send(Message::Finished(Box::new(finished)));
        self.changed.notify_one();
    }
}

/// The task that is run now; and the environment that all of them share.
impl TaskHost for Batch {
    fn environment(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Environment, SpawnError>> + Send + '_>> {
        Box::pin(async {
            match self.current() {
                Some(host) => host.environment().await,
                None => self.slot.open(&*self.shared.spawner, &self.state).await,
            }
        })
    }

    fn queued_process(&self) -> Option<&QueuedProcess> {
        None
    }

    fn file(&self, name: &str) -> io::Result<PathBuf> {
        self.taken()?;
        let environment = self.slot.environment();
        let mut inner = self.inner();
        let outputs = inner
            .outputs
            .get_or_insert_with(|| Outputs::new(&self.shared.test_results, environment.as_ref()));
        outputs.file(name)
    }

    fn append(&self, name: &str) -> io::Result<File> {
        self.taken()?.append(name)
    }

    fn read(&self, name: &str) -> io::Result<File> {
        let host = self.taken()?;
        self.pass_on(&host);
        host.read(name)
    }

    fn progress(&self, message: String) {
        if let Some(host) = self.current() {
            host.progress(message);
        }
    }

    fn whiteboard(&self, text: &str) {
        if let Some(host) = self.current() {
            host.whiteboard(text);
        }
    }

    fn log(&self, level: LogLevel, message: &str) {
        match self.current() {
            Some(host) => host.log(level, message),
            None => tracing::debug!("{}: {message}", self.runner.label()),
        }
    }
}
