//! Owns the JSON Schemas of job files and of recipes: draft 2020-12. The readers of both are
//! elsewhere; tests compare their members with those here.

use serde_json::{Map, Value, json};

use crate::input::own_limits::setting_of;
use crate::input::own_settings::{IDENTIFIER, RUNNING};
use persea_config::{
    Choices as _, RetryCause, duration_schema, setting_schema, settings, settings_schema,
};
use persea_model::{Limit, SpawnerKind};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of job files.
pub fn job_file_schema() -> Value {
    json!({
        "$schema": DIALECT,
        "title": "Job file of Persea",
        "type": "object",
        "properties": {
            "settings": settings_schema("#/properties/settings"),
            "kind": list_of(reference("kind")),
            "spawner": spawner(),
            "image": image(),
            "requirements": list_of(reference("requirement")),
            "suite": {"type": "array", "items": reference("suite"), "minItems": 1},
        },
        "required": ["suite"],
        "additionalProperties": false,
        "$defs": {
            "kind": kind_rule(),
            "requirement": requirement(),
            "suite": suite(),
            "task": task(),
            "variants": variants(),
        },
    })
}

/// The schema of recipes.
pub fn recipe_schema() -> Value {
    json!({
        "$schema": DIALECT,
        "title": "Recipe of Persea",
        "description": "A runnable, or a list of runnables",
        "anyOf": [reference("runnable"), list_of(reference("runnable"))],
        "$defs": {"requirement": requirement(), "runnable": runnable()},
    })
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

fn list_of(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

fn optional_text(about: &str) -> Value {
    json!({"type": ["string", "null"], "description": about})
}

fn texts(about: &str) -> Value {
    json!({"type": "array", "items": {"type": "string"}, "description": about})
}

/// An object with these members and no others.
fn closed(properties: Map<String, Value>, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    let named = members.into_iter();
    named
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

/// The schema of a spawner's name.
fn spawner() -> Value {
    json!({
        "enum": SpawnerKind::ALL.map(SpawnerKind::name),
        "description": "the spawner in whose environments the task runs",
    })
}

fn image() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "description": "the image in whose containers the task runs",
    })
}

/// The schema of how often a task is tried again.
fn retries() -> Value {
    let count = json!({"type": "integer", "minimum": 0});
    let names = json!({"enum": RetryCause::names()});
    let causes = json!({"type": "array", "items": names, "minItems": 1});
    json!({
        "anyOf": [
            count,
            {
                "type": "object",
                "properties": {"count": count, "on": causes},
                "additionalProperties": false,
                "anyOf": [{"required": ["count"]}, {"required": ["on"]}],
            },
        ],
        "description": "how often the task is tried again, and after what",
    })
}

/// What constrains when and where a task may run, and for how long.
fn conditions() -> Map<String, Value> {
    members([
        (
            "needs",
            texts("names or ids of tasks that must have passed"),
        ),
        ("after", texts("names or ids of tasks that must have ended")),
        (
            "mutexes",
            texts("names; tasks that share one do not run at the same time"),
        ),
        (
            "resources",
            json!({
                "type": "object",
                "additionalProperties": {"anyOf": [
                    {"type": "integer", "minimum": 0},
                    {"type": "array", "items": {"type": "string"}},
                ]},
                "description": "what the task takes of each resource: an amount, or instances",
            }),
        ),
        ("timeout", duration_schema()),
        ("retries", retries()),
        (
            "cwd",
            text("the directory in which the task's processes start"),
        ),
        ("spawner", spawner()),
        ("image", image()),
        ("limits", limits()),
    ])
}

/// The schema of a limit.
fn limit(limit: Limit) -> Value {
    let mut schema = match limit {
        Limit::Memory => setting_schema(settings::RUN_LIMITS_MEMORY),
        Limit::Processes => setting_schema(settings::RUN_LIMITS_PROCESSES),
        Limit::Cpus => setting_schema(settings::RUN_LIMITS_CPUS),
        Limit::Disk => setting_schema(settings::RUN_LIMITS_DISK),
    };
    // Those are about the setting of a whole job.
    if let Value::Object(schema) = &mut schema {
        schema.remove("default");
        schema.remove("description");
    }
    schema
}

fn limits() -> Value {
    let all = Limit::ALL.map(|it| (it.name().to_owned(), limit(it)));
    json!({
        "type": "object",
        "properties": Map::from_iter(all),
        "additionalProperties": false,
        "description": "what the processes of the task may use",
    })
}

fn own_settings() -> Value {
    let limits = Limit::ALL.map(|it| (setting_of(it).to_owned(), limit(it)));
    let mut properties = Map::from_iter(limits);
    properties.insert(RUNNING.to_owned(), duration_schema());
    properties.insert(IDENTIFIER.to_owned(), json!({"type": "string"}));
    json!({
        "type": "object",
        "properties": properties,
        "description": "settings for this runnable alone",
    })
}

