//! Owns the nodes of requirements in the graph of tasks, and what these nodes claim. Does not know
//! about how a requirement is met.

use std::collections::{BTreeMap, HashSet};

use petgraph::algo::has_path_connecting;
use petgraph::visit::EdgeRef as _;

use super::{Claim, Dependency, Graph, Node, NodeIndex, Resources};
use crate::plan::requirements::{RequirementOwner, Requirements, StepIndex};
use persea_model::TaskIndex;

/// A requirement, as far as the graph depends on it.
struct GraphStep<'a> {
    /// The owner, where the requirement is not for the whole job.
    owner: Option<usize>,
    /// A mutex that is held while the requirement is met or released.
    resolver_mutex: Option<&'a str>,
    /// A mutex that the owner holds from before the requirement is met until it is released.
    exclusion_key: &'a str,
    /// Begins in the environment in which the step before it has ended.
    stacked: bool,
}

impl Graph {
    /// Adds the requirements before the tasks that need them, and their releases after those tasks.
    pub(super) fn prepare(&mut self, requirements: &Requirements, resources: &mut Resources) {
        let steps = requirements.steps.iter();
        let steps: Vec<GraphStep<'_>> = steps
            .map(|step| GraphStep {
                owner: step.owner,
                resolver_mutex: step.resolver_mutex.as_deref(),
                exclusion_key: &step.exclusion_key,
                stacked: step.stacked,
            })
            .collect();
        let tasks: Vec<(TaskIndex, &[StepIndex])> = requirements.tasks().collect();
        self.prepare_steps(&steps, &requirements.owners, &tasks, resources);
    }

