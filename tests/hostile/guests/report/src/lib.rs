//! Owns a result format that misbehaves as a setting says.
use std::hint::black_box;

use persea_plugin_sdk::artifacts;
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::report_output::{self, Report};

/// The name of the format and of its report's file, which tests patch.
static NAME: &str = "name=report";
static FILE: &str = "file=results.hostile";

const HOW: Setting<Text> = Setting::text("report.hostile.how")
    .default("")
    .summary("How it misbehaves");

struct Hostile {
    how: String,
    report: Report,
    /// The number of events in each page.
    pages: Vec<u32>,
    /// The number of events since the last page ended.
    events: u32,
}

impl Plugin for Hostile {
    fn describe() -> Description {
        let after = |text: &'static str| black_box(text).split_at(5).1.trim_end();
        Description::new(after(NAME), "misbehaves with its report")
            .role(Role::result_format().with("file", after(FILE)))
            .setting(&HOW)
    }
}

impl ResultFormat for Hostile {
    fn start_report(job: &ReportJob) -> Result<Self, Error> {
        let how = HOW.get(&job.settings).to_owned();
        let report = report_output::open()?;
        let (pages, events) = (Vec::new(), 0);
        Ok(Self {
            how,
            report,
            pages,
            events,
        })
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        let report = &self.report;
        self.events += 1;
        match self.how.as_str() {
            "flood" => loop {
                report.append(&[b'x'; 1 << 20])?;
            },
            "loop" => loop {
                black_box(&self.how);
            },
            "hog" => {
                let mut all = Vec::new();
                loop {
                    all.push(black_box(vec![1_u8; 16 << 20]));
                }
            }
            "outside" => {
                // The report names each of these accesses that succeeds.
                for (task, name) in [
                    ("1-/bin/true", "../../id"),
                    ("..", "id"),
                    ("../..", "latest"),
                    ("/etc", "passwd"),
                    ("1-/bin/true", "/etc/passwd"),
                    ("1-/bin/true", "link"),
                ] {
                    if artifacts::of_task(task).read(name, 0, 10).is_ok() {
                        report.append(format!("read {task} {name}\n").as_bytes())?;
                    }
                }
                if report_output::open().is_ok() {
                    report.append(b"opened twice\n")?;
                }
                if report.overwrite(1 << 40, b"far").is_ok()
                    || report.overwrite(u64::MAX, b"far").is_ok()
                {
                    report.append(b"wrote beyond the end\n")?;
                }
                report.append(format!("{}\n", event.kind).as_bytes())
            }
            "counts" => Ok(()),
            "escapes" => report.append(b"\x1b[2J\x1b]0;owned\x07\xff\xfe\n"),
            other => Err(Error::new("invalid", format!("no such way: {other}"))),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.pages.push(std::mem::take(&mut self.events));
        Ok(())
    }

    fn finish_report(&mut self, _: &JobEnd) -> Result<(), Error> {
        match self.how.as_str() {
            "counts" => self.report.append(format!("{:?}", self.pages).as_bytes()),
            _ => Ok(()),
        }
    }
}

export!(Hostile: result_format);
