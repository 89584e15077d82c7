//! Replies that fit their requests, and replies that cannot.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::protocol::{Bytes, Line, Start, StartFailure, Stream};

fn start(id: Id, start: Start) -> Request {
    Request::Start { id, start }
}

fn quiet(id: Id) -> Request {
    let quiet = Start {
        quiet: true,
        ..Start::default()
    };
    start(id, quiet)
}

fn in_turn(id: Id) -> Request {
    let in_turn = Start {
        in_turn: Some(Line::Head),
        ..Start::default()
    };
    start(id, in_turn)
}

fn read(id: Id, max: u32) -> Request {
    Request::Read {
        id,
        child: 1,
        stream: Stream::Stdout,
        max,
    }
}

fn exit() -> Exit {
    Exit {
        code: Some(0),
        signal: None,
        duration_ns: 0,
        clean: true,
        left: 0,
    }
}

fn exited(id: Id, exit: Exit) -> Reply {
    Reply::Exited { id, exit }
}

fn data(id: Id, count: usize) -> Reply {
    Reply::Data {
        id,
        bytes: Bytes(vec![0; count]),
    }
}

fn start_failed(id: Id, stage: Stage) -> Reply {
    Reply::StartFailed {
        id,
        failure: StartFailure {
            stage,
            errno: 2,
            message: "there is no such file".to_owned(),
        },
    }
}

fn failed(id: Id, message: &str) -> Reply {
    Reply::Failed {
        id,
        errno: 1,
        message: message.to_owned(),
    }
}

/// What becomes of replies to these requests: for each `started`, `last`, `gives up` or the error's text.
fn answers(requests: &[Request], replies: &[Reply]) -> Vec<String> {
    let mut outstanding = Outstanding::default();
    for request in requests {
        outstanding.ask(request, ());
    }
    let answer = |reply| match outstanding.answer(reply) {
        Ok(Answer::Started(())) => "started".to_owned(),
        Ok(Answer::Last(())) => "last".to_owned(),
        Ok(Answer::GivesUp) => "gives up".to_owned(),
        Err(error) => error.to_string(),
    };
    replies.iter().map(answer).collect()
}

fn refusal(request: Request, reply: Reply) -> String {
    let answers = answers(&[request], &[reply]);
    let refused = answers.into_iter().next().unwrap();
    assert!(refused.starts_with("it answered"), "accepted: {refused}");
    refused
}

const STARTED: Reply = Reply::Started { id: 1, pid: 2 };

#[test]
fn each_kind_of_request_takes_its_own_replies() {
    let end = Request::EndTask { id: 1, of: None };
    let ended = Reply::Ended { id: 1, left: 3 };
    let pause = Request::Pause { id: 1 };
    let cases: [(Request, Vec<Reply>, &[&str]); 9] = [
        (
            start(1, Start::default()),
            vec![STARTED, exited(1, exit())],
            &["started", "last"],
        ),
        (
            in_turn(1),
            vec![STARTED, exited(1, exit())],
            &["started", "last"],
        ),
        (quiet(1), vec![exited(1, exit())], &["last"]),
        (quiet(1), vec![start_failed(1, Stage::Program)], &["last"]),
        (in_turn(1), vec![start_failed(1, Stage::NotNow)], &["last"]),
        (read(1, 10), vec![data(1, 10)], &["last"]),
        (read(1, 10), vec![failed(1, "no pipe")], &["last"]),
        (pause, vec![Reply::Done { id: 1 }], &["last"]),
        (end, vec![ended], &["last"]),
    ];
    for (request, replies, wanted) in cases {
        assert_eq!(
            answers(std::slice::from_ref(&request), &replies),
            wanted,
            "{request:?}"
        );
    }
}

#[test]
fn a_second_exit_is_refused() {
    let twice = [exited(1, exit()), exited(1, exit())];
    let answers = answers(&[quiet(1)], &twice);
    assert_eq!(
        answers,
        [
            "last",
            "it answered `exited` to request 1, which waits for no reply"
        ]
    );
}

