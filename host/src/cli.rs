//! Owns the command line: its options, one file for each subcommand, and the exit codes. Does not
//! know how a job runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use persea_display as display;
use persea_model::names::printable;
use persea_plugin::compile;
use persea_system::threads;

mod again;
mod config;
mod context;
mod diff;
mod doctor;
mod execution;
mod export;
mod filters;
mod history;
mod import;
mod jobs;
mod limits;
mod list;
mod listing;
mod logging;
mod output;
mod past;
mod plugin;
mod references;
mod release;
mod report;
mod resume;
mod run;
mod session;
mod shell;

use context::Context;
use output::eprint_error;

/// Exit codes: bits that add up, with Avocado's meanings.
mod exit {
    /// No test failed, and nothing else did.
    pub(super) const OK: u8 = 0;
    /// At least one test ended FAIL or ERROR; for `diff`, one that did not before.
    pub(super) const TESTS_FAIL: u8 = 1;
    /// The job, or a part of it such as a report, failed.
    pub(super) const JOB_FAIL: u8 = 2;
    /// The command line or the configuration is wrong, or the host failed.
    pub(super) const FAIL: u8 = 4;
    /// The job or a test was interrupted.
    pub(super) const INTERRUPTED: u8 = 8;
}

/// Runs test jobs with sandboxed plugins.
#[derive(Debug, Parser)]
#[command(name = "persea", version, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes are sums of bits: 0 success, 1 a test ended FAIL or ERROR \
                          (for `diff`: it did not before), \
                          2 the job failed, 4 the command line or the configuration is wrong, \
                          8 the job or a test was interrupted.";

/// The options of every subcommand.
#[derive(Debug, Args)]
struct Common {
    /// Also read this configuration file (TOML; repeatable, later files win)
    #[arg(long, global = true, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Set one setting, such as `--set task.timeout.running=5m` (repeatable)
    #[arg(long = "set", global = true, value_name = "NAME=VALUE")]
    assignments: Vec<String>,
    /// Use the plugins (*.wasm) of this directory, before all others and even if no lock binds them
    /// (repeatable)
    #[arg(long, global = true, value_name = "DIR")]
    plugin_dir: Vec<PathBuf>,
    /// Grant a power, such as `workspace` or `fetch=example.org`, to the plugins of --plugin-dir
    /// that no lock binds (repeatable)
    #[arg(long, global = true, value_name = "POWER[=WHAT,…]")]
    grant: Vec<String>,
    /// Log more of what the host does to the standard error (-vv: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

impl Common {
    /// Adds the options that stand before the subcommand. Where an option stands on both sides,
    /// clap keeps only what is after the subcommand.
    fn add_options_before_subcommand(&mut self) {
        let first = std::env::args_os().nth(1).unwrap_or_default();
        if !first.as_encoded_bytes().starts_with(b"-") {
            return;
        }
        // An option that only the top level knows ends at the subcommand.
        let mut top = Cli::command().ignore_errors(true);
        for id in ["config", "assignments", "plugin_dir", "grant"] {
            top = top.mut_arg(id, |option| option.global(false));
        }
        let Ok(before) = top.try_get_matches_from(std::env::args_os()) else {
            return;
        };
        add_before(&mut self.config, &before, "config");
        add_before(&mut self.assignments, &before, "assignments");
        add_before(&mut self.plugin_dir, &before, "plugin_dir");
        add_before(&mut self.grant, &before, "grant");
    }
}

/// Puts the values of an option before the subcommand in front of those after it. Without any after
/// it, clap has copied them already.
fn add_before<T: Clone + PartialEq + Send + Sync + 'static>(
    values: &mut Vec<T>,
    before: &clap::ArgMatches,
    id: &str,
) {
    let before = before.get_many::<T>(id).into_iter().flatten();
    let before: Vec<T> = before.cloned().collect();
    if *values != before {
        values.splice(..0, before);
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Resolve references and run their tests
    Run(Box<run::Run>),
    /// Show what references resolve to, without running anything
    List(list::List),
    /// List, inspect and lock plugins
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    /// Write a report of a finished job again, from its journal
    Report(report::Report),
    /// Show how a test has fared in the jobs so far
    History(history::History),
    /// List, show and remove jobs
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    /// Compare two jobs, test by test
    Diff(diff::Diff),
    /// Write a job, with the outputs of its tests, into one file
    Export(export::Export),
    /// Make a job from the file of an export
    Import(import::Import),
    /// Release the requirements that a killed job has left fulfilled
    Release(release::Release),
    /// Show which spawners work on this machine, and what the others lack
    Doctor(doctor::Doctor),
    /// Show every setting, its value and where the value comes from
    Config(config::Show),
}

/// Why a command failed, with its exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    report: miette::Report,
}

impl Failure {
    fn new(code: u8, error: impl Into<miette::Report>) -> Self {
        Self {
            code,
            report: error.into(),
        }
    }

