//! Owns the result format `xunit`: `results.xml` for readers of JUnit reports, such as Jenkins.
//!
//! Each case of a test is a `testcase` too, after that of the test. Its class is the test's name,
//! its name the case's path. Cases count in the totals, as readers count elements, but not in
//! `time`, which has the test's own.
//!
//! The report is one `testsuite`, written as the tests finish. Its totals are in its start tag,
//! which is overwritten at the end. Memory use does not grow with the number of tests.
//!
//! Tests are counted as in Avocado: `errors` are tests with the result ERROR or INTERRUPTED,
//! `skipped` are those with SKIP or CANCEL, `time` is the sum of the durations of all tests.
//! Additions to Avocado's report: the reason of a skip, properties, a class name for every test
//! (`case::class_name`), and the standard output and error of a failed test, each shortened to the
//! setting `job.run.result.xunit.max_test_log_chars` (100,000 bytes by default).
//!
//! The property `complete` is `false` until the job has come to its end, also in the report of a
//! host that was killed.
//!
//! A test that passed after a retry lists its attempts in `system-out`, and the property `flaky`
//! counts such tests: the schemas of Jenkins and of Avocado both allow this. With the setting
//! `job.run.result.xunit.rerun_elements`, failed attempts are elements instead (`flakyFailure`,
//! `rerunFailure` and the like), which only Jenkins' schema allows.
//!
//! With the setting `job.run.result.xunit.test_properties`, a test has what its processes used as
//! properties. Neither schema allows properties of a test, though many readers know them.
//!
//! `tests/schema.sh` checks reports against the schemas of Jenkins' xUnit plugin and of Avocado.

mod attempts;
mod case;
mod clean;
mod settings;
mod suite;

use persea_plugin_sdk::CaseBuffer;
use persea_plugin_sdk::artifacts::{Excerpt, of_task};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::report_output::{self, Report};

use attempts::Attempts;
use settings::Settings;
use suite::Suite;

/// Size of the buffer at which it is flushed to the host, in bytes.
const BUFFER_SIZE: usize = 64 * 1024;

/// Kinds of events that the host passes to this plugin.
const EVENTS: [&str; 5] = [
    "job-started",
    "warning",
    "case-finished",
    "task-retried",
    "task-finished",
];

/// The result format `xunit`.
#[derive(Debug)]
pub struct Xunit {
    settings: Settings,
    open: Option<OpenReport>,
}

#[derive(Debug)]
struct OpenReport {
    report: Report,
    /// Bytes that the host does not have yet.
    buffer: Vec<u8>,
    suite: Suite,
    attempts: Attempts,
    cases: CaseBuffer,
}

impl OpenReport {
    fn flush(&mut self) -> Result<(), Error> {
        self.report.append(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Plugin for Xunit {
    fn describe() -> Description {
        let role = Role::result_format()
            .with("file", "results.xml")
            .with("events", Value::list(EVENTS));
        Description::new("xunit", "writes results.xml for readers of JUnit reports")
            .role(role)
            .setting(&settings::JOB_NAME)
            .setting(settings::max_test_log_chars())
            .setting(&settings::RERUN_ELEMENTS)
            .setting(&settings::TEST_PROPERTIES)
    }
}

/// Reads a task's file. Returns `None` where the file is empty, missing or unreadable: a report
/// without the output is better than no report.
fn captured(task: &str, name: &str, limit: u64) -> Option<String> {
    let Excerpt {
        head,
        left_out,
        tail,
    } = of_task(task).excerpt(name, limit).ok()?;
    match left_out {
        0 => Some(head).filter(|text| !text.is_empty()),
        _ => Some(format!(
            "{head}\n\n--[ CUT DUE TO XML PER TEST LIMIT: {left_out} BYTES LEFT OUT ]--\n\n{tail}"
        )),
    }
}

impl ResultFormat for Xunit {
    fn start_report(job: &ReportJob) -> Result<Self, Error> {
        Ok(Self {
            settings: Settings::read(&job.settings),
            open: None,
        })
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        let settings = &self.settings;
        match (event.kind.as_str(), &mut self.open) {
            ("job-started", open @ None) => {
                let mut buffer = Vec::new();
                let report = report_output::open()?;
                let suite = Suite::begin(&mut buffer, event, settings)?;
                *open = Some(OpenReport {
                    report,
                    buffer,
                    suite,
                    attempts: Attempts::default(),
                    cases: CaseBuffer::new(),
                });
            }
            ("warning", Some(open)) => open.suite.add_warning(&event.data),
            ("case-finished", Some(open)) => open.cases.handle(event),
            ("task-retried", Some(open)) => {
                open.cases.handle(event);
                open.attempts.add(event);
            }
            ("task-finished", Some(open)) => {
                open.suite.count(&event.data);
                let attempts = open.attempts.take(event);
                let limit = settings.max_test_log_chars;
                let captured = |task: &str, name: &str| captured(task, name, limit);
                case::write(&mut open.buffer, event, &attempts, settings, captured)?;
                let cases = open.cases.take(event.task.as_deref().unwrap_or_default());
                for case in &cases.cases {
                    open.suite.count_case(case);
                    case::write_case(&mut open.buffer, &event.data, case)?;
                }
                open.suite.add_left_out(&event.data, cases.left_out);
                if open.buffer.len() >= BUFFER_SIZE {
                    open.flush()?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish_report(&mut self, end: &JobEnd) -> Result<(), Error> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        open.suite.end(&mut open.buffer)?;
        open.flush()?;
        let suite = &open.suite;
        let properties = suite.final_properties(end.complete);
        open.report
            .overwrite(suite.offset(), &suite.start_tag(suite.tests))?;
        open.report
            .overwrite(suite.final_properties_offset(), &properties)
    }
}

export!(Xunit: result_format);
