//! Owns the thread that shows a job: the display, `job.log`, the last lines of failing tests, and
//! the list of failures at the end. The dispatcher queues events for it and never waits.
//!
//! Does not know how a display looks, nor who reads it.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Display, JobLog, cases, failures::Failures, outlet, tail};
use persea_journal as journal;
use persea_journal::{ShownCase, TaskFinished};
use persea_model::names::printable;
use persea_model::{JobId, Tally, Task, TaskIndex};
use persea_system::threads;

/// The time that events gather before they are shown. One wake-up then serves many tests.
const GATHER: Duration = Duration::from_millis(20);

/// The longest that a job waits for the display to leave the terminal before the job stops
/// (Ctrl-Z).
const LEAVE: Duration = Duration::from_millis(500);

/// What a screen looks up in its job.
pub trait JobView: Send + Sync {
    /// A task, by its index in the plan, from 0.
    fn task(&self, index: TaskIndex) -> Option<&Task>;
    /// Opens a file of a task without blocking: by the name of the task's directory and the file's.
    ///
    /// # Errors
    /// The file does not exist, or is no ordinary file.
    fn file(&self, directory: &str, name: &str) -> io::Result<File>;
}

/// A job at its beginning.
pub struct JobBegin {
    /// The job's id.
    pub id: JobId,
    /// The job's directory, as an absolute path.
    pub directory: PathBuf,
    /// The number of tasks.
    pub total: usize,
    /// The seed of the tasks' order, if they were shuffled.
    pub shuffle_seed: Option<u64>,
    /// The lookup of the job's tasks and files.
    pub view: Arc<dyn JobView>,
    /// The job's log.
    pub log: JobLog,
}

/// An event to be shown, logged or both.
enum ScreenEvent {
    Begin(Box<JobBegin>),
    Started(TaskIndex),
    Progress(TaskIndex, String),
    CaseRunning(TaskIndex, Option<String>),
    CasesFinished(TaskIndex, Vec<ShownCase>),
    Finished {
        task: TaskIndex,
        record: Arc<TaskFinished>,
        tally: Tally,
        /// The name of the task's directory, if it exists.
        directory: Option<String>,
    },
    Retried(TaskIndex, Arc<TaskFinished>),
    HadFailed(Arc<TaskFinished>),
    RequirementStarted(usize, String),
    RequirementProgress(String),
    /// The number, the line for the display if there is one, and the line for the log.
    RequirementFinished(usize, Option<String>, String),
    /// A line for the log only.
    Log(String),
    Notice(String),
    Suspend(oneshot::Sender<()>),
    Resume,
    /// The lines at the very end.
    End(String),
}

/// The dispatcher's handle of the thread that shows the job.
pub struct Screen {
    /// The events since the last `flush`, with their times.
    batch: Vec<(u64, ScreenEvent)>,
    queue: Arc<EventQueue>,
    shows_cases: bool,
    ended: Option<oneshot::Receiver<()>>,
}

