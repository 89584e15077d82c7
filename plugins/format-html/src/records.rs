//! Owns the data of the page: one JSON object for the job, each test, requirement and warning.
//! The script of the page reads the same names. Does not know how anything is shown.

use persea_plugin_sdk::artifacts::{Artifact, Excerpt};
use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::{Attributes, TaskCases};
use serde::Serialize;

/// One line of data.
#[derive(Debug, Serialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub(crate) enum Record {
    Job(Job),
    Warning(Warning),
    Planned(Planned),
    Test(Box<Test>),
    Requirement(Requirement),
    End(End),
}

impl Record {
    /// Appends the record as a line. No `<` is in it, so nothing in it can end the script element
    /// that holds it, or begin a comment there.
    pub(crate) fn write(&self, to: &mut Vec<u8>) -> Result<(), Error> {
        let line = serde_json::to_string(self)
            .map_err(|error| Error::new("invalid", format!("a record of the page: {error}")))?;
        to.extend_from_slice(line.replace('<', "\\u003c").as_bytes());
        to.push(b'\n');
        Ok(())
    }
}

/// The job.
#[derive(Debug, Serialize)]
pub(crate) struct Job {
    pub(crate) name: String,
    id: String,
    directory: String,
    project: String,
    version: String,
    /// When the job started, in milliseconds since 1970.
    started: u64,
    total: i64,
    references: Vec<String>,
    shuffle_seed: Option<String>,
}

impl Job {
    pub(crate) fn new(event: &Event) -> Self {
        let data = &event.data;
        Self {
            name: text(data, "name"),
            id: text(data, "job-id"),
            directory: text(data, "job-dir"),
            project: text(data, "project-dir"),
            version: text(data, "persea-version"),
            started: event.time / 1_000_000,
            total: data.integer("total").unwrap_or_default(),
            references: data.list("references").unwrap_or_default(),
            shuffle_seed: json(data, "shuffle-seed").map(|seed| seed.to_string()),
        }
    }
}

/// The end of the job.
#[derive(Debug, Serialize)]
pub(crate) struct End {
    complete: bool,
    /// How long the job took, in seconds.
    time: Option<f64>,
    interrupted_by: Option<String>,
    switches: Option<i64>,
}

impl End {
    pub(crate) fn new(data: &Attributes, complete: bool) -> Self {
        Self {
            complete,
            time: seconds(data, "elapsed"),
            interrupted_by: data.text("interrupted-by").map(str::to_owned),
            switches: data.integer("switches"),
        }
    }
}

/// A warning of the job.
#[derive(Debug, Serialize)]
pub(crate) struct Warning {
    message: String,
    reference: Option<String>,
    plugin: Option<String>,
}

impl Warning {
    pub(crate) fn new(data: &Attributes) -> Self {
        Self {
            message: text(data, "message"),
            reference: data.text("reference").map(str::to_owned),
            plugin: data.text("plugin").map(str::to_owned),
        }
    }
}

/// What a task waits for.
#[derive(Debug, Serialize)]
pub(crate) struct Planned {
    id: String,
    name: String,
    needs: Vec<String>,
    after: Vec<String>,
}

impl Planned {
    /// Reads an event `task-planned`. None for a task that waits for no other.
    pub(crate) fn new(id: &str, data: &Attributes) -> Option<Self> {
        let text = data.json("runnable")?;
        // Most tasks wait for nothing, and parsing costs more than searching.
        if !["\"needs\"", "\"after\""]
            .iter()
            .any(|name| text.contains(name))
        {
            return None;
        }
        let runnable: serde_json::Value = serde_json::from_str(text).ok()?;
        let list = |name: &str| -> Vec<String> {
            let list = runnable.pointer(&format!("/more/{name}"));
            let list = list.and_then(serde_json::Value::as_array);
            let texts = list.into_iter().flatten().filter_map(|text| text.as_str());
            texts.map(str::to_owned).collect()
        };
        let planned = Self {
            id: id.to_owned(),
            name: name_of(data),
            needs: list("needs"),
            after: list("after"),
        };
        (!planned.needs.is_empty() || !planned.after.is_empty()).then_some(planned)
    }
}

/// A finished test.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Test {
    pub(crate) id: String,
    pub(crate) name: String,
    kind: String,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    /// When the test started, in seconds since the job started.
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<f64>,
    /// How long the test ran, in seconds.
    time: f64,
    /// The directory of the test's files, relative to the job's; none if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_directory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suite: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "is_false")]
    flaky: bool,
    #[serde(skip_serializing_if = "is_false")]
    infrastructure: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceback: Option<String>,
    /// The processor time of the test's processes, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<f64>,
    /// The peak of the test's memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_behind: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<serde_json::Value>,
    /// The attempts before the last one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) attempts: Vec<Attempt>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cases: Vec<TestCase>,
    #[serde(skip_serializing_if = "is_zero")]
    cases_left_out: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<File>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) output: Vec<Output>,
}

