//! `job.log`: what happened in a job, in lines for people. Best effort: the journal is the truth.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use crate::journal::TaskFinished;
use crate::model::Task;
use crate::names::printable;

/// Writes a job's log.
pub(super) struct JobLog(BufWriter<File>);

impl JobLog {
    pub(super) fn new(file: File) -> Self {
        Self(BufWriter::new(file))
    }

    /// Adds a line with the time before it.
    pub(super) fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // A log that cannot be written is no reason to lose a result: what matters is in the journal, whose failure is said.
        let _ = writeln!(self.0, "{:.3} {text}", jiff::Timestamp::now());
    }

    pub(super) fn started(&mut self, task: &Task) {
        self.line(format_args!("{}: STARTED", printable(&task.id)));
    }

    pub(super) fn progress(&mut self, task: &Task, text: &str) {
        self.line(format_args!("{}: {}", printable(&task.id), printable(text)));
    }

    pub(super) fn finished(&mut self, task: &Task, record: &TaskFinished) {
        let reason = record
            .reason
            .as_deref()
            .map(|reason| format!(": {}", printable(reason)))
            .unwrap_or_default();
        let again = if record.flaky { " (flaky)" } else { "" };
        self.line(format_args!(
            "{}: {}{reason}{again}",
            printable(&task.id),
            record.status
        ));
    }
}
