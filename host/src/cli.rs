//! The command line: what can be typed, one file for each subcommand. Owns words and exit codes; the work is done elsewhere.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use tracing_subscriber::fmt::format;

use persea_config::settings;
use persea_config::{Config, SafeDirectories, UserDirs};
use persea_display as display;
use persea_model::SpawnerKind;
use persea_model::names::{printable, printable_json, printable_lines};
use persea_plugin::{Catalog, Grants, LOCK_FILE, Lock, LockError, Locks, Sources, compile};
use persea_spawner::{Setup, Spawner, descriptor};
use persea_static_helper::HELPER;
use persea_system::temporary::Temporary;
use persea_system::threads;

mod again;
mod config;
mod limits;
mod list;
mod plugin;
mod references;
mod release;
mod report;
mod run;

/// Exit codes, as Avocado's: bits that add up.
mod exit {
    /// Everything went well.
    pub(super) const OK: u8 = 0;
    /// At least one test ended FAIL or ERROR.
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

const EXIT_CODES: &str = "Exit codes are bits that add up: 0 all is well, 1 a test ended FAIL or ERROR, 2 the job failed, \
4 the command line or the configuration is wrong, 8 the job or a test was interrupted.";

/// What every subcommand takes.
#[derive(Debug, Args)]
struct Common {
    /// Read this configuration file too (TOML; repeatable, later ones win)
    #[arg(long, global = true, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Set one setting, as in `--set task.timeout.running=5m` (repeatable)
    #[arg(long = "set", global = true, value_name = "NAME=VALUE")]
    assignments: Vec<String>,
    /// Use the plugins (*.wasm) of this directory, before all others and also where no lock binds them (repeatable)
    #[arg(long, global = true, value_name = "DIR")]
    plugin_dir: Vec<PathBuf>,
    /// Grant a power to the plugins of --plugin-dir that no lock binds: `workspace`, `fetch=example.org` (repeatable)
    #[arg(long, global = true, value_name = "POWER[=WHAT,…]")]
    grant: Vec<String>,
    /// Say more of what the host does, on the standard error (-vv for all)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Resolve references and run what they are
    Run(Box<run::Run>),
    /// Show what references are, without running them
    List(list::List),
    /// Show and inspect plugins
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    /// Make a report of a job again, from its journal alone
    Report(report::Report),
    /// Undo what a job has brought about for its tests, if it was killed before it could
    Release(release::Release),
    /// Show every setting, its value and where it comes from
    Config(config::Show),
}

/// A failure with the exit code that says so.
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

    /// Any typed error, as one that failed the host.
    fn of<E: std::error::Error>(error: E) -> Self {
        Self::with(exit::FAIL, error)
    }

    /// The texts of our errors have their causes in them, so none is shown below.
    fn with<E: std::error::Error>(code: u8, error: E) -> Self {
        Self {
            code,
            report: miette::miette!("{error}"),
        }
    }
}

/// What the subcommands work with.
struct Context {
    dirs: UserDirs,
    /// Where what can be made again is kept, if it can be.
    cache: Option<PathBuf>,
    config: Config,
    /// The directories of plugins that the command line names.
    named: Vec<PathBuf>,
    /// The powers that the command line grants.
    grants: Grants,
    /// Whether `-v` was given.
    is_verbose: bool,
}

impl Context {
    fn new(common: &Common) -> Result<Self, Failure> {
        let dirs = UserDirs::from_env();
        let config =
            Config::load(&dirs, &common.config, &common.assignments).map_err(Failure::of)?;
        let grants = Grants::parse(&common.grant);
        let grants =
            grants.map_err(|why| Failure::new(exit::FAIL, miette::miette!("--grant {why}")))?;
        Ok(Self {
            cache: persea_system::private::directory(&dirs.cache),
            dirs,
            config,
            named: common.plugin_dir.clone(),
            grants,
            is_verbose: common.verbose > 0,
        })
    }

    /// Says what a project has set that is not a project's to set, and where it is set instead; and that its files are not followed.
    fn tell_not_taken(&self) {
        if let Some(foreign) = self.config.foreign() {
            warn(format_args!("warning: {foreign}"));
        }
        for it in self.config.not_taken() {
            warn(format_args!(
                "warning: {it}; `--set {}=…` or {} sets it",
                it.name,
                self.dirs.config.join("config.toml").display()
            ));
        }
    }

