//! The end of a pipe that is watched only while somebody waits for it. It must not know what comes through it.
//!
//! Tokio's own is watched from its making to its end: the host would be woken for each message of a helper, also while it means to let them
//! gather.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, ioctl_fionbio, read};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe::Receiver;

pub(super) enum Pipe {
    /// Nobody waits.
    Free(OwnedFd),
    Watched(Receiver),
    /// It could not be watched, which was said.
    Lost,
}

impl Pipe {
    pub(super) fn new(end: OwnedFd) -> io::Result<Self> {
        ioctl_fionbio(&end, true)?;
        Ok(Self::Free(end))
    }

    fn watch(&mut self) -> io::Result<()> {
        if let Self::Free(end) = std::mem::replace(self, Self::Lost) {
            *self = Self::Watched(Receiver::from_owned_fd_unchecked(end)?);
        }
        Ok(())
    }

    fn let_be(&mut self) -> io::Result<()> {
        if let Self::Watched(receiver) = std::mem::replace(self, Self::Lost) {
            *self = Self::Free(receiver.into_nonblocking_fd()?);
        }
        Ok(())
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match &mut *self {
                Self::Free(end) => match read(end, buffer.initialize_unfilled()) {
                    Ok(length) => {
                        buffer.advance(length);
                        return Poll::Ready(Ok(()));
                    }
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => self.watch()?,
                    Err(error) => return Poll::Ready(Err(error.into())),
                },
                Self::Watched(receiver) => {
                    ready!(Pin::new(receiver).poll_read(cx, buffer))?;
                    return Poll::Ready(self.let_be());
                }
                Self::Lost => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::io::Write as _;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn what_comes_before_during_and_after_the_wait_is_read() {
        let (ours, mut theirs) = io::pipe().unwrap();
        let mut pipe = Pipe::new(ours.into()).unwrap();
        let mut buffer = [0; 8];
        theirs.write_all(b"before").unwrap();
        assert_eq!(pipe.read(&mut buffer).await.unwrap(), 6);
        for word in ["one", "more"] {
            let mut theirs = theirs.try_clone().unwrap();
            let write = async {
                tokio::task::yield_now().await;
                theirs.write_all(word.as_bytes()).unwrap();
            };
            let (length, ()) = tokio::join!(pipe.read(&mut buffer), write);
            assert_eq!(&buffer[..length.unwrap()], word.as_bytes());
            assert!(matches!(pipe, Pipe::Free(_)), "nobody waits any more");
        }
        let (length, ()) = tokio::join!(pipe.read(&mut buffer), async { drop(theirs) });
        assert_eq!(length.unwrap(), 0);
    }
}
