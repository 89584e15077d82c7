//! Owns the builders of runnables, of which tests make recipes and job files.

use serde_json::{Value, json};

/// A program of this name and path.
pub fn exec(name: &str, uri: &str) -> Value {
    json!({"kind": "exec-test", "uri": uri, "identifier": name})
}

/// A script for `/bin/sh`.
pub fn shell(name: &str, script: &str) -> Value {
    with(exec(name, "/bin/sh"), "args", json!(["-c", script]))
}

/// A test that does nothing.
pub fn noop(uri: &str) -> Value {
    json!({"kind": "noop", "uri": uri})
}

/// Programs that are named by their paths.
pub fn programs(uris: &[impl AsRef<str>]) -> Vec<Value> {
    let program = |uri: &str| json!({"kind": "exec-test", "uri": uri});
    uris.iter().map(|uri| program(uri.as_ref())).collect()
}

/// A test of a Python file, named by `FILE:CLASS.METHOD`.
pub fn python(name: &str, uri: &str) -> Value {
    json!({"kind": "python-unittest", "uri": uri, "identifier": name})
}

/// The runnable with one more key.
pub fn with(mut runnable: Value, key: &str, value: Value) -> Value {
    runnable[key] = value;
    runnable
}

/// The runnable with a list of requirements.
pub fn requiring(mut runnable: Value, requirements: &Value) -> Value {
    runnable["kwargs"]["dependencies"] = requirements.clone();
    runnable
}

/// A test with requirements that appends `run NAME` to the file `log` when it runs.
pub fn logged_test(name: &str, requirements: &Value) -> Value {
    let script = format!("echo run {name} >> log");
    requiring(shell(name, &script), requirements)
}

/// A requirement that appends `up NAME` and `down NAME` to the file `log` when it is fulfilled and
/// released, with the keys of `more` added or replaced.
pub fn logged_requirement(name: &str, more: Value) -> Value {
    let mut requirement = json!({
        "type": "command",
        "label": name,
        "setup": format!("echo up {name} >> log"),
        "teardown": format!("echo down {name} >> log"),
    });
    for (key, value) in more.as_object().unwrap() {
        requirement[key] = value.clone();
    }
    requirement
}

/// [`logged_requirement`] without any other key.
pub fn logged(name: &str) -> Value {
    logged_requirement(name, json!({}))
}
