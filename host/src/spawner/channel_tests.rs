//! The channel with what the tests write into its other end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use persea_helper::protocol::{
    Exit, Hello, Id, Line, Reply, Request, Start, Welcome, encode, encode_greeting,
};
use tokio::io::AsyncWriteExt as _;

use super::Channel;
use crate::spawner::tests::sh;
use crate::spawner::{Environment, SpawnError};

/// A channel to whatever the test writes into the other end.
async fn channel(
    says: &'static [u8],
) -> (Result<Arc<Channel>, SpawnError>, tokio::io::DuplexStream) {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(ours);
    theirs.write_all(says).await.unwrap();
    let aftermath = Box::pin(async { "it is gone".to_owned() });
    let hello = Hello::default();
    let opened = Channel::open("test/0".into(), reader, writer, hello, aftermath);
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

/// That a process which had its turn has started and ended.
fn ran(id: Id) -> Vec<u8> {
    let exit = Exit {
        code: Some(0),
        signal: None,
        duration_ns: 1_000_000_000,
        clean: true,
        left: 0,
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
    for line in [Line::Head, Line::Behind, Line::Behind] {
        let start = Start {
            in_turn: Some(line),
            ..Start::default()
        };
        turns.push(channel.start_in_turn(start, Box::new(|| {})).unwrap());
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
