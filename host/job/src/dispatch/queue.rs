//! Owns the phase of each node of the graph, and which resources are claimed. The next task is the
//! first ready one in plan order whose claims are free. Does not know where or how tasks run.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use crate::plan::graph::{Dependency, Graph, Node};
use persea_model::Status;

/// The phase of a node in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QueuePhase {
    /// It waits for other nodes, or is ready.
    Waiting,
    /// It was taken from the queue and has not ended.
    Taken,
    Ended,
}

pub(crate) struct Queue {
    graph: Graph,
    phases: Vec<QueuePhase>,
    /// By node: the number of nodes that it still waits for.
    open_dependencies: Vec<usize>,
    /// The waiting nodes that wait for no other node, except the `blocked` ones.
    ready: BTreeSet<usize>,
    /// The number of waiting nodes.
    waiting_count: usize,
    /// By resource: the free amount.
    free: Vec<u64>,
    blocked: Vec<BTreeSet<usize>>,
    /// By resource: the positions of its named instances that are free.
    instances: Vec<BTreeSet<usize>>,
    /// By node: the leased instances, as pairs of resource and position.
    leased: HashMap<usize, Vec<(usize, usize)>>,
    /// The nodes that have ended and keep their claims until another node ends.
    ended_holders: HashSet<usize>,
}

/// A node that can no longer run, because a node that it needs did not pass.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unrunnable {
    pub(crate) task: usize,
    /// The node that it needs, and the status with which that node ended.
    pub(crate) needs: usize,
    pub(crate) status: Status,
}

impl Queue {
    pub(crate) fn new(graph: Graph) -> Self {
        let count = graph.order.node_count();
        let open_dependencies: Vec<usize> = (0..count)
            .map(|task| graph.dependency_count(task))
            .collect();
        Self {
            phases: vec![QueuePhase::Waiting; count],
            ready: (0..count)
                .filter(|task| open_dependencies.get(*task) == Some(&0))
                .collect(),
            waiting_count: count,
            open_dependencies,
            free: graph.resources.iter().map(|it| it.amount).collect(),
            blocked: graph.resources.iter().map(|_| BTreeSet::new()).collect(),
            instances: graph
                .resources
                .iter()
                .map(|it| (0..it.instances.len()).collect())
                .collect(),
            leased: HashMap::new(),
            ended_holders: HashSet::new(),
            graph,
        }
    }

    /// Whether a task claims resources. Once taken it must not wait, because it blocks others.
    pub(crate) fn claims(&self, task: usize) -> bool {
        self.graph.claims.contains_key(&task)
    }

    pub(crate) fn node(&self, index: usize) -> Node {
        self.graph.node(index)
    }

    /// Returns the next task without taking it.
    pub(crate) fn peek(&mut self) -> Option<usize> {
        self.peek_in(0..self.graph.tasks)
    }

    /// Returns the tasks that can start now in plan order, at most the first `limit`.
    pub(crate) fn ready(&mut self, limit: usize) -> Vec<usize> {
        self.unblock(limit);
        let mut startable = Vec::new();
        let mut blocked = Vec::new();
        for task in self.ready.range(0..self.graph.tasks).copied() {
            match self.missing_resource(task) {
                Some(resource) => blocked.push((task, resource)),
                None => startable.push(task),
            }
            if startable.len() == limit {
                break;
            }
        }
        for (task, resource) in blocked {
            self.block(task, resource);
        }
        startable
    }

