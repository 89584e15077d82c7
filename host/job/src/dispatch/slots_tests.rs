#![allow(clippy::unwrap_used)]
use super::*;
use crate::execute::cases::CaseSummary;
use persea_model::{Outcome, SpawnerKind, Status};

const MS: Duration = Duration::from_millis(1);

fn end(slots: &mut Slots, slot: usize, task: usize, took: Duration) -> Vec<String> {
    let finished = FinishedTask {
        task: TaskIndex(task),
        slot: SlotIndex(slot),
        outcome: Outcome::bare(Status::Pass),
        is_lost: false,
        is_stopped: false,
        started: 0,
        elapsed: took,
        left_behind: 0,
        usage: None,
        whiteboard: None,
        took: Some(took),
        has_directory: false,
        cases: CaseSummary::default(),
    };
    in_words(slots.finished(Box::new(finished)))
}

fn in_words(events: Vec<SlotEvent>) -> Vec<String> {
    events
        .into_iter()
        .map(|events| match events {
            SlotEvent::Started(task, _) => format!("{} started", task.0),
            SlotEvent::Message(task, TaskMessage::Progress(text)) => {
                format!("{}: {text}", task.0)
            }
            SlotEvent::Message(task, TaskMessage::Cases(_)) => format!("cases of {}", task.0),
            SlotEvent::Finished(finished) => format!("{} ended", finished.task.0),
        })
        .collect()
}

fn slots_with_mean(slots: usize, took: Duration) -> Slots {
    let mut slots = Slots::new(&SlotPools::one(slots), true);
    for task in 0..MIN_MEASURED as usize {
        let slot = slots
            .assign(TaskIndex(task), &process())
            .unwrap()
            .slot
            .index
            .0;
        end(&mut slots, slot, task, took);
    }
    slots
}

fn process() -> Demand {
    Demand {
        one_process: true,
        ..Demand::default()
    }
}

fn count_assigned(slots: &mut Slots, one_process: bool) -> usize {
    let demand = Demand {
        one_process,
        ..Demand::default()
    };
    (100..)
        .take_while(|task| slots.assign(TaskIndex(*task), &demand).is_some())
        .count()
}

#[test]
fn tasks_queue_only_while_tasks_are_quick() {
    assert_eq!(
        count_assigned(&mut Slots::new(&SlotPools::one(2), true), true),
        2
    );
    assert_eq!(
        count_assigned(&mut slots_with_mean(2, MS), true),
        2 * (1 + QUEUE_LENGTH)
    );
    assert_eq!(count_assigned(&mut slots_with_mean(2, MS), false), 2);
    assert_eq!(count_assigned(&mut slots_with_mean(2, 5 * MS), true), 2);
    let mut never = Slots::new(&SlotPools::one(2), false);
    never.measured = MIN_MEASURED;
    assert_eq!(count_assigned(&mut never, true), 2);
}

/// The number of tasks that one slot takes after tasks that took so many milliseconds each.
fn room_after(milliseconds: &[u32]) -> usize {
    let mut slots = Slots::new(&SlotPools::one(1), true);
    for (task, took) in milliseconds.iter().enumerate() {
        slots.assign(TaskIndex(task), &process()).unwrap();
        end(&mut slots, 0, task, MS * *took);
    }
    count_assigned(&mut slots, true)
}

#[test]
fn mean_duration_decides_whether_tasks_queue() {
    let all = MAX_TASKS_IN_SLOT;
    assert_eq!(room_after(&[1, 1, 1]), 1, "too few are measured");
    assert_eq!(room_after(&[1, 1, 1, 1]), all);
    assert_eq!(room_after(&[0, 0, 0, 9]), 1);
    assert_eq!(room_after(&[9, 0, 0, 0, 0]), all);
    // The mean is 4.8 ms after the slow task, and falls below 2 ms with the 14th quick one.
    let is_draining = |quick| [&[1, 1, 1, 1, 20][..], &vec![1; quick]].concat();
    assert_eq!(room_after(&is_draining(0)), 1);
    assert_eq!(room_after(&is_draining(13)), 1);
    assert_eq!(room_after(&is_draining(14)), all);
    // The mean weighs about the last 16 tasks.
    let late = |is_draining| [vec![1; 1000], vec![20; is_draining]].concat();
    assert_eq!(room_after(&late(0)), all);
    assert_eq!(room_after(&late(1)), 1);
}

