#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;
use crate::job::graph::tests::graph;

fn queue(mores: &[Value]) -> Queue {
    Queue::new(graph(mores, &[("gpu", 2), ("db", 1)]).unwrap())
}

/// Takes all that can be taken now.
fn take_all(queue: &mut Queue) -> Vec<usize> {
    let mut taken = Vec::new();
    while let Some(task) = queue.peek() {
        queue.take(task);
        taken.push(task);
    }
    taken
}

#[test]
fn as_given_where_nothing_waits() {
    let mut queue = queue(&vec![json!({}); 4]);
    assert_eq!(take_all(&mut queue), [0, 1, 2, 3]);
    queue.put_back(2);
    queue.put_back(1);
    assert_eq!(take_all(&mut queue), [1, 2]);
    assert!(queue.left().is_empty());
}

#[test]
fn one_waits_for_all_that_it_names() {
    let mut queue = queue(&[json!({"after": ["b", "c"]}), json!({}), json!({})]);
    assert_eq!(take_all(&mut queue), [1, 2]);
    assert!(queue.ended(1, Status::Fail).is_empty());
    assert_eq!(queue.peek(), None);
    assert!(queue.ended(2, Status::Pass).is_empty());
    assert_eq!(take_all(&mut queue), [0]);
}

#[test]
fn who_needs_one_that_has_not_passed_never_runs() {
    let mut queue = queue(&[
        json!({}),
        json!({"needs": ["a"], "after": ["a"]}),
        json!({"needs": ["b"]}),
        json!({"after": ["c"]}),
    ]);
    assert_eq!(take_all(&mut queue), [0]);
    let forsaken = |task, needs, status| Forsaken {
        task,
        needs,
        status,
    };
    assert_eq!(queue.ended(0, Status::Skip), [forsaken(1, 0, Status::Skip)]);
    assert_eq!(
        queue.ended(1, Status::Cancel),
        [forsaken(2, 1, Status::Cancel)]
    );
    assert!(queue.ended(2, Status::Cancel).is_empty());
    assert_eq!(take_all(&mut queue), [3]);
}

#[test]
fn a_warning_is_a_pass() {
    let mut queue = queue(&[json!({}), json!({"needs": ["a"]})]);
    assert_eq!(take_all(&mut queue), [0]);
    assert!(queue.ended(0, Status::Warn).is_empty());
    assert_eq!(take_all(&mut queue), [1]);
}

#[test]
fn a_mutex_is_held_by_one() {
    let mutex = json!({"mutexes": ["m"]});
    let mut queue = queue(&[mutex.clone(), mutex.clone(), json!({}), mutex]);
    assert_eq!(take_all(&mut queue), [0, 2]);
    assert_eq!(queue.left(), [1, 3]);
    queue.ended(0, Status::Pass);
    assert_eq!(take_all(&mut queue), [1]);
    queue.ended(1, Status::Pass);
    assert_eq!(take_all(&mut queue), [3]);
}

#[test]
fn amounts_are_shared_and_nobody_waits_who_need_not() {
    let gpus = |n: u64| json!({"resources": {"gpu": n}});
    let mut queue = queue(&[gpus(1), gpus(2), gpus(1), gpus(1)]);
    assert_eq!(take_all(&mut queue), [0, 2]);
    queue.ended(0, Status::Pass);
    assert_eq!(take_all(&mut queue), [3]);
    queue.ended(2, Status::Pass);
    queue.ended(3, Status::Pass);
    assert_eq!(take_all(&mut queue), [1]);
}

#[test]
fn two_that_become_free_at_once_both_start() {
    let gpus = |n: u64| json!({"resources": {"gpu": n}});
    let mut queue = queue(&[gpus(2), gpus(1), gpus(1)]);
    assert_eq!(take_all(&mut queue), [0]);
    queue.ended(0, Status::Pass);
    assert_eq!(take_all(&mut queue), [1, 2]);
}

#[test]
fn who_waits_for_one_thing_does_not_keep_another() {
    let mut queue = queue(&[
        json!({"resources": {"db": 1}}),
        json!({"resources": {"gpu": 2}}),
        json!({"resources": {"db": 1, "gpu": 1}}),
        json!({"resources": {"gpu": 1}}),
    ]);
    assert_eq!(take_all(&mut queue), [0, 1]);
    // The third one still lacks the db: the fourth gets the gpu.
    queue.ended(1, Status::Pass);
    assert_eq!(take_all(&mut queue), [3]);
    queue.ended(0, Status::Pass);
    assert_eq!(take_all(&mut queue), [2]);
    assert!(queue.left().is_empty());
}
