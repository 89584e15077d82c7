//! Owns every limit on a plugin, and the place that sets each. Does not know about how a plugin is
//! held to its limits.
//!
//! A limit is the setting `plugins.limits.NAME`. `plugins.WORLD.limits.NAME` overrides it for the
//! plugins of one world, the plugin's lock entry overrides that, and
//! `plugins.WORLD.PLUGIN.limits.NAME` overrides all. The time for an answer is `timeout` instead of
//! `limits.NAME` there and in the lock, because its default depends on the world.

mod component_size;
mod origin;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

pub use self::component_size::ComponentSizeLimit;
pub use self::origin::OwnLimits;
use self::origin::{LimitOrigin, LimitScope, SettingNames};
use crate::contract::limits::{DOWNLOADS, POLLABLES};
use crate::contract::world::World;
use crate::engine::settings::{GuestCapacity, TICK};
use crate::error::reached::{ReachedLimit, bytes};
use persea_config::{Config, SHARED_LIMIT, Shape, settings};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The name of the time for one answer among the limits of a lock entry.
const TIMEOUT: &str = "timeout";

/// What the time for an answer limits, where the world has no better word for it.
const ANSWER: &str = "the time for one answer";

/// A limit that a plugin can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Memory,
    TableElements,
    CoreInstances,
    ProcessorTime,
    CallBytes,
    AnswerBytes,
    KeptBytes,
    Handles,
    LogMessages,
    LogBytes,
    StatusMessages,
    StatusBytes,
    Cases,
    CaseBytes,
    ReportBytes,
    ComponentSize,
    CompileTime,
    CompileMemory,
    Deaths,
}

impl Limit {
    /// The limit's name below `plugins.limits`.
    const fn setting(self) -> &'static str {
        match self {
            Self::Memory => "memory_mb",
            Self::TableElements => "table_elements",
            Self::CoreInstances => "instances",
            Self::ProcessorTime => "cpu",
            Self::CallBytes => "call_mb",
            Self::AnswerBytes => "answer_mb",
            Self::KeptBytes => "answers_mb",
            Self::Handles => "handles",
            Self::LogMessages => "log_messages",
            Self::LogBytes => "log_bytes",
            Self::StatusMessages => "status_messages",
            Self::StatusBytes => "status_bytes",
            Self::Cases => "cases",
            Self::CaseBytes => "cases_mb",
            Self::ReportBytes => "output_mb",
            Self::ComponentSize => "component_mb",
            Self::CompileTime => "compile",
            Self::CompileMemory => "compile_memory_mb",
            Self::Deaths => "deaths",
        }
    }

    /// What is limited, for messages: "its limit on SUBJECT".
    const fn subject(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::TableElements => "tables",
            Self::CoreInstances => "core instances",
            Self::ProcessorTime => "processor time",
            Self::CallBytes => "what one call hands to the host",
            Self::AnswerBytes => "the memory that one answer takes",
            Self::KeptBytes => "the memory that its answers take in one job",
            Self::Handles => "handles",
            Self::LogMessages | Self::LogBytes => "its log",
            Self::StatusMessages => "messages",
            Self::StatusBytes => "messages and artifacts",
            Self::Cases => "starts and ends of cases",
            Self::CaseBytes => "what it reports about cases",
            Self::ReportBytes => "the report",
            Self::ComponentSize => "the component's size",
            Self::CompileTime => "the time to compile it",
            Self::CompileMemory => "the memory to compile it",
            Self::Deaths => "deaths in one job",
        }
    }
}

