//! Owns what the processes of a single runnable may use: `limits`, and which value wins. Does not
//! know how a limit is kept, or whether a recipe, a job file or a resolver has set it.

use crate::input::own_settings::{configured, fits};
use persea_config::settings;
use persea_config::{Config, Kind as _, Origin, Processors, Shape, Size};
use persea_model::{Attribute, Attributes, Limit, Limits};

/// The key of what a runnable may use, by the names of [`Limit`]. It wins over the runnable's
/// `config`.
pub(crate) const LIMITS: &str = "limits";

/// The setting for a limit of tests.
pub(crate) const fn setting_of(limit: Limit) -> &'static str {
    match limit {
        Limit::Memory => settings::RUN_LIMITS_MEMORY.name(),
        Limit::Processes => settings::RUN_LIMITS_PROCESSES.name(),
        Limit::Cpus => settings::RUN_LIMITS_CPUS.name(),
        Limit::Disk => settings::RUN_LIMITS_DISK.name(),
    }
}

pub(super) const fn shape_of(limit: Limit) -> Shape {
    match limit {
        Limit::Memory | Limit::Disk => Shape::Size,
        Limit::Processes => Shape::Integer,
        Limit::Cpus => Shape::Processors,
    }
}

/// Reads the value of a limit; none if it is 0, which means the job's limit.
fn limit_value(limit: Limit, value: &Attribute) -> Option<u64> {
    let value = value.to_scalar()?;
    match limit {
        Limit::Memory | Limit::Disk => Size::read(&value)?,
        Limit::Processes => value.as_u64().filter(|number| *number > 0),
        Limit::Cpus => Processors::read(&value)?,
    }
}

/// The limits of tests, as the job's settings give them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TaskLimits {
    /// The limits of tests that set none.
    default: Limits,
    /// The most that any test may use, whatever it sets.
    most: Limits,
}

impl TaskLimits {
    pub(crate) fn new(config: &Config) -> Self {
        let number = config.get(settings::RUN_LIMITS_PROCESSES);
        let default = Limits {
            memory: config.get(settings::RUN_LIMITS_MEMORY),
            processes: Some(number).filter(|number| *number > 0),
            cpus: config.get(settings::RUN_LIMITS_CPUS),
            disk: config.get(settings::RUN_LIMITS_DISK),
        };
        let mut most = default;
        for limit in Limit::ALL {
            // A test of a project may exceed what its project says.
            if let Some((_, Origin::Project(_))) = config.set_by(setting_of(limit)) {
                *most.get_mut(limit) = None;
            }
        }
        Self { default, most }
    }

    /// The limits of a task with this `more`.
    pub(crate) fn of(&self, more: &Attributes) -> Limits {
        let mut all = Limits::default();
        let own = more.get(LIMITS);
        for limit in Limit::ALL {
            let short = own.and_then(|own| own.member(limit.name()));
            let wanted = short.or_else(|| configured(more, setting_of(limit)));
            let wanted = wanted.and_then(|value| limit_value(limit, &value));
            let most = self.most.get(limit);
            *all.get_mut(limit) = match (wanted.or(self.default.get(limit)), most) {
                (Some(wanted), Some(most)) => Some(wanted.min(most)),
                (wanted, most) => wanted.or(most),
            };
        }
        all
    }
}

/// Adds limits to those of a runnable, whose own win.
pub(crate) fn add_limits(more: &mut Attributes, limits: &Attributes) {
    let own = match more.get(LIMITS) {
        // A value that is not an object is refused where it is used.
        Some(own) => own.members(),
        None => Some(Attributes::new()),
    };
    let Some(mut own) = own.filter(|_| !limits.is_empty()) else {
        return;
    };
    for (name, value) in limits {
        let is_configured =
            Limit::parse(name).is_some_and(|it| configured(more, setting_of(it)).is_some());
        if !own.contains_key(name) && !is_configured {
            own.insert(name.clone(), value.clone());
        }
    }
    more.insert(LIMITS.into(), own.into());
}

/// Checks limits by their short names.
///
/// # Errors
/// A name is unknown, or a value has the wrong type.
pub(crate) fn check_limits(limits: &Attributes) -> Result<(), String> {
    for (name, value) in limits {
        let Some(limit) = Limit::parse(name) else {
            return Err(format!(
                "`{LIMITS}`: unknown limit `{name}`: there are {}",
                Limit::NAMES
            ));
        };
        fits(name, shape_of(limit), value).map_err(|why| format!("`{LIMITS}`: {why}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn more(json: &str) -> Attributes {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn least_limit_wins_over_what_a_test_wants() {
        let limits = |memory| Limits {
            memory,
            ..Limits::default()
        };
        let none = "{}";
        let short = r#"{"limits": {"memory": "7 MiB"}}"#;
        let both = r#"{"limits": {"memory": "7 MiB"}, "config": {"run.limits.memory": "9M"}}"#;
        let configured = r#"{"config": {"run.limits.memory": "9 MiB"}}"#;
        let zero = r#"{"limits": {"memory": 0}}"#;
        let mib = 1 << 20;
        for (project, users, own, expected) in [
            (None, None, none, None),
            (None, None, short, Some(7)),
            (None, None, both, Some(7)),
            (None, None, configured, Some(9)),
            (Some(5), None, none, Some(5)),
            (Some(5), None, short, Some(7)),
            (Some(5), None, zero, Some(5)),
            (None, Some(3), none, Some(3)),
            (None, Some(3), short, Some(3)),
            (None, Some(8), both, Some(7)),
            (None, Some(8), configured, Some(8)),
            (None, Some(8), zero, Some(8)),
        ] {
            let of_job = TaskLimits {
                default: limits(users.or(project).map(|it: u64| it * mib)),
                most: limits(users.map(|it| it * mib)),
            };
            let found = of_job.of(&more(own)).memory;
            assert_eq!(
                found,
                expected.map(|it| it * mib),
                "{project:?} {users:?} {own}"
            );
        }
    }

    #[test]
    fn limits_of_a_suite_are_added_to_those_of_its_tests() {
        let mut own = more(r#"{"limits": {"memory": 1}, "config": {"run.limits.processes": 5}}"#);
        let suite = more(r#"{"memory": 2, "cpus": 0.5, "processes": 9}"#);
        add_limits(&mut own, &suite);
        let found = TaskLimits::default().of(&own);
        assert_eq!(
            found,
            Limits {
                memory: Some(1),
                processes: Some(5),
                cpus: Some(500),
                disk: None,
            }
        );
    }
}
