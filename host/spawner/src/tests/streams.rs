//! Tests the streams of processes: pipes, files, bytes, the report socket and terminals.

use std::time::Duration;

use super::{Fixture, pipes, read_all, sh};
use crate::*;

#[tokio::test]
async fn pipes_of_a_child_are_read_and_written() {
    let fixture = Fixture::new();
    let environment = fixture.open().await;
    let child = environment
        .start(Command {
            report: Output::Pipe,
            ..pipes(sh("cat; echo done >&3; exit 4"))
        })
        .await
        .unwrap();
    // Dropping the future of a read loses no data.
    let impatient = child.read(Stream::Stdout, 100);
    tokio::select! {
        biased;
        read = impatient => panic!("{read:?} was read of nothing"),
        // The read was requested first, so the helper has its request when this process has ended.
        exit = environment.run(sh("exit 0")) => assert!(exit.unwrap().is_success()),
    }
    child.write(b"hello".to_vec()).await.unwrap();
    assert_eq!(child.read(Stream::Stdout, 2).await.unwrap(), b"he");
    assert_eq!(child.read(Stream::Stdout, 100).await.unwrap(), b"llo");
    // More than fits into a pipe or into one request.
    let large = vec![b'x'; 5 << 20];
    let (written, read) = tokio::join!(
        async {
            child.write(large.clone()).await.unwrap();
            child.close_stdin().await.unwrap();
        },
        read_all(&child, Stream::Stdout)
    );
    assert_eq!(((), large.len()), (written, read.len()));
    assert_eq!(read_all(&child, Stream::Report).await, b"done\n");
    assert_eq!(child.wait().await.unwrap().ending, Ending::Code(4));
    assert_eq!(child.wait().await.unwrap().ending, Ending::Code(4));
    assert_eq!(
        child.write(b"x".to_vec()).await.unwrap_err().code(),
        "closed"
    );
    assert_eq!(child.signal(15).await.unwrap_err().code(), "closed");
    assert_eq!(
        child.read(Stream::Stderr, 1).await.unwrap_err().code(),
        "invalid"
    );
    environment.close().await;
}

#[tokio::test]
async fn readiness_takes_nothing_and_comes_again() {
    let fixture = Fixture::new();
    let environment = fixture.open().await;
    let child = environment
        .start(pipes(sh("read line; echo $line; exec cat >/dev/null")))
        .await
        .unwrap();
    assert!(child.is_piped(Stream::Stdout) && !child.is_piped(Stream::Report));
    let silent = Duration::from_millis(50);
    let wait = tokio::time::timeout(silent, child.readable(Stream::Stdout));
    assert!(wait.await.is_err(), "nothing was written yet");
    child.writable().await;
    child.write(b"word\n".to_vec()).await.unwrap();
    for _ in 0..2 {
        child.readable(Stream::Stdout).await;
    }
    assert_eq!(child.read(Stream::Stdout, 100).await.unwrap(), b"word\n");
    child.close_stdin().await.unwrap();
    child.ended().await;
    // The end of the pipe is readable too, and a closed input can be written: that fails at once.
    child.readable(Stream::Stdout).await;
    assert!(child.read(Stream::Stdout, 1).await.unwrap().is_empty());
    child.writable().await;
    environment.close().await;
}

#[tokio::test]
async fn full_pipe_is_not_writable_until_it_is_read() {
    let fixture = Fixture::new();
    let environment = fixture.open().await;
    let gate = fixture.path("gate");
    let script = format!(
        "until test -e {}; do sleep 0.01; done; exec cat",
        gate.display()
    );
    let child = environment.start(pipes(sh(&script))).await.unwrap();
    // The pipe has room for 64 KiB.
    child.write(vec![b'x'; 64 << 10]).await.unwrap();
    let silent = Duration::from_millis(50);
    assert!(
        tokio::time::timeout(silent, child.writable())
            .await
            .is_err()
    );
    std::fs::write(gate, "").unwrap();
    child.writable().await;
    environment.close().await;
}

/// Checks what a process can have as its streams, in any environment.
pub(crate) async fn check_streams(environment: &Environment) {
    let large = Command {
        stdin: Input::Bytes(vec![b'x'; MAX_INPUT]),
        ..sh("test $(wc -c) = 16777216")
    };
    assert!(environment.run(large.clone()).await.unwrap().is_success());
    let error = environment
        .run(Command {
            stdin: Input::Bytes(vec![b'x'; MAX_INPUT + 1]),
            ..large
        })
        .await
        .unwrap_err();
    assert_eq!(error.code(), "invalid", "{error}");
    let error = environment
        .run(Command {
            stdin: Input::File("/no/such".into()),
            ..sh("")
        })
        .await
        .unwrap_err();
    assert_eq!(error.code(), "not-found", "{error}");
    assert!(error.to_string().contains("/no/such"), "{error}");

    let script = "import os, socket; s = socket.socket(socket.AF_UNIX); \
                  s.connect(os.environ['PERSEA_REPORT_SOCKET']); s.send(b'by socket')";
    let child = environment
        .start(Command {
            stdout: Output::Pipe,
            stderr: Output::WithStdout,
            report: Output::Pipe,
            report_socket: true,
            ..Command::new("python3", ["-c", script])
        })
        .await
        .unwrap();
    assert_eq!(read_all(&child, Stream::Report).await, b"by socket");
    assert_eq!(read_all(&child, Stream::Stdout).await, b"");
    assert!(child.wait().await.unwrap().is_success());

    let child = environment
        .start(Command {
            stdout: Output::Pipe,
            stderr: Output::WithStdout,
            terminal: Some(TerminalSize {
                rows: 30,
                columns: 90,
            }),
            ..sh("stty size </dev/tty; echo err >&2")
        })
        .await
        .unwrap();
    assert_eq!(read_all(&child, Stream::Stdout).await, b"30 90\r\nerr\r\n");
    assert!(child.wait().await.unwrap().is_success());
}

#[tokio::test]
async fn process_has_the_streams_of_its_command() {
    let fixture = Fixture::new();
    let environment = fixture.open().await;
    check_streams(&environment).await;
    environment.close().await;
    fixture.assert_empty();
}
