//! Owns the state of all tasks of a running job, its journal and its tallies. Executors own one
//! task each and report to the dispatcher by messages. Every event is in the journal before anybody
//! acts on it.

mod ends;
mod environments;
mod interrupts;
mod losses;
mod policy;
mod preparation;
mod progress;
mod record;
mod retries;
mod start;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::dispatch::queue::Queue;
use crate::dispatch::slots::{SlotEvent, Slots, TaskMessage};
use crate::dispatch::takeover::Progress;
use crate::execute::cases::CaseBatch;
use crate::execute::context::JobContext;
use crate::execute::control::{Control, SignalRequest, Signals, StopReason};
use crate::execute::messages::ExecutorMessage;
use crate::execute::slot::{EnvironmentReports, Slot, SlotIndex};
use crate::input::own_retries::TaskRetries;
use crate::plan::entry::PlanEntry;
use crate::plan::graph::Graph;
use crate::plan::planner::Plan;
use crate::plan::slot_pools::SlotPools;
use crate::results::directory::JobDirectory;
use crate::undo::unreleased::UnreleasedJobs;
use persea_config::{Config, settings};
use persea_display::Screen;
use persea_journal::{AttemptCause, Event, Journal, JournalError, TaskFinished, TaskProgress};
use persea_model::{Outcome, SpawnerKind, Status, Tally, Task, TaskIndex};

pub(crate) use policy::Policy;
use preparation::Preparation;

/// The number of messages that are handled together and share one write to the journal.
const MESSAGE_BATCH: usize = 256;

/// The number of helpers that may die right before a task starts. The death of the next one fails
/// the task, because the task itself may cause these deaths.
const MAX_HELPER_DEATHS: u32 = 2;

/// Why a task that waits for itself ends.
const STUCK: &str = "it can never start: it waits for a task or resource that waits for this task \
                     or its suite";

/// The totals of a job that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    pub(crate) tally: Tally,
    pub(crate) elapsed: Duration,
    /// The number of tasks that passed only after a retry.
    pub(crate) flaky: usize,
    /// Why the job stopped before its end, if it did.
    pub(crate) stopped: Option<&'static str>,
    /// Whether a signal, the job's timeout or a lost journal stopped the job.
    pub(crate) interrupted: bool,
    /// Whether a task has no result of its own because the job was stopped.
    pub(crate) is_cut_short: bool,
    /// The requirements that could not be released, and why.
    pub(crate) unreleased: Vec<(String, String)>,
    /// The number of times that a slot's environment was replaced by one in another state.
    pub(crate) switches: usize,
    /// The number of tasks that were started.
    pub(crate) ran: usize,
    /// The number of warnings in the journal since the first task.
    pub(crate) warnings: usize,
}

pub(crate) struct Dispatcher<'a> {
    pub(crate) context: Arc<JobContext>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) config: &'a Config,
    pub(crate) directory: &'a JobDirectory,
    pub(crate) journal: &'a mut Journal,
    pub(crate) screen: &'a mut Screen,
    pub(crate) unreleased_jobs: &'a UnreleasedJobs,
    pub(crate) pools: SlotPools,
    pub(crate) timeout: Option<Duration>,
    /// How far an earlier host has come; none for a new job.
    pub(crate) progress: Option<Progress>,
}

/// What changes while the job runs.
struct DispatchState {
    queue: Queue,
    /// By task: how often a helper died right before that task would have started.
    helper_deaths: HashMap<TaskIndex, u32>,
    slots: Slots,
    preparation: Preparation,
    policy: Policy,
    tally: Tally,
    flaky: usize,
    /// The number of tasks that were started and have ended.
    ran: usize,
    /// The number of warnings while the tasks ran.
    warnings: usize,
    /// By task: the number of attempts whose environment was lost.
    losses: HashMap<TaskIndex, usize>,
    /// By task: the number of attempts that ended with an earlier host process of this job.
    taken_over: HashMap<TaskIndex, usize>,
    /// By number: the spawners and the slots of the environments that have not ended.
    environments: BTreeMap<usize, (SpawnerKind, SlotIndex)>,
    /// The number of lost attempts after which a task is not attempted again.
    max_losses: usize,
    /// Why the remote machine that was given up last cannot be reached.
    away: Option<String>,
    /// By task that is being retried: its last attempt.
    last_attempts: HashMap<TaskIndex, LastAttempt>,
    control: watch::Sender<Control>,
    messages: mpsc::UnboundedSender<ExecutorMessage>,
    /// Why no further task is started, once the job is being stopped.
    stopped: Option<&'static str>,
    interrupted: bool,
    /// Whether a task has ended without a result of its own.
    is_cut_short: bool,
    journal_error: Option<JournalError>,
    /// The number of failures after which no further task is started; 0 is no limit.
    failfast: u64,
    /// How often a task or a requirement that fails is tried again.
    retries: TaskRetries,
}

/// How the last attempt of a task ended that is being retried.
struct LastAttempt {
    record: Arc<TaskFinished>,
    /// The name of the attempt's directory, if it left one.
    directory: Option<String>,
}

