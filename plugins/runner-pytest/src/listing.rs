//! Owns the listing of a directory: pytest names the files that it would take tests from, and each
//! becomes a runnable. Does not know how pytest decides.

use persea_exec_command::describe_exit;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::process::{self, Child, Output, Pipe};

use crate::command::{PART_SIZE, Request};
use crate::report::Line;
use crate::script;
use crate::session::how_to_set;
use crate::stderr::message_of_stderr;

/// The part of the script that lists.
pub(crate) const LIST: &str = include_str!("persea_pytest_list.py");

/// Limit for the report of a listing, in bytes.
const MAX_REPORT: usize = 64 << 20;

/// The most parts into which a file is divided.
const MAX_PARTS: u64 = 16;

/// A runnable for each file of a directory that pytest takes tests from.
///
/// # Errors
/// `missing` without an interpreter or a pytest, `failed` where pytest cannot collect, `empty` for
/// a directory without tests.
pub(crate) fn list(task: &Task) -> Result<Listing, Error> {
    let runnable = &task.runnable;
    let uri = runnable.uri.as_deref().unwrap_or(".");
    if uri.ends_with(".py") || uri.contains("::") || runnable.kwargs.get("part").is_some() {
        return Ok(Listing::new([runnable.clone()]));
    }
    let request = Request::new(task)?;
    let command = request
        .command
        .args(["-c", &script(LIST), &request.selected])
        .args(request.arguments)
        .stdout(Output::file("stdout"))
        .stderr(Output::file("stderr"))
        .report(Output::Pipe);
    let child = process::start(&command).map_err(|error| match error.code.as_str() {
        "not-found" => Error::new("missing", how_to_set(&error.message)),
        _ => error,
    })?;
    let report = read(&child)?;
    let exit = child.wait()?;
    let mut found = Found::default();
    for line in report
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let line = serde_json::from_slice(line).map_err(|error| {
            Error::new(
                "invalid",
                format!("pytest's list of files is broken: {error}"),
            )
        })?;
        found.take(line, runnable, PART_SIZE.get(&task.settings))?;
    }
    let failed = |words: &str| Error::new("failed", format!("{words}{}", message_of_stderr()));
    match found.code {
        None => {
            let ended = describe_exit(&exit);
            Err(failed(&format!("pytest {ended} while it listed the files")))
        }
        // 1 and 2: some files cannot be imported, which their sessions report.
        Some(0 | 1 | 2 | 5) if !found.runnables.is_empty() => Ok(Listing::new(found.runnables)),
        Some(0 | 5) => Err(Error::new("empty", found.nothing(uri))),
        Some(4) => Err(failed("pytest does not accept its arguments")),
        Some(code) => Err(failed(&format!(
            "pytest exited with code {code} while it listed the files"
        ))),
    }
}

fn read(child: &Child) -> Result<Vec<u8>, Error> {
    let mut report = Vec::new();
    loop {
        let part = child.read(Pipe::Report, 1 << 20)?;
        if part.is_empty() {
            return Ok(report);
        }
        report.extend(part);
        if report.len() > MAX_REPORT {
            let limit = MAX_REPORT >> 20;
            let message = format!("pytest's list of files is longer than {limit} MiB");
            return Err(Error::new("too-large", message));
        }
    }
}

/// What pytest has named.
#[derive(Default)]
struct Found {
    runnables: Vec<Runnable>,
    deselected: u64,
    code: Option<i32>,
}

impl Found {
    fn take(&mut self, line: Line, parent: &Runnable, part_size: i64) -> Result<(), Error> {
        match line {
            Line::Problem { reason } => return Err(Error::new("missing", reason)),
            Line::Stopped { reason } => return Err(Error::new("failed", reason)),
            Line::Collected { deselected, .. } => self.deselected = deselected,
            Line::End { code, .. } => self.code = Some(code),
            Line::File { path, tests, tags } => {
                let parts = parts(tests, part_size);
                for number in 1..=parts {
                    self.runnables
                        .push(of_file(parent, &path, &tags, (number, parts)));
                }
            }
            Line::Ready
            | Line::Start { .. }
            | Line::Case(_)
            | Line::Foreign { .. }
            | Line::Exit { .. } => {}
        }
        Ok(())
    }

    fn nothing(&self, uri: &str) -> String {
        match self.deselected {
            0 => format!("pytest collected no tests in {uri}"),
            1 => format!("the only test of {uri} is deselected"),
            deselected => format!("all {deselected} tests of {uri} are deselected"),
        }
    }
}

/// Into how many parts a file with so many test functions is divided.
fn parts(tests: u64, part_size: i64) -> u64 {
    match u64::try_from(part_size) {
        Ok(size) if size > 0 => tests.div_ceil(size).clamp(1, MAX_PARTS),
        _ => 1,
    }
}

/// The runnable of a file, or of a part of it.
fn of_file(parent: &Runnable, path: &str, tags: &[String], (part, parts): (u64, u64)) -> Runnable {
    let mut runnable = parent.clone().uri(path).kwarg("empty", "skip");
    runnable.identifier = None;
    for tag in tags {
        if !runnable.tags.iter().any(|(known, _)| known == tag) {
            runnable = runnable.tag(tag.as_str(), [""; 0]);
        }
    }
    if parts > 1 {
        runnable = runnable
            .kwarg("part", format!("{part}/{parts}"))
            .identifier(format!("{path} (part {part} of {parts})"));
    }
    runnable
}
