//! Owns the settings of a single runnable: `timeout`, and those in `config`, which are allowed, and
//! which value wins. Checks `limits`, `retries`, `cwd`, `spawner` and `image` too. Does not know
//! whether a recipe, a job file or a resolver has set them.

use std::borrow::Cow;
use std::time::Duration;

use crate::input::own_limits::{LIMITS, check_limits, setting_of, shape_of};
use crate::input::own_spawner::{self, IMAGE};
use crate::input::{own_directory, own_retries};
use persea_config::settings;
use persea_config::{Config, Origin, Shape, duration, is_known};
use persea_model::{Attribute, Attributes, Limit};
use persea_plugin::Plugin;

/// The key of a runnable's timeout, which wins over its `config`.
const TIMEOUT: &str = "timeout";

/// The key of a runnable's settings, by name.
const CONFIG: &str = "config";

/// The setting for the timeout of a task.
pub(crate) const RUNNING: &str = settings::TASK_TIMEOUT_RUNNING.name();

/// The setting for the format of a task's name.
pub(crate) const IDENTIFIER: &str = settings::RUNNER_IDENTIFIER_FORMAT.name();

/// The host's settings that a runnable may set.
const ALLOWED: [(&str, Shape); 6] = [
    (RUNNING, Shape::Duration),
    (IDENTIFIER, Shape::Text),
    (setting_of(Limit::Memory), shape_of(Limit::Memory)),
    (setting_of(Limit::Processes), shape_of(Limit::Processes)),
    (setting_of(Limit::Cpus), shape_of(Limit::Cpus)),
    (setting_of(Limit::Disk), shape_of(Limit::Disk)),
];

/// The timeouts of tasks, as the job's settings give them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TaskTimes {
    /// The timeout of tasks that set none.
    default: Option<Duration>,
    /// The longest timeout of any task, whatever it sets: that of the command line.
    longest: Option<Duration>,
}

impl TaskTimes {
    pub(crate) fn new(config: &Config) -> Self {
        let default = config.get(settings::TASK_TIMEOUT_RUNNING);
        let typed = matches!(config.set_by(RUNNING), Some((_, Origin::CommandLine)));
        Self {
            default,
            longest: default.filter(|_| typed),
        }
    }

    /// The timeout of a task with this `more`; none for no limit.
    pub(crate) fn of(&self, more: &Attributes) -> Option<Duration> {
        let wanted = timeout(more).or(self.default);
        match (wanted, self.longest) {
            (Some(wanted), Some(longest)) => Some(wanted.min(longest)),
            (wanted, longest) => wanted.or(longest),
        }
    }
}

/// The timeout that a runnable sets. 0 means the job's.
fn timeout(more: &Attributes) -> Option<Duration> {
    let own = match more.get(TIMEOUT) {
        Some(timeout) => timeout.as_u64().map(Duration::from_nanos),
        None => duration(&configured(more, RUNNING)?.to_scalar()?),
    };
    own.filter(|timeout| !timeout.is_zero())
}

/// A time in the form of the contract with plugins.
pub(crate) fn nanoseconds(time: Duration) -> Attribute {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX).into()
}

pub(super) fn configured(more: &Attributes, name: &str) -> Option<Attribute> {
    more.get(CONFIG)?.member(name)
}

/// Whether a runnable sets a timeout, in either form.
pub(crate) fn has_timeout(more: &Attributes) -> bool {
    more.contains_key(TIMEOUT) || configured(more, RUNNING).is_some()
}

/// The runnable's own format for its name, instead of the job's `runner.identifier_format`.
pub(crate) fn identifier_format(more: &Attributes) -> Option<String> {
    configured(more, IDENTIFIER)?.into_text()
}

/// The settings of a task: the job's, overridden by the task's own that its runner declares.
pub(crate) fn settings<'a>(
    more: &Attributes,
    job: &'a Attributes,
    runner: &Plugin,
) -> Cow<'a, Attributes> {
    let Some(own) = more.get(CONFIG).and_then(Attribute::members) else {
        return Cow::Borrowed(job);
    };
    let mut settings = job.clone();
    for (name, value) in own {
        if let Some(setting) = runner.setting(&name) {
            settings.insert(name, setting.received(value));
        }
    }
    Cow::Owned(settings)
}

/// Checks a runnable's settings, as far as no runner is needed for it.
///
/// # Errors
/// A value has the wrong type, or a host setting cannot be set for one task.
pub(crate) fn check(more: &Attributes) -> Result<(), String> {
    if let Some(timeout) = more.get(TIMEOUT).filter(|it| !it.is_null())
        && timeout.as_u64().is_none()
    {
        return Err(format!(
            "`{TIMEOUT}`: expected a whole number of nanoseconds, found `{timeout}`"
        ));
    }
    own_retries::check(more)?;
    own_directory::check(more)?;
    own_spawner::spawner(more)?;
    if let Some(image) = more.get(IMAGE).filter(|it| !it.is_null())
        && image.clone().into_text().is_none_or(|name| name.is_empty())
    {
        return Err(format!(
            "`{IMAGE}`: expected the name of an image, found `{image}`"
        ));
    }
    if let Some(limits) = more.get(LIMITS).filter(|it| !it.is_null()) {
        let limits = limits
            .members()
            .ok_or_else(|| format!("`{LIMITS}`: expected limits by name, found `{limits}`"))?;
        check_limits(&limits)?;
    }
    let own = match more.get(CONFIG) {
        None | Some(Attribute::Null) => return Ok(()),
        Some(found) => found.members().ok_or_else(|| {
            format!("`{CONFIG}`: expected settings by their names, found `{found}`")
        })?,
    };
    for (name, value) in &own {
        match ALLOWED.iter().find(|(allowed, _)| allowed == name) {
            Some((_, shape)) => fits(name, *shape, value)?,
            None if is_known(name) => {
                return Err(format!(
                    "`{CONFIG}`: the setting `{name}` is one for the whole job: set it with \
                     `--set '{name}={value}'`, or in persea.toml"
                ));
            }
            None => {}
        }
    }
    Ok(())
}

