//! Processes end with their task, and everything ends with the helper.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::fs;

use common::{Helper, process_with, sh, start, until};
use persea_helper::protocol::{Ending, Input, Output, Request, Start, Stream};
use rustix::io::Errno;

#[test]
fn end_of_the_task_ends_daemons() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    let exit = helper.run(sh(&format!(
        "setsid sh -c 'setsid sleep {mark} >&- 2>&- <&- &' & wait"
    )));
    assert_eq!((exit.ending, exit.clean), (Ending::Code(0), false));
    until("the daemon runs", || process_with(&mark).len() == 1);
    assert_eq!(helper.end_task(), 1);
    assert!(process_with(&mark).is_empty());
    assert!(helper.run(sh("exit 0")).clean);
    assert_eq!(helper.end_task(), 0);
    helper.finish();
}

#[test]
fn end_of_the_channel_ends_all_processes() {
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
fn helper_survives_signals() {
    let mut helper = Helper::new();
    for signal in [1, 2, 3, 10, 12, 13, 14, 15] {
        helper.kill(signal);
        assert_eq!(helper.run(sh("exit 5")).ending, Ending::Code(5));
    }
    helper.finish();
}

#[test]
fn signal_reaches_one_child_or_all_processes() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    let (child, pid) = helper.start(sh(&format!("setsid sleep {mark} & wait")));
    until("both run", || {
        process_with(&format!("sleep\0{mark}")).len() == 1
    });
    assert!(pid > 1);
    helper.signal_all(15);
    assert_eq!(helper.exit(child).ending, Ending::Signal(15));
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
        only_for: None,
        signal: 12345,
    });
    assert_eq!(helper.failure(id + 1000), Errno::INVAL.raw_os_error());
    helper.finish();
}

#[test]
fn paused_processes_continue_after_resume() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    let (child, _) = helper.start(sh(&format!("setsid sleep {mark} & sleep {mark}; exit 9")));
    let sleeping = format!("sleep\0{mark}");
    until("both run", || process_with(&sleeping).len() == 2);
    // A process that was stopped before the pause stays stopped.
    let already = process_with(&sleeping)[0];
    let state = |pid: i32| {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        persea_helper::tree::read_process(pid).map_or('-', |p| p.state)
    };
    common::send_signal(already, 19);
    until("the process is stopped", || state(already) == 'T');
    helper.request(|id| Request::Pause { id });
    let all = process_with(&mark);
    assert_eq!(all.len(), 3);
    until("all are stopped", || {
        all.iter().all(|pid| state(*pid) == 'T')
    });
    helper.request(|id| Request::Resume { id });
    until("the other two continue", || {
        all.iter().filter(|pid| state(**pid) == 'S').count() == 2
    });
    assert_eq!(state(already), 'T');
    helper.request(|id| Request::Pause { id });
    assert_eq!(helper.end_task(), 3);
    assert_eq!(helper.exit(child).ending, Ending::Signal(9));
    helper.finish();
}

#[test]
fn child_that_closes_its_descriptors_is_still_waited_for() {
    let mut helper = Helper::new();
    let (child, _) = helper.start(Start {
        stdin: Input::Pipe,
        stdout: Output::Pipe,
        ..sh("exec <&- >&- 2>&-; sleep 0.1; exit 4")
    });
    assert_eq!(helper.read_all(child, Stream::Stdout), b"");
    assert_eq!(helper.exit(child).ending, Ending::Code(4));
    helper.finish();
}

#[test]
fn forgotten_child_ends_with_its_process_group() {
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
    assert_eq!(helper.exit(child).ending, Ending::Signal(9));
    until("both have ended", || process_with(&mark).is_empty());
    helper.finish();
}

#[test]
fn thousand_starts_leak_no_descriptor_process_or_file() {
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
                    report: Output::Pipe,
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
    // A file in the work directory makes an exit unclean, and is removed with the task.
    let file = work.join("x");
    assert!(!helper.run(start("touch", &[file.to_str().unwrap()])).clean);
    assert_eq!(helper.end_task(), 0);
    assert!(!file.exists());
    // So does the loss of the directory, which is created again.
    assert!(!helper.run(start("rmdir", &[work.to_str().unwrap()])).clean);
    assert_eq!(helper.end_task(), 0);
    assert!(helper.run(start("ls", &[work.to_str().unwrap()])).clean);
    helper.finish();
}

#[test]
fn invalid_message_ends_all_processes_and_is_reported() {
    let invalid: [&[u8]; 3] = [
        b"\xff\xff\xff\xff",
        b"\x04\0\0\0\xff\xff\xff\xff",
        b"\x02\0\0\0\x05",
    ];
    for bytes in invalid {
        let mut helper = Helper::new();
        let mark = helper.mark();
        helper.start(sh(&format!("setsid sleep {mark} & wait")));
        until("the process runs", || {
            process_with(&format!("sleep\0{mark}")).len() == 1
        });
        helper.send_bytes(bytes);
        helper.close();
        assert_eq!(helper.wait().code(), Some(1));
        let log = helper.log();
        assert!(log.contains("everything is ended"), "{log}");
        assert!(process_with(&mark).is_empty());
    }
    let mut ungreeted = Helper::silent();
    ungreeted.send_bytes(b"GET / HTTP/1.1\r\n");
    assert_eq!(ungreeted.wait().code(), Some(1));
    assert!(ungreeted.log().contains("GET /"), "{}", ungreeted.log());
}

#[test]
fn tree_that_keeps_forking_is_ended() {
    let mut helper = Helper::new();
    let mark = helper.mark();
    // Each process ends as soon as its child runs.
    let script = format!("f() {{ test -e /{mark} && exit; f & }}; f; f; f");
    helper.start(start("bash", &["-c", &script, &mark]));
    until("the tree runs", || process_with(&mark).len() > 1);
    helper.end_task();
    assert!(process_with(&mark).is_empty());
    helper.finish();
}

#[test]
fn processes_are_found_on_a_kernel_without_lists_of_children() {
    let mut helper = Helper::without_lists_of_children();
    let mark = helper.mark();
    let exit = helper.run(sh(&format!(
        "setsid sh -c 'setsid sleep {mark} >&- 2>&- <&- &' & sh -c 'setsid sleep {mark} &' & wait"
    )));
    assert_eq!((exit.ending, exit.clean), (Ending::Code(0), false));
    let sleeping = format!("sleep\0{mark}");
    until("both run", || process_with(&sleeping).len() == 2);
    helper.request(|id| Request::Pause { id });
    helper.request(|id| Request::Resume { id });
    assert_eq!(helper.end_task(), 2);
    assert!(process_with(&mark).is_empty());
    assert!(helper.run(sh("exit 0")).clean);
    helper.finish();
}
