//! Messages survive encoding and decoding, and malformed bytes are errors.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use persea_helper::protocol::{
    Bytes, Ending, Exit, FrameReader, Hello, Input, MAX_FRAME, Output, ProcessLimits,
    ProtocolError, QueuePosition, Reply, Request, SharedFiles, Start, StartFailure,
    StartFailureKind, Stream, TerminalSize, Usage, VERSION, Welcome, decode, decode_greeting,
    encode, encode_greeting,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn output() -> impl Strategy<Value = Output> {
    prop_oneof![
        Just(Output::Discard),
        vec(any::<u8>(), 0..40).prop_map(|b| Output::File(Bytes(b))),
        Just(Output::Pipe),
    ]
}

fn stream() -> impl Strategy<Value = Stream> {
    prop_oneof![
        Just(Stream::Stdout),
        Just(Stream::Stderr),
        Just(Stream::Report)
    ]
}

fn start() -> impl Strategy<Value = Start> {
    (
        any::<String>(),
        vec(any::<String>(), 0..5),
        vec((any::<String>(), option::of(any::<String>())), 0..5),
        option::of(any::<String>()),
        (output(), output()),
        any::<(bool, bool, bool, bool, bool)>(),
    )
        .prop_map(
            |(
                program,
                args,
                env,
                cwd,
                (stdout, stderr),
                (clear_env, pipe, report, quiet, is_queued),
            )| {
                Start {
                    program,
                    args,
                    env,
                    clear_env,
                    cwd,
                    stdin: if pipe { Input::Pipe } else { Input::Empty },
                    stdout,
                    stderr,
                    report: if report {
                        Output::Pipe
                    } else {
                        Output::Discard
                    },
                    report_socket: report && quiet,
                    terminal: quiet.then_some(TerminalSize {
                        rows: 24,
                        columns: 80,
                    }),
                    quiet,
                    queue_position: is_queued.then_some(QueuePosition::Following),
                    limits: report.then_some(Box::new(ProcessLimits {
                        address_space: Some(1 << 30),
                        processes: None,
                        file_size: Some(0),
                        dies_first: pipe,
                    })),
                }
            },
        )
}

fn request() -> impl Strategy<Value = Request> {
    let id = any::<u64>;
    let only_for = any::<Option<u64>>;
    let bytes = || vec(any::<u8>(), 0..300).prop_map(Bytes);
    prop_oneof![
        (id(), start()).prop_map(|(id, start)| Request::Start { id, start }),
        (id(), id(), stream(), any::<u32>()).prop_map(|(id, child, stream, max)| Request::Read {
            id,
            child,
            stream,
            max
        }),
        (id(), id(), bytes()).prop_map(|(id, child, bytes)| Request::Write { id, child, bytes }),
        (id(), id()).prop_map(|(id, child)| Request::CloseStdin { id, child }),
        (id(), id(), any::<i32>()).prop_map(|(id, child, signal)| Request::Signal {
            id,
            child,
            signal
        }),
        (id(), only_for(), any::<i32>()).prop_map(|(id, only_for, signal)| Request::SignalAll {
            id,
            only_for,
            signal
        }),
        id().prop_map(|id| Request::Pause { id }),
        id().prop_map(|id| Request::Resume { id }),
        (id(), only_for()).prop_map(|(id, only_for)| Request::EndTask { id, only_for }),
        (id(), id()).prop_map(|(id, until)| Request::Renew { id, until }),
        (id(), bytes(), bytes(), any::<(i64, i64)>()).prop_map(|(id, proof, content, changed)| {
            Request::Enter {
                id,
                directory: proof.clone(),
                shared: Some(SharedFiles {
                    directory: proof.clone(),
                    proof,
                    content,
                    inode: id,
                    changed,
                }),
            }
        }),
        (id(), bytes(), vec(bytes(), 0..3)).prop_map(|(id, directory, files)| {
            Request::MakeDirectory {
                id,
                directory,
                files,
            }
        }),
        (id(), bytes(), id(), any::<u32>()).prop_map(|(id, path, offset, max)| {
            Request::ReadFile {
                id,
                path,
                offset,
                max,
            }
        }),
        (id(), bytes(), any::<String>()).prop_map(|(id, directory, after)| Request::ListFiles {
            id,
            directory,
            after,
        }),
        (id(), bytes(), vec(bytes(), 0..3), any::<u32>()).prop_map(|(id, directory, made, max)| {
            Request::Fetch {
                id,
                directory,
                made,
                limit: id,
                max,
            }
        }),
        (id(), id(), any::<u32>()).prop_map(|(id, archive, max)| Request::FetchMore {
            id,
            archive,
            max,
        }),
        (id(), bytes()).prop_map(|(id, directory)| Request::RemoveDirectory { id, directory }),
        id().prop_map(|child| Request::Forget { child }),
    ]
}

fn usage() -> impl Strategy<Value = Usage> {
    any::<(u64, u64, u64)>().prop_map(|(user_ns, system_ns, largest_process)| Usage {
        user_ns,
        system_ns,
        largest_process,
    })
}

