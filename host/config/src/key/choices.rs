//! Owns the enums whose names are values of settings.

use super::{Choices, Shape};
use persea_model::{Scope, SpawnerKind};

/// A cause for another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryCause {
    /// The task ends FAIL.
    Fail,
    /// The task ends ERROR.
    Error,
    /// The task ends INTERRUPTED.
    Interrupted,
    /// The task ends CANCEL.
    Cancel,
    /// The task or requirement fails, and its plugin or the host blames the environment.
    Infrastructure,
}

impl RetryCause {
    /// The causes where the configuration names none.
    pub const USUAL: &'static [Self] = &[
        Self::Fail,
        Self::Error,
        Self::Interrupted,
        Self::Infrastructure,
    ];
}

/// Which tasks start first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The tasks as they were given.
    Given,
    /// The tasks that failed the last time.
    FailedFirst,
    /// The tasks that took the longest the last time.
    LongestFirst,
}

/// Whether something makes the job fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The job passes.
    Pass,
    /// The job fails.
    Fail,
}

/// Whether other hosts have the project and the results at the same paths as this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Each host is asked.
    Auto,
    /// They have; a host that has not cannot be used.
    Shared,
    /// The project is sent and the results are fetched in any case.
    Sent,
}

impl Choices for Sharing {
    const SHAPE: Shape = Shape::Sharing;
    const ALL: &'static [Self] = &[Self::Auto, Self::Shared, Self::Sent];

    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Shared => "shared",
            Self::Sent => "sent",
        }
    }
}

impl Choices for Order {
    const SHAPE: Shape = Shape::Order;
    const ALL: &'static [Self] = &[Self::Given, Self::FailedFirst, Self::LongestFirst];

    fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::FailedFirst => "failed-first",
            Self::LongestFirst => "longest-first",
        }
    }
}

impl Choices for RetryCause {
    const SHAPE: Shape = Shape::RetryCauses;
    const ALL: &'static [Self] = &[
        Self::Fail,
        Self::Error,
        Self::Interrupted,
        Self::Cancel,
        Self::Infrastructure,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Error => "error",
            Self::Interrupted => "interrupted",
            Self::Cancel => "cancel",
            Self::Infrastructure => "infrastructure",
        }
    }
}

impl Choices for Verdict {
    const SHAPE: Shape = Shape::Verdict;
    const ALL: &'static [Self] = &[Self::Pass, Self::Fail];

    fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
        }
    }
}

impl Choices for Scope {
    const SHAPE: Shape = Shape::Scope;
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        self.name()
    }
}

impl Choices for SpawnerKind {
    const SHAPE: Shape = Shape::Spawner;
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        self.name()
    }
}
