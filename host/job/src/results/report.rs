//! Result formats at work: each follows the journal in a thread of its own, so that a slow one holds up neither the tests nor the others.

mod ending;
mod relay;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use serde_json::Value;

use self::ending::Ending;
use self::relay::Relay;
use persea_config::{Config, Origin};
use persea_display::for_reader;
use persea_journal::{EventKind, JournalError, Line, Reader};
use persea_model::Attribute;
use persea_plugin::{
    Catalog, FormatData, FormatEvent, Plugin, PluginError, ReportTarget, ResultFormat,
};

/// How many events a format gets in a call.
const BATCH: usize = 512;

/// A call is made sooner when its events have so many bytes of the journal: 8 MiB.
const BATCH_BYTES: usize = 8 << 20;

/// Where a report is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A file that the user names, wherever it is; what it held is replaced.
    File(PathBuf),
    /// A new file in the job's directory.
    InJob(PathBuf),
    /// The standard output.
    Stdout,
}

/// A report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// There is no such format.
    #[error(
        "no result format `{name}`: there is {known}; more are added with `persea plugin add FILE`"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The report's file cannot be made.
    #[error("cannot write the report {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal has not even a beginning.
    #[error("the journal {} has no beginning: there is nothing to report", path.display())]
    Empty {
        /// The journal.
        path: PathBuf,
    },
    /// The format failed.
    #[error("the report `{name}` is incomplete: {source}")]
    Plugin {
        /// The format's name.
        name: String,
        /// What happened.
        source: PluginError,
    },
    /// The thread that made the report ended by a bug.
    #[error(
        "the report `{name}` is incomplete: the host failed while it was made; this is a bug of Persea"
    )]
    Bug {
        /// The format's name.
        name: String,
    },
}

/// A report that is to be made.
pub struct Order {
    /// The format.
    pub plugin: Arc<Plugin>,
    /// Where it goes.
    pub destination: Destination,
}

/// What the job itself has in its directory, or beside it.
const OWN: [&str; 6] = [
    "id",
    "job.log",
    "latest",
    persea_journal::FILE_NAME,
    persea_model::names::TEST_RESULTS,
    crate::results::directory::DEPENDENCIES,
];

/// The reports that the configuration asks for, with `job_dir` as the place for those that have a file's name of their own.
pub fn orders(catalog: &Catalog, config: &Config, job_dir: &Path) -> Vec<Order> {
    let mut orders = Vec::new();
    // A file is that of the most trusted format that names it, however they are preferred.
    let mut formats: Vec<&Arc<Plugin>> = catalog.formats().collect();
    formats.sort_by_key(|plugin| plugin.trust);
    let mut files = Files::default();
    let setting = |plugin: &Plugin, what: &str| format!("job.run.result.{}.{what}", plugin.name);
    let mut order = |plugin: &Arc<Plugin>, destination| {
        let plugin = Arc::clone(plugin);
        orders.push(Order {
            plugin,
            destination,
        });
    };
    for plugin in &formats {
        let enabled = config.raw(&setting(plugin, "enabled"));
        let enabled = enabled.and_then(Value::as_bool).unwrap_or(true);
        let name = plugin.more.get("file").and_then(Attribute::as_str);
        if let Some(name) = name.filter(|_| enabled)
            && files.give(plugin, name, &setting(plugin, "output"))
        {
            order(plugin, Destination::InJob(job_dir.join(name)));
        }
    }
    // After all files that formats have of their own.
    for plugin in &formats {
        let setting = setting(plugin, "output");
        let Some((Value::String(output), origin)) = config.set_by(&setting) else {
            continue;
        };
        match (output.as_str(), origin) {
            ("-", _) => order(plugin, Destination::Stdout),
            (name, Origin::Project(_)) => {
                if files.give(plugin, name, &setting) {
                    order(plugin, Destination::InJob(job_dir.join(name)));
                }
            }
            (path, _) => order(plugin, Destination::File(PathBuf::from(path))),
        }
    }
    orders
}

/// Whose the files in the job's directory are.
#[derive(Default)]
struct Files(HashMap<String, Arc<Plugin>>);

impl Files {
    /// Gives a format a file of this name, if that can harm neither the job's own files nor another report.
    fn give(&mut self, plugin: &Arc<Plugin>, name: &str, setting: &str) -> bool {
        let why = match self.0.get(name) {
            Some(other) => format!("that is the report of {}", other.label()),
            None if OWN.contains(&name) => "that is the job's own".to_owned(),
            None if !persea_model::names::is_artifact_name(name) => {
                "that is no name for it".to_owned()
            }
            None => {
                self.0.insert(name.to_owned(), Arc::clone(plugin));
                return true;
            }
        };
        tracing::warn!(
            "{} writes no {name:?}: {why}; `{setting}` names another place for its report",
            plugin.label()
        );
        false
    }
}