impl DispatchState {
    /// The number of attempts of a task that is being retried; 0 for any other.
    fn attempts(&self, task: &Task) -> usize {
        let last = self.last_attempts.get(&task.index);
        last.map_or(0, |last| last.record.attempts)
    }

    /// The number of attempts of a task that have failed and were retried.
    fn retries_of(&self, task: &Task) -> usize {
        let others = [&self.losses, &self.taken_over];
        let others = others.iter().filter_map(|it| it.get(&task.index));
        self.attempts(task).saturating_sub(others.sum())
    }

    /// The slots of tasks and those of requirements.
    fn all_slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.slots().chain(self.preparation.slots())
    }
}

impl Dispatcher<'_> {
    /// Runs all tasks to their ends.
    ///
    /// # Errors
    /// The journal could not be written. Everything that ran has been ended by then.
    pub(crate) async fn run(
        &mut self,
        graph: Graph,
        policy: Policy,
        signals: &mut Signals,
    ) -> Result<Totals, JournalError> {
        let (messages, mut inbox) = mpsc::unbounded_channel();
        let (control, _) = watch::channel(Control::default());
        let progress = self.progress.take();
        let last = progress.as_ref().map_or(0, |it| it.last_environment);
        let reports = EnvironmentReports::new(messages.clone(), last);
        let failfast = self.config.get(settings::RUN_FAILFAST).unwrap_or_default();
        let mut state = DispatchState {
            queue: Queue::new(graph, self.pools.of_tasks(&self.plan)),
            helper_deaths: HashMap::new(),
            // A queued task starts without asking here. That is wrong where the end of any task may
            // change what starts next: with --failfast, or under a scheduler.
            slots: Slots::reporting(&self.pools, failfast == 0 && !policy.is_plugin(), &reports),
            policy,
            preparation: Preparation::new(self.pools.count(), &self.plan.requirements, &reports),
            tally: Tally::default(),
            flaky: 0,
            ran: 0,
            warnings: 0,
            losses: HashMap::new(),
            taken_over: HashMap::new(),
            environments: BTreeMap::new(),
            max_losses: usize::try_from(self.config.get(settings::RUN_LOST_ENVIRONMENTS))
                .unwrap_or(usize::MAX),
            away: None,
            last_attempts: HashMap::new(),
            control,
            messages,
            stopped: None,
            interrupted: false,
            is_cut_short: false,
            journal_error: None,
            failfast,
            retries: TaskRetries::new(self.config),
        };
        let elapsed_before = progress.as_ref().map(|it| it.elapsed).unwrap_or_default();
        if let Some(progress) = progress {
            self.go_on(&mut state, progress);
        }
        let mut batch = Vec::with_capacity(MESSAGE_BATCH);
        let mut waits = self.context.execution.spawners.waits();
        loop {
            self.start(&mut state).await;
            let idle = state.slots.is_empty()
                && state.preparation.is_idle()
                && !self.waits_for_hosts(&state);
            if idle && self.end_stuck(&mut state) {
                continue;
            }
            if idle && !self.release_last(&mut state) {
                break;
            }
            let time_is_up = async {
                match self.timeout {
                    // The timeout does not cut short the releases at the end.
                    Some(timeout) if !state.interrupted && !idle => {
                        self.context.execution.clock.until(timeout).await;
                    }
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                request = signals.next() => match request {
                    SignalRequest::Stop => self.stop(&mut state, StopReason::User),
                    SignalRequest::Pause => self.pause(&mut state, signals).await,
                },
                _ = inbox.recv_many(&mut batch, MESSAGE_BATCH) => {
                    // The executors that are ready run first, so that the events of all of them
                    // share one write to the journal.
                    tokio::task::yield_now().await;
                    while batch.len() < MESSAGE_BATCH
                        && let Ok(message) = inbox.try_recv()
                    {
                        batch.push(message);
                    }
                    for message in batch.drain(..) {
                        self.handle(&mut state, message);
                    }
                }
                () = time_is_up => self.stop(&mut state, StopReason::Timeout),
                line = waits.next() => {
                    self.screen.notice(&line);
                    self.screen.log(line.to_string());
                }
            }
        }
        for slot in state.all_slots() {
            if let Some(environment) = slot.take() {
                environment.close().await;
            }
        }
        self.environments_closed(&mut state);
        self.context.execution.spawners.close().await;
        if state.preparation.not_released.is_empty() {
            self.unreleased_jobs.remove(self.directory.path());
        }
        match state.journal_error {
            Some(error) => Err(error),
            None => Ok(Totals {
                tally: state.tally,
                flaky: state.flaky,
                elapsed: elapsed_before + self.context.execution.clock.now(),
                stopped: state.stopped,
                interrupted: state.interrupted,
                is_cut_short: state.is_cut_short,
                unreleased: state.preparation.not_released,
                switches: state.slots.switches,
                ran: state.ran,
                warnings: state.warnings,
            }),
        }
    }

    /// Fails the tasks that can never start although nothing runs, and returns whether there were
    /// any. The requirements of several tasks may exclude each other in a circle, which the plan
    /// cannot detect.
    fn end_stuck(&mut self, state: &mut DispatchState) -> bool {
        if self.end_away(state) {
            return true;
        }
        let stuck = state.queue.waiting();
        let plan = Arc::clone(&self.plan);
        for index in &stuck {
            match plan.entry(*index) {
                // The end of an earlier one may have ended this one.
                _ if !state.queue.is_node_waiting(*index) => {}
                Some(PlanEntry { task, .. }) => {
                    let outcome = Outcome::new(Status::Error, STUCK);
                    self.finish(state, task, &outcome, None);
                }
                None => self.end_node(state, *index, Status::Error),
            }
        }
        !stuck.is_empty()
    }

    fn progress(&mut self, state: &mut DispatchState, task: &Task, text: &str) {
        let message = text.into();
        let event = Event::TaskProgress(Cow::Owned(TaskProgress { message }));
        self.write_event(state, Some(&task.id), &event);
        self.screen.task_progress(task, text);
    }

    /// Records what has happened to the cases of a task.
    fn cases(&mut self, state: &mut DispatchState, task: &Task, batch: &CaseBatch) {
        let news = batch.take();
        let written = self.journal.append_lines(&news.lines);
        self.stop_unless_written(state, written);
        if !news.ended.is_empty() {
            self.screen.cases_finished(task, news.ended);
        }
        self.screen.case_running(task, news.running);
    }

    fn handle(&mut self, state: &mut DispatchState, message: ExecutorMessage) {
        let plan = Arc::clone(&self.plan);
        let task_of = |index: TaskIndex| plan.entry(index).map(|entry: &PlanEntry| &entry.task);
        let news = match message {
            ExecutorMessage::Started { task, slot } => state.slots.started(slot, task),
            ExecutorMessage::Returned {
                task,
                slot,
                helper_died,
            } => {
                state.queue.put_back(task);
                if helper_died {
                    if state.slots.is_blamed_for_death(slot, task) {
                        *state.helper_deaths.entry(task).or_default() += 1;
                    }
                    self.suspend_host(state, slot);
                }
                state.slots.return_task(slot, task)
            }
            ExecutorMessage::Finished(finished) => state.slots.finished(finished),
            ExecutorMessage::HostRecovered { slot, failed } => {
                self.host_recovered(state, slot, failed);
                Vec::new()
            }
            ExecutorMessage::BatchReady { slot, give } => {
                state.slots.batch_is_ready(slot, give);
                Vec::new()
            }
            ExecutorMessage::BatchEnded { slot } => {
                state.slots.end_batch(slot);
                Vec::new()
            }
            ExecutorMessage::Progress { task, slot, text } => {
                let message = TaskMessage::Progress(text);
                state.slots.message(slot, task, message)
            }
            ExecutorMessage::Cases { task, slot, batch } => {
                let message = TaskMessage::Cases(batch);
                state.slots.message(slot, task, message)
            }
            ExecutorMessage::Environment(news) => {
                self.environment_changed(state, *news);
                Vec::new()
            }
            ExecutorMessage::RequirementProgress { step, text } => {
                self.preparing(step, &text);
                Vec::new()
            }
            ExecutorMessage::RequirementAbsent { step, proceed } => {
                self.absent(state, step, proceed);
                Vec::new()
            }
            ExecutorMessage::RequirementPrepared(prepared) => {
                self.prepared(state, *prepared);
                Vec::new()
            }
            ExecutorMessage::RequirementReleased {
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
                SlotEvent::Started(task, slot) => {
                    if let Some(task) = task_of(task) {
                        self.started(state, task, slot);
                    }
                }
                SlotEvent::Message(task, message) => {
                    if let Some(task) = task_of(task) {
                        match message {
                            TaskMessage::Progress(text) => self.progress(state, task, &text),
                            TaskMessage::Cases(batch) => self.cases(state, task, &batch),
                        }
                    }
                }
                SlotEvent::Finished(finished) => {
                    if let Some(task) = task_of(finished.task) {
                        if finished.is_lost {
                            self.suspend_host(state, finished.slot);
                        }
                        if self.is_lost(state, task, &finished) {
                            self.retry(state, task, &finished, Some(AttemptCause::EnvironmentLost));
                        } else if self.is_retried(state, task, &finished) {
                            self.retry(state, task, &finished, None);
                        } else {
                            self.finish(state, task, &finished.outcome, Some(&finished));
                        }
                    }
                }
            }
        }
    }

    /// Adds an event to the journal.
    fn write_event(&mut self, state: &mut DispatchState, task: Option<&str>, event: &Event<'_>) {
        let written = self.journal.record(task, event);
        self.stop_unless_written(state, written);
    }

    /// Stops the job when the journal cannot be written: results could no longer be recorded.
    fn stop_unless_written(
        &mut self,
        state: &mut DispatchState,
        written: Result<(), JournalError>,
    ) {
        if let Err(error) = written
            && state.journal_error.is_none()
        {
            let stop = match error {
                JournalError::Gone { .. } => StopReason::Directory,
                _ => StopReason::Journal,
            };
            state.journal_error = Some(error);
            self.stop(state, stop);
        }
    }
}
