//! Owns the hand-over of the helper's standard streams where something else than the host starts
//! the helper, as a container engine does. Does not know about messages.
//!
//! The host listens on a UNIX socket that the helper's environment shows it. The helper connects
//! once, and receives three descriptors: the two pipes of the channel, and one for standard error.
//! From then on the helper is as if the host had started it, and the socket is closed. Pipes do
//! not depend on the engine: its end or restart does not disturb a running helper.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

/// Replaces the standard streams by those that the host hands over at this socket.
pub(crate) fn receive(socket: &Path) -> io::Result<()> {
    let host = UnixStream::connect(socket)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    // Descriptors come with at least one byte.
    let mut byte = [0];
    let mut data = [IoSliceMut::new(&mut byte)];
    recvmsg(&host, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut received: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            received.extend(descriptors);
        }
    }
    let Ok([input, output, error]) = <[OwnedFd; 3]>::try_from(received) else {
        return Err(io::Error::other("the host did not send three descriptors"));
    };
    dup2_stdin(&input)?;
    dup2_stdout(&output)?;
    dup2_stderr(&error)?;
    Ok(())
}
