//! Owns the result format `html`: one file that shows a job in a browser, without a network and
//! without other files.
//!
//! The file has the results as data, one JSON object on each line, and a script that shows them.
//! Data is written while the job runs, so memory use does not grow with the number of tests.
//!
//! What tests print is hostile input. The script makes text of it and never markup, no `<` of it is
//! in the file, and the page's security policy allows no other script, style or connection.

mod noscript;
mod page;
mod records;
mod settings;

use std::collections::BTreeMap;

use persea_plugin_sdk::CaseBuffer;
use persea_plugin_sdk::artifacts::of_task;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::report_output::{self, Report};

use noscript::Summary;
use records::{Attempt, End, Job, Output, Planned, Record, Requirement, Test, Warning};
use settings::Settings;

/// Size of the buffer at which it is flushed to the host, in bytes.
const BUFFER_SIZE: usize = 64 * 1024;

/// Kinds of events that the host passes to this plugin.
const EVENTS: [&str; 10] = [
    "job-started",
    "warning",
    "task-planned",
    "task-started",
    "task-retried",
    "task-finished",
    "case-finished",
    "requirement-started",
    "requirement-finished",
    "job-finished",
];

/// The files of a test whose beginning and end the page shows.
const SHOWN_FILES: [&str; 3] = ["stderr", "stdout", "debug.log"];

/// The result format `html`.
#[derive(Debug)]
pub struct Html {
    settings: Settings,
    open: Option<OpenReport>,
}

#[derive(Debug)]
struct OpenReport {
    report: Report,
    /// Bytes that the host does not have yet.
    buffer: Vec<u8>,
    /// The time of the event `job-started`, in nanoseconds since 1970.
    started: u64,
    cases: CaseBuffer,
    /// What is known of tasks that have started and not finished, by id.
    running: BTreeMap<String, RunningTask>,
    /// The requirements that have started and not finished, by id.
    requirements: BTreeMap<String, Requirement>,
    summary: Summary,
    /// How many bytes of output the report may still take.
    output_left: u64,
    /// The event `job-finished`, once it was received.
    end: Option<Event>,
}

#[derive(Debug, Default)]
struct RunningTask {
    environment: Option<serde_json::Value>,
    attempts: Vec<Attempt>,
}

impl Plugin for Html {
    fn describe() -> Description {
        let role = Role::result_format()
            .with("file", "results.html")
            .with("enabled", false)
            .with("streams", true)
            .with("events", Value::list(EVENTS));
        Description::new("html", "writes one page that shows the job in a browser")
            .role(role)
            .setting(&settings::MAX_OUTPUT_KB)
            .setting(&settings::MAX_TOTAL_OUTPUT_MB)
    }
}

impl ResultFormat for Html {
    fn start_report(job: &ReportJob) -> Result<Self, Error> {
        Ok(Self {
            settings: Settings::read(&job.settings),
            open: None,
        })
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        match (event.kind.as_str(), &mut self.open) {
            ("job-started", open @ None) => {
                *open = Some(OpenReport::begin(event, &self.settings)?);
                Ok(())
            }
            (_, Some(open)) => open.handle(event, &self.settings),
            (_, None) => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.open.as_mut().map_or(Ok(()), OpenReport::flush)
    }

    fn finish_report(&mut self, end: &JobEnd) -> Result<(), Error> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        let finished = open.end.take().unwrap_or_default();
        open.write(&Record::End(End::new(&finished.data, end.complete)))?;
        let summary = std::mem::take(&mut open.summary);
        page::end(&mut open.buffer, &summary);
        open.flush()
    }
}

impl OpenReport {
    fn begin(event: &Event, settings: &Settings) -> Result<Self, Error> {
        let job = Job::new(event);
        let mut buffer = Vec::new();
        page::begin(&mut buffer, &job.name);
        let mut open = Self {
            report: report_output::open()?,
            buffer,
            started: event.time,
            cases: CaseBuffer::new(),
            running: BTreeMap::new(),
            requirements: BTreeMap::new(),
            summary: Summary::default(),
            output_left: settings.max_total_output,
            end: None,
        };
        open.write(&Record::Job(job))?;
        Ok(open)
    }

    fn handle(&mut self, event: &Event, settings: &Settings) -> Result<(), Error> {
        let id = event.task.as_deref().unwrap_or_default();
        match event.kind.as_str() {
            "warning" => self.write(&Record::Warning(Warning::new(&event.data)))?,
            "task-planned" => {
                if let Some(planned) = Planned::new(id, &event.data) {
                    self.write(&Record::Planned(planned))?;
                }
            }
            "task-started" => {
                let task = self.running.entry(id.to_owned()).or_default();
                task.environment = records::json(&event.data, "environment");
            }
            "case-finished" => self.cases.handle(event),
            "task-retried" => {
                self.cases.handle(event);
                let attempt = Attempt::new(&event.data, self.started);
                let task = self.running.entry(id.to_owned()).or_default();
                task.attempts.push(attempt);
            }
            "task-finished" => self.write_test(id, event, settings)?,
            "requirement-started" => {
                let (name, requirement) = Requirement::new(event, self.started);
                self.requirements.insert(name, requirement);
            }
            "requirement-finished" => {
                let name = event.data.text("id").unwrap_or_default();
                if let Some(requirement) = self.requirements.remove(name) {
                    self.write(&Record::Requirement(requirement.finish(&event.data)))?;
                }
            }
            "job-finished" => self.end = Some(event.clone()),
            _ => {}
        }
        Ok(())
    }

    fn write_test(&mut self, id: &str, event: &Event, settings: &Settings) -> Result<(), Error> {
        let RunningTask {
            environment,
            mut attempts,
        } = self.running.remove(id).unwrap_or_default();
        attempts.truncate(event.earlier_attempts());
        let mut test = Test::new(id, &event.data, self.started);
        test.environment = environment;
        test.attempts = attempts;
        test.add_cases(self.cases.take(id));
        if test.is_shown_whole() {
            self.add_files(&mut test, settings);
        }
        self.summary.add(&test);
        self.write(&Record::Test(Box::new(test)))
    }

    /// Adds the names of a test's files, and what is in those that people read first. A test whose
    /// directory cannot be read has none: a report without the output is better than no report.
    fn add_files(&mut self, test: &mut Test, settings: &Settings) {
        let files = of_task(&test.id);
        test.files = files
            .list()
            .unwrap_or_default()
            .into_iter()
            .map(Into::into)
            .collect();
        for name in SHOWN_FILES {
            let has_text = |file: &&records::File| file.name == name && file.size > 0;
            let Some(file) = test.files.iter().find(has_text) else {
                continue;
            };
            let limit = settings.max_output.min(self.output_left);
            self.output_left -= limit.min(file.size);
            if let Ok(excerpt) = files.excerpt(name, limit) {
                test.output.push(Output::new(name, excerpt));
            }
        }
    }

    fn write(&mut self, record: &Record) -> Result<(), Error> {
        record.write(&mut self.buffer)?;
        match self.buffer.len() >= BUFFER_SIZE {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.buffer.is_empty() {
            self.report.append(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

export!(Html: result_format);
