//! Owns the text of `results.json`: turns each event into the bytes to append to the report.
//! Does not know about the host, nor when bytes are flushed.
//!
//! The keys are those of `avocado/plugins/jsonresult.py` in Avocado 113.0, so that readers of
//! Avocado's results can read these. JSON gives the order of keys no meaning: totals, which are
//! known only at the job's end, follow the tests.

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::Offset;
use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::{Attributes, Event, TaskCases};

/// Avocado's value for a missing text.
const UNKNOWN: &str = "<unknown>";

/// Limit of warnings in a report; the journal has all of them.
const MAX_WARNINGS: usize = 1000;

/// State of a report that is being written. Its size does not grow with the number of tests; it
/// keeps at most [`MAX_WARNINGS`] warnings.
#[derive(Debug)]
pub(crate) struct Document {
    job_dir: String,
    /// Start of the job, in nanoseconds since 1970.
    started: i64,
    tests: u64,
    /// Sum of the durations of all tests, in nanoseconds.
    elapsed: i64,
    /// Warnings as JSON objects, to be written after the tests.
    warnings: Vec<String>,
    /// Number of warnings that were dropped because of [`MAX_WARNINGS`].
    dropped_warnings: usize,
}

/// Value of a member of a JSON object.
enum Field<'a> {
    Text(&'a str),
    /// Texts to be written as one, without a separator between them.
    Path(&'a [&'a str]),
    /// A number of nanoseconds, written in seconds.
    Seconds(i64),
    Integer(i64),
    /// Valid JSON, written unchanged.
    Json(&'a str),
}

impl Document {
    /// Writes everything that precedes the first test.
    pub(crate) fn begin(out: &mut impl Write, event: &Event) -> io::Result<Self> {
        let data = &event.data;
        let job_dir = data.text("job-dir").unwrap_or_default();
        out.write_all(b"{")?;
        let head = [
            ("debuglog", Field::Path(&[job_dir, "/job.log"])),
            (
                "job_id",
                Field::Text(data.text("job-id").unwrap_or(UNKNOWN)),
            ),
            ("start", Field::Text(&date_and_time(event.time))),
        ];
        write_fields(out, "    ", &head)?;
        out.write_all(b",\n    \"tests\": [")?;
        Ok(Self {
            job_dir: job_dir.to_owned(),
            started: to_signed(event.time),
            tests: 0,
            elapsed: 0,
            warnings: Vec::new(),
            dropped_warnings: 0,
        })
    }

    /// Keeps a warning, to be written at the end of the report.
    pub(crate) fn add_warning(&mut self, data: &Attributes) -> io::Result<()> {
        if self.warnings.len() == MAX_WARNINGS {
            self.dropped_warnings += 1;
            return Ok(());
        }
        let names = ["cause", "message", "plugin", "reference"];
        let texts = names
            .into_iter()
            .filter_map(|name| Some((name, Field::Text(data.text(name)?))));
        self.warnings
            .push(render_object(&texts.collect::<Vec<_>>())?);
        Ok(())
    }

    /// Renders all warnings as the items of a JSON array.
    fn render_warnings(&self) -> io::Result<String> {
        let mut all = self.warnings.join(",\n        ");
        if self.dropped_warnings > 0 {
            let message = format!(
                "{} more warnings: the journal has them",
                self.dropped_warnings
            );
            all.push_str(",\n        ");
            all.push_str(&render_object(&[("message", Field::Text(&message))])?);
        }
        Ok(all)
    }

