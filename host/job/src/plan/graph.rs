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

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::plan::requirements::{Requirements, StepIndex};
use persea_config::{Config, RESOURCES};
use persea_model::{Attribute, Attributes, Task, TaskIndex};
use petgraph::algo::{astar, toposort};
use petgraph::graph::DiGraph;

/// Why tasks cannot be ordered, or cannot claim what they ask for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GraphError {
    /// A value in a runnable's `more` has the wrong type.
    #[error("task `{task}`: `{key}` is {expected}, not {found}")]
    Shape {
        /// The task's id.
        task: String,
        /// The key in the runnable's `more`.
        key: &'static str,
        /// The expected type.
        expected: &'static str,
        /// The value, as JSON.
        found: String,
    },
    /// No task has that name.
    #[error(
        "task `{task}`: `{key}` names `{name}`, and no task of this job has that name or id; \
         `persea list --graph` with the same references shows them all"
    )]
    Unknown {
        /// The task's id.
        task: String,
        /// `needs` or `after`.
        key: &'static str,
        /// The unknown name.
        name: String,
    },
    /// The tasks depend on each other in a cycle.
    #[error("these tasks wait for each other, so none could ever start: {}", .path.join(" → "))]
    Cycle {
        /// Their ids; the first one is repeated at the end.
        path: Vec<String>,
    },
    /// There are too many dependencies.
    #[error(
        "task `{task}`: with its `{key}` the job has more than {MAX_DEPENDENCIES} dependencies \
         between tasks: let tasks depend on one task that comes after the others"
    )]
    TooMany {
        /// The id of the task whose dependencies exceed the limit.
        task: String,
        /// `needs` or `after`.
        key: &'static str,
    },
    /// A task claims more of a resource than exists.
    #[error(
        "task `{task}` claims {claimed} of the resource `{resource}`, and there is {}; say how \
         much there is with `--set run.resources.{resource}={claimed}` or in persea.toml",
        if *.amount == 0 { "none".to_owned() } else { format!("only {amount}") }
    )]
    TooMuch {
        /// The task's id.
        task: String,
        /// The resource's name.
        resource: String,
        /// The claimed amount.
        claimed: u64,
        /// The configured amount.
        amount: u64,
    },
    /// A task claims an instance that a resource does not have.
    #[error(
        "task `{task}` claims `{instance}` of the resource `{resource}`, and there is no such \
         instance; {known}"
    )]
    NoInstance {
        /// The task's id.
        task: String,
        /// The resource's name.
        resource: String,
        /// The claimed instance.
        instance: String,
        /// The instances that there are, or how to give them names.
        known: String,
    },
}

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

/// A resource of which tasks claim amounts while they run.
pub(crate) struct Resource {
    pub(crate) name: String,
    pub(crate) amount: u64,
    /// The names of the instances, if they have names.
    pub(crate) instances: Vec<String>,
    /// Whether this is a mutex, not a configured resource.
    pub(crate) is_mutex: bool,
}

/// What a node claims of one resource while it runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    /// The resource's index.
    pub(crate) resource: usize,
    pub(crate) amount: u64,
    /// The positions of the instances that it must have, in ascending order; empty for any.
    pub(crate) instances: Vec<usize>,
}

impl Claim {
    /// A claim of any instances.
    pub(crate) const fn of_any(resource: usize, amount: u64) -> Self {
        Self {
            resource,
            amount,
            instances: Vec::new(),
        }
    }
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
            order: DiGraph::default(),
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
                    task: task.id.clone(),
                    key: wait.key(),
                    name: name.clone(),
                });
            };
            if self.order.edge_count() + found.len() > MAX_DEPENDENCIES {
                return Err(GraphError::TooMany {
                    task: task.id.clone(),
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
                let ids: Vec<&str> = tasks.map(|task| task.id.as_str()).collect();
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
    pub(crate) fn dependency_count(&self, node: NodeIndex) -> usize {
        self.order
            .neighbors_directed(node.into(), petgraph::Incoming)
            .count()
    }
}

mod prepare;

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
        task: task.id.clone(),
        key,
        expected: "a list of texts",
        found: found.to_string(),
    })
}

/// The instances of a resource, or how to give it some.
fn known_instances(resource: &str, known: &[String], wanted: &str) -> String {
    match known {
        [] => format!(
            "name the instances that there are with \
             `--set 'run.resources.{resource}=[\"{wanted}\"]'` or in persea.toml"
        ),
        known => format!("there is {}", known.join(", ")),
    }
}

