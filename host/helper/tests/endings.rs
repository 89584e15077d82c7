//! How processes end, and everything with the helper: driven over a socket pair, as the host does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs;

use common::{Helper, process_with, sh, start, until};
use persea_helper::protocol::{Input, Output, Request, Start, Stream};
use rustix::io::Errno;

#[test]
fn the_task_s_end_finds_a_daemon() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    let exit = helper.run(sh(&format!(
        "setsid sh -c 'setsid sleep {mark} >&- 2>&- <&- &' & wait"
    )));
    assert_eq!((exit.code, exit.clean), (Some(0), false));
    until("the daemon runs", || process_with(&mark).len() == 1);
    assert_eq!(helper.end_task(), 1);
    assert!(process_with(&mark).is_empty());
    assert!(helper.run(sh("exit 0")).clean);
    assert_eq!(helper.end_task(), 0);
    helper.finish();
}

#[test]
fn the_end_of_the_channel_ends_all() {
    for ignore in ["", "trap '' TERM HUP INT; "] {
        let helper = &mut Helper::new();
        let mark = helper.mark();
        helper.start(sh(&format!(
            "{ignore}sleep {mark} & setsid sleep {mark} & sh -c 'sleep {mark}; :'"
        )));
        until("all run", || process_with(&mark).len() >= 3);
        let work = helper.work_dir();
        fs::write(work.join("left"), "x").unwrap();
        helper.close();
        assert!(helper.wait().success());
        assert!(process_with(&mark).is_empty());
        assert!(!work.exists());
    }
}

#[test]
fn signals_to_the_helper_change_nothing() {
    let mut helper = Helper::new();
    for signal in [1, 2, 3, 10, 12, 13, 14, 15] {
        helper.kill(signal);
        assert_eq!(helper.run(sh("exit 5")).code, Some(5));
    }
    helper.finish();
}

#[test]
fn signals_go_to_one_or_to_all() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    let (child, pid) = helper.start(sh(&format!("setsid sleep {mark} & wait")));
    until("both run", || {
        process_with(&format!("sleep\0{mark}")).len() == 1
    });
    assert!(pid > 1);
    helper.signal_all(15);
    assert_eq!(helper.exit(child).signal, Some(15));
    until("the other has ended", || {
        process_with(&format!("sleep\0{mark}")).is_empty()
    });
    let id = helper.id();
    helper.send(&Request::Signal {
        id,
        child,
        signal: 15,
    });
    assert_eq!(helper.failure(id), Errno::SRCH.raw_os_error());
    helper.send(&Request::SignalAll {
        id: id + 1000,
        of: None,
        signal: 12345,
    });
    assert_eq!(helper.failure(id + 1000), Errno::INVAL.raw_os_error());
    helper.finish();
}

#[test]
fn pause_and_resume() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    let (child, _) = helper.start(sh(&format!("setsid sleep {mark} & sleep {mark}; exit 9")));
    let sleeping = format!("sleep\0{mark}");
    until("both run", || process_with(&sleeping).len() == 2);
    // One is stopped already, and stays so.
    let already = process_with(&sleeping)[0];
    let state = |pid: i32| {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        persea_helper::tree::look(pid).map_or('-', |p| p.state)
    };
    common::send_signal(already, 19);
    until("it is stopped", || state(already) == 'T');
    helper.request(|id| Request::Pause { id });
    let all = process_with(&mark);
    assert_eq!(all.len(), 3);
    until("all are stopped", || {
        all.iter().all(|pid| state(*pid) == 'T')
    });
    helper.request(|id| Request::Resume { id });
    until("two go on", || {
        all.iter().filter(|pid| state(**pid) == 'S').count() == 2
    });
    assert_eq!(state(already), 'T');
    helper.request(|id| Request::Pause { id });
    assert_eq!(helper.end_task(), 3);
    assert_eq!(helper.exit(child).signal, Some(9));
    helper.finish();
}

#[test]
fn a_child_may_close_everything() {
    let mut helper = Helper::new();
    let (child, _) = helper.start(Start {
        stdin: Input::Pipe,
        stdout: Output::Pipe,
        ..sh("exec <&- >&- 2>&-; sleep 0.1; exit 4")
    });
    assert_eq!(helper.read_all(child, Stream::Stdout), b"");
    assert_eq!(helper.exit(child).code, Some(4));
    helper.finish();
}

