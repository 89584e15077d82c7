//! Which slot takes the next task: what each slot has, and how many quick tasks may be queued in one. It must not
//! know how a task is run.
//!
//! A task that is one process can wait in its slot behind others, so that the slot goes on without asking here. That pays
//! only while tasks are quick, and only then is nobody kept waiting: so it is done only then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::execute::task_host::{Assignment, Finished, Slot};
use persea_spawner::{EnvironmentState, PipelinePosition};

/// How many tasks may be queued in a slot. Enough that the slot does not run dry while what it tells gathers, and several are
/// replaced at once; more would only make the order of starts coarser, and each has a directory.
const WAITING: usize = 16;

/// How many plugin instances a slot may need.
pub(crate) const MOST_IN_A_SLOT: usize = 1 + WAITING;

/// With so many slots, more instances than there may be would be needed for tasks that wait.
const TOO_MANY: usize = 256;

/// A mean time per task from which on nothing is gained by that: 2 ms.
const QUICK: Duration = Duration::from_millis(2);

/// After so many tasks their mean time is believed.
const KNOWN: u32 = 4;

/// One slot, and the tasks that it has.
struct Place {
    slot: Arc<Slot>,
    /// In the order in which they were given.
    tasks: VecDeque<Given>,
    /// The end of the queue of processes that the helper starts one after the other.
    last_position: Option<oneshot::Receiver<()>>,
    /// Its task has it for itself.
    alone: bool,
    /// Tasks that waited were given back, so none is given until all of them are.
    slow: bool,
    /// It is known which task was next when the helper died.
    blamed: bool,
    /// What its environment is like, and the last task that was given one here.
    environment: Option<(EnvironmentState, usize)>,
    /// That is of no use to others.
    spoiled: bool,
    /// A batch has the slot, also while none of its tasks is run.
    batch: Option<Batch>,
}

/// A batch in its slot.
struct Batch {
    runner: String,
    /// It wants another task.
    more: Option<More>,
}

/// By this a batch is given another task.
pub(crate) type More = oneshot::Sender<(usize, Assignment)>;

impl Place {
    /// How much it takes until a task has the environment that it wants here.
    fn effort(&self, wanted: Option<&EnvironmentState>) -> u8 {
        match (wanted, &self.environment) {
            (None, _) => 0,
            (Some(wanted), Some((state, _))) if wanted == state && !self.spoiled => 0,
            (Some(_), None) => 1,
            (Some(_), Some(_)) => 2,
        }
    }
}

/// What a task wants of its environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// What it's like; none where the task needs none at all.
    pub(crate) state: Option<EnvironmentState>,
    /// Afterwards it is of no use to others.
    pub(crate) spoils: bool,
    /// It is one process.
    pub(crate) one_process: bool,
    /// It can be run in a batch: the digest of its runner.
    pub(crate) batch: Option<String>,
}

/// Where a task is run.
pub(crate) struct Found {
    pub(crate) slot: Arc<Slot>,
    /// The position in the slot's pipeline; only for a task that is one process.
    pub(crate) position: Option<PipelinePosition>,
    /// The batch that runs it, where there is one already.
    pub(crate) more: Option<More>,
}

impl Place {
    /// Whether a task can come into what runs here.
    fn takes(&self, wanted: &Wanted) -> bool {
        match (&self.batch, &wanted.batch) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(batch), Some(runner)) => {
                let fits = batch.runner == *runner && batch.more.is_some();
                fits && self.effort(wanted.state.as_ref()) == 0
            }
        }
    }
}

struct Given {
    task: usize,
    /// Its process has started.
    started: bool,
    /// That was told.
    told: bool,
    /// What it has said before that.
    progress: Vec<String>,
    /// It has ended, which is told when the one before has.
    finished: Option<Box<Finished>>,
}

/// What is to be told: of each slot one task after the other, whatever has come to the host's ears first.
#[derive(Debug)]
pub(crate) enum News {
    /// This task has started.
    Started(usize),
    /// This one has something to say.
    Progress(usize, String),
    /// This one has ended.
    Finished(Box<Finished>),
}

pub(crate) struct Places {
    places: Vec<Place>,
    /// Whether tasks may wait in slots at all.
    ahead: bool,
    mean: f64,
    known: u32,
    /// How often an environment had to be brought to another state.
    pub(crate) switches: usize,
}

impl Places {
    pub(crate) fn new(count: usize, ahead: bool) -> Self {
        let place = |index| Place {
            slot: Arc::new(Slot::new(index)),
            tasks: VecDeque::new(),
            last_position: None,
            alone: false,
            slow: false,
            blamed: false,
            environment: None,
            spoiled: false,
            batch: None,
        };
        Self {
            places: (0..count).map(place).collect(),
            ahead: ahead && count < TOO_MANY,
            mean: 0.0,
            known: 0,
            switches: 0,
        }
    }

    /// Of each slot that is free, the last task that had an environment there that others can have too.
    pub(crate) fn last_tasks(&self) -> impl Iterator<Item = usize> {
        let free = self
            .places
            .iter()
            .filter(|it| it.tasks.is_empty() && !it.spoiled);
        free.filter_map(|place| place.environment.as_ref().map(|(_, task)| *task))
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.places.iter().map(|place| &*place.slot)
    }

    /// A slot is free.
    pub(crate) fn have_room(&self) -> bool {
        let wants = |place: &Place| place.batch.as_ref().is_none_or(|it| it.more.is_some());
        let mut places = self.places.iter();
        places.any(|place| place.tasks.is_empty() && wants(place))
    }

