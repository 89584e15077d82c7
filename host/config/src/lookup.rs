//! What is known of a setting by its name: its shape, and what a project may say of it. Owns the names that any plugin, result format or
//! resource may continue; the settings with one name each are in the table, `settings`.

use serde_json::Value;

use super::project::Project;
use super::settings::{SETTINGS, Setting};
use super::shape::Shape;

/// The setting of the host with this name.
fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// What a project may say of a setting, be it of the host or of a plugin.
pub fn project(name: &str) -> Project {
    if let Some(setting) = setting(name) {
        return setting.project;
    }
    match result_setting(name) {
        Some((_, OUTPUT)) => Project::InJob,
        _ => Project::Any,
    }
}

/// What the settings of a result format begin with; its name and one of these follow.
const RESULT: &str = "job.run.result.";
const ENABLED: &str = "enabled";
const OUTPUT: &str = "output";

/// The settings that the host has for a result format of any name.
pub fn of_result_format(name: &str) -> [String; 2] {
    [ENABLED, OUTPUT].map(|what| format!("{RESULT}{name}.{what}"))
}

/// The result format that such a setting is for, and which of them it is.
fn result_setting(name: &str) -> Option<(&str, &str)> {
    let (format, what) = name.strip_prefix(RESULT)?.split_once('.')?;
    matches!(what, ENABLED | OUTPUT).then_some((format, what))
}

/// The settings that say how much there is of a resource: any name may follow.
pub const RESOURCES: &str = "run.resources.";

/// The shape of a setting of the host.
pub(super) fn shape(name: &str) -> Option<Shape> {
    if name.starts_with(RESOURCES) {
        return Some(Shape::Amount);
    }
    if let Some(setting) = setting(name) {
        return Some(setting.shape);
    }
    if let Some((_, what)) = result_setting(name) {
        return Some(match what {
            ENABLED => Shape::Flag,
            _ => Shape::Text,
        });
    }
    // `plugins.WORLD.PLUGIN.timeout`, as `plugins.WORLD.timeout`.
    let of = name.strip_prefix("plugins.")?;
    if let Some(of) = of.strip_suffix(".timeout") {
        return is_some_plugins(of).then_some(Shape::Duration);
    }
    let (of, name) = of.split_once(".limits.")?;
    limit(name).filter(|_| is_some_plugins(of))
}

/// Whether the host itself knows a setting. Those of a result format belong to it: where there is none of that name, nobody reads them.
pub fn is_known(name: &str) -> bool {
    setting(name).is_some() || shape(name).is_some() && result_setting(name).is_none()
}

/// Whether a value stands for "not set": JSON's `null`, or an empty text for a setting that has no default.
pub(super) fn is_off(name: &str, value: &Value) -> bool {
    let unset = || match setting(name) {
        Some(setting) => setting.default == "null",
        None => result_setting(name).is_some(),
    };
    value.is_null() || value.as_str() == Some("") && unset()
}

/// The default of a setting; null where it has none.
pub(super) fn default(name: &str) -> Value {
    let default = setting(name).and_then(|it| serde_json::from_str(it.default).ok());
    default.unwrap_or_default()
}

/// Whether it names a world, or a plugin with its world, as `runner.greet`.
fn is_some_plugins(name: &str) -> bool {
    name.split('.').count() <= 2
}

/// Whether a setting gives a plugin or a world a limit that is one for all.
pub(super) fn is_shared(name: &str) -> bool {
    let parts = name
        .strip_prefix("plugins.")
        .and_then(|it| it.split_once(".limits."));
    parts.is_some_and(|(of, name)| name == SHARED_LIMIT && is_some_plugins(of))
}

/// What the names of limits begin with.
const LIMITS: &str = "plugins.limits.";

/// The one limit that all plugins share, so that none has it of its own.
pub const SHARED_LIMIT: &str = "stack_kb";

/// The names of the limits that a plugin can have of its own.
pub fn limits() -> impl Iterator<Item = &'static str> {
    let names = SETTINGS
        .iter()
        .filter_map(|it| it.name.strip_prefix(LIMITS));
    names.filter(|name| *name != SHARED_LIMIT)
}

/// The shape of such a limit.
pub fn limit(name: &str) -> Option<Shape> {
    let name = limits().find(|limit| *limit == name)?;
    setting(&format!("{LIMITS}{name}")).map(|setting| setting.shape)
}
