//! Processes that wait for their turn.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Helper, process_with, sh, until};
use persea_helper::protocol::{Id, Line, Reply, Request, Stage, Start};

fn ask(helper: &mut Helper, script: &str) -> Id {
    ask_at(Line::Behind, helper, script)
}

fn ask_at(line: Line, helper: &mut Helper, script: &str) -> Id {
    let id = helper.id();
    let start = Start {
        in_turn: Some(line),
        ..sh(script)
    };
    helper.send(&Request::Start { id, start });
    id
}

fn not_now(helper: &mut Helper, id: Id) {
    match helper.reply(id) {
        Reply::StartFailed { failure, .. } => assert_eq!(failure.stage, Stage::NotNow),
        other => panic!("{other:?}"),
    }
}

/// Runs one at the head of the line, where nothing can bring it back.
fn run(helper: &mut Helper, script: &str) -> persea_helper::protocol::Exit {
    let id = ask_at(Line::Head, helper, script);
    assert!(matches!(helper.reply(id), Reply::Started { .. }));
    helper.exit(id)
}

#[test]
fn they_follow_each_other_in_order_and_never_two_at_once() {
    let mut helper = Helper::new();
    let dir = tempfile::tempdir().unwrap();
    let (lock, log) = (dir.path().join("lock"), dir.path().join("log"));
    let (lock, log) = (lock.to_str().unwrap(), log.to_str().unwrap());
    let mut left: Vec<usize> = (0..40).collect();
    let mut ran = Vec::new();
    // Those that are given back, because one before was slow, are asked for again.
    while !left.is_empty() {
        let asked: Vec<(usize, Id)> = left
            .iter()
            .enumerate()
            .map(|(at, n)| {
                let script =
                    format!("mkdir {lock} || exit 9; echo {n} >> {log}; rmdir {lock}; exit {n}");
                let line = if at == 0 { Line::Head } else { Line::Behind };
                (*n, ask_at(line, &mut helper, &script))
            })
            .collect();
        left.clear();
        for (n, id) in asked {
            match helper.reply(id) {
                Reply::Started { .. } => {
                    let exit = helper.exit(id);
                    assert_eq!(exit.code, i32::try_from(n).ok());
                    assert!(exit.clean);
                    assert_eq!(exit.left, 0);
                    ran.push(n.to_string());
                }
                Reply::StartFailed { failure, .. } => {
                    assert_eq!(failure.stage, Stage::NotNow);
                    left.push(n);
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
fn what_one_leaves_is_ended_before_the_next() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    let work = helper.work_dir();
    let work = work.to_str().unwrap();
    let exit = run(
        &mut helper,
        &format!("setsid sleep {mark} & (sleep {mark} &) ; touch {work}/file; exit 3"),
    );
    assert_eq!((exit.code, exit.left, exit.clean), (Some(3), 2, true));
    assert!(process_with(&format!("sleep\0{mark}")).is_empty());
    let exit = run(
        &mut helper,
        &format!("ls -A {work} | grep -q . && exit 8; exit 0"),
    );
    assert_eq!((exit.code, exit.left), (Some(0), 0));
    helper.finish();
}

#[test]
fn behind_a_slow_one_nobody_waits() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    let slow = ask(&mut helper, &format!("exec sleep {mark}"));
    let (second, third) = (ask(&mut helper, "exit 1"), ask(&mut helper, "exit 2"));
    not_now(&mut helper, second);
    not_now(&mut helper, third);
    assert!(matches!(helper.reply(slow), Reply::Started { .. }));
    let late = ask(&mut helper, "exit 3");
    not_now(&mut helper, late);
    assert_eq!(helper.end(Some(slow)), 1);
    assert_eq!(helper.exit(slow).signal, Some(9));
    // Nor does one from the same line get before those that were given back.
    let last = ask(&mut helper, "exit 3");
    not_now(&mut helper, last);
    assert_eq!(run(&mut helper, "exit 4").code, Some(4));
    helper.finish();
}

#[test]
fn one_that_cannot_be_started_passes_the_turn_on() {
    let mut helper = Helper::new();
    let id = helper.id();
    let start = Start {
        program: "/does/not/exist".to_owned(),
        in_turn: Some(Line::Head),
        ..Start::default()
    };
    helper.send(&Request::Start { id, start });
    match helper.reply(id) {
        Reply::StartFailed { failure, .. } => assert_eq!(failure.stage, Stage::Program),
        other => panic!("{other:?}"),
    }
    assert_eq!(run(&mut helper, "exit 5").code, Some(5));
    helper.finish();
}

#[test]
fn while_all_stand_still_none_is_started_and_one_that_waits_can_be_taken_back() {
    let mut helper = Helper::new();
    helper.request(|id| Request::Pause { id });
    let (first, second, third) = (
        ask(&mut helper, "exit 1"),
        ask(&mut helper, "exit 2"),
        ask(&mut helper, "exit 3"),
    );
    // The helper starts what is next after the requests that it has read: before it reads the second of these.
    helper.request(|id| Request::Pause { id });
    helper.request(|id| Request::Pause { id });
    assert!(!helper.has_reply(first), "it was started");
    assert_eq!(helper.end(Some(second)), 0);
    not_now(&mut helper, second);
    helper.send(&Request::Forget { child: third });
    not_now(&mut helper, third);
    helper.request(|id| Request::Resume { id });
    assert!(matches!(helper.reply(first), Reply::Started { .. }));
    assert_eq!(helper.exit(first).code, Some(1));
    helper.finish();
}

#[test]
fn a_signal_for_one_does_not_reach_the_next() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    let over = ask(&mut helper, "exit 0");
    assert_eq!(helper.exit(over).code, Some(0));
    let sleeping = ask(&mut helper, &format!("exec sleep {mark}"));
    until("it runs", || {
        process_with(&format!("sleep\0{mark}")).len() == 1
    });
    let signal_all = |of| move |id| Request::SignalAll { id, of, signal: 15 };
    helper.request(signal_all(Some(over)));
    assert_eq!(helper.end(Some(over)), 0);
    assert_eq!(process_with(&format!("sleep\0{mark}")).len(), 1);
    helper.request(signal_all(Some(sleeping)));
    assert_eq!(helper.exit(sleeping).signal, Some(15));
    helper.finish();
}
