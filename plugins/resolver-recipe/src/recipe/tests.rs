//! Tests the runnables of recipes, and the messages for invalid ones.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use proptest::prelude::*;

fn read(text: &str) -> ReadOutcome {
    super::read(text, RunnablePages::new()).unwrap()
}

fn one(text: &str) -> Runnable {
    match read(text) {
        ReadOutcome::Recipe(runnables) if runnables.len() == 1 => {
            runnables.into_iter().next().unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn mistake(text: &str) -> String {
    match read(text) {
        ReadOutcome::Invalid(why) => why,
        other => panic!("{other:?}"),
    }
}

fn other(text: &str) -> String {
    match read(text) {
        ReadOutcome::OtherJson(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn schema_of_recipes_has_the_members_of_a_runnable() {
    let schema = include_str!("../../../../docs/schemas/recipe.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let members = schema["$defs"]["runnable"]["properties"].as_object();
    let mut members: Vec<&str> = members.unwrap().keys().map(String::as_str).collect();
    let mut own = MEMBERS;
    members.sort_unstable();
    own.sort_unstable();
    assert_eq!(members, own);
}

#[test]
fn every_member_is_read() {
    let recipe = r#"{
        "kind": "exec-test", "uri": "/bin/sh", "args": ["-c", "echo $FOO \u00e9"],
        "identifier": "sh-foo",
        "kwargs": {
            "FOO": "bar", "GONE": null, "N": 3, "BIG": 12345678901234567890, "X": 1.5,
            "YES": true, "L": [1, {"a": 2}],
            "tags": {
                "fast": null, "arch": ["x86_64", "arm64"], "os": {"__encoded_set__": ["linux"]}
            },
            "dependencies": [
                {"type": "package", "name": "gcc", "n": 1},
                {"type": "podman-image", "uri": "fedora:40", "args": ["-q"], "scope": "task",
                 "label": "Fedora"}
            ],
            "variant": {"paths": ["/"], "variant_id": null, "variant": []},
            "output_dir": "/somewhere", "assets": []
        },
        "config": {"runner.identifier_format": "{uri}"}
    }"#;
    let expected = Runnable::new("exec-test")
        .uri("/bin/sh")
        .args(["-c", "echo $FOO é"])
        .identifier("sh-foo")
        .kwarg("FOO", "bar")
        .kwarg("GONE", Value::Null)
        .kwarg("N", 3)
        .kwarg("BIG", "12345678901234567890")
        .kwarg("X", 1.5)
        .kwarg("YES", true)
        .kwarg("L", Value::Json(r#"[1, {"a": 2}]"#.into()))
        .tag("fast", [""; 0])
        .tag("arch", ["x86_64", "arm64"])
        .tag("os", ["linux"])
        .requirement(
            Requirement::new("package")
                .kwarg("name", "gcc")
                .kwarg("n", 1),
        )
        .requirement(
            Requirement::new("podman-image")
                .uri("fedora:40")
                .args(["-q"])
                .with("scope", "task")
                .with("label", "Fedora"),
        )
        .with(
            "variant",
            Value::Json(r#"{"paths": ["/"], "variant_id": null, "variant": []}"#.into()),
        )
        .with(
            "config",
            Value::Json(r#"{"runner.identifier_format": "{uri}"}"#.into()),
        );
    assert_eq!(one(recipe), expected);
}

#[test]
fn members_of_a_task_in_a_job_file_are_read() {
    let recipe = r#"{
        "kind": "exec-test", "uri": "t.sh", "cwd": "sub", "retries": 2,
        "env": {"LANG": "C", "DISPLAY": null}, "tags": {"slow": null},
        "requirements": [{"type": "file", "uri": "a"}],
        "kwargs": {"tags": {"net": null}, "dependencies": [{"type": "file", "uri": "b"}]}
    }"#;
    let expected = Runnable::new("exec-test")
        .uri("t.sh")
        .env("LANG", "C")
        .env_remove("DISPLAY")
        .tag("slow", [""; 0])
        .tag("net", [""; 0])
        .requirement(Requirement::new("file").uri("a"))
        .requirement(Requirement::new("file").uri("b"))
        .with("cwd", "sub")
        .with("retries", 2);
    assert_eq!(one(recipe), expected);
    let rule = r#"{"count": 2, "on": ["error"]}"#;
    assert_eq!(
        one(&format!(r#"{{"kind": "noop", "retries": {rule}}}"#)),
        Runnable::new("noop").with("retries", Value::Json(rule.into()))
    );
    assert_eq!(
        one(r#"{"kind": "noop", "cwd": null, "retries": null}"#),
        Runnable::new("noop")
    );
}

#[test]
fn wrong_retries_are_mistakes_with_their_place() {
    for (retries, expected) in [
        (
            "\"2\"",
            "retries: expected a whole number from 0, found a string",
        ),
        (
            "-1",
            "retries: expected a whole number from 0, found a number",
        ),
        (
            r#"{"cout": 2}"#,
            "retries.cout: Additional properties are not allowed",
        ),
        (
            r#"{"on": [1]}"#,
            "retries.on[0]: expected a string, found a number",
        ),
        (
            r#"{"count": 1.5}"#,
            "retries.count: expected a whole number from 0, found a number",
        ),
    ] {
        let text = format!(r#"{{"kind": "noop", "retries": {retries}}}"#);
        assert_eq!(mistake(&text), expected);
    }
}

#[test]
fn wrong_variables_are_mistakes_with_their_place() {
    for (env, expected) in [
        ("[]", "env: expected an object, found a list"),
        (r#"{"A": 1}"#, "env.A: expected a string, found a number"),
        (
            r#"{"A=B": "1"}"#,
            "env.A=B: this is no name of an environment variable",
        ),
        (
            r#"{"": "1"}"#,
            "env.: this is no name of an environment variable",
        ),
    ] {
        let text = format!(r#"{{"kind": "noop", "env": {env}}}"#);
        assert_eq!(mistake(&text), expected);
    }
}

#[test]
fn list_gives_its_runnables_in_order() {
    let ReadOutcome::Recipe(runnables) =
        read(r#"[{"kind": "noop", "uri": "a"}, {"kind": "tap", "uri": null}]"#)
    else {
        panic!()
    };
    assert_eq!(
        runnables,
        [Runnable::new("noop").uri("a"), Runnable::new("tap")]
    );
    assert_eq!(read(" [] "), ReadOutcome::Recipe(vec![]));
}

#[test]
fn sets_in_the_settings_become_lists() {
    let runnable =
        one(r#"{"kind": "noop", "config": {"a": {"__encoded_set__": [1, 2]}, "b": {"c": 3}}}"#);
    assert_eq!(
        runnable.more.json("config"),
        Some(r#"{"a":[1,2],"b":{"c":3}}"#)
    );
}

#[test]
fn timeout_becomes_nanoseconds() {
    let timeout = |json: &str| {
        let runnable = one(&format!(r#"{{"kind": "noop", "timeout": {json}}}"#));
        runnable.more.integer("timeout")
    };
    assert_eq!(timeout("5"), Some(5_000_000_000));
    assert_eq!(timeout("0.25"), Some(250_000_000));
    assert_eq!(timeout(r#""90""#), Some(90_000_000_000));
    assert_eq!(timeout(r#""1.5s""#), Some(1_500_000_000));
    assert_eq!(timeout(r#""1h 30m""#), Some(5_400_000_000_000));
    assert_eq!(timeout(r#""250ms""#), Some(250_000_000));
    assert_eq!(timeout("0"), None, "no limit");
    assert_eq!(timeout("null"), None);
    for wrong in [
        "-1",
        "true",
        r#""soon""#,
        r#""5x""#,
        r#""""#,
        "1e300",
        r#""5m 3""#,
    ] {
        let why = mistake(&format!(r#"{{"kind": "noop", "timeout": {wrong}}}"#));
        let expected = "timeout: expected a number of seconds or a text such as 5m, found ";
        assert!(why.starts_with(expected), "{why}");
    }
}

#[test]
fn last_of_repeated_members_counts() {
    assert_eq!(
        one(r#"{"kind": "a", "kind": "b", "uri": "1", "uri": "2"}"#),
        Runnable::new("b").uri("2")
    );
}

#[test]
fn mistake_is_named_with_its_path() {
    for (text, why) in [
        (r#"{"kind": 3}"#, "kind: expected a string, found a number"),
        (
            r#"{"kind": ""}"#,
            "kind: expected the name of a kind, found an empty string",
        ),
        (
            r#"{"uri": "/bin/true"}"#,
            r#"Missing required property "kind""#,
        ),
        (
            r#"{"kind": "noop", "uri": "a", "tag": 1}"#,
            "tag: Additional properties are not allowed",
        ),
        (
            r#"[{"kind": "noop"}, {"kind": "noop", "idd": 1}]"#,
            "[1].idd: Additional properties are not allowed",
        ),
        (
            r#"[{"kind": "noop"}, {}]"#,
            r#"[1]: Missing required property "kind""#,
        ),
        (
            r#"[{"kind": "noop"}, 3]"#,
            "[1]: expected an object, found a number",
        ),
        (
            r#"[{"kind": "noop", "args": [true]}]"#,
            "[0].args[0]: expected a string, found a boolean",
        ),
        (
            r#"{"kind": "noop", "args": "x"}"#,
            "args: expected a list, found a string",
        ),
        (
            r#"{"kind": "noop", "kwargs": []}"#,
            "kwargs: expected an object, found a list",
        ),
        (
            r#"{"kind": "noop", "kwargs": {"tags": {"a": 1}}}"#,
            "kwargs.tags.a: expected a list, found a number",
        ),
        (
            r#"{"kind": "noop", "kwargs": {"dependencies": [{"name": 1}]}}"#,
            r#"kwargs.dependencies[0]: Missing required property "type""#,
        ),
        (
            r#"{"kind": "noop", "config": null}"#,
            "config: expected an object, found null",
        ),
    ] {
        assert_eq!(mistake(text), why, "{text}");
    }
    assert!(mistake(r#"{"kind": "\ud800"}"#).starts_with("kind: "));
}

#[test]
fn json_that_the_host_cannot_read_is_invalid() {
    // By the grammar all of these are JSON.
    let deep = format!("{}1{}", "[".repeat(101), "]".repeat(101));
    let (half_surrogate, too_large) = (r#"["\ud800"]"#, "[1e999]");
    for value in [deep.as_str(), half_surrogate, too_large] {
        for (path, text) in [
            (
                "kwargs.a",
                format!(r#"{{"kind": "k", "kwargs": {{"a": {value}}}}}"#),
            ),
            (
                "kwargs.variant",
                format!(r#"{{"kind": "k", "kwargs": {{"variant": {{"a": {value}}}}}}}"#),
            ),
            (
                "config",
                format!(r#"{{"kind": "k", "config": {{"a": {value}}}}}"#),
            ),
            (
                "kwargs.dependencies[0].a",
                format!(
                    r#"{{"kind": "k",
                        "kwargs": {{"dependencies": [{{"type": "t", "a": {value}}}]}}}}"#
                ),
            ),
        ] {
            let why = mistake(&text);
            assert!(why.starts_with(&format!("{path}: ")), "{why}");
        }
    }
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let runnable = one(&format!(r#"{{"kind": "k", "kwargs": {{"a": {deep}}}}}"#));
    assert_eq!(runnable.kwargs.json("a"), Some(deep.as_str()));
}

#[test]
fn other_json_is_left_to_other_resolvers() {
    let package = r#"{"name": "x", "version": "1.0.0"}"#;
    assert_eq!(other(package), r#"Missing required property "kind""#);
    let manifest = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {}}"#;
    assert_eq!(
        other(manifest),
        "apiVersion: Additional properties are not allowed"
    );
    assert_eq!(other("{}"), r#"Missing required property "kind""#);
    assert_eq!(other("[1, 2]"), "[0]: expected an object, found a number");
    assert_eq!(
        other(r#"[{"a": 1}]"#),
        r#"[0]: Missing required property "kind""#
    );
    assert_eq!(other("3"), "a recipe is an object or a list of objects");
}

#[test]
fn malformed_json_has_its_position() {
    let place = |text| match read(text) {
        ReadOutcome::NotJson { line, column, why } => (line, column, why),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        place("[{\"kind\": \"noop\"},\n {]"),
        (2, 3, "key must be a string".to_owned())
    );
    assert_eq!(place(""), (1, 1, "EOF while parsing a value".to_owned()));
    assert_eq!(place("[\n"), (2, 1, "EOF while parsing a list".to_owned()));
    assert_eq!(place("{} x").2, "trailing characters");
}

/// Any JSON, with escapes, and some of it beyond what the host can read.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
        r#""([a-zä ]|\\n|\\u[0-9a-f]{4}|\\ud83d\\ude00|\\"){0,6}""#,
    ];
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    let object = |members: Vec<(String, String)>| {
        let member = |(name, value)| format!("{name}:{value}");
        let members: Vec<String> = members.into_iter().map(member).collect();
        format!("{{{}}}", members.join(","))
    };
    let name = r#""([a-c]|\\u00e4|\\udc00|__encoded_set__)""#;
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(list),
            prop::collection::vec((name, inner), 0..4).prop_map(object),
        ]
    })
}

/// Recipes whose members have valid or nearly valid values.
fn recipe() -> impl Strategy<Value = String> {
    let name = prop::sample::select(&MEMBERS[1..]);
    let kwarg = prop_oneof!["a", "tags", "dependencies", "variant", "assets"];
    let kwargs = (kwarg, json()).prop_map(|(name, value)| format!(r#"{{"{name}": {value}}}"#));
    let value = prop_oneof![
        json(),
        kwargs,
        Just(r#"["x"]"#.to_owned()),
        Just("{}".to_owned())
    ];
    (name, value).prop_map(|(name, value)| format!(r#"{{"kind": "k", "{name}": {value}}}"#))
}

/// All JSON values in a runnable.
fn json_values(runnable: &Runnable) -> Vec<&str> {
    let requirements = runnable.requirements.iter().map(|it| &it.kwargs);
    let all = [&runnable.kwargs, &runnable.more]
        .into_iter()
        .chain(requirements);
    all.flat_map(Attributes::iter)
        .filter_map(|(_, value)| match value {
            Value::Json(json) => Some(json.as_str()),
            _ => None,
        })
        .collect()
}

proptest! {
    #[test]
    fn any_text_is_read(
        text in r#"([\[\]{}:,"a-e0-9.\\\s-]|"kind"|"uri"|"args"|"kwargs"|"tags"|null|true){0,60}"#,
    ) {
        let lines: Vec<&str> = text.split('\n').collect();
        if let ReadOutcome::NotJson { line, column, .. } = read(&text) {
            prop_assert!((1..=lines.len()).contains(&line));
            prop_assert!((1..=lines[line - 1].len() + 1).contains(&column));
        }
    }

    /// All JSON values of a recipe's runnables can be parsed, and a list of the recipe gives the
    /// same runnables.
    #[test]
    fn json_of_runnables_can_be_parsed(text in recipe()) {
        if let ReadOutcome::Recipe(runnables) = read(&text) {
            for json in runnables.iter().flat_map(json_values) {
                let read = serde_json::from_str::<serde_json::Value>(json);
                prop_assert!(read.is_ok(), "{}: {:?}", json, read);
            }
            prop_assert_eq!(read(&format!("[{text}]")), ReadOutcome::Recipe(runnables));
        }
    }

    #[test]
    fn strings_are_unchanged(
        uri in any::<String>(),
        arg in any::<String>(),
        name in "[a-z]{1,8}",
    ) {
        prop_assume!(!["tags", "variant", "assets"].contains(&name.as_str()));
        let recipe =
            serde_json::json!([{"kind": "k", "uri": uri, "args": [arg], "kwargs": {&name: arg}}]);
        let expected = Runnable::new("k").uri(uri).args([arg.clone()]).kwarg(name, arg);
        prop_assert_eq!(one(&recipe.to_string()), expected);
    }

    #[test]
    fn numbers_keep_their_value(integer in any::<i64>(), number in any::<f64>()) {
        prop_assume!(number.is_finite());
        let recipe = serde_json::json!({"kind": "k", "kwargs": {"i": integer, "n": number}});
        let read = one(&recipe.to_string());
        prop_assert_eq!(read.kwargs.get("i"), Some(&Value::Integer(integer)));
        prop_assert_eq!(read.kwargs.number("n"), Some(number));
    }
}
