//! Queued processes run one after the other.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Helper, process_with, sh, until};
use persea_helper::protocol::{Ending, Id, QueuePosition, Reply, Request, Start, StartFailureKind};

fn queue(helper: &mut Helper, script: &str) -> Id {
    queue_at(QueuePosition::Following, helper, script)
}

fn queue_at(position: QueuePosition, helper: &mut Helper, script: &str) -> Id {
    let id = helper.id();
    let start = Start {
        queue_position: Some(position),
        ..sh(script)
    };
    helper.send(&Request::Start { id, start });
    id
}

fn assert_returned(helper: &mut Helper, id: Id) {
    match helper.reply(id) {
        Reply::StartFailed { failure, .. } => assert_eq!(failure.kind, StartFailureKind::Returned),
        other => panic!("{other:?}"),
    }
}

/// Runs a process that is first in the queue, and so is never returned.
fn run(helper: &mut Helper, script: &str) -> persea_helper::protocol::Exit {
    let id = queue_at(QueuePosition::First, helper, script);
    assert!(matches!(helper.reply(id), Reply::Started { .. }));
    helper.exit(id)
}

#[test]
fn queued_processes_run_in_order_and_never_two_at_once() {
    let mut helper = Helper::new();
    let dir = tempfile::tempdir().unwrap();
    let (lock, log) = (dir.path().join("lock"), dir.path().join("log"));
    let (lock, log) = (lock.to_str().unwrap(), log.to_str().unwrap());
    let mut remaining: Vec<usize> = (0..40).collect();
    let mut ran = Vec::new();
    // Processes that are returned, because one before them was slow, are queued again.
    while !remaining.is_empty() {
        let queued: Vec<(usize, Id)> = remaining
            .iter()
            .enumerate()
            .map(|(at, n)| {
                let script =
                    format!("mkdir {lock} || exit 9; echo {n} >> {log}; rmdir {lock}; exit {n}");
                let position = if at == 0 {
                    QueuePosition::First
                } else {
                    QueuePosition::Following
                };
                (*n, queue_at(position, &mut helper, &script))
            })
            .collect();
        remaining.clear();
        for (n, id) in queued {
            match helper.reply(id) {
                Reply::Started { .. } => {
                    let exit = helper.exit(id);
                    assert_eq!(exit.ending, Ending::Code(i32::try_from(n).unwrap()));
                    assert!(exit.clean);
                    assert_eq!(exit.leftovers, 0);
                    ran.push(n.to_string());
                }
                Reply::StartFailed { failure, .. } => {
                    assert_eq!(failure.kind, StartFailureKind::Returned);
                    remaining.push(n);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let logged = std::fs::read_to_string(log).unwrap();
    assert_eq!(logged.lines().collect::<Vec<_>>(), ran);
    let order: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(ran, order);
    helper.finish();
}

#[test]
fn leftovers_of_a_queued_process_are_ended_before_the_next_one_starts() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    let work = helper.work_dir();
    let work = work.to_str().unwrap();
    let exit = run(
        &mut helper,
        &format!("setsid sleep {mark} & (sleep {mark} &) ; touch {work}/file; exit 3"),
    );
    assert_eq!(
        (exit.ending, exit.leftovers, exit.clean),
        (Ending::Code(3), 2, true)
    );
    assert!(process_with(&format!("sleep\0{mark}")).is_empty());
    let exit = run(
        &mut helper,
        &format!("ls -A {work} | grep -q . && exit 8; exit 0"),
    );
    assert_eq!((exit.ending, exit.leftovers), (Ending::Code(0), 0));
    helper.finish();
}

#[test]
fn processes_behind_a_slow_one_are_returned() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    let slow = queue(&mut helper, &format!("exec sleep {mark}"));
    let (second, third) = (queue(&mut helper, "exit 1"), queue(&mut helper, "exit 2"));
    assert_returned(&mut helper, second);
    assert_returned(&mut helper, third);
    assert!(matches!(helper.reply(slow), Reply::Started { .. }));
    let late = queue(&mut helper, "exit 3");
    assert_returned(&mut helper, late);
    assert_eq!(helper.end(Some(slow)), 1);
    assert_eq!(helper.exit(slow).ending, Ending::Signal(9));
    // A following process is returned too, so that it does not overtake those.
    let last = queue(&mut helper, "exit 3");
    assert_returned(&mut helper, last);
    assert_eq!(run(&mut helper, "exit 4").ending, Ending::Code(4));
    helper.finish();
}

#[test]
fn process_that_cannot_be_started_lets_the_next_one_start() {
    let mut helper = Helper::new();
    let id = helper.id();
    let start = Start {
        program: "/does/not/exist".to_owned(),
        queue_position: Some(QueuePosition::First),
        ..Start::default()
    };
    helper.send(&Request::Start { id, start });
    match helper.reply(id) {
        Reply::StartFailed { failure, .. } => assert_eq!(failure.kind, StartFailureKind::Program),
        other => panic!("{other:?}"),
    }
    assert_eq!(run(&mut helper, "exit 5").ending, Ending::Code(5));
    helper.finish();
}

#[test]
fn queued_process_of_a_paused_task_is_not_started_and_can_be_withdrawn() {
    let mut helper = Helper::new();
    helper.request(|id| Request::Pause { id });
    let (first, second, third) = (
        queue(&mut helper, "exit 1"),
        queue(&mut helper, "exit 2"),
        queue(&mut helper, "exit 3"),
    );
    // The helper starts processes after it has handled the requests that it has read, so before the
    // second of these replies.
    helper.request(|id| Request::Pause { id });
    helper.request(|id| Request::Pause { id });
    assert!(
        !helper.has_reply(first),
        "the paused helper started a process"
    );
    assert_eq!(helper.end(Some(second)), 0);
    assert_returned(&mut helper, second);
    helper.send(&Request::Forget { child: third });
    assert_returned(&mut helper, third);
    helper.request(|id| Request::Resume { id });
    assert!(matches!(helper.reply(first), Reply::Started { .. }));
    assert_eq!(helper.exit(first).ending, Ending::Code(1));
    helper.finish();
}

#[test]
fn signal_for_an_ended_process_does_not_reach_the_next_one() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    let ended = queue(&mut helper, "exit 0");
    assert_eq!(helper.exit(ended).ending, Ending::Code(0));
    let sleeping = queue(&mut helper, &format!("exec sleep {mark}"));
    until("the process runs", || {
        process_with(&format!("sleep\0{mark}")).len() == 1
    });
    let signal_all = |only_for| {
        move |id| Request::SignalAll {
            id,
            only_for,
            signal: 15,
        }
    };
    helper.request(signal_all(Some(ended)));
    assert_eq!(helper.end(Some(ended)), 0);
    assert_eq!(process_with(&format!("sleep\0{mark}")).len(), 1);
    helper.request(signal_all(Some(sleeping)));
    assert_eq!(helper.exit(sleeping).ending, Ending::Signal(15));
    helper.finish();
}
