//! Owns the resources of a plan: which there are, and what each task claims of them. Does not know
//! which claims are held.

use std::collections::{BTreeMap, BTreeSet};

use persea_config::{Config, RESOURCES};
use persea_model::{Attribute, Attributes, Task};

use super::{GraphError, names};

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

/// The configured resources, and the mutexes that tasks name.
pub(super) struct Resources {
    pub(super) all: Vec<Resource>,
    by_name: BTreeMap<(bool, String), usize>,
}

impl Resources {
    pub(super) fn new(config: &Config) -> Self {
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
    pub(super) fn mutex(&mut self, name: &str) -> usize {
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
    pub(super) fn claims(
        &mut self,
        task: &Task,
        more: &Attributes,
    ) -> Result<Vec<Claim>, GraphError> {
        let mut claims: BTreeMap<usize, Claim> = BTreeMap::new();
        for name in names(task, more, "mutexes")? {
            let mutex = self.mutex(&name);
            claims.insert(mutex, Claim::of_any(mutex, 1));
        }
        let key = "resources";
        let shape = |found: &Attribute| GraphError::Shape {
            task: task.id.to_string(),
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
                    task: task.id.to_string(),
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
                task: task.id.to_string(),
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
