//! Owns the phase of each node of the graph, and which resources are claimed. The next task is the
//! first ready one in plan order whose claims are free. Does not know where or how tasks run.

mod choices;
mod ready;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use crate::plan::graph::{Claim, Dependency, Graph, Node, NodeIndex};
use crate::plan::slot_pools::PoolIndex;
use persea_model::{Status, TaskIndex};
use ready::ReadyNodes;

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
    open_dependencies: Vec<u32>,
    /// The waiting nodes that wait for no other node, except the `blocked` ones.
    ready: ReadyNodes,
    /// The number of waiting nodes.
    waiting_count: usize,
    /// By resource: the free amount.
    free: Vec<u64>,
    /// By pool: the nodes that wait until more of it is free. The pools are the resources, and
    /// after them the instances of each resource, for nodes that claim an instance by its name.
    blocked: Vec<BTreeSet<NodeIndex>>,
    /// By resource: the pool of its first instance.
    instance_pools: Vec<usize>,
    /// By pool: its resource.
    pool_resources: Vec<usize>,
    /// By resource: the positions of its named instances that are free.
    instances: Vec<BTreeSet<usize>>,
    /// By node: the leased instances, as pairs of resource and position.
    leased: HashMap<NodeIndex, Vec<(usize, usize)>>,
    /// By task that was not taken yet: the instances that a scheduler has chosen for it.
    chosen: HashMap<NodeIndex, Vec<(usize, usize)>>,
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
    /// A queue of the nodes of a graph. `pools` has the pool of slots of each task; it is empty if
    /// all tasks have the same.
    pub(crate) fn new(graph: Graph, pools: Vec<PoolIndex>) -> Self {
        let count = graph.order.node_count();
        let open_dependencies: Vec<u32> = (0..count)
            .map(|node| graph.dependency_count(NodeIndex(node)))
            .collect();
        let mut pool_resources: Vec<usize> = (0..graph.resources.len()).collect();
        let mut instance_pools = Vec::with_capacity(graph.resources.len());
        for (index, resource) in graph.resources.iter().enumerate() {
            instance_pools.push(pool_resources.len());
            pool_resources.extend(resource.instances.iter().map(|_| index));
        }
        let mut ready = ReadyNodes::new(pools, graph.tasks);
        for (node, open) in open_dependencies.iter().enumerate() {
            if *open == 0 {
                ready.insert(NodeIndex(node));
            }
        }
        Self {
            phases: vec![QueuePhase::Waiting; count],
            ready,
            waiting_count: count,
            open_dependencies,
            free: graph.resources.iter().map(|it| it.amount).collect(),
            blocked: pool_resources.iter().map(|_| BTreeSet::new()).collect(),
            instance_pools,
            pool_resources,
            instances: graph
                .resources
                .iter()
                .map(|it| (0..it.instances.len()).collect())
                .collect(),
            leased: HashMap::new(),
            chosen: HashMap::new(),
            ended_holders: HashSet::new(),
            graph,
        }
    }

    /// Whether a task claims resources. Once taken it must not wait, because it blocks others.
    pub(crate) fn claims(&self, task: TaskIndex) -> bool {
        self.graph.claims_of(task).next().is_some()
    }

    /// The number of nodes: tasks, and those that prepare for them.
    pub(crate) fn len(&self) -> usize {
        self.phases.len()
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
        for node in self.ready.tasks() {
            let Some(task) = self.graph.task(node) else {
                break;
            };
            match self.missing_pool(node) {
                Some(pool) => blocked.push((node, pool)),
                None => startable.push(task),
            }
            if startable.len() == limit {
                break;
            }
        }
        for (node, pool) in blocked {
            self.block(node, pool);
        }
        startable
    }

    /// Moves the blocked nodes that can start now, at least the first `limit` of each pool, to
    /// the ready ones. [`Queue::peek`] needs at most one of each pool and wakes the others one
    /// by one.
    fn unblock(&mut self, limit: usize) {
        for pool in 0..self.blocked.len() {
            if !self.has_free(pool) {
                continue;
            }
            let blocked = self.blocked.get(pool).into_iter().flatten().copied();
            let mut startable = Vec::new();
            let mut elsewhere = Vec::new();
            for node in blocked {
                match self.missing_pool(node) {
                    None => startable.push(node),
                    Some(other) if other != pool => elsewhere.push((node, other)),
                    Some(_) => {}
                }
                if startable.len() == limit {
                    break;
                }
            }
            let moved = elsewhere.iter().map(|(node, _)| node).chain(&startable);
            if let Some(blocked) = self.blocked.get_mut(pool) {
                for node in moved {
                    blocked.remove(node);
                }
            }
            for node in startable {
                self.ready.insert(node);
            }
            for (node, other) in elsewhere {
                self.block(node, other);
            }
        }
    }

    /// Moves a node to the nodes that wait for more of a pool.
    fn block(&mut self, node: NodeIndex, pool: usize) {
        self.ready.remove(node);
        if let Some(blocked) = self.blocked.get_mut(pool) {
            blocked.insert(node);
        }
    }

    /// Whether a task is ready, and all its claims and what a scheduler chose for it are free.
    pub(crate) fn can_start(&self, task: TaskIndex) -> bool {
        self.is_waiting(task)
            && self.open_dependencies.get(task.0) == Some(&0)
            && self.missing_pool(task.into()).is_none()
            && self.is_choice_free(task)
    }

    /// Leaves out the tasks of a pool of slots until [`Self::open_pools`]. Returns whether any pool
    /// is still open.
    pub(crate) fn close_pool(&mut self, pool: PoolIndex) -> bool {
        self.ready.close(pool)
    }

    /// Opens all pools of slots.
    pub(crate) fn open_pools(&mut self) {
        self.ready.open_all();
    }

    /// Whether the task's pool of slots is closed.
    pub(crate) fn is_pool_closed(&self, task: TaskIndex) -> bool {
        self.ready.is_closed(task.into())
    }

    /// Whether a node has neither been taken nor ended.
    pub(crate) fn is_node_waiting(&self, node: NodeIndex) -> bool {
        self.phases.get(node.0) == Some(&QueuePhase::Waiting)
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
            let node = self.ready.first(&range)?;
            let Some(pool) = self.missing_pool(node) else {
                return Some(node);
            };
            self.block(node, pool);
            // Another node that waits for a pool of this node may claim less.
            for other in self
                .pools(node)
                .filter(|other| *other != pool)
                .collect::<Vec<_>>()
            {
                self.wake(other);
            }
        }
    }

    /// Takes a node from the queue, with its claims.
    pub(crate) fn take(&mut self, node: impl Into<NodeIndex>) {
        let node = node.into();
        self.ready.remove(node);
        self.set_phase(node, QueuePhase::Taken);
        self.adjust_free(node, u64::saturating_sub);
        self.lease(node);
        // What remains may be enough for a blocked node.
        for pool in self.pools(node).collect::<Vec<_>>() {
            self.wake(pool);
        }
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
        self.ready.remove(node);
        self.chosen.remove(&node);
        if self.phases.get(node.0) == Some(&QueuePhase::Waiting) {
            // It ends before it started, perhaps while it waits for a resource.
            for pool in self.pools(node).collect::<Vec<_>>() {
                if let Some(blocked) = self.blocked.get_mut(pool) {
                    blocked.remove(&node);
                }
                // The node may have been woken for what it does not take now.
                self.wake(pool);
            }
        }
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
            self.ready.remove(*node);
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

    /// The pools that a node claims from: its resources, and the instances that it names.
    fn pools(&self, node: NodeIndex) -> impl Iterator<Item = usize> + '_ {
        let claims = self.graph.claims.get(&node).into_iter().flatten();
        claims.flat_map(|claim| {
            let instances = claim.instances.iter();
            let instances = instances.filter_map(|it| self.instance_pool(claim.resource, *it));
            std::iter::once(claim.resource).chain(instances)
        })
    }

    fn instance_pool(&self, resource: usize, position: usize) -> Option<usize> {
        let first = self.instance_pools.get(resource)?;
        Some(first + position)
    }

    /// Whether an instance of a resource is free.
    fn is_instance_free(&self, resource: usize, position: usize) -> bool {
        let free = self.instances.get(resource);
        free.is_some_and(|free| free.contains(&position))
    }

    /// Whether something of a pool is free.
    fn has_free(&self, pool: usize) -> bool {
        let Some(resource) = self.pool_resources.get(pool).copied() else {
            return false;
        };
        let first = self.instance_pools.get(resource).copied();
        match first.and_then(|first| pool.checked_sub(first)) {
            Some(position) if pool != resource => self.is_instance_free(resource, position),
            _ => self.free.get(resource).is_some_and(|free| *free > 0),
        }
    }

    /// The pool of which less is free than a claim asks for.
    fn missing_pool_of(&self, claim: &Claim) -> Option<usize> {
        let resource = claim.resource;
        if self
            .free
            .get(resource)
            .is_none_or(|free| *free < claim.amount)
            && claim.instances.is_empty()
        {
            return Some(resource);
        }
        let mut instances = claim.instances.iter().copied();
        let taken = instances.find(|position| !self.is_instance_free(resource, *position))?;
        self.instance_pool(resource, taken)
    }

    /// A pool of which less is free than a node claims.
    fn missing_pool(&self, node: NodeIndex) -> Option<usize> {
        let mut claims = self.graph.claims.get(&node)?.iter();
        claims.find_map(|claim| self.missing_pool_of(claim))
    }

    /// The leased instances of a task: instance names by resource name.
    pub(crate) fn leases(&self, task: TaskIndex) -> BTreeMap<&str, Vec<&str>> {
        let mut leases: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let holder = self.graph.lease_holders.get(&task).copied();
        let nodes = [Some(task.into()), holder].into_iter().flatten();
        let leased = nodes.filter_map(|node| self.leased.get(&node)).flatten();
        for (resource, position) in leased {
            if let Some(resource) = self.graph.resources.get(*resource)
                && let Some(instance) = resource.instances.get(*position)
            {
                leases.entry(&resource.name).or_default().push(instance);
            }
        }
        leases
    }

    fn lease(&mut self, node: NodeIndex) {
        let chosen = self.chosen.remove(&node).unwrap_or_default();
        for claim in self.graph.claims.get(&node).into_iter().flatten() {
            let positions = self.positions_for(claim, &chosen);
            let Some(free) = self.instances.get_mut(claim.resource) else {
                continue;
            };
            for position in positions {
                free.remove(&position);
                let leased = self.leased.entry(node).or_default();
                leased.push((claim.resource, position));
            }
        }
    }

    fn free_claims(&mut self, node: NodeIndex) {
        let mut pools: Vec<usize> = self.pools(node).collect();
        for (resource, position) in self.leased.remove(&node).into_iter().flatten() {
            if let Some(free) = self.instances.get_mut(resource) {
                free.insert(position);
            }
            pools.extend(self.instance_pool(resource, position));
        }
        self.adjust_free(node, u64::saturating_add);
        for pool in pools {
            self.wake(pool);
        }
    }

    fn adjust_free(&mut self, node: NodeIndex, change: fn(u64, u64) -> u64) {
        for claim in self.graph.claims.get(&node).into_iter().flatten() {
            if let Some(free) = self.free.get_mut(claim.resource) {
                *free = change(*free, claim.amount);
            }
        }
    }

    /// Moves the first node that waits for a pool, and for which enough of the pool's resource is
    /// free, to the ready ones.
    fn wake(&mut self, pool: usize) {
        let Some(resource) = self.pool_resources.get(pool).copied() else {
            return;
        };
        if !self.has_free(pool) {
            return;
        }
        let fits = |node: &NodeIndex| {
            let claims = self.graph.claims.get(node).into_iter().flatten();
            let mut claims = claims.filter(|claim| claim.resource == resource);
            claims.all(|claim| self.missing_pool_of(claim).is_none())
        };
        let mut blocked = self.blocked.get(pool).into_iter().flatten().copied();
        if let Some(first) = blocked.find(fits) {
            if let Some(blocked) = self.blocked.get_mut(pool) {
                blocked.remove(&first);
            }
            self.ready.insert(first);
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
