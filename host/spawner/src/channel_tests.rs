//! The channel with what the tests write into its other end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use persea_helper::protocol::{
    Exit, Hello, Id, MAX_REPLY, QueuePosition, Reply, Request, Start, Welcome, encode,
    encode_greeting,
};
use tokio::io::AsyncWriteExt as _;

use super::Channel;
use crate::tests::sh;
use crate::{Environment, SpawnError};

/// A channel to whatever the test writes into the other end.
async fn channel(
    says: &'static [u8],
) -> (Result<Arc<Channel>, SpawnError>, tokio::io::DuplexStream) {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(ours);
    theirs.write_all(says).await.unwrap();
    let clean_up = Box::pin(async { "it is gone".to_owned() });
    let hello = Hello::default();
    let opened = Channel::open("test/0".into(), reader, writer, hello, clean_up);
    (opened.await, theirs)
}

fn greeting() -> &'static [u8] {
    let mut bytes = Vec::new();
    encode_greeting(&Welcome { pid: 1 }, &mut bytes).unwrap();
    bytes.leak()
}

#[tokio::test]
async fn strangers_and_garbage_end_the_channel() {
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
async fn an_unread_channel_holds_nobody_up_for_ever() {
    let (opened, end) = channel(greeting()).await;
    let environment = Environment::new(opened.ok().unwrap(), String::new(), None);
    // Far more than the channel holds; then nobody will ever read it.
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

/// The replies for a queued process that has started and ended.
fn ran(id: Id) -> Vec<u8> {
    let exit = Exit {
        code: Some(0),
        signal: None,
        duration_ns: 1_000_000_000,
        clean: true,
        leftovers: 0,
    };
    let mut bytes = Vec::new();
    encode(&Reply::Started { id, pid: 2 }, &mut bytes).unwrap();
    encode(&Reply::Exited { id, exit }, &mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn what_a_helper_has_told_before_its_death_is_heard() {
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
    // As the first one took long and others wait, what is told from now on may gather.
    end.write_all(&ran(turns[0].0)).await.unwrap();
    let first = channel.reply(&mut turns[0].1).await;
    assert!(matches!(first, Ok(Reply::Exited { .. })), "{first:?}");

    end.write_all(&ran(turns[1].0)).await.unwrap();
    drop(end);
    // That nobody takes this is noticed before that is heard.
    channel.tell(&Request::Forget { child: 0 });
    let second = channel.reply(&mut turns[1].1).await;
    assert!(matches!(second, Ok(Reply::Exited { .. })), "{second:?}");
    let third = channel.reply(&mut turns[2].1).await;
    assert!(
        matches!(third, Err(SpawnError::HelperDied { .. })),
        "{third:?}"
    );
}

/// Bytes of replies, each in its frame.
fn frames(replies: &[Reply]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for reply in replies {
        encode(reply, &mut bytes).unwrap();
    }
    bytes
}

/// What a process is told to have ended with, where this came from the helper's end.
async fn told(replies: &[Reply]) -> Result<crate::Exit, SpawnError> {
    let (opened, mut end) = channel(greeting()).await;
    let environment = Environment::new(opened.ok().unwrap(), String::new(), None);
    let waiting = tokio::spawn({
        let environment = environment.clone();
        async move { environment.run(sh("")).await }
    });
    tokio::task::yield_now().await;
    end.write_all(&frames(replies)).await.unwrap();
    let told = waiting.await.unwrap();
    if told.is_err() {
        environment.closed().await;
        assert!(!environment.is_alive());
    }
    told
}

fn ended(id: Id, duration_ns: u64) -> Reply {
    let exit = Exit {
        code: Some(0),
        signal: None,
        duration_ns,
        clean: true,
        leftovers: 0,
    };
    Reply::Exited { id, exit }
}

#[tokio::test]
async fn reply_that_was_not_asked_for_ends_the_environment_and_is_no_result() {
    assert!(told(&[ended(1, 1000)]).await.is_ok());
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
        },
    ];
    for reply in forged {
        let error = told(std::slice::from_ref(&reply)).await.unwrap_err();
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
