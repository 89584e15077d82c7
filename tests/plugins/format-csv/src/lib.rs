//! Owns a result format that writes `results.csv`, with the first line of the output of failed
//! tests.
use persea_plugin_sdk::output::{self, Report};
use persea_plugin_sdk::prelude::*;

#[derive(Default)]
struct Csv {
    report: Option<Report>,
}

impl ResultFormat for Csv {
    fn describe() -> Description {
        Description::new("csv", "writes results.csv")
            .with("file", "results.csv")
            .with("streams", true)
    }

    fn handle(&mut self, event: &Event) -> Result<(), Error> {
        if self.report.is_none() {
            self.report = Some(output::open()?);
            self.line(["id", "status", "reason", "printed"])?;
        }
        if event.kind != "task-finished" {
            return Ok(());
        }
        let id = event.task.as_deref().unwrap_or_default();
        let status = event.data.text("status").unwrap_or_default();
        let reason = event.data.text("reason").unwrap_or_default();
        let printed = match status {
            "FAIL" => first_line(id)?,
            _ => String::new(),
        };
        self.line([id, status, reason, &printed])
    }
}

impl Csv {
    fn line(&self, fields: [&str; 4]) -> Result<(), Error> {
        let quoted = fields.map(|field| format!("\"{}\"", field.replace('"', "\"\"")));
        let report = self.report.iter();
        report
            .map(|report| report.write(format!("{}\n", quoted.join(",")).as_bytes()))
            .collect()
    }
}

/// The first line of a test's standard output; empty where it has none.
fn first_line(task: &str) -> Result<String, Error> {
    let bytes = match output::read_artifact(task, "stdout", 0, 4096) {
        Err(error) if error.code == "not-found" => return Ok(String::new()),
        read => read?,
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

export!(result_format: Csv);
