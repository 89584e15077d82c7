//! The `testsuite` around the tests: its first tag, its properties, its totals.

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::Offset;
use persea_plugin_sdk::{Attributes, Event};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event as Xml};

use crate::case::character_data;
use crate::clean::clean;
use crate::settings::Settings;

/// Room for the totals, whatever they come to: four of at most 20 digits, a time of 24, and their names.
const TOTALS: usize = 160;

/// What is known of the whole job.
#[derive(Debug)]
pub(crate) struct Suite {
    name: String,
    timestamp: String,
    /// Where the first tag stands in the report.
    offset: u64,
    /// Where the property that counts flaky tests stands.
    flaky_offset: u64,
    pub(crate) tests: u64,
    errors: u64,
    failures: u64,
    skipped: u64,
    flaky: u64,
    /// In nanoseconds.
    time: u64,
    /// What stands in `system-err`: a line a warning.
    warnings: String,
    /// The number of warnings.
    warned: usize,
}

/// How many warnings a report has; the journal has all of them.
const MOST_WARNINGS: usize = 1000;

impl Suite {
    /// Writes all that stands before the first test.
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
            flaky_offset: 0,
            tests: 0,
            errors: 0,
            failures: 0,
            skipped: 0,
            flaky: 0,
            time: 0,
            warnings: String::new(),
            warned: 0,
        };
        let planned = data
            .integer("total")
            .and_then(|total| u64::try_from(total).ok());
        let mut head = declaration;
        head.extend(suite.tag(planned.unwrap_or(0)));
        head.extend(b"<properties>\n");
        properties(&mut head, data)?;
        suite.flaky_offset = head.len() as u64;
        head.extend(suite.flaky_tag());
        head.extend(b"</properties>\n");
        out.write_all(&head)?;
        Ok(suite)
    }

    /// Takes a test into the totals.
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

    /// Keeps a warning for the end of the report.
    pub(crate) fn warn(&mut self, data: &Attributes) {
        self.warned += 1;
        if self.warned > MOST_WARNINGS {
            return;
        }
        let parts = ["reference", "plugin", "message"];
        let parts: Vec<&str> = parts.iter().filter_map(|name| data.text(name)).collect();
        self.warnings.push_str("WARNING: ");
        self.warnings.push_str(&parts.join(": "));
        self.warnings.push('\n');
    }

    /// Writes all that stands behind the last test.
    pub(crate) fn end(&self, out: &mut impl Write) -> io::Result<()> {
        let mut writer = Writer::new(out);
        if self.warned > 0 {
            writer.write_event(Xml::Text(BytesText::new("\t")))?;
            writer.write_event(Xml::Start(BytesStart::new("system-err")))?;
            let mut text = self.warnings.clone();
            if let Some(more @ 1..) = self.warned.checked_sub(MOST_WARNINGS) {
                text.push_str(&format!("{more} more warnings: the journal has them\n"));
            }
            character_data(&mut writer, &text)?;
            writer.write_event(Xml::End(BytesEnd::new("system-err")))?;
            writer.write_event(Xml::Text(BytesText::new("\n")))?;
        }
        writer.write_event(Xml::End(BytesEnd::new("testsuite")))?;
        writer.write_event(Xml::Text(BytesText::new("\n")))
    }

    /// Where [`Suite::tag`] is to be written over.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Where [`Suite::flaky_tag`] is to be written over.
    pub(crate) fn flaky_offset(&self) -> u64 {
        self.flaky_offset
    }

    /// The property that counts the tests that passed only when they were tried again, as long for every count.
    pub(crate) fn flaky_tag(&self) -> Vec<u8> {
        let value = format!("\"{}\"", self.flaky);
        format!("\t<property name=\"flaky\" value={value:<22}/>\n").into_bytes()
    }

    /// The first tag, with so many tests, and blanks that make it as long as every other one of this suite.
    pub(crate) fn tag(&self, tests: u64) -> Vec<u8> {
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
        let padding = (fixed + TOTALS).saturating_sub(tag.len());
        let mut bytes = Vec::with_capacity(fixed + TOTALS + 3);
        bytes.push(b'<');
        bytes.extend_from_slice(tag.as_bytes());
        bytes.resize(bytes.len() + padding, b' ');
        bytes.extend_from_slice(b">\n");
        bytes
    }
}

/// What the job is, for those who find the report apart from it.
fn properties(out: &mut Vec<u8>, data: &Attributes) -> io::Result<()> {
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

/// The time that a test took, in nanoseconds.
pub(crate) fn elapsed(data: &Attributes) -> u64 {
    let elapsed = data.integer("elapsed").unwrap_or(0);
    u64::try_from(elapsed).unwrap_or(0)
}

/// Nanoseconds as seconds with three digits.
pub(crate) fn seconds(nanoseconds: u64) -> String {
    let milliseconds = nanoseconds.saturating_add(500_000) / 1_000_000;
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

/// As `2026-11-23T00:10:27`, in UTC: the form that every schema of these reports takes.
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
