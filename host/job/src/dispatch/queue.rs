//! Which task is next: of those whose time has come, the first in the order of the plan that gets what it claims. Owns how
//! far each task has come; it must not know where tasks run, nor how.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use crate::plan::graph::{Graph, Node, Wait};
use persea_model::Status;

/// How far a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Waits for other tasks, or in the queue.
    Waiting,
    /// It was taken from the queue.
    Taken,
    Ended,
}

pub(crate) struct Queue {
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
    /// By resource: the places of its named instances that are free.
    instances: Vec<BTreeSet<usize>>,
    /// By task: which instances it has, as places in a resource.
    leased: HashMap<usize, Vec<(usize, usize)>>,
    /// Those that have ended, whose claims have not.
    holding: HashSet<usize>,
}

/// A task that cannot run any more, because it needs another one that has not passed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Forsaken {
    pub(crate) task: usize,
    /// The one that it needs, and how that has ended.
    pub(crate) needs: usize,
    pub(crate) status: Status,
}

impl Queue {
    pub(crate) fn new(graph: Graph) -> Self {
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
            instances: graph
                .resources
                .iter()
                .map(|it| (0..it.instances.len()).collect())
                .collect(),
            leased: HashMap::new(),
            holding: HashSet::new(),
            graph,
        }
    }

    /// Whether a task claims something; then it's not to be held up once it was taken, because it holds up others.
    pub(crate) fn claims(&self, task: usize) -> bool {
        self.graph.claims.contains_key(&task)
    }

    /// What a node stands for.
    pub(crate) fn node(&self, index: usize) -> Node {
        self.graph.node(index)
    }

    /// The task that is next. It stays in the queue.
    pub(crate) fn peek(&mut self) -> Option<usize> {
        self.peek_in(0..self.graph.tasks)
    }

    /// The tasks that can start now in the order of the plan: all, or the first `most`.
    pub(crate) fn ready(&mut self, most: usize) -> Vec<usize> {
        self.unblock(most);
        let mut startable = Vec::new();
        let mut lacking = Vec::new();
        for task in self.ready.range(0..self.graph.tasks).copied() {
            match self.lacking(task) {
                Some(resource) => lacking.push((task, resource)),
                None => startable.push(task),
            }
            if startable.len() == most {
                break;
            }
        }
        for (task, resource) in lacking {
            self.block(task, resource);
        }
        startable
    }

    /// Moves the blocked tasks that can start now, at least the first `most` of each resource, to the ready ones. At least one of each
    /// resource is enough for [`Queue::peek`], which wakes the others one by one.
    fn unblock(&mut self, most: usize) {
        for resource in 0..self.blocked.len() {
            if self.free.get(resource).is_none_or(|free| *free == 0) {
                continue;
            }
            let blocked = self.blocked.get(resource).into_iter().flatten().copied();
            let mut startable = Vec::new();
            let mut elsewhere = Vec::new();
            for task in blocked {
                match self.lacking(task) {
                    None => startable.push(task),
                    Some(other) if other != resource => elsewhere.push((task, other)),
                    Some(_) => {}
                }
                if startable.len() == most {
                    break;
                }
            }
            let moved = elsewhere.iter().map(|(task, _)| task).chain(&startable);
            if let Some(blocked) = self.blocked.get_mut(resource) {
                for task in moved {
                    blocked.remove(task);
                }
            }
            self.ready.extend(startable);
            for (task, other) in elsewhere {
                self.block(task, other);
            }
        }
    }

    /// Keeps a task where it is looked for when there is more of a resource.
    fn block(&mut self, task: usize, resource: usize) {
        self.ready.remove(&task);
        if let Some(blocked) = self.blocked.get_mut(resource) {
            blocked.insert(task);
        }
    }

    /// Whether a task waits for nothing any more and gets what it claims.
    pub(crate) fn can_start(&self, task: usize) -> bool {
        self.is_waiting(task) && self.waits.get(task) == Some(&0) && self.lacking(task).is_none()
    }

    /// Whether a task has neither been taken nor ended.
    pub(crate) fn is_waiting(&self, task: usize) -> bool {
        self.stages.get(task) == Some(&Stage::Waiting)
    }

    /// What is next of all that prepares for tasks.
    pub(crate) fn peek_preparation(&mut self) -> Option<usize> {
        self.peek_in(self.graph.tasks..self.stages.len())
    }

    /// The one of these tasks that is next.
    pub(crate) fn peek_in(&mut self, range: Range<usize>) -> Option<usize> {
        loop {
            let task = *self.ready.range(range.clone()).next()?;
            let Some(resource) = self.lacking(task) else {
                return Some(task);
            };
            self.block(task, resource);
            // What it does not take, another one may want.
            self.wake(task, Some(resource));
        }
    }

    /// Takes a task from the queue, with what it claims.
    pub(crate) fn take(&mut self, task: usize) {
        self.ready.remove(&task);
        self.set(task, Stage::Taken);
        self.move_claims(task, u64::saturating_sub);
        self.lease(task);
        // There may be enough left for the next one.
        self.wake(task, None);
    }

    /// Puts a task back that was taken: it has not been started.
    pub(crate) fn put_back(&mut self, task: usize) {
        self.set(task, Stage::Waiting);
        self.release(task);
        self.ready.insert(task);
    }

    /// A task has ended. Those that can't run any more are said; each of them is to be told as ended too.
    pub(crate) fn ended(&mut self, task: usize, status: Status) -> Vec<Forsaken> {
        let taken = self.stages.get(task) == Some(&Stage::Taken);
        self.ready.remove(&task);
        self.set(task, Stage::Ended);
        if taken && self.is_holder(task) {
            self.holding.insert(task);
        } else if taken {
            self.release(task);
        }
        if let Some(holder) = self.graph.held_until.get(&task).copied()
            && self.holding.remove(&holder)
        {
            self.release(holder);
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

    /// Whether its claims last beyond its end.
    fn is_holder(&self, index: usize) -> bool {
        matches!(self.graph.node(index), Node::Reserve(_))
    }

    /// All that have been neither taken nor ended, in the order of the plan.
    pub(crate) fn left(&self) -> Vec<usize> {
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

    /// Which instances of which resources a task has: names by the resource's name.
    pub(crate) fn leases(&self, task: usize) -> BTreeMap<&str, Vec<&str>> {
        let mut leases: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (resource, place) in self.leased.get(&task).into_iter().flatten() {
            if let Some(resource) = self.graph.resources.get(*resource)
                && let Some(instance) = resource.instances.get(*place)
            {
                leases.entry(&resource.name).or_default().push(instance);
            }
        }
        leases
    }

    fn lease(&mut self, task: usize) {
        for (resource, amount) in self.graph.claims.get(&task).into_iter().flatten() {
            let Some(free) = self.instances.get_mut(*resource) else {
                continue;
            };
            for _ in 0..*amount {
                let Some(place) = free.pop_first() else {
                    break;
                };
                self.leased
                    .entry(task)
                    .or_default()
                    .push((*resource, place));
            }
        }
    }

    fn release(&mut self, task: usize) {
        for (resource, place) in self.leased.remove(&task).into_iter().flatten() {
            if let Some(free) = self.instances.get_mut(resource) {
                free.insert(place);
            }
        }
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
