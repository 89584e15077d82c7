//! Owns reading from the pipes of children and writing to them, each only at the request of the
//! host. Does not know about the channel.

use std::os::fd::OwnedFd;

use persea_helper::protocol::{Bytes, Id, MAX_READ, Reply, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use rustix::process::{Signal, kill_process_group};

use super::{PendingRead, PendingWrite, Server};

impl Server {
    pub(super) fn read(&mut self, id: Id, child: Id, stream: Stream, max: u32) {
        let n = match stream {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
            Stream::Report => 2,
        };
        let found = self.children.get_mut(&child);
        let fd = found
            .as_ref()
            .and_then(|c| c.streams.get(n))
            .is_some_and(Option::is_some);
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
        let (Some(Some(fd)), Some(place)) = (found.streams.get(n), found.reading.get_mut(n)) else {
            return;
        };
        let Some(PendingRead { id, max }) = *place else {
            return;
        };
        let max = max as usize;
        if self.buffer.len() < max {
            self.buffer.resize(max, 0);
        }
        let result = match read(fd, self.buffer.get_mut(..max).unwrap_or_default()) {
            // The pipe of an ended child counts as ended, even if another process still has it
            // open.
            Err(Errno::AGAIN) if !found.is_running => Ok(0),
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
            id,
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
        found.writing = None;
        self.reply_done(id, result);
    }

    /// Closes a child's pipes, and ends the child with its process group if it has not ended.
    pub(super) fn forget(&mut self, id: Id) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let writing = child.writing.take().map(|write| write.id);
        let waiting: Vec<Id> = child
            .reading
            .iter_mut()
            .filter_map(Option::take)
            .map(|read| read.id)
            .chain(writing)
            .collect();
        child.stdin = None;
        child.streams = [None, None, None];
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
