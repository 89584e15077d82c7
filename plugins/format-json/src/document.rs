//! The text of `results.json`: from events to bytes, piece by piece. It knows neither the host nor when to flush.
//!
//! The keys are those of `avocado/plugins/jsonresult.py` of Avocado 113.0, so that what reads its results reads these. The
//! order of an object's keys means nothing in JSON: those that are known only at the end stand there.

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::Offset;
use persea_plugin_sdk::{Attributes, Event};

/// What Avocado writes for a text that it does not have.
const UNKNOWN: &str = "<unknown>";

/// How many warnings a report has; the journal has all of them.
const MOST_WARNINGS: usize = 1000;

/// A report in the making. What it keeps does not grow with the job, but for its first thousand warnings.
#[derive(Debug)]
pub(crate) struct Document {
    job_dir: String,
    /// In nanoseconds since 1970.
    started: i64,
    tests: u64,
    /// The sum of all tests' times, in nanoseconds.
    elapsed: i64,
    /// The warnings as JSON objects, to stand behind the tests.
    warnings: Vec<String>,
    /// The number of warnings beyond them.
    more_warnings: usize,
}

/// One value of an object.
enum Field<'a> {
    Text(&'a str),
    /// Several texts that make one.
    Path(&'a [&'a str]),
    /// Nanoseconds, written as seconds.
    Seconds(i64),
    Integer(i64),
    /// JSON as it is.
    Json(&'a str),
}

impl Document {
    /// Writes all that is known before the first test.
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
        fields(out, "    ", &head)?;
        out.write_all(b",\n    \"tests\": [")?;
        Ok(Self {
            job_dir: job_dir.to_owned(),
            started: signed(event.time),
            tests: 0,
            elapsed: 0,
            warnings: Vec::new(),
            more_warnings: 0,
        })
    }

    /// Keeps a warning for the end of the report.
    pub(crate) fn warn(&mut self, data: &Attributes) -> io::Result<()> {
        if self.warnings.len() == MOST_WARNINGS {
            self.more_warnings += 1;
            return Ok(());
        }
        let names = ["cause", "message", "plugin", "reference"];
        let texts = names
            .into_iter()
            .filter_map(|name| Some((name, Field::Text(data.text(name)?))));
        self.warnings.push(object(&texts.collect::<Vec<_>>())?);
        Ok(())
    }

    /// All warnings as the items of a JSON array.
    fn all_warnings(&self) -> io::Result<String> {
        let mut all = self.warnings.join(",\n        ");
        if self.more_warnings > 0 {
            let message = format!("{} more warnings: the journal has them", self.more_warnings);
            all.push_str(",\n        ");
            all.push_str(&object(&[("message", Field::Text(&message))])?);
        }
        Ok(all)
    }

    /// Writes one test. One that never started has ended when it would have begun, and took no time.
    pub(crate) fn test(&mut self, out: &mut impl Write, event: &Event) -> io::Result<()> {
        let data = &event.data;
        let text = |name| data.text(name).unwrap_or(UNKNOWN);
        let elapsed = data.integer("elapsed").unwrap_or(0);
        let end = signed(event.time);
        let start = data.integer("started").unwrap_or(end);
        let log_dir: [&str; 4] = [
            &self.job_dir,
            "/",
            data.text("directory").unwrap_or_default(),
            "/debug.log",
        ];
        let tags = data.json("tags").filter(|json| is_object(json));

        let mut all = Vec::with_capacity(16);
        all.extend([
            ("actual_time_end", Field::Seconds(end)),
            ("actual_time_start", Field::Seconds(start)),
        ]);
        if let Some(attempts) = data.integer("attempts") {
            all.push(("attempts", Field::Integer(attempts)));
        }
        all.push(("fail_reason", Field::Text(text("reason"))));
        if data.boolean("flaky") == Some(true) {
            all.push(("flaky", Field::Json("true")));
        }
        all.extend([
            ("id", Field::Text(event.task.as_deref().unwrap_or(UNKNOWN))),
            ("kind", Field::Text(text("kind"))),
            ("logdir", Field::Path(log_dir.get(..3).unwrap_or_default())),
            ("logfile", Field::Path(&log_dir)),
            ("name", Field::Text(text("name"))),
        ]);
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
        fields(out, "            ", &all)?;
        out.write_all(b"\n        }")?;
        self.tests += 1;
        self.elapsed = self.elapsed.saturating_add(elapsed);
        Ok(())
    }

    /// Writes what is known only when the job has ended.
    pub(crate) fn end(&self, out: &mut impl Write, event: &Event) -> io::Result<()> {
        let count = |name| Field::Integer(event.data.integer(name).unwrap_or(0));
        let tail = [
            ("cancel", count("cancel")),
            ("errors", count("error")),
            ("failures", count("fail")),
            ("interrupt", count("interrupted")),
            ("pass", count("pass")),
            ("skip", count("skip")),
            ("time", Field::Seconds(self.elapsed)),
            ("total", count("total")),
            ("warn", count("warn")),
        ];
        out.write_all(if self.tests == 0 {
            b"],".as_slice()
        } else {
            b"\n    ],".as_slice()
        })?;
        fields(out, "    ", &tail)?;
        if !self.warnings.is_empty() {
            let warnings = self.all_warnings()?;
            write!(out, ",\n    \"warnings\": [\n        {warnings}\n    ]")?;
        }
        out.write_all(b"\n}\n")
    }
}

/// An object on several lines, as an item of an array of the document.
fn object(all: &[(&str, Field<'_>)]) -> io::Result<String> {
    let mut object = b"{".to_vec();
    fields(&mut object, "            ", all)?;
    object.extend_from_slice(b"\n        }");
    Ok(String::from_utf8_lossy(&object).into_owned())
}

/// Writes the inside of an object, a line a field, without the line break after the last one.
fn fields(out: &mut impl Write, indent: &str, all: &[(&str, Field<'_>)]) -> io::Result<()> {
    let mut separator = "\n";
    for (name, field) in all {
        out.write_all(separator.as_bytes())?;
        out.write_all(indent.as_bytes())?;
        out.write_all(b"\"")?;
        out.write_all(name.as_bytes())?;
        out.write_all(b"\": ")?;
        value(out, field)?;
        separator = ",\n";
    }
    Ok(())
}

fn value(out: &mut impl Write, field: &Field<'_>) -> io::Result<()> {
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

/// A time in nanoseconds since 1970, which fits until the year 2262.
fn signed(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds).unwrap_or(i64::MAX)
}

/// Whether a text is a JSON object: a plugin could have handed over anything.
fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok()
}

/// A point in time as Python's `str(datetime)` writes it, in UTC: `2026-11-23 00:10:27.215350`.
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
