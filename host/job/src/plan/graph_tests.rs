#![allow(clippy::unwrap_used)]
use persea_config::RESOURCES;
use serde_json::{Value, json};

use super::*;

pub(crate) fn tasks(mores: &[Value]) -> Vec<Task> {
    let task = |(index, more): (usize, &Value)| {
        let name = ["a", "b", "c", "d", "e", "f", "g"].get(index).unwrap();
        serde_json::from_value::<persea_model::Runnable>(json!({"kind": "noop", "more": more}))
            .map(|runnable| Task {
                index: TaskIndex(index),
                id: format!("{}-{name}", index + 1).into(),
                name: (*name).into(),
                title: (*name).into(),
                directory: "".into(),
                runnable: runnable.into(),
            })
            .unwrap()
    };
    mores.iter().enumerate().map(task).collect()
}

pub(crate) fn graph(mores: &[Value], resources: &[(&str, u64)]) -> Result<Graph, GraphError> {
    let mut config = Config::default();
    for (name, amount) in resources {
        config.set_raw(&format!("{RESOURCES}{name}"), *amount);
    }
    config.set_raw(&format!("{RESOURCES}board"), json!(["b1", "b2", "b3"]));
    let tasks = tasks(mores);
    Graph::new(tasks.iter(), &Requirements::default(), &config)
}

fn error(mores: &[Value]) -> String {
    graph(mores, &[("gpu", 1)]).err().unwrap().to_string()
}

#[test]
fn task_is_found_by_its_name_and_by_its_id() {
    let none = json!({});
    let graph = graph(&[none, json!({"needs": ["a"], "after": ["1-a"]})], &[]).unwrap();
    let waiting: Vec<_> = graph.dependents(NodeIndex(0)).collect();
    assert_eq!(waiting.len(), 2);
    assert!(
        waiting.contains(&(NodeIndex(1), Dependency::Needs))
            && waiting.contains(&(NodeIndex(1), Dependency::After))
    );
    assert_eq!(graph.dependency_count(NodeIndex(1)), 2);
}

#[test]
fn error_shows_the_whole_cycle() {
    let waits = |on: &str| json!({"needs": [on]});
    assert_eq!(
        error(&[json!({}), waits("c"), waits("d"), waits("b"), waits("b")]),
        "these tasks wait for each other, so none could ever start: 2-b → 3-c → 4-d → 2-b"
    );
    assert_eq!(
        error(&[json!({"after": ["a"]})]),
        "these tasks wait for each other, so none could ever start: 1-a → 1-a"
    );
}

#[test]
fn error_names_the_task_and_what_it_asks_for() {
    assert_eq!(
        error(&[json!({"needs": ["x"]})]),
        "task `1-a`: `needs` names `x`, and no task of this job has that name or id; \
         `persea list --graph` with the same references shows them all"
    );
    assert_eq!(
        error(&[json!({"after": "x"})]),
        "task `1-a`: `after` is a list of texts, not \"x\""
    );
    assert_eq!(
        error(&[json!({"resources": {"gpu": -1}})]),
        "task `1-a`: `resources` is an object of whole numbers, or lists of instances, by name, \
         not -1"
    );
    assert_eq!(
        error(&[json!({"resources": {"gpu": 2}})]),
        "task `1-a` claims 2 of the resource `gpu`, and there is only 1; say how much there is \
         with `--set run.resources.gpu=2` or in persea.toml"
    );
    assert!(error(&[json!({"resources": {"tpu": 1}})]).contains("and there is none;"));
}

#[test]
fn claimed_instance_must_exist() {
    let more = |instances: Value| json!({"resources": {"board": instances}});
    assert_eq!(
        error(&[more(json!(["b1", "b9"]))]),
        "task `1-a` claims `b9` of the resource `board`, and there is no such instance; there is \
         b1, b2, b3"
    );
    let unnamed = error(&[json!({"resources": {"gpu": ["g1"]}})]);
    assert!(unnamed.contains("run.resources.gpu=[\"g1\"]"), "{unnamed}");
    assert!(error(&[more(json!([1]))]).contains("lists of instances, by name, not [1]"));
    let named = graph(&[more(json!(["b3", "b1", "b3"])), more(json!([]))], &[]).unwrap();
    let claim = Claim {
        resource: 0,
        amount: 2,
        instances: vec![0, 2],
    };
    assert_eq!(named.claims.get(&NodeIndex(0)), Some(&vec![claim]));
    assert!(!named.claims.contains_key(&NodeIndex(1)));
}
