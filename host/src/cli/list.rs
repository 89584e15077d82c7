//! `persea list`.

use std::io::Write as _;

use clap::Args;

use super::{Context, Failure, exit};
use crate::job::{self, Answer, Resolved};
use crate::names::printable;

#[derive(Debug, Args)]
pub(super) struct List {
    /// What to look at: files, directories, `file.py:Class.test`, recipes
    #[arg(value_name = "REF", required = true)]
    references: Vec<String>,
    /// A JSON object a line, for each runnable and each reference that is none
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<u8, Failure> {
        let catalog = context.catalog().await?;
        let resolved = job::resolve(&catalog, &context.config, &self.references).await;
        let mut out = std::io::BufWriter::new(anstream::stdout());
        let mut code = exit::OK;
        for resolved in &resolved {
            if !matches!(resolved.answer, Answer::Found { .. }) {
                code = exit::JOB_FAIL;
            }
            let written = if self.json {
                write_json(&mut out, resolved)
            } else {
                write_lines(&mut out, resolved)
            };
            if written.is_err() {
                // Whoever reads has stopped reading.
                return Ok(code);
            }
        }
        let _ = out.flush();
        Ok(code)
    }
}

fn write_lines(out: &mut impl std::io::Write, resolved: &Resolved) -> std::io::Result<()> {
    let reference = printable(&resolved.reference);
    match &resolved.answer {
        Answer::Found { runnables, .. } => {
            for runnable in runnables {
                let name = runnable
                    .identifier
                    .as_deref()
                    .or(runnable.uri.as_deref())
                    .unwrap_or("");
                write!(out, "{} {}", printable(&runnable.kind), printable(name))?;
                if !runnable.tags.is_empty() {
                    let tags: Vec<&str> =
                        runnable.tags.iter().map(|(tag, _)| tag.as_str()).collect();
                    write!(out, " ({})", printable(&tags.join(",")))?;
                }
                writeln!(out)?;
            }
            Ok(())
        }
        Answer::Missing { reasons } => {
            writeln!(out, "MISSING {reference}")?;
            reasons
                .iter()
                .try_for_each(|reason| writeln!(out, "    {}", printable(reason)))
        }
        Answer::Corrupt { resolver, what } => {
            writeln!(
                out,
                "CORRUPT {reference}\n    {}",
                printable(&format!("{resolver}: {what}"))
            )
        }
        Answer::Failed { error } => writeln!(out, "ERROR {reference}\n    {}", printable(error)),
    }
}

fn write_json(out: &mut impl std::io::Write, resolved: &Resolved) -> std::io::Result<()> {
    let reference = &resolved.reference;
    let mut line = |value: serde_json::Value| writeln!(out, "{value}");
    match &resolved.answer {
        Answer::Found { resolver, runnables } => runnables.iter().try_for_each(|runnable| {
            line(serde_json::json!({ "reference": reference, "resolver": resolver, "runnable": runnable }))
        }),
        Answer::Missing { reasons } => line(serde_json::json!({ "reference": reference, "missing": reasons })),
        Answer::Corrupt { resolver, what } => {
            line(serde_json::json!({ "reference": reference, "resolver": resolver, "corrupt": what }))
        }
        Answer::Failed { error } => line(serde_json::json!({ "reference": reference, "error": error })),
    }
}
