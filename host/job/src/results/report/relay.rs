//! Owns the relay of a report to a stream, on a thread of its own: neither the result format nor
//! the job waits for a slow reader. Unread data is kept in an unnamed file.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use persea_display::wait_for;
use persea_system::threads;

/// The number of bytes that are copied at a time.
const CHUNK: u64 = 64 << 10;

/// What the writer and the thread share.
#[derive(Default)]
struct RelayShared {
    state: Mutex<RelayState>,
    changed: Condvar,
}

#[derive(Default)]
struct RelayState {
    /// The number of bytes that may be relayed.
    ready: u64,
    /// The number of bytes that were relayed.
    relayed: u64,
    /// Nothing more is written.
    is_complete: bool,
    /// How the relay ended, once it has.
    ended: Option<io::Result<()>>,
}

impl RelayShared {
    fn lock(&self) -> MutexGuard<'_, RelayState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A report on its way to a stream.
pub(super) struct Relay {
    file: File,
    shared: Arc<RelayShared>,
}

/// The target of a format that only appends: its data is relayed at once.
pub(super) struct LiveStream {
    file: File,
    shared: Arc<RelayShared>,
}

impl Relay {
    /// Starts the thread.
    pub(super) fn start(stream: Box<dyn Write + Send>) -> io::Result<Self> {
        let file = tempfile::tempfile()?;
        // A second open file with its own position, to read from the start while the first one
        // writes.
        let source = File::open(format!("/proc/self/fd/{}", fd_of(&file)))?;
        let shared = Arc::<RelayShared>::default();
        let thread = threads::builder("persea-report");
        let for_thread = Arc::clone(&shared);
        thread.spawn(move || {
            let ended = relay(source, stream, &for_thread);
            for_thread.lock().ended = Some(ended);
        })?;
        Ok(Self { file, shared })
    }

    /// The file itself, for a format that overwrites what it wrote: it is relayed when it is
    /// complete.
    pub(super) fn whole(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// A stream for a format that only appends.
    pub(super) fn live(&self) -> io::Result<LiveStream> {
        Ok(LiveStream {
            file: self.file.try_clone()?,
            shared: Arc::clone(&self.shared),
        })
    }

    /// Relays the rest, and waits until it has been read, as long as the reader makes progress.
    ///
    /// # Errors
    /// The stream cannot be written, or its reader stopped before the end.
    pub(super) fn end(self) -> io::Result<()> {
        let size = self.file.metadata()?.len();
        let mut state = self.shared.lock();
        state.ready = size;
        state.is_complete = true;
        drop(state);
        self.shared.changed.notify_one();
        let has_ended = || self.shared.lock().ended.is_some();
        wait_for(has_ended, || self.shared.lock().relayed);
        match self.shared.lock().ended.take() {
            // A reader that closes its pipe wants no more.
            Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Some(ended) => ended,
            None => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "its reader stopped before the end",
            )),
        }
    }
}

fn fd_of(file: &File) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(file)
}

fn relay(
    mut source: File,
    mut stream: Box<dyn Write + Send>,
    shared: &RelayShared,
) -> io::Result<()> {
    let mut chunk = Vec::new();
    loop {
        let waits = |state: &mut RelayState| state.relayed == state.ready && !state.is_complete;
        let woken = shared.changed.wait_while(shared.lock(), waits);
        let state = woken.unwrap_or_else(PoisonError::into_inner);
        let more = (state.ready - state.relayed).min(CHUNK);
        drop(state);
        if more == 0 {
            return stream.flush();
        }
        chunk.clear();
        (&mut source).take(more).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        stream.write_all(&chunk)?;
        stream.flush()?;
        shared.lock().relayed += chunk.len() as u64;
    }
}

impl Write for LiveStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        let mut state = self.shared.lock();
        state.ready += length as u64;
        drop(state);
        self.shared.changed.notify_one();
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn report_is_written_without_waiting_for_its_reader() {
        let (mut reader, writer) = io::pipe().unwrap();
        let relay = Relay::start(Box::new(writer)).unwrap();
        let mut live = relay.live().unwrap();
        let report: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        live.write_all(&report).unwrap();
        let ending = std::thread::spawn(move || relay.end());
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == report);
        ending.join().unwrap().unwrap();
    }

    #[test]
    fn overwritten_report_is_relayed_when_it_is_complete() {
        let (mut reader, writer) = io::pipe().unwrap();
        let relay = Relay::start(Box::new(writer)).unwrap();
        let mut file = relay.whole().unwrap();
        file.write_all(b"total: 0\n").unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"2", 7).unwrap();
        relay.end().unwrap();
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "total: 2\n");
    }

    #[test]
    fn unwritable_stream_is_an_error_and_a_closed_one_is_not() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let relay = Relay::start(Box::new(full)).unwrap();
        relay.live().unwrap().write_all(b"a").unwrap();
        let error = relay.end().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let relay = Relay::start(Box::new(writer)).unwrap();
        relay.live().unwrap().write_all(b"a").unwrap();
        relay.end().unwrap();
    }
}