/// What one instance of a plugin may use. Every limit has a default, which is that of its setting.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Linear memory of all memories together, in bytes. 256 MiB: a guest with an interpreter fits.
    pub memory: usize,
    /// Elements of all tables together. 100,000: the function tables of large guests have 10,000.
    pub table_elements: usize,
    /// Core instances in one component. 200: a Python component has over 20.
    pub core_instances: usize,
    /// Processor time of the guest; none for no limit. 10 minutes.
    pub processor_time: Option<Duration>,
    /// The longest time for one answer; none for no limit. The world decides which time counts, and
    /// the default.
    pub wall: Option<Duration>,
    /// What `wall` limits, and how to raise it.
    wall_report: WallReport,
    /// The longest time for the plugin's description. 10 s: a guest with an interpreter takes one.
    pub describe: Duration,
    /// Bytes that the guest may hand to the host in one call. 32 MiB; wasmtime's default is 128
    /// MiB.
    pub call_bytes: usize,
    /// The host's memory that one answer may take, in bytes. 256 MiB: 100,000 runnables take 130
    /// MiB.
    pub answer_bytes: u64,
    /// The host's memory that the answers kept for one job may take, in bytes. 2 GiB.
    pub kept_bytes: u64,
    /// Handles to resources that exist at once. 1,000; wasmtime's default is 100,000.
    pub handles: usize,
    /// Log messages. 20,000.
    pub log_messages: u64,
    /// Bytes of log messages. 1 MiB.
    pub log_bytes: u64,
    /// Messages about one task, each an event of the journal. 100,000.
    pub status_messages: u64,
    /// Bytes of messages and artifacts of one task. 16 MiB.
    pub status_bytes: u64,
    /// Starts and ends of cases of one task. 1,000,000.
    pub cases: u64,
    /// Bytes of what is reported about the cases of one task. 128 MiB: 100,000 cases with starts
    /// and names of 100 bytes take 40 MiB.
    pub case_bytes: u64,
    /// Bytes of one report. 4 GiB: 100,000 tests take 100 MiB.
    pub report_bytes: u64,
    /// The largest component, in bytes. 128 MiB.
    pub component_bytes: u64,
    /// Processor time of the compiler process. 2 minutes: a component with Python takes 10 seconds.
    pub compile_time: Duration,
    /// Address space of the compiler process, in bytes. 4 GiB.
    pub compile_memory: u64,
    /// Stack of the guest, in bytes. 512 KiB. One value for all plugins: the engine's stacks are
    /// alike.
    pub stack: u64,
    /// Traps, reached limits and time-outs in one job after which the host no longer asks the
    /// plugin. 10.
    pub deaths: u64,
    scope: LimitScope,
    /// Which place sets each limit, by its setting's name.
    origins: BTreeMap<&'static str, LimitOrigin>,
}

#[derive(Clone, Debug)]
struct WallReport {
    subject: &'static str,
    remedy: String,
}

/// Returns what the engine has to reserve for a guest: the highest limits of all plugins.
/// `locked` has the limits of each lock entry.
pub(crate) fn capacity<'a>(
    config: &Config,
    locked: impl Iterator<Item = &'a BTreeMap<String, Value>> + Clone,
) -> GuestCapacity {
    let highest = |limit: Limit| {
        let ending = format!(".limits.{}", limit.setting());
        let set = config.iter().filter(|(name, ..)| name.ends_with(&ending));
        let own = locked
            .clone()
            .filter_map(|limits| limits.get(limit.setting()));
        let all = set.map(|(_, value, _)| value).chain(own);
        let highest = all.filter_map(Value::as_u64).max().unwrap_or(0);
        usize::try_from(highest).unwrap_or(usize::MAX)
    };
    GuestCapacity {
        stack: stack(config),
        table_elements: highest(Limit::TableElements),
        core_instances: highest(Limit::CoreInstances),
    }
}

/// Returns the stack of every guest, in bytes. Deep recursion traps at its end.
fn stack(config: &Config) -> u64 {
    let kib = config.get(settings::PLUGINS_LIMITS_STACK_KB);
    // A guest does not start with less. A pool of larger stacks takes more addresses than there
    // are.
    kib.clamp(64, 64 * KIB) * KIB
}

