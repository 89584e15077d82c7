#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;
use crate::plan::graph::tests::graph;

fn queue(mores: &[Value]) -> Queue {
    Queue::new(graph(mores, &[("gpu", 2), ("db", 1)]).unwrap(), Vec::new())
}

/// Takes all tasks that can start now.
fn take_all(queue: &mut Queue) -> Vec<usize> {
    let mut taken = Vec::new();
    while let Some(task) = queue.peek() {
        queue.take(task);
        taken.push(task.0);
    }
    taken
}

fn waiting(queue: &Queue) -> Vec<usize> {
    queue.waiting().into_iter().map(|node| node.0).collect()
}

fn ready(queue: &mut Queue, limit: usize) -> Vec<usize> {
    let ready = queue.ready(limit).into_iter();
    ready.map(|task| task.0).collect()
}

#[test]
fn independent_tasks_are_taken_in_plan_order() {
    let mut queue = queue(&vec![json!({}); 4]);
    assert_eq!(take_all(&mut queue), [0, 1, 2, 3]);
    queue.put_back(TaskIndex(2));
    queue.put_back(TaskIndex(1));
    assert_eq!(take_all(&mut queue), [1, 2]);
    assert!(queue.waiting().is_empty());
}

#[test]
fn task_waits_for_every_task_in_its_after_list() {
    let mut queue = queue(&[json!({"after": ["b", "c"]}), json!({}), json!({})]);
    assert_eq!(take_all(&mut queue), [1, 2]);
    assert!(queue.end(TaskIndex(1), Status::Fail).is_empty());
    assert_eq!(queue.peek(), None);
    assert!(queue.end(TaskIndex(2), Status::Pass).is_empty());
    assert_eq!(take_all(&mut queue), [0]);
}

#[test]
fn task_is_unrunnable_when_a_needed_task_does_not_pass() {
    let mut queue = queue(&[
        json!({}),
        json!({"needs": ["a"], "after": ["a"]}),
        json!({"needs": ["b"]}),
        json!({"after": ["c"]}),
    ]);
    assert_eq!(take_all(&mut queue), [0]);
    let unrunnable = |node, needs, status| Unrunnable {
        node: NodeIndex(node),
        needs: NodeIndex(needs),
        status,
    };
    assert_eq!(
        queue.end(TaskIndex(0), Status::Skip),
        [unrunnable(1, 0, Status::Skip)]
    );
    assert_eq!(
        queue.end(TaskIndex(1), Status::Cancel),
        [unrunnable(2, 1, Status::Cancel)]
    );
    assert!(queue.end(TaskIndex(2), Status::Cancel).is_empty());
    assert_eq!(take_all(&mut queue), [3]);
}

#[test]
fn warning_satisfies_a_need() {
    let mut queue = queue(&[json!({}), json!({"needs": ["a"]})]);
    assert_eq!(take_all(&mut queue), [0]);
    assert!(queue.end(TaskIndex(0), Status::Warn).is_empty());
    assert_eq!(take_all(&mut queue), [1]);
}

#[test]
fn mutex_is_held_by_one_task_at_a_time() {
    let mutex = json!({"mutexes": ["m"]});
    let mut queue = queue(&[mutex.clone(), mutex.clone(), json!({}), mutex]);
    assert_eq!(take_all(&mut queue), [0, 2]);
    assert_eq!(waiting(&queue), [1, 3]);
    queue.end(TaskIndex(0), Status::Pass);
    assert_eq!(take_all(&mut queue), [1]);
    queue.end(TaskIndex(1), Status::Pass);
    assert_eq!(take_all(&mut queue), [3]);
}

#[test]
fn task_whose_claim_fits_starts_before_a_blocked_one() {
    let gpus = |n: u64| json!({"resources": {"gpu": n}});
    let mut queue = queue(&[gpus(1), gpus(2), gpus(1), gpus(1)]);
    assert_eq!(take_all(&mut queue), [0, 2]);
    queue.end(TaskIndex(0), Status::Pass);
    assert_eq!(take_all(&mut queue), [3]);
    queue.end(TaskIndex(2), Status::Pass);
    queue.end(TaskIndex(3), Status::Pass);
    assert_eq!(take_all(&mut queue), [1]);
}

