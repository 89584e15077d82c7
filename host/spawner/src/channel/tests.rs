//! Tests the channel with replies that the tests write into its other end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use persea_helper::protocol::{
    Ending, Exit, Hello, Id, MAX_REPLY, QueuePosition, Reply, Request, Start, Usage, Welcome,
    encode, encode_greeting,
};
use tokio::io::AsyncWriteExt as _;

use super::Channel;
use crate::tests::sh;
use crate::{Environment, SpawnError};

/// Opens a channel whose other end says `says` first, and returns both ends.
async fn channel(
    says: &'static [u8],
) -> (Result<Arc<Channel>, SpawnError>, tokio::io::DuplexStream) {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(ours);
    theirs.write_all(says).await.unwrap();
    let clean_up = Box::pin(async { "it is gone".to_owned() });
    let hello = Hello::default();
    let opened = Channel::open("test/0".into(), reader, writer, hello, None, clean_up);
    (opened.await, theirs)
}

fn greeting() -> &'static [u8] {
    let mut bytes = Vec::new();
    encode_greeting(&Welcome { pid: 1, clock: 2 }, &mut bytes).unwrap();
    bytes.leak()
}

#[tokio::test]
async fn garbage_ends_the_channel() {
    let (opened, _end) = channel(b"Last login: today\n").await;
    let error = opened.err().unwrap();
    assert!(error.to_string().contains("Last login"), "{error}");

    let (opened, mut end) = channel(greeting()).await;
    let environment = Environment::new(opened.ok().unwrap(), String::new(), None);
    let waiting = tokio::spawn({
        let environment = environment.clone();
        async move { environment.run(sh("")).await }
    });
    end.write_all(b"\x02\0\0\0\xff\xff").await.unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("it is gone"), "{error}");
    assert!(error.to_string().contains("can't be decoded"), "{error}");
}

#[tokio::test]
async fn request_on_an_unread_channel_fails_when_it_closes() {
    let (opened, end) = channel(greeting()).await;
    let environment = Environment::new(opened.ok().unwrap(), String::new(), None);
    // Far more than the channel holds, and nobody reads it.
    let script = "x".repeat(1 << 20);
    let runs: Vec<_> = (0..3)
        .map(|_| {
            let (environment, command) = (environment.clone(), sh(&script));
            tokio::spawn(async move { environment.run(command).await })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(end);
    for run in runs {
        assert_eq!(run.await.unwrap().unwrap_err().code(), "io");
    }
    environment.closed().await;
}

/// Encodes the replies for a queued process that has started and ended.
fn ran(id: Id) -> Vec<u8> {
    let exit = Exit {
        ending: Ending::Code(0),
        duration_ns: 1_000_000_000,
        clean: true,
        leftovers: 0,
        usage: Usage::default(),
    };
    let mut bytes = Vec::new();
    encode(&Reply::Started { id, pid: 2 }, &mut bytes).unwrap();
    encode(&Reply::Exited { id, exit }, &mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn replies_sent_before_the_helpers_death_are_received() {
    let (opened, mut end) = channel(greeting()).await;
    let channel = opened.ok().unwrap();
    let mut turns = Vec::new();
    for line in [
        QueuePosition::First,
        QueuePosition::Following,
        QueuePosition::Following,
    ] {
        let start = Start {
            queue_position: Some(line),
            ..Start::default()
        };
        turns.push(channel.start_queued(start, Box::new(|| {})).unwrap());
    }
    // The first process took long and others are queued, so the channel lets replies accumulate.
    end.write_all(&ran(turns[0].0)).await.unwrap();
    let first = channel.reply(&mut turns[0].1).await;
    assert!(matches!(first, Ok(Reply::Exited { .. })), "{first:?}");

    end.write_all(&ran(turns[1].0)).await.unwrap();
    drop(end);
    // Sending fails before the host reads the reply.
    channel.send_unanswered(&Request::Forget { child: 0 });
    let second = channel.reply(&mut turns[1].1).await;
    assert!(matches!(second, Ok(Reply::Exited { .. })), "{second:?}");
    let third = channel.reply(&mut turns[2].1).await;
    assert!(
        matches!(third, Err(SpawnError::HelperDied { .. })),
        "{third:?}"
    );
}

/// Encodes replies, each in its frame.
fn frames(replies: &[Reply]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for reply in replies {
        encode(reply, &mut bytes).unwrap();
    }
    bytes
}

/// Runs a process, answers with these replies, and returns the result of the run.
async fn run_with(replies: &[Reply]) -> Result<crate::Exit, SpawnError> {
    let (opened, mut end) = channel(greeting()).await;
    let environment = Environment::new(opened.ok().unwrap(), String::new(), None);
    let waiting = tokio::spawn({
        let environment = environment.clone();
        async move { environment.run(sh("")).await }
    });
    tokio::task::yield_now().await;
    end.write_all(&frames(replies)).await.unwrap();
    let receiver = waiting.await.unwrap();
    if receiver.is_err() {
        environment.closed().await;
        assert!(!environment.is_alive());
    }
    receiver
}

fn ended(id: Id, duration_ns: u64) -> Reply {
    let exit = Exit {
        ending: Ending::Code(0),
        duration_ns,
        clean: true,
        leftovers: 0,
        usage: Usage::default(),
    };
    Reply::Exited { id, exit }
}

#[tokio::test]
async fn unexpected_reply_ends_the_environment_and_is_no_result() {
    assert!(run_with(&[ended(1, 1000)]).await.is_ok());
    let forged = [
        ended(2, 0),
        ended(1, u64::MAX),
        Reply::Done { id: 1 },
        Reply::Started { id: 1, pid: 7 },
        Reply::Data {
            id: 1,
            bytes: Default::default(),
        },
        Reply::TaskEnded {
            id: 7,
            leftovers: 0,
            usage: Usage::default(),
        },
    ];
    for reply in forged {
        let error = run_with(std::slice::from_ref(&reply)).await.unwrap_err();
        assert!(
            matches!(error, SpawnError::HelperDied { .. }),
            "{reply:?}: {error}"
        );
        let text = error.to_string();
        assert!(text.contains("it answered"), "{reply:?}: {text}");
        assert!(text.contains("not taken for results"), "{reply:?}: {text}");
    }
}

#[tokio::test]
async fn frame_larger_than_any_reply_ends_the_environment() {
    let (opened, mut end) = channel(greeting()).await;
    let environment = Environment::new(opened.ok().unwrap(), String::new(), None);
    let length = u32::try_from(MAX_REPLY + 1).unwrap();
    end.write_all(&length.to_le_bytes()).await.unwrap();
    environment.closed().await;
    let error = environment.run(sh("")).await.unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
}