/// Whether tasks with this open data hold instances of a resource, which have names.
pub(crate) fn holds_instances(more: &Attributes, config: &Config) -> bool {
    let claimed = more.get("resources").and_then(Attribute::members);
    let mut claimed = claimed.into_iter().flatten();
    claimed.any(|(name, claimed)| {
        let configured = config.raw(&format!("{RESOURCES}{name}"));
        let is_some = claimed.as_u64() != Some(0)
            && claimed
                .items()
                .is_none_or(|instances| !instances.is_empty());
        is_some && configured.is_some_and(serde_json::Value::is_array)
    })
}

/// The configured resources, and the mutexes that tasks name.
struct Resources {
    all: Vec<Resource>,
    by_name: BTreeMap<(bool, String), usize>,
}

impl Resources {
    fn new(config: &Config) -> Self {
        let mut resources = Self {
            all: Vec::new(),
            by_name: BTreeMap::new(),
        };
        for (setting, value, _) in config.iter() {
            let Some(name) = setting.strip_prefix(RESOURCES) else {
                continue;
            };
            if let Some(amount) = value.as_u64() {
                resources.add(name, amount, Vec::new(), false);
            } else if let Some(items) = value.as_array() {
                let names = items
                    .iter()
                    .filter_map(|item| item.as_str())
                    .map(str::to_owned);
                let names: Vec<String> = names.collect();
                resources.add(name, names.len() as u64, names, false);
            }
        }
        resources
    }

    /// The index of the mutex with this name, which is added if it is new.
    fn mutex(&mut self, name: &str) -> usize {
        match self.find(name, true) {
            Some(index) => index,
            None => self.add(name, 1, Vec::new(), true),
        }
    }

    fn add(&mut self, name: &str, amount: u64, instances: Vec<String>, is_mutex: bool) -> usize {
        let index = self.all.len();
        let name = name.to_owned();
        self.by_name.insert((is_mutex, name.clone()), index);
        self.all.push(Resource {
            name,
            amount,
            instances,
            is_mutex,
        });
        index
    }

    fn find(&self, name: &str, is_mutex: bool) -> Option<usize> {
        self.by_name.get(&(is_mutex, name.to_owned())).copied()
    }

    /// The claims of a task. A mutex is a resource with an amount of 1.
    fn claims(&mut self, task: &Task, more: &Attributes) -> Result<Vec<Claim>, GraphError> {
        let mut claims: BTreeMap<usize, Claim> = BTreeMap::new();
        for name in names(task, more, "mutexes")? {
            let mutex = self.mutex(&name);
            claims.insert(mutex, Claim::of_any(mutex, 1));
        }
        let key = "resources";
        let shape = |found: &Attribute| GraphError::Shape {
            task: task.id.clone(),
            key,
            expected: "an object of whole numbers, or lists of instances, by name",
            found: found.to_string(),
        };
        let amounts = match more.get(key) {
            None | Some(Attribute::Null) => return Ok(claims.into_values().collect()),
            Some(found) => found.members().ok_or_else(|| shape(found))?,
        };
        for (name, claimed) in amounts {
            if let Some(instances) = claimed.items() {
                let claim = self.named_claim(task, &name, instances, || shape(&claimed))?;
                claims.extend(claim.map(|claim| (claim.resource, claim)));
                continue;
            }
            let claimed = claimed.as_u64().ok_or_else(|| shape(&claimed))?;
            let found = self.find(&name, false);
            let amount = found
                .and_then(|index| self.all.get(index))
                .map_or(0, |resource| resource.amount);
            if claimed > amount {
                return Err(GraphError::TooMuch {
                    task: task.id.clone(),
                    resource: name,
                    claimed,
                    amount,
                });
            }
            if let (Some(index), 1..) = (found, claimed) {
                claims.insert(index, Claim::of_any(index, claimed));
            }
        }
        Ok(claims.into_values().collect())
    }

    /// The claim of a task on instances by their names; none for an empty list.
    fn named_claim(
        &self,
        task: &Task,
        resource: &str,
        instances: Vec<Attribute>,
        shape: impl Fn() -> GraphError,
    ) -> Result<Option<Claim>, GraphError> {
        let index = self.find(resource, false);
        let known = index.and_then(|index| self.all.get(index));
        let known = known.map_or(&[][..], |resource| &resource.instances);
        let mut positions = BTreeSet::new();
        for instance in instances {
            let instance = instance.into_text().ok_or_else(&shape)?;
            let position = known.iter().position(|name| *name == instance);
            positions.insert(position.ok_or_else(|| GraphError::NoInstance {
                task: task.id.clone(),
                resource: resource.to_owned(),
                known: known_instances(resource, known, &instance),
                instance,
            })?);
        }
        let instances: Vec<usize> = positions.into_iter().collect();
        Ok(index
            .filter(|_| !instances.is_empty())
            .map(|resource| Claim {
                resource,
                amount: instances.len() as u64,
                instances,
            }))
    }
}

#[cfg(test)]
#[path = "graph_tests.rs"]
pub(crate) mod tests;
