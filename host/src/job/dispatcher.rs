//! The one owner of the state of all tasks: it says which task goes next, writes the journal, and counts.
//!
//! Executors own one task each and talk to it by messages. Every event is in the journal before anybody acts on it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::control::{Control, Request, Signals, Stop};
use super::directory::JobDirectory;
use super::executor::{Finished, Message, Shared, Slot, execute};
use super::log::JobLog;
use super::plan::{Entry, Fate, Plan};
use crate::config::Config;
use crate::display::Display;
use crate::journal::{self, Event, Journal, JournalError, TaskFinished};
use crate::model::{Attributes, Outcome, Status, Tally, Task};
use crate::plugin::Plugin;

/// How many messages are taken at a time; they share one write to the journal.
const MESSAGES: usize = 256;

/// What a job came to.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    pub(super) tally: Tally,
    pub(super) elapsed: Duration,
    /// Why it was cut short.
    pub(super) stopped: Option<&'static str>,
    /// Whether that was asked for from outside.
    pub(super) interrupted: bool,
}

pub(super) struct Dispatcher<'a> {
    pub(super) shared: Arc<Shared>,
    pub(super) plan: Arc<Plan>,
    pub(super) config: &'a Config,
    pub(super) directory: &'a JobDirectory,
    pub(super) journal: &'a mut Journal,
    pub(super) display: &'a mut (dyn Display + Send),
    pub(super) log: &'a mut JobLog,
    pub(super) slots: usize,
    pub(super) timeout: Option<Duration>,
}

/// What changes while the job runs.
struct State {
    next: usize,
    running: usize,
    free: Vec<Arc<Slot>>,
    slots: Vec<Arc<Slot>>,
    tally: Tally,
    control: watch::Sender<Control>,
    messages: mpsc::UnboundedSender<Message>,
    /// Why nothing more is started.
    stopped: Option<&'static str>,
    interrupted: bool,
    journal_error: Option<JournalError>,
}

