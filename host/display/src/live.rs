//! The display on a terminal: a line for each task that has ended, and below them a bar, the counts, and the tasks that run.
//!
//! A thread of its own draws, so that a slow terminal does not hold up the job: lines wait for it up to a limit.

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
use persea_model::{JobId, Status, Tally, Task};
use persea_system::threads;

/// How often it is drawn: ten times a second.
const FRAME: Duration = Duration::from_millis(100);

/// How many running tasks are shown.
const SHOWN: usize = 8;

/// The longest name that is shown of a running task, in bytes.
const NAME: usize = 60;

#[derive(Default)]
struct Picture {
    total: usize,
    /// What is to be shown above the bar.
    lines: String,
    /// How many lines were dropped since then, because nobody reads.
    dropped: usize,
    running: BTreeMap<usize, (String, Instant)>,
    tally: Tally,
}

/// A bar on the standard error, lines on the standard output.
pub struct Live {
    picture: Arc<Mutex<Picture>>,
    /// Counts how often was drawn.
    drawn: Arc<AtomicU64>,
    bar: ProgressBar,
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Default for Live {
    fn default() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        // The template is a constant of this file; without it the bar has the library's own look.
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {pos}/{len} [{elapsed_precise}] {msg}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        Self {
            picture: Arc::default(),
            drawn: Arc::default(),
            bar,
            wake: None,
            thread: None,
        }
    }
}

fn lock(picture: &Mutex<Picture>) -> MutexGuard<'_, Picture> {
    picture.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Picture {
    /// Adds lines, each with its end, unless too many wait already.
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
        let (picture, bar) = (Arc::clone(&self.picture), self.bar.clone());
        let drawn = Arc::clone(&self.drawn);
        let drawer = threads::builder("persea-drawer");
        self.thread = drawer
            .spawn(move || {
                draw_until_closed(&picture, &bar, &woken, &drawn);
                draw(&picture, &bar);
                bar.finish_and_clear();
            })
            .ok();
        self.wake = Some(wake);
    }

    /// Has the thread draw a last time and end; waits for that as long as somebody reads.
    fn end(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let drawn = || self.drawn.load(Ordering::Relaxed);
            outlet::wait_for(|| thread.is_finished(), drawn);
        }
    }
}

fn draw_until_closed(
    picture: &Mutex<Picture>,
    bar: &ProgressBar,
    woken: &Receiver<()>,
    drawn: &AtomicU64,
) {
    while matches!(
        woken.recv_timeout(FRAME),
        Ok(()) | Err(RecvTimeoutError::Timeout)
    ) {
        draw(picture, bar);
        drawn.fetch_add(1, Ordering::Relaxed);
    }
}

fn draw(picture: &Mutex<Picture>, bar: &ProgressBar) {
    let mut picture = lock(picture);
    let lines = std::mem::take(&mut picture.lines);
    let mut message = message(&picture);
    // The bar is indicatif's, which does not know of `NO_COLOR`.
    if anstream::AutoStream::choice(&std::io::stderr()) == anstream::ColorChoice::Never {
        message = anstream::adapter::strip_str(&message).to_string();
    }
    let (done, total) = (picture.tally.total() as u64, picture.total as u64);
    drop(picture);
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

fn message(picture: &Picture) -> String {
    let mut message = String::new();
    for status in Status::ALL {
        let count = picture.tally.get(status);
        if count > 0 {
            let style = style(status);
            message.push_str(&format!(" {style}{status} {count}{style:#}"));
        }
    }
    for (name, since) in picture.running.values().take(SHOWN) {
        message.push_str(&format!(
            "\n  {:7.1} s  {}",
            since.elapsed().as_secs_f64(),
            cut(name, NAME)
        ));
    }
    if picture.running.len() > SHOWN {
        message.push_str(&format!("\n  and {} more", picture.running.len() - SHOWN));
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
        let mut picture = lock(&self.picture);
        picture.total = total;
        picture.show(&opening(id, directory, shuffle_seed));
        drop(picture);
        self.start();
    }

    fn task_started(&mut self, task: &Task) {
        lock(&self.picture).running.insert(
            task.index,
            (printable(&task.title).into_owned(), Instant::now()),
        );
    }

    fn task_progress(&mut self, task: &Task, text: &str) {
        let mut picture = lock(&self.picture);
        let line = format!("{}: {}\n", title(task, picture.total), printable(text));
        picture.show(&line);
    }

    fn task_finished(&mut self, task: &Task, record: &TaskFinished, tally: &Tally, output: &str) {
        let mut picture = lock(&self.picture);
        picture.running.remove(&task.index);
        picture.tally = *tally;
        let line = finished_line(task, record, picture.total);
        picture.show(&format!("{line}\n{output}"));
    }

    fn task_retried(&mut self, task: &Task, record: &TaskFinished) {
        let mut picture = lock(&self.picture);
        picture.running.remove(&task.index);
        let line = retried_line(task, record, picture.total);
        picture.show(&format!("{line}\n"));
    }

    fn requirement_started(&mut self, number: usize, name: &str) {
        let name = format!("requirement {}", printable(name));
        let mut picture = lock(&self.picture);
        picture.running.insert(number, (name, Instant::now()));
    }

    fn requirement_progress(&mut self, line: &str) {
        lock(&self.picture).show(&format!(" {}\n", printable(line)));
    }

    fn requirement_finished(&mut self, number: usize, line: Option<&str>) {
        let mut picture = lock(&self.picture);
        picture.running.remove(&number);
        if let Some(line) = line {
            picture.show(&format!(" {}\n", printable(line)));
        }
    }

    fn notice(&mut self, text: &str) {
        lock(&self.picture).show(&format!("{}\n", printable(text)));
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
    fn the_message_counts_and_names_what_runs() {
        let mut picture = Picture {
            total: 20,
            ..Picture::default()
        };
        picture.tally.add(Status::Pass);
        picture.tally.add(Status::Fail);
        for index in 0..10 {
            picture
                .running
                .insert(index, (format!("test-{index}"), Instant::now()));
        }
        let text = anstream::adapter::strip_str(&message(&picture)).to_string();
        assert!(text.starts_with(" PASS 1 FAIL 1\n"), "{text}");
        assert!(
            text.contains("test-7") && !text.contains("test-8"),
            "{text}"
        );
        assert!(text.ends_with("and 2 more"), "{text}");
    }
}
