//! What waits for what: the order that tasks ask for among each other, and what they claim for themselves. Found out and
//! checked before anything runs. It must not know how far the job has come.
//!
//! A requirement is a node before the tasks that need it. Around those that are not for the whole job stand two more: from `Reserve`
//! to `Release` nobody else has what excludes them.
//!
//! A runnable's open data may hold `needs` and `after` (lists of names or ids of tasks), `mutexes` (a list of names) and
//! `resources` (amounts by name).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use crate::plan::requirements::Requirements;
use persea_config::{Config, RESOURCES};
use persea_model::{Attribute, Attributes, Task};
use petgraph::algo::{astar, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

/// Why tasks cannot be put into an order, or not be given what they claim.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GraphError {
    /// What a runnable says is no list, or no amounts.
    #[error("task `{task}`: `{key}` is {expected}, not {found}")]
    Shape {
        /// The task's id.
        task: String,
        /// Which of the names in its open data.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is, as JSON.
        found: String,
    },
    /// Nobody has that name.
    #[error(
        "task `{task}`: `{key}` names `{name}`, and no task of this job has that name or id; `persea list --graph` with the same references shows them all"
    )]
    Unknown {
        /// The task's id.
        task: String,
        /// `needs` or `after`.
        key: &'static str,
        /// What it names.
        name: String,
    },
    /// Each of these tasks waits for the next, and the last one for the first.
    #[error("these tasks wait for each other, so none could ever start: {}", .path.join(" → "))]
    Cycle {
        /// Their ids; the first one comes again at the end.
        path: Vec<String>,
    },
    /// So many tasks wait for so many others that there is no end of it.
    #[error(
        "task `{task}`: with what its `{key}` names, tasks of this job wait for others in more than {MOST_WAITS} pairs: let them wait for one task that comes after the others"
    )]
    TooMany {
        /// The id of the task at which that was found.
        task: String,
        /// `needs` or `after`.
        key: &'static str,
    },
    /// There is less of a resource than a task claims.
    #[error(
        "task `{task}` claims {claimed} of the resource `{resource}`, and there is {}; say how much there is with `--set run.resources.{resource}={claimed}` or in persea.toml",
        if *.amount == 0 { "none".to_owned() } else { format!("only {amount}") }
    )]
    TooMuch {
        /// The task's id.
        task: String,
        /// The resource's name.
        resource: String,
        /// How much the task claims.
        claimed: u64,
        /// How much there is.
        amount: u64,
    },
}

/// The most pairs of tasks of which one waits for the other. Each takes 20 bytes, and more while the job runs.
const MOST_WAITS: usize = 10_000_000;

/// How one task waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until it has ended, however.
    After,
    /// Until it has passed.
    Needs,
}

impl Wait {
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::After => "after",
            Self::Needs => "needs",
        }
    }
}

/// What is to be done, one thing after another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Node {
    /// This task is to be run.
    #[default]
    Task,
    /// This requirement is to be met.
    Fulfil(usize),
    /// What the requirements of this owner exclude is to be kept from others.
    Reserve(usize),
    /// What this owner has is to be released.
    Release(usize),
}

/// Something of which a task claims an amount while it runs.
pub(crate) struct Resource {
    pub(crate) name: String,
    pub(crate) amount: u64,
    /// What each of them is called, where they have names.
    pub(crate) instances: Vec<String>,
    /// A name that only one task may hold at a time.
    pub(crate) is_mutex: bool,
}

/// All tasks by index, and after them what prepares for them, with what they wait for and claim.
pub(crate) struct Graph {
    /// An edge goes from what is waited for to what waits.
    pub(crate) order: DiGraph<Node, Wait, u32>,
    /// How many of the nodes are tasks: the first ones.
    pub(crate) tasks: usize,
    pub(crate) resources: Vec<Resource>,
    /// Of each node that claims something: which resource, and how much.
    pub(crate) claims: HashMap<usize, Vec<(usize, u64)>>,
    /// Nodes at whose end the claims of another node end, and not at that one's own.
    pub(crate) held_until: HashMap<usize, usize>,
}

