//! Owns the identifier of a runnable: the name that people know it by.

use persea_model::{Attribute, Runnable};

/// Returns the identifier of a runnable in a format such as `{uri}` or `{args[0]}`, with the fields
/// of Avocado's `runner.identifier_format`. A field that the runnable lacks is empty.
pub(crate) fn identifier(format: &str, runnable: &Runnable) -> String {
    let uri = runnable.uri.as_deref().unwrap_or(&runnable.kind);
    if format == "{uri}" {
        return uri.to_owned();
    }
    let mut name = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('{') {
        name.push_str(before);
        let Some((field, after)) = after.split_once('}') else {
            name.push('{');
            rest = after;
            continue;
        };
        rest = after;
        let index = |prefix: &str| {
            field
                .strip_prefix(prefix)?
                .strip_prefix('[')?
                .strip_suffix(']')
        };
        match field {
            "uri" => name.push_str(uri),
            "kind" => name.push_str(&runnable.kind),
            "args" => name.push_str(&runnable.args.join(" ")),
            "kwargs" => {
                let pairs: Vec<String> = runnable
                    .kwargs
                    .iter()
                    .map(|(key, value)| format!("{key}={}", plain(value)))
                    .collect();
                name.push_str(&pairs.join(" "));
            }
            _ => {
                if let Some(argument) =
                    index("args").and_then(|n| runnable.args.get(n.parse::<usize>().ok()?))
                {
                    name.push_str(argument);
                } else if let Some(value) = index("kwargs").and_then(|key| runnable.kwargs.get(key))
                {
                    name.push_str(&plain(value));
                }
            }
        }
    }
    name.push_str(rest);
    name
}

fn plain(value: &Attribute) -> String {
    match value {
        Attribute::Text(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn identifiers_follow_the_format() {
        let runnable: Runnable = serde_json::from_value(serde_json::json!({
            "kind": "exec-test", "uri": "/bin/sh", "args": ["-c", "true"],
            "kwargs": {"FOO": "bar", "N": 3},
        }))
        .unwrap();
        for (format, name) in [
            ("{uri}", "/bin/sh"),
            ("{kind}", "exec-test"),
            ("{kind}: {uri}!", "exec-test: /bin/sh!"),
            ("{colour}{args[9]}{args[x]}.", "."),
            ("{uri} {args}", "/bin/sh -c true"),
            ("{args[1]}!", "true!"),
            ("{kwargs[N]}-{kwargs[none]}", "3-"),
            ("{kwargs}", "FOO=bar N=3"),
            ("open { end", "open { end"),
        ] {
            assert_eq!(identifier(format, &runnable), name, "{format}");
        }
        // A runnable without a uri has its kind in the uri's place.
        let runnable: Runnable =
            serde_json::from_value(serde_json::json!({"kind": "noop"})).unwrap();
        assert_eq!(identifier("{uri}", &runnable), "noop");
        assert_eq!(identifier("{kind} {uri}", &runnable), "noop noop");
    }
}
