//! Owns the nodes that are ready, in plan order, by the pool of slots that their tasks need. While
//! a pool is closed, its tasks are left out, so that they hold up no task of another pool. Does not
//! know why a node is ready.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::plan::graph::NodeIndex;
use crate::plan::slot_pools::PoolIndex;

/// The ready nodes.
pub(super) struct ReadyNodes {
    /// By pool: its tasks.
    tasks: Vec<BTreeSet<NodeIndex>>,
    /// By pool: whether its tasks are left out.
    is_closed: Vec<bool>,
    /// The nodes that are no tasks. No pool is closed for them.
    others: BTreeSet<NodeIndex>,
    /// By task: its pool. Tasks beyond are in the first one.
    pools: Vec<PoolIndex>,
    /// The number of tasks. Nodes that are no tasks follow them.
    task_count: usize,
}

impl ReadyNodes {
    /// No node is ready. `pools` has the pool of each task; none for tasks of one pool.
    pub(super) fn new(pools: Vec<PoolIndex>, task_count: usize) -> Self {
        let count = pools.iter().map(|pool| pool.0 + 1).max().unwrap_or(1);
        Self {
            tasks: vec![BTreeSet::new(); count],
            is_closed: vec![false; count],
            others: BTreeSet::new(),
            pools,
            task_count,
        }
    }

    fn pool(&self, node: NodeIndex) -> PoolIndex {
        self.pools.get(node.0).copied().unwrap_or_default()
    }

    fn set(&mut self, node: NodeIndex) -> &mut BTreeSet<NodeIndex> {
        let pool = self.pool(node);
        match self.tasks.get_mut(pool.0) {
            Some(tasks) if node.0 < self.task_count => tasks,
            _ => &mut self.others,
        }
    }

    pub(super) fn insert(&mut self, node: NodeIndex) {
        self.set(node).insert(node);
    }

    pub(super) fn remove(&mut self, node: NodeIndex) {
        self.set(node).remove(&node);
    }

    /// The first node in a range, without the tasks of closed pools.
    pub(super) fn first(&self, range: &Range<NodeIndex>) -> Option<NodeIndex> {
        let firsts = self
            .open()
            .filter_map(|set| set.range(range.clone()).next());
        firsts.min().copied()
    }

    /// The tasks of open pools, in plan order.
    pub(super) fn tasks(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        let next = |from: usize| self.first(&(NodeIndex(from)..NodeIndex(self.task_count)));
        std::iter::successors(next(0), move |node| next(node.0 + 1))
    }

    fn open(&self) -> impl Iterator<Item = &BTreeSet<NodeIndex>> {
        let tasks = self.tasks.iter().zip(&self.is_closed);
        let open = tasks.filter(|(_, is_closed)| !**is_closed);
        open.map(|(set, _)| set).chain([&self.others])
    }

    /// Leaves out the tasks of a pool. Returns whether any pool is still open.
    pub(super) fn close(&mut self, pool: PoolIndex) -> bool {
        if let Some(is_closed) = self.is_closed.get_mut(pool.0) {
            *is_closed = true;
        }
        self.is_closed.contains(&false)
    }

    pub(super) fn open_all(&mut self) {
        self.is_closed.fill(false);
    }

    pub(super) fn is_closed(&self, task: NodeIndex) -> bool {
        let is_closed = self.is_closed.get(self.pool(task).0);
        is_closed.copied().unwrap_or_default()
    }
}
