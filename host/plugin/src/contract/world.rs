//! Owns the worlds of the contract: what makes a component a plugin of one, and what follows from
//! that for trust. Does not know about the powers that a world offers; each power names its worlds.

/// The interface that a program runner exports.
pub(crate) const RUN_PROGRAM: &str = "run-program";

/// The interface that a runner exports in addition where it runs batches.
pub(crate) const RUN_BATCH: &str = "run-batch";

/// The version of the contract that this host offers.
pub const CONTRACT: &str = "0.1.0";

/// A kind of plugin. The variants stand in the order in which plugins are listed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// Turns references into runnables.
    Resolver,
    /// Names the variants in which a test runs.
    Varianter,
    /// Names the task that starts next.
    Scheduler,
    /// Runs tasks.
    Runner,
    /// Checks, fulfils and releases requirements.
    RequirementResolver,
    /// Turns events into reports.
    ResultFormat,
}

impl World {
    /// All worlds, in the order of the pipeline.
    pub const ALL: [Self; 6] = [
        Self::Resolver,
        Self::Varianter,
        Self::Scheduler,
        Self::RequirementResolver,
        Self::Runner,
        Self::ResultFormat,
    ];

    /// The world's name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolver => "resolver",
            Self::Varianter => "varianter",
            Self::Scheduler => "scheduler",
            Self::Runner => "runner",
            Self::RequirementResolver => "requirement-resolver",
            Self::ResultFormat => "result-format",
        }
    }

    /// The interfaces of which a component exports exactly one to be a plugin of this world.
    pub(crate) const fn exports(self) -> &'static [&'static str] {
        match self {
            Self::Resolver => &["resolve"],
            Self::Varianter => &["vary"],
            Self::Scheduler => &["schedule"],
            Self::Runner => &["run", RUN_PROGRAM],
            Self::RequirementResolver => &["fulfil"],
            Self::ResultFormat => &["format"],
        }
    }

    /// Whether the kind of a runnable or of a requirement decides which plugin of this world the
    /// host asks.
    pub(crate) const fn is_chosen_by_kind(self) -> bool {
        match self {
            Self::Runner | Self::RequirementResolver => true,
            Self::Resolver | Self::Varianter | Self::Scheduler | Self::ResultFormat => false,
        }
    }

    /// Whether a plugin of this world decides what other plugins run: by a runnable, a parameter
    /// or a variable. Such a plugin's grants limit what its tasks may do (provenance).
    pub const fn shapes_tasks(self) -> bool {
        match self {
            Self::Resolver | Self::Varianter | Self::RequirementResolver => true,
            Self::Scheduler | Self::Runner | Self::ResultFormat => false,
        }
    }
}