    /// Writes a test with its cases. A test that never started has its end as its start, and a
    /// duration of 0.
    pub(crate) fn write_test(
        &mut self,
        out: &mut impl Write,
        event: &Event,
        cases: &TaskCases,
    ) -> io::Result<()> {
        let data = &event.data;
        let text = |name| data.text(name).unwrap_or(UNKNOWN);
        let elapsed = data.integer("elapsed").unwrap_or(0);
        let end = to_signed(event.time);
        let start = data.integer("started").unwrap_or(end);
        let log_dir: [&str; 4] = [
            &self.job_dir,
            "/",
            data.text("directory").unwrap_or_default(),
            "/debug.log",
        ];
        // A test that has left nothing has no directory.
        let path = |parts| match data.boolean("has-directory") {
            Some(false) => Field::Text(UNKNOWN),
            _ => Field::Path(parts),
        };
        let tags = data.json("tags").filter(|json| is_object(json));

        let mut all = Vec::with_capacity(16);
        all.extend([
            ("actual_time_end", Field::Seconds(end)),
            ("actual_time_start", Field::Seconds(start)),
        ]);
        if let Some(attempts) = data.integer("attempts") {
            all.push(("attempts", Field::Integer(attempts)));
        }
        let batch_dir = data.text("batch-directory").unwrap_or_default();
        let batch_dir: [&str; 3] = [&self.job_dir, "/", batch_dir];
        if data.text("batch-directory").is_some() {
            all.push(("batch_logdir", Field::Path(&batch_dir)));
        }
        let list = render_cases(&cases.cases)?;
        if !cases.cases.is_empty() {
            all.push(("cases", Field::Json(&list)));
        }
        if cases.left_out > 0 {
            let left_out = i64::try_from(cases.left_out).unwrap_or(i64::MAX);
            all.push(("cases_left_out", Field::Integer(left_out)));
        }
        for (name, key) in [("cpu_system", "cpu-system"), ("cpu_user", "cpu-user")] {
            if let Some(time) = data.integer(key) {
                all.push((name, Field::Seconds(time)));
            }
        }
        let environment = data.json("environment");
        if let Some(environment) = environment.filter(|json| is_object(json)) {
            all.push(("environment", Field::Json(environment)));
        }
        all.push(("fail_reason", Field::Text(text("reason"))));
        if data.boolean("flaky") == Some(true) {
            all.push(("flaky", Field::Json("true")));
        }
        all.extend([
            ("id", Field::Text(event.task.as_deref().unwrap_or(UNKNOWN))),
            ("kind", Field::Text(text("kind"))),
            ("logdir", path(log_dir.get(..3).unwrap_or_default())),
            ("logfile", path(&log_dir)),
            ("name", Field::Text(text("name"))),
        ]);
        if let Some(peak) = data.integer("peak-memory") {
            all.push(("peak_memory", Field::Integer(peak)));
        }
        if let Some(scope) = data.text("peak-memory-of") {
            all.push(("peak_memory_of", Field::Text(scope)));
        }
        if let Some(code) = data.integer("returncode") {
            all.push(("returncode", Field::Integer(code)));
        }
        all.extend([
            (
                "status",
                Field::Text(data.text("status").unwrap_or("ERROR")),
            ),
            ("tags", Field::Json(tags.unwrap_or("{}"))),
            ("time_elapsed", Field::Seconds(elapsed)),
            ("time_end", Field::Seconds(end.saturating_sub(self.started))),
            (
                "time_start",
                Field::Seconds(start.saturating_sub(self.started)),
            ),
        ]);
        if let Some(uri) = data.text("uri") {
            all.push(("uri", Field::Text(uri)));
        }
        all.push(("whiteboard", Field::Text(text("whiteboard"))));

        let separator: &[u8] = if self.tests == 0 { b"\n" } else { b",\n" };
        out.write_all(separator)?;
        out.write_all(b"        {")?;
        write_fields(out, "            ", &all)?;
        out.write_all(b"\n        }")?;
        self.tests += 1;
        self.elapsed = self.elapsed.saturating_add(elapsed);
        Ok(())
    }

