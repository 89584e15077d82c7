//! Owns the writing of the standard output and error while a job runs: each has a bounded queue and a thread of its own, so
//! that a reader who has stopped reading (Ctrl-S, `| less`, a slow collector) holds up nothing but what is shown.
//!
//! Does not know what is written. Outside of a job both streams are written directly, as by any program.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use persea_system::threads;

/// The most bytes that wait for a reader, in each stream: 8 MiB. Lines beyond that are dropped and counted.
pub(super) const CAPACITY: usize = 8 << 20;

/// How many bytes are written at a time. What a reader takes is noticed in these steps.
const PIECE: usize = 8 << 10;

/// How long a job that was cut short waits for a reader that takes nothing: 1 s.
const GRACE: Duration = Duration::from_secs(1);

/// The longest pause between two looks at whether a reader has taken what there is: 10 ms.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

static OUT: OnceLock<Outlet> = OnceLock::new();
static ERR: OnceLock<Outlet> = OnceLock::new();

/// What the system said when the standard output could not be written.
static OUT_ERROR: OnceLock<io::Error> = OnceLock::new();

/// Whether readers are only waited for as long as they read.
static IN_A_HURRY: AtomicBool = AtomicBool::new(false);

/// Puts queues before the standard output and the standard error, for the rest of the program.
pub(super) fn start() {
    OUT.get_or_init(|| Outlet::new("persea-stdout", anstream::stdout(), note_error));
    ERR.get_or_init(|| Outlet::new("persea-stderr", anstream::stderr(), |_| {}));
}

/// Writes text on the standard output. Waits for the reader only outside of a job.
pub fn out(text: &str) {
    match OUT.get() {
        Some(outlet) => outlet.push(text, false),
        None => {
            let mut out = anstream::stdout();
            let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            if let Err(error) = written {
                note_error(error);
            }
        }
    }
}

/// The same with text that is queued however much waits already: the end of a job.
pub(super) fn out_at_last(text: &str) {
    match OUT.get() {
        Some(outlet) => outlet.push(text, true),
        None => out(text),
    }
}

/// Writes text on the standard error. Waits for the reader only outside of a job.
pub fn err(text: &str) {
    match ERR.get() {
        Some(outlet) => outlet.push(text, false),
        // There is nowhere to report that it cannot be written.
        None => drop(anstream::stderr().write_all(text.as_bytes())),
    }
}

/// The standard error as a stream of bytes, for the host's own log.
#[derive(Debug)]
pub struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        err(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Notes that the standard output could not be written. A reader who has closed the pipe wants no more: that is no error.
pub fn note_error(error: io::Error) {
    if error.kind() != io::ErrorKind::BrokenPipe {
        let _ = OUT_ERROR.set(error);
    }
}

/// Why the standard output could not be written, if it could not.
pub fn output_error() -> Option<&'static io::Error> {
    OUT_ERROR.get()
}

/// From now on a reader is only waited for as long as it goes on reading: the job was cut short, or its time is up.
pub fn hurry() {
    IN_A_HURRY.store(true, Ordering::Relaxed);
}

/// Waits until both streams have taken what was queued, or until the reader is not to be waited for any more; then what is
/// left is lost.
pub(super) fn drain() {
    for outlet in [OUT.get(), ERR.get()].into_iter().flatten() {
        outlet.drain();
    }
}

/// The same at the end of the program, when nothing listens to signals any more: waits only for a reader who reads.
pub fn drain_at_exit() {
    if OUT.get().is_some() {
        hurry();
        drain();
    }
}

/// Waits until `is_done`. False where nobody is to be waited for: the job is in a hurry, and `progress` has stood still for
/// a second.
pub fn wait_for(mut is_done: impl FnMut() -> bool, mut progress: impl FnMut() -> u64) -> bool {
    let mut pause = Duration::from_micros(50);
    let mut seen = progress();
    let mut since = Instant::now();
    while !is_done() {
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
        let now = progress();
        if now != seen || !IN_A_HURRY.load(Ordering::Relaxed) {
            seen = now;
            since = Instant::now();
        } else if since.elapsed() > GRACE {
            return is_done();
        }
    }
    true
}

/// The queue of one stream, and the thread that writes it.
struct Outlet {
    queue: Arc<Queue>,
    /// The stream, until the thread has taken it.
    sink: Arc<Mutex<Option<Sink>>>,
}

/// A stream, and what notes that it could not be written.
struct Sink {
    stream: Box<dyn Write + Send>,
    failed: Box<dyn FnOnce(io::Error) + Send>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
    /// Counts the pieces that were written.
    progress: AtomicU64,
}

