//! The one owner of the state of all tasks: it says which task goes next, writes the journal, and counts.
//!
//! Executors own one task each and talk to it by messages. Every event is in the journal before anybody acts on it.

mod interrupts;
mod policy;
mod preparation;
mod record;
mod start;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::dispatch::queue::{Forsaken, Queue};
use crate::dispatch::slots::{News, Places};
use crate::execute::control::{Control, Request, Signals, Stop};
use crate::execute::executor::Shared;
use crate::execute::task_host::{Finished, Message, Slot};
use crate::plan::graph::Graph;
use crate::plan::planner::{Entry, Plan};
use crate::results::directory::JobDirectory;
use crate::undo::unreleased::Pending;
use persea_config::Config;
use persea_config::settings;
use persea_display::Screen;
use persea_journal::{Event, Journal, JournalError, TaskFinished, TaskProgress};
use persea_model::{Outcome, Status, Tally, Task};

pub(crate) use policy::Policy;
use preparation::Preparation;
use record::record;

/// How many messages are taken at a time; they share one write to the journal.
const MESSAGES: usize = 256;

/// After so many helpers that have died before a task's start, the next one ends it: it may be its doing.
const PATIENCE: u32 = 2;

/// What a job came to.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    pub(crate) tally: Tally,
    pub(crate) elapsed: Duration,
    /// How many tasks passed, but not the first time.
    pub(crate) flaky: usize,
    /// Why it was cut short.
    pub(crate) stopped: Option<&'static str>,
    /// Whether that was asked for from outside.
    pub(crate) interrupted: bool,
    /// The requirements that could not be released, and why.
    pub(crate) unreleased: Vec<(String, String)>,
    /// How often an environment was brought to another state.
    pub(crate) switches: usize,
    /// The number of tasks that were started.
    pub(crate) ran: usize,
    /// The number of warnings in the journal since the first task.
    pub(crate) warnings: usize,
}

pub(crate) struct Dispatcher<'a> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) config: &'a Config,
    pub(crate) directory: &'a JobDirectory,
    pub(crate) journal: &'a mut Journal,
    pub(crate) screen: &'a mut Screen,
    pub(crate) pending: &'a Pending,
    pub(crate) slots: usize,
    pub(crate) timeout: Option<Duration>,
}

/// What changes while the job runs.
struct State {
    queue: Queue,
    /// How often a helper died before a task's start.
    deaths: HashMap<usize, u32>,
    places: Places,
    preparation: Preparation,
    policy: Policy,
    tally: Tally,
    flaky: usize,
    /// The number of tasks that were started and have ended.
    ran: usize,
    /// The number of warnings so far.
    warnings: usize,
    /// Those that are tried again.
    tried: HashMap<usize, Tried>,
    control: watch::Sender<Control>,
    messages: mpsc::UnboundedSender<Message>,
    /// Why nothing more is started.
    stopped: Option<&'static str>,
    interrupted: bool,
    journal_error: Option<JournalError>,
    /// After so many failures nothing more is started; 0 is never.
    failfast: u64,
    /// How often a task that fails is tried again.
    retries: usize,
}

/// How the last attempt of a task has ended that is tried again.
struct Tried {
    record: Arc<TaskFinished>,
    /// What that has left.
    directory: Option<String>,
}

impl State {
    /// How often a task was run that is tried again.
    fn attempts(&self, task: &Task) -> usize {
        let tried = self.tried.get(&task.index);
        tried.map_or(0, |tried| tried.record.attempts)
    }

    /// All slots, those for tasks and those for requirements.
    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.places.slots().chain(self.preparation.slots())
    }
}

