//! Owns what people see of a job, on a thread of its own: the display, `job.log`, the last lines of failing tests, and the
//! list of failures at the end. The dispatcher hands over notes and waits for nothing.
//!
//! Does not know how a display looks, nor who reads it.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Display, JobLog, failures::Failures, outlet, tail};
use persea_journal as journal;
use persea_journal::TaskFinished;
use persea_model::names::printable;
use persea_model::{JobId, Tally, Task};
use persea_system::threads;

/// How long notes gather before they are shown: 20 ms. One wake-up then serves many tests.
const GATHER: Duration = Duration::from_millis(20);

/// The longest that the job waits until the terminal has been left to others: 500 ms. A terminal that nobody reads is not
/// left at all.
const LEAVE: Duration = Duration::from_millis(500);

/// What a screen asks about its job.
pub trait JobView: Send + Sync {
    /// A task, by its place in the plan from 0.
    fn task(&self, index: usize) -> Option<&Task>;
    /// A file that a task has left, opened without waiting for anybody: by the name of the task's directory and its own.
    ///
    /// # Errors
    /// It is not there, or is not an ordinary file.
    fn file(&self, directory: &str, name: &str) -> io::Result<File>;
}

/// What is known of a job when it begins.
pub struct JobBegin {
    /// Its id.
    pub id: JobId,
    /// Its directory, as an absolute path.
    pub directory: PathBuf,
    /// How many tasks it has.
    pub total: usize,
    /// The seed of their order, where they were shuffled.
    pub shuffle_seed: Option<u64>,
    /// Where its tasks are looked up.
    pub view: Arc<dyn JobView>,
    /// Its log.
    pub log: JobLog,
}

/// Something to be shown or logged.
enum Note {
    Begin(Box<JobBegin>),
    Started(usize),
    Progress(usize, String),
    Finished {
        task: usize,
        record: Arc<TaskFinished>,
        tally: Tally,
        /// The name of the task's directory, where it has one.
        directory: Option<String>,
    },
    Retried(usize, Arc<TaskFinished>),
    RequirementStarted(usize, String),
    RequirementProgress(String),
    /// With the line for the display, where it shows one, and that for the log.
    RequirementFinished(usize, Option<String>, String),
    /// A line for the log alone.
    Log(String),
    Notice(String),
    Suspend(oneshot::Sender<()>),
    Resume,
    /// With what is shown below everything else.
    End(String),
}

/// The handle of the dispatcher.
pub struct Screen {
    /// What has happened since the last `flush`, with the time.
    batch: Vec<(u64, Note)>,
    feed: Arc<Feed>,
    ended: Option<oneshot::Receiver<()>>,
}

impl Screen {
    /// Starts the thread. From now on the standard output and error are written by threads of their own.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(
        display: Box<dyn Display + Send>,
        lines: usize,
        again: String,
    ) -> io::Result<Self> {
        outlet::start();
        let feed = Arc::<Feed>::default();
        let (end, ended) = oneshot::channel();
        let shown = Arc::clone(&feed);
        let thread = threads::builder("persea-display");
        thread.spawn(move || {
            let mut scene = Scene {
                display,
                lines,
                begin: None,
                failures: Failures::new(again),
            };
            while let Some(notes) = shown.take() {
                for (at, note) in notes {
                    scene.take(at, note);
                }
                scene.display.flush();
                if let Some(begin) = &mut scene.begin {
                    begin.log.flush();
                }
            }
            outlet::drain();
            let _ = end.send(());
        })?;
        Ok(Self {
            batch: Vec::new(),
            feed,
            ended: Some(ended),
        })
    }

    fn note(&mut self, note: Note) {
        self.batch.push((journal::now(), note));
    }

    /// The job begins.
    pub fn begin(&mut self, begin: JobBegin) {
        self.note(Note::Begin(Box::new(begin)));
        self.flush();
    }

    /// A task has been given to its runner.
    pub fn task_started(&mut self, task: &Task) {
        self.note(Note::Started(task.index));
    }

    /// A runner says something about its task.
    pub fn task_progress(&mut self, task: &Task, text: &str) {
        self.note(Note::Progress(task.index, text.to_owned()));
    }

    /// A task has ended; `tally` counts it already. `directory` is the name of its directory, where it has one.
    pub fn task_finished(
        &mut self,
        task: &Task,
        record: Arc<TaskFinished>,
        tally: Tally,
        directory: Option<&str>,
    ) {
        self.note(Note::Finished {
            task: task.index,
            // Only failures are looked at again.
            directory: directory
                .filter(|_| !record.status.is_ok())
                .map(str::to_owned),
            record,
            tally,
        });
    }

    /// A task has failed, and is tried again.
    pub fn task_retried(&mut self, task: &Task, record: Arc<TaskFinished>) {
        self.note(Note::Retried(task.index, record));
    }

    /// A requirement is being met or released; `number` is its own as long as that lasts.
    pub fn requirement_started(&mut self, number: usize, name: &str) {
        self.note(Note::RequirementStarted(number, name.to_owned()));
    }

    /// A requirement resolver says something.
    pub fn requirement_progress(&mut self, line: String) {
        self.note(Note::RequirementProgress(line));
    }

    /// That is done. `log` is the line for the log; it is shown too where `is_shown`.
    pub fn requirement_finished(&mut self, number: usize, log: String, is_shown: bool) {
        let line = is_shown.then(|| log.clone());
        self.note(Note::RequirementFinished(number, line, log));
    }

    /// A line for the log alone.
    pub fn log(&mut self, line: String) {
        self.note(Note::Log(line));
    }

    /// Something about the job as a whole, shown at once.
    pub fn notice(&mut self, text: &str) {
        self.note(Note::Notice(text.to_owned()));
        self.hand_over(true);
    }

    /// Hands over what has happened since the last time.
    pub fn flush(&mut self) {
        self.hand_over(false);
    }

    fn hand_over(&mut self, at_once: bool) {
        if !self.batch.is_empty() {
            self.feed.put(&mut self.batch, at_once);
        }
    }

    /// Leaves the terminal to others, unless nobody reads it.
    pub async fn suspend(&mut self) {
        let (left, has_left) = oneshot::channel();
        self.note(Note::Suspend(left));
        self.hand_over(true);
        let _ = tokio::time::timeout(LEAVE, has_left).await;
    }

    /// Takes the terminal back.
    pub fn resume(&mut self) {
        self.note(Note::Resume);
        self.flush();
    }

    /// Shows the failures once more, and `closing` below them; waits until it has all been read, as long as somebody reads.
    pub async fn end(mut self, closing: String) {
        self.note(Note::End(closing));
        self.hand_over(true);
        self.feed.close();
        if let Some(ended) = self.ended.take() {
            let _ = ended.await;
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.hand_over(true);
        self.feed.close();
    }
}

