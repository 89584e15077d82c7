//! Owns the graph of a plan: the dependencies between tasks, the requirements before them, and the
//! resources that they claim. It is checked before anything runs. Does not know how far the job has
//! come.
//!
//! A requirement is a node before the tasks that need it. A requirement of a task or suite has two
//! more nodes: `Reserve` and `Release`. Between them no other task holds what the requirement
//! excludes.
//!
//! A runnable's `more` may hold `needs` and `after` (lists of names or ids of tasks), `mutexes` (a
//! list of names) and `resources` (amounts, or lists of instances, by name).

mod error;
mod prepare;
mod resources;

use std::borrow::Cow;
use std::collections::HashMap;

use crate::plan::requirements::{Requirements, StepIndex};
use persea_config::Config;
use persea_model::{Attribute, Attributes, Task, TaskIndex};
use petgraph::algo::{astar, toposort};
use petgraph::graph::DiGraph;

pub use error::GraphError;
use resources::Resources;
pub(crate) use resources::{Claim, Resource};

/// The most dependencies between tasks. Each takes 20 bytes, and more while the job runs.
const MAX_DEPENDENCIES: usize = 10_000_000;

/// A dependency of one task on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dependency {
    /// The other task must have ended, with any status.
    After,
    /// The other task must have passed.
    Needs,
}

impl Dependency {
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::After => "after",
            Self::Needs => "needs",
        }
    }
}

/// The index of a node in [`Graph::order`]. The first nodes are the tasks, in plan order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeIndex(pub(crate) usize);

impl From<TaskIndex> for NodeIndex {
    fn from(task: TaskIndex) -> Self {
        Self(task.0)
    }
}

impl From<petgraph::graph::NodeIndex> for NodeIndex {
    fn from(node: petgraph::graph::NodeIndex) -> Self {
        Self(node.index())
    }
}

impl From<NodeIndex> for petgraph::graph::NodeIndex {
    fn from(node: NodeIndex) -> Self {
        Self::new(node.0)
    }
}

/// A node of the graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Node {
    /// Run the task with the node's index.
    #[default]
    Task,
    /// Fulfil the requirement step with this index.
    Fulfil(StepIndex),
    /// Keep from others what the requirements of this owner exclude.
    Reserve(usize),
    /// Release the requirements of this owner.
    Release(usize),
}

/// The tasks by index, followed by the nodes that prepare for them, with dependencies and claims.
pub(crate) struct Graph {
    /// An edge leads from a node to one that depends on it.
    pub(crate) order: DiGraph<Node, Dependency, u32>,
    /// The number of tasks, which are the first nodes.
    pub(crate) tasks: usize,
    pub(crate) resources: Vec<Resource>,
    /// By node with claims, in the order of the resources.
    pub(crate) claims: HashMap<NodeIndex, Vec<Claim>>,
    /// By task whose instances another node claims, so that the task's requirements are fulfilled
    /// on them: that node.
    pub(crate) lease_holders: HashMap<TaskIndex, NodeIndex>,
    /// By node: another node whose claims last until this one ends.
    pub(crate) claims_end_with: HashMap<NodeIndex, NodeIndex>,
}