#[test]
fn release_wakes_every_task_whose_claim_fits() {
    let gpus = |n: u64| json!({"resources": {"gpu": n}});
    let mut queue = queue(&[gpus(2), gpus(1), gpus(1)]);
    assert_eq!(take_all(&mut queue), [0]);
    queue.end(TaskIndex(0), Status::Pass);
    assert_eq!(take_all(&mut queue), [1, 2]);
}

#[test]
fn blocked_task_holds_none_of_its_other_resources() {
    let mut queue = queue(&[
        json!({"resources": {"db": 1}}),
        json!({"resources": {"gpu": 2}}),
        json!({"resources": {"db": 1, "gpu": 1}}),
        json!({"resources": {"gpu": 1}}),
    ]);
    assert_eq!(take_all(&mut queue), [0, 1]);
    // The third task still lacks the db: the fourth gets the gpu.
    queue.end(TaskIndex(1), Status::Pass);
    assert_eq!(take_all(&mut queue), [3]);
    queue.end(TaskIndex(0), Status::Pass);
    assert_eq!(take_all(&mut queue), [2]);
    assert!(queue.waiting().is_empty());
}

fn mutexes(names: &[&str]) -> Value {
    json!({"mutexes": names})
}

#[test]
fn two_mutexes_are_held_independently() {
    let mut queue = queue(&[
        mutexes(&["m"]),
        mutexes(&["n"]),
        mutexes(&["m", "n"]),
        mutexes(&["m"]),
        mutexes(&["n"]),
    ]);
    assert_eq!(take_all(&mut queue), [0, 1]);
    // The third task still lacks the other mutex, and does not block this one.
    queue.end(TaskIndex(0), Status::Pass);
    assert_eq!(take_all(&mut queue), [3]);
    queue.end(TaskIndex(1), Status::Pass);
    assert_eq!(take_all(&mut queue), [4]);
    queue.end(TaskIndex(4), Status::Pass);
    assert_eq!(take_all(&mut queue), [0; 0]);
    queue.end(TaskIndex(3), Status::Pass);
    assert_eq!(take_all(&mut queue), [2]);
    queue.end(TaskIndex(2), Status::Pass);
    assert!(queue.waiting().is_empty());
}

/// A task that is woken for one resource and lacks another passes the wake on.
#[test]
fn woken_task_that_lacks_another_resource_passes_the_wake_on() {
    let gpus = |n: u64, names: &[&str]| json!({"resources": {"gpu": n}, "mutexes": names});
    let mut queue = queue(&[
        gpus(2, &[]),
        mutexes(&["m"]),
        gpus(1, &["m"]),
        gpus(1, &["m"]),
        gpus(1, &[]),
        gpus(1, &[]),
    ]);
    assert_eq!(take_all(&mut queue), [0, 1]);
    queue.end(TaskIndex(0), Status::Pass);
    assert_eq!(take_all(&mut queue), [4, 5]);
    queue.end(TaskIndex(1), Status::Pass);
    assert_eq!(take_all(&mut queue), [0; 0]);
    queue.end(TaskIndex(4), Status::Pass);
    assert_eq!(take_all(&mut queue), [2]);
    queue.end(TaskIndex(5), Status::Pass);
    assert_eq!(take_all(&mut queue), [0; 0]);
    queue.end(TaskIndex(2), Status::Pass);
    assert_eq!(take_all(&mut queue), [3]);
}