#[derive(Default)]
struct QueueState {
    /// Starts the thread, with the first text.
    start: Option<Box<dyn FnOnce() -> io::Result<()> + Send>>,
    waiting: Vec<u8>,
    /// The system has no thread for it: what waits is written when the job has ended, by whoever drains the queue.
    is_threadless: bool,
    /// The thread has something that it has not written yet.
    is_writing: bool,
    /// How many lines were dropped since the last one that was queued.
    dropped: usize,
    /// Nothing can be written any more: the reader is gone, or a disk is full.
    is_closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing can be written any more.
    fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.waiting = Vec::new();
    }

    /// Writes what comes, until that fails.
    fn write(&self, mut stream: impl Write) -> io::Result<()> {
        loop {
            let mut state = self.lock();
            state.is_writing = false;
            while state.waiting.is_empty() {
                let woken = self.filled.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            }
            let bytes = std::mem::take(&mut state.waiting);
            state.is_writing = true;
            drop(state);
            for piece in bytes.chunks(PIECE) {
                stream.write_all(piece)?;
                stream.flush()?;
                self.progress.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Outlet {
    fn new(
        name: &str,
        stream: impl Write + Send + 'static,
        failed: impl FnOnce(io::Error) + Send + 'static,
    ) -> Self {
        let queue = Arc::<Queue>::default();
        let sink = Arc::new(Mutex::new(Some(Sink {
            stream: Box::new(stream),
            failed: Box::new(failed),
        })));
        let (writer, taken) = (Arc::clone(&queue), Arc::clone(&sink));
        let thread = threads::builder(name);
        let write = move || {
            if let Some(sink) = take(&taken)
                && let Err(error) = writer.write(sink.stream)
            {
                (sink.failed)(error);
            }
            writer.close();
        };
        queue.lock().start = Some(Box::new(move || thread.spawn(write).map(drop)));
        Self { queue, sink }
    }

    fn push(&self, text: &str, at_last: bool) {
        if text.is_empty() {
            return;
        }
        let mut state = self.queue.lock();
        if let Some(start) = state.start.take() {
            // Without a thread nothing can be shown now that might hold the job up.
            state.is_threadless = start().is_err();
        }
        if state.is_closed {
            return;
        }
        if state.waiting.len() + text.len() > CAPACITY && !at_last {
            state.dropped += text.lines().count();
            return;
        }
        let is_first = state.waiting.is_empty();
        if state.dropped > 0 {
            let note = dropped_note(std::mem::take(&mut state.dropped));
            state.waiting.extend_from_slice(note.as_bytes());
        }
        state.waiting.extend_from_slice(text.as_bytes());
        drop(state);
        if is_first {
            self.queue.filled.notify_one();
        }
    }

    fn drain(&self) {
        if self.queue.lock().is_threadless {
            self.write_here();
            return;
        }
        let is_done = || {
            let state = self.queue.lock();
            state.is_closed || state.waiting.is_empty() && !state.is_writing
        };
        wait_for(is_done, || self.queue.progress.load(Ordering::Relaxed));
    }

    /// Writes what waits on this thread.
    fn write_here(&self) {
        let Some(mut sink) = take(&self.sink) else {
            return;
        };
        let bytes = std::mem::take(&mut self.queue.lock().waiting);
        let written = sink.stream.write_all(&bytes);
        match written.and_then(|()| sink.stream.flush()) {
            Ok(()) => *self.sink.lock().unwrap_or_else(PoisonError::into_inner) = Some(sink),
            Err(error) => {
                (sink.failed)(error);
                self.queue.close();
            }
        }
    }
}

fn take(sink: &Mutex<Option<Sink>>) -> Option<Sink> {
    sink.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// What stands in place of lines that were dropped.
pub(super) fn dropped_note(lines: usize) -> String {
    format!("[{lines} lines are not shown: nobody read them in time]\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_reader_that_stops_costs_lines_and_no_time() {
        let (mut reader, writer) = io::pipe().unwrap();
        let outlet = Outlet::new("test", writer, |_| {});
        let line = format!("{}\n", "x".repeat(1023));
        for _ in 0..3 * CAPACITY / line.len() {
            outlet.push(&line, false);
        }
        outlet.push("the end\n", true);
        let mut shown = String::new();
        let reading = std::thread::spawn(move || {
            let mut piece = [0; 65536];
            while !shown.ends_with("the end\n") {
                let length = reader.read(&mut piece).unwrap();
                shown.push_str(std::str::from_utf8(&piece[..length]).unwrap());
            }
            shown
        });
        let shown = reading.join().unwrap();
        assert!(shown.len() <= 2 * CAPACITY + 1024, "{}", shown.len());
        let lines = shown.lines().filter(|it| it.starts_with('x')).count();
        let note = shown.lines().rev().nth(1).unwrap();
        let dropped = 3 * CAPACITY / line.len() - lines;
        assert_eq!(format!("{note}\n"), dropped_note(dropped));
    }

    #[test]
    fn an_error_is_noted_and_ends_the_queue() {
        let (noted, error) = std::sync::mpsc::channel();
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let outlet = Outlet::new("test", full, move |error| noted.send(error).unwrap());
        outlet.push("a line\n", false);
        let error = error.recv().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        outlet.push("another\n", false);
        outlet.drain();
    }

    #[test]
    fn text_after_one_that_is_too_long_is_shown() {
        let (mut reader, writer) = io::pipe().unwrap();
        let outlet = Outlet::new("test", writer, |_| {});
        let too_long = format!("{}\n", "x".repeat(CAPACITY));
        outlet.push(&too_long, false);
        outlet.push("short\n", false);
        let expected = format!("{}short\n", dropped_note(1));
        let mut shown = vec![0; expected.len()];
        reader.read_exact(&mut shown).unwrap();
        assert_eq!(String::from_utf8(shown).unwrap(), expected);
        outlet.drain();
    }

    #[test]
    fn text_is_written_at_the_end_where_no_thread_can_be_had() {
        let (mut reader, writer) = io::pipe().unwrap();
        let outlet = Outlet::new("test", writer, |_| {});
        let refused = || Err(io::Error::from(io::ErrorKind::WouldBlock));
        outlet.queue.lock().start = Some(Box::new(refused));
        for line in ["one\n", "two\n"] {
            outlet.push(line, false);
            outlet.drain();
        }
        drop(outlet);
        let mut shown = String::new();
        reader.read_to_string(&mut shown).unwrap();
        assert_eq!(shown, "one\ntwo\n");
    }
}
