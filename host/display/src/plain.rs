//! Owns the display without a terminal: a line for each result, and for each start if that is
//! wanted. Also the quiet display, with a line for each failure.

use std::path::Path;

use super::{Display, cases, finished_line, opening, outlet, retried_line, title};
use persea_journal::{ShownCase, TaskFinished};
use persea_model::names::printable;
use persea_model::{JobId, Tally, Task};

/// Which lines a plain display shows of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A line for each failure.
    Failures,
    /// A line for each result.
    Ends,
    /// A line for each start, each result, and each result of a case.
    StartsAndEnds,
}

/// The display without a terminal: lines on the standard output.
#[derive(Debug)]
pub struct Plain {
    shown: Shown,
    total: usize,
    lines: String,
}

impl Plain {
    /// A display of these lines.
    pub fn new(shown: Shown) -> Self {
        Self {
            shown,
            total: 0,
            lines: String::new(),
        }
    }

    fn is_quiet(&self) -> bool {
        self.shown == Shown::Failures
    }

    fn line(&mut self, line: &str) {
        self.lines.push_str(line);
        self.lines.push('\n');
    }
}

impl Display for Plain {
    fn job_started(
        &mut self,
        id: &JobId,
        directory: &Path,
        total: usize,
        shuffle_seed: Option<u64>,
    ) {
        self.total = total;
        if !self.is_quiet() {
            self.lines.push_str(&opening(id, directory, shuffle_seed));
        }
    }

    fn task_started(&mut self, task: &Task) {
        if self.shown == Shown::StartsAndEnds {
            let line = format!("{}: STARTED", title(task, self.total));
            self.line(&line);
        }
    }

    fn task_progress(&mut self, task: &Task, text: &str) {
        if !self.is_quiet() {
            let line = format!("{}: {}", title(task, self.total), printable(text));
            self.line(&line);
        }
    }

    fn case_finished(&mut self, task: &Task, case: &ShownCase) {
        let line = cases::finished_line(task, case, self.total);
        self.line(&line);
    }

    fn shows_cases(&self) -> bool {
        self.shown == Shown::StartsAndEnds
    }

    fn task_finished(&mut self, task: &Task, record: &TaskFinished, _: &Tally, output: &str) {
        if !self.is_quiet() || !record.status.is_ok() {
            let line = finished_line(task, record, self.total);
            self.line(&line);
            self.lines.push_str(output);
        }
    }

    fn task_retried(&mut self, task: &Task, record: &TaskFinished) {
        if !self.is_quiet() {
            let line = retried_line(task, record, self.total);
            self.line(&line);
        }
    }

    fn requirement_started(&mut self, _: usize, _: &str) {}

    fn requirement_progress(&mut self, line: &str) {
        if !self.is_quiet() {
            self.line(&format!(" {}", printable(line)));
        }
    }

    fn requirement_finished(&mut self, _: usize, line: Option<&str>) {
        if let Some(line) = line.filter(|_| !self.is_quiet()) {
            self.line(&format!(" {}", printable(line)));
        }
    }

    fn notice(&mut self, text: &str) {
        self.line(&printable(text));
    }

    fn flush(&mut self) {
        outlet::out(&self.lines);
        self.lines.clear();
    }
}
