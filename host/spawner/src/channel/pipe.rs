//! Owns the reading end of a pipe that is registered with the runtime only while somebody waits for
//! data. Does not know what comes through the pipe.
//!
//! Tokio's own type stays registered for its whole life: the host would be woken for each message
//! of a helper, even while it lets messages accumulate (`READ_INTERVAL` of the channel).

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, ioctl_fionbio, read};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe::Receiver;

pub(crate) enum Pipe {
    /// Nobody waits.
    Idle(OwnedFd),
    /// Registered with the runtime.
    Registered(Receiver),
    /// The pipe could not be registered, and the error was returned.
    Failed,
}

impl Pipe {
    pub(crate) fn new(end: OwnedFd) -> io::Result<Self> {
        ioctl_fionbio(&end, true)?;
        Ok(Self::Idle(end))
    }

    fn register(&mut self) -> io::Result<()> {
        if let Self::Idle(end) = std::mem::replace(self, Self::Failed) {
            *self = Self::Registered(Receiver::from_owned_fd_unchecked(end)?);
        }
        Ok(())
    }

    fn deregister(&mut self) -> io::Result<()> {
        if let Self::Registered(receiver) = std::mem::replace(self, Self::Failed) {
            *self = Self::Idle(receiver.into_nonblocking_fd()?);
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
                Self::Idle(end) => match read(end, buffer.initialize_unfilled()) {
                    Ok(length) => {
                        buffer.advance(length);
                        return Poll::Ready(Ok(()));
                    }
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => self.register()?,
                    Err(error) => return Poll::Ready(Err(error.into())),
                },
                Self::Registered(receiver) => {
                    ready!(Pin::new(receiver).poll_read(cx, buffer))?;
                    return Poll::Ready(self.deregister());
                }
                Self::Failed => return Poll::Ready(Ok(())),
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
    async fn data_is_read_whether_it_comes_before_or_during_the_wait() {
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
            assert!(matches!(pipe, Pipe::Idle(_)), "still registered");
        }
        let (length, ()) = tokio::join!(pipe.read(&mut buffer), async { drop(theirs) });
        assert_eq!(length.unwrap(), 0);
    }
}