#[test]
fn task_without_a_duration_leaves_the_mean_alone() {
    let mut slots = slots_with_mean(1, MS);
    for task in 10..20 {
        slots.assign(TaskIndex(task), &process()).unwrap();
        let finished = FinishedTask {
            task: TaskIndex(task),
            slot: SlotIndex(0),
            outcome: Outcome::bare(Status::Error),
            is_lost: false,
            is_stopped: false,
            started: 0,
            elapsed: 1000 * MS,
            left_behind: 0,
            usage: None,
            whiteboard: None,
            took: None,
            has_directory: false,
            cases: CaseSummary::default(),
        };
        slots.finished(Box::new(finished));
    }
    assert_eq!(count_assigned(&mut slots, true), MAX_TASKS_IN_SLOT);
}

#[test]
fn no_task_queues_behind_an_exclusive_task() {
    let mut slots = slots_with_mean(1, MS);
    assert!(slots.assign(TaskIndex(0), &Demand::default()).is_some());
    assert!(slots.assign(TaskIndex(1), &process()).is_none());
    assert!(slots.assign(TaskIndex(1), &Demand::default()).is_none());
    end(&mut slots, 0, 0, MS);
    assert_eq!(count_assigned(&mut slots, true), MAX_TASKS_IN_SLOT);
}

#[test]
fn task_that_leaves_its_environment_dirty_is_exclusive() {
    let dirty = Demand {
        leaves_dirty: true,
        ..state("a")
    };
    let mut slots = slots_with_mean(1, MS);
    // It does not queue behind another task, nor does another task queue behind it, even with the
    // same environment.
    assert!(slots.assign(TaskIndex(0), &state("a")).is_some());
    assert!(slots.assign(TaskIndex(1), &dirty).is_none());
    end(&mut slots, 0, 0, MS);
    assert!(slots.assign(TaskIndex(1), &dirty).is_some());
    assert!(slots.assign(TaskIndex(2), &state("a")).is_none());
    assert!(slots.assign(TaskIndex(2), &process()).is_none());
    end(&mut slots, 0, 1, MS);
    assert_eq!(slots.last_tasks().count(), 0);
    // The dirty environment is replaced for the next task, which leaves it clean.
    assert!(slots.assign(TaskIndex(2), &state("a")).is_some());
    assert_eq!(slots.switches, 1);
    end(&mut slots, 0, 2, MS);
    assert_eq!(slots.last_tasks().collect::<Vec<_>>(), [TaskIndex(2)]);
}

#[test]
fn tasks_are_spread_over_the_slots() {
    let mut slots = slots_with_mean(2, MS);
    let slots: Vec<usize> = (0..4)
        .map(|task| {
            slots
                .assign(TaskIndex(task), &process())
                .unwrap()
                .slot
                .index
                .0
        })
        .collect();
    assert_eq!(slots, [0, 1, 0, 1]);
}

#[test]
fn exclusive_task_gets_an_empty_slot() {
    let mut slots = slots_with_mean(2, MS);
    assert_eq!(
        slots.assign(TaskIndex(0), &process()).unwrap().slot.index.0,
        0
    );
    assert_eq!(
        slots
            .assign(TaskIndex(1), &Demand::default())
            .unwrap()
            .slot
            .index
            .0,
        1
    );
    assert!(slots.assign(TaskIndex(2), &Demand::default()).is_none());
    assert_eq!(
        slots.assign(TaskIndex(2), &process()).unwrap().slot.index.0,
        0
    );
}

