//! Owns the element `testcase`: turns the data of a finished test into XML.

use std::io::{self, Write};

use persea_plugin_sdk::cases::Case;
use persea_plugin_sdk::{Attributes, Event, Status};
use quick_xml::Writer;
use quick_xml::events::{BytesCData, BytesEnd, BytesStart, BytesText, Event as Xml};

use crate::attempts::Attempt;
use crate::clean::clean;
use crate::settings::Settings;
use crate::suite::{elapsed, seconds};

/// Writes a test. `attempts` are the failed attempts before the last one. `captured` reads the
/// output of a task, by the task's id and the file's name.
pub(crate) fn write(
    out: &mut impl Write,
    event: &Event,
    attempts: &[Attempt],
    settings: &Settings,
    captured: impl Fn(&str, &str) -> Option<String>,
) -> io::Result<()> {
    let data = &event.data;
    let title = data.text("title").or(data.text("name"));
    let name = title.unwrap_or("Unknown");
    let mut case = BytesStart::new("testcase");
    case.push_attribute(("classname", &*clean(class_name(data))));
    case.push_attribute(("name", &*clean(name)));
    case.push_attribute(("time", seconds(elapsed(data)).as_str()));

    let beside = batch_text(data);

    let mut writer = Writer::new(out);
    writer.write_event(Xml::Text(BytesText::new("\t")))?;
    let properties = match settings.test_properties {
        true => [environment_properties(data), usage_properties(data)].concat(),
        false => Vec::new(),
    };
    match data.text("status") {
        Some("PASS" | "WARN")
            if attempts.is_empty() && properties.is_empty() && beside.is_empty() =>
        {
            writer.write_event(Xml::Empty(case))?;
        }
        Some("PASS" | "WARN") => {
            writer.write_event(Xml::Start(case))?;
            write_properties(&mut writer, &properties)?;
            let mut text = String::new();
            if settings.rerun_elements {
                for attempt in attempts {
                    write_attempt(&mut writer, "flaky", attempt)?;
                }
            } else if !attempts.is_empty() {
                text = attempts_text(attempts);
            }
            write_output(&mut writer, "system-out", &(text + &beside))?;
            writer.write_event(Xml::End(BytesEnd::new("testcase")))?;
        }
        Some("SKIP" | "CANCEL") => {
            writer.write_event(Xml::Start(case))?;
            write_properties(&mut writer, &properties)?;
            write_skipped(&mut writer, data.text("reason"))?;
            write_output(&mut writer, "system-out", &beside)?;
            writer.write_event(Xml::End(BytesEnd::new("testcase")))?;
        }
        status => {
            writer.write_event(Xml::Start(case))?;
            write_properties(&mut writer, &properties)?;
            write_failure(&mut writer, data, status.unwrap_or("ERROR"))?;
            if settings.rerun_elements {
                for attempt in attempts {
                    write_attempt(&mut writer, "rerun", attempt)?;
                }
            }
            // A test that never started has no output.
            if let (Some(task), Some(_)) = (&event.task, data.integer("started")) {
                let mut text = captured(task, "stdout").unwrap_or_default();
                if !beside.is_empty() && !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                write_output(&mut writer, "system-out", &(text + &beside))?;
                let text = captured(task, "stderr").unwrap_or_default();
                write_output(&mut writer, "system-err", &text)?;
            }
            writer.write_event(Xml::End(BytesEnd::new("testcase")))?;
        }
    }
    writer.write_event(Xml::Text(BytesText::new("\n")))
}

/// Writes a case of a test, whose event has this data.
pub(crate) fn write_case(out: &mut impl Write, test: &Attributes, case: &Case) -> io::Result<()> {
    let title = test.text("title").or(test.text("name"));
    let time = case.duration.unwrap_or_default().as_nanos();
    let mut element = BytesStart::new("testcase");
    element.push_attribute(("classname", &*clean(title.unwrap_or("Unknown"))));
    element.push_attribute(("name", &*clean(&case.path.join(" > "))));
    element.push_attribute(("time", &*seconds(u64::try_from(time).unwrap_or(u64::MAX))));
    let reason = case.reason.as_deref();
    let mut writer = Writer::new(out);
    writer.write_event(Xml::Text(BytesText::new("\t")))?;
    match case.status {
        Status::Pass | Status::Warn => writer.write_event(Xml::Empty(element))?,
        Status::Skip | Status::Cancel => {
            writer.write_event(Xml::Start(element))?;
            write_skipped(&mut writer, reason)?;
            writer.write_event(Xml::End(BytesEnd::new("testcase")))?;
        }
        Status::Fail | Status::Error | Status::Interrupted => {
            let status = case.status.name();
            let name = if status == "FAIL" { "failure" } else { "error" };
            let mut failure = BytesStart::new(name);
            failure.push_attribute(("type", status));
            failure.push_attribute(("message", &*clean(reason.unwrap_or("no reason is known"))));
            writer.write_event(Xml::Start(element))?;
            writer.write_event(Xml::Empty(failure))?;
            writer.write_event(Xml::End(BytesEnd::new("testcase")))?;
        }
    }
    writer.write_event(Xml::Text(BytesText::new("\n")))
}