/// Checks the settings that a runnable sets for its runner.
///
/// # Errors
/// A value is not one that the runner's setting takes, or the setting is secret: the journal has
/// the runnable.
pub(crate) fn check_for(more: &Attributes, runner: &Plugin) -> Result<(), String> {
    let own = more.get(CONFIG).and_then(Attribute::members);
    for (name, value) in own.into_iter().flatten() {
        let Some(setting) = runner.setting(&name) else {
            continue;
        };
        if setting.is_secret() {
            return Err(format!(
                "`{CONFIG}`: the setting `{name}` of {} is secret, and the journal has the \
                 settings of a task: set it for the whole job",
                runner.label()
            ));
        }
        let read = serde_json::from_str(&value.to_string());
        if !read.is_ok_and(|read| setting.accepts(&read)) {
            return Err(format!(
                "`{CONFIG}`: `{name}`: {} expects {}, found `{value}`",
                runner.label(),
                setting.expected()
            ));
        }
    }
    Ok(())
}

/// Checks a value whose shape is that of neither a list nor an object.
pub(super) fn fits(name: &str, shape: Shape, value: &Attribute) -> Result<(), String> {
    match value.to_scalar().is_some_and(|value| shape.fits(&value)) {
        true => Ok(()),
        false => Err(format!(
            "`{name}`: expected {}, found `{value}`",
            shape.expected()
        )),
    }
}

/// The runnable's settings that neither the host nor its runner knows.
pub(crate) fn unknown(more: &Attributes, runner: &Plugin) -> impl Iterator<Item = String> {
    let own = more.get(CONFIG).and_then(Attribute::members);
    let names = own.into_iter().flatten().map(|(name, _)| name);
    names.filter(|name| {
        let is_runners = runner.setting(name).is_some();
        !is_runners && !is_known(name)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn more(json: &str) -> Attributes {
        serde_json::from_str(json).unwrap()
    }

    fn times(by_file: Option<u64>, typed: Option<u64>) -> TaskTimes {
        let seconds = Duration::from_secs;
        TaskTimes {
            default: typed.or(by_file).map(seconds),
            longest: typed.map(seconds),
        }
    }

    #[test]
    fn typed_timeout_is_the_most_and_others_are_defaults() {
        let none = "{}";
        let both = r#"{"timeout": 7000000000, "config": {"task.timeout.running": 9}}"#;
        let configured = r#"{"config": {"task.timeout.running": 9}}"#;
        let zero = r#"{"timeout": 0}"#;
        for (file, typed, own, expected) in [
            (None, None, none, None),
            (None, None, both, Some(7)),
            (None, None, configured, Some(9)),
            (Some(5), None, none, Some(5)),
            (Some(5), None, both, Some(7)),
            (Some(5), None, zero, Some(5)),
            (Some(5), Some(3), none, Some(3)),
            (Some(5), Some(3), both, Some(3)),
            (None, Some(8), both, Some(7)),
            (None, Some(8), configured, Some(8)),
            (None, Some(8), zero, Some(8)),
        ] {
            let found = times(file, typed).of(&more(own));
            let expected = expected.map(Duration::from_secs);
            assert_eq!(found, expected, "{file:?} {typed:?} {own}");
        }
    }

    #[test]
    fn setting_that_a_task_cannot_have_is_an_error() {
        for (own, words) in [
            (
                r#"{"config": {"run.retries": 0}}"#,
                "`run.retries` is one for the whole job",
            ),
            (
                r#"{"config": {"plugins.limits.cpu": 1}}"#,
                "one for the whole job",
            ),
            (
                r#"{"config": {"run.resources.gpu": 1}}"#,
                "one for the whole job",
            ),
            (
                r#"{"config": {"task.timeout.running": "soon"}}"#,
                "expected a number of seconds",
            ),
            (
                r#"{"config": {"runner.identifier_format": 1}}"#,
                "expected a text",
            ),
            (
                r#"{"config": [1]}"#,
                "expected settings by their names, found `[1]`",
            ),
            (
                r#"{"timeout": "soon"}"#,
                "`timeout`: expected a whole number of nanoseconds",
            ),
            (r#"{"timeout": 1.5}"#, "`timeout`: expected"),
            (r#"{"timeout": -1}"#, "`timeout`: expected"),
            (r#"{"limits": 1}"#, "`limits`: expected limits by name"),
            (r#"{"limits": {"disc": 1}}"#, "unknown limit `disc`"),
            (
                r#"{"limits": {"memory": "much"}}"#,
                "`limits`: `memory`: expected a number of bytes",
            ),
            (
                r#"{"config": {"run.limits.cpus": "all"}}"#,
                "expected a number of processors",
            ),
            (r#"{"spawner": 1}"#, "`spawner`: expected `process`, "),
            (r#"{"spawner": "moon"}"#, "`spawner`: expected `process`, "),
            (r#"{"image": 1}"#, "`image`: expected the name of an image"),
            (r#"{"image": ""}"#, "`image`: expected the name of an image"),
        ] {
            let error = check(&more(own)).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        for own in [
            "{}",
            r#"{"timeout": null, "config": null}"#,
            r#"{"timeout": 300000000000, "config":
                {"task.timeout.running": 1.5, "runner.identifier_format": "{uri}", "x": 1}}"#,
        ] {
            assert_eq!(check(&more(own)), Ok(()));
        }
    }
}
