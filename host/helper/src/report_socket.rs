//! Owns the report socket of a process: listens, and joins the lines of all connections to one
//! stream. Does not know about the channel.
//!
//! Bytes of a connection wait until their line is complete, so that lines of several connections
//! are not mixed. Memory is bounded: a full stream is not added to until the host has read it, and
//! connections then wait.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use persea_helper::protocol::Id;
use rustix::fs::{CWD, Mode, chmod, mkdirat, rmdir, unlink};
use rustix::io::{Errno, read};
use rustix::net::listen;

use crate::copy::FileCopy;

/// How many connections are open at a time. Further ones wait until one of them is closed.
const MAX_CONNECTIONS: usize = 64;

/// How many connections wait.
const BACKLOG: i32 = 64;

/// The longest line that is kept together, in bytes: 64 KiB.
const MAX_LINE: usize = 64 << 10;

/// The size of the stream from which on nothing is read from the connections, in bytes: 256 KiB.
const FULL: usize = 256 << 10;

/// The longest path of a UNIX socket: `sun_path` without its zero byte, in bytes.
const MAX_PATH: usize = 107;

/// How many rounds of reading follow the end of a process. A round reads up to 64 KiB of each
/// connection, and the kernel buffers about 200 KiB. More come only from processes that were left
/// behind, which must not hold up the helper.
const LAST_ROUNDS: usize = 32;

/// Where the stream goes.
pub(crate) enum Destination {
    /// The host reads it.
    Host,
    /// The helper appends it to a file.
    File(FileCopy),
}

struct Connection {
    number: u64,
    fd: OwnedFd,
    /// The beginning of a line.
    line: Vec<u8>,
}

/// What was received and not read yet.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// The connection whose unfinished line is the end of the stream.
    unfinished: Option<u64>,
}

impl Lines {
    fn push(&mut self, connection: u64, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        if self.unfinished.is_some_and(|other| other != connection) {
            self.bytes.push(b'\n');
        }
        self.bytes.extend_from_slice(bytes);
        self.unfinished = (*last != b'\n').then_some(connection);
    }
}

impl Connection {
    /// Adds received bytes, and moves complete lines to the stream.
    fn push(&mut self, received: &[u8], lines: &mut Lines) {
        let complete = received.iter().rposition(|byte| *byte == b'\n');
        let (complete, rest) = received.split_at(complete.map_or(0, |at| at + 1));
        if !complete.is_empty() {
            self.finish(lines);
            lines.push(self.number, complete);
        }
        self.line.extend_from_slice(rest);
        if self.line.len() > MAX_LINE {
            self.finish(lines);
        }
    }

    /// Moves the unfinished line to the stream.
    fn finish(&mut self, lines: &mut Lines) {
        lines.push(self.number, &self.line);
        self.line.clear();
    }
}

pub(crate) struct ReportSocket {
    listener: UnixListener,
    path: String,
    /// The directory that was made for the socket alone.
    directory: Option<PathBuf>,
    is_unlinked: bool,
    connections: Vec<Connection>,
    last_number: u64,
    /// The system lacks descriptors, so nothing is accepted until a connection is closed.
    is_exhausted: bool,
    lines: Lines,
    destination: Destination,
}

impl ReportSocket {
    /// Listens on a new socket in `work_dir`, or in a new directory if that path is too long.
    /// `first` is a connection that exists already.
    pub(crate) fn listen(
        id: Id,
        work_dir: Option<&Path>,
        destination: Destination,
        first: Option<OwnedFd>,
    ) -> io::Result<ReportSocket> {
        let name = format!(".report-{id}");
        let short = work_dir.and_then(|directory| {
            let path = directory.join(&name).to_str()?.to_owned();
            (path.len() <= MAX_PATH).then_some(path)
        });
        let (path, directory) = match short {
            Some(path) => (path, None),
            None => {
                let random = RandomState::new().build_hasher().finish();
                let directory = format!("/tmp/persea-report-{random:016x}");
                mkdirat(CWD, &directory, Mode::RWXU)?;
                (format!("{directory}/socket"), Some(directory.into()))
            }
        };
        let listener = match UnixListener::bind(&path) {
            Ok(listener) => listener,
            Err(e) => {
                directory.iter().for_each(|made: &PathBuf| {
                    let _ = rmdir(made);
                });
                return Err(e);
            }
        };
        let mut socket = ReportSocket {
            listener,
            path,
            directory,
            is_unlinked: false,
            connections: Vec::new(),
            last_number: 0,
            is_exhausted: false,
            lines: Lines::default(),
            destination,
        };
        // The umask applies to the mode at creation.
        chmod(socket.path.as_str(), Mode::RWXU)?;
        socket.listener.set_nonblocking(true)?;
        // The standard library asks for the longest queue.
        listen(&socket.listener, BACKLOG)?;
        socket.connections.extend(first.map(|fd| Connection {
            number: 0,
            fd,
            line: Vec::new(),
        }));
        Ok(socket)
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Whether the host reads the stream.
    pub(crate) fn is_read_by_host(&self) -> bool {
        matches!(self.destination, Destination::Host)
    }

    /// Returns the descriptors to wait for.
    pub(crate) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let accepts = self.connections.len() < MAX_CONNECTIONS && !self.is_exhausted;
        let listener = accepts.then(|| self.listener.as_fd());
        let reads = self.lines.bytes.len() < FULL;
        let connections = self.connections.iter().filter(move |_| reads);
        listener
            .into_iter()
            .chain(connections.map(|it| it.fd.as_fd()))
    }