/// Checks that a plugin can have a limit of this name and value in its lock entry.
///
/// # Errors
/// Why it cannot, for a message.
pub fn check_limit(name: &str, value: &Value) -> Result<(), String> {
    if name == SHARED_LIMIT {
        return Err(format!(
            "no plugin has a limit `{name}` of its own, because all plugins share one: the setting \
             `plugins.limits.{name}`"
        ));
    }
    let shape = match name {
        TIMEOUT => Some(Shape::Duration),
        name => persea_config::limit(name),
    };
    let shape = shape.ok_or_else(|| {
        let names = persea_config::limits().chain([TIMEOUT]);
        let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        format!(
            "there is no limit `{name}` of a plugin: there are {}",
            names.join(", ")
        )
    })?;
    match shape.fits(value) {
        true => Ok(()),
        false => Err(format!(
            "limit `{name}`: expected {}, found `{value}`",
            shape.expected()
        )),
    }
}

impl Limits {
    /// Reads the limits of a plugin of this world. `name` is none until the plugin is described.
    pub(crate) fn of(
        config: &Config,
        world: World,
        name: Option<&str>,
        own: &OwnLimits<'_>,
    ) -> Self {
        let scope = LimitScope::new(world, name, own);
        let mut values: BTreeMap<&'static str, &Value> = BTreeMap::new();
        let mut origins = BTreeMap::new();
        for limit in persea_config::limits() {
            if let Some((value, origin)) = scope.find(config, own, &SettingNames::of(limit)) {
                values.insert(limit, value);
                origins.insert(limit, origin);
            }
        }
        // Each setting has a default and a checked value, so the fallback 0 is never used.
        let get = |limit: Limit| values.get(limit.setting()).copied();
        let number = |limit: Limit| get(limit).and_then(Value::as_u64).unwrap_or(0);
        let size = |limit: Limit, unit: u64| {
            usize::try_from(number(limit).saturating_mul(unit)).unwrap_or(usize::MAX)
        };
        let time = |name: &str| values.get(name).copied().and_then(persea_config::duration);
        let (wall, wall_report) = wall(config, world, &scope, own);
        Self {
            memory: size(Limit::Memory, MIB),
            table_elements: size(Limit::TableElements, 1),
            core_instances: size(Limit::CoreInstances, 1),
            processor_time: time(Limit::ProcessorTime.setting()).filter(|time| !time.is_zero()),
            wall,
            wall_report,
            describe: time(DESCRIBE).unwrap_or_default(),
            call_bytes: size(Limit::CallBytes, MIB),
            answer_bytes: number(Limit::AnswerBytes).saturating_mul(MIB),
            kept_bytes: number(Limit::KeptBytes).saturating_mul(MIB),
            handles: size(Limit::Handles, 1),
            log_messages: number(Limit::LogMessages),
            log_bytes: number(Limit::LogBytes),
            status_messages: number(Limit::StatusMessages),
            status_bytes: number(Limit::StatusBytes),
            cases: number(Limit::Cases),
            case_bytes: number(Limit::CaseBytes).saturating_mul(MIB),
            report_bytes: number(Limit::ReportBytes).saturating_mul(MIB),
            component_bytes: number(Limit::ComponentSize).saturating_mul(MIB),
            compile_time: time(Limit::CompileTime.setting()).unwrap_or_default(),
            compile_memory: number(Limit::CompileMemory).saturating_mul(MIB),
            stack: stack(config),
            // A plugin that may not die even once would never be asked.
            deaths: number(Limit::Deaths).max(1),
            scope,
            origins,
        }
    }

    /// Returns these limits for the call that describes the plugin.
    pub(crate) fn for_description(&self) -> Self {
        Self {
            wall: Some(self.describe),
            wall_report: WallReport {
                subject: ANSWER,
                remedy: self.remedy(DESCRIBE),
            },
            ..self.clone()
        }
    }

    /// Checks the size of a component, in bytes.
    pub(crate) fn check_size(&self, size: usize) -> Result<(), ReachedLimit> {
        match size as u64 > self.component_bytes {
            true => Err(self.reached(Limit::ComponentSize)),
            false => Ok(()),
        }
    }

    /// The handles of all sorts together that may exist at once: children, and what has a limit of
    /// its own.
    pub(crate) fn all_handles(&self) -> usize {
        // The report of a format is the only handle of its sort.
        let others = POLLABLES.most + DOWNLOADS.most + 1;
        self.handles.saturating_add(others)
    }