    /// No task is in any slot.
    pub(crate) fn are_empty(&self) -> bool {
        let mut places = self.places.iter();
        places.all(|place| place.tasks.is_empty() && place.batch.is_none())
    }

    /// The slot for a task; none when all are taken.
    pub(crate) fn give(&mut self, task: usize, wanted: &Wanted) -> Option<Found> {
        let Wanted {
            ref state,
            spoils,
            one_process,
            ref batch,
        } = *wanted;
        let room = match one_process && self.ahead && self.known >= KNOWN {
            true if self.mean < QUICK.as_secs_f64() => MOST_IN_A_SLOT,
            _ => 1,
        };
        let place = self
            .places
            .iter_mut()
            .filter(|place| place.takes(wanted))
            .filter(|place| match place.tasks.len() {
                0 => true,
                taken => {
                    let is_free = taken < room && !place.alone && !place.slow;
                    is_free && !spoils && place.effort(state.as_ref()) == 0
                }
            })
            .min_by_key(|place| {
                let begins = batch.is_some() && place.batch.is_none();
                (place.tasks.len(), begins, place.effort(state.as_ref()))
            })?;
        let more = place.batch.as_mut().and_then(|batch| batch.more.take());
        if place.batch.is_none()
            && let Some(runner) = batch
        {
            place.batch = Some(Batch {
                runner: runner.clone(),
                more: None,
            });
        }
        if let Some(state) = state {
            self.switches += usize::from(place.effort(Some(state)) == 2);
            place.environment = Some((state.clone(), task));
            place.spoiled = spoils;
        }
        place.tasks.push_back(Given {
            task,
            started: !one_process,
            told: !one_process,
            progress: Vec::new(),
            finished: None,
        });
        place.alone = !one_process || spoils;
        if place.tasks.len() == 1 {
            place.last_position = None;
            place.blamed = false;
        }
        let position = one_process.then(|| PipelinePosition::next(&mut place.last_position));
        Some(Found {
            slot: Arc::clone(&place.slot),
            position,
            more,
        })
    }

    /// The batch in a slot wants another task.
    pub(crate) fn wants_more(&mut self, slot: usize, more: More) {
        if let Some(batch) = self.places.get_mut(slot).and_then(|it| it.batch.as_mut()) {
            batch.more = Some(more);
        }
    }

    /// There is nothing for the batches that want more: they end.
    pub(crate) fn dismiss(&mut self) {
        for batch in self.places.iter_mut().filter_map(|it| it.batch.as_mut()) {
            batch.more = None;
        }
    }

    /// The batch in a slot is over.
    pub(crate) fn over(&mut self, slot: usize) {
        if let Some(place) = self.places.get_mut(slot) {
            place.batch = None;
        }
    }

    /// Records that the helper has started a queued process.
    pub(crate) fn started(&mut self, slot: usize, task: usize) -> Vec<News> {
        if let Some(given) = self.find(slot, task) {
            given.started = true;
        }
        self.news(slot)
    }

    /// A task says something.
    pub(crate) fn progress(&mut self, slot: usize, task: usize, text: String) -> Vec<News> {
        if let Some(given) = self.find(slot, task) {
            given.progress.push(text);
        }
        self.news(slot)
    }

    /// A task has ended.
    pub(crate) fn finished(&mut self, finished: Box<Finished>) -> Vec<News> {
        let Finished {
            task, slot, took, ..
        } = *finished;
        if let Some(took) = took {
            self.known = self.known.saturating_add(1);
            let weight = 1.0 / f64::from(self.known.min(16));
            self.mean += (took.as_secs_f64() - self.mean) * weight;
        }
        if let Some(given) = self.find(slot, task) {
            given.finished = Some(finished);
        }
        self.news(slot)
    }

    /// Whether a queued task may be why the helper died before the task started: it was next in
    /// the pipeline.
    pub(crate) fn is_to_blame(&mut self, slot: usize, task: usize) -> bool {
        let Some(place) = self.places.get_mut(slot) else {
            return false;
        };
        let first = place.tasks.front().is_some_and(|given| given.task == task);
        first && !std::mem::replace(&mut place.blamed, first)
    }

    /// Takes a task out of a slot whose helper has returned the task's process unstarted.
    pub(crate) fn return_task(&mut self, slot: usize, task: usize) -> Vec<News> {
        if let Some(place) = self.places.get_mut(slot) {
            place.tasks.retain(|given| given.task != task);
            // Until all of them are back, so that they keep their order.
            place.slow = !place.tasks.is_empty();
        }
        self.news(slot)
    }

    fn find(&mut self, slot: usize, task: usize) -> Option<&mut Given> {
        let tasks = &mut self.places.get_mut(slot)?.tasks;
        tasks.iter_mut().find(|given| given.task == task)
    }

    fn news(&mut self, slot: usize) -> Vec<News> {
        let mut news = Vec::new();
        let Some(place) = self.places.get_mut(slot) else {
            return news;
        };
        while let Some(front) = place.tasks.front_mut() {
            if (front.started || front.finished.is_some()) && !front.told {
                front.told = true;
                news.push(News::Started(front.task));
            }
            if front.told {
                let said = front.progress.drain(..);
                news.extend(said.map(|text| News::Progress(front.task, text)));
            }
            let Some(finished) = front.finished.take() else {
                break;
            };
            news.push(News::Finished(finished));
            place.tasks.pop_front();
        }
        place.slow &= !place.tasks.is_empty();
        news
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