impl Test {
    pub(crate) fn new(id: &str, data: &Attributes, job_started: u64) -> Self {
        let own = |name: &str| data.text(name).map(str::to_owned);
        let cpu = [seconds(data, "cpu-user"), seconds(data, "cpu-system")];
        let has_directory = data.boolean("has-directory").unwrap_or(true);
        Self {
            id: id.to_owned(),
            name: name_of(data),
            kind: text(data, "kind"),
            status: text(data, "status"),
            reason: own("reason"),
            uri: own("uri"),
            start: start(data, job_started),
            time: seconds(data, "elapsed").unwrap_or_default(),
            directory: own("directory").filter(|_| has_directory),
            batch_directory: own("batch-directory"),
            suite: own("suite"),
            variant: own("variant"),
            tags: json(data, "tags")
                .filter(|tags| tags.as_object().is_some_and(|it| !it.is_empty())),
            flaky: data.boolean("flaky").unwrap_or_default(),
            infrastructure: data.boolean("infrastructure").unwrap_or_default(),
            traceback: own("traceback"),
            cpu: cpu.into_iter().flatten().reduce(|one, other| one + other),
            peak_memory: data.integer("peak-memory"),
            left_behind: data.integer("left-behind"),
            ..Self::default()
        }
    }

    /// Whether the page shows the test's files: those of a test that people look for.
    pub(crate) fn is_shown_whole(&self) -> bool {
        self.directory.is_some() && (self.status != "PASS" || self.flaky)
    }

    pub(crate) fn add_cases(&mut self, cases: TaskCases) {
        self.cases_left_out = cases.left_out;
        self.cases = cases.cases.into_iter().map(Into::into).collect();
    }
}

/// An attempt that was not the last one.
#[derive(Debug, Serialize)]
pub(crate) struct Attempt {
    status: String,
    reason: Option<String>,
    cause: Option<String>,
    start: Option<f64>,
    time: f64,
    directory: Option<String>,
}

impl Attempt {
    pub(crate) fn new(data: &Attributes, job_started: u64) -> Self {
        let has_directory = data.boolean("has-directory").unwrap_or(true);
        let directory = data.text("directory").filter(|_| has_directory);
        Self {
            status: text(data, "status"),
            reason: data.text("reason").map(str::to_owned),
            cause: data.text("cause").map(str::to_owned),
            start: start(data, job_started),
            time: seconds(data, "elapsed").unwrap_or_default(),
            directory: directory.map(str::to_owned),
        }
    }
}

/// A case of a test.
#[derive(Debug, Serialize)]
struct TestCase {
    path: Vec<String>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<Case> for TestCase {
    fn from(case: Case) -> Self {
        Self {
            path: case.path,
            status: case.status.name(),
            time: case.duration.map(|duration| duration.as_secs_f64()),
            reason: case.reason,
        }
    }
}

/// A file in the directory of a test.
#[derive(Debug, Serialize)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) size: u64,
}

impl From<Artifact> for File {
    fn from(artifact: Artifact) -> Self {
        Self {
            name: artifact.name,
            size: artifact.size,
        }
    }
}

/// What is in a file of a test.
#[derive(Debug, Serialize)]
pub(crate) struct Output {
    name: &'static str,
    head: String,
    #[serde(skip_serializing_if = "is_zero")]
    left_out: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    tail: String,
}

impl Output {
    pub(crate) fn new(name: &'static str, excerpt: Excerpt) -> Self {
        Self {
            name,
            head: excerpt.head,
            left_out: excerpt.left_out,
            tail: excerpt.tail,
        }
    }
}

/// A requirement.
#[derive(Debug, Serialize)]
pub(crate) struct Requirement {
    name: String,
    scope: String,
    resolver: String,
    spawner: Option<String>,
    task: Option<String>,
    /// When the check started, in seconds since the job started.
    start: f64,
    state: String,
    reason: Option<String>,
    time: f64,
}

impl Requirement {
    /// Reads an event `requirement-started`. Returns the id too.
    pub(crate) fn new(event: &Event, job_started: u64) -> (String, Self) {
        let data = &event.data;
        let requirement = Self {
            name: text(data, "name"),
            scope: text(data, "scope"),
            resolver: text(data, "resolver"),
            spawner: data.text("spawner").map(str::to_owned),
            task: event.task.clone(),
            start: since(event.time, job_started),
            state: String::new(),
            reason: None,
            time: 0.0,
        };
        (text(data, "id"), requirement)
    }

    /// Adds what an event `requirement-finished` has.
    pub(crate) fn finish(mut self, data: &Attributes) -> Self {
        self.state = text(data, "state");
        self.reason = data.text("reason").map(str::to_owned);
        self.time = seconds(data, "elapsed").unwrap_or_default();
        self
    }
}

/// Reads a field that is JSON, such as an object.
pub(crate) fn json(data: &Attributes, name: &str) -> Option<serde_json::Value> {
    match data.get(name)? {
        Value::Json(_) => serde_json::from_str(data.json(name)?).ok(),
        Value::Integer(number) => Some((*number).into()),
        _ => data.text(name).map(Into::into),
    }
}

fn text(data: &Attributes, name: &str) -> String {
    data.text(name).unwrap_or_default().to_owned()
}

/// The name of a task for people.
fn name_of(data: &Attributes) -> String {
    let name = data.text("title").or_else(|| data.text("name"));
    name.unwrap_or_default().to_owned()
}

fn seconds(data: &Attributes, name: &str) -> Option<f64> {
    data.duration(name).map(|duration| duration.as_secs_f64())
}

fn start(data: &Attributes, job_started: u64) -> Option<f64> {
    let started = u64::try_from(data.integer("started")?).ok()?;
    Some(since(started, job_started))
}

/// The seconds between two times in nanoseconds; negative if the clock was set back.
fn since(time: u64, begin: u64) -> f64 {
    let microseconds = (i128::from(time) - i128::from(begin)) / 1_000;
    // A job of 100 years has fewer microseconds than the 2^53 that are exact.
    #[allow(clippy::cast_precision_loss)]
    let exact = microseconds as f64;
    exact / 1e6
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