    /// Adds the nodes of requirement steps and of their releases, and the edges to the tasks that
    /// have these steps.
    fn prepare_steps(
        &mut self,
        steps: &[GraphStep<'_>],
        owners: &[RequirementOwner],
        tasks: &[(TaskIndex, &[StepIndex])],
        resources: &mut Resources,
    ) {
        let mut nodes = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let added = self.add_node(Node::Fulfil(StepIndex(index)));
            nodes.push(added);
            let resolver_mutex = step
                .resolver_mutex
                .map(|resolver_mutex| Claim::of_any(resources.mutex(resolver_mutex), 1));
            self.claim(added, resolver_mutex.into_iter().collect());
        }
        let of = |step: &StepIndex| nodes.get(step.0).copied();
        let step_of = |step: &StepIndex| steps.get(step.0);
        // A requirement waits for the one named before it, which need not have succeeded: other
        // tasks may want the later one alone.
        let waits_for_before = |before: &StepIndex, after: &StepIndex| {
            step_of(after).is_some_and(|it| it.stacked)
                || step_of(before).map(|it| it.owner) == step_of(after).map(|it| it.owner)
        };
        let mut tried = HashSet::new();
        for (_, steps) in tasks {
            for pair in steps.windows(2) {
                if let [before, after_step] = pair
                    && waits_for_before(before, after_step)
                    && tried.insert((*before, *after_step))
                    && let (Some(before), Some(after)) = (of(before), of(after_step))
                    && !has_path_connecting(&self.order, after.into(), before.into(), None)
                {
                    // A stacked requirement starts in the environment of the one before, so that
                    // one must be fulfilled.
                    let is_base = step_of(after_step).is_some_and(|it| it.stacked);
                    let wait = if is_base {
                        Dependency::Needs
                    } else {
                        Dependency::After
                    };
                    self.add_edge(before, after, wait);
                }
            }
        }
        let is_shared = |step: &StepIndex| step_of(step).is_some_and(|step| step.owner.is_none());
        let (mut shared, mut own) = (Vec::new(), Vec::new());
        for (task, steps) in tasks {
            for step in *steps {
                let edges = if is_shared(step) {
                    &mut shared
                } else {
                    &mut own
                };
                edges.extend(of(step).map(|step| (step, NodeIndex::from(*task))));
            }
        }
        self.add_needs(shared);
        // Computed before the owners' own steps are in the graph.
        let all = owners.iter();
        let common: Vec<_> = all.map(|owner| self.common(owner)).collect();
        self.add_needs(own);
        for (index, (owner, common)) in owners.iter().zip(common).enumerate() {
            let own = owner.steps.iter();
            let own: Vec<(NodeIndex, &GraphStep<'_>)> = own
                .filter_map(|step| Some((of(step)?, step_of(step)?)))
                .collect();
            self.surround(index, owner, common, &own, resources);
        }
    }

    /// The dependencies that all tasks of an owner share.
    fn common(&self, owner: &RequirementOwner) -> BTreeMap<NodeIndex, Dependency> {
        let mut all = owner.tasks.iter().map(|task| {
            let node = NodeIndex::from(*task).into();
            let edges = self.order.edges_directed(node, petgraph::Incoming);
            let waits = edges.map(|edge| (NodeIndex::from(edge.source()), *edge.weight()));
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
        owner: &RequirementOwner,
        common: BTreeMap<NodeIndex, Dependency>,
        steps: &[(NodeIndex, &GraphStep<'_>)],
        resources: &mut Resources,
    ) {
        let reserve = self.add_node(Node::Reserve(index));
        let release = self.add_node(Node::Release(index));
        // Requirements are not fulfilled for tasks that cannot run.
        for (other, wait) in common {
            self.add_edge(other, reserve, wait);
        }
        for (step, _) in steps {
            self.add_edge(reserve, *step, Dependency::Needs);
        }
        for task in &owner.tasks {
            self.add_edge(NodeIndex::from(*task), release, Dependency::After);
        }
        let exclusions = steps
            .iter()
            .map(|(_, step)| Claim::of_any(resources.mutex(step.exclusion_key), 1));
        let mut claims: Vec<Claim> = exclusions.collect();
        if let (true, [task]) = (owner.is_task, &*owner.tasks) {
            claims.extend(self.take_instances(*task, reserve, resources));
        }
        self.claim(reserve, claims);
        self.claims_end_with.insert(release, reserve);
        let turns = steps.iter().filter_map(|(_, step)| step.resolver_mutex);
        let turns: Vec<Claim> = turns
            .map(|resolver_mutex| Claim::of_any(resources.mutex(resolver_mutex), 1))
            .collect();
        self.claim(release, turns);
    }

    fn add_node(&mut self, node: Node) -> NodeIndex {
        self.order.add_node(node).into()
    }

    fn add_edge(&mut self, from: NodeIndex, to: NodeIndex, dependency: Dependency) {
        self.order.add_edge(from.into(), to.into(), dependency);
    }

    /// Adds a `needs` edge for each pair: the second node waits until the first has passed.
    fn add_needs(&mut self, pairs: Vec<(NodeIndex, NodeIndex)>) {
        for (from, to) in pairs {
            self.add_edge(from, to, Dependency::Needs);
        }
    }

    /// Takes the claims of instances from a task, for a node that holds them from before the task's
    /// requirements are fulfilled until they are released.
    fn take_instances(
        &mut self,
        task: TaskIndex,
        holder: NodeIndex,
        resources: &Resources,
    ) -> Vec<Claim> {
        let has_instances = |claim: &Claim| {
            let resource = resources.all.get(claim.resource);
            resource.is_some_and(|resource| !resource.instances.is_empty())
        };
        let own = self.claims.remove(&task.into()).unwrap_or_default();
        let (taken, own): (Vec<Claim>, Vec<Claim>) = own.into_iter().partition(has_instances);
        if !taken.is_empty() {
            self.lease_holders.insert(task, holder);
        }
        self.claim(task.into(), own);
        taken
    }

    fn claim(&mut self, node: NodeIndex, mut claims: Vec<Claim>) {
        claims.sort_unstable();
        claims.dedup();
        if !claims.is_empty() {
            self.claims.insert(node, claims);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use persea_config::Config;

    const NEEDS: Dependency = Dependency::Needs;
    const AFTER: Dependency = Dependency::After;

    fn step<'a>(
        owner: Option<usize>,
        resolver_mutex: Option<&'a str>,
        exclusion_key: &'a str,
    ) -> GraphStep<'a> {
        GraphStep {
            owner,
            resolver_mutex,
            exclusion_key,
            stacked: false,
        }
    }

    fn stacked(exclusion_key: &str) -> GraphStep<'_> {
        GraphStep {
            stacked: true,
            ..step(None, None, exclusion_key)
        }
    }

    fn owner(tasks: &[usize], steps: &[usize]) -> RequirementOwner {
        RequirementOwner {
            is_task: tasks.len() == 1,
            tasks: tasks.iter().copied().map(TaskIndex).collect(),
            steps: steps.iter().copied().map(StepIndex).collect(),
        }
    }

    /// A graph with the steps of each task and waits between tasks, and the names of its mutexes.
    struct Prepared {
        graph: Graph,
        names: Vec<String>,
    }

    impl Prepared {
        fn new(
            of_tasks: &[&[usize]],
            waits: &[(usize, usize, Dependency)],
            steps: &[GraphStep<'_>],
            owners: &[RequirementOwner],
        ) -> Self {
            let mut graph = Graph {
                order: petgraph::graph::DiGraph::default(),
                tasks: of_tasks.len(),
                resources: Vec::new(),
                claims: std::collections::HashMap::new(),
                lease_holders: std::collections::HashMap::new(),
                claims_end_with: std::collections::HashMap::new(),
            };
            for _ in of_tasks {
                graph.order.add_node(Node::Task);
            }
            for (before, after, wait) in waits {
                graph.add_edge(NodeIndex(*before), NodeIndex(*after), *wait);
            }
            let of_tasks: Vec<Vec<StepIndex>> = of_tasks
                .iter()
                .map(|steps| steps.iter().copied().map(StepIndex).collect())
                .collect();
            let tasks = of_tasks.iter().map(Vec::as_slice).enumerate();
            let tasks = tasks.filter(|(_, steps)| !steps.is_empty());
            let tasks: Vec<(TaskIndex, &[StepIndex])> = tasks
                .map(|(index, steps)| (TaskIndex(index), steps))
                .collect();
            let mut resources = Resources::new(&Config::default());
            graph.prepare_steps(steps, owners, &tasks, &mut resources);
            let names = resources.all.into_iter().map(|it| it.name).collect();
            Self { graph, names }
        }

        /// The nodes after the tasks, in order.
        fn nodes(&self) -> Vec<Node> {
            let all = self.graph.tasks..self.graph.order.node_count();
            all.map(|index| self.graph.node(NodeIndex(index))).collect()
        }

        /// Every edge, in order.
        fn edges(&self) -> Vec<(usize, usize, Dependency)> {
            let edges = self.graph.order.edge_references();
            let mut edges: Vec<(usize, usize, Dependency)> = edges
                .map(|edge| (edge.source().index(), edge.target().index(), *edge.weight()))
                .collect();
            edges.sort_by_key(|(before, after, _)| (*before, *after));
            edges
        }

        /// The names that a node claims, each once, in the order of their indices.
        fn claims(&self, index: usize) -> Vec<&str> {
            let claims = self
                .graph
                .claims
                .get(&NodeIndex(index))
                .into_iter()
                .flatten();
            let names = claims.map(
                |Claim {
                     resource, amount, ..
                 }| {
                    assert_eq!(*amount, 1);
                    self.names.get(*resource).map_or("", String::as_str)
                },
            );
            names.collect()
        }
    }

    #[test]
    fn requirement_of_the_job_is_met_once_before_all_tasks_and_never_released() {
        let steps = [step(None, Some("turn"), "place")];
        let prepared = Prepared::new(&[&[0], &[], &[0]], &[], &steps, &[]);
        assert_eq!(prepared.nodes(), [Node::Fulfil(StepIndex(0))]);
        assert_eq!(prepared.edges(), [(3, 0, NEEDS), (3, 2, NEEDS)]);
        assert_eq!(prepared.claims(3), ["turn"]);
        assert!(prepared.graph.claims_end_with.is_empty());
    }

    #[test]
    fn requirements_of_tasks_with_one_exclusion_key_wait_for_each_other() {
        let resolver_mutex = Some("turn");
        let steps = [
            step(Some(0), resolver_mutex, "place"),
            step(Some(1), resolver_mutex, "place"),
        ];
        let owners = [owner(&[0], &[0]), owner(&[1], &[1])];
        let prepared = Prepared::new(&[&[0], &[1]], &[], &steps, &owners);
        let nodes = [
            Node::Fulfil(StepIndex(0)),
            Node::Fulfil(StepIndex(1)),
            Node::Reserve(0),
            Node::Release(0),
            Node::Reserve(1),
            Node::Release(1),
        ];
        assert_eq!(prepared.nodes(), nodes);
        let edges = [
            (0, 5, AFTER),
            (1, 7, AFTER),
            (2, 0, NEEDS),
            (3, 1, NEEDS),
            (4, 2, NEEDS),
            (6, 3, NEEDS),
        ];
        assert_eq!(prepared.edges(), edges);
        for (index, claims) in [
            (2, ["turn"]),
            (3, ["turn"]),
            (4, ["place"]),
            (5, ["turn"]),
            (6, ["place"]),
            (7, ["turn"]),
        ] {
            assert_eq!(prepared.claims(index), claims, "{index}");
        }
        let held = prepared.graph.claims_end_with.into_iter();
        let mut held: Vec<(usize, usize)> = held.map(|(end, holder)| (end.0, holder.0)).collect();
        held.sort_unstable();
        assert_eq!(held, [(5, 4), (7, 6)]);
    }

    #[test]
    fn instances_of_a_task_are_held_while_its_requirements_are_met_and_released() {
        let mut config = Config::default();
        let name = format!("{}board", persea_config::RESOURCES);
        config.set_raw(&name, serde_json::json!(["b1", "b2"]));
        let claims = |owners: &[RequirementOwner]| {
            let mut graph = Graph {
                order: petgraph::graph::DiGraph::default(),
                tasks: 1,
                resources: Vec::new(),
                claims: std::collections::HashMap::new(),
                lease_holders: std::collections::HashMap::new(),
                claims_end_with: std::collections::HashMap::new(),
            };
            graph.order.add_node(Node::Task);
            let mut resources = Resources::new(&config);
            let mutex = resources.mutex("m");
            let claims = vec![Claim::of_any(0, 1), Claim::of_any(mutex, 1)];
            graph.claim(NodeIndex(0), claims);
            let steps = [step(owners.first().map(|_| 0), None, "place")];
            let of_task = [(TaskIndex(0), &[StepIndex(0)][..])];
            graph.prepare_steps(&steps, owners, &of_task, &mut resources);
            graph.resources = resources.all;
            let of_task = graph.claims_of(TaskIndex(0)).map(|it| it.resource);
            assert_eq!(of_task.collect::<Vec<_>>(), [0, mutex]);
            let claimed = |node| {
                let claims = graph.claims.get(&NodeIndex(node)).into_iter().flatten();
                claims.map(|it| it.resource).collect::<Vec<_>>()
            };
            (claimed(0), claimed(2), graph.lease_holders.len())
        };
        // The mutex `m` is 1, and that of the requirement 2. The task is the node 0, reserve 2.
        assert_eq!(claims(&[owner(&[0], &[0])]), (vec![1], vec![0, 2], 1));
        assert_eq!(claims(&[]), (vec![0, 1], vec![], 0));
    }

    #[test]
    fn suite_releases_its_requirements_after_its_last_task() {
        let steps = [step(Some(0), None, "a"), step(Some(0), None, "b")];
        let owners = [owner(&[0, 1], &[0, 1])];
        let prepared = Prepared::new(&[&[0, 1], &[0, 1]], &[], &steps, &owners);
        // The steps are 2 and 3, reserve is 4, release is 5.
        let edges = [
            (0, 5, AFTER),
            (1, 5, AFTER),
            (2, 0, NEEDS),
            (2, 1, NEEDS),
            (2, 3, AFTER),
            (3, 0, NEEDS),
            (3, 1, NEEDS),
            (4, 2, NEEDS),
            (4, 3, NEEDS),
        ];
        assert_eq!(prepared.edges(), edges);
        assert_eq!(prepared.claims(4), ["a", "b"]);
        assert!(prepared.claims(2).is_empty() && prepared.claims(5).is_empty());
    }

    #[test]
    fn owner_reserves_nothing_before_all_that_its_tasks_wait_for_together() {
        let steps = [step(Some(0), None, "a"), step(None, None, "b")];
        let owners = [owner(&[2, 3], &[0])];
        let waits = [(0, 2, AFTER), (0, 3, AFTER), (1, 2, NEEDS), (1, 3, AFTER)];
        let prepared = Prepared::new(&[&[], &[], &[1, 0], &[1, 0]], &waits, &steps, &owners);
        // The steps are 4 and 5, reserve is 6. Task 1 is waited for in two ways.
        let edges = prepared.edges();
        let before = |node: usize| {
            let edges = edges.iter().copied().filter(|(_, after, _)| *after == node);
            edges.collect::<Vec<_>>()
        };
        assert_eq!(before(6), [(0, 6, AFTER), (5, 6, NEEDS)]);
        assert_eq!(before(4), [(6, 4, NEEDS)]);
        assert!(before(5).is_empty());
    }

    #[test]
    fn tasks_that_name_requirements_in_opposite_orders_do_not_block_each_other() {
        let steps = [step(None, None, "a"), step(None, None, "b")];
        let prepared = Prepared::new(&[&[0, 1], &[1, 0]], &[], &steps, &[]);
        let edges = prepared.edges();
        let between: Vec<_> = edges.iter().filter(|(_, after, _)| *after >= 2).collect();
        assert_eq!(between, [&(2, 3, AFTER)]);
    }

    #[test]
    fn stacked_requirement_needs_the_one_below_it() {
        let steps = [stacked("a"), stacked("b")];
        let prepared = Prepared::new(&[&[0, 1]], &[], &steps, &[]);
        let edges = [(1, 0, NEEDS), (1, 2, NEEDS), (2, 0, NEEDS)];
        assert_eq!(prepared.edges(), edges);
    }
}