impl Dispatcher<'_> {
    /// Runs all tasks to their ends. The journal's failure is an error only after everything has been ended.
    pub(super) async fn run(&mut self, mut signals: Signals) -> Result<Totals, JournalError> {
        let (messages, mut inbox) = mpsc::unbounded_channel();
        let (control, _) = watch::channel(Control::default());
        let all: Vec<Arc<Slot>> = (0..self.slots)
            .map(|index| Arc::new(Slot::new(index)))
            .collect();
        let mut state = State {
            next: 0,
            running: 0,
            free: all.iter().rev().cloned().collect(),
            slots: all,
            tally: Tally::default(),
            control,
            messages,
            stopped: None,
            interrupted: false,
            journal_error: None,
        };
        let failfast = self.config.flag("run.failfast");
        let settings = self.runner_settings();
        let mut batch = Vec::with_capacity(MESSAGES);
        loop {
            self.start(&mut state, &settings, failfast);
            if state.running == 0 {
                break;
            }
            let time_is_up = async {
                match self.timeout {
                    Some(timeout) if !state.interrupted => self.shared.clock.until(timeout).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                request = signals.next() => match request {
                    Request::End => self.stop(&mut state, Stop::User),
                    Request::StandStill => self.stand_still(&mut state, &mut signals).await,
                },
                _ = inbox.recv_many(&mut batch, MESSAGES) => {
                    for message in batch.drain(..) {
                        self.take(&mut state, message, failfast);
                    }
                }
                () = time_is_up => self.stop(&mut state, Stop::Timeout),
            }
        }
        for slot in &state.slots {
            if let Some(environment) = slot.take() {
                environment.close().await;
            }
        }
        match state.journal_error {
            Some(error) => Err(error),
            None => Ok(Totals {
                tally: state.tally,
                elapsed: self.shared.clock.now(),
                stopped: state.stopped,
                interrupted: state.interrupted,
            }),
        }
    }

    /// The settings of each runner in the plan, made once.
    fn runner_settings(&self) -> Vec<(String, Arc<Attributes>)> {
        let mut settings: Vec<(String, Arc<Attributes>)> = Vec::new();
        for entry in &self.plan.entries {
            if let Fate::Run(runner) = &entry.fate
                && !settings.iter().any(|(digest, _)| *digest == runner.digest)
            {
                settings.push((
                    runner.digest.clone(),
                    Arc::new(self.config.subset(&runner.settings)),
                ));
            }
        }
        settings
    }

    /// Gives tasks to all free slots, in one write to the journal; ends those that have ended before they could start.
    fn start(&mut self, state: &mut State, settings: &[(String, Arc<Attributes>)], failfast: bool) {
        let mut given: Vec<(usize, Arc<Plugin>, Arc<Slot>)> = Vec::new();
        let plan = Arc::clone(&self.plan);
        while let Some(Entry { task, fate }) = plan.entries.get(state.next) {
            if let Some(why) = state.stopped {
                state.next += 1;
                self.finish(
                    state,
                    task,
                    &Outcome::new(Status::Skip, format!("not started: {why}")),
                    None,
                    failfast,
                );
                continue;
            }
            match fate {
                Fate::Ended(outcome) => {
                    state.next += 1;
                    self.finish(state, task, outcome, None, failfast);
                }
                Fate::Run(runner) => {
                    let Some(slot) = state.free.pop() else { break };
                    state.next += 1;
                    let written = self
                        .journal
                        .append(journal::now(), &Event::TaskStarted(&task.id));
                    self.check(state, written);
                    self.display.task_started(task);
                    self.log.started(task);
                    given.push((task.index, Arc::clone(runner), slot));
                }
            }
        }
        let written = self.journal.commit();
        self.check(state, written);
        self.display.flush();
        for (index, runner, slot) in given {
            state.running += 1;
            let own = settings.iter().find(|(digest, _)| *digest == runner.digest);
            let own = own
                .map(|(_, settings)| Arc::clone(settings))
                .unwrap_or_default();
            let (shared, plan) = (Arc::clone(&self.shared), Arc::clone(&self.plan));
            let (control, messages) = (state.control.subscribe(), state.messages.clone());
            tokio::spawn(async move {
                // The index comes from this plan.
                if let Some(entry) = plan.entries.get(index) {
                    execute(shared, slot, &entry.task, &runner, &own, control, messages).await;
                }
            });
        }
    }

    fn take(&mut self, state: &mut State, message: Message, failfast: bool) {
        let plan = Arc::clone(&self.plan);
        match message {
            Message::Progress { task, text } => {
                if let Some(entry) = plan.entries.get(task) {
                    let written = self
                        .journal
                        .append(journal::now(), &Event::TaskProgress(&entry.task.id, &text));
                    self.check(state, written);
                    self.display.task_progress(&entry.task, &text);
                    self.log.progress(&entry.task, &text);
                }
            }
            Message::Finished(finished) => {
                state.running -= 1;
                if let Some(entry) = plan.entries.get(finished.task) {
                    self.finish(
                        state,
                        &entry.task,
                        &finished.outcome,
                        Some(&finished),
                        failfast,
                    );
                }
                if let Some(slot) = state.slots.get(finished.slot) {
                    state.free.push(Arc::clone(slot));
                }
            }
        }
    }

    /// Records the end of a task, whether it was started or not.
    fn finish(
        &mut self,
        state: &mut State,
        task: &Task,
        outcome: &Outcome,
        ran: Option<&Finished>,
        failfast: bool,
    ) {
        let record = record(task, outcome, ran);
        let written = self
            .journal
            .append(journal::now(), &Event::TaskFinished(&task.id, &record));
        self.check(state, written);
        state.tally.add(outcome.status);
        self.display.task_finished(task, &record, &state.tally);
        self.log.finished(task, &record);
        if outcome.status != Status::Pass {
            let has_files = self.directory.test_results().join(&task.directory).is_dir();
            if has_files {
                self.directory
                    .link_by_status(outcome.status, &task.directory);
            }
        }
        if failfast && !outcome.status.is_ok() && state.stopped.is_none() {
            state.stopped = Some("a test has failed before (--failfast)");
            self.display.notice("Interrupting job (failfast).");
        }
    }

    /// Cuts the job short; asked for a second time, at once.
    fn stop(&mut self, state: &mut State, stop: Stop) {
        let again = state.interrupted && stop == Stop::User;
        state.interrupted = true;
        let why = match stop {
            Stop::User => "interrupted by the user",
            Stop::Timeout => "the job's time is up",
            Stop::Journal => "the journal cannot be written",
        };
        state.stopped = Some(why);
        state.control.send_modify(|control| {
            control.stop.get_or_insert(stop);
            control.kill |= again;
        });
        self.display.notice(match (stop, again) {
            (Stop::User, false) => "Interrupt requested: running tests are being ended; once more (Ctrl-C) to kill them.",
            (Stop::User, true) => "Interrupt requested again: running tests are being killed.",
            (Stop::Timeout, _) => "The job's time is up: running tests are being ended.",
            (Stop::Journal, _) => "The journal cannot be written: running tests are being ended.",
        });
        self.display.flush();
    }

    /// Ctrl-Z: the tests, the clocks and the host stand still until SIGCONT.
    async fn stand_still(&mut self, state: &mut State, signals: &mut Signals) {
        let written = self
            .journal
            .append(journal::now(), &Event::JobPaused)
            .and_then(|()| self.journal.commit());
        self.check(state, written);
        self.shared.clock.pause();
        for slot in &state.slots {
            if let Some(environment) = slot.environment() {
                let _ = environment.pause().await;
            }
        }
        self.display.suspend();
        signals.stand_still().await;
        self.display.resume();
        for slot in &state.slots {
            if let Some(environment) = slot.environment() {
                let _ = environment.resume().await;
            }
        }
        self.shared.clock.resume();
        let written = self
            .journal
            .append(journal::now(), &Event::JobResumed)
            .and_then(|()| self.journal.commit());
        self.check(state, written);
    }

    /// A journal that cannot be written ends the job: nothing that happens after is kept.
    fn check(&mut self, state: &mut State, written: Result<(), JournalError>) {
        if let Err(error) = written
            && state.journal_error.is_none()
        {
            state.journal_error = Some(error);
            self.stop(state, Stop::Journal);
        }
    }
}

