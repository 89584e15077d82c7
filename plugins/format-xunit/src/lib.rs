//! The result format `xunit`: `results.xml` for whatever reads JUnit's reports, Jenkins first of all.
//!
//! It is one `testsuite`, written as the tests finish; its totals stand in its first tag and are written over at the end. What is
//! kept in memory does not grow with the job.
//!
//! Counted as in Avocado: `errors` are those that ended in ERROR or were INTERRUPTED, `skipped` those that ended in SKIP or
//! CANCEL, `time` is the sum of all tests' times. Beside what Avocado writes there are reasons of skips, properties, a class name
//! for every test (`case::class_name`) and the two streams that a failed test has written, each cut to the setting
//! `job.run.result.xunit.max_test_log_chars` (by default 100,000 bytes).
//!
//! A test that passed only when it was tried again says so in its `system-out`, and the property `flaky` counts such tests:
//! both schemas have these. With the setting `job.run.result.xunit.rerun_elements` failed attempts are `flakyFailure`,
//! `rerunFailure` and the like instead, which only Jenkins' schema has.
//!
//! `tests/schema.sh` checks reports against the schemas of Jenkins' xUnit plugin and of Avocado.

mod attempts;
mod captured;
mod case;
mod clean;
mod settings;
mod suite;

use persea_plugin_sdk::output::{self, Report};
use persea_plugin_sdk::prelude::*;

use attempts::Attempts;
use settings::Settings;
use suite::Suite;

/// What is gathered before it is handed to the host, in bytes.
const BUFFER: usize = 64 * 1024;

/// The events that it takes.
const EVENTS: &str =
    r#"["job-started", "warning", "task-retried", "task-finished", "job-finished"]"#;

/// The plugin.
#[derive(Debug, Default)]
pub struct Xunit(Option<Open>);

#[derive(Debug)]
struct Open {
    report: Report,
    /// What the host hasn't been given yet.
    buffer: Vec<u8>,
    suite: Suite,
    attempts: Attempts,
    settings: Settings,
}

impl Open {
    fn flush(&mut self) -> Result<(), Error> {
        self.report.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl ResultFormat for Xunit {
    fn describe() -> Description {
        Description::new("xunit", "results.xml, for what reads JUnit's reports")
            .with("file", "results.xml")
            .with("events", Value::json(EVENTS))
            .settings([
                settings::JOB_NAME,
                settings::MAX_TEST_LOG_CHARS,
                settings::RERUN_ELEMENTS,
            ])
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        match (event.kind.as_str(), &mut self.0) {
            ("job-started", open @ None) => {
                let settings = Settings::of(&event.data);
                let mut buffer = Vec::new();
                let report = output::open()?;
                let suite = Suite::begin(&mut buffer, event, &settings)?;
                *open = Some(Open {
                    report,
                    buffer,
                    suite,
                    attempts: Attempts::default(),
                    settings,
                });
            }
            ("warning", Some(open)) => open.suite.warn(&event.data),
            ("task-retried", Some(open)) => open.attempts.add(event),
            ("task-finished", Some(open)) => {
                open.suite.count(&event.data);
                let attempts = open.attempts.take(event);
                let limit = open.settings.max_test_log_chars;
                let captured = |task: &str, name: &str| captured::read(task, name, limit);
                let (buffer, settings) = (&mut open.buffer, &open.settings);
                case::write(buffer, event, &attempts, settings, captured)?;
                if open.buffer.len() >= BUFFER {
                    open.flush()?;
                }
            }
            ("job-finished", open) => {
                if let Some(mut open) = open.take() {
                    open.suite.end(&mut open.buffer)?;
                    open.flush()?;
                    let suite = &open.suite;
                    open.report
                        .write_at(suite.offset(), &suite.tag(suite.tests))?;
                    open.report
                        .write_at(suite.flaky_offset(), &suite.flaky_tag())?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

export!(result_format: Xunit);
