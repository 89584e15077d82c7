//! Owns what can be wrong with a filter.

use std::ops::Range;

use crate::condition::ConditionName;

/// A filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the filter `{filter}`: {fault}")]
pub struct FilterError {
    /// The whole filter.
    pub filter: String,
    /// The place of the fault, in bytes.
    pub span: Range<usize>,
    /// What is wrong there.
    pub fault: FilterFault,
}

/// What is wrong with a filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterFault {
    /// Something else is needed here.
    #[error("expected {0}")]
    Expected(String),
    /// There is no such condition.
    #[error(
        "there is no condition `{0}`; the conditions are {names}",
        names = ConditionName::all()
    )]
    UnknownCondition(String),
    /// The condition needs an argument.
    #[error("`{0}` needs an argument, such as `{0}({example})`", example = .0.example())]
    NoArgument(ConditionName),
    /// The condition has no argument.
    #[error("`{0}()` has no argument")]
    Argument(ConditionName),
    /// The condition's argument is a list of names.
    #[error("`{0}` takes names, and neither `=`, `~` nor `/…/`")]
    OnlyNames(ConditionName),
    /// There is no such status.
    #[error(
        "there is no status `{0}`; write `pass`, `fail`, `error`, `skip`, `warn`, `cancel`, \
         `interrupted`, or `none` for a test without a result"
    )]
    UnknownStatus(String),
    /// The tags in Avocado's syntax have an empty name.
    #[error("a tag without a name; write tags such as `fast,-net,arch:x86_64`")]
    EmptyTag,
    /// The regular expression cannot be read.
    #[error("the regular expression is wrong: {0}")]
    Regex(String),
    /// There are too many parentheses or bytes.
    #[error(
        "longer than {} KiB, or deeper than {} parentheses",
        crate::LONGEST >> 10,
        crate::DEEPEST
    )]
    TooLarge,
}