    /// The lock of the project, or of the user.
    fn lock(&self, of_user: bool) -> Result<Lock, Failure> {
        let read = match of_user {
            true => Lock::read(&self.dirs.config.join(LOCK_FILE)),
            false => Lock::read_project(Path::new(LOCK_FILE), &self.safe_directories()),
        };
        read.map_err(Failure::of)
    }

    /// Reads the lock of the project or of the user, changes and writes it, while no other host does.
    fn change_lock(
        &self,
        of_user: bool,
        change: impl FnOnce(&mut Lock) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let directory = match of_user {
            true => &*self.dirs.config,
            false => Path::new("."),
        };
        let lock = persea_system::directory_lock::lock(directory);
        let _lock = lock.map_err(|error| {
            let path = directory.join(LOCK_FILE);
            Failure::new(
                exit::FAIL,
                miette::miette!("cannot change {}: {error}", path.display()),
            )
        })?;
        let mut lock = self.lock(of_user)?;
        change(&mut lock)?;
        lock.write().map_err(Failure::of)
    }

    /// The lock of the project; an empty one where it is not followed, which is said.
    fn project_lock(&self) -> Result<Lock, Failure> {
        let path = Path::new(LOCK_FILE);
        match Lock::read_project(path, &self.safe_directories()) {
            Err(LockError::Foreign(foreign)) => {
                warn(format_args!("warning: {foreign}"));
                Ok(Lock::empty(path))
            }
            read => read.map_err(Failure::of),
        }
    }

    /// Whose project files are followed.
    fn safe_directories(&self) -> SafeDirectories {
        SafeDirectories::new(&self.config, &self.dirs)
    }

    /// Where plugins are looked for.
    fn sources(&self) -> Result<Sources, Failure> {
        Ok(Sources {
            built_in: BUILTINS,
            named: self.named.clone(),
            dirs: self
                .config
                .get(settings::PLUGINS_DIRS)
                .into_iter()
                .map(PathBuf::from)
                .collect(),
            user_dir: Some(self.dirs.data.join("plugins")),
            locks: Locks::new(self.project_lock()?, self.lock(true)?),
            grants: self.grants.clone(),
            store: Some(self.store()),
            cache: self.cache.clone(),
        })
    }

    /// Where plugins from registries are kept.
    fn store(&self) -> PathBuf {
        self.dirs.data.join("store")
    }

    /// A catalog with no plugins in it.
    fn bare(&self) -> Result<Catalog, Failure> {
        self.bare_of(self.sources()?)
    }

    /// The same, with plugins to come from elsewhere.
    fn bare_of(&self, sources: Sources) -> Result<Catalog, Failure> {
        let root = std::env::current_dir().map_err(|error| {
            let message =
                "the working directory cannot be found, and references are relative to it";
            Failure::new(exit::FAIL, miette::miette!("{message}: {error}"))
        })?;
        let instances = persea_job::instances(&self.config);
        Catalog::bare(sources, &self.config, instances, &root).map_err(Failure::of)
    }

    /// Loads the plugins. What cannot be loaded is said on the standard error.
    async fn catalog(&self) -> Result<Arc<Catalog>, Failure> {
        // What was typed for plugins that nobody has looked at has to keep them from this machine.
        let mut granted = self.grants.spawners().into_iter();
        if let Some(open) =
            granted.find(|name| !SpawnerKind::parse(name).is_some_and(SpawnerKind::is_isolating))
        {
            let error = miette::miette!(
                help = "`persea plugin add FILE --grant process=…` locks a plugin that may use another",
                "--grant process={open}: a plugin that no lock binds is only given spawners that isolate: {}",
                SpawnerKind::isolating().join(", ")
            );
            return Err(Failure::new(exit::FAIL, error));
        }
        let mut catalog = self.bare()?;
        catalog.load().await.map_err(Failure::of)?;
        for failure in catalog.failures() {
            warn(format_args!("warning: plugin not loaded: {failure}"));
        }
        // It may be that of a plugin that is loaded only where it's needed.
        if self.config.unknown(&catalog.settings()).next().is_some() {
            catalog.load_requirement_resolvers().await;
        }
        for (name, origin) in self.config.unknown(&catalog.settings()) {
            warn(format_args!(
                "warning: nothing knows the setting `{name}` from {origin}; `persea config` shows all"
            ));
        }
        let catalog = Arc::new(catalog);
        // It lives as long as the program. Its memory is given back at once with the program's, not piece by piece before.
        std::mem::forget(Arc::clone(&catalog));
        Ok(catalog)
    }
}

