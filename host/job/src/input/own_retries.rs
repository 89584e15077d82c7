//! Owns how often a single task is tried again: `retries` of a runnable, and which value wins. Does
//! not know whether a recipe, a job file or a resolver has set it.

use std::borrow::Cow;

use persea_config::{Choices as _, Config, Origin, RetryCause, settings};
use persea_model::{Attribute, Attributes};

/// The key of a runnable's retries.
pub(crate) const RETRIES: &str = "retries";

/// The members of retries that are an object.
const MEMBERS: [&str; 2] = ["count", "on"];

/// How often a task is tried again, and after what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RetryRule {
    /// The greatest number of attempts after the first.
    pub(crate) count: usize,
    /// What makes an attempt one that is repeated.
    pub(crate) causes: Vec<RetryCause>,
}

/// The retries of tasks, as the job's settings give them.
#[derive(Clone, Debug)]
pub(crate) struct TaskRetries {
    /// The rule of tasks that have none of their own, and of requirements.
    of_job: RetryRule,
    /// The greatest count of any task, whatever it sets: that of the command line.
    most: Option<usize>,
}

impl TaskRetries {
    pub(crate) fn new(config: &Config) -> Self {
        let count = usize::try_from(config.get(settings::RUN_RETRIES)).unwrap_or(usize::MAX);
        let typed = config.set_by(settings::RUN_RETRIES.name());
        Self {
            of_job: RetryRule {
                count,
                causes: config.get(settings::RUN_RETRY_ON),
            },
            most: matches!(typed, Some((_, Origin::CommandLine))).then_some(count),
        }
    }

    /// The rule of requirements.
    pub(crate) fn of_job(&self) -> &RetryRule {
        &self.of_job
    }

    /// The rule of a task with this `more`, which [`check`] has accepted.
    pub(crate) fn of(&self, more: &Attributes) -> Cow<'_, RetryRule> {
        let own = more.get(RETRIES).map(read);
        let Some(Ok((count, causes))) = own.filter(|own| *own != Ok((None, None))) else {
            return Cow::Borrowed(&self.of_job);
        };
        // Causes without a count ask for one retry, unless the job has more.
        let count = count.unwrap_or_else(|| self.of_job.count.max(1));
        Cow::Owned(RetryRule {
            count: self.most.map_or(count, |most| count.min(most)),
            causes: causes.unwrap_or_else(|| self.of_job.causes.clone()),
        })
    }
}

/// Checks a runnable's `retries`.
///
/// # Errors
/// The value is neither a number nor an object with `count` and `on`.
pub(crate) fn check(more: &Attributes) -> Result<(), String> {
    more.get(RETRIES).map_or(Ok(()), |own| read(own).map(drop))
}

/// The count and the causes of a written value; each may be missing.
type Written = (Option<usize>, Option<Vec<RetryCause>>);

fn read(own: &Attribute) -> Result<Written, String> {
    let count = |value: &Attribute| {
        let count = value.as_u64().map(usize::try_from);
        count.map(|count| count.unwrap_or(usize::MAX)).ok_or(())
    };
    if own.is_null() {
        return Ok((None, None));
    }
    if let Ok(count) = count(own) {
        return Ok((Some(count), None));
    }
    let wrong = || {
        format!(
            "`{RETRIES}`: expected a whole number, 0 or more, or an object such as \
             `{{\"count\": 2, \"on\": [\"error\"]}}`, found `{own}`"
        )
    };
    let members = own.members().ok_or_else(wrong)?;
    if let Some(unknown) = members
        .keys()
        .find(|name| !MEMBERS.contains(&name.as_ref()))
    {
        return Err(format!(
            "`{RETRIES}`: unknown member `{unknown}`: the members are `count` and `on`"
        ));
    }
    let count = members.get("count").map(count).transpose();
    let count = count.map_err(|()| wrong())?;
    if members.is_empty() {
        return Err(wrong());
    }
    let Some(names) = members.get("on") else {
        return Ok((count, None));
    };
    let cause = |name: Attribute| {
        let cause = name.as_str().and_then(RetryCause::parse);
        cause.ok_or_else(|| {
            let known: Vec<&str> = RetryCause::ALL.iter().map(|it| it.name()).collect();
            format!(
                "`{RETRIES}`: `on`: expected one of {}, found `{name}`",
                known.join(", ")
            )
        })
    };
    let names = names.items().ok_or_else(wrong)?;
    let causes: Result<Vec<_>, String> = names.into_iter().map(cause).collect();
    match causes?.as_slice() {
        [] => Err(format!("`{RETRIES}`: `on` names no cause")),
        causes => Ok((count, Some(causes.to_vec()))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn more(retries: &str) -> Attributes {
        serde_json::from_str(&format!(r#"{{"retries": {retries}}}"#)).unwrap()
    }

    fn job(count: u64) -> Config {
        let mut config = Config::default();
        let file = serde_json::from_value(json!({"run.retries": count})).unwrap();
        config.take(std::path::Path::new("persea.toml"), file);
        config
    }

    #[test]
    fn own_retries_win_over_those_of_the_job() {
        let retries = TaskRetries::new(&job(3));
        assert_eq!(retries.of(&Attributes::new()).count, 3);
        assert_eq!(retries.of(&more("null")).count, 3);
        assert_eq!(retries.of(&more("5")).count, 5);
        assert_eq!(retries.of(&more("0")).count, 0);
        let only_errors = retries
            .of(&more(r#"{"on": ["error", "cancel"]}"#))
            .into_owned();
        let causes = vec![RetryCause::Error, RetryCause::Cancel];
        assert_eq!(only_errors, RetryRule { count: 3, causes });
        let one = TaskRetries::new(&Config::default());
        assert_eq!(one.of(&more(r#"{"on": ["error"]}"#)).count, 1);
        let rule = retries.of(&more(r#"{"count": 1}"#)).into_owned();
        assert_eq!((rule.count, &rule.causes[..]), (1, RetryCause::USUAL));
    }

    #[test]
    fn count_of_the_command_line_is_the_most() {
        let mut config = Config::default();
        config.set_option(settings::RUN_RETRIES, 2);
        let retries = TaskRetries::new(&config);
        for (own, expected) in [("5", 2), ("1", 1), ("0", 0), (r#"{"count": 9}"#, 2)] {
            assert_eq!(retries.of(&more(own)).count, expected, "{own}");
        }
        assert_eq!(retries.of_job().count, 2);
    }

    #[test]
    fn wrong_retries_are_refused_with_the_value() {
        for (own, expected) in [
            ("-1", "found `-1`"),
            ("1.5", "found `1.5`"),
            ("\"2\"", "found `\"2\"`"),
            (r#"{"count": "x"}"#, "expected a whole number"),
            (r#"{"counts": 1}"#, "unknown member `counts`"),
            (r#"{"on": "fail"}"#, "expected a whole number"),
            (r#"{"on": []}"#, "`on` names no cause"),
            ("{}", "expected a whole number"),
            (
                r#"{"on": ["FAIL"]}"#,
                "expected one of fail, error, interrupted, cancel",
            ),
        ] {
            let error = check(&more(own)).unwrap_err();
            assert!(error.contains(expected), "{own}: {error}");
        }
    }
}
