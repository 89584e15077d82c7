//! Owns the export of a job's graph as text, for Graphviz and for Mermaid. Does not know where the
//! text goes.

use std::fmt::Write as _;
use std::path::Path;

use petgraph::dot::Dot;
use petgraph::visit::EdgeRef as _;

use crate::input::resolve::Resolved;
use crate::plan::graph::{Graph, GraphError, Node, NodeIndex};
use crate::plan::planner::{Plan, plan};
use crate::plan::selection::Selection;
use persea_config::Config;
use persea_model::names::printable;
use persea_model::{Scope, TaskIndex};
use persea_plugin::Catalog;

/// The graph of a job's tasks with their dependencies and claims, for export.
pub struct GraphExport {
    plan: Plan,
    graph: Graph,
}

impl GraphExport {
    /// Plans the tasks of a job with these references, as a job below `results_root` would.
    ///
    /// # Errors
    /// They cannot be ordered: see [`GraphError`].
    pub fn new(
        resolved: Vec<Resolved>,
        catalog: &Catalog,
        config: &Config,
        results_root: &Path,
        selection: &Selection,
    ) -> Result<Self, GraphError> {
        let plan = plan(resolved, catalog, config, results_root, selection);
        let graph = plan.graph(config)?;
        Ok(Self { plan, graph })
    }

    fn id(&self, node: NodeIndex) -> String {
        let entry = self.plan.entry(node);
        if let Some(entry) = entry {
            return printable(&entry.task.id).into_owned();
        }
        match self.graph.node(node) {
            Node::Fulfil(step) => {
                let step = self.plan.requirements.step(step);
                let name = step.map(|step| step.name.as_str()).unwrap_or_default();
                format!("requirement {}", printable(name))
            }
            Node::Task | Node::Reserve(_) | Node::Release(_) => String::new(),
        }
    }

    /// Whether a node is a task or a requirement, as opposed to one that the host added.
    fn is_shown(&self, index: NodeIndex) -> bool {
        matches!(self.graph.node(index), Node::Task | Node::Fulfil(_))
    }

    /// One line for each task, followed by its dependencies, requirements and claims.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for entry in &self.plan.entries {
            let task = entry.task.index;
            let _ = writeln!(text, "{}", printable(&entry.task.id));
            let mut waits: Vec<(TaskIndex, &str)> = self
                .graph
                .dependencies(task)
                .map(|(other, wait)| (other, wait.key()))
                .collect();
            waits.sort_unstable();
            for (other, key) in waits {
                let _ = writeln!(text, "    {key} {}", self.id(other.into()));
            }
            for step in self.plan.requirements.of(task) {
                if let Some(step) = self.plan.requirements.step(step) {
                    let own = match step.scope {
                        Scope::Task => ", for itself",
                        Scope::Suite => ", for its suite",
                        Scope::Job | Scope::Keep => "",
                    };
                    let _ = writeln!(text, "    requires {}{own}", printable(&step.name));
                }
            }
            for claim in self.graph.claims_of(task) {
                if let Some(resource) = self.graph.resources.get(claim.resource) {
                    let name = printable(&resource.name);
                    let instances = claim.instances.iter();
                    let instances = instances.filter_map(|it| resource.instances.get(*it));
                    let instances: Vec<&str> = instances.map(String::as_str).collect();
                    let _ = if resource.is_mutex {
                        writeln!(text, "    mutex {name}")
                    } else if instances.is_empty() {
                        writeln!(text, "    resource {name} {}", claim.amount)
                    } else {
                        writeln!(text, "    resource {name} {}", instances.join(" "))
                    };
                }
            }
        }
        text
    }

    /// For Graphviz: `dot -Tsvg`.
    pub fn dot(&self) -> String {
        let ids = self.graph.order.filter_map(
            |index, _| {
                let shown = self.is_shown(index.into());
                shown.then(|| self.id(index.into()))
            },
            |_, wait| Some(wait.key()),
        );
        Dot::new(&ids).to_string()
    }

    /// For Mermaid, which many forges show in Markdown.
    pub fn mermaid(&self) -> String {
        let mut text = "flowchart TD\n".to_owned();
        for index in self.graph.order.node_indices() {
            let index = NodeIndex::from(index);
            if self.is_shown(index) {
                let label = self.id(index).replace('#', "#35;").replace('"', "#quot;");
                let _ = writeln!(text, "    t{}[\"{label}\"]", index.0 + 1);
            }
        }
        for edge in self.graph.order.edge_references() {
            let (from, to) = (edge.source().into(), edge.target().into());
            if !self.is_shown(from) || !self.is_shown(to) {
                continue;
            }
            let (from, to) = (from.0 + 1, to.0 + 1);
            let _ = writeln!(text, "    t{from} -->|{}| t{to}", edge.weight().key());
        }
        text
    }
}
