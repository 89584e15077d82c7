//! The graph of a job's tasks as text, for Graphviz and for Mermaid. It must not know what becomes of the text.

use std::fmt::Write as _;

use petgraph::dot::Dot;
use petgraph::visit::EdgeRef as _;

use super::graph::{Graph, GraphError, node};
use super::plan::{Plan, plan};
use super::resolve::Resolved;
use crate::config::Config;
use crate::names::printable;
use crate::plugin::Catalog;

/// The tasks of a job with what they wait for and claim.
pub struct Picture {
    plan: Plan,
    graph: Graph,
}

impl Picture {
    /// Looks at the tasks that a job with these references would have.
    ///
    /// # Errors
    /// They cannot be put into an order: see [`GraphError`].
    pub fn new(
        resolved: Vec<Resolved>,
        catalog: &Catalog,
        config: &Config,
    ) -> Result<Self, GraphError> {
        let plan = plan(resolved, catalog, config);
        let graph = plan.graph(config)?;
        Ok(Self { plan, graph })
    }

    fn id(&self, task: usize) -> String {
        let entry = self.plan.entries.get(task);
        entry.map_or_else(String::new, |entry| printable(&entry.task.id).into_owned())
    }

    /// A task a line, below it what it waits for and claims.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for entry in &self.plan.entries {
            let task = entry.task.index;
            let _ = writeln!(text, "{}", printable(&entry.task.id));
            let mut waits: Vec<(usize, &str)> = self
                .graph
                .order
                .edges_directed(node(task), petgraph::Incoming)
                .map(|edge| (edge.source().index(), edge.weight().key()))
                .collect();
            waits.sort_unstable();
            for (other, key) in waits {
                let _ = writeln!(text, "    {key} {}", self.id(other));
            }
            for (resource, amount) in self.graph.claims.get(&task).into_iter().flatten() {
                if let Some(resource) = self.graph.resources.get(*resource) {
                    let name = printable(&resource.name);
                    let _ = if resource.is_mutex {
                        writeln!(text, "    mutex {name}")
                    } else {
                        writeln!(text, "    resource {name} {amount}")
                    };
                }
            }
        }
        text
    }

    /// For Graphviz: `dot -Tsvg`.
    pub fn dot(&self) -> String {
        let ids = self
            .graph
            .order
            .map(|task, ()| self.id(task.index()), |_, wait| wait.key());
        Dot::new(&ids).to_string()
    }

    /// For Mermaid, which many forges show in Markdown.
    pub fn mermaid(&self) -> String {
        let mut text = "flowchart TD\n".to_owned();
        for entry in &self.plan.entries {
            let label = printable(&entry.task.id);
            let label = label.replace('#', "#35;").replace('"', "#quot;");
            let _ = writeln!(text, "    t{}[\"{label}\"]", entry.task.index + 1);
        }
        for edge in self.graph.order.edge_references() {
            let (from, to) = (edge.source().index() + 1, edge.target().index() + 1);
            let _ = writeln!(text, "    t{from} -->|{}| t{to}", edge.weight().key());
        }
        text
    }
}
