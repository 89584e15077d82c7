//! Owns reading from the pipes of children and writing to them, each only at the request of the
//! host. Does not know about the channel.

use std::os::fd::OwnedFd;

use persea_helper::protocol::{Bytes, Id, MAX_READ, Reply, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use rustix::process::{Signal, kill_process_group};

use super::{Child, PendingRead, PendingWrite, Server};

/// The index of the report among the streams of a child.
const REPORT: usize = 2;

/// How much is copied or received at a time, in bytes: 64 KiB.
const PIECE: usize = 1 << 16;

/// The part of a buffer for one piece.
fn piece(buffer: &mut [u8]) -> &mut [u8] {
    let length = buffer.len().min(PIECE);
    buffer.get_mut(..length).unwrap_or_default()
}

impl Child {
    /// Whether the host reads the report from a socket.
    fn has_report_stream(&self) -> bool {
        let socket = self.report_socket.as_ref();
        socket.is_some_and(|socket| socket.is_read_by_host())
    }
}

impl Server {
    pub(super) fn read(&mut self, id: Id, child: Id, stream: Stream, max: u32) {
        let n = match stream {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
            Stream::Report => REPORT,
        };
        let found = self.children.get_mut(&child);
        let fd = found
            .as_ref()
            .and_then(|c| c.streams.get(n))
            .is_some_and(Option::is_some)
            || stream == Stream::Report && found.as_ref().is_some_and(|c| c.has_report_stream());
        let place = found.and_then(|c| c.reading.get_mut(n));
        match place {
            Some(place @ None) if fd => {
                let max = max.clamp(1, MAX_READ);
                *place = Some(PendingRead { id, max });
                self.continue_read(child, n);
            }
            Some(Some(_)) => self.reply_done(
                id,
                Err((Errno::BUSY, "another request is already reading the stream")),
            ),
            _ => self.reply_done(id, Err((Errno::BADF, "the stream is not an open pipe"))),
        }
    }

    pub(super) fn continue_read(&mut self, child: Id, n: usize) {
        let Some(found) = self.children.get_mut(&child) else {
            return;
        };
        let Some(place) = found.reading.get_mut(n) else {
            return;
        };
        let Some(PendingRead { id, max }) = *place else {
            return;
        };
        let max = max as usize;
        if n == REPORT
            && let Some(socket) = &mut found.report_socket
        {
            if !found.is_running {
                socket.receive_rest(piece(&mut self.buffer));
            }
            let bytes = socket.take(max);
            if found.is_running && bytes.is_empty() {
                return;
            }
            *place = None;
            let bytes = Bytes(bytes);
            return self.reply(&Reply::Data { id, bytes });
        }
        let Some(Some(fd)) = found.streams.get(n) else {
            return;
        };
        if self.buffer.len() < max {
            self.buffer.resize(max, 0);
        }
        let result = match read(fd, self.buffer.get_mut(..max).unwrap_or_default()) {
            // The pipe of an ended child counts as ended, even if another process still has it
            // open.
            Err(Errno::AGAIN) if !found.is_running => Ok(0),
            // No process has the terminal open any more.
            Err(Errno::IO) if found.terminal.is_some() => Ok(0),
            Err(Errno::AGAIN | Errno::INTR) => return,
            result => result,
        };
        *place = None;
        match result {
            Ok(count) => {
                let bytes = Bytes(self.buffer.get(..count).unwrap_or_default().to_vec());
                self.reply(&Reply::Data { id, bytes });
            }
            Err(e) => self.reply_done(id, Err((e, "the pipe can't be read"))),
        }
    }

    pub(super) fn write(&mut self, id: Id, child: Id, bytes: Vec<u8>) {
        let Some(found) = self.children.get_mut(&child) else {
            return self.reply_done(id, Err((Errno::PIPE, "the process has ended")));
        };
        if found.stdin.is_none() {
            return self.reply_done(
                id,
                Err((Errno::PIPE, "its standard input is not an open pipe")),
            );
        }
        if matches!(found.writing, Some(PendingWrite { id: None, .. })) {
            return self.reply_done(id, Err((Errno::PIPE, "its standard input was closed")));
        }
        if found.writing.is_some() {
            return self.reply_done(
                id,
                Err((
                    Errno::BUSY,
                    "another request is already writing its standard input",
                )),
            );
        }
        found.writing = Some(PendingWrite {
            id: Some(id),
            bytes,
            written: 0,
        });
        self.continue_write(child);
    }

    pub(super) fn continue_write(&mut self, child: Id) {
        let Some(found) = self.children.get_mut(&child) else {
            return;
        };
        let (Some(fd), Some(pending)) = (&found.stdin, &mut found.writing) else {
            return;
        };
        let id = pending.id;
        // A write of nothing asks whether the pipe has room.
        if pending.bytes.is_empty() && !is_writable(fd) {
            return;
        }
        let result = loop {
            let rest = pending.bytes.get(pending.written..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(());
            }
            match write(fd, rest) {
                Ok(n) => pending.written += n,
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(e) => break Err((e, "no process reads its standard input any more")),
            }
        };
        if let Some(terminal) = &mut found.terminal
            && let Some(last) = pending.bytes.last()
        {
            terminal.is_at_line_start = *last == b'\n';
        }
        found.writing = None;
        match id {
            Some(id) => self.reply_done(id, result),
            None => found.stdin = None,
        }
    }

    pub(super) fn close_stdin(&mut self, id: Id, child: Id) {
        if let Some(found) = self.children.get_mut(&child) {
            let writing = found.writing.take();
            match (&found.terminal, &found.stdin) {
                // A terminal is not closed: the end of its input is typed.
                (Some(terminal), Some(_)) => {
                    found.writing = Some(PendingWrite {
                        id: None,
                        bytes: terminal.end(),
                        written: 0,
                    });
                    self.continue_write(child);
                }
                _ => found.stdin = None,
            }
            if let Some(write) = writing.and_then(|write| write.id) {
                self.reply_done(write, Err((Errno::PIPE, "its standard input was closed")));
            }
        }
        self.reply_done(id, Ok(()));
    }

    /// Copies output of a terminal to its file.
    pub(super) fn copy_terminal(&mut self, child: Id) {
        let found = self.children.get_mut(&child);
        if let Some(terminal) = found.and_then(|child| child.terminal.as_mut()) {
            terminal.copy(piece(&mut self.buffer));
        }
    }

    /// Receives from the report socket of a child, for a read that waits or the next one.
    pub(super) fn receive_report(&mut self, child: Id) {
        let found = self.children.get_mut(&child);
        if let Some(socket) = found.and_then(|child| child.report_socket.as_mut()) {
            socket.receive(piece(&mut self.buffer));
            self.continue_read(child, REPORT);
        }
    }

    /// Completes the files of a child that has ended, and removes the child if the host can read
    /// nothing of it any more.
    pub(super) fn finish_streams(&mut self, id: Id) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let mut unwritten = None;
        if let Some(terminal) = &mut child.terminal {
            terminal.copy_rest(piece(&mut self.buffer));
            child.stdin = None;
            unwritten = child.writing.take().and_then(|write| write.id);
        }
        if let Some(socket) = &mut child.report_socket {
            socket.unlink();
            if !socket.is_read_by_host() {
                socket.copy_rest(piece(&mut self.buffer));
                child.report_socket = None;
            }
        }
        if child.stdin.is_none()
            && child.streams.iter().all(Option::is_none)
            && child.report_socket.is_none()
        {
            self.children.remove(&id);
        }
        if let Some(id) = unwritten {
            self.reply_done(id, Err((Errno::PIPE, "the process has ended")));
        }
    }

    /// Closes a child's pipes, and ends the child with its process group if it has not ended.
    pub(super) fn forget(&mut self, id: Id) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let writing = child.writing.take().and_then(|write| write.id);
        let waiting: Vec<Id> = child
            .reading
            .iter_mut()
            .filter_map(Option::take)
            .map(|read| read.id)
            .chain(writing)
            .collect();
        child.stdin = None;
        child.streams = [None, None, None];
        child.terminal = None;
        child.report_socket = None;
        if child.is_running {
            let _ = kill_process_group(child.pid, Signal::KILL);
        } else {
            self.children.remove(&id);
        }
        for id in waiting {
            self.reply_done(id, Err((Errno::CANCELED, "the child was ended")));
        }
    }
}

/// Whether a write to a pipe does not have to wait: the pipe has room, or nobody reads it.
fn is_writable(pipe: &OwnedFd) -> bool {
    let mut pipe = [PollFd::new(pipe, PollFlags::OUT)];
    !matches!(poll(&mut pipe, Some(&Timespec::default())), Ok(0))
}
