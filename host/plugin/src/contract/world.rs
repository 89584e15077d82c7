//! Owns the roles of the contract, the kinds of plugin that the host makes of them, and what
//! follows from a kind for trust. Does not know about the powers that a role offers; each power
//! names the kinds.

/// The newest version of the contract that this host offers.
pub const CONTRACT: &str = "0.2.0";

/// A role: one thing that a plugin is, and the interface that it exports for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Turns references into runnables.
    Resolver,
    /// Names the variants in which a test runs.
    Varianter,
    /// Decides which tasks start next.
    Scheduler,
    /// Runs tasks.
    Runner,
    /// Names and judges programs that the host runs.
    ProgramRunner,
    /// Runs many tasks on one instance; a runner has this role in addition.
    BatchRunner,
    /// Lists the tests of a runnable by running something.
    Lister,
    /// Checks, fulfils and releases requirements.
    RequirementResolver,
    /// Turns events into reports.
    ResultFormat,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 9] = [
        Self::Resolver,
        Self::Varianter,
        Self::Scheduler,
        Self::Runner,
        Self::ProgramRunner,
        Self::BatchRunner,
        Self::Lister,
        Self::RequirementResolver,
        Self::ResultFormat,
    ];

    /// The role's name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolver => "resolver",
            Self::Varianter => "varianter",
            Self::Scheduler => "scheduler",
            Self::Runner => "runner",
            Self::ProgramRunner => "program-runner",
            Self::BatchRunner => "batch-runner",
            Self::Lister => "lister",
            Self::RequirementResolver => "requirement-resolver",
            Self::ResultFormat => "result-format",
        }
    }

    /// The interface that a component with the role exports.
    pub const fn interface(self) -> &'static str {
        match self {
            Self::Resolver => "resolve",
            Self::Varianter => "vary",
            Self::Scheduler => "schedule",
            Self::Runner => "run",
            Self::ProgramRunner => "run-program",
            Self::BatchRunner => "run-batch",
            Self::Lister => "list-tests",
            Self::RequirementResolver => "fulfil",
            Self::ResultFormat => "format",
        }
    }

    /// The kind of plugin that a component with the role is.
    pub const fn world(self) -> World {
        match self {
            Self::Resolver => World::Resolver,
            Self::Varianter => World::Varianter,
            Self::Scheduler => World::Scheduler,
            Self::Runner | Self::ProgramRunner | Self::BatchRunner => World::Runner,
            Self::Lister => World::Lister,
            Self::RequirementResolver => World::RequirementResolver,
            Self::ResultFormat => World::ResultFormat,
        }
    }

    /// Returns the role with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Returns the role that goes with an exported interface.
    pub fn exporting(interface: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|role| role.interface() == interface)
    }
}

/// A kind of plugin. The variants stand in the order in which plugins are listed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// Turns references into runnables.
    Resolver,
    /// Lists the tests of a runnable by running something.
    Lister,
    /// Names the variants in which a test runs.
    Varianter,
    /// Decides which tasks start next.
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
    pub const ALL: [Self; 7] = [
        Self::Resolver,
        Self::Lister,
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
            Self::Lister => "lister",
            Self::Varianter => "varianter",
            Self::Scheduler => "scheduler",
            Self::Runner => "runner",
            Self::RequirementResolver => "requirement-resolver",
            Self::ResultFormat => "result-format",
        }
    }

    /// Whether the kind of a runnable or of a requirement decides which plugin of this world the
    /// host asks.
    pub(crate) const fn is_chosen_by_kind(self) -> bool {
        match self {
            Self::Runner | Self::Lister | Self::RequirementResolver => true,
            Self::Resolver | Self::Varianter | Self::Scheduler | Self::ResultFormat => false,
        }
    }

    /// Whether a plugin of this world decides what other plugins run: by a runnable, a parameter
    /// or a variable. Such a plugin's grants limit what its tasks may do (provenance).
    pub const fn shapes_tasks(self) -> bool {
        match self {
            Self::Resolver | Self::Lister | Self::Varianter | Self::RequirementResolver => true,
            Self::Scheduler | Self::Runner | Self::ResultFormat => false,
        }
    }
}
