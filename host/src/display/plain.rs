//! The display where there is no terminal: a line for each start and each end, as Avocado's.

use std::io::{self, Write};
use std::path::Path;

use super::{Display, finished_line, opening, retried_line, title};
use crate::journal::TaskFinished;
use crate::model::{JobId, Tally, Task};
use crate::names::printable;

/// Lines on the standard output.
pub struct Plain {
    total: usize,
    lines: Vec<u8>,
    out: anstream::AutoStream<io::Stdout>,
}

impl Default for Plain {
    fn default() -> Self {
        Self {
            total: 0,
            lines: Vec::new(),
            out: anstream::stdout(),
        }
    }
}

impl Plain {
    fn line(&mut self, line: &str) {
        self.lines.extend_from_slice(line.as_bytes());
        self.lines.push(b'\n');
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
        self.lines
            .extend_from_slice(opening(id, directory, shuffle_seed).as_bytes());
    }

    fn task_started(&mut self, task: &Task) {
        let line = format!("{}: STARTED", title(task, self.total));
        self.line(&line);
    }

    fn task_progress(&mut self, task: &Task, text: &str) {
        let line = format!("{}: {}", title(task, self.total), printable(text));
        self.line(&line);
    }

    fn task_finished(&mut self, task: &Task, record: &TaskFinished, _: &Tally) {
        let line = finished_line(task, record, self.total);
        self.line(&line);
    }

    fn task_retried(&mut self, task: &Task, record: &TaskFinished) {
        let line = retried_line(task, record, self.total);
        self.line(&line);
    }

    fn requirement_started(&mut self, _: usize, _: &str) {}

    fn requirement_progress(&mut self, line: &str) {
        self.line(&format!(" {}", printable(line)));
    }

    fn requirement_finished(&mut self, _: usize, line: Option<&str>) {
        if let Some(line) = line {
            self.line(&format!(" {}", printable(line)));
        }
    }

    fn notice(&mut self, text: &str) {
        self.line(&printable(text));
    }

    fn flush(&mut self) {
        if !self.lines.is_empty() {
            // Whoever reads may stop reading; the job goes on, and its reports are whole.
            let _ = self
                .out
                .write_all(&self.lines)
                .and_then(|()| self.out.flush());
            self.lines.clear();
        }
    }
}
