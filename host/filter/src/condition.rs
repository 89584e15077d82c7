//! Owns the conditions: what each looks at in a test.

use std::fmt;

use persea_model::{Requirement, Status};

use crate::TestFacts;
use crate::matcher::Matcher;
use crate::tags::TagList;

/// The name of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionName {
    /// Every test.
    All,
    /// No test.
    None,
    /// The test's name, or its title.
    Name,
    /// The kind of its runnable.
    Kind,
    /// The suite that it belongs to.
    Suite,
    /// One of its tags.
    Tag,
    /// Its tags, in Avocado's syntax.
    Tags,
    /// One of its requirements.
    Requirement,
    /// Its status in the job that ran it last.
    Status,
    /// One of its cases in that job.
    Case,
}

impl ConditionName {
    /// Every condition, in the order of the documentation.
    pub(crate) const ALL: [Self; 10] = [
        Self::All,
        Self::None,
        Self::Name,
        Self::Kind,
        Self::Suite,
        Self::Tag,
        Self::Tags,
        Self::Requirement,
        Self::Status,
        Self::Case,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::None => "none",
            Self::Name => "name",
            Self::Kind => "kind",
            Self::Suite => "suite",
            Self::Tag => "tag",
            Self::Tags => "tags",
            Self::Requirement => "requirement",
            Self::Status => "status",
            Self::Case => "case",
        }
    }

    /// An argument, for messages; empty for a condition that has none.
    pub(crate) const fn example(self) -> &'static str {
        match self {
            Self::All | Self::None => "",
            Self::Name => "*/test_net.py:*",
            Self::Kind => "pytest",
            Self::Suite => "quick",
            Self::Tag => "arch:x86_64",
            Self::Tags => "fast,-net",
            Self::Requirement => "package:gcc",
            Self::Status => "fail",
            Self::Case => "~timeout",
        }
    }

    /// The names of all conditions, for messages.
    pub(crate) fn all() -> String {
        let names: Vec<String> = Self::ALL.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    }
}

impl fmt::Display for ConditionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A condition that a test meets or does not.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    All,
    None,
    Name(Matcher),
    Kind(Matcher),
    Suite(Matcher),
    Tag(Matcher),
    Tags(TagList),
    Requirement(Matcher),
    /// The status of the last result; `None` matches a test without a result.
    Status(Option<Status>),
    Case(Matcher),
}

impl Condition {
    pub(crate) fn matches(&self, test: &TestFacts<'_>) -> bool {
        let runnable = test.runnable;
        match self {
            Self::All => true,
            Self::None => false,
            Self::Name(name) => name.matches(test.name) || name.matches(test.title),
            Self::Kind(kind) => kind.matches(&runnable.kind),
            Self::Suite(suite) => runnable.suite().is_some_and(|it| suite.matches(it)),
            Self::Tag(tag) => runnable.tags.iter().any(|(name, values)| {
                let with_value = |value: &String| tag.matches(&format!("{name}:{value}"));
                tag.matches(name) || values.iter().any(with_value)
            }),
            Self::Tags(list) => list.matches(&runnable.tags),
            Self::Requirement(wanted) => {
                let mut requirements = runnable.requirements.iter();
                requirements.any(|requirement| is_requirement(wanted, requirement))
            }
            Self::Status(status) => test.last.map(|last| last.status) == *status,
            Self::Case(case) => test
                .last
                .is_some_and(|last| last.cases.iter().any(|it| case.matches(it))),
        }
    }

    pub(crate) fn needs_results(&self) -> bool {
        match self {
            Self::Status(_) | Self::Case(_) => true,
            Self::All
            | Self::None
            | Self::Name(_)
            | Self::Kind(_)
            | Self::Suite(_)
            | Self::Tag(_)
            | Self::Tags(_)
            | Self::Requirement(_) => false,
        }
    }
}

/// Whether a requirement's kind matches, or its kind and what it names: `package:gcc`.
fn is_requirement(wanted: &Matcher, requirement: &Requirement) -> bool {
    let kind = &requirement.kind;
    let named = requirement.uri.iter().map(String::as_str);
    let named = named.chain(
        requirement
            .kwargs
            .get("name")
            .and_then(|name| name.as_str()),
    );
    let mut full = named.map(|name| format!("{kind}:{name}"));
    wanted.matches(kind) || full.any(|full| wanted.matches(&full))
}
