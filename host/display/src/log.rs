//! Owns `job.log`: the events of a job as lines for people. Best effort: the journal is the truth.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use persea_journal::TaskFinished;
use persea_model::Task;
use persea_model::names::printable;

/// Writes a job's log. The times are nanoseconds of Unix time.
pub struct JobLog(BufWriter<File>);

impl JobLog {
    /// Starts a log in an empty file.
    pub fn new(file: File) -> Self {
        Self(BufWriter::new(file))
    }

    /// Adds a line that begins with its time.
    pub(super) fn line(&mut self, at: u64, text: std::fmt::Arguments<'_>) {
        let time = jiff::Timestamp::from_nanosecond(at.into()).unwrap_or_default();
        // An error is ignored: no result is lost with the log, and a failure of the journal is
        // reported.
        let _ = writeln!(self.0, "{time:.3} {text}");
    }

    pub(super) fn started(&mut self, at: u64, task: &Task) {
        self.line(at, format_args!("{}: STARTED", printable(&task.id)));
    }

    pub(super) fn progress(&mut self, at: u64, task: &Task, text: &str) {
        let (id, text) = (printable(&task.id), printable(text));
        self.line(at, format_args!("{id}: {text}"));
    }

    pub(super) fn finished(&mut self, at: u64, task: &Task, record: &TaskFinished) {
        let reason = record
            .reason
            .as_deref()
            .map(|reason| format!(": {}", printable(reason)))
            .unwrap_or_default();
        let again = if record.flaky { " (flaky)" } else { "" };
        let (id, status) = (printable(&task.id), record.status);
        self.line(at, format_args!("{id}: {status}{reason}{again}"));
    }

    pub(super) fn flush(&mut self) {
        let _ = self.0.flush();
    }
}
