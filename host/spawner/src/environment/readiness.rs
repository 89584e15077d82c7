//! Owns waiting for a process without taking anything from it: until one of its pipes can be read
//! or written, or until it has ended. Each future may be dropped and asked for again.

use persea_helper::protocol::{Bytes, Reply, Request, Stream};

use super::{Child, Transfer};

/// The most bytes that are read ahead of each pipe: 16 KiB. They stay in the host until the plugin
/// reads them, and a plugin may have a thousand pipes.
const READ_AHEAD: u32 = 16 << 10;

impl Child {
    /// Whether a stream of the process is a pipe that [`Child::read`] reads.
    pub fn is_piped(&self, stream: Stream) -> bool {
        self.transfer(stream).is_some()
    }

    /// Waits until [`Child::read`] returns at once: with bytes, at the end of the pipe or with an
    /// error. Returns at once for a stream that is not a pipe.
    pub async fn readable(&self, stream: Stream) {
        let Some(transfer) = self.transfer(stream) else {
            return;
        };
        let mut transfer = transfer.lock().await;
        let Transfer { reply, read } = &mut *transfer;
        if !read.is_empty() {
            return;
        }
        let channel = &self.environment.inner.channel;
        let receiver = match reply {
            Some(receiver) => receiver,
            None => {
                let (child, max) = (self.id, READ_AHEAD);
                let asked = channel.request(|id| Request::Read {
                    id,
                    child,
                    stream,
                    max,
                });
                match asked {
                    Ok(receiver) => reply.insert(receiver),
                    Err(_) => return,
                }
            }
        };
        let answer = channel.reply(receiver).await;
        *reply = None;
        // The end of the pipe and an error come again when the pipe is read.
        if let Ok(Reply::Data { bytes, .. }) = answer {
            *read = bytes.0;
        }
    }

    /// Waits until [`Child::write`] can write something, or fails at once.
    pub async fn writable(&self) {
        let mut transfer = self.writing.lock().await;
        let Transfer { reply, .. } = &mut *transfer;
        let channel = &self.environment.inner.channel;
        let receiver = match reply {
            Some(receiver) => receiver,
            None => {
                // A write of nothing ends when the pipe has room.
                let (child, bytes) = (self.id, Bytes(Vec::new()));
                match channel.request(|id| Request::Write { id, child, bytes }) {
                    Ok(receiver) => reply.insert(receiver),
                    Err(_) => return,
                }
            }
        };
        let _ = channel.reply(receiver).await;
        *reply = None;
    }

    /// Waits until [`Child::wait`] returns at once.
    pub async fn ended(&self) {
        let _ = self.wait().await;
    }
}
