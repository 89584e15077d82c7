//! Owns the JSON Schema of settings, made from the table of settings: draft 2020-12.
//!
//! The schema describes a file of settings, in which a setting's name is its path in tables.
//! Plugins may declare more settings, so unknown names are allowed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::lookup::{ENABLED, LIMITS, OUTPUT, RESOURCES, RESULT, SHARED_LIMIT, limits};
use super::project::Project;
use super::settings::{SETTINGS, Setting};
use super::shape::Shape;

/// The schema of `persea.toml`, as a whole document.
pub fn settings_document() -> Value {
    let mut document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of Persea",
        "description": "Settings, as in persea.toml. Plugins may declare more of them.",
    });
    if let (Value::Object(document), Value::Object(settings)) =
        (&mut document, settings_schema("#"))
    {
        document.extend(settings);
    }
    document
}

/// The schema of the settings' outermost table. `pointer` is the schema's place in its document, as
/// a JSON pointer with `#` before it.
pub fn settings_schema(pointer: &str) -> Value {
    let mut root = SettingsTable::default();
    for setting in SETTINGS {
        let (path, name) = setting.name.rsplit_once('.').unwrap_or(("", setting.name));
        let settings = &mut root.at(path).settings;
        settings.insert(name.to_owned(), of_setting(setting));
    }
    // The names that continue with the name of a resource, a result format or a plugin.
    root.at(RESOURCES).rest = Some(with_text(
        of_shape(Shape::Amount),
        "capacity of the resource with this name",
    ));
    let mut format = SettingsTable::default();
    let text = "write the report into the job's directory";
    let enabled = with_text(of_shape(Shape::Flag), text);
    format.settings.insert(ENABLED.to_owned(), enabled);
    let text = "also write the report to this file; `-` means the standard output";
    let output = with_text(of_shape(Shape::Text), text);
    format.settings.insert(OUTPUT.to_owned(), output);
    root.at(RESULT).rest = Some(format.schema());
    let own_limits = LIMITS.strip_prefix(PLUGINS).unwrap_or(LIMITS);
    let reference = |name: &str| json!({"$ref": format!("{pointer}/$defs/{name}")});
    let plugins = root.at(PLUGINS);
    for (name, table) in &mut plugins.tables {
        if name != own_limits.trim_end_matches('.') {
            table.complete_world(&reference);
        }
    }
    let mut other = SettingsTable::default();
    other.complete_world(&reference);
    plugins.rest = Some(other.schema());
    let mut plugin = SettingsTable::default();
    plugin.add_terms(&reference);
    let definitions = json!({"limits": limits_of_one(), "plugin": plugin.schema()});
    let mut schema = root.schema();
    if let Value::Object(schema) = &mut schema {
        schema.insert("$defs".into(), definitions);
    }
    schema
}

/// The limits of a world or a plugin.
fn limits_of_one() -> Value {
    let mut table = SettingsTable::default();
    for name in limits() {
        let full = format!("{LIMITS}{name}");
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.name == full) {
            let schema = with_text(of_shape(setting.shape), setting.about());
            table.settings.insert(name.to_owned(), schema);
        }
    }
    // All plugins share this limit.
    let shared = SHARED_LIMIT.to_owned();
    table.settings.insert(shared, Value::Bool(false));
    table.schema()
}

/// The prefix of the settings about plugins. A setting's own name, or that of a world follows.
const PLUGINS: &str = "plugins.";

/// The schema of a time, such as a timeout.
pub fn duration_schema() -> Value {
    of_shape(Shape::Duration)
}

/// The schema of a setting of the host.
pub fn setting_schema<K: super::key::Kind>(key: super::key::Key<K>) -> Value {
    let setting = SETTINGS.iter().find(|setting| setting.name == key.name());
    setting.map_or(Value::Bool(true), of_setting)
}

/// A table of settings.
#[derive(Default)]
struct SettingsTable {
    settings: BTreeMap<String, Value>,
    tables: BTreeMap<String, SettingsTable>,
    /// The schema of all other members.
    rest: Option<Value>,
}

impl SettingsTable {
    /// The table at this path, which is made where it is missing.
    fn at(&mut self, path: &str) -> &mut Self {
        let parts = path.split('.').filter(|part| !part.is_empty());
        parts.fold(self, |table, part| {
            table.tables.entry(part.to_owned()).or_default()
        })
    }

    /// Adds what can be set for a world and for each of its plugins.
    fn complete_world(&mut self, reference: &impl Fn(&str) -> Value) {
        self.add_terms(reference);
        self.rest = Some(reference("plugin"));
    }

    /// Adds the timeout and the limits of a world or a plugin.
    fn add_terms(&mut self, reference: &impl Fn(&str) -> Value) {
        let timeout = || {
            let text = "time limit of one call, in seconds";
            with_text(of_shape(Shape::Duration), text)
        };
        let own = self.settings.entry("timeout".to_owned());
        own.or_insert_with(timeout);
        let limits = "limits".to_owned();
        self.settings.insert(limits, reference("limits"));
    }

    fn schema(self) -> Value {
        let tables = self.tables.into_iter();
        let tables = tables.map(|(name, table)| (name, table.schema()));
        let properties: Map<String, Value> = self.settings.into_iter().chain(tables).collect();
        let mut schema = json!({"type": "object", "properties": properties});
        if let (Value::Object(schema), Some(rest)) = (&mut schema, self.rest) {
            schema.insert("additionalProperties".into(), rest);
        }
        schema
    }
}

fn of_setting(setting: &Setting) -> Value {
    let mut shape = of_shape(setting.shape);
    let default = setting.default();
    if default.is_null() && setting.shape != Shape::Text {
        // An empty text means "not set".
        shape = json!({"anyOf": [shape, {"const": ""}]});
    }
    let text = match setting.project {
        Project::Any => setting.about().to_owned(),
        other => format!(
            "{} (may a project set it? {})",
            setting.about(),
            other.words()
        ),
    };
    let mut schema = with_text(shape, &text);
    if let (Value::Object(schema), false) = (&mut schema, default.is_null()) {
        schema.insert("default".into(), default);
    }
    schema
}

fn with_text(mut schema: Value, text: &str) -> Value {
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".into(), text.into());
    }
    schema
}

fn of_shape(shape: Shape) -> Value {
    let whole = |minimum: u64| json!({"type": "integer", "minimum": minimum});
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    match shape {
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Integer => whole(0),
        Shape::Text | Shape::IdFormat => json!({"type": "string"}),
        Shape::Texts => texts(),
        Shape::Tables => json!({"type": "array", "items": {"type": "object"}}),
        Shape::Failures => json!({"anyOf": [{"type": "boolean"}, whole(1)]}),
        Shape::Duration => {
            let seconds = json!({"type": "number", "minimum": 0});
            let text = json!({"type": "string", "examples": ["90", "1.5s", "5m", "1h 30m"]});
            json!({"anyOf": [seconds, text]})
        }
        Shape::Size => {
            let text = json!({"type": "string", "examples": ["512 MiB", "2 GiB", "100k"]});
            json!({"anyOf": [whole(0), text]})
        }
        Shape::Processors => json!({"type": "number", "minimum": 0}),
        Shape::Amount => json!({"anyOf": [whole(0), texts()]}),
        Shape::Order | Shape::Scope | Shape::Sharing | Shape::Spawner | Shape::Verdict => {
            json!({"enum": shape.names()})
        }
        Shape::RetryCauses => json!({"type": "array", "items": {"enum": shape.names()}}),
    }
}