impl Graph {
    /// Builds the graph. `tasks` are in the order of their indices.
    pub(crate) fn new<'a>(
        tasks: impl Iterator<Item = &'a Task> + Clone,
        requirements: &Requirements,
        config: &Config,
    ) -> Result<Self, GraphError> {
        let mut graph = Self {
            order: DiGraph::with_capacity(tasks.size_hint().0, 0),
            tasks: 0,
            resources: Vec::new(),
            claims: HashMap::new(),
            lease_holders: HashMap::new(),
            claims_end_with: HashMap::new(),
        };
        let mut waits: Vec<(&Task, Dependency, String)> = Vec::new();
        let mut resources = Resources::new(config);
        for task in tasks.clone() {
            graph.order.add_node(Node::Task);
            let more = &task.runnable.more;
            for wait in [Dependency::Needs, Dependency::After] {
                let names = names(task, more, wait.key())?;
                waits.extend(names.into_iter().map(|name| (task, wait, name)));
            }
            let claims = resources.claims(task, more)?;
            if !claims.is_empty() {
                graph.claims.insert(task.index.into(), claims);
            }
        }
        graph.tasks = graph.order.node_count();
        if !waits.is_empty() {
            graph.connect(tasks, &waits)?;
        }
        graph.prepare(requirements, &mut resources);
        graph.resources = resources.all;
        Ok(graph)
    }

    fn connect<'a>(
        &mut self,
        tasks: impl Iterator<Item = &'a Task> + Clone,
        waits: &[(&Task, Dependency, String)],
    ) -> Result<(), GraphError> {
        let mut by_name: HashMap<Cow<'a, str>, Vec<TaskIndex>> = HashMap::new();
        for task in tasks.clone() {
            for name in task.runnable.names(&task.name, &task.id) {
                by_name.entry(name).or_default().push(task.index);
            }
        }
        for (task, wait, name) in waits {
            let Some(found) = by_name.get(name.as_str()) else {
                return Err(GraphError::Unknown {
                    task: task.id.to_string(),
                    key: wait.key(),
                    name: name.clone(),
                });
            };
            if self.order.edge_count() + found.len() > MAX_DEPENDENCIES {
                return Err(GraphError::TooMany {
                    task: task.id.to_string(),
                    key: wait.key(),
                });
            }
            for other in found {
                let (from, to) = (NodeIndex::from(*other), NodeIndex::from(task.index));
                self.order.add_edge(from.into(), to.into(), *wait);
            }
        }
        match toposort(&self.order, None) {
            Ok(_) => Ok(()),
            Err(cycle) => {
                let ids: Vec<&str> = tasks.map(|task| &*task.id).collect();
                let path = self.cycle(cycle.node_id().into());
                let name = |node: NodeIndex| ids.get(node.0).copied().unwrap_or_default();
                // In the direction of dependency: each task is followed by one that it waits for.
                let path = path.into_iter().rev().map(|node| name(node).to_owned());
                Err(GraphError::Cycle {
                    path: path.collect(),
                })
            }
        }
    }

    /// A shortest cycle through a node.
    fn cycle(&self, start: NodeIndex) -> Vec<NodeIndex> {
        let start = petgraph::graph::NodeIndex::from(start);
        let back = |next| astar(&self.order, next, |node| node == start, |_| 1, |_| 0);
        let shortest = self
            .order
            .neighbors(start)
            .filter_map(back)
            .min_by_key(|(length, _)| *length);
        // Start at the first in plan order, and end there again.
        let mut round = shortest.map(|(_, path)| path).unwrap_or_default();
        let first = (0..round.len()).min_by_key(|at| round.get(*at));
        round.rotate_left(first.unwrap_or_default());
        round.extend(round.first().copied());
        round.into_iter().map(NodeIndex::from).collect()
    }

    /// The node with this index.
    pub(crate) fn node(&self, index: NodeIndex) -> Node {
        let found = self.order.node_weight(index.into());
        found.copied().unwrap_or(Node::Task)
    }

    /// The task of a node that is one.
    pub(crate) fn task(&self, node: NodeIndex) -> Option<TaskIndex> {
        (node.0 < self.tasks).then_some(TaskIndex(node.0))
    }

    /// The nodes that depend on one, with the kind of dependency.
    pub(crate) fn dependents(
        &self,
        node: NodeIndex,
    ) -> impl Iterator<Item = (NodeIndex, Dependency)> {
        use petgraph::visit::EdgeRef as _;
        self.order
            .edges(node.into())
            .map(|edge| (edge.target().into(), *edge.weight()))
    }

    /// The tasks that one depends on, with the kind of dependency.
    pub(crate) fn dependencies(
        &self,
        task: TaskIndex,
    ) -> impl Iterator<Item = (TaskIndex, Dependency)> {
        use petgraph::visit::EdgeRef as _;
        let node = NodeIndex::from(task).into();
        let edges = self.order.edges_directed(node, petgraph::Incoming);
        edges.filter_map(|edge| Some((self.task(edge.source().into())?, *edge.weight())))
    }

    /// What a task claims while it runs, also what another node claims for it.
    pub(crate) fn claims_of(&self, task: TaskIndex) -> impl Iterator<Item = &Claim> {
        let holder = self.lease_holders.get(&task);
        let held = holder.and_then(|holder| self.claims.get(holder));
        let held = held.into_iter().flatten().filter(|claim| {
            let resource = self.resources.get(claim.resource);
            resource.is_some_and(|resource| !resource.instances.is_empty())
        });
        held.chain(self.claims.get(&task.into()).into_iter().flatten())
    }

    /// The number of dependencies of a node.
    pub(crate) fn dependency_count(&self, node: NodeIndex) -> u32 {
        let before = self
            .order
            .neighbors_directed(node.into(), petgraph::Incoming);
        // No node has more than all, and their number is limited.
        u32::try_from(before.count()).unwrap_or(u32::MAX)
    }
}

fn names(task: &Task, more: &Attributes, key: &'static str) -> Result<Vec<String>, GraphError> {
    let found = match more.get(key) {
        None | Some(Attribute::Null) => return Ok(Vec::new()),
        Some(found) => found,
    };
    let names = found.items().and_then(|items| {
        let texts = items.into_iter().map(Attribute::into_text);
        texts.collect::<Option<Vec<String>>>()
    });
    names.ok_or_else(|| GraphError::Shape {
        task: task.id.to_string(),
        key,
        expected: "a list of texts",
        found: found.to_string(),
    })
}

#[cfg(test)]
#[path = "graph_tests.rs"]
pub(crate) mod tests;
