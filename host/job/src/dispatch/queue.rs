//! Owns the phase of each node of the graph, and which resources are claimed. The next task is the
//! first ready one in plan order whose claims are free. Does not know where or how tasks run.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use crate::plan::graph::{Dependency, Graph, Node, NodeIndex};
use persea_model::{Status, TaskIndex};

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
    ready: BTreeSet<NodeIndex>,
    /// The number of waiting nodes.
    waiting_count: usize,
    /// By resource: the free amount.
    free: Vec<u64>,
    blocked: Vec<BTreeSet<NodeIndex>>,
    /// By resource: the positions of its named instances that are free.
    instances: Vec<BTreeSet<usize>>,
    /// By node: the leased instances, as pairs of resource and position.
    leased: HashMap<NodeIndex, Vec<(usize, usize)>>,
    /// The nodes that have ended and keep their claims until another node ends.
    ended_holders: HashSet<NodeIndex>,
}

/// A node that can no longer run, because a node that it needs did not pass.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unrunnable {
    pub(crate) node: NodeIndex,
    /// The node that it needs, and the status with which that node ended.
    pub(crate) needs: NodeIndex,
    pub(crate) status: Status,
}

impl Queue {
    pub(crate) fn new(graph: Graph) -> Self {
        let count = graph.order.node_count();
        let open_dependencies: Vec<usize> = (0..count)
            .map(|node| graph.dependency_count(NodeIndex(node)))
            .collect();
        Self {
            phases: vec![QueuePhase::Waiting; count],
            ready: (0..count)
                .filter(|node| open_dependencies.get(*node) == Some(&0))
                .map(NodeIndex)
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
    pub(crate) fn claims(&self, task: TaskIndex) -> bool {
        self.graph.claims.contains_key(&task.into())
    }

    pub(crate) fn node(&self, index: NodeIndex) -> Node {
        self.graph.node(index)
    }

    /// Returns the next task without taking it.
    pub(crate) fn peek(&mut self) -> Option<TaskIndex> {
        self.peek_in(TaskIndex(0)..TaskIndex(self.graph.tasks))
    }

    /// Returns the tasks that can start now in plan order, at most the first `limit`.
    pub(crate) fn ready(&mut self, limit: usize) -> Vec<TaskIndex> {
        self.unblock(limit);
        let mut startable = Vec::new();
        let mut blocked = Vec::new();
        for node in self.ready.iter().copied() {
            let Some(task) = self.graph.task(node) else {
                break;
            };
            match self.missing_resource(node) {
                Some(resource) => blocked.push((node, resource)),
                None => startable.push(task),
            }
            if startable.len() == limit {
                break;
            }
        }
        for (node, resource) in blocked {
            self.block(node, resource);
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
            for node in blocked {
                match self.missing_resource(node) {
                    None => startable.push(node),
                    Some(other) if other != resource => elsewhere.push((node, other)),
                    Some(_) => {}
                }
                if startable.len() == limit {
                    break;
                }
            }
            let moved = elsewhere.iter().map(|(node, _)| node).chain(&startable);
            if let Some(blocked) = self.blocked.get_mut(resource) {
                for node in moved {
                    blocked.remove(node);
                }
            }
            self.ready.extend(startable);
            for (node, other) in elsewhere {
                self.block(node, other);
            }
        }
    }

    /// Moves a node to those that wait for more of a resource.
    fn block(&mut self, node: NodeIndex, resource: usize) {
        self.ready.remove(&node);
        if let Some(blocked) = self.blocked.get_mut(resource) {
            blocked.insert(node);
        }
    }

    /// Whether a task is ready and all its claims are free.
    pub(crate) fn can_start(&self, task: TaskIndex) -> bool {
        self.is_waiting(task)
            && self.open_dependencies.get(task.0) == Some(&0)
            && self.missing_resource(task.into()).is_none()
    }

    /// Whether a task has neither been taken nor ended.
    pub(crate) fn is_waiting(&self, task: TaskIndex) -> bool {
        self.phases.get(task.0) == Some(&QueuePhase::Waiting)
    }

    /// Returns the next node that fulfils, reserves or releases.
    pub(crate) fn peek_preparation(&mut self) -> Option<NodeIndex> {
        self.peek_nodes(NodeIndex(self.graph.tasks)..NodeIndex(self.phases.len()))
    }

    /// Returns the next task in a range of indices.
    pub(crate) fn peek_in(&mut self, range: Range<TaskIndex>) -> Option<TaskIndex> {
        let node = self.peek_nodes(range.start.into()..range.end.into())?;
        self.graph.task(node)
    }

    /// Returns the next node in a range of indices.
    fn peek_nodes(&mut self, range: Range<NodeIndex>) -> Option<NodeIndex> {
        loop {
            let node = *self.ready.range(range.clone()).next()?;
            let Some(resource) = self.missing_resource(node) else {
                return Some(node);
            };
            self.block(node, resource);
            // Another node that is blocked by this resource may claim less.
            self.wake(node, Some(resource));
        }
    }

    /// Takes a node from the queue, with its claims.
    pub(crate) fn take(&mut self, node: impl Into<NodeIndex>) {
        let node = node.into();
        self.ready.remove(&node);
        self.set_phase(node, QueuePhase::Taken);
        self.adjust_free(node, u64::saturating_sub);
        self.lease(node);
        // What remains may be enough for a blocked node.
        self.wake(node, None);
    }

    /// Requeues a node that was taken and not started, or that is retried.
    pub(crate) fn put_back(&mut self, node: impl Into<NodeIndex>) {
        let node = node.into();
        self.set_phase(node, QueuePhase::Waiting);
        self.free_claims(node);
        self.ready.insert(node);
    }

    /// Records the end of a node. Returns the nodes that can no longer run; the caller passes the
    /// end of each to this function too.
    pub(crate) fn end(&mut self, node: impl Into<NodeIndex>, status: Status) -> Vec<Unrunnable> {
        let node = node.into();
        let taken = self.phases.get(node.0) == Some(&QueuePhase::Taken);
        self.ready.remove(&node);
        self.set_phase(node, QueuePhase::Ended);
        if taken && self.keeps_claims(node) {
            self.ended_holders.insert(node);
        } else if taken {
            self.free_claims(node);
        }
        if let Some(holder) = self.graph.claims_end_with.get(&node).copied()
            && self.ended_holders.remove(&holder)
        {
            self.free_claims(holder);
        }
        let mut unrunnable: Vec<Unrunnable> = Vec::new();
        let mut seen = BTreeSet::new();
        for (other, wait) in self.graph.dependents(node) {
            let Some(waits) = self.open_dependencies.get_mut(other.0) else {
                continue;
            };
            *waits = waits.saturating_sub(1);
            let is_last = *waits == 0;
            if self.phases.get(other.0) != Some(&QueuePhase::Waiting) {
                continue;
            }
            if wait == Dependency::Needs && !status.has_passed() {
                if !seen.insert(other) {
                    continue;
                }
                unrunnable.push(Unrunnable {
                    node: other,
                    needs: node,
                    status,
                });
            } else if is_last && !seen.contains(&other) {
                self.ready.insert(other);
            }
        }
        for Unrunnable { node, .. } in &unrunnable {
            self.ready.remove(node);
            self.set_phase(*node, QueuePhase::Ended);
        }
        unrunnable
    }

    /// Whether a node keeps its claims after its end.
    fn keeps_claims(&self, index: NodeIndex) -> bool {
        matches!(self.graph.node(index), Node::Reserve(_))
    }

    /// All waiting nodes in plan order.
    pub(crate) fn waiting(&self) -> Vec<NodeIndex> {
        if self.waiting_count == 0 {
            return Vec::new();
        }
        let waiting = |(index, phase): (usize, &QueuePhase)| {
            (*phase == QueuePhase::Waiting).then_some(NodeIndex(index))
        };
        self.phases.iter().enumerate().filter_map(waiting).collect()
    }

    fn set_phase(&mut self, node: NodeIndex, to: QueuePhase) {
        if let Some(phase) = self.phases.get_mut(node.0) {
            let waits = |phase| usize::from(phase == QueuePhase::Waiting);
            self.waiting_count = self.waiting_count + waits(to) - waits(*phase);
            *phase = to;
        }
    }

    /// A resource of which less is free than a node claims.
    fn missing_resource(&self, node: NodeIndex) -> Option<usize> {
        let claims = self.graph.claims.get(&node)?;
        claims
            .iter()
            .find(|(resource, amount)| self.free.get(*resource).is_none_or(|free| free < amount))
            .map(|(resource, _)| *resource)
    }

    /// The leased instances of a task: instance names by resource name.
    pub(crate) fn leases(&self, task: TaskIndex) -> BTreeMap<&str, Vec<&str>> {
        let mut leases: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (resource, position) in self.leased.get(&task.into()).into_iter().flatten() {
            if let Some(resource) = self.graph.resources.get(*resource)
                && let Some(instance) = resource.instances.get(*position)
            {
                leases.entry(&resource.name).or_default().push(instance);
            }
        }
        leases
    }

    fn lease(&mut self, node: NodeIndex) {
        for (resource, amount) in self.graph.claims.get(&node).into_iter().flatten() {
            let Some(free) = self.instances.get_mut(*resource) else {
                continue;
            };
            for _ in 0..*amount {
                let Some(position) = free.pop_first() else {
                    break;
                };
                self.leased
                    .entry(node)
                    .or_default()
                    .push((*resource, position));
            }
        }
    }

    fn free_claims(&mut self, node: NodeIndex) {
        for (resource, position) in self.leased.remove(&node).into_iter().flatten() {
            if let Some(free) = self.instances.get_mut(resource) {
                free.insert(position);
            }
        }
        self.adjust_free(node, u64::saturating_add);
        self.wake(node, None);
    }

    fn adjust_free(&mut self, node: NodeIndex, change: fn(u64, u64) -> u64) {
        for (resource, amount) in self.graph.claims.get(&node).into_iter().flatten() {
            if let Some(free) = self.free.get_mut(*resource) {
                *free = change(*free, *amount);
            }
        }
    }

    /// For each resource that a node claims, other than `except`: moves the first blocked node to
    /// the ready ones for which enough of that resource is free.
    fn wake(&mut self, node: NodeIndex, except: Option<usize>) {
        for (resource, _) in self.graph.claims.get(&node).into_iter().flatten() {
            let (Some(free), Some(blocked)) =
                (self.free.get(*resource), self.blocked.get_mut(*resource))
            else {
                continue;
            };
            if Some(*resource) == except || *free == 0 {
                continue;
            }
            let fits = |node: &&NodeIndex| {
                let claims = self.graph.claims.get(*node).into_iter().flatten();
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
