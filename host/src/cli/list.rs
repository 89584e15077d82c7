//! Owns `persea list`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::filters::{Filters, selection};
use super::listing::{Input, Listers, default_references, kind_rules, note_unlisted, resolve};
use super::output::eprint_line;
use super::references::{refuse_unresolved, refuse_warnings, show_warnings};
use super::session::listen_to_signals;
use super::{Context, Failure, exit};
use persea_config::Config;
use persea_config::settings;
use persea_display as display;
use persea_job as job;
use persea_job::{Answer, GraphExport, Resolutions, Resolved, Selection, SpawnerChoice};
use persea_model::names::{printable, printable_json, printable_lines};
use persea_plugin::Catalog;

/// A notation for the graph of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Notation {
    Text,
    Dot,
    Mermaid,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// References to resolve: files, directories, `file.py:Class.test`, recipes
    /// [default: the files of the kinds by pattern]
    #[arg(value_name = "REF")]
    references: Vec<String>,
    /// List the suites of this job file (TOML)
    #[arg(long, value_name = "FILE", conflicts_with = "references")]
    job: Option<PathBuf>,
    /// Exit with code 2 if there are warnings about references, such as a file that may hold tests
    /// that were not found
    #[arg(long)]
    strict: bool,
    /// Print one JSON object for each runnable and each unresolved reference, each on its own line
    #[arg(long)]
    json: bool,
    /// Print the tasks of the job with what they wait for and claim: as text, for Graphviz (`dot`)
    /// or for Mermaid
    #[arg(
        long,
        value_name = "FORM",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "text",
        conflicts_with = "json"
    )]
    graph: Option<Notation>,
    #[command(flatten)]
    filters: Filters,
    /// Run the programs of the project that name their tests, such as compiled test programs, in
    /// environments of the job's spawner
    #[arg(long)]
    run_listers: bool,
}

impl List {
    pub(super) async fn run(self, mut context: Context) -> Result<u8, Failure> {
        let file = super::run::read_job(self.job.as_deref(), &mut context)?;
        if self.strict {
            context.config.set_option(settings::RUN_STRICT, true);
        }
        self.filters.configure(&mut context.config);
        context.warn_about_project();
        context.config.check().map_err(Failure::of)?;
        let selection = selection(&context.config)?;
        let root = job::results_root(&context.config, &context.dirs);
        let catalog = context.catalog().await?;
        let rules = kind_rules(&context)?;
        let mut references = self.references;
        if references.is_empty() && file.is_none() {
            references = default_references(&rules, "list")?;
        }
        let input = match &file {
            Some(file) => Input::File(file),
            None => Input::Typed(&references),
        };
        let (listers, mut signals) = match self.run_listers {
            true => (Listers::Run, Some(listen_to_signals()?)),
            false => (Listers::UseKept, None),
        };
        let resolved =
            resolve(&context, &catalog, &rules, input, listers, signals.as_mut()).await?;
        let Some(mut resolutions) = resolved else {
            return Ok(exit::INTERRUPTED);
        };
        show_warnings(&resolutions, context.is_verbose);
        note_unlisted(&resolutions);
        if let Some(notation) = self.graph {
            job::load_requirement_resolvers(&catalog, &resolutions.resolved).await;
            return graph(
                resolutions,
                &catalog,
                &context.config,
                (&root, &selection),
                notation,
            );
        }
        let answers = &mut resolutions.resolved;
        if let Some(all) = job::filter_answers(answers, &selection, &context.config, &root) {
            let left: usize = answers.iter().map(tests).sum();
            eprint_line(format_args!(
                "note: the filters leave {left} of {all} tests"
            ));
        }
        let mut out = std::io::BufWriter::new(display::large_out());
        // A plugin that cannot be loaded may be the one that resolves a reference.
        let mut code = match catalog.failures() {
            [] => exit::OK,
            _ => exit::JOB_FAIL,
        };
        let choice = SpawnerChoice::new(&context.config);
        for resolved in &resolutions.resolved {
            if !matches!(resolved.answer, Answer::Found { .. }) {
                code = exit::JOB_FAIL;
            }
            let written = if self.json {
                write_json(&mut out, resolved)
            } else {
                write_lines(&mut out, resolved, &choice)
            };
            if let Err(error) = written {
                display::note_error(error);
                return Ok(code);
            }
        }
        if self.json {
            for warning in &resolutions.warnings {
                let line = json!({ "warning": warning });
                if writeln!(out, "{}", printable_json(&line.to_string())).is_err() {
                    return Ok(code);
                }
            }
        }
        if let Err(error) = out.flush() {
            display::note_error(error);
        }
        refuse_warnings(&resolutions, &context.config)?;
        Ok(code)
    }
}

/// Prints the graph of tasks. Unresolved references are errors as in `run`: they have no tasks.
fn graph(
    resolutions: Resolutions,
    catalog: &Catalog,
    config: &Config,
    (results_root, selection): (&Path, &Selection),
    notation: Notation,
) -> Result<u8, Failure> {
    let ignore = config.get(settings::RUN_IGNORE_MISSING_REFERENCES);
    refuse_unresolved(&resolutions.resolved, ignore)?;
    refuse_warnings(&resolutions, config)?;
    let graph = GraphExport::new(
        resolutions.resolved,
        catalog,
        config,
        results_root,
        selection,
    )
    .map_err(|error| Failure::with(exit::JOB_FAIL, error))?;
    let text = match notation {
        Notation::Text => graph.text(),
        Notation::Dot => graph.dot(),
        Notation::Mermaid => graph.mermaid(),
    };
    display::out(&printable_lines(&text));
    Ok(exit::OK)
}

/// The number of tests of an answer.
fn tests(resolved: &Resolved) -> usize {
    match &resolved.answer {
        Answer::Found { runnables, .. } => runnables.len(),
        Answer::Missing { .. } | Answer::Corrupt { .. } | Answer::Failed { .. } => 0,
    }
}

fn write_lines(
    out: &mut impl std::io::Write,
    resolved: &Resolved,
    choice: &SpawnerChoice,
) -> std::io::Result<()> {
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
                if let Some(environment) = choice.own_environment(&runnable.more) {
                    write!(out, " in {}", printable(&environment))?;
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
    let mut line =
        |value: serde_json::Value| writeln!(out, "{}", printable_json(&value.to_string()));
    match &resolved.answer {
        Answer::Found {
            resolver,
            runnables,
            ..
        } => runnables.iter().try_for_each(|runnable| {
            line(json!({ "reference": reference, "resolver": resolver, "runnable": **runnable }))
        }),
        Answer::Missing { reasons } => line(json!({ "reference": reference, "missing": reasons })),
        Answer::Corrupt { resolver, what } => {
            line(json!({ "reference": reference, "resolver": resolver, "corrupt": what }))
        }
        Answer::Failed { error } => line(json!({ "reference": reference, "error": error })),
    }
}
