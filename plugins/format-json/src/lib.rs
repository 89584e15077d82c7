//! The result format `json`: `results.json` as Avocado writes it, made while the job runs.
//!
//! Every key that Avocado has is there, with what it means there, but for these:
//! * `time_start` and `time_end` are seconds since the job started, by the clock of the machine: the journal knows no other.
//!   (In Avocado they are readings of a monotonic clock, whose zero means nothing.) `time_elapsed` is measured, and `time` is the
//!   sum of it over all tests, as there.
//! * `start` is in UTC.
//! * A test that never started has an entry too: its times are those of the moment at which that was settled, and
//!   `time_elapsed` is 0.
//!
//! Beside them the job has `warnings` where there are any, and a test has `kind` and, where there are any, `uri`, `returncode`, `attempts` and `flaky`.

mod document;

use document::Document;
use persea_plugin_sdk::output::{self, Report};
use persea_plugin_sdk::prelude::*;

/// What is gathered before it is handed to the host, in bytes.
const BUFFER: usize = 64 * 1024;

/// The plugin.
#[derive(Debug, Default)]
pub struct Json(Option<Open>);

#[derive(Debug)]
struct Open {
    report: Report,
    /// What the host hasn't been given yet.
    buffer: Vec<u8>,
    document: Document,
}

impl Open {
    fn flush(&mut self) -> Result<(), Error> {
        if !self.buffer.is_empty() {
            self.report.write(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl ResultFormat for Json {
    fn describe() -> Description {
        Description::new("json", "results.json, with the keys that Avocado's has")
            .with("file", "results.json")
            .with("streams", true)
            .with(
                "events",
                Value::json(r#"["job-started", "warning", "task-finished", "job-finished"]"#),
            )
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        match (event.kind.as_str(), &mut self.0) {
            ("job-started", open @ None) => {
                let mut buffer = Vec::new();
                let report = output::open()?;
                let document = Document::begin(&mut buffer, event)?;
                *open = Some(Open {
                    report,
                    buffer,
                    document,
                });
            }
            ("warning", Some(open)) => open.document.warn(&event.data)?,
            ("task-finished", Some(open)) => {
                open.document.test(&mut open.buffer, event)?;
                if open.buffer.len() >= BUFFER {
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
        self.0.as_mut().map_or(Ok(()), Open::flush)
    }
}

export!(result_format: Json);
