//! Owns what a plugin reaches of its task or requirement while it runs: directory, environment,
//! messages, whiteboard and log. Does not know how a task is executed or ended.

use std::fs::File;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, mpsc};

use crate::execute::cases::{CaseBatch, CaseBook, CaseSummary, UnfinishedCases};
use crate::execute::context::ExecutionContext;
use crate::execute::interruption::Interruption;
use crate::execute::messages::{Assignment, ExecutorMessage};
use crate::execute::slot::{Slot, SlotIndex};
use crate::execute::task_directory::{DEBUG_LOG, TaskDirectory};
use crate::plan::requirements::StepIndex;
use persea_journal as journal;
use persea_model::names::printable;
use persea_model::{Attributes, Case, Limits, TaskIndex};
use persea_plugin::{LogLevel, TaskFuture, TaskHost};
use persea_spawner::{
    Environment, EnvironmentState, PipelinePosition, QueuedProcess, RemoteFiles, SpawnError, Usage,
    descriptor,
};

/// What a session is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SessionSubject {
    Task(TaskIndex),
    Requirement(StepIndex),
}

/// The start of a task, reported to the dispatcher when it happens.
pub(crate) struct TaskStart {
    subject: SessionSubject,
    slot: SlotIndex,
    execution: Arc<ExecutionContext>,
    messages: mpsc::UnboundedSender<ExecutorMessage>,
    /// In nanoseconds of Unix time, and by the job's clock.
    at: OnceLock<(u64, Duration)>,
}

impl TaskStart {
    pub(crate) fn get(&self) -> Option<(u64, Duration)> {
        self.at.get().copied()
    }

    fn now(&self) {
        let _ = self.at.set((journal::now(), self.execution.clock.now()));
    }
}

/// The debug log of a task.
#[derive(Default)]
enum DebugLog {
    #[default]
    Closed,
    Open(File),
    /// It cannot be written to; a warning has been logged.
    Lost,
}

/// What a plugin reaches of the task or requirement that it runs.
pub(crate) struct TaskSession {
    pub(crate) execution: Arc<ExecutionContext>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) directory: TaskDirectory,
    pub(crate) start: Arc<TaskStart>,
    subject: SessionSubject,
    /// None once the environment is open: the position is then in `queued_process`.
    position: Mutex<Option<PipelinePosition>>,
    can_requeue: bool,
    state: EnvironmentState,
    /// What the processes may use.
    limits: Limits,
    /// Where the processes start, on this machine; none for the project's directory.
    cwd: Option<String>,
    environment: OnceCell<Environment>,
    /// The environment could not be opened, because its host cannot be reached.
    is_unreachable: AtomicBool,
    queued_process: OnceLock<QueuedProcess>,
    whiteboard: Mutex<String>,
    debug_log: Mutex<DebugLog>,
    /// Messages before the start. They are dropped if the task never starts.
    early: Mutex<Vec<ExecutorMessage>>,
    /// The task's cases; none for a requirement.
    cases: Option<CaseBook>,
    messages: mpsc::UnboundedSender<ExecutorMessage>,
    /// When the call was assigned, by the job's clock, and how long it may run; none without a
    /// limit.
    timeout: OnceLock<(Duration, Duration)>,
    pub(crate) interruption: Interruption,
    /// Data for the plugin in addition to paths and times.
    more: Attributes,
}

impl TaskSession {
    pub(crate) fn new(
        execution: Arc<ExecutionContext>,
        subject: SessionSubject,
        directory: TaskDirectory,
        Assignment {
            slot,
            position,
            can_requeue,
            state,
            messages,
            leaves_dirty: _,
            limits,
            cwd,
            variables: _,
            more,
        }: Assignment,
    ) -> Self {
        let start = TaskStart {
            subject,
            slot: slot.index,
            execution: Arc::clone(&execution),
            messages: messages.clone(),
            at: OnceLock::new(),
        };
        if position.is_none() {
            start.now();
        }
        Self {
            directory,
            execution,
            slot,
            start: Arc::new(start),
            subject,
            position: Mutex::new(position),
            can_requeue,
            state,
            limits,
            cwd,
            environment: OnceCell::new(),
            is_unreachable: AtomicBool::new(false),
            queued_process: OnceLock::new(),
            whiteboard: Mutex::default(),
            debug_log: Mutex::default(),
            early: Mutex::default(),
            cases: None,
            messages,
            timeout: OnceLock::new(),
            interruption: Interruption::default(),
            more,
        }
    }

    /// Takes cases of the task with this id. With `are_shown` the display has a line for each.
    pub(crate) fn with_cases(mut self, task: &str, are_shown: bool) -> Self {
        self.cases = Some(CaseBook::new(task, are_shown));
        self
    }