fn record(task: &Task, outcome: &Outcome, ran: Option<&Finished>) -> TaskFinished {
    let tags = task
        .runnable
        .tags
        .iter()
        .map(|(tag, values)| {
            (
                tag.clone(),
                if values.is_empty() {
                    serde_json::Value::Null
                } else {
                    values.clone().into()
                },
            )
        })
        .collect();
    let mut more = outcome.more.clone();
    // What the host says of a task is not to be overwritten by what its runner says.
    more.retain(|name, _| !RESERVED.contains(&name.as_str()));
    TaskFinished {
        index: task.index + 1,
        name: task.name.clone(),
        kind: task.runnable.kind.clone(),
        uri: task.runnable.uri.clone(),
        status: outcome.status,
        reason: outcome.reason.clone(),
        started: ran.map(|ran| ran.started),
        elapsed: ran.map_or(0, |ran| {
            u64::try_from(ran.elapsed.as_nanos()).unwrap_or(u64::MAX)
        }),
        directory: format!("{}/{}", super::directory::TEST_RESULTS, task.directory),
        tags,
        variant: task.runnable.more.get("variant").cloned(),
        whiteboard: ran.and_then(|ran| ran.whiteboard.clone()),
        left_behind: ran.map_or(0, |ran| ran.left_behind),
        more,
    }
}

/// The names in `task-finished` that are the host's.
const RESERVED: [&str; 13] = [
    "index",
    "name",
    "kind",
    "uri",
    "status",
    "reason",
    "started",
    "elapsed",
    "directory",
    "tags",
    "variant",
    "whiteboard",
    "left-behind",
];
