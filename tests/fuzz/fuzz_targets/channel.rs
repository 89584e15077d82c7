//! Owns the host's side of the channel to a helper. Whatever bytes arrive, each request gets at
//! most one reply, of its own kind and size, and the verdict does not depend on how the bytes are
//! split.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use persea_helper::pending_requests::{CLOCK_SLACK, Matched, PendingRequests};
use persea_helper::protocol::{
    Bytes, FrameReader, Id, MAX_REPLY, QueuePosition, Reply, Request, Start, Stream, Welcome,
    decode, decode_greeting,
};

/// One request of each kind that gets a reply. The ids count from 1.
fn requests() -> Vec<Request> {
    let start = |quiet, queue_position| Start {
        quiet,
        queue_position,
        ..Start::default()
    };
    let read = |id, max| Request::Read {
        id,
        child: 1,
        stream: Stream::Stdout,
        max,
    };
    vec![
        Request::Start {
            id: 1,
            start: start(false, None),
        },
        Request::Start {
            id: 2,
            start: start(true, None),
        },
        Request::Start {
            id: 3,
            start: start(false, Some(QueuePosition::First)),
        },
        read(4, 0),
        read(5, 8),
        Request::Pause { id: 6 },
        Request::EndTask {
            id: 7,
            only_for: None,
        },
        Request::Renew { id: 8, until: 1 },
        Request::ListFiles {
            id: 9,
            directory: Bytes::default(),
            after: String::new(),
        },
        Request::Fetch {
            id: 10,
            directory: Bytes::default(),
            made: Vec::new(),
            limit: 1,
            max: 8,
        },
    ]
}

/// The replies that are accepted, and whether the bytes end in an error.
fn accepted(bytes: &[u8], piece: usize) -> (Vec<(Id, bool)>, bool) {
    let mut frames = FrameReader::with_limit(MAX_REPLY);
    let mut pending = PendingRequests::default();
    for request in requests() {
        pending.insert(&request, ());
    }
    let mut greeted = false;
    let mut taken = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        frames.push(piece);
        loop {
            let frame = match frames.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => frame,
                Err(_) => return (taken, true),
            };
            if !greeted {
                if decode_greeting::<Welcome>(frame).is_err() {
                    return (taken, true);
                }
                greeted = true;
                continue;
            }
            let Ok(reply) = decode::<Reply>(frame) else {
                return (taken, true);
            };
            match pending.accept(&reply) {
                Err(error) => {
                    assert!(error.to_string().starts_with("it answered"));
                    return (taken, true);
                }
                Ok(Matched::HelperFailed) => {}
                Ok(Matched::Started(())) => taken.push((check(&reply), false)),
                Ok(Matched::Final(())) => taken.push((check(&reply), true)),
            }
        }
    }
    (taken, false)
}

/// Checks that an accepted reply fits the request with its id.
fn check(reply: &Reply) -> Id {
    match reply {
        Reply::Started { id, pid } => {
            assert!(matches!(id, 1 | 3) && *pid > 0);
            *id
        }
        Reply::StartFailed { id, .. } => {
            assert!(matches!(id, 1..=3));
            *id
        }
        Reply::Exited { id, exit } => {
            assert!(matches!(id, 1..=3));
            let most = CLOCK_SLACK.as_nanos() + 60_000_000_000;
            assert!(u128::from(exit.duration_ns) <= most);
            *id
        }
        Reply::Data { id, bytes } => {
            let most = match id {
                4 => 1,
                5 | 10 => 8,
                other => panic!("request {other} is not a read"),
            };
            assert!(bytes.0.len() <= most);
            *id
        }
        Reply::Files { id, files, is_all } => {
            assert_eq!(*id, 9);
            assert!(*is_all || !files.is_empty());
            assert!(files.is_sorted_by(|(one, _), (next, _)| one < next));
            *id
        }
        Reply::Done { id } => {
            assert_eq!(*id, 6);
            *id
        }
        Reply::Failed { id, .. } => {
            assert!(matches!(id, 4..=7 | 9 | 10));
            *id
        }
        Reply::Renewed { id, .. } => {
            assert_eq!(*id, 8);
            *id
        }
        Reply::TaskEnded { id, .. } => {
            assert_eq!(*id, 7);
            *id
        }
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let whole = accepted(bytes, bytes.len());
    assert_eq!(whole, accepted(bytes, usize::from(piece)));
    let mut ends: HashMap<Id, (usize, usize)> = HashMap::new();
    for (id, is_last) in whole.0 {
        let (started, ended) = ends.entry(id).or_default();
        assert_eq!(*ended, 0, "request {id} has a reply after its final one");
        *started += usize::from(!is_last);
        *ended += usize::from(is_last);
        assert!(*started <= 1 && *ended <= 1);
    }
});
