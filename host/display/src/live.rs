//! Owns the display on a terminal: a line for each finished task, and below them a bar, the counts
//! and the running tasks.
//!
//! A thread of its own draws, so that a slow terminal does not delay the job. Lines wait for the
//! thread up to a limit.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::outlet::{self, CAPACITY};
use super::{Display, finished_line, opening, retried_line, style, title};
use persea_journal::TaskFinished;
use persea_model::names::{cut, printable};
use persea_model::{JobId, Status, Tally, Task, TaskIndex};
use persea_system::threads;

/// The time between two drawings.
const FRAME: Duration = Duration::from_millis(100);

/// The number of running tasks that are shown.
const SHOWN: usize = 8;

/// The longest name of a running task that is shown, in bytes.
const NAME: usize = 60;

/// What runs, in the order in which it is shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum RunningKey {
    Task(TaskIndex),
    /// A requirement, by its number.
    Requirement(usize),
}

/// A running task or requirement, as it is shown.
struct RunningItem {
    name: String,
    since: Instant,
    /// The case of the task that runs.
    case: Option<String>,
}

impl RunningItem {
    fn new(name: String) -> Self {
        Self {
            name,
            since: Instant::now(),
            case: None,
        }
    }
}

/// What the thread draws next.
#[derive(Default)]
struct LiveState {
    total: usize,
    /// The lines to be written above the bar.
    lines: String,
    /// The number of lines that were dropped after `lines`, because nobody reads them in time.
    dropped: usize,
    running: BTreeMap<RunningKey, RunningItem>,
    tally: Tally,
}

/// The display on a terminal: a bar on the standard error, lines on the standard output.
pub struct Live {
    state: Arc<Mutex<LiveState>>,
    /// Counts the drawings.
    drawn: Arc<AtomicU64>,
    bar: ProgressBar,
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Default for Live {
    fn default() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        // This cannot fail with a valid template. Without it the bar has the library's own look.
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {pos}/{len} [{elapsed_precise}] {msg}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        Self {
            state: Arc::default(),
            drawn: Arc::default(),
            bar,
            wake: None,
            thread: None,
        }
    }
}

fn lock(state: &Mutex<LiveState>) -> MutexGuard<'_, LiveState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LiveState {
    /// Adds lines, each with a newline, or drops them if too many wait already.
    fn show(&mut self, lines: &str) {
        if self.lines.len() + lines.len() > CAPACITY {
            self.dropped += lines.lines().count();
            return;
        }
        if self.dropped > 0 {
            let note = outlet::dropped_note(std::mem::take(&mut self.dropped));
            self.lines.push_str(&note);
        }
        self.lines.push_str(lines);
    }
}

impl Live {
    fn start(&mut self) {
        let (wake, woken) = channel();
        let (state, bar) = (Arc::clone(&self.state), self.bar.clone());
        let drawn = Arc::clone(&self.drawn);
        let drawer = threads::builder("persea-drawer");
        self.thread = drawer
            .spawn(move || {
                draw_until_closed(&state, &bar, &woken, &drawn);
                draw(&state, &bar);
                bar.finish_and_clear();
            })
            .ok();
        self.wake = Some(wake);
    }

    /// Makes the thread draw a last time and end. Waits for it as long as its output is read.
    fn end(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let drawn = || self.drawn.load(Ordering::Relaxed);
            outlet::wait_for(|| thread.is_finished(), drawn);
        }
    }
}

fn draw_until_closed(
    state: &Mutex<LiveState>,
    bar: &ProgressBar,
    woken: &Receiver<()>,
    drawn: &AtomicU64,
) {
    while matches!(
        woken.recv_timeout(FRAME),
        Ok(()) | Err(RecvTimeoutError::Timeout)
    ) {
        draw(state, bar);
        drawn.fetch_add(1, Ordering::Relaxed);
    }
}

fn draw(state: &Mutex<LiveState>, bar: &ProgressBar) {
    let mut state = lock(state);
    let lines = std::mem::take(&mut state.lines);
    let mut message = message(&state);
    // indicatif, which draws the bar, ignores `NO_COLOR`.
    if anstream::AutoStream::choice(&std::io::stderr()) == anstream::ColorChoice::Never {
        message = anstream::adapter::strip_str(&message).to_string();
    }
    let (done, total) = (state.tally.total() as u64, state.total as u64);
    drop(state);
    if !lines.is_empty() {
        bar.suspend(|| {
            let mut out = anstream::stdout().lock();
            let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
        });
    }
    bar.set_length(total);
    bar.set_message(message);
    bar.set_position(done);
    bar.tick();
}