/// Makes one report of a journal, from its first line to its last. Blocks: it is to be called from a thread of its own.
/// Returns how many tasks were planned and have no end in the journal, because the host ended before them: they are in the
/// report as errors.
///
/// # Errors
/// The journal cannot be read or has no beginning, the format fails, or the report cannot be written.
pub fn make(
    config: &Config,
    order: &Order,
    mut journal: Reader,
    job_dir: &Path,
    runtime: &tokio::runtime::Handle,
) -> Result<usize, ReportError> {
    let plugin = &order.plugin;
    let failed = |source| ReportError::Plugin {
        name: plugin.name.clone(),
        source,
    };
    let settings = config.subset(&plugin.settings);
    let wanted = wanted_events(plugin);
    let wants = |kind: &str| wanted.iter().any(|name| name == kind);
    let bounds = [EventKind::JobStarted, EventKind::JobFinished];
    let needs =
        |kind: &str| wants(kind) || EventKind::of(kind).is_some_and(|it| bounds.contains(&it));
    let first = |journal: &mut Reader| match journal.next(needs)? {
        Some(line) if line.event == EventKind::JobStarted.name() => {
            Ok::<Line<FormatData>, ReportError>(line)
        }
        _ => Err(ReportError::Empty {
            path: job_dir.join(persea_journal::FILE_NAME),
        }),
    };
    // A journal that has been written is looked at before anything is put in the place of an earlier report. In a job the
    // format is made ready while the first tests run.
    let written = (!journal.is_followed())
        .then(|| first(&mut journal))
        .transpose()?;
    let (target, relay) = open(order)?;
    let mut format = runtime
        .block_on(ResultFormat::new(plugin, target, job_dir))
        .map_err(failed)?;
    let mut batch: Vec<FormatEvent> = Vec::with_capacity(BATCH);
    let mut bytes = 0;
    let mut next = match written {
        Some(line) => Some(line),
        None => Some(first(&mut journal)?),
    };
    let (mut time, mut has_ended) = (0, false);
    while let Some(mut line) = next {
        time = line.time;
        has_ended |= line.event == EventKind::JobFinished.name();
        if wants(&line.event) {
            prepare(&mut line, &settings);
            batch.push(line.into());
            bytes += journal.length();
        }
        let full = batch.len() >= BATCH || bytes >= BATCH_BYTES || !journal.has_next();
        if !batch.is_empty() && full {
            bytes = 0;
            runtime
                .block_on(format.handle(std::mem::take(&mut batch)))
                .map_err(failed)?;
        }
        next = journal.next(needs)?;
    }
    let mut unfinished = 0;
    if !has_ended {
        let ending = Ending::of(job_dir, time)?;
        unfinished = ending.unfinished;
        let lines = ending.lines.into_iter();
        batch.extend(
            lines
                .filter(|line| wants(&line.event))
                .map(FormatEvent::from),
        );
    }
    while !batch.is_empty() {
        let rest = batch.split_off(batch.len().min(BATCH));
        runtime
            .block_on(format.handle(std::mem::replace(&mut batch, rest)))
            .map_err(failed)?;
    }
    drop(format);
    if let Some(relay) = relay {
        relay
            .end()
            .map_err(|error| order.destination.failed(error))?;
    }
    Ok(unfinished)
}

/// Opens what an order asks for. A report for a stream is relayed: at once, or when it is whole where the format patches
/// what it wrote.
fn open(order: &Order) -> Result<(ReportTarget, Option<Relay>), ReportError> {
    let stream = match order.destination.open() {
        Ok(Target::File(file)) => return Ok((ReportTarget::File(file), None)),
        Ok(Target::Stream(stream)) => stream,
        Err(source) => return Err(order.destination.failed(source)),
    };
    let failed = |source| ReportError::Write {
        path: std::env::temp_dir(),
        source,
    };
    let relay = Relay::start(stream).map_err(failed)?;
    let target = match order.plugin.more.get("streams") == Some(&true.into()) {
        true => ReportTarget::Stream(Box::new(relay.live().map_err(failed)?)),
        false => ReportTarget::File(relay.whole().map_err(failed)?),
    };
    Ok((target, Some(relay)))
}

/// What a destination is when it's open.
enum Target {
    File(File),
    Stream(Box<dyn Write + Send>),
}

impl Destination {
    fn failed(&self, source: io::Error) -> ReportError {
        let path = match self {
            Self::File(path) | Self::InJob(path) => path.clone(),
            Self::Stdout => "the standard output".into(),
        };
        ReportError::Write { path, source }
    }

    /// Opens it without waiting for anybody.
    fn open(&self) -> io::Result<Target> {
        // A pipe that nobody reads from would be waited for.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let opened = match self {
            Self::Stdout => return Ok(Target::Stream(for_reader(io::stdout()))),
            Self::File(path) => {
                let mut options = File::options();
                options.write(true).create(true).truncate(true);
                options.custom_flags(flags).open(path)
            }
            Self::InJob(path) => File::options().write(true).create_new(true).open(path),
        };
        let file = opened.map_err(|error| match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => io::Error::new(
                error.kind(),
                "it is a pipe from which nobody reads, or a socket: start who reads first, or name a file",
            ),
            _ => error,
        })?;
        if file.metadata()?.is_file() {
            return Ok(Target::File(file));
        }
        // From now on who reads may take his time.
        let flags = rustix::fs::fcntl_getfl(&file)?;
        rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
        Ok(Target::Stream(for_reader(file)))
    }
}

fn wanted_events(plugin: &Plugin) -> Vec<String> {
    let names = plugin.more.get("events").and_then(Attribute::items);
    match names {
        Some(names) => names.into_iter().filter_map(Attribute::into_text).collect(),
        None => [
            EventKind::JobStarted,
            EventKind::TaskFinished,
            EventKind::JobFinished,
        ]
        .map(|kind| kind.name().to_owned())
        .to_vec(),
    }
}

/// A format sees the settings that it declared, and no others.
fn prepare(line: &mut Line<FormatData>, settings: &persea_model::Attributes) {
    if line.event == EventKind::JobStarted.name() {
        line.data.restrict_settings(settings);
    }
}