/// Every job whose tasks claim resources at random ends, and nothing is claimed twice.
#[test]
fn every_task_starts_with_random_claims() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let claims: Vec<(Vec<&str>, u64, u64)> = (0..6)
            .map(|_| {
                let names = ["m", "n", "o"].into_iter().filter(|_| random.u8(..3) == 0);
                (names.collect(), random.u64(..3), random.u64(..2))
            })
            .collect();
        let mores: Vec<Value> = claims
            .iter()
            .map(|(names, gpu, db)| json!({"mutexes": names, "resources": {"gpu": gpu, "db": db}}))
            .collect();
        let mut queue = queue(&mores);
        let (mut running, mut ended): (Vec<usize>, usize) = (Vec::new(), 0);
        while ended < claims.len() {
            running.extend(take_all(&mut queue));
            assert!(
                !running.is_empty(),
                "seed {seed}: {:?} never start",
                queue.waiting()
            );
            let of = |task: &usize| claims.get(*task).unwrap();
            let mut held: Vec<&str> = running.iter().flat_map(|task| of(task).0.clone()).collect();
            let all = held.len();
            held.sort_unstable();
            held.dedup();
            assert_eq!(held.len(), all, "seed {seed}: a mutex is held twice");
            assert!(
                running.iter().map(|task| of(task).1).sum::<u64>() <= 2,
                "seed {seed}"
            );
            assert!(
                running.iter().map(|task| of(task).2).sum::<u64>() <= 1,
                "seed {seed}"
            );
            let left = claims.len() - ended - running.len();
            assert_eq!(queue.waiting().len(), left, "seed {seed}");
            queue.end(
                TaskIndex(running.swap_remove(random.usize(..running.len()))),
                Status::Pass,
            );
            ended += 1;
        }
        assert!(queue.waiting().is_empty());
    }
}

#[test]
fn waiting_tasks_are_neither_taken_nor_ended() {
    let mut queue = queue(&[
        json!({}),
        json!({}),
        json!({"needs": ["a"]}),
        json!({"after": ["b"]}),
    ]);
    assert_eq!(waiting(&queue), [0, 1, 2, 3]);
    queue.take(TaskIndex(0));
    queue.take(TaskIndex(1));
    assert_eq!(waiting(&queue), [2, 3]);
    queue.put_back(TaskIndex(1));
    assert_eq!(waiting(&queue), [1, 2, 3]);
    // The task that needs it ends with it.
    assert_eq!(queue.end(TaskIndex(0), Status::Fail).len(), 1);
    assert_eq!(waiting(&queue), [1, 3]);
    // A task can end without having been taken.
    queue.end(TaskIndex(1), Status::Skip);
    assert_eq!(waiting(&queue), [3]);
    queue.take(TaskIndex(3));
    assert_eq!(waiting(&queue), [0; 0]);
}