fn message(state: &LiveState) -> String {
    let mut message = String::new();
    for status in Status::ALL {
        let count = state.tally.get(status);
        if count > 0 {
            let style = style(status);
            message.push_str(&format!(" {style}{status} {count}{style:#}"));
        }
    }
    for RunningItem { name, since, case } in state.running.values().take(SHOWN) {
        message.push_str(&format!(
            "\n  {:7.1} s  {}",
            since.elapsed().as_secs_f64(),
            cut(name, NAME)
        ));
        if let Some(case) = case {
            message.push_str(&format!(": {}", cut(case, NAME)));
        }
    }
    if state.running.len() > SHOWN {
        message.push_str(&format!("\n  and {} more", state.running.len() - SHOWN));
    }
    message
}

impl Display for Live {
    fn job_started(
        &mut self,
        id: &JobId,
        directory: &Path,
        total: usize,
        shuffle_seed: Option<u64>,
    ) {
        let mut state = lock(&self.state);
        state.total = total;
        state.show(&opening(id, directory, shuffle_seed));
        drop(state);
        self.start();
    }

    fn task_started(&mut self, task: &Task) {
        let item = RunningItem::new(printable(&task.title).into_owned());
        let mut state = lock(&self.state);
        state.running.insert(RunningKey::Task(task.index), item);
    }

    fn case_running(&mut self, task: &Task, case: Option<&str>) {
        let mut state = lock(&self.state);
        if let Some(item) = state.running.get_mut(&RunningKey::Task(task.index)) {
            item.case = case.map(|case| printable(case).into_owned());
        }
    }

    fn task_progress(&mut self, task: &Task, text: &str) {
        let mut state = lock(&self.state);
        let line = format!("{}: {}\n", title(task, state.total), printable(text));
        state.show(&line);
    }

    fn task_finished(&mut self, task: &Task, record: &TaskFinished, tally: &Tally, output: &str) {
        let mut state = lock(&self.state);
        state.running.remove(&RunningKey::Task(task.index));
        state.tally = *tally;
        let line = finished_line(task, record, state.total);
        state.show(&format!("{line}\n{output}"));
    }

    fn task_retried(&mut self, task: &Task, record: &TaskFinished) {
        let mut state = lock(&self.state);
        state.running.remove(&RunningKey::Task(task.index));
        let line = retried_line(task, record, state.total);
        state.show(&format!("{line}\n"));
    }

    fn requirement_started(&mut self, number: usize, name: &str) {
        let item = RunningItem::new(format!("requirement {}", printable(name)));
        let mut state = lock(&self.state);
        state.running.insert(RunningKey::Requirement(number), item);
    }

    fn requirement_progress(&mut self, line: &str) {
        lock(&self.state).show(&format!(" {}\n", printable(line)));
    }

    fn requirement_finished(&mut self, number: usize, line: Option<&str>) {
        let mut state = lock(&self.state);
        state.running.remove(&RunningKey::Requirement(number));
        if let Some(line) = line {
            state.show(&format!(" {}\n", printable(line)));
        }
    }

    fn notice(&mut self, text: &str) {
        lock(&self.state).show(&format!("{}\n", printable(text)));
    }

    // The thread draws at its own pace.
    fn flush(&mut self) {}

    fn suspend(&mut self) {
        self.end();
    }

    fn resume(&mut self) {
        self.bar.reset_elapsed();
        self.start();
    }

    fn job_finished(&mut self) {
        self.end();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_shows_counts_and_running_tasks() {
        let mut state = LiveState {
            total: 20,
            ..LiveState::default()
        };
        state.tally.add(Status::Pass);
        state.tally.add(Status::Fail);
        for index in 0..10 {
            let key = RunningKey::Task(TaskIndex(index));
            let mut item = RunningItem::new(format!("test-{index}"));
            item.case = (index == 3).then(|| "suite > case".to_owned());
            state.running.insert(key, item);
        }
        let text = anstream::adapter::strip_str(&message(&state)).to_string();
        assert!(text.starts_with(" PASS 1 FAIL 1\n"), "{text}");
        assert!(
            text.contains("test-7") && !text.contains("test-8"),
            "{text}"
        );
        assert!(text.contains("test-3: suite > case\n"), "{text}");
        assert!(text.ends_with("and 2 more"), "{text}");
    }
}
