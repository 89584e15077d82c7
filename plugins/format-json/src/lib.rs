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
//! Keys that Avocado does not have: `warnings` of a job that has some; `kind` of each test; `uri`,
//! `returncode`, `attempts` and `flaky` of a test where they apply; `cases` of a test that has
//! some, a list of objects with `path`, `status`, and `time` and `reason` where they are known, and
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
            ("job-finished", open) => {
                if let Some(mut open) = open.take() {
                    open.document.end(&mut open.buffer, event)?;
                    open.flush()?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.0.as_mut().map_or(Ok(()), OpenReport::flush)
    }
}

export!(Json: result_format);