#[test]
fn a_second_start_is_refused() {
    let answers = answers(&[in_turn(1)], &[STARTED, STARTED]);
    assert_eq!(
        answers,
        [
            "started",
            "it answered `started` to request 1, which asked for something else"
        ]
    );
}

#[test]
fn an_exit_before_the_start_is_refused() {
    refusal(in_turn(1), exited(1, exit()));
    refusal(start(1, Start::default()), exited(1, exit()));
}

#[test]
fn a_failure_after_the_start_is_refused() {
    let replies = [STARTED, start_failed(1, Stage::Program)];
    let answers = answers(&[in_turn(1)], &replies);
    assert!(answers[1].contains("something else"), "{answers:?}");
}

#[test]
fn an_unknown_id_is_refused() {
    let refused = refusal(quiet(1), exited(2, exit()));
    assert!(refused.contains("request 2"), "{refused}");
}

#[test]
fn replies_of_another_kind_are_refused() {
    refusal(quiet(1), Reply::Done { id: 1 });
    refusal(quiet(1), STARTED);
    refusal(quiet(1), failed(1, "no"));
    refusal(quiet(1), start_failed(1, Stage::NotNow));
    refusal(read(1, 10), Reply::Done { id: 1 });
    refusal(read(1, 10), exited(1, exit()));
    refusal(Request::Pause { id: 1 }, data(1, 0));
    refusal(Request::EndTask { id: 1, of: None }, Reply::Done { id: 1 });
    refusal(Request::Forget { child: 1 }, Reply::Done { id: 1 });
}

#[test]
fn more_data_than_asked_for_is_refused() {
    refusal(read(1, 10), data(1, 11));
    refusal(read(1, u32::MAX), data(1, MAX_READ as usize + 1));
}

#[test]
fn impossible_values_are_refused() {
    let hour = 3_600_000_000_000;
    let cases = [
        Exit {
            duration_ns: hour,
            ..exit()
        },
        Exit {
            duration_ns: u64::MAX,
            ..exit()
        },
        Exit {
            code: None,
            ..exit()
        },
        Exit {
            signal: Some(9),
            ..exit()
        },
        Exit {
            code: Some(256),
            ..exit()
        },
        Exit {
            code: Some(-1),
            ..exit()
        },
        Exit {
            code: None,
            signal: Some(65),
            ..exit()
        },
        Exit {
            code: None,
            signal: Some(0),
            ..exit()
        },
        Exit { left: 1, ..exit() },
    ];
    for exit in cases {
        let refused = refusal(quiet(1), exited(1, exit));
        assert!(refused.contains("impossible value"), "{refused}");
    }
    let pid = |pid| Reply::Started { id: 1, pid };
    refusal(start(1, Start::default()), pid(0));
    refusal(start(1, Start::default()), pid(u32::MAX));
    let end = Request::EndTask { id: 1, of: None };
    refusal(
        end,
        Reply::Ended {
            id: 1,
            left: u32::MAX,
        },
    );
    refusal(
        Request::Pause { id: 1 },
        failed(1, &"x".repeat(MAX_TEXT + 1)),
    );
}

#[test]
fn last_words_come_once() {
    let words = failed(0, "the work directory is not empty");
    let answers = answers(&[quiet(1)], &[words.clone(), words]);
    assert_eq!(answers[0], "gives up");
    assert!(answers[1].contains("waits for no reply"), "{answers:?}");
}

#[test]
fn children_and_queue_are_counted() {
    let mut outstanding = Outstanding::default();
    for request in [quiet(1), in_turn(2), in_turn(3), read(4, 1)] {
        outstanding.ask(&request, ());
    }
    assert_eq!((outstanding.children(), outstanding.queued()), (3, 2));
    outstanding
        .answer(&Reply::Started { id: 2, pid: 2 })
        .unwrap();
    assert_eq!((outstanding.children(), outstanding.queued()), (3, 1));
    outstanding.answer(&exited(2, exit())).unwrap();
    outstanding.answer(&start_failed(3, Stage::NotNow)).unwrap();
    assert_eq!((outstanding.children(), outstanding.queued()), (1, 0));
}
