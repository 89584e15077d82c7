//! Replies that fit the pending requests are accepted, and all others refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::protocol::{Bytes, QueuePosition, Start, StartFailure, Stream, Usage};

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

fn queued(id: Id) -> Request {
    let queued = Start {
        queue_position: Some(QueuePosition::First),
        ..Start::default()
    };
    start(id, queued)
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
        ending: Ending::Code(0),
        duration_ns: 0,
        clean: true,
        leftovers: 0,
        usage: Usage::default(),
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

fn start_failed(id: Id, kind: StartFailureKind) -> Reply {
    Reply::StartFailed {
        id,
        failure: StartFailure {
            kind,
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

/// Checks replies against requests. The result for each reply is `started`, `final`, `helper
/// failed` or the text of the error.
fn answers(requests: &[Request], replies: &[Reply]) -> Vec<String> {
    let mut pending = PendingRequests::default();
    for request in requests {
        pending.insert(request, ());
    }
    let answer = |reply| match pending.accept(reply) {
        Ok(Matched::Started(())) => "started".to_owned(),
        Ok(Matched::Final(())) => "final".to_owned(),
        Ok(Matched::HelperFailed) => "helper failed".to_owned(),
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
fn each_kind_of_request_accepts_its_own_replies() {
    let end = Request::EndTask {
        id: 1,
        only_for: None,
    };
    let ended = Reply::TaskEnded {
        id: 1,
        leftovers: 3,
        usage: Usage::default(),
    };
    let pause = Request::Pause { id: 1 };
    let cases: [(Request, Vec<Reply>, &[&str]); 9] = [
        (
            start(1, Start::default()),
            vec![STARTED, exited(1, exit())],
            &["started", "final"],
        ),
        (
            queued(1),
            vec![STARTED, exited(1, exit())],
            &["started", "final"],
        ),
        (quiet(1), vec![exited(1, exit())], &["final"]),
        (
            quiet(1),
            vec![start_failed(1, StartFailureKind::Program)],
            &["final"],
        ),
        (
            queued(1),
            vec![start_failed(1, StartFailureKind::Returned)],
            &["final"],
        ),
        (read(1, 10), vec![data(1, 10)], &["final"]),
        (read(1, 10), vec![failed(1, "no pipe")], &["final"]),
        (pause, vec![Reply::Done { id: 1 }], &["final"]),
        (end, vec![ended], &["final"]),
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
fn second_exit_is_refused() {
    let twice = [exited(1, exit()), exited(1, exit())];
    let answers = answers(&[quiet(1)], &twice);
    assert_eq!(
        answers,
        [
            "final",
            "it answered `exited` to request 1, which waits for no reply"
        ]
    );
}

#[test]
fn second_start_is_refused() {
    let answers = answers(&[queued(1)], &[STARTED, STARTED]);
    assert_eq!(
        answers,
        [
            "started",
            "it answered `started` to request 1, which asked for something else"
        ]
    );
}

#[test]
fn exit_before_the_start_is_refused() {
    refusal(queued(1), exited(1, exit()));
    refusal(start(1, Start::default()), exited(1, exit()));
}

#[test]
fn start_failure_after_the_start_is_refused() {
    let replies = [STARTED, start_failed(1, StartFailureKind::Program)];
    let answers = answers(&[queued(1)], &replies);
    assert!(answers[1].contains("something else"), "{answers:?}");
}

#[test]
fn reply_with_an_unknown_id_is_refused() {
    let refused = refusal(quiet(1), exited(2, exit()));
    assert!(refused.contains("request 2"), "{refused}");
}

#[test]
fn reply_of_another_kind_is_refused() {
    refusal(quiet(1), Reply::Done { id: 1 });
    refusal(quiet(1), STARTED);
    refusal(quiet(1), failed(1, "no"));
    refusal(quiet(1), start_failed(1, StartFailureKind::Returned));
    refusal(read(1, 10), Reply::Done { id: 1 });
    refusal(read(1, 10), exited(1, exit()));
    refusal(Request::Pause { id: 1 }, data(1, 0));
    refusal(
        Request::EndTask {
            id: 1,
            only_for: None,
        },
        Reply::Done { id: 1 },
    );
    refusal(Request::Forget { child: 1 }, Reply::Done { id: 1 });
}

#[test]
fn more_data_than_requested_is_refused() {
    refusal(read(1, 10), data(1, 11));
    refusal(read(1, u32::MAX), data(1, MAX_READ as usize + 1));
}

#[test]
fn impossible_value_is_refused() {
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
            ending: Ending::Code(256),
            ..exit()
        },
        Exit {
            ending: Ending::Code(-1),
            ..exit()
        },
        Exit {
            ending: Ending::Signal(65),
            ..exit()
        },
        Exit {
            ending: Ending::Signal(0),
            ..exit()
        },
        Exit {
            leftovers: 1,
            ..exit()
        },
    ];
    for exit in cases {
        let refused = refusal(quiet(1), exited(1, exit));
        assert!(refused.contains("impossible value"), "{refused}");
    }
    let pid = |pid| Reply::Started { id: 1, pid };
    refusal(start(1, Start::default()), pid(0));
    refusal(start(1, Start::default()), pid(u32::MAX));
    let end = Request::EndTask {
        id: 1,
        only_for: None,
    };
    refusal(
        end,
        Reply::TaskEnded {
            id: 1,
            leftovers: u32::MAX,
            usage: Usage::default(),
        },
    );
    refusal(
        Request::Pause { id: 1 },
        failed(1, &"x".repeat(MAX_TEXT + 1)),
    );
}

#[test]
fn failure_of_the_helper_is_accepted_once() {
    let failure = failed(0, "the work directory is not empty");
    let answers = answers(&[quiet(1)], &[failure.clone(), failure]);
    assert_eq!(answers[0], "helper failed");
    assert!(answers[1].contains("waits for no reply"), "{answers:?}");
}

#[test]
fn live_children_and_queued_starts_are_counted() {
    let mut pending = PendingRequests::default();
    for request in [quiet(1), queued(2), queued(3), read(4, 1)] {
        pending.insert(&request, ());
    }
    assert_eq!((pending.live_children(), pending.queued_starts()), (3, 2));
    pending.accept(&Reply::Started { id: 2, pid: 2 }).unwrap();
    assert_eq!((pending.live_children(), pending.queued_starts()), (3, 1));
    pending.accept(&exited(2, exit())).unwrap();
    pending
        .accept(&start_failed(3, StartFailureKind::Returned))
        .unwrap();
    assert_eq!((pending.live_children(), pending.queued_starts()), (1, 0));
}

#[test]
fn renewal_is_answered_by_the_time_only() {
    let mut pending = PendingRequests::default();
    pending.insert(&Request::Renew { id: 1, until: 5 }, ());
    let done = pending.accept(&Reply::Done { id: 1 });
    assert!(
        matches!(done, Err(UnexpectedReply::Kind { .. })),
        "{done:?}"
    );
    let renewed = pending.accept(&Reply::Renewed { id: 1, clock: 4 });
    assert!(matches!(renewed, Ok(Matched::Final(()))), "{renewed:?}");
}