#[test]
fn ready_has_every_startable_task_under_contention() {
    let mutex = json!({"mutexes": ["m"]});
    let gpus = |n: u64| json!({"resources": {"gpu": n}});
    let mut queue = queue(&[
        mutex.clone(),
        mutex.clone(),
        mutex,
        gpus(1),
        gpus(2),
        gpus(1),
        json!({}),
    ]);
    assert_eq!(ready(&mut queue, 4096), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(ready(&mut queue, 3), [0, 1, 2]);
    queue.take(TaskIndex(1));
    assert_eq!(ready(&mut queue, 4096), [3, 4, 5, 6]);
    queue.take(TaskIndex(5));
    assert_eq!(ready(&mut queue, 4096), [3, 6]);
    queue.end(TaskIndex(1), Status::Pass);
    assert_eq!(ready(&mut queue, 4096), [0, 2, 3, 6]);
    assert_eq!(ready(&mut queue, 1), [0]);
    queue.end(TaskIndex(5), Status::Pass);
    assert_eq!(ready(&mut queue, 4096), [0, 2, 3, 4, 6]);
}

#[test]
fn ready_moves_a_task_to_the_resource_that_it_lacks() {
    let mut queue = queue(&[
        json!({"resources": {"gpu": 2}}),
        json!({"resources": {"db": 1}}),
        json!({"resources": {"db": 1, "gpu": 1}}),
    ]);
    queue.take(TaskIndex(0));
    queue.take(TaskIndex(1));
    assert_eq!(ready(&mut queue, 4096), [0; 0]);
    queue.end(TaskIndex(1), Status::Pass);
    assert_eq!(ready(&mut queue, 4096), [0; 0]);
    queue.end(TaskIndex(0), Status::Pass);
    assert_eq!(ready(&mut queue, 4096), [2]);
}

#[test]
fn every_task_runs_in_plan_order_after_the_scheduler_fails() {
    let mutex = json!({"mutexes": ["m"]});
    let mut queue = queue(&[
        mutex.clone(),
        mutex.clone(),
        mutex.clone(),
        mutex,
        json!({}),
    ]);
    queue.take(TaskIndex(3));
    assert_eq!(ready(&mut queue, 2), [4]);
    queue.end(TaskIndex(3), Status::Pass);
    assert_eq!(ready(&mut queue, 2), [0, 1]);
    let mut order = Vec::new();
    while let Some(task) = queue.peek() {
        queue.take(task);
        queue.end(task, Status::Pass);
        order.push(task.0);
    }
    assert_eq!(order, [0, 1, 2, 4]);
    assert_eq!(waiting(&queue), [0; 0]);
}

#[test]
fn named_instance_is_waited_for_and_others_go_on() {
    let named = |names: &[&str]| json!({"resources": {"board": names}});
    let any = |amount: u64| json!({"resources": {"board": amount}});
    let mut queue = queue(&[
        named(&["b2"]),
        named(&["b2"]),
        named(&["b1", "b2"]),
        any(2),
        named(&["b3"]),
    ]);
    assert_eq!(take_all(&mut queue), [0, 3]);
    assert_eq!(leases_of(&queue, 0), "b2");
    assert_eq!(leases_of(&queue, 3), "b1,b3");
    queue.end(TaskIndex(3), Status::Pass);
    assert_eq!(take_all(&mut queue), [4]);
    queue.end(TaskIndex(0), Status::Pass);
    assert_eq!(take_all(&mut queue), [1]);
    queue.end(TaskIndex(1), Status::Pass);
    assert_eq!(take_all(&mut queue), [2]);
    assert_eq!(leases_of(&queue, 2), "b1,b2");
    queue.end(TaskIndex(2), Status::Pass);
    queue.end(TaskIndex(4), Status::Pass);
    assert!(queue.waiting().is_empty() && queue.leased.is_empty());
}

#[test]
fn every_task_starts_with_random_instances() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut next = |below: u32| random.u32(..below);
        let mores: Vec<Value> = (0..7)
            .map(|_| match next(5) {
                0 => json!({}),
                1 => json!({"resources": {"board": next(4), "gpu": next(3)}}),
                2 => json!({"resources": {"board": ["b1"], "gpu": next(3)}}),
                3 => json!({"resources": {"board": ["b3", "b2"]}, "mutexes": ["m"]}),
                _ => json!({"resources": {"board": [format!("b{}", next(3) + 1)]}}),
            })
            .collect();
        let mut queue = queue(&mores);
        let (mut running, mut ended) = (Vec::new(), 0);
        while ended < mores.len() {
            match next(2) {
                0 => running.extend(ready(&mut queue, 1).first().map(|task| {
                    queue.take(TaskIndex(*task));
                    *task
                })),
                _ => running.extend(take_all(&mut queue)),
            }
            let of_running = running.iter().map(|task| leases_of(&queue, *task));
            let mut held: Vec<String> = of_running
                .flat_map(|names| names.split(',').map(str::to_owned).collect::<Vec<_>>())
                .filter(|name| !name.is_empty())
                .collect();
            let count = held.len();
            held.sort();
            held.dedup();
            assert_eq!(held.len(), count, "an instance is held twice: {mores:?}");
            assert!(!running.is_empty(), "{mores:?}");
            let place = next(u32::try_from(running.len()).unwrap()) as usize;
            queue.end(TaskIndex(running.swap_remove(place)), Status::Pass);
            ended += 1;
        }
        assert!(queue.leased.is_empty());
    }
}

#[test]
fn task_that_ends_while_it_waits_for_a_resource_is_not_woken() {
    let mut queue = queue(&vec![json!({"resources": {"db": 1}}); 3]);
    assert_eq!(take_all(&mut queue), [0]);
    queue.end(TaskIndex(1), Status::Cancel);
    queue.end(TaskIndex(0), Status::Pass);
    assert_eq!(take_all(&mut queue), [2]);
}

