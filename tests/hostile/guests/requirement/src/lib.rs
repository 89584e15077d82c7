//! Owns a requirement resolver that fails in every way that one can, each a kind.
use std::hint::black_box;

use persea_plugin_sdk::fetch::{self, Source};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::{cache, status};

struct Hostile;

const KINDS: [&str; 10] = [
    "taints",
    "check-panics",
    "check-loops",
    "impossible",
    "refuses",
    "fulfil-panics",
    "stuck",
    "release-panics",
    "hoards",
    "chatters",
];

impl RequirementResolver for Hostile {
    fn describe() -> Description {
        Description::new(
            "hostile",
            "fails in every way that a requirement resolver can",
        )
        .kinds(KINDS)
    }

    fn check(request: &Request) -> Result<Presence, Error> {
        match request.requirement.kind.as_str() {
            "check-panics" => panic!("no idea"),
            "check-loops" => loop {
                black_box(request);
            },
            "impossible" => Ok(Presence::Impossible),
            "refuses" => Err(Error::new("not-permitted", "I do not want to")),
            _ => Ok(Presence::Absent),
        }
    }

    fn fulfil(request: &Request) -> Result<Attributes, Error> {
        match request.requirement.kind.as_str() {
            "fulfil-panics" => panic!("half way"),
            "hoards" => {
                let bytes = vec![0; 1 << 20];
                for name in 0.. {
                    cache::put(&format!("hoard-{name}"), &bytes[..16])?;
                    fetch::fetch(&Source::new(["file:///dev/null"])).err();
                }
                Ok(Attributes::new())
            }
            // Bash expands this variable before it reads its script.
            "taints" => {
                let env = r#"{"BASH_ENV": "$(touch by-variable)"}"#;
                Ok(Attributes::new().with("env", Value::json(env)))
            }
            "chatters" => loop {
                status::progress(&"blah ".repeat(20_000))?;
            },
            _ => Ok(Attributes::new().with("env", Value::json(r#"{"A=B": "c", "": "d", "E": 1}"#))),
        }
    }

    fn release(request: &Request, _: &Attributes) -> Result<(), Error> {
        match request.requirement.kind.as_str() {
            "release-panics" => panic!("not that again"),
            "taints" => Ok(()),
            _ => Err(Error::new("io", "it is glued to the floor")),
        }
    }
}

export!(requirement_resolver: Hostile);
