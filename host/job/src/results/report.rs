//! Owns the making of reports: each result format follows the journal in a thread of its own, so
//! that a slow format delays neither the tests nor other formats.

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

use self::ending::MissingEnd;
use self::relay::Relay;
use persea_config::{Config, Origin};
use persea_display::for_reader;
use persea_journal::{EventKind, JournalError, Line, Reader};
use persea_model::Attribute;
use persea_plugin::{
    Catalog, EVENT_PAGE, FormatData, FormatEvent, Plugin, PluginError, ReportTarget, ResultFormat,
};

/// The number of events with which a format is called at once, if so many are waiting. Each takes
/// some 2 KiB in the host and as much in the format, so that these fit into the processor's cache.
const BATCH: usize = if EVENT_PAGE < 256 { EVENT_PAGE } else { 256 };

/// The size of the journal's events from which a call is made sooner: 8 MiB.
const BATCH_BYTES: usize = 8 << 20;

/// Where a report is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportDestination {
    /// A file that the user names, anywhere; it is replaced.
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
        /// The name that was asked for.
        name: String,
        /// The formats that exist.
        known: String,
    },
    /// The report's file cannot be made.
    #[error("cannot write the report {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal does not start with `job-started`.
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
        /// The format's error.
        source: PluginError,
    },
    /// The thread that made the report ended by a bug.
    #[error(
        "the report `{name}` is incomplete: the host failed while making it; this is a bug of \
         Persea"
    )]
    Bug {
        /// The format's name.
        name: String,
    },
}

/// A report to be made.
pub struct ReportOrder {
    /// The format.
    pub plugin: Arc<Plugin>,
    /// Where it goes.
    pub destination: ReportDestination,
}

/// The names of the job's own files, in its directory or beside it.
const RESERVED_NAMES: [&str; 6] = [
    "id",
    "job.log",
    "latest",
    persea_journal::FILE_NAME,
    persea_model::names::TEST_RESULTS,
    crate::results::directory::DEPENDENCIES,
];

/// Returns the reports that the configuration asks for. Reports with a file name of the format's
/// own go to `job_dir`.
pub fn orders(catalog: &Catalog, config: &Config, job_dir: &Path) -> Vec<ReportOrder> {
    let mut orders = Vec::new();
    // Two formats may name one file: the most trusted format gets it, whatever the order of
    // preference.
    let mut formats: Vec<&Arc<Plugin>> = catalog.formats().collect();
    formats.sort_by_key(|plugin| plugin.trust);
    let mut files = ReportFiles::default();
    let setting = |plugin: &Plugin, what: &str| format!("job.run.result.{}.{what}", plugin.name);
    let mut order = |plugin: &Arc<Plugin>, destination| {
        let plugin = Arc::clone(plugin);
        orders.push(ReportOrder {
            plugin,
            destination,
        });
    };
    for plugin in &formats {
        let enabled = config.raw(&setting(plugin, "enabled"));
        let by_default = || plugin.more.get("enabled").and_then(Attribute::as_bool);
        let enabled = enabled.and_then(Value::as_bool).or_else(by_default);
        let name = plugin.more.get("file").and_then(Attribute::as_str);
        if let Some(name) = name.filter(|_| enabled.unwrap_or(true))
            && files.give(plugin, name, &setting(plugin, "output"))
        {
            order(plugin, ReportDestination::InJob(job_dir.join(name)));
        }
    }
    // After the formats' own files, so that those have precedence.
    for plugin in &formats {
        let setting = setting(plugin, "output");
        let Some((Value::String(output), origin)) = config.set_by(&setting) else {
            continue;
        };
        match (output.as_str(), origin) {
            ("-", _) => order(plugin, ReportDestination::Stdout),
            (name, Origin::Project(_)) => {
                if files.give(plugin, name, &setting) {
                    order(plugin, ReportDestination::InJob(job_dir.join(name)));
                }
            }
            (path, _) => order(plugin, ReportDestination::File(PathBuf::from(path))),
        }
    }
    orders
}

/// The names in the job's directory that are given to formats.
#[derive(Default)]
struct ReportFiles(HashMap<String, Arc<Plugin>>);