// The table of the plugins that the build script has built: `BUILTINS`.
include!(concat!(env!("OUT_DIR"), "/builtins.rs"));

/// The variable by which a user names the directory that all tests of the job share. It is not removed at the end.
const COMMON_TMPDIR: &str = "AVOCADO_TESTS_COMMON_TMPDIR";

/// Takes the signals that end a command. To be called before [`Place::new`]: the default action would
/// leave its temporary files.
fn listen() -> Result<persea_job::Signals, Failure> {
    persea_job::Signals::listen().map_err(|error| {
        let error = miette::miette!("cannot listen to signals: {error}");
        Failure::new(exit::JOB_FAIL, error)
    })
}

/// What starts processes on this machine, with the directories that live as long as it: the outer one, and the one in it that
/// all tasks share.
struct Place {
    spawner: Box<dyn Spawner>,
    common: PathBuf,
    outer: Temporary,
}

impl Place {
    /// With a spawner, as it is configured.
    async fn new(spawner: SpawnerKind, context: &Context) -> Result<Self, Failure> {
        threads::reserved().await.map_err(Failure::of)?;
        let outer = Temporary::new().map_err(|error| {
            let help = "set TMPDIR to a directory that is there and that you may write to";
            Failure::new(exit::FAIL, miette::miette!(help = help, "{error}"))
        })?;
        let own = std::env::var_os(COMMON_TMPDIR).map(PathBuf::from);
        let common = match own {
            // An isolating spawner shows its tests no other directory that they may write to.
            Some(own) if !spawner.is_isolating() && own.is_dir() => {
                std::path::absolute(own).map_err(Failure::of)?
            }
            _ => {
                let common = outer.path().join("common");
                std::fs::create_dir(&common).map_err(Failure::of)?;
                common
            }
        };
        let Context { config, dirs, .. } = context;
        let own = [&dirs.config, &dirs.state, &dirs.cache]
            .into_iter()
            .cloned();
        let jobs = [
            persea_job::default_results(dirs),
            persea_job::results_root(config, dirs),
        ];
        let setup = Setup {
            helper: HELPER,
            temporary: outer.path().to_path_buf(),
            directory: std::env::current_dir().map_err(Failure::of)?,
            home: dirs.home.clone(),
            private: own.chain(jobs).collect(),
            config,
        };
        let spawner = (descriptor(spawner).make)(setup)
            .map_err(|error| Failure::with(exit::JOB_FAIL, error))?;
        Ok(Self {
            spawner,
            common,
            outer,
        })
    }
}

/// Writes a line on the standard output; what it holds of others is shown and not done. What the command is for goes on also
/// where that cannot be written: it is an error at the end.
fn say(line: impl std::fmt::Display) {
    display::out(&format!("{}\n", printable(&line.to_string())));
}

/// Writes a JSON value on the standard output, in a line.
fn say_json(value: &serde_json::Value) {
    display::out(&format!("{}\n", printable_json(&value.to_string())));
}

/// Writes a line on the standard error, in the same way.
fn warn(line: impl std::fmt::Display) {
    display::err(&format!("{}\n", printable(&line.to_string())));
}

/// Writes on the standard error why a command has failed. Colours are of whoever lays it out; the texts get none of their own.
fn tell(failed: &miette::Report) {
    let message = printable_lines(&failed.to_string()).into_owned();
    let report = match failed.help() {
        Some(help) => {
            let help = printable_lines(&help.to_string()).into_owned();
            miette::miette!(help = help, "{message}")
        }
        None => miette::miette!("{message}"),
    };
    display::err(&format!("{report:?}\n"));
}