impl Graph {
    /// Puts the tasks into a graph. `tasks` are in the order of their indices.
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
            held_until: HashMap::new(),
        };
        let mut waits: Vec<(&Task, Wait, String)> = Vec::new();
        let mut resources = Resources::new(config);
        for task in tasks.clone() {
            graph.order.add_node(Node::Task);
            let more = &task.runnable.more;
            for wait in [Wait::Needs, Wait::After] {
                let names = names(task, more, wait.key())?;
                waits.extend(names.into_iter().map(|name| (task, wait, name)));
            }
            let claims = resources.claims(task, more)?;
            if !claims.is_empty() {
                graph.claims.insert(task.index, claims);
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
        waits: &[(&Task, Wait, String)],
    ) -> Result<(), GraphError> {
        let mut by_name: HashMap<Cow<'a, str>, Vec<usize>> = HashMap::new();
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
            if self.order.edge_count() + found.len() > MOST_WAITS {
                return Err(GraphError::TooMany {
                    task: task.id.clone(),
                    key: wait.key(),
                });
            }
            for other in found {
                self.order.add_edge(node(*other), node(task.index), *wait);
            }
        }
        match toposort(&self.order, None) {
            Ok(_) => Ok(()),
            Err(cycle) => {
                let ids: Vec<&str> = tasks.map(|task| task.id.as_str()).collect();
                let path = self.cycle(cycle.node_id());
                let name = |node: NodeIndex| ids.get(node.index()).copied().unwrap_or_default();
                // Told in the direction in which they wait.
                let path = path.into_iter().rev().map(|node| name(node).to_owned());
                Err(GraphError::Cycle {
                    path: path.collect(),
                })
            }
        }
    }

    /// A shortest way from a node to itself.
    fn cycle(&self, start: NodeIndex) -> Vec<NodeIndex> {
        let back = |next| astar(&self.order, next, |node| node == start, |_| 1, |_| 0);
        let shortest = self
            .order
            .neighbors(start)
            .filter_map(back)
            .min_by_key(|(length, _)| *length);
        // From the first of them in the plan, and round to it again.
        let mut round = shortest.map(|(_, path)| path).unwrap_or_default();
        let first = (0..round.len()).min_by_key(|at| round.get(*at));
        round.rotate_left(first.unwrap_or_default());
        round.extend(round.first().copied());
        round
    }

    /// What a node stands for.
    pub(crate) fn node(&self, index: usize) -> Node {
        let found = self.order.node_weight(node(index));
        found.copied().unwrap_or(Node::Task)
    }

    /// The nodes that wait for one, and how.
    pub(crate) fn waiting_for(&self, task: usize) -> impl Iterator<Item = (usize, Wait)> {
        use petgraph::visit::EdgeRef as _;
        self.order
            .edges(node(task))
            .map(|edge| (edge.target().index(), *edge.weight()))
    }

    /// The tasks for which one waits, and how.
    pub(crate) fn waited_for_by(&self, task: usize) -> impl Iterator<Item = (usize, Wait)> {
        use petgraph::visit::EdgeRef as _;
        let edges = self.order.edges_directed(node(task), petgraph::Incoming);
        let all = edges.map(|edge| (edge.source().index(), *edge.weight()));
        all.filter(|(other, _)| *other < self.tasks)
    }

    /// For how many tasks a task waits.
    pub(crate) fn waits(&self, task: usize) -> usize {
        self.order
            .neighbors_directed(node(task), petgraph::Incoming)
            .count()
    }
}

mod prepare;

pub(crate) fn node(task: usize) -> NodeIndex {
    NodeIndex::new(task)
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
        task: task.id.clone(),
        key,
        expected: "a list of texts",
        found: found.to_string(),
    })
}

/// The resources that are configured, and the mutexes that turn up.
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

    /// A name that only one may hold at a time.
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

    /// What a task claims. A mutex is a resource of which there is one.
    fn claims(&mut self, task: &Task, more: &Attributes) -> Result<Vec<(usize, u64)>, GraphError> {
        let mut claims: BTreeMap<usize, u64> = BTreeMap::new();
        for name in names(task, more, "mutexes")? {
            claims.insert(self.mutex(&name), 1);
        }
        let key = "resources";
        let shape = |found: &Attribute| GraphError::Shape {
            task: task.id.clone(),
            key,
            expected: "an object of whole numbers by name",
            found: found.to_string(),
        };
        let amounts = match more.get(key) {
            None | Some(Attribute::Null) => return Ok(claims.into_iter().collect()),
            Some(found) => found.members().ok_or_else(|| shape(found))?,
        };
        for (name, claimed) in amounts {
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
                claims.insert(index, claimed);
            }
        }
        Ok(claims.into_iter().collect())
    }
}

#[cfg(test)]
#[path = "graph_tests.rs"]
pub(crate) mod tests;
