//! Owns the hand-over of the channel to a helper that the engine starts: at a UNIX socket, which
//! the container sees. Does not know what comes through the channel.

use std::fs::File;
use std::io::{self, IoSlice, PipeReader, PipeWriter, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::Pid;
use tokio::net::UnixListener;

/// How long a started container's helper may take to connect: 60 s. It connects at once, unless
/// the machine is overloaded.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// The host's side of a channel that the helper does not have yet.
pub(super) struct Handover {
    listener: UnixListener,
    socket: PathBuf,
    /// The helper's ends: requests, replies, standard error.
    requests: PipeReader,
    replies: PipeWriter,
    error: PipeWriter,
}

/// The host's ends of the pipes.
pub(super) struct OwnEnds {
    pub(super) requests: PipeWriter,
    pub(super) replies: PipeReader,
    pub(super) error: PipeReader,
}

impl Handover {
    /// Makes the pipes, and listens at this path, which must have at most 107 bytes.
    pub(super) fn prepare(socket: PathBuf) -> io::Result<(Handover, OwnEnds)> {
        let (requests, own_requests) = io::pipe()?;
        let (own_replies, replies) = io::pipe()?;
        let (own_error, error) = io::pipe()?;
        let listener = UnixListener::bind(&socket)?;
        // The user of the helper may be another one. Outside of the container only the host's user
        // reaches the directory.
        std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o777))?;
        let handover = Handover {
            listener,
            socket,
            requests,
            replies,
            error,
        };
        let ends = OwnEnds {
            requests: own_requests,
            replies: own_replies,
            error: own_error,
        };
        Ok((handover, ends))
    }

    /// Waits for the helper, and sends it its ends. Nobody can connect afterwards: the helper is
    /// the first process of its container, and the socket is removed. Returns the helper's process
    /// number on this machine; none if this host does not see its processes.
    pub(super) async fn complete(self) -> io::Result<Option<Pid>> {
        let accepted = tokio::time::timeout(CONNECT_TIMEOUT, self.listener.accept());
        let accepted = accepted.await.map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "it did not connect within {} s; a runtime whose containers have a kernel of \
                     their own cannot share pipes with the host",
                    CONNECT_TIMEOUT.as_secs()
                ),
            )
        })?;
        let (stream, _) = accepted?;
        // Of another namespace, the number would be 0.
        let number = stream.peer_cred()?.pid();
        std::fs::remove_file(&self.socket)?;
        let descriptors = [
            self.requests.as_fd(),
            self.replies.as_fd(),
            self.error.as_fd(),
        ];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        // Cannot fail: there is room for three.
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        // One byte into an empty buffer does not block.
        sendmsg(
            &stream,
            &[IoSlice::new(&[0])],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        Ok(number.and_then(Pid::from_raw))
    }
}

/// Writes the helper's program into a directory, executable for everybody who reaches it.
pub(super) fn write_helper(directory: &Path, program: &[u8]) -> io::Result<PathBuf> {
    let path = directory.join("helper");
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(&path)?;
    file.write_all(program)?;
    file.set_permissions(PermissionsExt::from_mode(0o755))?;
    Ok(path)
}
