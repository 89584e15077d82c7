//! Filters: the language that chooses tests, such as `kind(pytest) & tag(slow) & !name(~net)`.
//!
//! A filter is made of conditions, each a name and an argument in parentheses, joined by `!`, `&`
//! and `|` (or `not`, `and`, `or`), the tightest first. docs/filters.md describes the language for
//! people. Does not know where tests come from, or where their last results are.

mod condition;
mod error;
mod matcher;
mod parse;
mod tags;

use persea_model::{Runnable, Status};

use crate::condition::Condition;
pub use crate::error::{FilterError, FilterFault};

/// The most that a filter may have, in bytes.
pub const LONGEST: usize = 64 << 10;
/// The most parentheses around a condition.
pub const DEEPEST: usize = 100;

/// A filter that can be applied to tests.
#[derive(Clone, Debug)]
pub struct Filter(Expression);

/// A boolean expression over conditions on a test.
#[derive(Clone, Debug)]
enum Expression {
    Is(Condition),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// What a filter looks at in a test.
#[derive(Clone, Copy, Debug)]
pub struct TestFacts<'a> {
    /// The test's name.
    pub name: &'a str,
    /// The name with its suite and variant, as people see it.
    pub title: &'a str,
    /// What the test runs: its kind, suite, tags and requirements.
    pub runnable: &'a Runnable,
    /// The test's last result; none where the test is new, or nobody has asked
    /// [`Filter::needs_results`].
    pub last: Option<LastResult<'a>>,
}

/// A test's result in the job that ran it last.
#[derive(Clone, Copy, Debug)]
pub struct LastResult<'a> {
    /// How it ended.
    pub status: Status,
    /// The titles of its cases.
    pub cases: &'a [String],
}

impl Filter {
    /// Parses a filter.
    ///
    /// # Errors
    /// The place and the fault: the grammar, an unknown condition or status, a regular expression.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse::filter(text).map(Self)
    }

    /// Whether the filter holds for a test.
    pub fn matches(&self, test: &TestFacts<'_>) -> bool {
        self.0.matches(test)
    }

    /// Whether the filter looks at last results.
    pub fn needs_results(&self) -> bool {
        self.0.has(&Condition::needs_results)
    }
}

impl Expression {
    fn matches(&self, test: &TestFacts<'_>) -> bool {
        match self {
            Self::Is(condition) => condition.matches(test),
            Self::Not(inner) => !inner.matches(test),
            Self::All(inner) => inner.iter().all(|inner| inner.matches(test)),
            Self::Any(inner) => inner.iter().any(|inner| inner.matches(test)),
        }
    }

    fn has(&self, wanted: &dyn Fn(&Condition) -> bool) -> bool {
        match self {
            Self::Is(condition) => wanted(condition),
            Self::Not(inner) => inner.has(wanted),
            Self::All(inner) | Self::Any(inner) => inner.iter().any(|inner| inner.has(wanted)),
        }
    }
}

#[cfg(test)]
mod tests;
