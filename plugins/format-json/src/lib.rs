//! Owns the result format `json`: `results.json` with Avocado's keys, written while the job runs.
//!
//! The report has every key that Avocado's has, with the same meaning, except:
//! * `time_start` and `time_end` are seconds since the job started, by the wall clock, because the
//!   journal has no other clock. In Avocado they are readings of a monotonic clock with an
//!   arbitrary zero. `time_elapsed` is measured, and `time` is its sum over all tests, as in
//!   Avocado.
//! * `start` is in UTC.
//! * A test that never started has an entry too: all its times are the time at which its result
//!   was decided, and `time_elapsed` is 0.
//!
//! Keys that Avocado does not have: `complete`, false, of a job that did not come to its end;
//! `warnings` of a job that has some; `kind` of each test; `uri`, `returncode`, `attempts`, `flaky`
//! and `batch_logdir` of a test where they apply; `cpu_user` and `cpu_system`, in seconds,
//! `peak_memory`, in bytes, and `peak_memory_of` (`largest-process` or `tree`), of a test with
//! processes of its own; `cases` of a test that has some, a list of objects with `path`, `status`,
//! and `time` and `reason` where they are known, and
//! `cases_left_out`, the number of further cases.

mod document;

use document::Document;
use persea_plugin_sdk::CaseBuffer;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::report_output::{self, Report};

/// Size of the buffer at which it is flushed to the host, in bytes.
const BUFFER_SIZE: usize = 64 * 1024;

/// Kinds of events that the host passes to this plugin.
const EVENTS: [&str; 6] = [
    "job-started",
    "warning",
    "case-finished",
    "task-retried",
    "task-finished",
    "job-finished",
];

/// The result format `json`.
#[derive(Debug, Default)]
pub struct Json(Option<OpenReport>);

#[derive(Debug)]
struct OpenReport {
    report: Report,
    /// Bytes that the host does not have yet.
    buffer: Vec<u8>,
    document: Document,
    cases: CaseBuffer,
    /// The event `job-finished`, once it was received.
    end: Option<Event>,
}

impl OpenReport {
    fn flush(&mut self) -> Result<(), Error> {
        if !self.buffer.is_empty() {
            self.report.append(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl Plugin for Json {
    fn describe() -> Description {
        let role = Role::result_format()
            .with("file", "results.json")
            .with("streams", true)
            .with("events", Value::list(EVENTS));
        Description::new("json", "writes results.json with Avocado's keys").role(role)
    }
}

impl ResultFormat for Json {
    fn start_report(_: &ReportJob) -> Result<Self, Error> {
        Ok(Self::default())
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        match (event.kind.as_str(), &mut self.0) {
            ("job-started", open @ None) => {
                let mut buffer = Vec::new();
                let report = report_output::open()?;
                let document = Document::begin(&mut buffer, event)?;
                *open = Some(OpenReport {
                    report,
                    buffer,
                    document,
                    cases: CaseBuffer::new(),
                    end: None,
                });
            }
            ("warning", Some(open)) => open.document.add_warning(&event.data)?,
            ("case-finished" | "task-retried", Some(open)) => open.cases.handle(event),
            ("task-finished", Some(open)) => {
                let cases = open.cases.take(event.task.as_deref().unwrap_or_default());
                open.document.write_test(&mut open.buffer, event, &cases)?;
                if open.buffer.len() >= BUFFER_SIZE {
                    open.flush()?;
                }
            }
            ("job-finished", Some(open)) => open.end = Some(event.clone()),
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.0.as_mut().map_or(Ok(()), OpenReport::flush)
    }

    fn finish_report(&mut self, end: &JobEnd) -> Result<(), Error> {
        let Some(mut open) = self.0.take() else {
            return Ok(());
        };
        let finished = open.end.take().unwrap_or_default();
        open.document
            .end(&mut open.buffer, &finished, end.complete)?;
        open.flush()
    }
}

export!(Json: result_format);
