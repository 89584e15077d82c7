//! Owns a varianter; the README of the corpus says what it does.
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
        Ok((1..count).map(variation).collect())
    }
}

export!(Corpus: varianter);
