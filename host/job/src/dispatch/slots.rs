//! Owns which tasks each slot has, what its environment is like, and which slot gets the next task.
//! Does not know how a task is executed.
//!
//! Tasks of one process can queue in a slot behind the running one (pipelining): the spawner starts
//! the next without a round trip to the dispatcher. This pays only while tasks are quick, so slots
//! queue tasks only while the mean duration is low.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::execute::cases::CaseBatch;
use crate::execute::messages::{Assignment, FinishedTask};
use crate::execute::slot::{EnvironmentReports, Slot, SlotIndex};
use crate::plan::slot_pools::{PoolIndex, SlotPools};
use persea_model::TaskIndex;
use persea_spawner::{EnvironmentState, PipelinePosition};

/// The most tasks that queue in a slot behind the running one. Enough that the slot never idles
/// while its messages reach the dispatcher and are handled together. A longer queue would only
/// coarsen the order of starts, and each queued task has a directory.
const QUEUE_LENGTH: usize = 16;

/// The most tasks in one slot, each with a plugin instance.
pub(crate) const MAX_TASKS_IN_SLOT: usize = 1 + QUEUE_LENGTH;

/// The number of slots from which tasks no longer queue: each queued task needs a plugin instance,
/// and their number is limited.
const MAX_QUEUEING_SLOTS: usize = 256;

/// The mean duration of tasks from which queueing no longer pays: 2 ms.
const QUICK_TASK: Duration = Duration::from_millis(2);

/// The number of measured durations from which their mean is used.
const MIN_MEASURED: u32 = 4;

/// Whether tasks are assigned to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Availability {
    Open,
    /// The slot's host is away, and may come back.
    Away,
    /// The slot's host is given up.
    Closed,
}

/// The dispatcher's view of one slot.
struct SlotState {
    availability: Availability,
    /// The pool, whose tasks are the only ones that the slot takes.
    pool: PoolIndex,
    slot: Arc<Slot>,
    /// The assigned tasks, the running one first.
    tasks: VecDeque<AssignedTask>,
    /// The last position in the slot's pipeline: the next task to queue waits for its end.
    last_position: Option<oneshot::Receiver<()>>,
    /// No task may queue behind the current one.
    is_exclusive: bool,
    /// Queued tasks are being returned. None is assigned until all are back, so that their order
    /// stays.
    is_draining: bool,
    /// The death of the helper has been attributed to a task.
    is_blamed: bool,
    /// The state of the slot's environment, and the last task that used it.
    environment: Option<(EnvironmentState, TaskIndex)>,
    /// The last task has left the environment dirty: it is not reused.
    is_dirty: bool,
    /// The batch that runs in the slot, also while it waits for its next task.
    batch: Option<SlotBatch>,
}

/// A batch that occupies a slot.
struct SlotBatch {
    runner: String,
    /// The channel for its next task, once the batch is ready for it.
    feed: Option<BatchFeed>,
}

/// A channel that gives a batch its next task.
pub(crate) type BatchFeed = oneshot::Sender<(TaskIndex, Assignment)>;

impl SlotState {
    /// The cost of giving a task the environment that it needs: 0 to use the slot's, 1 to open the
    /// first one, 2 to replace the slot's.
    fn switch_cost(&self, demand: Option<&EnvironmentState>) -> u8 {
        match (demand, &self.environment) {
            (None, _) => 0,
            (Some(demand), Some((state, _))) if demand == state && !self.is_dirty => 0,
            (Some(_), None) => 1,
            (Some(_), Some(_)) => 2,
        }
    }
}

/// What a task needs of a slot and its environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Demand {
    /// The pool of the slots that can take it.
    pub(crate) pool: PoolIndex,
    /// The state that its environment needs; none for a task that needs no environment.
    pub(crate) state: Option<EnvironmentState>,
    /// The task leaves its environment dirty: it is not reused.
    pub(crate) leaves_dirty: bool,
    /// The task is one process and may queue in a slot.
    pub(crate) one_process: bool,
    /// The digest of the task's runner, if its tasks run in batches.
    pub(crate) batch: Option<String>,
}

/// The slot that a task was assigned to.
pub(crate) struct Placement {
    pub(crate) slot: Arc<Slot>,
    /// The position in the slot's pipeline; only for a task that is one process.
    pub(crate) position: Option<PipelinePosition>,
    /// The batch that already runs in the slot and takes the task.
    pub(crate) feed: Option<BatchFeed>,
}