#[test]
fn a_forgotten_child_ends_with_its_group() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    let (child, _) = helper.start(Start {
        stdout: Output::Pipe,
        ..sh(&format!("sleep {mark}; :"))
    });
    until("both run", || process_with(&mark).len() == 2);
    let id = helper.id();
    helper.send(&Request::Read {
        id,
        child,
        stream: Stream::Stdout,
        max: 10,
    });
    helper.send(&Request::Forget { child });
    assert_eq!(helper.failure(id), Errno::CANCELED.raw_os_error());
    assert_eq!(helper.exit(child).signal, Some(9));
    until("both have ended", || process_with(&mark).is_empty());
    helper.finish();
}

#[test]
fn a_thousand_starts_leave_nothing() {
    let mut helper = Helper::new();
    let work = helper.work_dir();
    let count = |helper: &Helper| {
        fs::read_dir(format!("/proc/{}/fd", helper.pid))
            .unwrap()
            .count()
    };
    helper.run(start("true", &[]));
    let before = count(&helper);
    for n in 0..1000 {
        let exit = match n % 4 {
            0 => {
                let (child, _) = helper.start(Start {
                    stdin: Input::Pipe,
                    stdout: Output::Pipe,
                    report: true,
                    ..start("true", &[])
                });
                let exit = helper.exit(child);
                helper.send(&Request::Forget { child });
                exit
            }
            1 => {
                helper.start_fails(Start {
                    stdout: Output::Pipe,
                    ..start("/no/such", &[])
                });
                continue;
            }
            _ => helper.run(start("true", &[])),
        };
        assert!(exit.clean, "{n}");
    }
    assert_eq!(count(&helper), before);
    let below =
        persea_helper::tree::descendants(rustix::process::Pid::from_raw(helper.pid).unwrap());
    assert!(below.is_empty(), "{below:?}");
    // A file in the work directory is noticed, and gone with the task.
    let file = work.join("x");
    assert!(!helper.run(start("touch", &[file.to_str().unwrap()])).clean);
    assert_eq!(helper.end_task(), 0);
    assert!(!file.exists());
    // So is the loss of the directory.
    assert!(!helper.run(start("rmdir", &[work.to_str().unwrap()])).clean);
    assert_eq!(helper.end_task(), 0);
    assert!(helper.run(start("ls", &[work.to_str().unwrap()])).clean);
    helper.finish();
}

#[test]
fn garbage_ends_everything_with_a_message() {
    let garbage: [&[u8]; 3] = [
        b"\xff\xff\xff\xff",
        b"\x04\0\0\0\xff\xff\xff\xff",
        b"\x02\0\0\0\x05",
    ];
    for bytes in garbage {
        let mut helper = Helper::new();
        let mark = helper.mark();
        helper.start(sh(&format!("setsid sleep {mark} & wait")));
        until("it runs", || {
            process_with(&format!("sleep\0{mark}")).len() == 1
        });
        helper.send_bytes(bytes);
        helper.close();
        assert_eq!(helper.wait().code(), Some(1));
        let log = helper.log();
        assert!(log.contains("everything is ended"), "{log}");
        assert!(process_with(&mark).is_empty());
    }
    let mut stranger = Helper::silent();
    stranger.send_bytes(b"GET / HTTP/1.1\r\n");
    assert_eq!(stranger.wait().code(), Some(1));
    assert!(stranger.log().contains("GET /"), "{}", stranger.log());
}

#[test]
fn a_tree_that_forks_on_is_ended() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    // Each ends as soon as its successor runs.
    let script = format!("f() {{ test -e /{mark} && exit; f & }}; f; f; f");
    helper.start(start("bash", &["-c", &script, &mark]));
    until("it runs", || process_with(&mark).len() > 1);
    helper.end_task();
    assert!(process_with(&mark).is_empty());
    helper.finish();
}

#[test]
fn without_lists_of_children_everything_is_found_all_the_same() {
    let mut helper = Helper::without_lists_of_children();
    let mark = helper.mark();
    let exit = helper.run(sh(&format!(
        "setsid sh -c 'setsid sleep {mark} >&- 2>&- <&- &' & sh -c 'setsid sleep {mark} &' & wait"
    )));
    assert_eq!((exit.code, exit.clean), (Some(0), false));
    let sleeping = format!("sleep\0{mark}");
    until("both run", || process_with(&sleeping).len() == 2);
    helper.request(|id| Request::Pause { id });
    helper.request(|id| Request::Resume { id });
    assert_eq!(helper.end_task(), 2);
    assert!(process_with(&mark).is_empty());
    assert!(helper.run(sh("exit 0")).clean);
    helper.finish();
}
