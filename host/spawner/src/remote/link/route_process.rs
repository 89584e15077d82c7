//! Owns a process of the program that leads to another host: its streams, its last words and its
//! end.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::Duration;

use rustix::process::Pid;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::greeting::Ungreeted;
use crate::channel::pipe::Pipe;
use crate::launch::children;
use crate::launch::last_words::LastWords;
use crate::launch::marker::MarkedLines;

/// How long the program of a connection may take to end once the connection is closed: 5 s.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A process of the route's program, of which the host has the streams: one that makes a
/// connection, or one that uses it.
pub(super) struct RouteProcess {
    child: Child,
    /// Ends with the standard error of the process.
    end: JoinHandle<()>,
    words: LastWords,
}

impl RouteProcess {
    pub(super) fn new(mut child: Child, name: String) -> Self {
        let words = LastWords::quiet();
        let stderr = child.stderr.take().map(OwnedFd::from);
        let end = tokio::spawn(words.clone().keep(stderr, name.into()));
        Self { child, end, words }
    }

    /// The standard input and output of the process: lines that begin behind the marker.
    pub(super) fn streams(
        &mut self,
        marker: &str,
    ) -> Result<(pipe::Sender, MarkedLines<Pipe>), Ungreeted> {
        let missing = || Ungreeted::Io(io::ErrorKind::BrokenPipe.into());
        let to = self.child.stdin.take().ok_or_else(missing)?;
        let from = self.child.stdout.take().ok_or_else(missing)?;
        let to = pipe::Sender::from_owned_fd(to.into()).map_err(Ungreeted::Io)?;
        let from = Pipe::new(from.into()).map_err(Ungreeted::Io)?;
        Ok((to, MarkedLines::new(from, marker)))
    }

    /// Waits for the end of the process, and kills it if it takes too long. Returns what it wrote
    /// to its standard error.
    pub(super) async fn end(mut self) -> String {
        if tokio::time::timeout(END_TIMEOUT, &mut self.end)
            .await
            .is_err()
        {
            return self.kill().await;
        }
        self.reap().await
    }

    pub(super) async fn kill(mut self) -> String {
        // Cannot fail: the child has not been waited for.
        let _ = self.child.kill();
        let _ = tokio::time::timeout(END_TIMEOUT, &mut self.end).await;
        self.reap().await
    }

    async fn reap(mut self) -> String {
        let pid = Pid::from_child(&self.child);
        let _ = tokio::task::spawn_blocking(move || {
            let _ = self.child.wait();
            children::forget(pid);
            // What the program has started itself, such as a ProxyCommand of `ssh`.
            children::kill_orphans();
        })
        .await;
        self.words.text()
    }
}
