//! What a person sees of a job while it runs. Shows what it is told, and decides nothing.
//!
//! `screen` has a thread for it, and `outlet` one for each stream, so that no reader is ever waited for by the job.

#![deny(missing_docs)]
#![deny(unsafe_code)]

use std::path::Path;

use persea_journal::TaskFinished;
use persea_model::names::{cut, printable};
use persea_model::{JobId, Status, Tally, Task};

mod failures;
mod live;
mod log;
mod outlet;
mod plain;
mod screen;
mod tail;
mod terminal;

pub use live::Live;
pub use log::JobLog;
pub use outlet::{
    StandardError, drain_at_exit, err, hurry, note_error, out, output_error, wait_for,
};
pub use plain::{Plain, Shown};
pub use screen::{JobBegin, JobView, Screen};
pub use terminal::for_reader;

/// Shows the course of a job, on a thread of its own. What is shown waits for its reader elsewhere.
pub trait Display {
    /// The job begins.
    fn job_started(
        &mut self,
        id: &JobId,
        directory: &Path,
        total: usize,
        shuffle_seed: Option<u64>,
    );
    /// A task has been given to its runner.
    fn task_started(&mut self, task: &Task);
    /// A runner says something for whoever looks.
    fn task_progress(&mut self, task: &Task, text: &str);
    /// A task has ended; `tally` counts it already. `output` is what it wrote at last, as lines to be shown.
    fn task_finished(&mut self, task: &Task, record: &TaskFinished, tally: &Tally, output: &str);
    /// A task has ended, not well, and is tried again.
    fn task_retried(&mut self, task: &Task, record: &TaskFinished);
    /// A requirement is being seen to; `number` is its own as long as that lasts.
    fn requirement_started(&mut self, number: usize, name: &str);
    /// Its resolver says something for whoever looks.
    fn requirement_progress(&mut self, line: &str);
    /// That is done; `line` says what there is to say.
    fn requirement_finished(&mut self, number: usize, line: Option<&str>);
    /// Something that is to be known about the job as a whole.
    fn notice(&mut self, text: &str);
    /// Shows what was told since the last time.
    fn flush(&mut self);
    /// Leaves the terminal to others: the job is about to stand still.
    fn suspend(&mut self) {}
    /// Takes the terminal back.
    fn resume(&mut self) {}
    /// The job has ended.
    fn job_finished(&mut self) {}
    /// Whether it shows how tasks end: then the output of those that fail is shown too.
    fn shows_ends(&self) -> bool {
        true
    }
}

/// Shows nothing: the standard output belongs to a report.
pub struct Silent;

impl Display for Silent {
    fn job_started(&mut self, _: &JobId, _: &Path, _: usize, _: Option<u64>) {}
    fn task_started(&mut self, _: &Task) {}
    fn task_progress(&mut self, _: &Task, _: &str) {}
    fn task_finished(&mut self, _: &Task, _: &TaskFinished, _: &Tally, _: &str) {}
    fn task_retried(&mut self, _: &Task, _: &TaskFinished) {}
    fn requirement_started(&mut self, _: usize, _: &str) {}
    fn requirement_progress(&mut self, _: &str) {}
    fn requirement_finished(&mut self, _: usize, _: Option<&str>) {}
    fn notice(&mut self, text: &str) {
        outlet::err(&format!("{}\n", printable(text)));
    }
    fn flush(&mut self) {}
    fn shows_ends(&self) -> bool {
        false
    }
}

/// The longest reason that is shown, in bytes; reports have all of it.
const REASON: usize = 255;

/// `(01/16) name` as lines about a task begin.
fn title(task: &Task, total: usize) -> String {
    let width = total.to_string().len();
    format!(
        " ({:0width$}/{total}) {}",
        task.index + 1,
        printable(&task.title)
    )
}

/// A finished task's line.
fn finished_line(task: &Task, record: &TaskFinished, total: usize) -> String {
    let style = style(record.status);
    let mut line = format!("{}: {style}{}{style:#}", title(task, total), record.status);
    if let Some(reason) = shown_reason(record)
        && record.status != Status::Pass
    {
        let short = cut(reason, REASON);
        line.push_str(": ");
        line.push_str(&printable(short));
        if short.len() < reason.len() {
            line.push_str("...");
        }
    }
    if record.started.is_some() && record.status != Status::Skip {
        line.push_str(&format!(" ({:.2} s)", seconds(record.elapsed)));
    }
    if record.left_behind > 0 {
        line.push_str(&format!(" [{} processes left behind]", record.left_behind));
    }
    if record.flaky {
        line.push_str(&format!(" [flaky: attempt {}]", record.attempts));
    }
    line
}

/// Why a task ended as it did. A reason of the configuration is shown once before all tests, and only pointed to here.
fn shown_reason(record: &TaskFinished) -> Option<&str> {
    match record.is_refused {
        true => Some("cannot run, for the reason above"),
        false => record.reason.as_deref(),
    }
}

/// The line of a task that is tried again.
fn retried_line(task: &Task, record: &TaskFinished, total: usize) -> String {
    finished_line(task, record, total) + ", is tried again"
}

/// The lines with which a job begins.
fn opening(id: &JobId, directory: &Path, shuffle_seed: Option<u64>) -> String {
    let log = directory.join("job.log");
    let log = log.to_string_lossy();
    let mut text = format!("JOB ID     : {id}\nJOB LOG    : {}\n", printable(&log));
    if let Some(seed) = shuffle_seed {
        text.push_str(&format!("SHUFFLED   : --shuffle-seed {seed}\n"));
    }
    text
}

/// The totals in one line, as `PASS 6 | ERROR 2`.
pub fn totals(tally: &Tally) -> String {
    let counts: Vec<String> = Status::ALL
        .iter()
        .map(|status| {
            let name = if *status == Status::Interrupted {
                "INTERRUPT"
            } else {
                status.name()
            };
            format!("{name} {}", tally.get(*status))
        })
        .collect();
    counts.join(" | ")
}

/// Nanoseconds in seconds.
#[allow(clippy::cast_precision_loss)] // shown with two digits
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// The colour of a status; left out where the output is no terminal or `NO_COLOR` is set.
fn style(status: Status) -> anstyle::Style {
    let colour = match status {
        Status::Pass => anstyle::AnsiColor::Green,
        Status::Fail | Status::Error => anstyle::AnsiColor::Red,
        Status::Interrupted => anstyle::AnsiColor::Magenta,
        Status::Skip | Status::Warn | Status::Cancel => anstyle::AnsiColor::Yellow,
    };
    colour.on_default().bold()
}
