//! Owns recipes of a project. Each file is a recipe, or none, or is broken at a position in the
//! file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use persea_fuzz::assert_within;
use persea_plugin_sdk::testing::{Files, Host};
use persea_plugin_sdk::{Finding, ResolveRequest, Resolver as _, Runnable, Value};
use persea_resolver_recipe::Recipe;

fuzz_target!(|bytes: &[u8]| {
    match resolve(bytes) {
        Finding::Found(runnables) => {
            runnables.iter().for_each(check);
            in_a_list(bytes, &runnables);
        }
        Finding::NotFound(why) => match why.strip_suffix(", and no \"kind\" is in it") {
            Some(why) => {
                let kind = b"\"kind\"";
                let names_a_kind = bytes.windows(kind.len()).any(|part| part == kind);
                assert!(!names_a_kind && !is_json(bytes), "{why}");
                broken(bytes, why);
            }
            None => {
                let begin = "r.json is JSON, but not a recipe: ";
                assert!(why.starts_with(begin) && is_json(bytes), "{why}");
            }
        },
        Finding::Corrupt(why) => broken(bytes, &why),
    }
});

fn resolve(bytes: &[u8]) -> Finding {
    let _host = Host::new()
        .files(Files::new().file("r.json", bytes))
        .install();
    let answer = Recipe::resolve(&ResolveRequest::new("r.json"));
    answer.expect("a readable file has an answer").finding
}

fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.trim_start_matches('\u{feff}'))
}

fn is_json(bytes: &[u8]) -> bool {
    text(bytes).is_some_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

/// Checks the invariants of a runnable.
fn check(runnable: &Runnable) {
    assert!(!runnable.kind.is_empty());
    let requirements = runnable.requirements.iter().map(|it| &it.kwargs);
    for attributes in [&runnable.kwargs, &runnable.more]
        .into_iter()
        .chain(requirements)
    {
        for (name, value) in attributes.iter() {
            if let Value::Json(json) = value {
                let read = serde_json::from_str::<serde_json::Value>(json);
                assert!(read.is_ok(), "{name} is not JSON: {read:?}");
            }
        }
    }
    for name in ["needs", "after", "mutexes"] {
        if let Some(json) = runnable.more.json(name) {
            serde_json::from_str::<Vec<String>>(json).expect("a list of texts");
        }
    }
}

/// Checks that a single runnable gives the same as a list of it.
fn in_a_list(bytes: &[u8], runnables: &[Runnable]) {
    let Some(text) = text(bytes) else { return };
    if text.trim_start().starts_with('{') {
        let list = format!("[{text}]");
        assert_eq!(resolve(list.as_bytes()), Finding::Found(runnables.to_vec()));
    }
}

/// Checks that the position in a message is in the file.
fn broken(bytes: &[u8], why: &str) {
    let Some(text) = text(bytes) else {
        assert!(why.ends_with("is not UTF-8"), "{why}");
        return;
    };
    let Some(place) = why.strip_prefix("r.json:").filter(|_| !is_json(bytes)) else {
        assert!(why.starts_with("r.json: ") && is_json(bytes), "{why}");
        return;
    };
    let mut numbers = place.splitn(3, ':').map(str::parse::<usize>);
    let (Some(Ok(line)), Some(Ok(column))) = (numbers.next(), numbers.next()) else {
        panic!("{why} has no position");
    };
    assert_within(text, line, column, str::len);
}
