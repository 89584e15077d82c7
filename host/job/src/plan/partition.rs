//! Owns the partition of tasks among machines. Does not know what the tasks are.
//!
//! Parts are the same on every machine that resolves the same references. Tasks that depend on each
//! other stay together.

use std::borrow::Cow;
use std::collections::HashMap;

use petgraph::unionfind::UnionFind;
use sha2::{Digest as _, Sha256};

use persea_model::{Attribute, Runnable};

/// A part of all tasks: `2/5`, or `hash:2/5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// From 0.
    part: usize,
    count: usize,
    /// Whether parts are chosen by a hash of the tasks' names, so that a new test moves no other;
    /// otherwise round-robin, so that parts are equally large.
    by_name: bool,
}

impl Partition {
    /// Parses a partition.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "partition `{text}`: write `2/5` for the second of five parts, or `hash:2/5` to \
                 divide by the tasks' names"
            )
        };
        let (by_name, numbers) = match text.strip_prefix("hash:") {
            Some(numbers) => (true, numbers),
            None => (false, text.strip_prefix("count:").unwrap_or(text)),
        };
        let (part, count) = numbers.split_once('/').ok_or_else(wrong)?;
        let number = |text: &str| text.parse::<usize>().ok();
        match (number(part), number(count)) {
            (Some(part), Some(count)) if (1..=count).contains(&part) => Ok(Self {
                part: part - 1,
                count,
                by_name,
            }),
            _ => Err(wrong()),
        }
    }

    /// Whether each of the tasks is in this part. A task is a name, an id and a runnable.
    pub(crate) fn select(self, tasks: &[(&str, &str, &Runnable)]) -> Vec<bool> {
        let groups = dependent_groups(tasks);
        // By group: its number, in the order of their first tasks.
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        let mut kept = Vec::with_capacity(tasks.len());
        for (group, (name, ..)) in groups.into_iter().zip(tasks) {
            let next = numbers.len();
            let number = *numbers.entry(group).or_insert_with(|| {
                if self.by_name {
                    stable_hash(name) % self.count
                } else {
                    next % self.count
                }
            });
            kept.push(number == self.part);
        }
        kept
    }
}

/// The group of each task: tasks that depend on each other share one.
fn dependent_groups(tasks: &[(&str, &str, &Runnable)]) -> Vec<usize> {
    let mut groups = UnionFind::<usize>::new(tasks.len());
    let waits = |runnable: &Runnable| {
        ["needs", "after"]
            .iter()
            .any(|key| runnable.more.contains_key(*key))
    };
    if tasks.iter().any(|(.., runnable)| waits(runnable)) {
        let mut by_name: HashMap<Cow<'_, str>, Vec<usize>> = HashMap::new();
        for (index, (name, id, runnable)) in tasks.iter().enumerate() {
            for name in runnable.names(name, id) {
                by_name.entry(name).or_default().push(index);
            }
        }
        for (index, (.., runnable)) in tasks.iter().enumerate() {
            let lists = ["needs", "after"].iter();
            let names = lists.filter_map(|key| runnable.more.get(*key)?.items());
            for name in names.flatten().filter_map(Attribute::into_text) {
                for other in by_name.get(name.as_str()).into_iter().flatten() {
                    groups.union(index, *other);
                }
            }
        }
    }
    groups.into_labeling()
}

/// A hash that is the same on every machine and in every version.
fn stable_hash(name: &str) -> usize {
    let digest = Sha256::digest(name.as_bytes());
    let first = digest.first_chunk().copied().unwrap_or_default();
    usize::try_from(u32::from_le_bytes(first)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn runnable(needs: &[&str]) -> Runnable {
        let mut runnable = Runnable::default();
        if !needs.is_empty() {
            runnable.more.insert("needs".into(), needs.to_vec().into());
        }
        runnable
    }

    fn parts(text: &str, of: usize, tasks: &[(&str, Runnable)]) -> Vec<usize> {
        let ids: Vec<String> = (1..)
            .zip(tasks)
            .map(|(n, (name, _))| format!("{n}-{name}"))
            .collect();
        let tasks: Vec<(&str, &str, &Runnable)> = tasks
            .iter()
            .zip(&ids)
            .map(|((name, it), id)| (*name, id.as_str(), it))
            .collect();
        let mut found = vec![usize::MAX; tasks.len()];
        for part in 1..=of {
            let text = format!("{text}{part}/{of}");
            let kept = Partition::parse(&text).unwrap().select(&tasks);
            for (index, kept) in kept.into_iter().enumerate() {
                if kept {
                    assert_eq!(found[index], usize::MAX, "{index} is in two parts");
                    found[index] = part;
                }
            }
        }
        found
    }

    #[test]
    fn every_task_is_in_one_part() {
        let names: Vec<String> = (0..100).map(|n| format!("t{n}")).collect();
        let tasks: Vec<(&str, Runnable)> = names
            .iter()
            .map(|name| (name.as_str(), runnable(&[])))
            .collect();
        assert_eq!(parts("", 3, &tasks)[..4], [1, 2, 3, 1]);
        let by_name = parts("hash:", 3, &tasks);
        assert!((1..=3).all(|part| by_name.iter().filter(|it| **it == part).count() > 20));
        // A new task moves no other.
        let fewer = parts("hash:", 3, &tasks[1..]);
        assert_eq!(by_name[1..], fewer);
    }

    /// Parts of one job may run on hosts of several versions, so the values are fixed for ever: the
    /// first four bytes of the SHA-256, in little-endian order.
    #[test]
    fn hash_of_a_name_is_the_same_in_every_version() {
        let names = [
            ("/bin/true", 2079844021),
            ("tests/test_a.py:T.test_one", 1944559166),
            ("a b", 142239944),
            ("ü", 3396629600),
            ("", 1120186595),
        ];
        for (name, hash) in names {
            assert_eq!(stable_hash(name), hash, "{name:?}");
        }
        let tasks = names.map(|(name, _)| (name, runnable(&[])));
        assert_eq!(parts("hash:", 5, &tasks), [2, 2, 5, 1, 1]);
    }

    #[test]
    fn dependent_tasks_stay_together() {
        let tasks = [
            ("a", runnable(&[])),
            ("b", runnable(&[])),
            ("c", runnable(&["a"])),
            ("d", runnable(&["3-c"])),
        ];
        assert_eq!(parts("", 2, &tasks), [1, 2, 1, 1]);
        let by_name = parts("hash:", 7, &tasks);
        assert!(by_name[0] == by_name[2] && by_name[0] == by_name[3]);
    }

    #[test]
    fn invalid_partition_is_rejected_with_an_example() {
        for wrong in ["", "2", "0/5", "6/5", "a/b", "hash:", "-1/2", "1/0"] {
            let error = Partition::parse(wrong).unwrap_err();
            assert!(error.contains("write `2/5`"), "{error}");
        }
    }
}
