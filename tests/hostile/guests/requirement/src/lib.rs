//! Owns a requirement resolver that fails in every way that one can, each a kind.
use std::hint::black_box;

use persea_plugin_sdk::fetch::{self, Source};
use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::{cache, messages};

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

impl Plugin for Hostile {
    fn describe() -> Description {
        Description::new(
            "hostile",
            "fails in every way that a requirement resolver can",
        )
        .role(Role::requirement_resolver(KINDS))
    }
}

impl RequirementResolver for Hostile {
    fn check(request: &RequirementRequest) -> Result<CheckedRequirement, Error> {
        match request.requirement.kind.as_str() {
            "check-panics" => panic!("no idea"),
            "check-loops" => loop {
                black_box(request);
            },
            "impossible" => Ok(Presence::Impossible.into()),
            "refuses" => Err(Error::new("not-permitted", "I do not want to")),
            _ => Ok(Presence::Absent.into()),
        }
    }

    fn fulfil(request: &RequirementRequest) -> Result<FulfilledRequirement, Error> {
        match request.requirement.kind.as_str() {
            "fulfil-panics" => panic!("half way"),
            "hoards" => {
                let bytes = vec![0; 1 << 20];
                for name in 0.. {
                    cache::put(&format!("hoard-{name}"), &bytes[..16])?;
                    fetch::fetch(&Source::new(["file:///dev/null"])).err();
                }
                Ok(FulfilledRequirement::new())
            }
            // Bash expands this variable before it reads its script.
            "taints" => {
                let env = r#"{"BASH_ENV": "$(touch by-variable)"}"#;
                Ok(FulfilledRequirement::new().with("env", Value::json(env)))
            }
            "chatters" => loop {
                messages::progress(&"blah ".repeat(20_000))?;
            },
            _ => {
                let env = r#"{"A=B": "c", "": "d"}"#;
                Ok(FulfilledRequirement::new().with("env", Value::json(env)))
            }
        }
    }

    fn release(request: &ReleaseRequest) -> Result<(), Error> {
        match request.request.requirement.kind.as_str() {
            "release-panics" => panic!("not that again"),
            "taints" => Ok(()),
            _ => Err(Error::new("io", "it is glued to the floor")),
        }
    }
}

export!(Hostile: requirement_resolver);
