//! One task from its start to its end: the runner's sandbox, the task's environment, its time-out, the end of its processes.
//!
//! Owns one task and nothing else; what happens to it is told to the dispatcher. Whatever a runner or a test does, `execute` ends, and
//! nothing that the task started outlives it.

use std::fs::File;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, mpsc, watch};

use super::clock::Clock;
use super::control::{Control, changed};
use crate::config::duration;
use crate::journal;
use crate::model::{Attributes, JobId, Outcome, Status, Task};
use crate::names::printable;
use crate::plugin::{Catalog, Level, Plugin, TaskHost};
use crate::spawner::{Environment, SpawnError, Spawner};

/// How long a runner may take after all processes of its task were killed: 1 s.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// The longest that a helper may take to answer when processes are to be ended: 10 s.
const HELPER: Duration = Duration::from_secs(10);

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

/// One place in which a task can run at a time.
pub(super) struct Slot {
    pub(super) index: usize,
    environment: Mutex<Option<Environment>>,
}

impl Slot {
    pub(super) fn new(index: usize) -> Self {
        Self {
            index,
            environment: Mutex::default(),
        }
    }

    /// Its environment, where it has one that lives.
    pub(super) fn environment(&self) -> Option<Environment> {
        let mut held = self
            .environment
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if held
            .as_ref()
            .is_some_and(|environment| !environment.is_alive())
        {
            *held = None;
        }
        held.clone()
    }