fn choose(queue: &mut Queue, task: usize, boards: &[&str]) -> Result<(), String> {
    let boards = boards.iter().map(|name| (*name).to_owned()).collect();
    queue.choose_instances(TaskIndex(task), &[("board".to_owned(), boards)].into())
}

fn free_boards(queue: &Queue) -> Vec<&str> {
    queue.free_instances().remove("board").unwrap()
}

#[test]
fn chosen_instances_are_leased_and_kept_from_other_tasks() {
    let any = |amount: u64| json!({"resources": {"board": amount}});
    let mut queue = queue(&[any(1), any(2), any(1)]);
    choose(&mut queue, 1, &["b1"]).unwrap();
    queue.take(TaskIndex(0));
    assert_eq!(leases_of(&queue, 0), "b2");
    assert!(queue.can_start(TaskIndex(1)));
    queue.take(TaskIndex(1));
    assert_eq!(leases_of(&queue, 1), "b1,b3");
    assert!(queue.chosen.is_empty());
    assert_eq!(free_boards(&queue), [""; 0]);
    queue.end(TaskIndex(0), Status::Pass);
    assert_eq!(free_boards(&queue), ["b2"]);
}

#[test]
fn task_cannot_start_while_its_chosen_instance_is_taken() {
    let any = |amount: u64| json!({"resources": {"board": amount}});
    let mut queue = queue(&[any(3), any(1)]);
    choose(&mut queue, 1, &["b3"]).unwrap();
    // The other task needs all instances, so the chosen one is no longer free.
    queue.take(TaskIndex(0));
    assert_eq!(leases_of(&queue, 0), "b1,b2,b3");
    assert!(!queue.can_start(TaskIndex(1)));
    queue.end(TaskIndex(0), Status::Pass);
    assert!(queue.can_start(TaskIndex(1)));
    queue.end(TaskIndex(1), Status::Cancel);
    assert!(queue.chosen.is_empty());
}

#[test]
fn instance_that_a_task_cannot_get_is_refused() {
    let any = |amount: u64| json!({"resources": {"board": amount}});
    let mut queue = queue(&[any(1), any(2), json!({})]);
    queue.take(TaskIndex(0));
    for (task, boards, words) in [
        (1, &["b1"][..], "and it is not free"),
        (1, &["b2", "b2"], "for the task 1, twice"),
        (1, &["b2", "b3", "b4"], "`b4` of the resource `board`"),
        (2, &["b2"], "which does not take this resource"),
    ] {
        let why = choose(&mut queue, task, boards).unwrap_err();
        assert!(why.contains(words), "{why}");
        assert!(queue.chosen.is_empty());
    }
    let port = [("port".to_owned(), vec!["p".to_owned()])].into();
    let why = queue.choose_instances(TaskIndex(1), &port).unwrap_err();
    assert!(why.ends_with("and there is no such resource"), "{why}");
}

fn leases_of(queue: &Queue, task: usize) -> String {
    let leases = queue.leases(TaskIndex(task));
    leases
        .get("board")
        .map(|it| it.join(","))
        .unwrap_or_default()
}

#[test]
fn closed_pool_of_slots_holds_up_no_task_of_another_pool() {
    let mores: Vec<Value> = (0..4).map(|_| json!({})).collect();
    let pools = [1, 1, 0, 1].map(PoolIndex).to_vec();
    let mut queue = Queue::new(graph(&mores, &[]).unwrap(), pools);
    assert_eq!(queue.peek(), Some(TaskIndex(0)));
    assert!(queue.close_pool(PoolIndex(1)));
    assert_eq!(queue.peek(), Some(TaskIndex(2)));
    assert_eq!(queue.ready(9), [TaskIndex(2)]);
    assert!(queue.is_pool_closed(TaskIndex(3)) && !queue.is_pool_closed(TaskIndex(2)));
    assert!(!queue.close_pool(PoolIndex(0)), "both are closed");
    assert_eq!(queue.peek(), None);
    queue.open_pools();
    queue.take(TaskIndex(0));
    assert_eq!(queue.ready(9), [1, 2, 3].map(TaskIndex));
    queue.put_back(TaskIndex(0));
    assert_eq!(queue.ready(2), [0, 1].map(TaskIndex));
}