impl SlotState {
    /// Whether what runs in the slot leaves room for a task of this kind.
    fn accepts(&self, demand: &Demand) -> bool {
        if self.pool != demand.pool {
            return false;
        }
        match (self.availability, &self.batch, &demand.batch) {
            (Availability::Away | Availability::Closed, ..) => false,
            (Availability::Open, None, _) => true,
            (Availability::Open, Some(_), None) => false,
            (Availability::Open, Some(batch), Some(runner)) => {
                let fits = batch.runner == *runner && batch.feed.is_some();
                fits && self.switch_cost(demand.state.as_ref()) == 0
            }
        }
    }
}

struct AssignedTask {
    task: TaskIndex,
    /// The task's process has started.
    has_started: bool,
    /// The start has been reported.
    is_reported: bool,
    /// Messages that arrived before the start was reported.
    messages: Vec<TaskMessage>,
    /// Result, reported after the previous task's result.
    finished: Option<Box<FinishedTask>>,
}

/// What a running task reports.
#[derive(Debug)]
pub(crate) enum TaskMessage {
    /// A line for people.
    Progress(String),
    /// Results inside the task.
    Cases(Arc<CaseBatch>),
}

/// An event of a task in a slot. The events of a slot's tasks are reported one task after the
/// other, in whatever order the messages arrived.
#[derive(Debug)]
pub(crate) enum SlotEvent {
    /// The task has started in the slot.
    Started(TaskIndex, SlotIndex),
    /// The task has sent a message.
    Message(TaskIndex, TaskMessage),
    /// The task has ended.
    Finished(Box<FinishedTask>),
}

pub(crate) struct Slots {
    slots: Vec<SlotState>,
    /// The number of slots that work at once.
    at_once: usize,
    /// Whether tasks may queue in slots at all.
    may_queue: bool,
    mean_seconds: f64,
    measured: u32,
    /// The number of times that an environment was replaced by one in another state.
    pub(crate) switches: usize,
}

impl Slots {
    /// Slots whose environments are reported.
    pub(crate) fn reporting(
        pools: &SlotPools,
        may_queue: bool,
        reports: &EnvironmentReports,
    ) -> Self {
        let mut slots = Self::new(pools, may_queue);
        for entry in &mut slots.slots {
            entry.slot = Arc::new(Slot::reporting(entry.slot.index, reports));
        }
        slots
    }

    pub(crate) fn new(pools: &SlotPools, may_queue: bool) -> Self {
        let pool_of = |index: usize| {
            let mut pools = pools.all().iter();
            let pool = pools.position(|pool| index < pool.first + pool.count);
            PoolIndex(pool.unwrap_or_default())
        };
        let count = pools.count();
        let entry = |index| SlotState {
            availability: Availability::Open,
            pool: pool_of(index),
            slot: Arc::new(Slot::new(SlotIndex(index))),
            tasks: VecDeque::new(),
            last_position: None,
            is_exclusive: false,
            is_draining: false,
            is_blamed: false,
            environment: None,
            is_dirty: false,
            batch: None,
        };
        Self {
            slots: (0..count).map(entry).collect(),
            at_once: pools.at_once,
            may_queue: may_queue && count < MAX_QUEUEING_SLOTS,
            mean_seconds: 0.0,
            measured: 0,
            switches: 0,
        }
    }

    /// For each free slot with a clean environment: the last task that used it.
    pub(crate) fn last_tasks(&self) -> impl Iterator<Item = TaskIndex> {
        let free = self
            .slots
            .iter()
            .filter(|it| it.availability == Availability::Open)
            .filter(|it| it.tasks.is_empty() && !it.is_dirty);
        free.filter_map(|entry| entry.environment.as_ref().map(|(_, task)| *task))
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().map(|entry| &*entry.slot)
    }

    /// The number of slots with room for a task.
    pub(crate) fn room(&self) -> usize {
        let wants = |entry: &SlotState| entry.batch.as_ref().is_none_or(|it| it.feed.is_some());
        let slots = self.slots.iter();
        slots
            .filter(|entry| entry.availability == Availability::Open)
            .filter(|entry| entry.tasks.is_empty() && wants(entry))
            .count()
            .min(self.at_once.saturating_sub(self.working()))
    }

    /// The number of slots that have a task.
    fn working(&self) -> usize {
        let slots = self.slots.iter();
        slots.filter(|entry| !entry.tasks.is_empty()).count()
    }

