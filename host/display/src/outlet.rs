//! Owns the writing of the standard output and error while a job runs. Each has a bounded queue and
//! a thread of its own, so that a reader who stops reading (Ctrl-S, `| less`, a slow collector)
//! delays only the display.
//!
//! Does not know what is written. Outside of a job both streams are written directly.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anstream::{AutoStream, ColorChoice};
use persea_system::threads;

/// The capacity of each stream's queue, in bytes. Lines beyond it are dropped and counted.
pub(super) const CAPACITY: usize = 8 << 20;

/// The bytes that are written at a time. A reader's progress is noticed in these steps.
const PIECE: usize = 8 << 10;

/// How long an interrupted job waits for a stalled reader of its output.
const GRACE: Duration = Duration::from_secs(1);

/// The longest pause between two checks of a reader's progress.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

static OUT: OnceLock<Outlet> = OnceLock::new();
static ERR: OnceLock<Outlet> = OnceLock::new();

/// The first error in writing the standard output.
static OUT_ERROR: OnceLock<io::Error> = OnceLock::new();

/// Whether the host waits for a reader only as long as the reader makes progress.
static IN_A_HURRY: AtomicBool = AtomicBool::new(false);

/// Starts to queue the standard output and the standard error, until the end of the process.
pub(super) fn start() {
    let err = || without_colors(io::stderr(), AutoStream::choice(&io::stderr()));
    OUT.get_or_init(|| Outlet::new("persea-stdout", large_out(), note_error));
    ERR.get_or_init(|| Outlet::new("persea-stderr", err(), |_| {}));
}

/// The standard output for much text outside of a job: written in large pieces, and without colours
/// where the output shall have none. The caller flushes it.
pub fn large_out() -> impl Write + Send {
    without_colors(io::stdout(), AutoStream::choice(&io::stdout()))
}

/// Removes colours from what is written to a stream that shall have none. The stream gets a piece
/// at once, and not each stretch between two escapes or line ends.
fn without_colors(stream: impl Write + Send + 'static, choice: ColorChoice) -> impl Write + Send {
    let whole = io::BufWriter::with_capacity(PIECE, stream);
    AutoStream::new(Box::new(whole) as Box<dyn Write + Send>, choice)
}

/// Writes text to the standard output. Waits for the reader only outside of a job.
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

/// Writes text to the standard output, even beyond the capacity of the queue: the end of a job.
pub(super) fn out_at_last(text: &str) {
    match OUT.get() {
        Some(outlet) => outlet.push(text, true),
        None => out(text),
    }
}

/// Writes text to the standard error. Waits for the reader only outside of a job.
pub fn err(text: &str) {
    match ERR.get() {
        Some(outlet) => outlet.push(text, false),
        // There is nowhere to report an error of the standard error.
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

/// Notes an error in writing the standard output, for [`output_error`]. A closed pipe is no error:
/// its reader wants no more.
pub fn note_error(error: io::Error) {
    if error.kind() != io::ErrorKind::BrokenPipe {
        let _ = OUT_ERROR.set(error);
    }
}

/// The first error in writing the standard output, if there was one.
pub fn output_error() -> Option<&'static io::Error> {
    OUT_ERROR.get()
}

/// From now on, waits for readers only as long as they make progress: the job was cut short, or its
/// time is up.
pub fn hurry() {
    IN_A_HURRY.store(true, Ordering::Relaxed);
}

/// Waits until both queues are empty. Gives up, and loses the rest, if the job is in a hurry and a
/// reader makes no progress.
pub(super) fn drain() {
    for outlet in [OUT.get(), ERR.get()].into_iter().flatten() {
        outlet.drain();
    }
}

/// Waits until both queues are empty, at the end of the process. No signal is handled any more, so
/// this waits only for readers who make progress.
pub fn drain_at_exit() {
    if OUT.get().is_some() {
        hurry();
        drain();
    }
}

/// Waits until `is_done`. Gives up and returns false if the job is in a hurry and `progress` has
/// not changed for a second.
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

/// A stream, and the function that receives its error.
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
    /// Starts the thread. Called with the first text.
    start: Option<Box<dyn FnOnce() -> io::Result<()> + Send>>,
    waiting: Vec<u8>,
    /// Whether the system refused the thread. The queue is then written when it is drained, at the
    /// end of the job.
    is_threadless: bool,
    /// Whether the thread is writing text that it has taken from the queue.
    is_writing: bool,
    /// The number of lines that were dropped since the last queued one.
    dropped: usize,
    /// Whether writing has failed: the reader is gone, or a disk is full.
    is_closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the queue after an error.
    fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.waiting = Vec::new();
    }

    /// Writes the queue as it fills, until writing fails.
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
            // Without a thread nothing is written now: writing could block the job.
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

    /// Writes the queue on the calling thread.
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

/// The line in place of dropped lines.
pub(super) fn dropped_note(lines: usize) -> String {
    format!("[{lines} lines are not shown: nobody read them in time]\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::io::Read as _;

    #[test]
    fn reader_that_stops_loses_lines_and_delays_nothing() {
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
        let in_pipe = 64 << 10;
        assert!(shown.len() <= 2 * CAPACITY + 2 * in_pipe, "{}", shown.len());
        // The writer may take a full queue late: lines are then dropped before and after it.
        let (lines, notes): (Vec<&str>, Vec<&str>) =
            shown.lines().partition(|line| line.starts_with('x'));
        let (end, notes) = notes.split_last().unwrap();
        assert_eq!(*end, "the end");
        let dropped: usize = notes.iter().map(|note| dropped_lines(note)).sum();
        assert!(dropped > 0);
        assert_eq!(lines.len() + dropped, 3 * CAPACITY / line.len());
    }

    /// Reads the number in a line of [`dropped_note`].
    fn dropped_lines(note: &str) -> usize {
        let number = note.strip_prefix('[').and_then(|note| note.split_once(' '));
        let number = number.unwrap().0.parse().unwrap();
        assert_eq!(format!("{note}\n"), dropped_note(number));
        number
    }

    #[test]
    fn write_error_is_noted_and_closes_the_queue() {
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
    fn text_after_an_oversized_one_is_shown() {
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
    fn queue_without_a_thread_is_written_when_drained() {
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
