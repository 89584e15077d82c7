//! Owns a resolver that answers in pages: more than the host takes, invalid ones, and honest ones
//! before a failure.

use persea_plugin_sdk::pages::add_runnables;
use persea_plugin_sdk::prelude::*;

struct Hostile;

impl Plugin for Hostile {
    fn describe() -> Description {
        Description::new("pages", "answers with more pages than the host takes")
            .role(Role::resolver(["*"]).with("order", 98))
    }
}

impl Resolver for Hostile {
    fn resolve(request: &ResolveRequest) -> Result<Resolution, Error> {
        let page = || vec![Runnable::new("noop").uri("x".repeat(1000)); 4096];
        match request.reference.rsplit('/').next().unwrap_or_default() {
            // As if the refusal did not matter.
            "flood.pages" => {
                while add_runnables(page()).is_ok() {}
                Ok(Resolution::found([Runnable::new("noop").uri("flooded")]))
            }
            "fails.pages" => {
                add_runnables(page())?;
                Err(Error::new("io", "the rest cannot be read"))
            }
            "traps.pages" => {
                add_runnables(page())?;
                panic!("between two pages");
            }
            "invalid.pages" => {
                let bad = Runnable::new("noop").kwarg("bad", Value::Json("{ no json".into()));
                let refused = add_runnables([bad]);
                match refused {
                    Err(error) if error.code == "invalid" => {
                        Ok(Resolution::found([Runnable::new("noop").uri("mended")]))
                    }
                    other => Ok(Resolution::corrupt(format!("{other:?}"))),
                }
            }
            "good.pages" => {
                let part = |name: &str| [Runnable::new("noop").uri(name)];
                add_runnables(part("first"))?;
                add_runnables(part("second"))?;
                Ok(Resolution::found(part("third")))
            }
            name => Ok(Resolution::not_found(format!("{name} has no pages"))),
        }
    }
}

export!(Hostile: resolver);