impl Screen {
    /// Starts the thread. From now on the standard output and error are queued. `lines` is the
    /// number of lines shown from the output of a failing test, `again` the command line that runs
    /// the failures again, without the job's name at its end.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub fn start(
        display: Box<dyn Display + Send>,
        lines: usize,
        again: String,
    ) -> io::Result<Self> {
        outlet::start();
        let shows_cases = display.shows_cases();
        let queue = Arc::<EventQueue>::default();
        let (end, ended) = oneshot::channel();
        let shown = Arc::clone(&queue);
        let thread = threads::builder("persea-display");
        thread.spawn(move || {
            let mut renderer = Renderer {
                display,
                lines,
                begin: None,
                failures: Failures::new(again),
            };
            while let Some(events) = shown.take() {
                for (at, event) in events {
                    renderer.take(at, event);
                }
                renderer.display.flush();
                if let Some(begin) = &mut renderer.begin {
                    begin.log.flush();
                }
            }
            outlet::drain();
            let _ = end.send(());
        })?;
        Ok(Self {
            batch: Vec::new(),
            queue,
            shows_cases,
            ended: Some(ended),
        })
    }

    fn queue_event(&mut self, event: ScreenEvent) {
        self.batch.push((journal::now(), event));
    }

    /// The job begins.
    pub fn begin(&mut self, begin: JobBegin) {
        self.queue_event(ScreenEvent::Begin(Box::new(begin)));
        self.flush();
    }

    /// Shows that a task's runner has started it.
    pub fn task_started(&mut self, task: &Task) {
        self.queue_event(ScreenEvent::Started(task.index));
    }

    /// Shows a progress message of the task's runner.
    pub fn task_progress(&mut self, task: &Task, text: &str) {
        self.queue_event(ScreenEvent::Progress(task.index, text.to_owned()));
    }

    /// Whether the display has a line for each case.
    pub fn shows_cases(&self) -> bool {
        self.shows_cases
    }

    /// The case of a task that runs, which is a result inside it; none while no case runs.
    pub fn case_running(&mut self, task: &Task, case: Option<String>) {
        self.queue_event(ScreenEvent::CaseRunning(task.index, case));
    }

    /// Cases of a task have ended. Only for a display that shows cases.
    pub fn cases_finished(&mut self, task: &Task, cases: Vec<ShownCase>) {
        self.queue_event(ScreenEvent::CasesFinished(task.index, cases));
    }

    /// A task has ended; `tally` includes it. `directory` is the name of its directory, if it
    /// exists.
    pub fn task_finished(
        &mut self,
        task: &Task,
        record: Arc<TaskFinished>,
        tally: Tally,
        directory: Option<&str>,
    ) {
        self.queue_event(ScreenEvent::Finished {
            task: task.index,
            // Only the output of failures is shown.
            directory: directory
                .filter(|_| !record.status.is_ok())
                .map(str::to_owned),
            record,
            tally,
        });
    }

    /// A task has failed before this host has taken the job over: it is one of the failures at the
    /// end.
    pub fn task_had_failed(&mut self, record: Arc<TaskFinished>) {
        self.queue_event(ScreenEvent::HadFailed(record));
    }

    /// An attempt of a task has failed, and a retry follows.
    pub fn task_retried(&mut self, task: &Task, record: Arc<TaskFinished>) {
        self.queue_event(ScreenEvent::Retried(task.index, record));
    }

    /// A requirement resolver begins. No other requirement has this `number` until it ends.
    pub fn requirement_started(&mut self, number: usize, name: &str) {
        self.queue_event(ScreenEvent::RequirementStarted(number, name.to_owned()));
    }

    /// A requirement resolver reports progress, for people.
    pub fn requirement_progress(&mut self, line: String) {
        self.queue_event(ScreenEvent::RequirementProgress(line));
    }

    /// A requirement resolver has ended. `log` is the line for the log, and with `is_shown` also
    /// for the display.
    pub fn requirement_finished(&mut self, number: usize, log: String, is_shown: bool) {
        let line = is_shown.then(|| log.clone());
        self.queue_event(ScreenEvent::RequirementFinished(number, line, log));
    }

    /// Adds a line to the log only.
    pub fn log(&mut self, line: String) {
        self.queue_event(ScreenEvent::Log(line));
    }

    /// Shows a message about the job as a whole at once.
    pub fn notice(&mut self, text: &str) {
        self.queue_event(ScreenEvent::Notice(text.to_owned()));
        self.hand_over(true);
    }

    /// Queues the events since the last flush.
    pub fn flush(&mut self) {
        self.hand_over(false);
    }

    fn hand_over(&mut self, at_once: bool) {
        if !self.batch.is_empty() {
            self.queue.put(&mut self.batch, at_once);
        }
    }

    /// Makes the display leave the terminal to other processes. Gives up after 500 ms, if nobody
    /// reads the terminal.
    pub async fn suspend(&mut self) {
        let (left, has_left) = oneshot::channel();
        self.queue_event(ScreenEvent::Suspend(left));
        self.hand_over(true);
        let _ = tokio::time::timeout(LEAVE, has_left).await;
    }

    /// Makes the display take the terminal back.
    pub fn resume(&mut self) {
        self.queue_event(ScreenEvent::Resume);
        self.flush();
    }

    /// Shows the failures once more, and `closing` below them. Waits until everything is written,
    /// or until the reader of the output is gone.
    pub async fn end(mut self, closing: String) {
        self.queue_event(ScreenEvent::End(closing));
        self.hand_over(true);
        self.queue.close();
        if let Some(ended) = self.ended.take() {
            let _ = ended.await;
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.hand_over(true);
        self.queue.close();
    }
}