impl Dispatcher<'_> {
    /// Runs all tasks to their ends. The journal's failure is an error only after everything has been ended.
    pub(crate) async fn run(
        &mut self,
        graph: Graph,
        policy: Policy,
        signals: &mut Signals,
    ) -> Result<Totals, JournalError> {
        let (messages, mut inbox) = mpsc::unbounded_channel();
        let (control, _) = watch::channel(Control::default());
        // 0 is never.
        let failfast = self.config.get(settings::RUN_FAILFAST).unwrap_or_default();
        let retries = self.config.get(settings::RUN_RETRIES);
        let mut state = State {
            queue: Queue::new(graph),
            deaths: HashMap::new(),
            // Nothing may wait where it starts by itself when every end may change what is next.
            places: Places::new(self.slots, failfast == 0 && !policy.is_plugin()),
            policy,
            preparation: Preparation::new(self.slots, &self.plan.requirements),
            tally: Tally::default(),
            flaky: 0,
            ran: 0,
            warnings: 0,
            tried: HashMap::new(),
            control,
            messages,
            stopped: None,
            interrupted: false,
            journal_error: None,
            failfast,
            retries: usize::try_from(retries).unwrap_or(usize::MAX),
        };
        let mut batch = Vec::with_capacity(MESSAGES);
        loop {
            self.start(&mut state).await;
            let idle = state.places.are_empty() && state.preparation.is_idle();
            if idle && self.end_stuck(&mut state) {
                continue;
            }
            if idle && !self.undo_last(&mut state) {
                break;
            }
            let time_is_up = async {
                match self.timeout {
                    // What is undone in the end is not cut short by that.
                    Some(timeout) if !state.interrupted && !idle => {
                        self.shared.clock.until(timeout).await;
                    }
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                request = signals.next() => match request {
                    Request::End => self.stop(&mut state, Stop::User),
                    Request::StandStill => self.stand_still(&mut state, signals).await,
                },
                _ = inbox.recv_many(&mut batch, MESSAGES) => {
                    for message in batch.drain(..) {
                        self.take(&mut state, message);
                    }
                }
                () = time_is_up => self.stop(&mut state, Stop::Timeout),
            }
        }
        for slot in state.slots() {
            if let Some(environment) = slot.take() {
                environment.close().await;
            }
        }
        self.shared.spawner.close().await;
        if state.preparation.left.is_empty() {
            self.pending.remove(self.directory.path());
        }
        match state.journal_error {
            Some(error) => Err(error),
            None => Ok(Totals {
                tally: state.tally,
                flaky: state.flaky,
                elapsed: self.shared.clock.now(),
                stopped: state.stopped,
                interrupted: state.interrupted,
                unreleased: state.preparation.left,
                switches: state.places.switches,
                ran: state.ran,
                warnings: state.warnings,
            }),
        }
    }

    /// Ends what can never start although nothing runs; whether there was any. Requirements of several tasks may exclude each other
    /// in a circle, which nobody sees beforehand.
    fn end_stuck(&mut self, state: &mut State) -> bool {
        let stuck = state.queue.left();
        let plan = Arc::clone(&self.plan);
        let why = "it could never start: what it waits for waits for what it, or its suite, holds";
        for index in &stuck {
            match plan.entries.get(*index) {
                Some(Entry { task, .. }) => {
                    self.finish(state, task, &Outcome::new(Status::Error, why), None);
                }
                None => self.ended(state, *index, Status::Error),
            }
        }
        !stuck.is_empty()
    }

    fn progress(&mut self, state: &mut State, task: &Task, text: &str) {
        let message = text.into();
        let event = Event::TaskProgress(Cow::Owned(TaskProgress { message }));
        self.write(state, Some(&task.id), &event);
        self.screen.task_progress(task, text);
    }

    fn take(&mut self, state: &mut State, message: Message) {
        let plan = Arc::clone(&self.plan);
        let task_of = |index| plan.entries.get(index).map(|entry: &Entry| &entry.task);
        let news = match message {
            Message::Started { task, slot } => state.places.started(slot, task),
            Message::Returned {
                task,
                slot,
                helper_died,
            } => {
                state.queue.put_back(task);
                if helper_died && state.places.is_to_blame(slot, task) {
                    *state.deaths.entry(task).or_default() += 1;
                }
                state.places.return_task(slot, task)
            }
            Message::Finished(finished) => state.places.finished(finished),
            Message::More { slot, give } => {
                state.places.wants_more(slot, give);
                Vec::new()
            }
            Message::Over { slot } => {
                state.places.over(slot);
                Vec::new()
            }
            Message::Progress { task, text, .. } if task >= plan.entries.len() => {
                self.preparing(task, &text);
                Vec::new()
            }
            Message::Progress { task, slot, text } => state.places.progress(slot, task, text),
            Message::Absent { step, go } => {
                self.absent(state, step, go);
                Vec::new()
            }
            Message::Prepared(prepared) => {
                self.prepared(state, *prepared);
                Vec::new()
            }
            Message::Released {
                node,
                step,
                slot,
                failed,
                elapsed,
            } => {
                self.released(state, (node, step, slot), failed, elapsed);
                Vec::new()
            }
        };
        for news in news {
            match news {
                News::Started(task) => {
                    if let Some(task) = task_of(task) {
                        self.started(state, task);
                    }
                }
                News::Progress(task, text) => {
                    if let Some(task) = task_of(task) {
                        self.progress(state, task, &text);
                    }
                }
                News::Finished(finished) => {
                    if let Some(task) = task_of(finished.task) {
                        if self.is_tried_again(state, task, &finished) {
                            self.retry(state, task, &finished);
                        } else {
                            self.finish(state, task, &finished.outcome, Some(&finished));
                        }
                    }
                }
            }
        }
    }

    /// Whether a task that has ended is run once more. Not when the job is being ended: then it was not the task's doing.
    fn is_tried_again(&self, state: &State, task: &Task, finished: &Finished) -> bool {
        let before = state.attempts(task);
        !finished.outcome.status.is_ok() && before < state.retries && state.stopped.is_none()
    }

    /// Puts a task back into the queue. What it left stays, under another name.
    fn retry(&mut self, state: &mut State, task: &Task, finished: &Finished) {
        let before = state.attempts(task);
        let mut record = record(task, &finished.outcome, Some(finished), before);
        record.attempts = before + 1;
        let directory = finished
            .has_directory
            .then(|| format!("{}.attempt-{}", task.directory, record.attempts));
        if let Some(name) = &directory {
            self.directory.set_aside(&task.directory, name);
            record.directory = format!("{}/{name}", persea_model::names::TEST_RESULTS);
        }
        let event = Event::TaskRetried(Cow::Borrowed(&record));
        self.write(state, Some(&task.id), &event);
        let record = Arc::new(record);
        self.screen.task_retried(task, Arc::clone(&record));
        state.tried.insert(task.index, Tried { record, directory });
        state.queue.put_back(task.index);
    }

    /// Records the end of a task that is not started any more. One that was to be tried again has ended as it did the last time.
    fn skip(&mut self, state: &mut State, task: &Task, why: &str) {
        let Some(tried) = state.tried.remove(&task.index) else {
            let outcome = Outcome::new(Status::Skip, format!("not started: {why}"));
            return self.finish(state, task, &outcome, None);
        };
        let mut record = Arc::unwrap_or_clone(tried.record);
        let status = record.status;
        if record.attempts == 1 {
            // Said only of those that were run more than once.
            record.attempts = 0;
        }
        self.settle(state, task, record, tried.directory.as_deref());
        self.ended(state, task.index, status);
    }

    /// Records the end of a task, whether it was started or not, and those of all that can't run any more because of it.
    fn finish(
        &mut self,
        state: &mut State,
        task: &Task,
        outcome: &Outcome,
        ran: Option<&Finished>,
    ) {
        self.finish_one(state, task, outcome, ran);
        self.ended(state, task.index, outcome.status);
    }

    /// Passes on that a node has ended to all that wait for it, and records the ends of those that can't go on.
    fn ended(&mut self, state: &mut State, node: usize, status: Status) {
        let plan = Arc::clone(&self.plan);
        let mut forsaken = state.queue.ended(node, status);
        while let Some(Forsaken {
            task: node,
            needs,
            status,
        }) = forsaken.pop()
        {
            let why = match (plan.entries.get(needs), state.preparation.why(needs)) {
                (Some(needs), _) => {
                    format!("it needs `{}`, which has ended {status}", needs.task.id)
                }
                (None, why) => why.unwrap_or_default().to_owned(),
            };
            match plan.entries.get(node) {
                Some(entry) => {
                    let outcome = Outcome::new(Status::Cancel, why);
                    self.finish_one(state, &entry.task, &outcome, None);
                }
                None => state.preparation.forsake(node, why),
            }
            forsaken.extend(state.queue.ended(node, Status::Cancel));
        }
    }

    fn finish_one(
        &mut self,
        state: &mut State,
        task: &Task,
        outcome: &Outcome,
        ran: Option<&Finished>,
    ) {
        let mut record = record(task, outcome, ran, state.attempts(task));
        record.is_refused = ran.is_none() && self.plan.is_refused(task.index);
        state.tried.remove(&task.index);
        let directory = ran.is_some_and(|ran| ran.has_directory);
        let directory = directory.then_some(task.directory.as_str());
        self.settle(state, task, record, directory);
    }

    /// Writes down how a task has ended, and where what it left is, if it has left anything.
    fn settle(
        &mut self,
        state: &mut State,
        task: &Task,
        record: TaskFinished,
        directory: Option<&str>,
    ) {
        let status = record.status;
        state.policy.ended(task.index, status);
        state.flaky += usize::from(record.flaky);
        state.ran += usize::from(record.started.is_some());
        let event = Event::TaskFinished(Cow::Borrowed(&record));
        self.write(state, Some(&task.id), &event);
        state.tally.add(status);
        self.screen
            .task_finished(task, Arc::new(record), state.tally, directory);
        if status != Status::Pass
            && let Some(directory) = directory
        {
            self.directory.link_by_status(status, directory);
        }
        let failures = state.tally.fail + state.tally.error + state.tally.interrupted;
        if state.failfast > 0
            && u64::try_from(failures).unwrap_or(u64::MAX) >= state.failfast
            && !status.is_ok()
            && state.stopped.is_none()
        {
            state.stopped = Some("a test has failed before (--failfast)");
            self.screen.notice("Interrupting job (failfast).");
        }
    }

    /// Adds an event to the journal.
    fn write(&mut self, state: &mut State, task: Option<&str>, event: &Event<'_>) {
        let written = self.journal.record(task, event);
        self.check(state, written);
    }

    /// Ends the job where the journal cannot be written: nothing that happens after is kept.
    fn check(&mut self, state: &mut State, written: Result<(), JournalError>) {
        if let Err(error) = written
            && state.journal_error.is_none()
        {
            let stop = match error {
                JournalError::Gone { .. } => Stop::Directory,
                _ => Stop::Journal,
            };
            state.journal_error = Some(error);
            self.stop(state, stop);
        }
    }
}