    /// Limits the time of the call. A task that queues counts from the start of its process instead
    /// of from `assigned_at`.
    pub(crate) fn set_timeout(&self, assigned_at: Duration, timeout: Duration) {
        let _ = self.timeout.set((assigned_at, timeout));
    }

    /// The environment, if the plugin has asked for one.
    pub(crate) fn opened(&self) -> Option<&Environment> {
        self.environment.get()
    }

    /// Whether the environment was lost, or could not be reached. Only an environment on another
    /// host gets lost: on this machine, only its own processes end a helper, and would do so again.
    pub(crate) fn is_lost(&self) -> bool {
        let is_remote = descriptor(self.state.spawner).is_remote;
        let is_gone = self.opened().is_some_and(Environment::is_lost);
        is_remote && (is_gone || self.is_unreachable.load(Ordering::Acquire))
    }

    async fn open(&self) -> Result<Environment, SpawnError> {
        let opened = self.slot.open(&self.execution.spawners, &self.state).await;
        let environment = opened.inspect_err(|error| {
            if error.is_loss() {
                self.is_unreachable.store(true, Ordering::Release);
            }
        })?;
        self.directory.is_in(&environment);
        // What a batch has used belongs to none of its tasks, and not to this one either.
        environment.take_usage();
        if !self.limits.is_empty() {
            environment.limit(&self.limits, self.directory.path_here())?;
        }
        let position = self
            .position
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(position) = position {
            let start = Arc::clone(&self.start);
            let process =
                QueuedProcess::new(environment.clone(), position, self.can_requeue, move || {
                    start.now();
                    // A requirement never queues.
                    if let SessionSubject::Task(task) = start.subject {
                        let slot = start.slot;
                        let _ = start.messages.send(ExecutorMessage::Started { task, slot });
                    }
                });
            let _ = self.queued_process.set(process);
        }
        Ok(environment)
    }

    /// Sends the messages that were kept before the start.
    pub(crate) fn report_early(&self) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        for message in early.drain(..) {
            let _ = self.messages.send(message);
        }
    }

    /// Sends a message, or keeps it until the task has started.
    fn report(&self, message: ExecutorMessage) {
        if self.start.get().is_none() {
            let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
            early.push(message);
            return;
        }
        self.report_early();
        let _ = self.messages.send(message);
    }

    fn report_cases(&self, batch: Option<Arc<CaseBatch>>) {
        if let (SessionSubject::Task(task), Some(batch)) = (self.subject, batch) {
            let slot = self.slot.index;
            self.report(ExecutorMessage::Cases { task, slot, batch });
        }
    }

    /// Ends the cases that still run at the end of the task, and returns them.
    pub(crate) fn end_cases(&self, was_interrupted: bool) -> Option<UnfinishedCases> {
        let cases = self.cases.as_ref()?;
        let (batch, unfinished) = cases.end(self.execution.clock.now(), was_interrupted);
        self.report_cases(batch);
        let dropped = cases.dropped_starts();
        if dropped > 0 {
            let message = format!("the start of {dropped} cases was dropped: too many ran at once");
            self.log(LogLevel::Warn, &message);
        }
        unfinished
    }

    /// Takes what is known of the cases at the end of the task.
    pub(crate) fn take_cases(&self) -> CaseSummary {
        let cases = self.cases.as_ref();
        cases.map(CaseBook::take_summary).unwrap_or_default()
    }

    /// Logs the number of processes that were left behind, if any were.
    pub(crate) fn log_left_behind(&self, count: usize) {
        let message = match count {
            0 => return,
            1 => "1 process was left behind and has been killed".to_owned(),
            count => format!("{count} processes were left behind and have been killed"),
        };
        self.log(LogLevel::Warn, &message);
    }

    /// Fetches the files of the task from a host that shares none with this machine, after the end
    /// of its processes. Says what is not fetched.
    ///
    /// # Errors
    /// The files are not here: the host was lost, or they cannot be stored.
    pub(crate) async fn fetch_files(&self) -> Result<(), SpawnError> {
        let Some(fetched) = self.directory.fetch().await else {
            return Ok(());
        };
        let left_out = fetched?.left_out;
        if !left_out.is_empty() {
            let files = self.opened().and_then(Environment::remote_files);
            let host = files.map_or("another host", RemoteFiles::host);
            let message = format!("not fetched from {host}: {}", left_out.join("; "));
            self.log(LogLevel::Warn, &message);
            tracing::warn!("{}: {message}", self.directory.path().display());
        }
        Ok(())
    }

    /// Takes what the processes of the call have used, after their end.
    pub(crate) fn take_usage(&self) -> Option<Usage> {
        match self.queued_process.get() {
            Some(process) => process.usage(),
            None => self.opened()?.take_usage(),
        }
    }

    /// Takes the text of the whiteboard; none if it is empty.
    pub(crate) fn take_whiteboard(&self) -> Option<String> {
        let mut whiteboard = self
            .whiteboard
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Some(std::mem::take(&mut *whiteboard)).filter(|text| !text.is_empty())
    }

    /// The data that a plugin receives for its call: paths, and what the dispatcher adds.
    pub(crate) fn surroundings(&self) -> Attributes {
        let mut more = self.more.clone();
        let text = |path: &Path| path.to_string_lossy().into_owned().into();
        more.insert("output-dir".into(), text(self.directory.path()));
        if let Some(environment) = self.opened() {
            more.insert("work-dir".into(), environment.work_dir().into());
        }
        let execution = &self.execution;
        match self.opened().and_then(Environment::remote_files) {
            Some(files) => {
                more.insert("job-temp-dir".into(), files.common().into());
                let directory = self
                    .cwd
                    .as_ref()
                    .map_or_else(|| files.project().to_owned(), |cwd| files.path(cwd));
                more.insert("project-dir".into(), directory.into());
            }
            None => {
                if let Some(common) = execution.spawners.common_dir(self.state.spawner) {
                    more.insert("job-temp-dir".into(), text(common));
                }
                let directory = match &self.cwd {
                    Some(cwd) => cwd.clone().into(),
                    None => text(&execution.project_dir),
                };
                more.insert("project-dir".into(), directory);
            }
        }
        more
    }
}