    /// An error with the exit code [`exit::FAIL`].
    fn of<E: std::error::Error>(error: E) -> Self {
        Self::with(exit::FAIL, error)
    }

    /// An error with an exit code. The texts of Persea's errors contain their causes, so the causes
    /// are not shown below them.
    fn with<E: std::error::Error>(code: u8, error: E) -> Self {
        Self {
            code,
            report: miette::miette!("{error}"),
        }
    }
}

// `BUILTINS`: the table of built-in plugins, written by the build script.
include!(concat!(env!("OUT_DIR"), "/builtins.rs"));

/// Parses the command line. Prints the help or the error otherwise, and returns the exit code.
fn parse() -> Result<Cli, u8> {
    use clap::error::ErrorKind;

    let error = match Cli::try_parse() {
        Ok(mut cli) => {
            cli.common.add_options_before_subcommand();
            return Ok(cli);
        }
        Err(error) => error,
    };
    // An argument may be a file name that somebody else chose. The same error without control
    // characters is safe to print.
    let shown: Vec<String> = std::env::args_os()
        .map(|arg| printable(&arg.to_string_lossy()).into_owned())
        .collect();
    let error = Cli::try_parse_from(&shown).err().unwrap_or(error);
    if error.kind() == ErrorKind::DisplayVersion && !asks_for_version(&shown) {
        eprint_error(&miette::miette!(
            help = "to show the version: `persea --version`; to log more: `-v` instead of `-V`",
            "`-V` and `--version` take no other arguments"
        ));
        return Err(exit::FAIL);
    }
    let printed = error.print();
    if error.use_stderr() {
        return Err(exit::FAIL);
    }
    let written = printed.and_then(|()| std::io::Write::flush(&mut std::io::stdout()));
    if let Err(error) = written {
        display::note_error(error);
    }
    Err(exit::OK)
}

/// Whether a command line asks for the version of the program or of one of its subcommands, and for
/// nothing else.
fn asks_for_version(args: &[String]) -> bool {
    let Some((last, words)) = args.get(1..).and_then(<[String]>::split_last) else {
        return false;
    };
    let mut command = &Cli::command();
    matches!(last.as_str(), "-V" | "--version")
        && words
            .iter()
            .all(|word| match command.find_subcommand(word) {
                Some(found) => {
                    command = found;
                    true
                }
                None => false,
            })
}

/// Writes the output that is left, and returns the exit code with the bit of a failed output.
fn finish(mut code: u8) -> ExitCode {
    if let Some(error) = display::output_error() {
        eprint_error(&miette::miette!(
            "cannot write to the standard output: {error}"
        ));
        code |= exit::JOB_FAIL;
    }
    display::drain_at_exit();
    ExitCode::from(code)
}

/// Runs the command line.
pub(super) fn main() -> ExitCode {
    // Tests may run as the same user. They must not trace this process or open its descriptors:
    // they could forge results. The price is that there is no core dump.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|word| word == compile::WORD) {
        let args = args.map(|arg| arg.to_string_lossy().into_owned());
        return compile::main(&args.collect::<Vec<_>>());
    }
    output::set_error_layout();
    let cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return finish(code),
    };
    logging::start(cli.common.verbose);
    let code = match dispatch(cli) {
        Ok(code) => code,
        Err(failure) => {
            eprint_error(&failure.report);
            failure.code
        }
    };
    finish(code)
}

fn dispatch(cli: Cli) -> Result<u8, Failure> {
    limits::check()?;
    let context = Context::new(&cli.common)?;
    // A job file of `run` and `list` adds settings, so these two warn later.
    if !matches!(cli.command, Command::Run(_) | Command::List(_)) {
        context.warn_about_project();
    }
    // One thread dispatches; the plugins have worker threads of their own.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(1)
        .thread_keep_alive(threads::KEEP)
        .thread_stack_size(threads::STACK)
        .enable_all();
    let runtime = threads::runtime(&mut builder).map_err(limits::no_runtime)?;
    threads::reserve(&runtime).map_err(Failure::of)?;
    // Spawned: the command then runs on the worker thread, and not on this one beside it.
    let done = runtime.block_on(async {
        tokio::spawn(async move {
            limits::outlive_file_size();
            match cli.command {
                Command::Run(run) => Box::pin(run.run(context)).await,
                Command::List(list) => list.run(context).await,
                Command::Plugin(plugin) => plugin.run(&context).await,
                Command::Report(report) => report.run(context).await,
                Command::History(history) => history.run(&context),
                Command::Jobs(jobs) => jobs.run(&context),
                Command::Diff(diff) => diff.run(&context),
                Command::Export(export) => export.run(&context),
                Command::Import(import) => import.run(&context),
                Command::Release(release) => release.run(&context).await,
                Command::Doctor(doctor) => doctor.run(&context).await,
                Command::Config(show) => show.run(&context).await,
            }
        })
        .await
    });
    runtime.shutdown_background();
    done.map_err(Failure::of)?
}
