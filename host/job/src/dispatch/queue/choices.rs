//! Owns the instances of resources that a scheduler has chosen for tasks which no slot has taken
//! yet. Does not know why a scheduler chooses them.

use std::collections::{BTreeMap, BTreeSet};

use super::Queue;
use crate::plan::graph::{Claim, NodeIndex};
use persea_model::TaskIndex;
use persea_model::names::cut;

/// The most that a message shows of a name in a scheduler's answer, in bytes.
const SHOWN: usize = 100;

impl Queue {
    /// Keeps the instances that a scheduler has chosen for a task: names of instances by the name
    /// of the resource. The task leases them when it is taken, and the host chooses the rest of
    /// what it claims. Replaces an earlier choice for the task.
    ///
    /// # Errors
    /// Why the task cannot get one of the instances, as the end of a sentence that begins with the
    /// scheduler. Nothing is kept then.
    pub(crate) fn choose_instances(
        &mut self,
        task: TaskIndex,
        wanted: &BTreeMap<String, Vec<String>>,
    ) -> Result<(), String> {
        let node = NodeIndex::from(task);
        self.chosen.remove(&node);
        let mut chosen = Vec::new();
        for (resource, instances) in wanted {
            for instance in instances {
                let place = self.choosable(task, resource, instance, &chosen);
                chosen.extend(place.map_err(|why| {
                    let (instance, resource) = (cut(instance, SHOWN), cut(resource, SHOWN));
                    format!(
                        "it chose `{instance}` of the resource `{resource}` for the task {}, {why}",
                        task.0
                    )
                })?);
            }
        }
        if !chosen.is_empty() {
            self.chosen.insert(node, chosen);
        }
        Ok(())
    }

    /// Returns the resource and the position of an instance that a task can get; none where the
    /// task holds the instance already. `chosen` are the other instances that it gets.
    fn choosable(
        &self,
        task: TaskIndex,
        resource: &str,
        instance: &str,
        chosen: &[(usize, usize)],
    ) -> Result<Option<(usize, usize)>, String> {
        let mut resources = self.graph.resources.iter().enumerate();
        let known = resources.find(|(_, known)| !known.is_mutex && known.name == resource);
        let (index, known) = known.ok_or("and there is no such resource")?;
        let mut names = known.instances.iter();
        let position = names.position(|name| name == instance);
        let place = (index, position.ok_or("and there is no such instance")?);
        let claim = self.graph.claims_of(task).find(|it| it.resource == index);
        let claim = claim.ok_or("which does not take this resource")?;
        if let Some(holder) = self.graph.lease_holders.get(&task)
            && let Some(held) = self.leased.get(holder)
            && held.iter().any(|(resource, _)| *resource == index)
        {
            return match held.contains(&place) {
                true => Ok(None),
                false => Err("whose requirements are met on other instances".to_owned()),
            };
        }
        if !claim.instances.is_empty() {
            return match claim.instances.contains(&place.1) {
                // The claim names it already.
                true => Ok(None),
                false => Err("which takes other instances by their names".to_owned()),
            };
        }
        if chosen.contains(&place) {
            return Err("twice".to_owned());
        }
        if self.chosen.values().flatten().any(|taken| *taken == place) {
            return Err("and for another task too".to_owned());
        }
        if !self.is_instance_free(index, place.1) {
            return Err("and it is not free".to_owned());
        }
        let count = chosen.iter().filter(|(resource, _)| *resource == index);
        match (count.count() as u64) < claim.amount {
            true => Ok(Some(place)),
            false => Err(format!("which takes only {}", claim.amount)),
        }
    }

    /// Forgets the instances that a scheduler has chosen for a task.
    pub(crate) fn forget_choice(&mut self, task: TaskIndex) {
        self.chosen.remove(&NodeIndex::from(task));
    }

    /// Forgets all instances that a scheduler has chosen.
    pub(crate) fn forget_choices(&mut self) {
        self.chosen.clear();
    }

    /// Whether all instances that a scheduler has chosen for a task are free.
    pub(super) fn is_choice_free(&self, task: TaskIndex) -> bool {
        let chosen = self.chosen.get(&NodeIndex::from(task));
        let mut chosen = chosen.into_iter().flatten();
        chosen.all(|(resource, position)| self.is_instance_free(*resource, *position))
    }

    /// Returns the positions of the instances that a node gets: those that it claims by name, then
    /// those of `chosen`, then free ones, first those that are chosen for no other task.
    pub(super) fn positions_for(&self, claim: &Claim, chosen: &[(usize, usize)]) -> Vec<usize> {
        if !claim.instances.is_empty() {
            return claim.instances.clone();
        }
        let of_resource = |places: &[(usize, usize)]| {
            let places = places.iter().filter(|(it, _)| *it == claim.resource);
            places.map(|(_, position)| *position).collect::<Vec<_>>()
        };
        let mut positions = of_resource(chosen);
        let of_others = self.chosen.values().flat_map(|places| of_resource(places));
        let of_others: BTreeSet<usize> = of_others.collect();
        let free = self.instances.get(claim.resource);
        let free = || free.into_iter().flatten().copied();
        let unchosen = free().filter(|position| !of_others.contains(position));
        let rest = unchosen.chain(free().filter(|position| of_others.contains(position)));
        let most = usize::try_from(claim.amount).unwrap_or(usize::MAX);
        let missing = most.saturating_sub(positions.len());
        let rest: Vec<usize> = rest
            .filter(|position| !positions.contains(position))
            .take(missing)
            .collect();
        positions.extend(rest);
        positions
    }

    /// Returns the free instances of each resource whose instances have names: names of instances
    /// by the name of the resource.
    pub(crate) fn free_instances(&self) -> BTreeMap<&str, Vec<&str>> {
        let resources = self.graph.resources.iter().zip(&self.instances);
        let named = resources.filter(|(resource, _)| !resource.instances.is_empty());
        named
            .map(|(resource, free)| {
                let names = free.iter().filter_map(|it| resource.instances.get(*it));
                let names = names.map(String::as_str).collect();
                (resource.name.as_str(), names)
            })
            .collect()
    }

    /// Returns what a task holds before it starts, because its requirements are met on it.
    pub(crate) fn held(&self, task: TaskIndex) -> Option<BTreeMap<&str, Vec<&str>>> {
        let holder = self.graph.lease_holders.get(&task)?;
        self.leased.contains_key(holder).then(|| self.leases(task))
    }
}
