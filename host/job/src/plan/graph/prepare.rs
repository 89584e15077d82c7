//! How the requirements of tasks stand in their graph.

use std::collections::{BTreeMap, HashSet};

use petgraph::algo::has_path_connecting;
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef as _;

use super::{Graph, Node, Resources, Wait, node};
use crate::plan::requirements::{Owner, Requirements, Step};

impl Graph {
    /// Puts what tasks require before them, and what undoes that after them.
    pub(super) fn prepare(&mut self, requirements: &Requirements, resources: &mut Resources) {
        let mut nodes = Vec::new();
        for (index, step) in requirements.steps.iter().enumerate() {
            let added = self.order.add_node(Node::Fulfil(index));
            nodes.push(added);
            let turn = step.turn.iter().map(|turn| (resources.mutex(turn), 1));
            self.claim(added, turn.collect());
        }
        let of = |step: &usize| nodes.get(*step).copied();
        let step_of = |step: &usize| requirements.steps.get(*step);
        // One may need what was named before it, but not to have succeeded: others may want it alone.
        let mut tried = HashSet::new();
        for (_, steps) in requirements.tasks() {
            for pair in steps.windows(2) {
                if let [before, after_step] = pair
                    && step_of(before).map(|it| it.owner) == step_of(after_step).map(|it| it.owner)
                    && tried.insert((*before, *after_step))
                    && let (Some(before), Some(after)) = (of(before), of(after_step))
                    && !has_path_connecting(&self.order, after, before, None)
                {
                    // What is stacked begins where the other has come to.
                    let is_base = step_of(after_step).is_some_and(|it| it.stacked);
                    let wait = if is_base { Wait::Needs } else { Wait::After };
                    self.order.add_edge(before, after, wait);
                }
            }
        }
        let is_shared = |step: &usize| step_of(step).is_some_and(|step| step.owner.is_none());
        let (mut shared, mut own) = (Vec::new(), Vec::new());
        for (task, steps) in requirements.tasks() {
            for step in steps {
                let edges = if is_shared(step) {
                    &mut shared
                } else {
                    &mut own
                };
                edges.extend(of(step).map(|step| (step, node(task), Wait::Needs)));
            }
        }
        self.order.extend_with_edges(shared);
        // Before their own steps are among them.
        let owners = requirements.owners.iter();
        let common: Vec<_> = owners.map(|owner| self.common(owner)).collect();
        self.order.extend_with_edges(own);
        for (index, (owner, common)) in requirements.owners.iter().zip(common).enumerate() {
            let steps = owner.steps.iter();
            let steps: Vec<(NodeIndex, &Step)> = steps
                .filter_map(|step| Some((of(step)?, step_of(step)?)))
                .collect();
            self.surround(index, owner, common, &steps, resources);
        }
    }

    /// What all tasks of an owner wait for.
    fn common(&self, owner: &Owner) -> BTreeMap<NodeIndex, Wait> {
        let mut all = owner.tasks.iter().map(|task| {
            let edges = self.order.edges_directed(node(*task), petgraph::Incoming);
            let waits = edges.map(|edge| (edge.source(), *edge.weight()));
            waits.collect::<BTreeMap<_, _>>()
        });
        let first = all.next().unwrap_or_default();
        all.fold(first, |mut common, waits| {
            common.retain(|other, wait| waits.get(other) == Some(wait));
            common
        })
    }

    /// Puts `Reserve` and `Release` around the steps and the tasks of an owner.
    fn surround(
        &mut self,
        index: usize,
        owner: &Owner,
        common: BTreeMap<NodeIndex, Wait>,
        steps: &[(NodeIndex, &Step)],
        resources: &mut Resources,
    ) {
        let reserve = self.order.add_node(Node::Reserve(index));
        let release = self.order.add_node(Node::Release(index));
        // Nothing is done for tasks that are not to be run.
        for (other, wait) in common {
            self.order.add_edge(other, reserve, wait);
        }
        for (step, _) in steps {
            self.order.add_edge(reserve, *step, Wait::Needs);
        }
        for task in &owner.tasks {
            self.order.add_edge(node(*task), release, Wait::After);
        }
        let places = steps
            .iter()
            .map(|(_, step)| (resources.mutex(&step.place), 1));
        self.claim(reserve, places.collect());
        self.held_until.insert(release.index(), reserve.index());
        let turns = steps.iter().filter_map(|(_, step)| step.turn.as_deref());
        let turns: Vec<(usize, u64)> = turns.map(|turn| (resources.mutex(turn), 1)).collect();
        self.claim(release, turns);
    }

    fn claim(&mut self, node: NodeIndex, mut claims: Vec<(usize, u64)>) {
        claims.sort_unstable();
        claims.dedup();
        if !claims.is_empty() {
            self.claims.insert(node.index(), claims);
        }
    }
}
