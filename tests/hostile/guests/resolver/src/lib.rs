//! A resolver that traps on one name, loops on another, and answers with rubbish to a third.
use std::hint::black_box;

use persea_plugin_sdk::prelude::*;
use persea_plugin_sdk::workspace;

struct Hostile;

impl Resolver for Hostile {
    fn describe() -> Description {
        Description::new("hostile", "traps on trap.bad, loops on loop.bad").with("order", 99)
    }

    fn resolve(reference: &str, _: &Attributes) -> Result<Resolution, Error> {
        let name = reference.rsplit('/').next().unwrap_or_default();
        match name {
            "trap.bad" => panic!("cannot bear {reference}"),
            "loop.bad" => loop {
                black_box(reference);
            },
            "names.bad" => Ok(Resolution::Found(vec![
                Runnable::new("noop").identifier("a\u{1b}[2Jb\nc"),
                Runnable::new("no\u{1b}op").uri("../../../../tmp/x"),
                Runnable::new("noop").identifier("x".repeat(5000)),
                Runnable::new("noop").identifier(""),
            ])),
            "peek.bad" => {
                for path in ["/etc/passwd", "../outside", "link-out", "pipe"] {
                    if workspace::read(path, 0, 10).is_ok() {
                        return Ok(Resolution::Corrupt(format!("I could read {path}")));
                    }
                }
                Ok(Resolution::Found(vec![Runnable::new("noop").uri("held")]))
            }
            _ => Ok(Resolution::NotFound(format!(
                "{reference} is not bad enough"
            ))),
        }
    }
}

export!(resolver: Hostile);