/// Notes on their way to the thread.
#[derive(Default)]
struct Feed {
    state: Mutex<FeedState>,
    changed: Condvar,
}

#[derive(Default)]
struct FeedState {
    notes: Vec<(u64, Note)>,
    is_urgent: bool,
    is_closed: bool,
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, notes: &mut Vec<(u64, Note)>, at_once: bool) {
        let mut state = self.lock();
        let wakes = state.notes.is_empty() || at_once;
        state.notes.append(notes);
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

    /// Waits for notes, and a little longer for more of them. None when there are no more.
    fn take(&self) -> Option<Vec<(u64, Note)>> {
        let state = self.lock();
        let is_idle = |state: &mut FeedState| state.notes.is_empty() && !state.is_closed;
        let woken = self.changed.wait_while(state, is_idle);
        let state = woken.unwrap_or_else(PoisonError::into_inner);
        let gathers = |state: &mut FeedState| !state.is_urgent && !state.is_closed;
        let woken = self.changed.wait_timeout_while(state, GATHER, gathers);
        let (mut state, _) = woken.unwrap_or_else(PoisonError::into_inner);
        state.is_urgent = false;
        let notes = std::mem::take(&mut state.notes);
        (!notes.is_empty()).then_some(notes)
    }
}

/// What the thread has.
struct Scene {
    display: Box<dyn Display + Send>,
    /// How many lines of a failing test are shown.
    lines: usize,
    begin: Option<Box<JobBegin>>,
    failures: Failures,
}

impl Scene {
    fn take(&mut self, at: u64, note: Note) {
        match note {
            Note::Begin(begin) => {
                self.failures.begin(&begin.directory, begin.total);
                let (id, seed) = (&begin.id, begin.shuffle_seed);
                let total = begin.total;
                self.display.job_started(id, &begin.directory, total, seed);
                self.begin = Some(begin);
            }
            Note::Notice(text) => self.display.notice(&text),
            Note::RequirementStarted(number, name) => {
                self.display.requirement_started(number, &name);
            }
            Note::RequirementProgress(line) => {
                self.display.requirement_progress(&line);
                self.log(at, &line);
            }
            Note::RequirementFinished(number, line, log) => {
                self.display.requirement_finished(number, line.as_deref());
                self.log(at, &log);
            }
            Note::Log(line) => self.log(at, &line),
            Note::Suspend(left) => {
                self.display.flush();
                self.display.suspend();
                let _ = left.send(());
            }
            Note::Resume => self.display.resume(),
            Note::End(closing) => {
                self.display.flush();
                self.display.job_finished();
                if self.display.shows_ends() {
                    outlet::out_at_last(&self.failures.text());
                }
                outlet::out_at_last(&closing);
            }
            Note::Started(task) => self.about(task, |display, begin, task| {
                display.task_started(task);
                begin.log.started(at, task);
            }),
            Note::Progress(task, text) => self.about(task, |display, begin, task| {
                display.task_progress(task, &text);
                begin.log.progress(at, task, &text);
            }),
            Note::Retried(task, record) => self.about(task, |display, begin, task| {
                display.task_retried(task, &record);
                begin.log.finished(at, task, &record);
            }),
            Note::Finished {
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
        task: usize,
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
            let output = match directory {
                Some(directory) if lines > 0 && display.shows_ends() => {
                    tail::block(|name| begin.view.file(directory, name), lines)
                }
                _ => String::new(),
            };
            display.task_finished(task, record, tally, &output);
            begin.log.finished(at, task, record);
        });
    }

    /// Does something with a task of the job.
    fn about(&mut self, index: usize, act: impl FnOnce(&mut dyn Display, &mut JobBegin, &Task)) {
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
