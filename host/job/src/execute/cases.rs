//! Owns the cases of one task while it runs: results inside it, which go to the dispatcher as lines
//! of the journal. Keeps only cases that run, counts, and hashes of a limited number of paths. Does
//! not know what a case is or whether its task passes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use persea_journal::{self as journal, CaseFinished, CaseStarted, Event, EventLines, ShownCase};
use persea_model::names::cut;
use persea_model::{Case, Status, Tally};

/// The most cases of a task that run at once. The start of any more is dropped.
const MAX_RUNNING: usize = 1000;

/// The most paths of a task that are remembered, so that a case that repeats one is numbered. The
/// hashes of the paths take 1.1 MiB.
const MAX_PATHS: usize = 50_000;

/// The most failed cases that are shown below their task.
const SHOWN_FAILED: usize = 10;

/// The longest part of a case's name or reason that is shown, in bytes.
const SHOWN: usize = 255;

/// Cases of a task on their way to the dispatcher, which takes all of them at once.
#[derive(Debug, Default)]
pub(crate) struct CaseBatch(Mutex<CaseBatchState>);

#[derive(Debug, Default)]
struct CaseBatchState {
    news: CaseNews,
    /// The dispatcher has taken the cases, and looks no more for others.
    is_taken: bool,
}

/// What has happened to the cases of a task.
#[derive(Debug, Default)]
pub(crate) struct CaseNews {
    pub(crate) lines: EventLines,
    /// The case that runs now, by its name for people.
    pub(crate) running: Option<String>,
    /// The cases that have ended, for a display that has a line for each.
    pub(crate) ended: Vec<ShownCase>,
}

impl CaseBatch {
    fn lock(&self) -> MutexGuard<'_, CaseBatchState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes everything that has been added so far.
    pub(crate) fn take(&self) -> CaseNews {
        let mut state = self.lock();
        state.is_taken = true;
        std::mem::take(&mut state.news)
    }
}

/// What is known of a task's cases at its end.
#[derive(Debug, Default)]
pub(crate) struct CaseSummary {
    /// None for a task without cases.
    pub(crate) tally: Option<Tally>,
    /// The number of cases whose path was not compared with those before it.
    pub(crate) unnumbered: usize,
    /// The first cases that have failed.
    pub(crate) failed: Vec<ShownCase>,
}

/// The cases that still ran when their task ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnfinishedCases {
    /// The display name of the running case that was started last.
    last: String,
    others: usize,
}

impl std::fmt::Display for UnfinishedCases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "in case {}", self.last)?;
        match self.others {
            0 => Ok(()),
            others => write!(f, " and {others} more"),
        }
    }
}

/// The cases of one task.
pub(crate) struct CaseBook {
    /// The task's id.
    task: String,
    /// Whether the display has a line for each case.
    are_shown: bool,
    /// None for a task without cases, which most tasks are.
    state: Mutex<Option<Box<CaseBookState>>>,
}

#[derive(Default)]
struct CaseBookState {
    /// In the order of their starts.
    running: Vec<RunningCase>,
    hasher: RandomState,
    /// By the hash of a path: how many cases have had it.
    paths: HashMap<u64, u32>,
    tally: Tally,
    unnumbered: usize,
    /// The number of cases whose start was dropped.
    dropped_starts: usize,
    failed: Vec<ShownCase>,
    /// The batch that takes the next case, if the dispatcher has not taken it.
    batch: Option<Arc<CaseBatch>>,
}

struct RunningCase {
    /// The hash of the path that the plugin gave.
    hash: u64,
    /// The path with its number, if it repeats another one.
    path: Vec<String>,
    /// By the job's clock.
    started: Duration,
}

