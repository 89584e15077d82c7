//! Which task is next: of those whose time has come, the first in the order of the plan that gets what it claims. Owns how
//! far each task has come; it must not know where tasks run, nor how.

use std::collections::BTreeSet;

use super::graph::{Graph, Wait};
use crate::model::Status;

/// How far a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It waits for others, or for its turn.
    Waiting,
    /// It was taken from the queue.
    Taken,
    Ended,
}

pub(super) struct Queue {
    graph: Graph,
    stages: Vec<Stage>,
    /// For how many others each task still waits.
    waits: Vec<usize>,
    /// Those that wait for no other.
    ready: BTreeSet<usize>,
    /// How many are in the stage of waiting.
    left: usize,
    /// By resource: how much is free, and those that wait for it.
    free: Vec<u64>,
    blocked: Vec<BTreeSet<usize>>,
}

/// A task that cannot run any more, because it needs another one that has not passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forsaken {
    pub(super) task: usize,
    /// The one that it needs, and how that has ended.
    pub(super) needs: usize,
    pub(super) status: Status,
}

impl Queue {
    pub(super) fn new(graph: Graph) -> Self {
        let count = graph.order.node_count();
        let waits: Vec<usize> = (0..count).map(|task| graph.waits(task)).collect();
        Self {
            stages: vec![Stage::Waiting; count],
            ready: (0..count)
                .filter(|task| waits.get(*task) == Some(&0))
                .collect(),
            left: count,
            waits,
            free: graph.resources.iter().map(|it| it.amount).collect(),
            blocked: graph.resources.iter().map(|_| BTreeSet::new()).collect(),
            graph,
        }
    }

    /// Whether a task claims something; then it's not to be held up once it was taken, because it holds up others.
    pub(super) fn claims(&self, task: usize) -> bool {
        self.graph.claims.contains_key(&task)
    }

    /// The task that is next. It stays in the queue.
    pub(super) fn peek(&mut self) -> Option<usize> {
        loop {
            let task = *self.ready.first()?;
            let Some(resource) = self.lacking(task) else {
                return Some(task);
            };
            // It waits where it will be looked for when there is more of that.
            self.ready.remove(&task);
            if let Some(blocked) = self.blocked.get_mut(resource) {
                blocked.insert(task);
            }
            // What it does not take, another one may want.
            self.wake(task, Some(resource));
        }
    }

    /// Takes a task from the queue, with what it claims.
    pub(super) fn take(&mut self, task: usize) {
        self.ready.remove(&task);
        self.set(task, Stage::Taken);
        self.move_claims(task, u64::saturating_sub);
        // There may be enough left for the next one.
        self.wake(task, None);
    }

    /// Puts a task back that was taken: it has not been started.
    pub(super) fn put_back(&mut self, task: usize) {
        self.set(task, Stage::Waiting);
        self.release(task);
        self.ready.insert(task);
    }

    /// A task has ended. Those that can't run any more are said; each of them is to be told as ended too.
    pub(super) fn ended(&mut self, task: usize, status: Status) -> Vec<Forsaken> {
        let taken = self.stages.get(task) == Some(&Stage::Taken);
        self.ready.remove(&task);
        self.set(task, Stage::Ended);
        if taken {
            self.release(task);
        }
        let mut forsaken: Vec<Forsaken> = Vec::new();
        let mut seen = BTreeSet::new();
        for (other, wait) in self.graph.waiting_for(task) {
            let Some(waits) = self.waits.get_mut(other) else {
                continue;
            };
            *waits = waits.saturating_sub(1);
            let is_last = *waits == 0;
            if self.stages.get(other) != Some(&Stage::Waiting) {
                continue;
            }
            if wait == Wait::Needs && !status.has_passed() {
                if !seen.insert(other) {
                    continue;
                }
                forsaken.push(Forsaken {
                    task: other,
                    needs: task,
                    status,
                });
            } else if is_last && !seen.contains(&other) {
                self.ready.insert(other);
            }
        }
        for Forsaken { task, .. } in &forsaken {
            self.ready.remove(task);
            self.set(*task, Stage::Ended);
        }
        forsaken
    }

    /// All that have been neither taken nor ended, in the order of the plan.
    pub(super) fn left(&self) -> Vec<usize> {
        if self.left == 0 {
            return Vec::new();
        }
        let waiting = |(task, stage): (usize, &Stage)| (*stage == Stage::Waiting).then_some(task);
        self.stages.iter().enumerate().filter_map(waiting).collect()
    }

    fn set(&mut self, task: usize, to: Stage) {
        if let Some(stage) = self.stages.get_mut(task) {
            let waits = |stage| usize::from(stage == Stage::Waiting);
            self.left = self.left + waits(to) - waits(*stage);
            *stage = to;
        }
    }

    /// A resource of which there is less left than a task claims.
    fn lacking(&self, task: usize) -> Option<usize> {
        let claims = self.graph.claims.get(&task)?;
        claims
            .iter()
            .find(|(resource, amount)| self.free.get(*resource).is_none_or(|free| free < amount))
            .map(|(resource, _)| *resource)
    }

    fn release(&mut self, task: usize) {
        self.move_claims(task, u64::saturating_add);
        self.wake(task, None);
    }

    fn move_claims(&mut self, task: usize, change: fn(u64, u64) -> u64) {
        for (resource, amount) in self.graph.claims.get(&task).into_iter().flatten() {
            if let Some(free) = self.free.get_mut(*resource) {
                *free = change(*free, *amount);
            }
        }
    }

    /// Of those that wait for one of a task's resources, but for `except`, lets the first try again that now gets enough of it.
    fn wake(&mut self, task: usize, except: Option<usize>) {
        for (resource, _) in self.graph.claims.get(&task).into_iter().flatten() {
            let (Some(free), Some(blocked)) =
                (self.free.get(*resource), self.blocked.get_mut(*resource))
            else {
                continue;
            };
            if Some(*resource) == except || *free == 0 {
                continue;
            }
            let fits = |task: &&usize| {
                let claims = self.graph.claims.get(*task).into_iter().flatten();
                claims
                    .filter(|(other, _)| other == resource)
                    .all(|(_, amount)| amount <= free)
            };
            if let Some(first) = blocked.iter().find(fits).copied() {
                blocked.remove(&first);
                self.ready.insert(first);
            }
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