    /// The processor time in ticks of the engine; none for no limit.
    pub(crate) fn ticks(&self) -> Option<u64> {
        let ticks = |time: Duration| u64::try_from(time.as_nanos() / TICK.as_nanos());
        self.processor_time
            .map(|time| ticks(time).unwrap_or(u64::MAX))
    }

    /// Reports that the plugin has reached a limit.
    pub(crate) fn reached(&self, limit: Limit) -> ReachedLimit {
        let seconds = |time: Duration| format!("{} s", time.as_secs_f64());
        let value = match limit {
            Limit::Memory => bytes(self.memory as u64),
            Limit::TableElements => format!("{} elements", self.table_elements),
            Limit::CoreInstances => self.core_instances.to_string(),
            Limit::ProcessorTime => seconds(self.processor_time.unwrap_or_default()),
            Limit::CallBytes => bytes(self.call_bytes as u64),
            Limit::AnswerBytes => bytes(self.answer_bytes),
            Limit::KeptBytes => bytes(self.kept_bytes),
            Limit::Handles => self.handles.to_string(),
            Limit::LogMessages => format!("{} messages", self.log_messages),
            Limit::LogBytes => bytes(self.log_bytes),
            Limit::StatusMessages => self.status_messages.to_string(),
            Limit::StatusBytes => bytes(self.status_bytes),
            Limit::Cases => self.cases.to_string(),
            Limit::CaseBytes => bytes(self.case_bytes),
            Limit::ReportBytes => bytes(self.report_bytes),
            Limit::ComponentSize => bytes(self.component_bytes),
            Limit::CompileTime => seconds(self.compile_time),
            Limit::CompileMemory => bytes(self.compile_memory),
            Limit::Deaths => self.deaths.to_string(),
        };
        ReachedLimit {
            subject: limit.subject(),
            value,
            remedy: self.remedy(limit.setting()),
        }
    }

    /// Reports that the plugin has reached the end of its stack.
    pub(crate) fn reached_stack(&self) -> ReachedLimit {
        ReachedLimit {
            subject: "the stack",
            value: bytes(self.stack),
            remedy: format!("`plugins.limits.{SHARED_LIMIT}` raises it for all"),
        }
    }

    /// Reports that the time for an answer is over.
    pub fn reached_wall(&self) -> ReachedLimit {
        ReachedLimit {
            subject: self.wall_report.subject,
            value: format!("{} s", self.wall.unwrap_or_default().as_secs_f64()),
            remedy: self.wall_report.remedy.clone(),
        }
    }

    /// How to raise the limit with this setting, at the place that sets it.
    fn remedy(&self, setting: &str) -> String {
        let origin = self.origins.get(setting).copied();
        self.scope.remedy(
            origin.unwrap_or(LimitOrigin::All),
            &SettingNames::of(setting),
        )
    }
}

/// The setting of the time for a plugin's description, below `plugins.limits`.
const DESCRIBE: &str = "describe";

/// Returns the time for an answer of a plugin, and how that limit is reported.
fn wall(
    config: &Config,
    world: World,
    scope: &LimitScope,
    own: &OwnLimits<'_>,
) -> (Option<Duration>, WallReport) {
    let (all, subject) = match world {
        World::RequirementResolver => (
            "requirement.timeout".to_owned(),
            "the time to meet or to release a requirement",
        ),
        World::Runner | World::Lister => (
            format!("plugins.{}.timeout", world.name()),
            "the time without a process",
        ),
        World::Resolver | World::Varianter | World::Scheduler | World::ResultFormat => {
            (format!("plugins.{}.timeout", world.name()), ANSWER)
        }
    };
    let names = SettingNames {
        all,
        ending: format!(".{TIMEOUT}"),
        lock: TIMEOUT,
    };
    let found = scope.find(config, own, &names);
    let wall = found.and_then(|(value, _)| persea_config::duration(value));
    let origin = found.map_or(LimitOrigin::All, |(_, origin)| origin);
    let remedy = scope.remedy(origin, &names);
    (
        wall.filter(|wall| !wall.is_zero()),
        WallReport { subject, remedy },
    )
}

#[cfg(test)]
mod tests;
