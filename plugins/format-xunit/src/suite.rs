//! Owns the element `testsuite`: its start tag, its properties, its totals and its warnings.
//! Does not know about the `testcase` elements in it.

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::Offset;
use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::{Attributes, Event, Status};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event as Xml};

use crate::case::write_cdata;
use crate::clean::clean;
use crate::settings::Settings;

/// Space reserved for the totals in the start tag, in bytes: four numbers of at most 20 digits, a
/// time of at most 24 characters, and the attributes' names.
const TOTALS_SIZE: usize = 160;

/// State of the element that is being written. Its size does not grow with the number of tests.
#[derive(Debug)]
pub(crate) struct Suite {
    name: String,
    timestamp: String,
    /// Offset of the start tag in the report, in bytes.
    offset: u64,
    /// Offset of the properties that are overwritten at the end, in bytes.
    final_offset: u64,
    pub(crate) tests: u64,
    errors: u64,
    failures: u64,
    skipped: u64,
    flaky: u64,
    /// Sum of the durations of all tests, in nanoseconds.
    time: u64,
    /// Text for `system-err`: a line for each of the first [`MAX_WARNINGS`] warnings.
    warnings: String,
    /// Number of all warnings.
    warning_count: usize,
}

/// Limit of warnings in a report; the journal has all of them.
const MAX_WARNINGS: usize = 1000;

