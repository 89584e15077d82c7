//! The result format `tap`: `results.tap`, one test point for each test in the order in which they finish.
//!
//! The lines are those of Avocado's, in the TAP that every version of the protocol reads (<https://testanything.org>). Beside them
//! stand comments: why a test did not pass, and what became of the job. A job that was cut short ends with `Bail out!`: what
//! reads the report must not take it for a whole one, even where all tests that are in it have passed.

mod lines;

use persea_plugin_sdk::output::{self, Report};
use persea_plugin_sdk::prelude::*;

/// The plugin.
#[derive(Debug, Default)]
pub struct Tap {
    report: Option<Report>,
    buffer: String,
    planned: i64,
    finished: i64,
}

impl ResultFormat for Tap {
    fn describe() -> Description {
        Description::new("tap", "results.tap, a line for each test as it finishes")
            .with("file", "results.tap")
            .with("streams", true)
            .with(
                "events",
                Value::json(r#"["job-started", "warning", "task-finished", "job-finished"]"#),
            )
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        let data = &event.data;
        match event.kind.as_str() {
            "job-started" => {
                self.report = Some(output::open()?);
                self.planned = data.integer("total").unwrap_or(0);
                lines::plan(&mut self.buffer, self.planned);
            }
            "warning" => lines::warning(&mut self.buffer, data),
            "task-finished" => {
                self.finished += 1;
                lines::test(&mut self.buffer, self.finished, data);
            }
            "job-finished" => lines::end(&mut self.buffer, self.planned, self.finished, data),
            _ => {}
        }
        Ok(())
    }

    // Somebody may be reading along: a line that is known is written.
    fn flush(&mut self) -> Result<(), Error> {
        if let Some(report) = self.report.as_ref().filter(|_| !self.buffer.is_empty()) {
            report.write(self.buffer.as_bytes())?;
        }
        self.buffer.clear();
        Ok(())
    }
}

export!(result_format: Tap);
