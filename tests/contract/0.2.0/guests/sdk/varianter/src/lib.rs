//! Owns a varianter; the README of the corpus says what it does.
use std::time::Duration;

use common::description;
use persea_plugin_sdk::pages;
use persea_plugin_sdk::prelude::*;

struct Corpus;

impl Plugin for Corpus {
    fn describe() -> Description {
        description().role(Role::varianter())
    }
}

impl Varianter for Corpus {
    fn vary(request: &VaryRequest) -> Result<Vec<Variation>, Error> {
        let count = request.parameters.integer("count");
        let count = count.ok_or_else(|| Error::new("invalid", "`count` is missing"))?;
        let variation = |number: i64| Variation::new().parameter("number", number);
        pages::add_variations([variation(0)])?;
        if request.parameters.boolean("additions") == Some(true) {
            return Ok(vec![with_additions(variation(1))]);
        }
        Ok((1..count).map(variation).collect())
    }
}

/// Adds to a variant all that one can have beside its parameters.
fn with_additions(variation: Variation) -> Variation {
    let requirement = r#"[{"kind": "command", "kwargs": {"setup": "echo met >> met"}}]"#;
    variation
        .timeout(Duration::from_secs(7))
        .with("requirements", Value::json(requirement))
        .with("resources", Value::json(r#"{"board": 1}"#))
}

export!(Corpus: varianter);
