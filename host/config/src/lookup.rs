//! Owns what is known of a setting by its name: its shape, and what a project may do with it. Owns
//! the names that continue with the name of a plugin, a result format or a resource; the settings
//! with one fixed name are in the table, `settings`.

use serde_json::Value;

use super::project::Project;
use super::settings::{SETTINGS, Setting};
use super::shape::Shape;

/// The setting of the host with this name.
fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// What a project may do with a setting of the host or of a plugin.
pub fn project(name: &str) -> Project {
    if let Some(setting) = setting(name) {
        return setting.project;
    }
    match result_setting(name) {
        Some((_, OUTPUT)) => Project::InJob,
        _ => Project::Any,
    }
}

/// The prefix of a result format's settings. The format's name follows, then [`ENABLED`] or
/// [`OUTPUT`].
pub(super) const RESULT: &str = "job.run.result.";
pub(super) const ENABLED: &str = "enabled";
pub(super) const OUTPUT: &str = "output";

/// The names of the host's settings for a result format.
pub fn of_result_format(name: &str) -> [String; 2] {
    [ENABLED, OUTPUT].map(|what| format!("{RESULT}{name}.{what}"))
}

/// Splits the name of a result format's setting into the format and the last part.
fn result_setting(name: &str) -> Option<(&str, &str)> {
    let (format, what) = name.strip_prefix(RESULT)?.split_once('.')?;
    matches!(what, ENABLED | OUTPUT).then_some((format, what))
}

/// The prefix of the settings for the capacity of a resource. The resource's name follows.
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
    // `plugins.WORLD.timeout` and `plugins.WORLD.PLUGIN.timeout`.
    let of = name.strip_prefix("plugins.")?;
    if let Some(of) = of.strip_suffix(".timeout") {
        return is_world_or_plugin(of).then_some(Shape::Duration);
    }
    let (of, name) = of.split_once(".limits.")?;
    limit(name).filter(|_| is_world_or_plugin(of))
}

/// Whether the host itself has a setting. The settings of a result format belong to the format:
/// without a format of that name, nobody reads them.
pub fn is_known(name: &str) -> bool {
    setting(name).is_some() || shape(name).is_some() && result_setting(name).is_none()
}

/// Whether a value stands for "not set": JSON's `null`, or an empty text for a setting that has no
/// default.
pub(super) fn is_off(name: &str, value: &Value) -> bool {
    let unset = || match setting(name) {
        Some(setting) => setting.default().is_null(),
        None => result_setting(name).is_some(),
    };
    value.is_null() || value.as_str() == Some("") && unset()
}

/// The default of a setting; null where it has none.
pub(super) fn default(name: &str) -> Value {
    setting(name).map(Setting::default).unwrap_or_default()
}

/// Whether a name is that of a world, or of a world and a plugin, such as `runner.greet`.
fn is_world_or_plugin(name: &str) -> bool {
    name.split('.').count() <= 2
}

/// Whether a setting tries to set the limit that all plugins share for one plugin or world.
pub(super) fn is_shared(name: &str) -> bool {
    let parts = name
        .strip_prefix("plugins.")
        .and_then(|it| it.split_once(".limits."));
    parts.is_some_and(|(of, name)| name == SHARED_LIMIT && is_world_or_plugin(of))
}

/// The prefix of the limits' settings.
pub(super) const LIMITS: &str = "plugins.limits.";

/// The limit that all plugins share: no plugin or world has its own.
pub const SHARED_LIMIT: &str = "stack_kb";

/// The names of the limits that can be set for one plugin.
pub fn limits() -> impl Iterator<Item = &'static str> {
    let names = SETTINGS
        .iter()
        .filter_map(|it| it.name.strip_prefix(LIMITS));
    names.filter(|name| *name != SHARED_LIMIT)
}

/// The shape of a limit that can be set for one plugin.
pub fn limit(name: &str) -> Option<Shape> {
    let name = limits().find(|limit| *limit == name)?;
    setting(&format!("{LIMITS}{name}")).map(|setting| setting.shape)
}

/// Whether a name is that of a member of a table.
pub fn is_member_of(name: &str, table: &str) -> bool {
    let rest = name.strip_prefix(table);
    rest.is_some_and(|rest| rest.starts_with('.'))
}
