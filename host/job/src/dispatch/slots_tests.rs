//! Which slot takes the next task.
#![allow(clippy::unwrap_used)]
use super::*;
use persea_model::{Outcome, Status};

const MS: Duration = Duration::from_millis(1);

fn end(places: &mut Places, slot: usize, task: usize, took: Duration) -> Vec<String> {
    let finished = Finished {
        task,
        slot,
        outcome: Outcome::bare(Status::Pass),
        started: 0,
        elapsed: took,
        left_behind: 0,
        whiteboard: None,
        took: Some(took),
        has_directory: false,
    };
    in_words(places.finished(Box::new(finished)))
}

fn in_words(news: Vec<News>) -> Vec<String> {
    news.into_iter()
        .map(|news| match news {
            News::Started(task) => format!("{task} started"),
            News::Progress(task, text) => format!("{task}: {text}"),
            News::Finished(finished) => format!("{} ended", finished.task),
        })
        .collect()
}

fn known(slots: usize, took: Duration) -> Places {
    let mut places = Places::new(slots, true);
    for task in 0..KNOWN as usize {
        let slot = places.give(task, &process()).unwrap().slot.index;
        end(&mut places, slot, task, took);
    }
    places
}

fn process() -> Wanted {
    Wanted {
        one_process: true,
        ..Wanted::default()
    }
}

fn given(places: &mut Places, one_process: bool) -> usize {
    let wanted = Wanted {
        one_process,
        ..Wanted::default()
    };
    (100..)
        .take_while(|task| places.give(*task, &wanted).is_some())
        .count()
}

#[test]
fn tasks_wait_only_behind_quick_ones() {
    assert_eq!(given(&mut Places::new(2, true), true), 2);
    assert_eq!(given(&mut known(2, MS), true), 2 * (1 + WAITING));
    assert_eq!(given(&mut known(2, MS), false), 2);
    assert_eq!(given(&mut known(2, 5 * MS), true), 2);
    let mut never = Places::new(2, false);
    never.known = KNOWN;
    assert_eq!(given(&mut never, true), 2);
}

/// How many tasks one slot takes at once, after tasks that took so many milliseconds.
fn room_after(milliseconds: &[u32]) -> usize {
    let mut places = Places::new(1, true);
    for (task, took) in milliseconds.iter().enumerate() {
        places.give(task, &process()).unwrap();
        end(&mut places, 0, task, MS * *took);
    }
    given(&mut places, true)
}

#[test]
fn the_mean_of_the_last_tasks_decides_whether_others_wait_behind_them() {
    let all = MOST_IN_A_SLOT;
    assert_eq!(room_after(&[1, 1, 1]), 1, "too few are known");
    assert_eq!(room_after(&[1, 1, 1, 1]), all);
    assert_eq!(room_after(&[0, 0, 0, 9]), 1);
    assert_eq!(room_after(&[9, 0, 0, 0, 0]), all);
    // The mean is 4.8 ms after the slow one, and falls below 2 ms with the 14th quick one.
    let slow = |quick| [&[1, 1, 1, 1, 20][..], &vec![1; quick]].concat();
    assert_eq!(room_after(&slow(0)), 1);
    assert_eq!(room_after(&slow(13)), 1);
    assert_eq!(room_after(&slow(14)), all);
    // Of many, the last 16 count.
    let late = |slow| [vec![1; 1000], vec![20; slow]].concat();
    assert_eq!(room_after(&late(0)), all);
    assert_eq!(room_after(&late(1)), 1);
}

#[test]
fn a_task_without_a_duration_says_nothing_of_the_others() {
    let mut places = known(1, MS);
    for task in 10..20 {
        places.give(task, &process()).unwrap();
        let finished = Finished {
            task,
            slot: 0,
            outcome: Outcome::bare(Status::Error),
            started: 0,
            elapsed: 1000 * MS,
            left_behind: 0,
            whiteboard: None,
            took: None,
            has_directory: false,
        };
        places.finished(Box::new(finished));
    }
    assert_eq!(given(&mut places, true), MOST_IN_A_SLOT);
}

#[test]
fn behind_a_task_that_has_its_slot_alone_nobody_waits_until_it_has_ended() {
    let mut places = known(1, MS);
    assert!(places.give(0, &Wanted::default()).is_some());
    assert!(places.give(1, &process()).is_none());
    assert!(places.give(1, &Wanted::default()).is_none());
    end(&mut places, 0, 0, MS);
    assert_eq!(given(&mut places, true), MOST_IN_A_SLOT);
}

#[test]
fn a_task_that_leaves_its_environment_dirty_has_its_slot_alone() {
    let dirty = Wanted {
        spoils: true,
        ..state("a")
    };
    let mut places = known(1, MS);
    // Behind another task it does not wait, nor another one behind it, be its environment the same.
    assert!(places.give(0, &state("a")).is_some());
    assert!(places.give(1, &dirty).is_none());
    end(&mut places, 0, 0, MS);
    assert!(places.give(1, &dirty).is_some());
    assert!(places.give(2, &state("a")).is_none());
    assert!(places.give(2, &process()).is_none());
    end(&mut places, 0, 1, MS);
    assert_eq!(places.last_tasks().count(), 0);
    // What it has left is brought back for the next one, which leaves it as it is.
    assert!(places.give(2, &state("a")).is_some());
    assert_eq!(places.switches, 1);
    end(&mut places, 0, 2, MS);
    assert_eq!(places.last_tasks().collect::<Vec<_>>(), [2]);
}