    /// Writes everything that follows the last test: totals and warnings, from the event
    /// `job-finished`, and whether the job came to its end where it did not.
    pub(crate) fn end(
        &self,
        out: &mut impl Write,
        event: &Event,
        is_complete: bool,
    ) -> io::Result<()> {
        let count = |name| Field::Integer(event.data.integer(name).unwrap_or(0));
        let mut tail = vec![("cancel", count("cancel"))];
        if !is_complete {
            tail.push(("complete", Field::Json("false")));
        }
        tail.extend([
            ("errors", count("error")),
            ("failures", count("fail")),
            ("interrupt", count("interrupted")),
            ("pass", count("pass")),
            ("skip", count("skip")),
            ("time", Field::Seconds(self.elapsed)),
            ("total", count("total")),
            ("warn", count("warn")),
        ]);
        out.write_all(if self.tests == 0 {
            b"],".as_slice()
        } else {
            b"\n    ],".as_slice()
        })?;
        write_fields(out, "    ", &tail)?;
        if !self.warnings.is_empty() {
            let warnings = self.render_warnings()?;
            write!(out, ",\n    \"warnings\": [\n        {warnings}\n    ]")?;
        }
        out.write_all(b"\n}\n")
    }
}

/// Renders cases as a JSON array, each on its line.
fn render_cases(cases: &[Case]) -> io::Result<String> {
    let mut list = b"[".to_vec();
    for case in cases {
        list.extend_from_slice(match list.len() {
            1 => b"\n                {",
            _ => b",\n                {",
        });
        list.extend_from_slice(b"\"path\": ");
        serde_json::to_writer(&mut list, &case.path)?;
        let time = case.duration.map(|time| i64::try_from(time.as_nanos()));
        let rest = [
            ("reason", case.reason.as_deref().map(Field::Text)),
            ("status", Some(Field::Text(case.status.name()))),
            (
                "time",
                time.map(|time| Field::Seconds(time.unwrap_or(i64::MAX))),
            ),
        ];
        for (name, field) in rest {
            if let Some(field) = field {
                write!(list, ", \"{name}\": ")?;
                write_value(&mut list, &field)?;
            }
        }
        list.push(b'}');
    }
    list.extend_from_slice(b"\n            ]");
    Ok(String::from_utf8_lossy(&list).into_owned())
}

/// Renders a JSON object on several lines, indented as an item of an array of the document.
fn render_object(all: &[(&str, Field<'_>)]) -> io::Result<String> {
    let mut object = b"{".to_vec();
    write_fields(&mut object, "            ", all)?;
    object.extend_from_slice(b"\n        }");
    Ok(String::from_utf8_lossy(&object).into_owned())
}

/// Writes the members of an object, each on its line, without a line break after the last one.
fn write_fields(out: &mut impl Write, indent: &str, all: &[(&str, Field<'_>)]) -> io::Result<()> {
    let mut separator = "\n";
    for (name, field) in all {
        out.write_all(separator.as_bytes())?;
        out.write_all(indent.as_bytes())?;
        out.write_all(b"\"")?;
        out.write_all(name.as_bytes())?;
        out.write_all(b"\": ")?;
        write_value(out, field)?;
        separator = ",\n";
    }
    Ok(())
}

fn write_value(out: &mut impl Write, field: &Field<'_>) -> io::Result<()> {
    match field {
        Field::Text(text) => Ok(serde_json::to_writer(out, text)?),
        Field::Path(parts) => Ok(serde_json::to_writer(out, &parts.concat())?),
        Field::Seconds(nanoseconds) => {
            let sign = if *nanoseconds < 0 { "-" } else { "" };
            let nanoseconds = nanoseconds.unsigned_abs();
            let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
            write!(out, "{sign}{seconds}.{rest:09}")
        }
        Field::Integer(number) => write!(out, "{number}"),
        Field::Json(json) => out.write_all(json.as_bytes()),
    }
}

/// Converts nanoseconds since 1970; they fit until the year 2262.
fn to_signed(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds).unwrap_or(i64::MAX)
}

/// Checks that a text is a JSON object: the text comes from another plugin.
fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok()
}

/// Formats a time as Python's `str(datetime)` does, in UTC: `2026-11-23 00:10:27.215350`.
fn date_and_time(nanoseconds: u64) -> String {
    let time = Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default();
    let time = Offset::UTC.to_datetime(time);
    let microseconds = time.subsec_nanosecond() / 1000;
    format!(
        "{} {:02}:{:02}:{:02}.{microseconds:06}",
        time.date(),
        time.hour(),
        time.minute(),
        time.second()
    )
}