    /// Takes the environment away, as for closing it.
    pub(super) fn take(&self) -> Option<Environment> {
        self.environment
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// What executors tell the dispatcher.
pub(super) enum Message {
    /// A line about progress.
    Progress { task: usize, text: String },
    /// The task has ended, and its slot is free.
    Finished(Box<Finished>),
}

/// How a task went.
pub(super) struct Finished {
    pub(super) task: usize,
    pub(super) slot: usize,
    pub(super) outcome: Outcome,
    /// When it started, in nanoseconds of Unix time.
    pub(super) started: u64,
    pub(super) elapsed: Duration,
    pub(super) left_behind: usize,
    pub(super) whiteboard: Option<String>,
}

/// The task as its runner may touch it.
struct Host {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    task: usize,
    directory: PathBuf,
    made: OnceLock<Option<i32>>,
    environment: OnceCell<Environment>,
    whiteboard: Mutex<String>,
    debug_log: Mutex<Option<File>>,
    messages: mpsc::UnboundedSender<Message>,
}

impl TaskHost for Host {
    fn environment(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Environment, SpawnError>> + Send + '_>> {
        Box::pin(async {
            let open = || async {
                if let Some(environment) = self.slot.environment() {
                    return Ok(environment);
                }
                let environment = self.shared.spawner.open(self.slot.index).await?;
                *self
                    .slot
                    .environment
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(environment.clone());
                Ok(environment)
            };
            self.environment.get_or_try_init(open).await.cloned()
        })
    }

    fn file(&self, name: &str) -> io::Result<PathBuf> {
        // Made only when something goes into it: a task that leaves nothing costs nothing.
        let made = self
            .made
            .get_or_init(|| match std::fs::create_dir(&self.directory) {
                Ok(()) => None,
                Err(error) => error.raw_os_error(),
            });
        match made {
            None => Ok(self.directory.join(name)),
            Some(number) => Err(io::Error::from_raw_os_error(*number)),
        }
    }

    fn progress(&self, message: String) {
        let _ = self.messages.send(Message::Progress {
            task: self.task,
            text: message,
        });
    }

    fn whiteboard(&self, text: &str) {
        self.whiteboard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(text);
    }

    fn log(&self, level: Level, message: &str) {
        let mut held = self
            .debug_log
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let written = match &mut *held {
            Some(file) => line(file, level, message),
            None => self
                .file("debug.log")
                .and_then(|path| File::options().create(true).append(true).open(path))
                .and_then(|file| line(held.insert(file), level, message)),
        };
        if let Err(error) = written {
            tracing::warn!(
                "cannot write to the debug.log in {}: {error}",
                self.directory.display()
            );
        }
    }
}

fn line(file: &mut File, level: Level, message: &str) -> io::Result<()> {
    let time = jiff::Timestamp::now();
    file.write_all(format!("{time:.3} {:5} {}\n", level.name(), printable(message)).as_bytes())
}

/// Tells the dispatcher that a task has ended, also when the executor ends by a bug of its own.
struct Report {
    messages: mpsc::UnboundedSender<Message>,
    finished: Option<Box<Finished>>,
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(finished) = self.finished.take() {
            let _ = self.messages.send(Message::Finished(finished));
        }
    }
}

/// Runs a task to its end, and says how it went.
pub(super) async fn execute(
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    task: &Task,
    runner: &Plugin,
    settings: &Attributes,
    mut control: watch::Receiver<Control>,
    messages: mpsc::UnboundedSender<Message>,
) {
    let started = journal::now();
    let begun = shared.clock.now();
    let bug = Outcome::new(
        Status::Error,
        "the host failed while it ran this task; this is a bug of Persea",
    );
    let mut report = Report {
        messages: messages.clone(),
        finished: Some(Box::new(Finished {
            task: task.index,
            slot: slot.index,
            outcome: bug,
            started,
            elapsed: Duration::ZERO,
            left_behind: 0,
            whiteboard: None,
        })),
    };
    let host = Arc::new(Host {
        directory: shared.test_results.join(&task.directory),
        shared: Arc::clone(&shared),
        slot,
        task: task.index,
        made: OnceLock::new(),
        environment: OnceCell::new(),
        whiteboard: Mutex::default(),
        debug_log: Mutex::default(),
        messages,
    });
    let (mut outcome, left_behind) =
        run(&shared, &host, task, runner, settings, &mut control, begun).await;
    if outcome.status != Status::Pass {
        let reason = outcome.reason.as_deref().unwrap_or("no reason given");
        host.log(Level::Info, &format!("{}: {reason}", outcome.status));
    }
    outcome.reason = outcome.reason.filter(|reason| !reason.is_empty());
    let whiteboard = std::mem::take(
        &mut *host
            .whiteboard
            .lock()
            .unwrap_or_else(PoisonError::into_inner),
    );
    if let Some(finished) = &mut report.finished {
        finished.outcome = outcome;
        finished.elapsed = shared.clock.now().saturating_sub(begun);
        finished.left_behind = left_behind;
        finished.whiteboard = Some(whiteboard).filter(|text| !text.is_empty());
    }
}

/// How far a task's end has come.
enum Phase {
    Running,
    /// SIGTERM was sent, for this reason.
    Ending(&'static str),
    /// SIGKILL was sent.
    Killed(&'static str),
}

async fn run(
    shared: &Shared,
    host: &Arc<Host>,
    task: &Task,
    runner: &Plugin,
    settings: &Attributes,
    control: &mut watch::Receiver<Control>,
    begun: Duration,
) -> (Outcome, usize) {
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
        return (Outcome::new(Status::Error, error.to_string()), 0);
    }
    let more = about(shared, host, timeout);
    let mut deadline = timeout.map(|timeout| begun + timeout);
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
                () = time_is_up => ("Test interrupted: Timeout reached", false),
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
            host.slot.take();
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
    (outcome, left_behind)
}

/// Asks all processes of the task to end.
async fn terminate(host: &Host) {
    if let Some(environment) = host.environment.get() {
        let _ = tokio::time::timeout(HELPER, environment.signal_all(TERMINATE)).await;
    }
}

/// Ends all processes of the task, and says how many there were.
async fn end(host: &Host) -> Result<usize, SpawnError> {
    let Some(environment) = host.environment.get() else {
        return Ok(0);
    };
    match tokio::time::timeout(HELPER, environment.end_task()).await {
        Ok(ended) => ended,
        Err(_) => {
            // It cannot be relied on any more: without its channel the helper ends everything and itself.
            host.slot.take();
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
    if let Some(environment) = host.environment.get() {
        more.insert("work-dir".into(), environment.work_dir().into());
    }
    more.insert("job-temp-dir".into(), text(&shared.temp_dir));
    more.insert("project-dir".into(), text(&shared.project_dir));
    if let Some(timeout) = timeout {
        more.insert("timeout".into(), timeout.as_secs_f64().into());
    }
    more
}