/// Where a test ran, if not on this machine as it is: the spawner of its environment, the image of
/// its container and the name of its host.
fn environment_properties(data: &Attributes) -> Vec<(&'static str, String)> {
    let json = data.json("environment").unwrap_or("{}");
    let environment: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let known = ["spawner", "image", "host"].into_iter();
    known
        .filter_map(|name| Some((name, environment.get(name)?.as_str()?.to_owned())))
        .collect()
}

/// What the processes of a test have used, by the names that `results.json` has: times in seconds,
/// memory in bytes.
fn usage_properties(data: &Attributes) -> Vec<(&'static str, String)> {
    let time = |key| Some(seconds(u64::try_from(data.integer(key)?).unwrap_or(0)));
    let peak = data.integer("peak-memory").map(|peak| peak.to_string());
    let all = [
        ("cpu_user", time("cpu-user")),
        ("cpu_system", time("cpu-system")),
        ("peak_memory", peak),
        (
            "peak_memory_of",
            data.text("peak-memory-of").map(str::to_owned),
        ),
    ];
    let known = all.into_iter();
    known
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn write_properties<W: Write>(
    writer: &mut Writer<W>,
    properties: &[(&str, String)],
) -> io::Result<()> {
    if properties.is_empty() {
        return Ok(());
    }
    writer.write_event(Xml::Start(BytesStart::new("properties")))?;
    for (name, value) in properties {
        let mut property = BytesStart::new("property");
        property.push_attribute(("name", *name));
        property.push_attribute(("value", &*clean(value)));
        writer.write_event(Xml::Empty(property))?;
    }
    writer.write_event(Xml::End(BytesEnd::new("properties")))
}

fn write_skipped<W: Write>(writer: &mut Writer<W>, reason: Option<&str>) -> io::Result<()> {
    // The reason is text, because Avocado's schema has no attribute `message` here.
    let Some(reason) = reason else {
        return writer.write_event(Xml::Empty(BytesStart::new("skipped")));
    };
    writer.write_event(Xml::Start(BytesStart::new("skipped")))?;
    writer.write_event(Xml::Text(BytesText::new(&clean(reason))))?;
    writer.write_event(Xml::End(BytesEnd::new("skipped")))
}

/// Lists the attempts of a test that passed after a retry, for its `system-out`.
fn attempts_text(attempts: &[Attempt]) -> String {
    let mut text = format!("flaky: passed in attempt {}\n", attempts.len() + 1);
    for (number, attempt) in (1..).zip(attempts) {
        let (status, reason) = (&attempt.status, &attempt.reason);
        text.push_str(&format!("attempt {number}: {status}: {reason}\n"));
    }
    text
}

/// Says where the output is that the processes of the test's batch have written while no test ran.
/// Empty if there is none.
fn batch_text(data: &Attributes) -> String {
    let directory = data.text("batch-directory");
    directory.map_or_else(String::new, |directory| {
        format!("output of its batch while no test ran: {directory}\n")
    })
}

/// Writes an element with output, unless there is none.
fn write_output<W: Write>(writer: &mut Writer<W>, element: &str, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    writer.write_event(Xml::Start(BytesStart::new(element)))?;
    write_cdata(writer, text)?;
    writer.write_event(Xml::End(BytesEnd::new(element)))
}

/// Writes a failed attempt as Maven's Surefire does: `flakyFailure`, `rerunError` and the like.
/// Jenkins' schema has these elements, Avocado's does not.
fn write_attempt<W: Write>(
    writer: &mut Writer<W>,
    prefix: &str,
    attempt: &Attempt,
) -> io::Result<()> {
    let kind = match attempt.status.as_str() {
        "FAIL" => "Failure",
        _ => "Error",
    };
    let mut element = BytesStart::new(format!("{prefix}{kind}"));
    element.push_attribute(("type", &*clean(&attempt.status)));
    element.push_attribute(("message", &*clean(&attempt.reason)));
    writer.write_event(Xml::Empty(element))
}

/// Writes `failure` or `error`. Its type is the type of the exception where the runner names one,
/// else the status.
fn write_failure<W: Write>(
    writer: &mut Writer<W>,
    data: &Attributes,
    status: &str,
) -> io::Result<()> {
    let name = if status == "FAIL" { "failure" } else { "error" };
    let mut element = BytesStart::new(name);
    element.push_attribute(("type", &*clean(data.text("failure-type").unwrap_or(status))));
    let code = data
        .integer("returncode")
        .map(|code| format!("exit code {code}"));
    let message = data.text("reason").or(code.as_deref());
    element.push_attribute(("message", &*clean(message.unwrap_or("no reason is known"))));
    let Some(traceback) = data.text("traceback") else {
        return writer.write_event(Xml::Empty(element));
    };
    writer.write_event(Xml::Start(element))?;
    write_cdata(writer, traceback)?;
    writer.write_event(Xml::End(BytesEnd::new(name)))
}

/// Writes a text as CDATA, so that people who open the file can read it. A text that holds `]]>`
/// is split into several sections.
pub(crate) fn write_cdata<W: Write>(writer: &mut Writer<W>, text: &str) -> io::Result<()> {
    let cleaned = clean(text);
    for section in BytesCData::escaped(&cleaned) {
        writer.write_event(Xml::CData(section))?;
    }
    Ok(())
}

/// Returns what readers of a report group tests by, the first of: the class that the runner names,
/// the class in `path:Class.method`, the directory of a path, the kind.
fn class_name(data: &Attributes) -> &str {
    let kind = data.text("kind").unwrap_or("test");
    let uri = data.text("uri").or(data.text("name")).unwrap_or_default();
    data.text("class-name")
        .or_else(|| class_of(uri))
        .or_else(|| directory_of(uri))
        .filter(|name| !name.is_empty())
        .unwrap_or(kind)
}

/// Returns `Class` of `path:Class.method`.
fn class_of(uri: &str) -> Option<&str> {
    let (_, test) = uri.rsplit_once(':')?;
    let (class, method) = test.rsplit_once('.')?;
    let is_name = |text: &str| !text.is_empty() && !text.contains(['/', ' ']);
    (is_name(class) && is_name(method)).then_some(class)
}

fn directory_of(uri: &str) -> Option<&str> {
    let path = uri.split_once(':').map_or(uri, |(path, _)| path);
    // Readers split class names at dots, and the class name `.` would leave them an empty name.
    let path = path.strip_prefix("./").unwrap_or(path);
    let (directory, _) = path.rsplit_once('/')?;
    Some(if directory.is_empty() { "/" } else { directory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_has_a_class_name() {
        let of = |uri: &str| {
            let data = Attributes::new().with("kind", "some-kind").with("uri", uri);
            class_name(&data).to_owned()
        };
        assert_eq!(of("mixed/test_unit.py:T.test_fail"), "T");
        assert_eq!(of("test_unit.py:pkg.mod.T.test"), "pkg.mod.T");
        assert_eq!(of("/bin/true"), "/bin");
        assert_eq!(of("/true"), "/");
        assert_eq!(of("tests/deep/a.sh"), "tests/deep");
        assert_eq!(of("a.sh"), "some-kind");
        assert_eq!(of("./a.sh"), "some-kind");
        assert_eq!(of("./tests/a.sh"), "tests");
        assert_eq!(of("module:TestX"), "some-kind");
        assert_eq!(of("https://example.com/a.b"), "some-kind");
        assert_eq!(of(""), "some-kind");
    }

    #[test]
    fn class_name_of_the_runner_comes_first() {
        let data = Attributes::new()
            .with("uri", "a.py:T.test")
            .with("class-name", "Other");
        assert_eq!(class_name(&data), "Other");
        let nothing = Attributes::new().with("kind", "noop").with("name", "noop");
        assert_eq!(class_name(&nothing), "noop");
    }
}