    /// Whether a pool has room for another task.
    pub(crate) fn has_room(&self, pool: PoolIndex) -> bool {
        let mut slots = self.slots.iter().filter(|entry| entry.pool == pool);
        self.room() > 0
            && slots.any(|it| it.availability == Availability::Open && it.tasks.is_empty())
    }

    /// Whether no slot has a task or a batch.
    pub(crate) fn is_empty(&self) -> bool {
        let mut slots = self.slots.iter();
        slots.all(|entry| entry.tasks.is_empty() && entry.batch.is_none())
    }

    /// Assigns no more tasks to those of these slots that are open, until they are opened again.
    /// Returns whether there were any.
    pub(crate) fn suspend(&mut self, is_meant: impl Fn(SlotIndex) -> bool) -> bool {
        self.change(is_meant, Availability::Open, Availability::Away) > 0
    }

    /// Opens these slots again, as far as they were suspended.
    pub(crate) fn open(&mut self, is_meant: impl Fn(SlotIndex) -> bool) {
        self.change(is_meant, Availability::Away, Availability::Open);
    }

    /// Closes these slots, as far as they were suspended. Returns their number.
    pub(crate) fn close(&mut self, is_meant: impl Fn(SlotIndex) -> bool) -> usize {
        self.change(is_meant, Availability::Away, Availability::Closed)
    }

    fn change(
        &mut self,
        is_meant: impl Fn(SlotIndex) -> bool,
        from: Availability,
        to: Availability,
    ) -> usize {
        let slots = self.slots.iter_mut();
        let meant = slots.filter(|it| it.availability == from && is_meant(it.slot.index));
        let changed = meant.map(|slot| slot.availability = to);
        changed.count()
    }

    /// Whether no slot of a pool is open, and some may be opened again.
    pub(crate) fn are_suspended(&self, pool: PoolIndex) -> bool {
        let has = |availability| {
            let mut slots = self.slots.iter().filter(|it| it.pool == pool);
            slots.any(|it| it.availability == availability)
        };
        has(Availability::Away) && !has(Availability::Open)
    }

    /// Whether all slots of a pool are closed.
    pub(crate) fn are_closed(&self, pool: PoolIndex) -> bool {
        let mut slots = self.slots.iter().filter(|it| it.pool == pool);
        slots.all(|slot| slot.availability == Availability::Closed)
    }

    /// Assigns a task to the best slot; none when no slot can take it.
    pub(crate) fn assign(&mut self, task: TaskIndex, demand: &Demand) -> Option<Placement> {
        let Demand {
            pool: _,
            ref state,
            leaves_dirty,
            one_process,
            ref batch,
        } = *demand;
        let room = match one_process && self.may_queue && self.measured >= MIN_MEASURED {
            true if self.mean_seconds < QUICK_TASK.as_secs_f64() => MAX_TASKS_IN_SLOT,
            _ => 1,
        };
        // Only pools together can have more slots than may work at once.
        let may_begin = self.slots.len() <= self.at_once || self.working() < self.at_once;
        let entry = self
            .slots
            .iter_mut()
            .filter(|entry| entry.accepts(demand))
            .filter(|entry| match entry.tasks.len() {
                0 => may_begin,
                taken => {
                    let is_free = taken < room && !entry.is_exclusive && !entry.is_draining;
                    is_free && !leaves_dirty && entry.switch_cost(state.as_ref()) == 0
                }
            })
            .min_by_key(|entry| {
                let begins = batch.is_some() && entry.batch.is_none();
                (entry.tasks.len(), begins, entry.switch_cost(state.as_ref()))
            })?;
        let feed = entry.batch.as_mut().and_then(|batch| batch.feed.take());
        if entry.batch.is_none()
            && let Some(runner) = batch
        {
            entry.batch = Some(SlotBatch {
                runner: runner.clone(),
                feed: None,
            });
        }
        if let Some(state) = state {
            self.switches += usize::from(entry.switch_cost(Some(state)) == 2);
            entry.environment = Some((state.clone(), task));
            entry.is_dirty = leaves_dirty;
        }
        entry.tasks.push_back(AssignedTask {
            task,
            has_started: !one_process,
            is_reported: !one_process,
            messages: Vec::new(),
            finished: None,
        });
        entry.is_exclusive = !one_process || leaves_dirty;
        if entry.tasks.len() == 1 {
            entry.last_position = None;
            entry.is_blamed = false;
        }
        let position = one_process.then(|| PipelinePosition::next(&mut entry.last_position));
        Some(Placement {
            slot: Arc::clone(&entry.slot),
            position,
            feed,
        })
    }