    /// Moves the blocked nodes that can start now, at least the first `limit` of each resource, to
    /// the ready ones. [`Queue::peek`] needs at most one of each resource and wakes the others one
    /// by one.
    fn unblock(&mut self, limit: usize) {
        for resource in 0..self.blocked.len() {
            if self.free.get(resource).is_none_or(|free| *free == 0) {
                continue;
            }
            let blocked = self.blocked.get(resource).into_iter().flatten().copied();
            let mut startable = Vec::new();
            let mut elsewhere = Vec::new();
            for task in blocked {
                match self.missing_resource(task) {
                    None => startable.push(task),
                    Some(other) if other != resource => elsewhere.push((task, other)),
                    Some(_) => {}
                }
                if startable.len() == limit {
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

    /// Moves a node to those that wait for more of a resource.
    fn block(&mut self, task: usize, resource: usize) {
        self.ready.remove(&task);
        if let Some(blocked) = self.blocked.get_mut(resource) {
            blocked.insert(task);
        }
    }

    /// Whether a task is ready and all its claims are free.
    pub(crate) fn can_start(&self, task: usize) -> bool {
        self.is_waiting(task)
            && self.open_dependencies.get(task) == Some(&0)
            && self.missing_resource(task).is_none()
    }

    /// Whether a node has neither been taken nor ended.
    pub(crate) fn is_waiting(&self, task: usize) -> bool {
        self.phases.get(task) == Some(&QueuePhase::Waiting)
    }

    /// Returns the next node that fulfils, reserves or releases.
    pub(crate) fn peek_preparation(&mut self) -> Option<usize> {
        self.peek_in(self.graph.tasks..self.phases.len())
    }

    /// Returns the next node in a range of indices.
    pub(crate) fn peek_in(&mut self, range: Range<usize>) -> Option<usize> {
        loop {
            let task = *self.ready.range(range.clone()).next()?;
            let Some(resource) = self.missing_resource(task) else {
                return Some(task);
            };
            self.block(task, resource);
            // Another node that is blocked by this resource may claim less.
            self.wake(task, Some(resource));
        }
    }

    /// Takes a node from the queue, with its claims.
    pub(crate) fn take(&mut self, task: usize) {
        self.ready.remove(&task);
        self.set_phase(task, QueuePhase::Taken);
        self.adjust_free(task, u64::saturating_sub);
        self.lease(task);
        // What remains may be enough for a blocked node.
        self.wake(task, None);
    }

    /// Requeues a node that was taken and not started, or that is retried.
    pub(crate) fn put_back(&mut self, task: usize) {
        self.set_phase(task, QueuePhase::Waiting);
        self.free_claims(task);
        self.ready.insert(task);
    }

    /// Records the end of a node. Returns the nodes that can no longer run; the caller passes the
    /// end of each to this function too.
    pub(crate) fn end(&mut self, task: usize, status: Status) -> Vec<Unrunnable> {
        let taken = self.phases.get(task) == Some(&QueuePhase::Taken);
        self.ready.remove(&task);
        self.set_phase(task, QueuePhase::Ended);
        if taken && self.keeps_claims(task) {
            self.ended_holders.insert(task);
        } else if taken {
            self.free_claims(task);
        }
        if let Some(holder) = self.graph.claims_end_with.get(&task).copied()
            && self.ended_holders.remove(&holder)
        {
            self.free_claims(holder);
        }
        let mut unrunnable: Vec<Unrunnable> = Vec::new();
        let mut seen = BTreeSet::new();
        for (other, wait) in self.graph.dependents(task) {
            let Some(waits) = self.open_dependencies.get_mut(other) else {
                continue;
            };
            *waits = waits.saturating_sub(1);
            let is_last = *waits == 0;
            if self.phases.get(other) != Some(&QueuePhase::Waiting) {
                continue;
            }
            if wait == Dependency::Needs && !status.has_passed() {
                if !seen.insert(other) {
                    continue;
                }
                unrunnable.push(Unrunnable {
                    task: other,
                    needs: task,
                    status,
                });
            } else if is_last && !seen.contains(&other) {
                self.ready.insert(other);
            }
        }
        for Unrunnable { task, .. } in &unrunnable {
            self.ready.remove(task);
            self.set_phase(*task, QueuePhase::Ended);
        }
        unrunnable
    }

    /// Whether a node keeps its claims after its end.
    fn keeps_claims(&self, index: usize) -> bool {
        matches!(self.graph.node(index), Node::Reserve(_))
    }

    /// All waiting nodes in plan order.
    pub(crate) fn waiting(&self) -> Vec<usize> {
        if self.waiting_count == 0 {
            return Vec::new();
        }
        let waiting =
            |(task, phase): (usize, &QueuePhase)| (*phase == QueuePhase::Waiting).then_some(task);
        self.phases.iter().enumerate().filter_map(waiting).collect()
    }

    fn set_phase(&mut self, task: usize, to: QueuePhase) {
        if let Some(phase) = self.phases.get_mut(task) {
            let waits = |phase| usize::from(phase == QueuePhase::Waiting);
            self.waiting_count = self.waiting_count + waits(to) - waits(*phase);
            *phase = to;
        }
    }

    /// A resource of which less is free than a node claims.
    fn missing_resource(&self, task: usize) -> Option<usize> {
        let claims = self.graph.claims.get(&task)?;
        claims
            .iter()
            .find(|(resource, amount)| self.free.get(*resource).is_none_or(|free| free < amount))
            .map(|(resource, _)| *resource)
    }

    /// The leased instances of a task: instance names by resource name.
    pub(crate) fn leases(&self, task: usize) -> BTreeMap<&str, Vec<&str>> {
        let mut leases: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (resource, position) in self.leased.get(&task).into_iter().flatten() {
            if let Some(resource) = self.graph.resources.get(*resource)
                && let Some(instance) = resource.instances.get(*position)
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
                let Some(position) = free.pop_first() else {
                    break;
                };
                self.leased
                    .entry(task)
                    .or_default()
                    .push((*resource, position));
            }
        }
    }

    fn free_claims(&mut self, task: usize) {
        for (resource, position) in self.leased.remove(&task).into_iter().flatten() {
            if let Some(free) = self.instances.get_mut(resource) {
                free.insert(position);
            }
        }
        self.adjust_free(task, u64::saturating_add);
        self.wake(task, None);
    }

    fn adjust_free(&mut self, task: usize, change: fn(u64, u64) -> u64) {
        for (resource, amount) in self.graph.claims.get(&task).into_iter().flatten() {
            if let Some(free) = self.free.get_mut(*resource) {
                *free = change(*free, *amount);
            }
        }
    }

    /// For each resource that a node claims, other than `except`: moves the first blocked node to
    /// the ready ones for which enough of that resource is free.
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