#[test]
fn they_are_spread_over_the_slots() {
    let mut places = known(2, MS);
    let slots: Vec<usize> = (0..4)
        .map(|task| places.give(task, &process()).unwrap().slot.index)
        .collect();
    assert_eq!(slots, [0, 1, 0, 1]);
}

#[test]
fn a_task_that_needs_a_slot_for_itself_gets_an_empty_one() {
    let mut places = known(2, MS);
    assert_eq!(places.give(0, &process()).unwrap().slot.index, 0);
    assert_eq!(places.give(1, &Wanted::default()).unwrap().slot.index, 1);
    assert!(places.give(2, &Wanted::default()).is_none());
    assert_eq!(places.give(2, &process()).unwrap().slot.index, 0);
}

#[test]
fn behind_a_slow_one_nobody_waits_until_it_has_ended() {
    let mut places = known(1, MS);
    for task in 0..3 {
        assert!(places.give(task, &process()).is_some());
    }
    places.return_task(0, 1);
    assert!(places.give(1, &process()).is_none());
    places.return_task(0, 2);
    assert!(places.give(1, &process()).is_none());
    end(&mut places, 0, 0, MS);
    assert!(places.give(1, &process()).is_some());
    assert!(places.give(2, &process()).is_some());
}

#[test]
fn none_is_given_while_some_are_still_to_come_back() {
    let mut places = known(1, MS);
    for task in 0..3 {
        assert!(places.give(task, &process()).is_some());
    }
    places.return_task(0, 1);
    end(&mut places, 0, 0, MS);
    assert!(places.give(1, &process()).is_none());
    places.return_task(0, 2);
    assert!(places.give(1, &process()).is_some());
}

#[test]
fn only_the_next_one_is_blamed_for_the_end_of_a_helper() {
    let mut places = known(1, MS);
    for task in 0..3 {
        assert!(places.give(task, &process()).is_some());
    }
    for (task, blamed) in [(1, false), (0, true), (2, false)] {
        assert_eq!(places.is_to_blame(0, task), blamed);
        places.return_task(0, task);
    }
    assert!(places.give(0, &process()).is_some());
    assert!(places.is_to_blame(0, 0));
}

#[test]
fn of_each_slot_one_task_is_told_after_the_other() {
    let mut places = known(1, MS);
    for task in 0..3 {
        assert!(places.give(task, &process()).is_some());
    }
    assert_eq!(in_words(places.started(0, 0)), ["0 started"]);
    assert!(places.started(0, 1).is_empty());
    assert!(places.progress(0, 1, "half way".into()).is_empty());
    assert!(end(&mut places, 0, 1, MS).is_empty());
    let all = ["0 ended", "1 started", "1: half way", "1 ended"];
    assert_eq!(end(&mut places, 0, 0, MS), all);
    // Without a process, there is no start but its own.
    assert_eq!(end(&mut places, 0, 2, MS), ["2 started", "2 ended"]);
    assert!(places.are_empty());
}

fn state(snapshot: &str) -> Wanted {
    Wanted {
        state: Some(EnvironmentState {
            snapshot: Some(snapshot.to_owned()),
            ..EnvironmentState::default()
        }),
        ..process()
    }
}

#[test]
fn a_task_goes_where_its_environment_is() {
    let mut places = Places::new(3, true);
    let slot = |given: Option<Found>| given.map(|found| found.slot.index);
    assert_eq!(slot(places.give(0, &state("a"))), Some(0));
    end(&mut places, 0, 0, MS);
    assert_eq!(slot(places.give(1, &state("b"))), Some(1));
    end(&mut places, 1, 1, MS);
    assert_eq!(slot(places.give(2, &state("b"))), Some(1));
    assert_eq!(slot(places.give(3, &state("b"))), Some(2));
    assert_eq!(slot(places.give(4, &process())), Some(0));
    assert_eq!(places.switches, 0);
    end(&mut places, 0, 4, MS);
    assert_eq!(places.last_tasks().collect::<Vec<_>>(), [0]);
    assert_eq!(slot(places.give(5, &state("b"))), Some(0));
    assert_eq!(places.switches, 1);
}

#[test]
fn nobody_waits_for_an_environment_that_is_another() {
    let mut places = known(1, MS);
    assert!(places.give(0, &state("a")).is_some());
    assert!(places.give(1, &state("a")).is_some());
    assert!(places.give(2, &state("b")).is_none());
    let spoils = Wanted {
        spoils: true,
        ..state("a")
    };
    assert!(places.give(3, &spoils).is_none());
    end(&mut places, 0, 0, MS);
    end(&mut places, 0, 1, MS);
    assert!(places.give(3, &spoils).is_some());
    assert!(places.give(4, &state("a")).is_none());
    end(&mut places, 0, 3, MS);
    assert_eq!(places.last_tasks().count(), 0);
    assert!(places.give(4, &state("a")).is_some());
    assert_eq!(places.switches, 1);
}
