//! Owns a result format that misbehaves as a setting says.
use std::hint::black_box;

use persea_plugin_sdk::output::{self, Report};
use persea_plugin_sdk::prelude::*;

/// The name of the format and of its report's file, which tests patch.
static NAME: &str = "name=report";
static FILE: &str = "file=results.hostile";

#[derive(Default)]
struct Hostile {
    how: String,
    report: Option<Report>,
}

impl ResultFormat for Hostile {
    fn describe() -> Description {
        let after = |text: &'static str| black_box(text).split_at(5).1.trim_end();
        Description::new(after(NAME), "misbehaves with its report")
            .settings(["report.hostile.how"])
            .with("file", after(FILE))
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        if event.kind == "job-started" {
            let settings = event.data.json("settings").unwrap_or_default();
            self.how = settings.split('"').nth(3).unwrap_or_default().to_owned();
            self.report = Some(output::open()?);
        }
        let Some(report) = &self.report else {
            return Ok(());
        };
        match self.how.as_str() {
            "flood" => loop {
                report.write(&[b'x'; 1 << 20])?;
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
                    if output::read_artifact(task, name, 0, 10).is_ok() {
                        report.write(format!("read {task} {name}\n").as_bytes())?;
                    }
                }
                if output::open().is_ok() {
                    report.write(b"opened twice\n")?;
                }
                if report.write_at(1 << 40, b"far").is_ok()
                    || report.write_at(u64::MAX, b"far").is_ok()
                {
                    report.write(b"wrote beyond the end\n")?;
                }
                report.write(format!("{}\n", event.kind).as_bytes())
            }
            "escapes" => report.write(b"\x1b[2J\x1b]0;owned\x07\xff\xfe\n"),
            other => Err(Error::new("invalid", format!("no such way: {other}"))),
        }
    }
}

export!(result_format: Hostile);