/// The events on their way to the thread.
#[derive(Default)]
struct EventQueue {
    state: Mutex<EventQueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct EventQueueState {
    events: Vec<(u64, ScreenEvent)>,
    is_urgent: bool,
    is_closed: bool,
}

impl EventQueue {
    fn lock(&self) -> MutexGuard<'_, EventQueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, events: &mut Vec<(u64, ScreenEvent)>, at_once: bool) {
        let mut state = self.lock();
        let wakes = state.events.is_empty() || at_once;
        state.events.append(events);
        state.is_urgent |= at_once;
        drop(state);
        if wakes {
            self.changed.notify_one();
        }
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Waits for events, and up to [`GATHER`] for more. None after the queue was closed.
    fn take(&self) -> Option<Vec<(u64, ScreenEvent)>> {
        let state = self.lock();
        let is_idle = |state: &mut EventQueueState| state.events.is_empty() && !state.is_closed;
        let woken = self.changed.wait_while(state, is_idle);
        let state = woken.unwrap_or_else(PoisonError::into_inner);
        let gathers = |state: &mut EventQueueState| !state.is_urgent && !state.is_closed;
        let woken = self.changed.wait_timeout_while(state, GATHER, gathers);
        let (mut state, _) = woken.unwrap_or_else(PoisonError::into_inner);
        state.is_urgent = false;
        let events = std::mem::take(&mut state.events);
        (!events.is_empty()).then_some(events)
    }
}

/// The state of the thread.
struct Renderer {
    display: Box<dyn Display + Send>,
    /// The number of lines shown from the output of a failing test.
    lines: usize,
    begin: Option<Box<JobBegin>>,
    failures: Failures,
}

impl Renderer {
    fn take(&mut self, at: u64, event: ScreenEvent) {
        match event {
            ScreenEvent::Begin(begin) => {
                self.failures.begin(&begin.directory, begin.total);
                let (id, seed) = (&begin.id, begin.shuffle_seed);
                let total = begin.total;
                self.display.job_started(id, &begin.directory, total, seed);
                self.begin = Some(begin);
            }
            ScreenEvent::Notice(text) => self.display.notice(&text),
            ScreenEvent::RequirementStarted(number, name) => {
                self.display.requirement_started(number, &name);
            }
            ScreenEvent::RequirementProgress(line) => {
                self.display.requirement_progress(&line);
                self.log(at, &line);
            }
            ScreenEvent::RequirementFinished(number, line, log) => {
                self.display.requirement_finished(number, line.as_deref());
                self.log(at, &log);
            }
            ScreenEvent::Log(line) => self.log(at, &line),
            ScreenEvent::Suspend(left) => {
                self.display.flush();
                self.display.suspend();
                let _ = left.send(());
            }
            ScreenEvent::Resume => self.display.resume(),
            ScreenEvent::End(closing) => {
                self.display.flush();
                self.display.job_finished();
                if self.display.shows_ends() {
                    outlet::out_at_last(&self.failures.text());
                }
                outlet::out_at_last(&closing);
            }
            ScreenEvent::Started(task) => self.about(task, |display, begin, task| {
                display.task_started(task);
                begin.log.started(at, task);
            }),
            ScreenEvent::Progress(task, text) => self.about(task, |display, begin, task| {
                display.task_progress(task, &text);
                begin.log.progress(at, task, &text);
            }),
            ScreenEvent::CaseRunning(task, case) => self.about(task, |display, _, task| {
                display.case_running(task, case.as_deref());
            }),
            ScreenEvent::CasesFinished(task, cases) => self.about(task, |display, _, task| {
                for case in &cases {
                    display.case_finished(task, case);
                }
            }),
            ScreenEvent::HadFailed(record) => self.failures.add(&record, record.has_directory),
            ScreenEvent::Retried(task, record) => self.about(task, |display, begin, task| {
                display.task_retried(task, &record);
                begin.log.finished(at, task, &record);
            }),
            ScreenEvent::Finished {
                task,
                record,
                tally,
                directory,
            } => self.finished(at, task, &record, &tally, directory.as_deref()),
        }
    }

    fn finished(
        &mut self,
        at: u64,
        task: TaskIndex,
        record: &TaskFinished,
        tally: &Tally,
        directory: Option<&str>,
    ) {
        let has_failed = !record.status.is_ok();
        let lines = if has_failed { self.lines } else { 0 };
        if has_failed {
            self.failures.add(record, directory.is_some());
        }
        self.about(task, |display, begin, task| {
            let mut output = String::new();
            if has_failed && display.shows_ends() {
                output = cases::block(record);
                if let Some(directory) = directory.filter(|_| lines > 0) {
                    output += &tail::block(|name| begin.view.file(directory, name), lines);
                }
            }
            display.task_finished(task, record, tally, &output);
            begin.log.finished(at, task, record);
        });
    }

    /// Calls `act` with a task of the job, if there is one of that index.
    fn about(
        &mut self,
        index: TaskIndex,
        act: impl FnOnce(&mut dyn Display, &mut JobBegin, &Task),
    ) {
        if let Some(begin) = &mut self.begin {
            let view = Arc::clone(&begin.view);
            if let Some(task) = view.task(index) {
                act(&mut *self.display, begin, task);
            }
        }
    }

    fn log(&mut self, at: u64, line: &str) {
        if let Some(begin) = &mut self.begin {
            begin.log.line(at, format_args!("{}", printable(line)));
        }
    }
}
