//! Owns the JSON Schemas of settings, job files and recipes: that they are published as the program
//! prints them, and that they accept what Persea accepts.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::Fixture;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The schema that the program prints.
fn schema(options: &[&str]) -> (Value, String) {
    let args = [&["config", "--schema"], options].concat();
    let ran = Fixture::new().run(&args).code(0);
    (serde_json::from_str(&ran.stdout).unwrap(), ran.stdout)
}

/// Why a value does not match a schema. Knows the keywords that Persea's schemas use; any other is
/// an error here, so that none is ignored.
fn mismatch(root: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    let keywords = match schema {
        Value::Bool(true) => return None,
        Value::Bool(false) => return Some(format!("{at}: not allowed")),
        schema => schema.as_object().unwrap(),
    };
    let check = |schema: &Value, value: &Value, at: &str| mismatch(root, schema, value, at);
    let wrong = |what: &Value| Some(format!("{at}: {what} expected, found {value}"));
    for (keyword, wanted) in keywords {
        let found = match (keyword.as_str(), value) {
            ("$schema" | "$defs" | "title" | "description" | "default" | "examples", _) => None,
            ("$ref", _) => {
                let pointer = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                check(root.pointer(pointer).unwrap(), value, at)
            }
            ("type", _) => {
                let all = wanted.as_array().cloned().unwrap_or(vec![wanted.clone()]);
                let fits = all.iter().any(|it| is_of_type(it.as_str().unwrap(), value));
                (!fits).then(|| wrong(wanted)).flatten()
            }
            ("const", _) => (wanted != value).then(|| wrong(wanted)).flatten(),
            ("enum", _) => {
                let fits = wanted.as_array().unwrap().contains(value);
                (!fits).then(|| wrong(wanted)).flatten()
            }
            ("anyOf", _) => {
                let mut all = wanted.as_array().unwrap().iter();
                let fits = all.any(|schema| check(schema, value, at).is_none());
                (!fits).then(|| wrong(wanted)).flatten()
            }
            ("properties", Value::Object(object)) => object
                .iter()
                .find_map(|(name, value)| check(wanted.get(name)?, value, &format!("{at}/{name}"))),
            ("additionalProperties", Value::Object(object)) => {
                object.iter().find_map(|(name, value)| {
                    let known = schema.get("properties").and_then(|it| it.get(name));
                    let at = format!("{at}/{name}");
                    known.is_none().then(|| check(wanted, value, &at)).flatten()
                })
            }
            ("required", Value::Object(object)) => {
                let names = wanted.as_array().unwrap().iter();
                let mut names = names.filter(|name| !object.contains_key(name.as_str().unwrap()));
                names.next().and_then(wrong)
            }
            ("dependentRequired", Value::Object(object)) => {
                let all = wanted.as_object().unwrap().iter();
                let mut all = all.filter(|(name, _)| object.contains_key(*name));
                all.find_map(|(_, names)| check(&json!({"required": names}), value, at))
            }
            ("items", Value::Array(items)) => items.iter().find_map(|it| check(wanted, it, at)),
            ("minItems", Value::Array(items)) => {
                let fits = items.len() as u64 >= wanted.as_u64().unwrap();
                (!fits).then(|| wrong(wanted)).flatten()
            }
            ("minLength", Value::String(text)) => {
                let fits = text.chars().count() as u64 >= wanted.as_u64().unwrap();
                (!fits).then(|| wrong(wanted)).flatten()
            }
            ("minimum", Value::Number(number)) => {
                let fits = number.as_f64() >= wanted.as_f64();
                (!fits).then(|| wrong(wanted)).flatten()
            }
            (
                "properties"
                | "additionalProperties"
                | "required"
                | "dependentRequired"
                | "items"
                | "minItems"
                | "minLength"
                | "minimum",
                _,
            ) => None,
            (other, _) => panic!("{at}: the keyword {other} is not checked"),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type is named {other}"),
    }
}

fn toml(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
}

#[test]
fn published_schemas_are_what_the_program_prints() {
    for name in ["settings", "job", "recipe"] {
        let path = repository().join(format!("docs/schemas/{name}.json"));
        let (_, printed) = schema(&[name]);
        if std::env::var_os("PERSEA_BOOK").is_some_and(|it| it == "update") {
            std::fs::write(&path, &printed).unwrap();
        }
        let published = std::fs::read_to_string(&path).unwrap();
        let help = "`PERSEA_BOOK=update cargo e2e schemas::` writes it";
        assert!(
            published == printed,
            "{} is out of date; {help}",
            path.display()
        );
    }
    assert_eq!(schema(&[]), schema(&["settings"]));
}

#[test]
fn schema_of_settings_agrees_with_the_check_of_settings() {
    let (schema, _) = schema(&[]);
    let fixture = Fixture::new();
    for (text, is_valid) in [
        (
            "[run]\nmax_parallel_tasks = 2\nfailfast = true\norder = 'failed-first'",
            true,
        ),
        (
            "run.failfast = 3\ntask.timeout.running = '5m'\nfetch.files = ''",
            true,
        ),
        ("run.resources.gpu = 2\nrun.resources.db = ['a', 'b']", true),
        (
            "plugins.runner.limits.memory_mb = 512\nplugins.runner.greet.timeout = 3",
            true,
        ),
        ("job.run.result.html.enabled = false", true),
        ("runner.exectest.exitcodes.skip = [77]", true),
        ("run.max_parallel_tasks = 'many'", false),
        ("run.failfast = 0", false),
        ("run.order = 'last'", false),
        ("run.spawner = 'moon'", false),
        ("fetch.hosts = 'example.org'", false),
        ("requirement.scope = 'week'", false),
        ("task.timeout.running = -1", false),
        ("run.resources.gpu = 'one'", false),
        ("plugins.runner.limits.stack_kb = 4", false),
        ("plugins.runner.greet.limits.memory_mb = 'much'", false),
        ("job.run.result.html.enabled = 'no'", false),
    ] {
        let wrong = mismatch(&schema, &schema, &toml(text), "");
        assert_eq!(wrong.is_none(), is_valid, "{text}: {wrong:?}");
        fixture.file("persea.toml", text);
        fixture.run(&["config"]).code(if is_valid { 0 } else { 4 });
    }
}

#[test]
fn schema_of_job_files_agrees_with_their_reader() {
    let (schema, _) = schema(&["job"]);
    for example in ["suites/job.toml", "varianter-pairwise/job.toml"] {
        let text = std::fs::read_to_string(repository().join("docs/examples").join(example));
        let wrong = mismatch(&schema, &schema, &toml(&text.unwrap()), "");
        assert_eq!(wrong, None, "{example}");
    }
    let fixture = Fixture::new();
    for (text, is_valid) in [
        ("[[suite]]\nname = 'a'\nreferences = ['/bin/true']", true),
        (
            "[[suite]]\nname = 'a'\ntask = [{ kind = 'noop', timeout = '5m' }]",
            true,
        ),
        (
            "[[suite]]\nname = 'a'\nreferences = []\ntask = [{ kind = 'noop' }]\nsetup = 'true'",
            true,
        ),
        (
            "[[suite]]\nname = 'a'\ntask = [{ kind = 'noop' }]\n\
             [suite.variants]\naxes.os = ['a', 1]\nonly = [{ os = 1 }]",
            true,
        ),
        ("[settings]\nrun.failfast = true", false),
        ("[[suite]]\nname = 'a'", false),
        ("[[suite]]\nname = ''\nreferences = ['/bin/true']", false),
        ("[[suite]]\nreferences = ['/bin/true']", false),
        (
            "[[suite]]\nname = 'a'\nreferences = ['/bin/true']\nteardown = 'true'",
            false,
        ),
        (
            "[[suite]]\nname = 'a'\nreferences = ['/bin/true']\nlabel = 'b'",
            false,
        ),
        (
            "[[suite]]\nname = 'a'\ntask = [{ uri = '/bin/true' }]",
            false,
        ),
        (
            "[[suite]]\nname = 'a'\ntask = [{ kind = 'noop', timeout = [] }]",
            false,
        ),
        (
            "[[suite]]\nname = 'a'\ntask = [{ kind = 'noop' }]\nrequirements = [{ uri = 'x' }]",
            false,
        ),
        (
            "[[suite]]\nname = 'a'\ntask = [{ kind = 'noop' }]\nresources = { gpu = -1 }",
            false,
        ),
        (
            "[[suite]]\nname = 'a'\ntask = [{ kind = 'noop' }]\nvariants = { axes = { os = [] } }",
            false,
        ),
    ] {
        let wrong = mismatch(&schema, &schema, &toml(text), "");
        assert_eq!(wrong.is_none(), is_valid, "{text}: {wrong:?}");
        fixture.file("job.toml", text);
        let ran = fixture.run(&["list", "--job", "job.toml"]);
        ran.code(if is_valid { 0 } else { 4 });
    }
}

#[test]
fn schema_of_recipes_agrees_with_their_reader() {
    let (schema, _) = schema(&["recipe"]);
    let examples = [
        "environments/writes.json",
        "first-job/job.json",
        "order/order.json",
        "requirements/needs.json",
        "runner-hello/hello.json",
    ];
    for example in examples {
        let text = std::fs::read_to_string(repository().join("docs/examples").join(example));
        let recipe: Value = serde_json::from_str(&text.unwrap()).unwrap();
        let wrong = mismatch(&schema, &schema, &recipe, "");
        assert_eq!(wrong, None, "{example}");
    }
    let fixture = Fixture::new();
    let tags = json!({"fast": null, "arch": ["arm"], "os": {"__encoded_set__": ["linux"]}});
    let needs = json!([{"type": "file", "uri": null, "path": "a"}]);
    for (recipe, is_valid) in [
        (json!({"kind": "noop"}), true),
        (
            json!({"kind": "noop", "uri": null, "args": ["a"], "identifier": null}),
            true,
        ),
        (
            json!([{"kind": "noop", "kwargs": {"tags": tags, "N": 3, "variant": {}}}]),
            true,
        ),
        (
            json!({"kind": "noop", "kwargs": {"dependencies": needs, "tags": null}}),
            true,
        ),
        (
            json!({"kind": "noop", "mutexes": ["a"], "resources": {}, "config": {}}),
            true,
        ),
        (json!({"kind": ""}), false),
        (json!({"uri": "a"}), false),
        (json!({"kind": "noop", "uri": 3}), false),
        (
            json!([{"kind": "noop"}, {"kind": "noop", "args": [3]}]),
            false,
        ),
        (json!({"kind": "noop", "uri": "a", "label": "b"}), false),
        (json!({"kind": "noop", "kwargs": {"tags": {"a": 3}}}), false),
        (
            json!({"kind": "noop", "kwargs": {"dependencies": [{"uri": "a"}]}}),
            false,
        ),
        (json!({"kind": "noop", "resources": {"gpu": -1}}), false),
        (json!({"kind": "noop", "config": []}), false),
    ] {
        let wrong = mismatch(&schema, &schema, &recipe, "");
        assert_eq!(wrong.is_none(), is_valid, "{recipe}: {wrong:?}");
        fixture.file("r.json", recipe.to_string());
        let ran = fixture.run(&["list", "r.json"]);
        ran.code(if is_valid { 0 } else { 2 });
    }
}
