//! Owns what people see of a job while it runs. Does not decide anything about the job.
//!
//! `screen` has a thread for the display, and `outlet` one for each stream, so that the job never
//! waits for a reader.

#![deny(missing_docs)]
#![deny(unsafe_code)]

use std::path::Path;

use persea_journal::{ShownCase, TaskFinished};
use persea_model::names::{cut, printable};
use persea_model::{JobId, Status, Tally, Task};

mod cases;
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
    StandardError, drain_at_exit, err, hurry, large_out, note_error, out, output_error, wait_for,
};
pub use plain::{Plain, Shown};
pub use screen::{JobBegin, JobView, Screen};
pub use terminal::for_reader;

/// Shows the course of a job. Runs on a thread of its own; its lines wait for their reader in an
/// outlet.
pub trait Display {
    /// The job begins.
    fn job_started(
        &mut self,
        id: &JobId,
        directory: &Path,
        total: usize,
        shuffle_seed: Option<u64>,
    );
    /// A task was given to its runner.
    fn task_started(&mut self, task: &Task);
    /// A runner reports progress, for people.
    fn task_progress(&mut self, task: &Task, text: &str);
    /// The case of a task that runs, which is a result inside it; none while no case runs.
    fn case_running(&mut self, _task: &Task, _case: Option<&str>) {}
    /// A case of a task has ended. Called only for a display that shows cases.
    fn case_finished(&mut self, _task: &Task, _case: &ShownCase) {}
    /// A task has ended; `tally` includes it. `output` holds its failed cases and the last lines of
    /// its output, to be shown below it.
    fn task_finished(&mut self, task: &Task, record: &TaskFinished, tally: &Tally, output: &str);
    /// An attempt of a task has failed, and a retry follows.
    fn task_retried(&mut self, task: &Task, record: &TaskFinished);
    /// A requirement resolver begins. No other requirement has this `number` until it ends.
    fn requirement_started(&mut self, number: usize, name: &str);
    /// A requirement resolver reports progress, for people.
    fn requirement_progress(&mut self, line: &str);
    /// A requirement resolver has ended. `line` is its result, if people need to see it.
    fn requirement_finished(&mut self, number: usize, line: Option<&str>);
    /// A message about the job as a whole.
    fn notice(&mut self, text: &str);
    /// Writes what was shown since the last flush.
    fn flush(&mut self);
    /// Leaves the terminal to other processes: the job is about to be stopped (Ctrl-Z).
    fn suspend(&mut self) {}
    /// Takes the terminal back: the job continues.
    fn resume(&mut self) {}
    /// The job has ended.
    fn job_finished(&mut self) {}
    /// Whether the display has a line for each case.
    fn shows_cases(&self) -> bool {
        false
    }
    /// Whether the display shows results. If it does, it gets the output of failing tests too.
    fn shows_ends(&self) -> bool {
        true
    }
}

/// Shows no results: the standard output belongs to a report.
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

/// The longest reason that a line about a test or case shows, in bytes. Reports have the whole
/// reason.
const REASON: usize = 255;

/// The beginning of a text of a test, at most `limit` bytes, as safe text for a terminal. `...`
/// shows that something is left out.
fn beginning(text: &str, limit: usize) -> String {
    let shown = cut(text, limit);
    let more = if shown.len() < text.len() { "..." } else { "" };
    format!("{}{more}", printable(shown))
}

/// The beginning of a line about a task: ` (01/16) name`.
fn title(task: &Task, total: usize) -> String {
    let width = total.to_string().len();
    format!(
        " ({:0width$}/{total}) {}",
        task.index.number(),
        printable(&task.title)
    )
}

/// The line of a finished task.
fn finished_line(task: &Task, record: &TaskFinished, total: usize) -> String {
    let style = style(record.status);
    let mut line = format!("{}: {style}{}{style:#}", title(task, total), record.status);
    if let Some(reason) = shown_reason(record)
        && record.status != Status::Pass
    {
        line.push_str(": ");
        line.push_str(&beginning(reason, REASON));
    }
    if record.started.is_some() && record.status != Status::Skip {
        line.push_str(&format!(" ({:.2} s)", seconds(record.elapsed)));
    }
    match record.left_behind {
        0 => {}
        1 => line.push_str(" [1 process left behind]"),
        count => line.push_str(&format!(" [{count} processes left behind]")),
    }
    if record.flaky {
        line.push_str(&format!(" [flaky: attempt {}]", record.attempts));
    }
    line
}

/// The reason for a task's status. A fault in the configuration is shown once, before all tests;
/// its tasks only refer to it.
fn shown_reason(record: &TaskFinished) -> Option<&str> {
    match record.is_refused {
        true => Some("cannot run, for the reason above"),
        false => record.reason.as_deref(),
    }
}

/// The line of a task that is retried.
fn retried_line(task: &Task, record: &TaskFinished, total: usize) -> String {
    finished_line(task, record, total) + ", retrying"
}

/// The first lines of a job.
fn opening(id: &JobId, directory: &Path, shuffle_seed: Option<u64>) -> String {
    let log = directory.join("job.log");
    let log = log.to_string_lossy();
    let mut text = format!("JOB ID     : {id}\nJOB LOG    : {}\n", printable(&log));
    if let Some(seed) = shuffle_seed {
        text.push_str(&format!("SHUFFLED   : --shuffle-seed {seed}\n"));
    }
    text
}

/// The totals in one line: `PASS 6 | ERROR 2`.
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

/// The colour of a status. The stream removes it if it is no terminal or `NO_COLOR` is set.
fn style(status: Status) -> anstyle::Style {
    let colour = match status {
        Status::Pass => anstyle::AnsiColor::Green,
        Status::Fail | Status::Error => anstyle::AnsiColor::Red,
        Status::Interrupted => anstyle::AnsiColor::Magenta,
        Status::Skip | Status::Warn | Status::Cancel => anstyle::AnsiColor::Yellow,
    };
    colour.on_default().bold()
}
