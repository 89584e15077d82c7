//! Owns the result format `tap`: `results.tap`, with a test point for each test, in the order in
//! which tests finish.
//!
//! The lines are Avocado's, in the subset of TAP that every version of the protocol has
//! (<https://testanything.org>). Comments add why a test did not pass and how the job ended.
//! The report of a job that was interrupted, or that did not come to its end, ends with
//! `Bail out!`, so that no reader counts the job as passed, even where all tests in the report have
//! passed.
//!
//! The cases of a test are a subtest of TAP 14 before the test's own line. It is indented, so that
//! readers of earlier versions ignore it.

mod lines;

use persea_plugin_sdk::CaseBuffer;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::report_output::{self, Report};

/// Kinds of events that the host passes to this plugin.
const EVENTS: [&str; 6] = [
    "job-started",
    "warning",
    "case-finished",
    "task-retried",
    "task-finished",
    "job-finished",
];

/// The result format `tap`.
#[derive(Debug, Default)]
pub struct Tap {
    report: Option<Report>,
    buffer: String,
    planned: i64,
    finished: i64,
    cases: CaseBuffer,
    has_bailed_out: bool,
}

impl Plugin for Tap {
    fn describe() -> Description {
        let role = Role::result_format()
            .with("file", "results.tap")
            .with("streams", true)
            .with("events", Value::list(EVENTS));
        let summary = "writes results.tap, a line for each test as it finishes";
        Description::new("tap", summary).role(role)
    }
}

impl ResultFormat for Tap {
    fn start_report(_: &ReportJob) -> Result<Self, Error> {
        Ok(Self::default())
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        let data = &event.data;
        match event.kind.as_str() {
            "job-started" => {
                self.report = Some(report_output::open()?);
                self.planned = data.integer("total").unwrap_or(0);
                lines::plan(&mut self.buffer, self.planned);
            }
            "case-finished" | "task-retried" => self.cases.handle(event),
            "warning" => lines::warning(&mut self.buffer, data),
            "task-finished" => {
                self.finished += 1;
                let cases = self.cases.take(event.task.as_deref().unwrap_or_default());
                lines::subtest(&mut self.buffer, data, &cases);
                lines::test(&mut self.buffer, self.finished, data);
            }
            "job-finished" => {
                lines::end(&mut self.buffer, self.planned, self.finished);
                if let Some(reason) = data.text("interrupted-by") {
                    lines::bail_out(&mut self.buffer, reason);
                    self.has_bailed_out = true;
                }
            }
            _ => {}
        }
        Ok(())
    }

    // Somebody may follow the file, so a line is written as soon as it is known.
    fn flush(&mut self) -> Result<(), Error> {
        if let Some(report) = self.report.as_ref().filter(|_| !self.buffer.is_empty()) {
            report.append(self.buffer.as_bytes())?;
        }
        self.buffer.clear();
        Ok(())
    }

    fn finish_report(&mut self, end: &JobEnd) -> Result<(), Error> {
        if !end.complete && !self.has_bailed_out {
            lines::bail_out(&mut self.buffer, "the job did not come to its end");
        }
        self.flush()
    }
}

export!(Tap: result_format);