impl ReportFiles {
    /// Gives a format a file of this name, unless that would replace a file of the job or another
    /// report.
    fn give(&mut self, plugin: &Arc<Plugin>, name: &str, setting: &str) -> bool {
        let why = match self.0.get(name) {
            Some(other) => format!("that file is the report of {}", other.label()),
            None if RESERVED_NAMES.contains(&name) => "that file is the job's own".to_owned(),
            None if !persea_model::names::is_artifact_name(name) => {
                "that is not a valid file name".to_owned()
            }
            None => {
                self.0.insert(name.to_owned(), Arc::clone(plugin));
                return true;
            }
        };
        tracing::warn!(
            "{} cannot write {name:?}: {why}; set `{setting}` to another path",
            plugin.label()
        );
        false
    }
}

/// Makes one report of a whole journal. Blocks: call it from a thread of its own.
///
/// Returns the number of planned tasks that have no end in the journal, because the host ended
/// before them. They are errors in the report.
///
/// # Errors
/// The journal cannot be read or has no beginning, the format fails, or the report cannot be
/// written.
pub fn make(
    config: &Config,
    order: &ReportOrder,
    mut journal: Reader,
    job_dir: &Path,
    runtime: &tokio::runtime::Handle,
) -> Result<usize, ReportError> {
    let plugin = &order.plugin;
    let failed = |source| ReportError::Plugin {
        name: plugin.name.clone(),
        source,
    };
    let settings = plugin.configured(config);
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
    // A complete journal is checked before an earlier report is replaced. In a running job the
    // format is instantiated while the first tests run.
    let written = (!journal.is_followed())
        .then(|| first(&mut journal))
        .transpose()?;
    let (target, relay) = open(order)?;
    let mut format = runtime
        .block_on(ResultFormat::start(plugin, &settings, target, job_dir))
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
            restrict_settings(&mut line, &settings);
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
        let ending = MissingEnd::of(job_dir, time)?;
        unfinished = ending.unfinished;
        let lines = ending.lines.into_iter();
        batch.extend(
            lines
                .filter(|line| wants(&line.event))
                .map(FormatEvent::from),
        );
    }
    while !batch.is_empty() {
        let rest = batch.split_off(batch.len().min(EVENT_PAGE));
        runtime
            .block_on(format.handle(std::mem::replace(&mut batch, rest)))
            .map_err(failed)?;
    }
    runtime.block_on(format.finish(has_ended)).map_err(failed)?;
    if let Some(relay) = relay {
        relay
            .end()
            .map_err(|error| order.destination.failed(error))?;
    }
    Ok(unfinished)
}

/// Opens the destination of a report. A report to a stream is relayed: as it is written, or when it
/// is complete where the format changes what it wrote.
fn open(order: &ReportOrder) -> Result<(ReportTarget, Option<Relay>), ReportError> {
    let stream = match order.destination.open() {
        Ok(OpenTarget::File(file)) => return Ok((ReportTarget::File(file), None)),
        Ok(OpenTarget::Stream(stream)) => stream,
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

/// An open destination.
enum OpenTarget {
    File(File),
    Stream(Box<dyn Write + Send>),
}

impl ReportDestination {
    fn failed(&self, source: io::Error) -> ReportError {
        let path = match self {
            Self::File(path) | Self::InJob(path) => path.clone(),
            Self::Stdout => "the standard output".into(),
        };
        ReportError::Write { path, source }
    }

    /// Opens the destination without blocking.
    fn open(&self) -> io::Result<OpenTarget> {
        // Opening a pipe without a reader would block.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let opened = match self {
            Self::Stdout => return Ok(OpenTarget::Stream(for_reader(io::stdout()))),
            Self::File(path) => {
                let mut options = File::options();
                options.write(true).create(true).truncate(true);
                options.custom_flags(flags).open(path)
            }
            Self::InJob(path) => persea_system::private::create_file(path),
        };
        let file = opened.map_err(|error| match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => io::Error::new(
                error.kind(),
                "it is a socket, or a pipe without a reader: start the reader first, or name \
                 a file",
            ),
            _ => error,
        })?;
        if file.metadata()?.is_file() {
            return Ok(OpenTarget::File(file));
        }
        // Later writes may block on a slow reader.
        let flags = rustix::fs::fcntl_getfl(&file)?;
        rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
        Ok(OpenTarget::Stream(for_reader(file)))
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

/// Removes the settings that the format did not declare.
fn restrict_settings(line: &mut Line<FormatData>, settings: &persea_model::Attributes) {
    if line.event == EventKind::JobStarted.name() {
        line.data.restrict_settings(settings);
    }
}