fn reply() -> impl Strategy<Value = Reply> {
    let id = any::<u64>;
    prop_oneof![
        (id(), any::<u32>()).prop_map(|(id, pid)| Reply::Started { id, pid }),
        (id(), id()).prop_map(|(id, clock)| Reply::Renewed { id, clock }),
        (id(), any::<i32>(), any::<String>()).prop_map(|(id, errno, message)| Reply::StartFailed {
            id,
            failure: StartFailure {
                kind: StartFailureKind::OutputFile,
                errno,
                message
            },
        }),
        (
            id(),
            prop_oneof![
                any::<i32>().prop_map(Ending::Code),
                any::<i32>().prop_map(Ending::Signal),
                Just(Ending::Unknown)
            ],
            any::<u64>(),
            any::<(bool, u32)>(),
            usage(),
        )
            .prop_map(|(id, ending, duration_ns, (clean, leftovers), usage)| {
                Reply::Exited {
                    id,
                    exit: Exit {
                        ending,
                        duration_ns,
                        clean,
                        leftovers,
                        usage,
                    },
                }
            }),
        (id(), vec(any::<u8>(), 0..300)).prop_map(|(id, b)| Reply::Data {
            id,
            bytes: Bytes(b)
        }),
        (id(), vec(any::<(String, u64)>(), 0..3), any::<bool>())
            .prop_map(|(id, files, is_all)| Reply::Files { id, files, is_all }),
        id().prop_map(|id| Reply::Done { id }),
        (id(), any::<i32>(), any::<String>()).prop_map(|(id, errno, message)| Reply::Failed {
            id,
            errno,
            message
        }),
        (id(), any::<u32>(), usage()).prop_map(|(id, leftovers, usage)| Reply::TaskEnded {
            id,
            leftovers,
            usage
        }),
    ]
}

proptest! {
    #[test]
    fn requests_are_received_unchanged_however_their_bytes_are_split(
        hello in option::of(vec(any::<u8>(), 0..40)),
        variables in option::of(vec((vec(any::<u8>(), 0..9), vec(any::<u8>(), 0..9)), 0..4)),
        requests in vec(request(), 0..6),
        cut in 1_usize..50,
    ) {
        let pair = |(name, value)| (Bytes(name), Bytes(value));
        let hello = Hello {
            work_dir: hello.map(Bytes),
            variables: variables.map(|all| all.into_iter().map(pair).collect()),
            lease: Some(std::time::Duration::from_millis(cut as u64)),
            ..Hello::default()
        };
        let mut sent = Vec::new();
        encode_greeting(&hello, &mut sent).unwrap();
        for request in &requests {
            encode(request, &mut sent).unwrap();
        }
        let mut frames = FrameReader::default();
        let mut greeting = None;
        let mut received = Vec::new();
        for piece in sent.chunks(cut) {
            frames.push(piece);
            while let Some(frame) = frames.next_frame().unwrap() {
                if greeting.is_none() {
                    greeting = Some(decode_greeting::<Hello>(frame).unwrap());
                } else {
                    received.push(decode::<Request>(frame).unwrap());
                }
            }
        }
        prop_assert_eq!(greeting, Some(hello));
        prop_assert_eq!(received, requests);
        prop_assert!(!frames.is_partial());
    }

    #[test]
    fn replies_are_decoded_unchanged(reply in reply()) {
        let mut sent = Vec::new();
        encode(&reply, &mut sent).unwrap();
        prop_assert_eq!(decode::<Reply>(&sent[4..]).unwrap(), reply);
    }

    #[test]
    fn malformed_bytes_cause_no_panic(
        bytes in vec(any::<u8>(), 0..200),
        whole in request(),
        flip in any::<(prop::sample::Index, u8)>(),
    ) {
        let _ = decode::<Request>(&bytes);
        let _ = decode::<Reply>(&bytes);
        let _ = decode_greeting::<Hello>(&bytes);
        let mut frames = FrameReader::default();
        frames.push(&bytes);
        while let Ok(Some(frame)) = frames.next_frame() {
            let _ = decode::<Request>(frame);
        }
        // A valid message with one changed byte comes closer to what decoding accepts.
        let mut sent = Vec::new();
        encode(&whole, &mut sent).unwrap();
        let place = flip.0.index(sent.len());
        sent[place] ^= flip.1;
        let _ = decode::<Request>(&sent[4..]);
    }
}

#[test]
fn oversized_message_unknown_peer_and_other_version_are_errors() {
    let mut out = vec![1, 2, 3];
    let large = Reply::Data {
        id: 1,
        bytes: Bytes(vec![0; MAX_FRAME]),
    };
    let encoded = encode(&large, &mut out);
    assert!(matches!(encoded, Err(ProtocolError::TooLarge { length, .. }) if length > MAX_FRAME));
    assert_eq!(out, [1, 2, 3]);

    let mut frames = FrameReader::default();
    frames.push(b"Last login: today\n");
    let Err(ProtocolError::UnknownPeer(sent)) = frames.next_frame() else {
        panic!("an unknown peer is accepted");
    };
    assert!(sent.starts_with("Last"));

    let mut newer = Vec::new();
    encode_greeting(&Welcome { pid: 1, clock: 2 }, &mut newer).unwrap();
    newer[12] += 1;
    assert_eq!(
        decode_greeting::<Welcome>(&newer[4..]),
        Err(ProtocolError::Version {
            theirs: VERSION + 1
        })
    );
}
