//! The clock of the fakes: who moves it, and what happens at the deadline.

use super::code;
use crate::poll::{self, Interest};
use crate::process::{self, Command, Input, Output, Pipe};
use crate::testing::{Answer, Host, Installed, Processes};
use crate::{monotonic_clock, pages};
use std::time::Duration;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A host whose processes run for 10 seconds.
fn slow() -> Host {
    let answer = Answer::code(0).stdout("out").duration(seconds(10));
    Host::new().processes(Processes::always(answer))
}

#[test]
fn time_passes_only_when_somebody_waits_or_the_test_says_so() {
    let host = slow().install();
    let child = process::start(&Command::new("t").stdout(Output::Pipe)).unwrap();
    assert_eq!(child.read(Pipe::Stdout, 9).unwrap(), b"out");
    assert_eq!(host.now(), Duration::ZERO, "output exists from the start");
    host.advance(seconds(3));
    assert_eq!(monotonic_clock::now(), seconds(3));
    assert_eq!(child.wait().unwrap().duration, seconds(10));
    assert_eq!(host.now(), seconds(10));
    child.wait().unwrap();
    assert_eq!(host.now(), seconds(10), "the second wait returns at once");
    process::run(&Command::new("t")).unwrap();
    assert_eq!(host.now(), seconds(20));
}

#[test]
fn reading_at_the_end_of_a_pipe_waits_for_the_end_of_the_process() {
    let host = slow().install();
    let child = process::start(&Command::new("t").report(Output::Pipe)).unwrap();
    assert_eq!(child.read(Pipe::Report, 9).unwrap(), b"");
    assert_eq!(host.now(), seconds(10));
}

#[test]
fn poll_of_nothing_sleeps() {
    let host = Host::new().install();
    assert_eq!(poll::poll(&[], Some(seconds(5))).unwrap(), [0; 0]);
    assert_eq!(host.now(), seconds(5));
    assert_eq!(code(poll::poll(&[], None)), "invalid");
    assert_eq!(host.now(), seconds(5));
}

#[test]
fn poll_returns_what_is_ready_first() {
    let host = slow().install();
    let command = Command::new("t").stdin(Input::Pipe).stdout(Output::Pipe);
    let child = process::start(&command).unwrap();
    let ended = poll::watch(&child, Interest::Ended).unwrap();
    let readable = poll::watch(&child, Interest::Readable(Pipe::Stdout)).unwrap();
    let writable = poll::watch(&child, Interest::Writable).unwrap();
    let all = [&ended, &readable, &writable];
    assert_eq!(poll::poll(&all, Some(seconds(60))).unwrap(), [1, 2]);
    assert_eq!(host.now(), Duration::ZERO);
    child.read(Pipe::Stdout, 9).unwrap();
    let unready = [&ended, &readable];
    assert_eq!(poll::poll(&unready, Some(seconds(4))).unwrap(), [0; 0]);
    assert_eq!(host.now(), seconds(4));
    assert_eq!(poll::poll(&unready, None).unwrap(), [0, 1]);
    assert_eq!(host.now(), seconds(10));
}

#[test]
fn loop_of_polls_without_a_time_ends() {
    let _host = slow().install();
    let child = process::start(&Command::new("t")).unwrap();
    let ended = poll::watch(&child, Interest::Ended).unwrap();
    let polls = (0..).take_while(|_| {
        let ready = poll::poll(&[&ended], Some(Duration::ZERO)).unwrap();
        ready.is_empty()
    });
    assert!(polls.count() > 1);
}

#[test]
fn look_at_a_pollable_does_not_wait_for_it() {
    let host = slow().install();
    let command = Command::new("t").stdout(Output::Pipe);
    let child = process::start(&command).unwrap();
    let readable = poll::watch(&child, Interest::Readable(Pipe::Stdout)).unwrap();
    let ended = poll::watch(&child, Interest::Ended).unwrap();
    assert!(readable.ready());
    assert_eq!(host.now(), Duration::ZERO);
    assert!(!ended.ready());
    assert_eq!(host.now(), Duration::from_millis(1));
    while !ended.ready() {}
    assert_eq!(host.now(), seconds(10));
    drop(child);
    assert!(ended.ready() && readable.ready());
}

#[test]
fn pollable_of_a_dropped_child_is_ready() {
    let host = slow().install();
    let child = process::start(&Command::new("t")).unwrap();
    let ended = poll::watch(&child, Interest::Ended).unwrap();
    drop(child);
    assert_eq!(poll::poll(&[&ended], None).unwrap(), [0]);
    assert_eq!(host.now(), Duration::ZERO);
}

/// Fakes whose time is up after 6 seconds, while a process runs for 10.
fn limited() -> Installed {
    slow().deadline(seconds(6)).install()
}

#[test]
fn deadline_ends_processes() {
    let host = limited();
    assert_eq!(monotonic_clock::deadline(), Some(seconds(6)));
    assert_eq!(monotonic_clock::remaining(), Some(seconds(6)));
    let child = process::start(&Command::new("t")).unwrap();
    let exit = child.wait().unwrap();
    assert_eq!((exit.signal(), exit.duration), (Some(15), seconds(6)));
    assert_eq!(host.now(), seconds(6));
    assert_eq!(monotonic_clock::remaining(), Some(Duration::ZERO));
    let late = process::run(&Command::new("t")).unwrap();
    assert_eq!((late.signal(), late.duration), (Some(15), Duration::ZERO));
}

#[test]
fn process_that_ends_before_the_deadline_is_not_touched() {
    let host = slow().deadline(seconds(10)).install();
    assert_eq!(process::run(&Command::new("t")).unwrap().code(), Some(0));
    assert_eq!(host.now(), seconds(10));
}

#[test]
fn deadline_interrupts_polls() {
    let host = limited();
    let child = process::start(&Command::new("t").stdout(Output::Pipe)).unwrap();
    let ended = poll::watch(&child, Interest::Ended).unwrap();
    let readable = poll::watch(&child, Interest::Readable(Pipe::Stdout)).unwrap();
    assert_eq!(
        code(poll::poll(&[&ended], Some(seconds(60)))),
        "interrupted"
    );
    assert_eq!(host.now(), seconds(6));
    assert_eq!(code(poll::poll(&[&readable], None)), "interrupted");
    assert_eq!(code(poll::poll(&[], Some(seconds(1)))), "interrupted");
    assert_eq!(host.now(), seconds(6), "nobody waits any more");
}

#[test]
fn deadline_interrupts_pages() {
    let host = limited();
    pages::add_runnables([]).unwrap();
    host.advance(seconds(6));
    assert_eq!(code(pages::add_runnables([])), "interrupted");
    assert_eq!(code(pages::add_variations([])), "interrupted");
    assert!(!host.is_page_refused(), "no limit did");
}