impl TaskHost for TaskSession {
    fn environment(&self) -> TaskFuture<'_, Result<Environment, SpawnError>> {
        Box::pin(async {
            self.environment
                .get_or_try_init(|| self.open())
                .await
                .cloned()
        })
    }

    fn is_isolated(&self) -> bool {
        self.state.spawner.is_isolating()
    }

    fn cwd(&self) -> Option<&str> {
        self.cwd.as_deref()
    }

    fn queued_process(&self) -> Option<&QueuedProcess> {
        self.queued_process.get()
    }

    fn file(&self, name: &str) -> io::Result<PathBuf> {
        self.directory.output(name)
    }

    fn append(&self, name: &str) -> io::Result<File> {
        self.directory.append(name)
    }

    fn read<'a>(
        &'a self,
        name: &'a str,
        offset: u64,
        length: u32,
    ) -> TaskFuture<'a, io::Result<Vec<u8>>> {
        Box::pin(self.directory.read(name, offset, length))
    }

    fn size<'a>(&'a self, name: &'a str) -> TaskFuture<'a, io::Result<u64>> {
        Box::pin(self.directory.size(name))
    }

    fn artifacts(&self) -> TaskFuture<'_, io::Result<Vec<(String, u64)>>> {
        Box::pin(self.directory.artifacts())
    }

    fn case_started(&self, path: Vec<String>) {
        if let Some(cases) = &self.cases {
            self.report_cases(cases.start(path, self.execution.clock.now()));
        }
    }

    fn case_finished(&self, case: Case) {
        if let Some(cases) = &self.cases {
            self.report_cases(cases.finish(case, self.execution.clock.now()));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let (assigned_at, timeout) = self.timeout.get().copied()?;
        let begun = self.start.get().map_or(assigned_at, |(_, begun)| begun);
        let left = (begun + timeout).saturating_sub(self.execution.clock.now());
        Instant::now().checked_add(left)
    }

    fn interrupted(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.interruption.wait())
    }

    fn progress(&self, message: String) {
        // Later cases come after this message.
        if let Some(cases) = &self.cases {
            cases.seal();
        }
        self.report(match self.subject {
            SessionSubject::Task(task) => ExecutorMessage::Progress {
                task,
                slot: self.slot.index,
                text: message,
            },
            SessionSubject::Requirement(step) => ExecutorMessage::RequirementProgress {
                step,
                text: message,
            },
        });
    }

    fn whiteboard(&self, text: &str) {
        self.whiteboard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(text);
    }

    fn log(&self, level: LogLevel, message: &str) {
        let mut held = self
            .debug_log
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if matches!(*held, DebugLog::Closed) {
            *held = match self.directory.append(DEBUG_LOG) {
                Ok(file) => DebugLog::Open(file),
                Err(error) => self.log_is_lost(&error),
            };
        }
        if let DebugLog::Open(file) = &mut *held
            && let Err(error) = line(file, level, message)
        {
            *held = self.log_is_lost(&error);
        }
    }
}

impl TaskSession {
    fn log_is_lost(&self, error: &io::Error) -> DebugLog {
        let directory = self.directory.path().display();
        tracing::warn!("cannot write to the debug.log in {directory}: {error}");
        DebugLog::Lost
    }
}

fn line(file: &mut File, level: LogLevel, message: &str) -> io::Result<()> {
    let time = persea_journal::date_and_time();
    file.write_all(format!("{time:.3} {:5} {}\n", level.name(), printable(message)).as_bytes())
}