#[test]
fn slot_that_returned_its_queue_takes_none_until_its_task_ends() {
    let mut slots = slots_with_mean(1, MS);
    for task in 0..3 {
        assert!(slots.assign(TaskIndex(task), &process()).is_some());
    }
    slots.return_task(SlotIndex(0), TaskIndex(1));
    assert!(slots.assign(TaskIndex(1), &process()).is_none());
    slots.return_task(SlotIndex(0), TaskIndex(2));
    assert!(slots.assign(TaskIndex(1), &process()).is_none());
    end(&mut slots, 0, 0, MS);
    assert!(slots.assign(TaskIndex(1), &process()).is_some());
    assert!(slots.assign(TaskIndex(2), &process()).is_some());
}

#[test]
fn slot_takes_no_task_until_its_whole_queue_is_returned() {
    let mut slots = slots_with_mean(1, MS);
    for task in 0..3 {
        assert!(slots.assign(TaskIndex(task), &process()).is_some());
    }
    slots.return_task(SlotIndex(0), TaskIndex(1));
    end(&mut slots, 0, 0, MS);
    assert!(slots.assign(TaskIndex(1), &process()).is_none());
    slots.return_task(SlotIndex(0), TaskIndex(2));
    assert!(slots.assign(TaskIndex(1), &process()).is_some());
}

#[test]
fn only_the_next_task_is_blamed_for_a_dead_helper() {
    let mut slots = slots_with_mean(1, MS);
    for task in 0..3 {
        assert!(slots.assign(TaskIndex(task), &process()).is_some());
    }
    for (task, is_blamed) in [(1, false), (0, true), (2, false)] {
        assert_eq!(
            slots.is_blamed_for_death(SlotIndex(0), TaskIndex(task)),
            is_blamed
        );
        slots.return_task(SlotIndex(0), TaskIndex(task));
    }
    assert!(slots.assign(TaskIndex(0), &process()).is_some());
    assert!(slots.is_blamed_for_death(SlotIndex(0), TaskIndex(0)));
}

#[test]
fn events_of_a_slot_are_reported_task_by_task() {
    let mut slots = slots_with_mean(1, MS);
    for task in 0..3 {
        assert!(slots.assign(TaskIndex(task), &process()).is_some());
    }
    assert_eq!(
        in_words(slots.started(SlotIndex(0), TaskIndex(0))),
        ["0 started"]
    );
    assert!(slots.started(SlotIndex(0), TaskIndex(1)).is_empty());
    let half_way = TaskMessage::Progress("half way".into());
    assert!(
        slots
            .message(SlotIndex(0), TaskIndex(1), half_way)
            .is_empty()
    );
    assert!(end(&mut slots, 0, 1, MS).is_empty());
    let all = ["0 ended", "1 started", "1: half way", "1 ended"];
    assert_eq!(end(&mut slots, 0, 0, MS), all);
    // A task that ends without a start message has started all the same.
    assert_eq!(end(&mut slots, 0, 2, MS), ["2 started", "2 ended"]);
    assert!(slots.is_empty());
}

fn state(snapshot: &str) -> Demand {
    Demand {
        state: Some(EnvironmentState {
            snapshot: Some(snapshot.to_owned()),
            ..EnvironmentState::new(SpawnerKind::Sandbox)
        }),
        ..process()
    }
}

#[test]
fn task_prefers_the_slot_with_its_environment() {
    let mut slots = Slots::new(&SlotPools::one(3), true);
    let slot = |assigned: Option<Placement>| assigned.map(|found| found.slot.index.0);
    assert_eq!(slot(slots.assign(TaskIndex(0), &state("a"))), Some(0));
    end(&mut slots, 0, 0, MS);
    assert_eq!(slot(slots.assign(TaskIndex(1), &state("b"))), Some(1));
    end(&mut slots, 1, 1, MS);
    assert_eq!(slot(slots.assign(TaskIndex(2), &state("b"))), Some(1));
    assert_eq!(slot(slots.assign(TaskIndex(3), &state("b"))), Some(2));
    assert_eq!(slot(slots.assign(TaskIndex(4), &process())), Some(0));
    assert_eq!(slots.switches, 0);
    end(&mut slots, 0, 4, MS);
    assert_eq!(slots.last_tasks().collect::<Vec<_>>(), [TaskIndex(0)]);
    assert_eq!(slot(slots.assign(TaskIndex(5), &state("b"))), Some(0));
    assert_eq!(slots.switches, 1);
}