    /// The batch in a slot is ready for its next task.
    pub(crate) fn batch_is_ready(&mut self, slot: SlotIndex, feed: BatchFeed) {
        if let Some(batch) = self.slots.get_mut(slot.0).and_then(|it| it.batch.as_mut()) {
            batch.feed = Some(feed);
        }
    }

    /// Ends the batches that wait for another task: there is none for them.
    pub(crate) fn end_idle_batches(&mut self) {
        for batch in self.slots.iter_mut().filter_map(|it| it.batch.as_mut()) {
            batch.feed = None;
        }
    }

    /// The batch in a slot has ended.
    pub(crate) fn end_batch(&mut self, slot: SlotIndex) {
        if let Some(entry) = self.slots.get_mut(slot.0) {
            entry.batch = None;
        }
    }

    /// Records that the helper has started the process of a queued task.
    pub(crate) fn started(&mut self, slot: SlotIndex, task: TaskIndex) -> Vec<SlotEvent> {
        if let Some(assigned) = self.find(slot, task) {
            assigned.has_started = true;
        }
        self.take_events(slot)
    }

    /// Records a message of a task.
    pub(crate) fn message(
        &mut self,
        slot: SlotIndex,
        task: TaskIndex,
        message: TaskMessage,
    ) -> Vec<SlotEvent> {
        if let Some(assigned) = self.find(slot, task) {
            assigned.messages.push(message);
        }
        self.take_events(slot)
    }

    /// Records the end of a task, and its duration.
    pub(crate) fn finished(&mut self, finished: Box<FinishedTask>) -> Vec<SlotEvent> {
        let FinishedTask {
            task, slot, took, ..
        } = *finished;
        if let Some(took) = took {
            self.measured = self.measured.saturating_add(1);
            let weight = 1.0 / f64::from(self.measured.min(16));
            self.mean_seconds += (took.as_secs_f64() - self.mean_seconds) * weight;
        }
        if let Some(assigned) = self.find(slot, task) {
            assigned.finished = Some(finished);
        }
        self.take_events(slot)
    }

    /// Whether a task that did not start because the helper died may have caused that death: it was
    /// the next to start. At most one task of a slot is blamed for one death.
    pub(crate) fn is_blamed_for_death(&mut self, slot: SlotIndex, task: TaskIndex) -> bool {
        let Some(entry) = self.slots.get_mut(slot.0) else {
            return false;
        };
        let first = entry
            .tasks
            .front()
            .is_some_and(|assigned| assigned.task == task);
        first && !std::mem::replace(&mut entry.is_blamed, first)
    }

    /// Takes a task out of a slot whose helper has returned the task's process unstarted.
    pub(crate) fn return_task(&mut self, slot: SlotIndex, task: TaskIndex) -> Vec<SlotEvent> {
        if let Some(entry) = self.slots.get_mut(slot.0) {
            entry.tasks.retain(|assigned| assigned.task != task);
            entry.is_draining = !entry.tasks.is_empty();
        }
        self.take_events(slot)
    }

    fn find(&mut self, slot: SlotIndex, task: TaskIndex) -> Option<&mut AssignedTask> {
        let tasks = &mut self.slots.get_mut(slot.0)?.tasks;
        tasks.iter_mut().find(|assigned| assigned.task == task)
    }

    fn take_events(&mut self, slot: SlotIndex) -> Vec<SlotEvent> {
        let mut events = Vec::new();
        let Some(entry) = self.slots.get_mut(slot.0) else {
            return events;
        };
        while let Some(front) = entry.tasks.front_mut() {
            if (front.has_started || front.finished.is_some()) && !front.is_reported {
                front.is_reported = true;
                events.push(SlotEvent::Started(front.task, slot));
            }
            if front.is_reported {
                let messages = front.messages.drain(..);
                events.extend(messages.map(|it| SlotEvent::Message(front.task, it)));
            }
            let Some(finished) = front.finished.take() else {
                break;
            };
            events.push(SlotEvent::Finished(finished));
            entry.tasks.pop_front();
        }
        entry.is_draining &= !entry.tasks.is_empty();
        events
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