fn requirement() -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": text("the kind, which chooses the requirement resolver"),
            "uri": optional_text("what is required; the resolver interprets it"),
            "args": texts("arguments, which the resolver interprets"),
        },
        "required": ["type"],
        "description": "a requirement; its other members are keyword arguments of the resolver",
    })
}

fn suite() -> Value {
    let mut properties = members([
        ("name", json!({"type": "string", "minLength": 1})),
        ("references", texts("references, as for `persea run`")),
        ("task", list_of(reference("task"))),
        ("requirements", list_of(reference("requirement"))),
        (
            "setup",
            text("shell line that runs before the suite's first test"),
        ),
        (
            "teardown",
            text("shell line that runs after the suite's last test"),
        ),
        (
            "exports",
            texts("variables that the set-up gives to the tests"),
        ),
        ("variants", reference("variants")),
    ]);
    properties.append(&mut conditions());
    let mut suite = closed(properties, &["name"]);
    if let Value::Object(suite) = &mut suite {
        let either = json!([{"required": ["references"]}, {"required": ["task"]}]);
        suite.insert("anyOf".into(), either);
        let needs_setup = json!({"teardown": ["setup"], "exports": ["setup"]});
        suite.insert("dependentRequired".into(), needs_setup);
    }
    suite
}

/// The schema of a kind by pattern.
fn kind_rule() -> Value {
    let globs = |about: &str| {
        let texts = json!({"type": "array", "items": {"type": "string"}, "minItems": 1});
        json!({"anyOf": [{"type": "string"}, texts], "description": about})
    };
    let mut properties = members([
        ("match", globs("globs of the files that are of the kind")),
        ("exclude", globs("globs of files that the rule leaves out")),
        ("kind", text("the kind, which chooses the runner")),
        (
            "program",
            texts("the program that runs a file; `{path}` stands for the file"),
        ),
        ("kwargs", keyword_arguments()),
        ("env", variables()),
        ("tags", tags()),
    ]);
    properties.append(&mut conditions());
    closed(properties, &["match", "kind"])
}

fn keyword_arguments() -> Value {
    json!({"type": "object", "description": "keyword arguments of the runner"})
}

fn variables() -> Value {
    json!({
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "variables by name",
    })
}

fn tags() -> Value {
    json!({
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "string"}},
        "description": "lists of values by name",
    })
}

fn task() -> Value {
    let mut properties = members([
        ("kind", text("the kind, which chooses the runner")),
        ("uri", text("what to run; the runner interprets it")),
        ("args", texts("arguments, which the runner interprets")),
        ("kwargs", keyword_arguments()),
        ("identifier", text("the name for people")),
        ("env", variables()),
        ("tags", tags()),
        ("config", own_settings()),
        ("requirements", list_of(reference("requirement"))),
    ]);
    properties.append(&mut conditions());
    closed(properties, &["kind"])
}

fn variants() -> Value {
    let value = json!({"type": ["string", "number", "boolean"]});
    let values = json!({"type": "array", "items": value, "minItems": 1});
    let one_or_more = json!({"anyOf": [value, list_of(value.clone())]});
    let filter = json!({"type": "object", "additionalProperties": one_or_more});
    let axes = members([
        (
            "axes",
            json!({"type": "object", "additionalProperties": values}),
        ),
        ("only", list_of(filter.clone())),
        ("no", list_of(filter)),
    ]);
    json!({
        "anyOf": [
            closed(axes, &["axes"]),
            {
                "type": "object",
                "properties": {"plugin": text("the name of a varianter plugin")},
                "required": ["plugin"],
            },
        ],
    })
}

fn runnable() -> Value {
    let set = json!({
        "type": "object",
        "properties": {"__encoded_set__": {"type": "array", "items": {"type": "string"}}},
        "required": ["__encoded_set__"],
    });
    let tag = json!({"anyOf": [{"type": "null"}, texts("the values of the tag"), set]});
    let kwargs = json!({
        "type": "object",
        "properties": {
            "tags": {"type": ["object", "null"], "additionalProperties": tag.clone()},
            "dependencies": {"type": ["array", "null"], "items": reference("requirement")},
            "variant": {"type": ["object", "null"]},
        },
        "description": "keyword arguments of the runner",
    });
    let mut properties = members([
        (
            "kind",
            json!({
                "type": "string",
                "minLength": 1,
                "description": "the kind, which chooses the runner",
            }),
        ),
        (
            "uri",
            optional_text("what to run; the runner interprets it"),
        ),
        ("args", texts("arguments, which the runner interprets")),
        ("kwargs", kwargs),
        ("config", own_settings()),
        ("identifier", optional_text("the name for people")),
        (
            "env",
            json!({
                "type": "object",
                "additionalProperties": {"type": ["string", "null"]},
                "description": "variables by name; null removes one",
            }),
        ),
        (
            "tags",
            json!({
                "type": "object",
                "additionalProperties": tag,
                "description": "lists of values by name",
            }),
        ),
        ("requirements", list_of(reference("requirement"))),
    ]);
    properties.append(&mut conditions());
    closed(properties, &["kind"])
}
