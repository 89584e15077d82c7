//! Passes a report on to a stream, on a thread of its own: a result format never waits for who reads, and neither does the
//! job. What was not read yet is kept in a file without a name.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use persea_display::wait_for;
use persea_system::threads;

/// How much is passed on at a time, in bytes.
const PIECE: u64 = 64 << 10;

/// What the writer and the thread share.
#[derive(Default)]
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// How many bytes may be passed on.
    ready: u64,
    /// How many were passed on.
    passed: u64,
    /// Nothing more is written.
    is_whole: bool,
    /// How it ended, once it has.
    ended: Option<io::Result<()>>,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A report on its way to a stream.
pub(super) struct Relay {
    file: File,
    progress: Arc<Progress>,
}

/// Where a format writes that only adds at the end: it is passed on at once.
pub(super) struct Live {
    file: File,
    progress: Arc<Progress>,
}

impl Relay {
    /// Starts the thread.
    pub(super) fn start(stream: Box<dyn Write + Send>) -> io::Result<Self> {
        let file = tempfile::tempfile()?;
        // A descriptor that is read from its beginning, while another one writes.
        let source = File::open(format!("/proc/self/fd/{}", fd_of(&file)))?;
        let progress = Arc::<Progress>::default();
        let thread = threads::builder("persea-report");
        let shared = Arc::clone(&progress);
        thread.spawn(move || {
            let ended = pass_on(source, stream, &shared);
            shared.lock().ended = Some(ended);
        })?;
        Ok(Self { file, progress })
    }

    /// The file itself, for a format that writes over what it wrote: it is passed on when it's whole.
    pub(super) fn whole(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// A stream for a format that only adds.
    pub(super) fn live(&self) -> io::Result<Live> {
        Ok(Live {
            file: self.file.try_clone()?,
            progress: Arc::clone(&self.progress),
        })
    }

    /// Passes the rest on, and waits until it has been read, as long as somebody reads.
    ///
    /// # Errors
    /// The stream cannot be written, or nobody has read all of it.
    pub(super) fn end(self) -> io::Result<()> {
        let size = self.file.metadata()?.len();
        let mut state = self.progress.lock();
        state.ready = size;
        state.is_whole = true;
        drop(state);
        self.progress.changed.notify_one();
        let has_ended = || self.progress.lock().ended.is_some();
        wait_for(has_ended, || self.progress.lock().passed);
        match self.progress.lock().ended.take() {
            // Who closes the pipe wants no more.
            Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Some(ended) => ended,
            None => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "nobody has read all of it",
            )),
        }
    }
}

fn fd_of(file: &File) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(file)
}

fn pass_on(
    mut source: File,
    mut stream: Box<dyn Write + Send>,
    progress: &Progress,
) -> io::Result<()> {
    let mut piece = Vec::new();
    loop {
        let waits = |state: &mut State| state.passed == state.ready && !state.is_whole;
        let woken = progress.changed.wait_while(progress.lock(), waits);
        let state = woken.unwrap_or_else(PoisonError::into_inner);
        let more = (state.ready - state.passed).min(PIECE);
        drop(state);
        if more == 0 {
            return stream.flush();
        }
        piece.clear();
        (&mut source).take(more).read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        stream.write_all(&piece)?;
        stream.flush()?;
        progress.lock().passed += piece.len() as u64;
    }
}

impl Write for Live {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        let mut state = self.progress.lock();
        state.ready += length as u64;
        drop(state);
        self.progress.changed.notify_one();
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
    fn a_report_is_written_without_waiting_for_its_reader() {
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
    fn what_is_written_over_is_passed_on_when_it_is_whole() {
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
    fn a_stream_that_cannot_be_written_is_an_error_unless_it_was_closed() {
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