/// Reads what was typed; the help, or what is wrong, is shown.
fn parse() -> Result<Cli, u8> {
    use clap::error::ErrorKind;

    let error = match Cli::try_parse() {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    // A name that others have made may be among it: it's wrong in the same way without what a terminal would act on.
    let shown: Vec<String> = std::env::args_os()
        .map(|arg| printable(&arg.to_string_lossy()).into_owned())
        .collect();
    let error = Cli::try_parse_from(&shown).err().unwrap_or(error);
    if error.kind() == ErrorKind::DisplayVersion && !asks_for_the_version(&shown) {
        tell(&miette::miette!(
            help = "`persea --version` alone shows the version, `-v` before or after a command says more of what the host does",
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

/// Whether a command line asks for the version and for nothing else: of the program, or of one of its commands.
fn asks_for_the_version(args: &[String]) -> bool {
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

/// Ends what is written, and adds to an exit code what went wrong with that.
fn end(mut code: u8) -> ExitCode {
    if let Some(error) = display::output_error() {
        tell(&miette::miette!(
            "cannot write to the standard output: {error}"
        ));
        code |= exit::JOB_FAIL;
    }
    display::drain_at_exit();
    ExitCode::from(code)
}

/// Does what the command line says.
pub(super) fn main() -> ExitCode {
    // Tests may run as the same user. They could trace this program otherwise, or open its descriptors, and so give themselves
    // results; a core dump is what it costs.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|word| word == compile::WORD) {
        let args = args.map(|arg| arg.to_string_lossy().into_owned());
        return compile::main(&args.collect::<Vec<_>>());
    }
    report_plainly();
    let cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return end(code),
    };
    trace(cli.common.verbose);
    let code = match dispatch(cli) {
        Ok(code) => code,
        Err(failure) => {
            tell(&failure.report);
            failure.code
        }
    };
    end(code)
}

fn dispatch(cli: Cli) -> Result<u8, Failure> {
    limits::check()?;
    let context = Context::new(&cli.common)?;
    // These have settings of their own to add.
    if !matches!(cli.command, Command::Run(_) | Command::List(_)) {
        context.tell_not_taken();
    }
    // One thread: see `plugin/workers.rs` for what computes.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(1)
        .thread_keep_alive(threads::KEEP)
        .thread_stack_size(threads::STACK)
        .enable_all();
    let runtime = threads::runtime(&mut builder).map_err(limits::no_runtime)?;
    threads::reserve(&runtime).map_err(Failure::of)?;
    // On that thread rather than beside it.
    let done = runtime.block_on(async {
        tokio::spawn(async move {
            limits::outlive_file_size();
            match cli.command {
                Command::Run(run) => run.run(context).await,
                Command::List(list) => list.run(context).await,
                Command::Plugin(plugin) => plugin.run(&context).await,
                Command::Report(report) => report.run(context).await,
                Command::Release(release) => release.run(&context).await,
                Command::Config(show) => show.run(&context).await,
            }
        })
        .await
    });
    runtime.shutdown_background();
    done.map_err(Failure::of)?
}

/// Errors as plain lines: a long path must stay in one piece to be copied.
fn report_plainly() {
    let _ = miette::set_hook(Box::new(|_| {
        Box::new(
            miette::MietteHandlerOpts::new()
                .wrap_lines(false)
                .terminal_links(false)
                .unicode(false)
                .build(),
        )
    }));
}

fn trace(verbose: u8) {
    let level = match verbose {
        0 => "persea=warn",
        1 => "persea=info",
        _ => "persea=debug",
    };
    let asked = std::env::var_os("PERSEA_LOG").map(|filter| match filter.to_str() {
        None => Err("it is not UTF-8".to_owned()),
        Some(text) => tracing_subscriber::EnvFilter::try_new(text).map_err(|why| why.to_string()),
    });
    let filter = match asked {
        Some(Ok(filter)) => filter,
        Some(Err(why)) => {
            warn(format_args!(
                "warning: the variable PERSEA_LOG is not followed: {why}"
            ));
            tracing_subscriber::EnvFilter::new(level)
        }
        None => tracing_subscriber::EnvFilter::new(level),
    };
    let fields = format::debug_fn(|writer, field, value| {
        let text = format!("{value:?}");
        match field.name() {
            "message" => write!(writer, "{}", printable(&text)),
            name => write!(writer, " {name}={}", printable(&text)),
        }
    });
    let colours = anstream::AutoStream::choice(&std::io::stderr());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .fmt_fields(fields)
        .with_ansi(colours != anstream::ColorChoice::Never)
        .with_writer(|| display::StandardError)
        .without_time()
        .with_target(false)
        .try_init();
}