#[test]
fn no_task_queues_for_another_environment() {
    let mut slots = slots_with_mean(1, MS);
    assert!(slots.assign(TaskIndex(0), &state("a")).is_some());
    assert!(slots.assign(TaskIndex(1), &state("a")).is_some());
    assert!(slots.assign(TaskIndex(2), &state("b")).is_none());
    let leaves_dirty = Demand {
        leaves_dirty: true,
        ..state("a")
    };
    assert!(slots.assign(TaskIndex(3), &leaves_dirty).is_none());
    end(&mut slots, 0, 0, MS);
    end(&mut slots, 0, 1, MS);
    assert!(slots.assign(TaskIndex(3), &leaves_dirty).is_some());
    assert!(slots.assign(TaskIndex(4), &state("a")).is_none());
    end(&mut slots, 0, 3, MS);
    assert_eq!(slots.last_tasks().count(), 0);
    assert!(slots.assign(TaskIndex(4), &state("a")).is_some());
    assert_eq!(slots.switches, 1);
}

#[test]
fn suspended_slot_gets_no_task_until_it_is_opened() {
    let mut slots = Slots::new(&SlotPools::one(2), true);
    let is_second = |slot: SlotIndex| slot == SlotIndex(1);
    assert!(slots.suspend(is_second));
    assert!(!slots.suspend(is_second), "it is suspended already");
    assert_eq!(count_assigned(&mut slots, true), 1);
    assert_eq!(slots.room(), 0);
    assert!(!slots.are_suspended(PoolIndex(0)), "the first one is open");
    slots.open(is_second);
    assert_eq!(count_assigned(&mut slots, true), 1);
}

#[test]
fn closed_slot_is_not_opened_again() {
    let mut slots = Slots::new(&SlotPools::one(1), true);
    assert_eq!(slots.close(|_| true), 0, "only suspended slots are closed");
    assert!(slots.suspend(|_| true) && slots.are_suspended(PoolIndex(0)));
    assert_eq!(slots.close(|_| true), 1);
    slots.open(|_| true);
    assert_eq!(
        (slots.room(), slots.are_suspended(PoolIndex(0))),
        (0, false)
    );
}

#[test]
fn pools_have_their_own_slots_and_one_limit() {
    let demand = |pool| Demand {
        pool: PoolIndex(pool),
        ..Demand::default()
    };
    let slot_of = |slots: &mut Slots, task, pool| {
        let placement = slots.assign(TaskIndex(task), &demand(pool));
        placement.map(|placement| placement.slot.index.0)
    };
    let mut slots = Slots::new(&SlotPools::two(2, 2, 3), true);
    assert_eq!(slot_of(&mut slots, 0, 1), Some(2));
    assert_eq!(slot_of(&mut slots, 1, 1), Some(3));
    assert_eq!(slot_of(&mut slots, 2, 1), None, "the pool is full");
    assert!(!slots.has_room(PoolIndex(1)) && slots.has_room(PoolIndex(0)));
    assert_eq!(slot_of(&mut slots, 2, 0), Some(0));
    assert_eq!(slot_of(&mut slots, 3, 0), None, "three work at once");
    assert_eq!(slots.room(), 0);
    end(&mut slots, 2, 0, MS);
    assert_eq!(slot_of(&mut slots, 3, 0), Some(1));
    // The hosts of one pool say nothing of the other.
    assert!(slots.suspend(|slot| slot.0 >= 2));
    assert!(slots.are_suspended(PoolIndex(1)) && !slots.are_suspended(PoolIndex(0)));
    slots.close(|_| true);
    assert!(slots.are_closed(PoolIndex(1)) && !slots.are_closed(PoolIndex(0)));
}