impl CaseBook {
    pub(crate) fn new(task: &str, are_shown: bool) -> Self {
        Self {
            task: task.to_owned(),
            are_shown,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<CaseBookState>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a case that runs since `now`, by the job's clock. Returns a batch that the dispatcher
    /// does not have yet.
    pub(crate) fn start(&self, path: Vec<String>, now: Duration) -> Option<Arc<CaseBatch>> {
        let mut held = self.lock();
        let state = held.get_or_insert_default();
        if state.running.len() >= MAX_RUNNING {
            state.dropped_starts += 1;
            return None;
        }
        let hash = state.hasher.hash_one(&path);
        let path = state.numbered(path, hash);
        let event = Event::CaseStarted(Cow::Owned(CaseStarted {
            path: Cow::Borrowed(&path),
        }));
        let batch = state.add(&self.task, &event, Some(Case::title(&path)), None);
        state.running.push(RunningCase {
            hash,
            path,
            started: now,
        });
        batch
    }

    /// Adds a case that has ended at `now`, by the job's clock. Returns a batch that the dispatcher
    /// does not have yet.
    pub(crate) fn finish(&self, case: Case, now: Duration) -> Option<Arc<CaseBatch>> {
        let mut held = self.lock();
        let state = held.get_or_insert_default();
        let hash = state.hasher.hash_one(&case.path);
        let mut running = state.running.iter();
        let (path, started) = match running.position(|running| running.hash == hash) {
            Some(place) => {
                let RunningCase { path, started, .. } = state.running.remove(place);
                (path, Some(started))
            }
            None => (state.numbered(case.path, hash), None),
        };
        let since_start = || started.map(|started| now.saturating_sub(started));
        let case = Case {
            path,
            elapsed: case.elapsed.or_else(since_start),
            ..case
        };
        state.end(&self.task, self.are_shown, case)
    }

    /// Makes later cases a batch of their own, so that they come after what is reported between.
    pub(crate) fn seal(&self) {
        if let Some(state) = &mut *self.lock() {
            state.batch = None;
        }
    }

    /// Ends the cases that still run, because their task has ended: it was interrupted, or its
    /// runner has returned. Returns a batch that the dispatcher does not have yet, and those cases.
    pub(crate) fn end(
        &self,
        now: Duration,
        was_interrupted: bool,
    ) -> (Option<Arc<CaseBatch>>, Option<UnfinishedCases>) {
        let (status, reason) = match was_interrupted {
            true => (Status::Interrupted, "its task was interrupted"),
            false => (Status::Error, "its task has ended before it"),
        };
        let mut held = self.lock();
        let Some(state) = &mut *held else {
            return (None, None);
        };
        let running = std::mem::take(&mut state.running);
        let unfinished = running.last().map(|last| UnfinishedCases {
            last: cut(&Case::title(&last.path), SHOWN).to_owned(),
            others: running.len() - 1,
        });
        let mut batch = None;
        for RunningCase { path, started, .. } in running {
            let case = Case {
                path,
                status,
                elapsed: Some(now.saturating_sub(started)),
                reason: Some(reason.to_owned()),
                more: persea_model::Attributes::new(),
            };
            batch = batch.or(state.end(&self.task, self.are_shown, case));
        }
        (batch, unfinished)
    }

    /// The number of cases whose start was dropped, because too many ran.
    pub(crate) fn dropped_starts(&self) -> usize {
        self.lock().as_ref().map_or(0, |it| it.dropped_starts)
    }

    /// Takes what is known at the end of the task.
    pub(crate) fn take_summary(&self) -> CaseSummary {
        match self.lock().take() {
            Some(state) => CaseSummary {
                tally: Some(state.tally),
                unnumbered: state.unnumbered,
                failed: state.failed,
            },
            None => CaseSummary::default(),
        }
    }
}

impl CaseBookState {
    /// Returns a path that no case has had before: with a number in its last name if it repeats
    /// another one. After [`MAX_PATHS`] different paths a new one is not remembered.
    fn numbered(&mut self, mut path: Vec<String>, hash: u64) -> Vec<String> {
        let has_room = self.paths.len() < MAX_PATHS;
        let Some(count) = self.paths.get(&hash).copied() else {
            if has_room {
                self.paths.insert(hash, 1);
            } else {
                self.unnumbered += 1;
            }
            return path;
        };
        let name = path.pop().unwrap_or_default();
        let mut number = count;
        loop {
            number = number.saturating_add(1);
            path.push(format!("{name} ({number})"));
            let other = self.hasher.hash_one(&path);
            // The plugin may have used this very name.
            if !self.paths.contains_key(&other) || number == u32::MAX {
                if has_room {
                    self.paths.insert(other, 1);
                }
                break;
            }
            path.pop();
        }
        self.paths.insert(hash, number);
        path
    }

    fn end(&mut self, task: &str, is_shown: bool, case: Case) -> Option<Arc<CaseBatch>> {
        let Case {
            path,
            status,
            elapsed,
            reason,
            mut more,
        } = case;
        more.retain(|name, _| !CaseFinished::RESERVED.contains(&name.as_str()));
        self.tally.add(status);
        let is_listed = !status.is_ok() && self.failed.len() < SHOWN_FAILED;
        let shown = (is_listed || is_shown).then(|| ShownCase {
            title: cut(&Case::title(&path), SHOWN).to_owned(),
            status,
            reason: reason.as_deref().map(|it| cut(it, SHOWN).to_owned()),
        });
        if is_listed {
            self.failed.extend(shown.clone());
        }
        let elapsed = elapsed.map(|it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX));
        let event = Event::CaseFinished(Cow::Owned(CaseFinished {
            path: Cow::Borrowed(&path),
            status,
            elapsed,
            reason: reason.as_deref().map(Cow::Borrowed),
            more: Cow::Borrowed(&more),
        }));
        let running = self.running.last().map(|it| Case::title(&it.path));
        self.add(task, &event, running, shown.filter(|_| is_shown))
    }

    /// Adds an event to the batch that the dispatcher has not taken, or else to a new one, which is
    /// returned.
    fn add(
        &mut self,
        task: &str,
        event: &Event<'_>,
        running: Option<String>,
        ended: Option<ShownCase>,
    ) -> Option<Arc<CaseBatch>> {
        if let Some(batch) = &self.batch {
            let mut held = batch.lock();
            if !held.is_taken {
                held.news.add(task, event, running, ended);
                return None;
            }
        }
        let batch = Arc::new(CaseBatch::default());
        batch.lock().news.add(task, event, running, ended);
        self.batch = Some(Arc::clone(&batch));
        Some(batch)
    }
}

impl CaseNews {
    fn add(
        &mut self,
        task: &str,
        event: &Event<'_>,
        running: Option<String>,
        ended: Option<ShownCase>,
    ) {
        if let Err(error) = self.lines.push(journal::now(), Some(task), event) {
            tracing::warn!("a case of {task} is missing in the journal: {error}");
        }
        self.running = running;
        self.ended.extend(ended);
    }
}

#[cfg(test)]
#[path = "cases_tests.rs"]
mod tests;