impl Suite {
    /// Writes everything that precedes the first test. The totals are those of a job without tests.
    pub(crate) fn begin(
        out: &mut impl Write,
        event: &Event,
        settings: &Settings,
    ) -> io::Result<Self> {
        let data = &event.data;
        let name = settings
            .job_name
            .as_deref()
            .or(data.text("name"))
            .unwrap_or("job");
        let mut declaration = Vec::new();
        let mut writer = Writer::new(&mut declaration);
        writer.write_event(Xml::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        writer.write_event(Xml::Text(BytesText::new("\n")))?;
        let mut suite = Self {
            name: clean(name).into_owned(),
            timestamp: date_and_time(event.time),
            offset: declaration.len() as u64,
            final_offset: 0,
            tests: 0,
            errors: 0,
            failures: 0,
            skipped: 0,
            flaky: 0,
            time: 0,
            warnings: String::new(),
            warning_count: 0,
        };
        let planned = data
            .integer("total")
            .and_then(|total| u64::try_from(total).ok());
        let mut head = declaration;
        head.extend(suite.start_tag(planned.unwrap_or(0)));
        head.extend(b"<properties>\n");
        write_properties(&mut head, data)?;
        suite.final_offset = head.len() as u64;
        head.extend(suite.final_properties(false));
        head.extend(b"</properties>\n");
        out.write_all(&head)?;
        Ok(suite)
    }

    /// Adds a test to the totals.
    pub(crate) fn count(&mut self, data: &Attributes) {
        self.tests += 1;
        self.time = self.time.saturating_add(elapsed(data));
        self.flaky += u64::from(data.boolean("flaky") == Some(true));
        match data.text("status") {
            Some("PASS" | "WARN") => {}
            Some("SKIP" | "CANCEL") => self.skipped += 1,
            Some("FAIL") => self.failures += 1,
            _ => self.errors += 1,
        }
    }

    /// Adds a case of a test to the totals, but not its duration, which the test's own includes.
    pub(crate) fn count_case(&mut self, case: &Case) {
        self.tests += 1;
        match case.status {
            Status::Pass | Status::Warn => {}
            Status::Skip | Status::Cancel => self.skipped += 1,
            Status::Fail => self.failures += 1,
            Status::Error | Status::Interrupted => self.errors += 1,
        }
    }

    /// Keeps the number of cases of a test that the report leaves out, as a warning.
    pub(crate) fn add_left_out(&mut self, data: &Attributes, cases: u64) {
        if cases > 0 {
            let message = format!("{cases} more cases: the journal has them");
            let test = data.text("title").or(data.text("name"));
            let warning = Attributes::new()
                .with("reference", test.unwrap_or("Unknown"))
                .with("message", message);
            self.add_warning(&warning);
        }
    }

    /// Keeps a warning, to be written at the end of the report.
    pub(crate) fn add_warning(&mut self, data: &Attributes) {
        self.warning_count += 1;
        if self.warning_count > MAX_WARNINGS {
            return;
        }
        let parts = ["reference", "plugin", "message"];
        let parts: Vec<&str> = parts.iter().filter_map(|name| data.text(name)).collect();
        self.warnings.push_str("WARNING: ");
        self.warnings.push_str(&parts.join(": "));
        self.warnings.push('\n');
    }

    /// Writes everything that follows the last test.
    pub(crate) fn end(&self, out: &mut impl Write) -> io::Result<()> {
        let mut writer = Writer::new(out);
        if self.warning_count > 0 {
            writer.write_event(Xml::Text(BytesText::new("\t")))?;
            writer.write_event(Xml::Start(BytesStart::new("system-err")))?;
            let mut text = self.warnings.clone();
            if let Some(more @ 1..) = self.warning_count.checked_sub(MAX_WARNINGS) {
                text.push_str(&format!("{more} more warnings: the journal has them\n"));
            }
            write_cdata(&mut writer, &text)?;
            writer.write_event(Xml::End(BytesEnd::new("system-err")))?;
            writer.write_event(Xml::Text(BytesText::new("\n")))?;
        }
        writer.write_event(Xml::End(BytesEnd::new("testsuite")))?;
        writer.write_event(Xml::Text(BytesText::new("\n")))
    }

    /// Offset at which to overwrite the start tag with [`Suite::start_tag`], in bytes.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Offset at which to overwrite [`Suite::final_properties`], in bytes.
    pub(crate) fn final_properties_offset(&self) -> u64 {
        self.final_offset
    }

    /// Renders the properties that are known at the end: `flaky`, the number of tests that passed
    /// after a retry, and `complete`, whether the job came to its end. They are padded to the same
    /// length for all values, so that they can be overwritten.
    pub(crate) fn final_properties(&self, is_complete: bool) -> Vec<u8> {
        let flaky = format!("\"{}\"", self.flaky);
        let complete = format!("\"{is_complete}\"");
        format!(
            "\t<property name=\"flaky\" value={flaky:<22}/>\n\t<property name=\"complete\" \
             value={complete:<7}/>\n"
        )
        .into_bytes()
    }

    /// Renders the start tag with the current totals. The tag is padded to the same length for
    /// all totals, so that it can be overwritten.
    pub(crate) fn start_tag(&self, tests: u64) -> Vec<u8> {
        let mut tag = BytesStart::new("testsuite");
        tag.push_attribute(("name", self.name.as_str()));
        tag.push_attribute(("timestamp", self.timestamp.as_str()));
        let fixed = tag.len();
        for (name, total) in [
            ("tests", tests),
            ("errors", self.errors),
            ("failures", self.failures),
            ("skipped", self.skipped),
        ] {
            tag.push_attribute((name, total.to_string().as_str()));
        }
        tag.push_attribute(("time", seconds(self.time).as_str()));
        let padding = (fixed + TOTALS_SIZE).saturating_sub(tag.len());
        let mut bytes = Vec::with_capacity(fixed + TOTALS_SIZE + 3);
        bytes.push(b'<');
        bytes.extend_from_slice(tag.as_bytes());
        bytes.resize(bytes.len() + padding, b' ');
        bytes.extend_from_slice(b">\n");
        bytes
    }
}

/// Writes the properties that identify the job, for readers who have the report without the job's
/// directory.
fn write_properties(out: &mut Vec<u8>, data: &Attributes) -> io::Result<()> {
    for name in ["job-id", "job-dir", "persea-version"] {
        if let Some(value) = data.text(name) {
            let mut property = BytesStart::new("property");
            property.push_attribute(("name", name));
            property.push_attribute(("value", &*clean(value)));
            let mut writer = Writer::new(&mut *out);
            writer.write_event(Xml::Text(BytesText::new("\t")))?;
            writer.write_event(Xml::Empty(property))?;
            writer.write_event(Xml::Text(BytesText::new("\n")))?;
        }
    }
    Ok(())
}

/// Duration of a test, in nanoseconds.
pub(crate) fn elapsed(data: &Attributes) -> u64 {
    let elapsed = data.integer("elapsed").unwrap_or(0);
    u64::try_from(elapsed).unwrap_or(0)
}

/// Formats nanoseconds as seconds with three decimal places.
pub(crate) fn seconds(nanoseconds: u64) -> String {
    let milliseconds = nanoseconds.saturating_add(500_000) / 1_000_000;
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

/// Formats a time in UTC as `2026-11-23T00:10:27`, which every schema of JUnit reports accepts.
fn date_and_time(nanoseconds: u64) -> String {
    let time = Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default();
    let time = Offset::UTC.to_datetime(time);
    format!(
        "{}T{:02}:{:02}:{:02}",
        time.date(),
        time.hour(),
        time.minute(),
        time.second()
    )
}