    /// Accepts connections. Returns whether there was one.
    fn accept(&mut self) -> bool {
        let before = self.connections.len();
        while self.connections.len() < MAX_CONNECTIONS {
            let accepted = self.listener.accept();
            match accepted.and_then(|(stream, _)| stream.set_nonblocking(true).map(|()| stream)) {
                Ok(stream) => {
                    self.last_number += 1;
                    self.connections.push(Connection {
                        number: self.last_number,
                        fd: stream.into(),
                        line: Vec::new(),
                    });
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.is_exhausted = e.kind() != io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        self.connections.len() > before
    }

    /// Accepts connections, and reads once from each, unless the stream is full. Returns whether
    /// anything was read.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> bool {
        self.accept();
        let (mut at, mut has_read) = (0, false);
        while self.lines.bytes.len() < FULL
            && let Some(connection) = self.connections.get_mut(at)
        {
            match read(&connection.fd, &mut *buffer) {
                Ok(count) if count > 0 => {
                    let received = buffer.get(..count).unwrap_or_default();
                    connection.push(received, &mut self.lines);
                    (at, has_read) = (at + 1, true);
                }
                Err(Errno::AGAIN | Errno::INTR) => at += 1,
                Ok(_) | Err(_) => {
                    connection.finish(&mut self.lines);
                    self.connections.remove(at);
                    self.is_exhausted = false;
                }
            }
        }
        // The next round begins with the connections that were not read in this one.
        let count = self.connections.len();
        self.connections.rotate_left(at.min(count));
        if let Destination::File(file) = &mut self.destination {
            file.write(&self.lines.bytes);
            self.lines.bytes.clear();
        }
        has_read
    }

    /// Returns up to `max` bytes of the stream.
    pub(crate) fn take(&mut self, max: usize) -> Vec<u8> {
        let count = self.lines.bytes.len().min(max);
        self.lines.bytes.drain(..count).collect()
    }

    /// Receives what is left after the end of the process. If nothing is, the stream stays empty.
    pub(crate) fn receive_rest(&mut self, buffer: &mut [u8]) {
        for _ in 0..LAST_ROUNDS {
            if !self.lines.bytes.is_empty() || !(self.receive(buffer) || self.replace_idle()) {
                return;
            }
        }
        self.replace_idle();
    }

    /// Appends what is left after the end of the process to the file.
    pub(crate) fn copy_rest(&mut self, buffer: &mut [u8]) {
        for _ in 0..LAST_ROUNDS {
            if !self.receive(buffer) && !self.replace_idle() {
                break;
            }
        }
        for connection in &mut self.connections {
            connection.finish(&mut self.lines);
        }
        self.connections.clear();
        self.receive(buffer);
    }

    /// Closes all connections, which are idle, and accepts those that wait in the backlog. Returns
    /// whether the stream has grown or any connection waited.
    fn replace_idle(&mut self) -> bool {
        for connection in &mut self.connections {
            connection.finish(&mut self.lines);
        }
        self.connections.clear();
        self.accept() || !self.lines.bytes.is_empty()
    }

    /// Removes the path, so that nobody connects any more.
    pub(crate) fn unlink(&mut self) {
        if std::mem::replace(&mut self.is_unlinked, true) {
            return;
        }
        // The process may have removed them.
        let _ = unlink(self.path.as_str());
        if let Some(directory) = &self.directory {
            let _ = rmdir(directory);
        }
    }
}

impl Drop for ReportSocket {
    fn drop(&mut self) {
        self.unlink();
    }
}
